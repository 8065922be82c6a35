//! Medians, tables and verdicts.

use std::fmt::Display;

/// Values of the same thing from several rounds.
#[derive(Clone, Debug, Default)]
pub struct Rounds(Vec<f64>);

impl Rounds {
    pub fn add(&mut self, value: f64) {
        self.0.push(value);
        self.0.sort_by(f64::total_cmp);
    }

    pub fn median(&self) -> f64 {
        // Of an even number the upper one: nothing looks better than it is.
        self.at(self.0.len() / 2)
    }

    pub fn least(&self) -> f64 {
        self.at(0)
    }

    pub fn most(&self) -> f64 {
        self.at(self.0.len().saturating_sub(1))
    }

    fn at(&self, index: usize) -> f64 {
        *self.0.get(index).expect("at least one round")
    }

    /// As [`Self::shown`], for small numbers.
    pub fn shown_finely(&self) -> String {
        let [median, least, most] = [self.median(), self.least(), self.most()];
        format!("{median:.2} ({least:.2}-{most:.2})")
    }

    /// The median, with the least and the most.
    pub fn shown(&self) -> String {
        let [median, least, most] = [self.median(), self.least(), self.most()];
        format!("{median:.1} ({least:.1}-{most:.1})")
    }
}

/// What usher is to achieve, and what it did.
pub struct Target {
    pub what: String,
    pub unit: &'static str,
    pub limit: f64,
    pub measured: f64,
}

pub fn verdicts(targets: &[Target]) {
    println!("\nTargets");
    for target in targets {
        let Target {
            what,
            unit,
            limit,
            measured,
        } = target;
        let verdict = if measured <= limit { "met" } else { "missed" };
        println!("  {what} <= {limit} {unit}: {verdict} ({measured:.2})");
    }
}

/// A heading and aligned rows, the first of them the names of the columns.
pub fn table(heading: &str, rows: &[Vec<String>]) {
    println!("\n{heading}");
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(column, (cell, width))| match column {
                0 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            })
            .collect();
        println!("  {}", cells.join("   "));
    }
}

pub fn row(cells: &[&dyn Display]) -> Vec<String> {
    cells.iter().map(ToString::to_string).collect()
}
