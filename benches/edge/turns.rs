//! The same measurement of every proxy: they take turns, so that what the machine does meanwhile
//! meets all of them.

use crate::proxies::{Kind, Proxy, Stage};
use crate::report::{Rounds, Target, row, table};

/// One line of a table.
#[derive(Clone, Copy, Debug)]
pub struct Line<W> {
    pub way: W,
    pub name: &'static str,
    /// At most so many times what nginx takes; `None`: shown, and no target.
    pub limit: Option<f64>,
}

/// What each of these ways costs, of a thing that is called `what`; `unit` says how it was counted.
pub async fn by_turns<W: Copy>(
    stage: &Stage,
    what: &str,
    unit: &str,
    rounds: usize,
    lines: &[Line<W>],
    measure: impl AsyncFn(&Proxy, W) -> f64,
) -> Vec<Target> {
    let mut proxies = Vec::new();
    for kind in &stage.kinds {
        proxies.push(stage.start(*kind).await);
    }
    let mut rows = vec![row(&[&""])];
    for proxy in &proxies {
        rows[0].push(proxy.kind.name().to_owned());
    }
    for proxy in proxies.iter().skip(1) {
        rows[0].push(format!("usher/{}", proxy.kind.name()));
    }
    let mut targets = Vec::new();
    for line in lines {
        eprintln!("measuring: {what}, {}", line.name);
        let mut found = vec![Rounds::default(); proxies.len()];
        for round in 0..rounds {
            for turn in 0..proxies.len() {
                let index = (turn + round) % proxies.len();
                found[index].add(measure(&proxies[index], line.way).await);
            }
        }
        let usher = found[0].median();
        let mut cells = vec![line.name.to_owned()];
        cells.extend(found.iter().map(Rounds::shown));
        for (proxy, found) in proxies.iter().zip(&found).skip(1) {
            let ratio = usher / found.median();
            cells.push(format!("{ratio:.2}"));
            if let (Kind::Nginx, Some(limit)) = (proxy.kind, line.limit) {
                targets.push(Target {
                    what: format!("{what}, {}", line.name),
                    unit: "x nginx",
                    limit,
                    measured: ratio,
                });
            }
        }
        rows.push(cells);
    }
    table(
        &format!("{what} in us, median (least-most) of {rounds} rounds of {unit}"),
        &rows,
    );
    for proxy in proxies {
        proxy.stop().await;
    }
    targets
}
