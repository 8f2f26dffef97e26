//! Rows under a heading, in columns as wide as they must be.

use std::io::Write as _;

/// A table; the first row is its heading.
pub(super) struct Table(Vec<Vec<String>>);

impl Table {
    pub(super) fn new<const N: usize>(heading: [&str; N]) -> Self {
        Self(vec![heading.map(str::to_owned).to_vec()])
    }

    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.0.push(cells.to_vec());
    }

    /// Puts the rows in the order of a column.
    pub(super) fn sort_by_column(&mut self, column: usize) {
        if let Some(rows) = self.0.get_mut(1..) {
            rows.sort_by(|a, b| a.get(column).cmp(&b.get(column)));
        }
    }

    pub(super) fn rows(&self) -> usize {
        self.0.len() - 1
    }

    /// Writes it as lines whose cells are separated by tabs.
    pub(super) fn tab_separated(&self) -> String {
        self.0.iter().map(|row| row.join("\t") + "\n").collect()
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let columns = self.0.first().map_or(0, Vec::len);
        let width = |column: usize| {
            self.0.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.0 {
            let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            writeln!(f, "{}", cells.join("  ").trim_end())?;
        }
        Ok(())
    }
}

/// Says something on standard output; whoever reads may have seen enough.
pub(super) fn say(text: impl std::fmt::Display) {
    let _ = write!(std::io::stdout(), "{text}");
}
