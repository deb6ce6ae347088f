//! Tables for people: columns below each other, numbers to the right.

use std::fmt::Write as _;

/// A table as it grows.
pub(super) struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns. Those whose titles end in `>` hold numbers.
    pub(super) fn new(head: &[&'static str]) -> Self {
        Self { head: head.to_vec(), rows: Vec::new() }
    }

    pub(super) fn push<const N: usize>(&mut self, row: [String; N]) {
        debug_assert_eq!(N, self.head.len(), "a row has as many columns as the table");
        self.rows.push(row.into());
    }

    /// The table as text, a line per row.
    pub(super) fn text(&self) -> String {
        let titles: Vec<String> = self.head.iter().map(|title| title.trim_end_matches('>').to_owned()).collect();
        let all = || std::iter::once(&titles).chain(&self.rows);
        let width = |column: usize| all().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.head.len()).map(width).collect();
        let mut text = String::new();
        for row in all() {
            let mut line = String::new();
            for ((cell, title), width) in row.iter().zip(&self.head).zip(&widths) {
                let written = if title.ends_with('>') {
                    write!(line, "{cell:>width$}  ")
                } else {
                    write!(line, "{cell:width$}  ")
                };
                debug_assert!(written.is_ok(), "a string takes everything");
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// A version, or that there is none.
pub(super) fn version(version: Option<u32>) -> String {
    version.map_or_else(|| "-".to_owned(), |version| version.to_string())
}

/// A number with its thousands apart.
pub(super) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// A size in bytes, to three digits.
pub(super) fn bytes(bytes: u64) -> String {
    let units = ["kB", "MB", "GB", "TB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let (mut size, mut unit) = (bytes as f64 / 1000.0, 0);
    while size >= 999.5 && unit + 1 < units.len() {
        (size, unit) = (size / 1000.0, unit + 1);
    }
    let digits = if size < 9.995 { 2 } else { usize::from(size < 99.95) };
    format!("{size:.digits$} {}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_sizes_are_short() {
        let numbers = [0, 999, 1000, 1_234_567].map(number);
        assert_eq!(numbers, ["0", "999", "1 000", "1 234 567"]);
        let sizes = [0, 999, 1000, 12_345, 999_499, 999_500, 1_250_000, 45_000_000_000].map(bytes);
        assert_eq!(sizes, ["0 B", "999 B", "1.00 kB", "12.3 kB", "999 kB", "1.00 MB", "1.25 MB", "45.0 GB"]);
    }

    #[test]
    fn columns_stand_below_each_other() {
        let mut table = Table::new(&["NAME", "ROWS>", "NOTE"]);
        table.push(["a".into(), "10".into(), String::new()]);
        table.push(["longer".into(), "1 000".into(), "x".into()]);
        assert_eq!(table.text(), "NAME     ROWS  NOTE\na          10\nlonger  1 000  x\n");
    }
}
