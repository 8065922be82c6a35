//! Tables for people: columns as wide as their widest cell.

/// Rows as lines, the first one being the heads.
pub(super) fn table<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) -> String {
    painted(rows, |_, _, cell| cell.to_owned())
}

/// As [`table`], with each cell as `paint` makes it, from its row, its column and its text: what
/// has no width does not count.
pub(super) fn painted<const COLUMNS: usize>(
    rows: &[[String; COLUMNS]],
    paint: impl Fn(usize, usize, &str) -> String,
) -> String {
    let mut widths = [0; COLUMNS];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        let mut line = String::new();
        let mut gap = 0;
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            if !cell.is_empty() {
                line.extend(std::iter::repeat_n(' ', gap));
                line.push_str(&paint(number, column, cell));
                gap = 0;
            }
            gap += width + 2 - cell.chars().count();
        }
        text.push_str(&line);
        text.push('\n');
    }
    text
}
