//! Markdown that reads well rendered and in a terminal: columns are padded to the same width.

use std::fmt::Write as _;

/// A table whose columns align as text too.
#[derive(Debug, Clone)]
pub struct MarkdownTable {
    header: Vec<String>,
    right: Vec<bool>,
    rows: Vec<Vec<String>>,
}

impl MarkdownTable {
    /// A table whose first column is flush left and all others flush right.
    #[must_use]
    pub fn of_numbers(header: Vec<String>) -> Self {
        let right = (0..header.len()).map(|column| column > 0).collect();
        Self {
            header,
            right,
            rows: Vec::new(),
        }
    }

    /// A table whose columns are all flush left.
    #[must_use]
    pub fn of_texts(header: &[&str]) -> Self {
        Self {
            header: header.iter().map(|&text| text.to_owned()).collect(),
            right: vec![false; header.len()],
            rows: Vec::new(),
        }
    }

    /// Adds a row; what is missing at its end stays empty.
    pub fn row(&mut self, mut cells: Vec<String>) {
        cells.resize(self.header.len(), String::new());
        for cell in &mut cells {
            *cell = escape(cell);
        }
        self.rows.push(cells);
    }

    /// The text of the table, ending in a newline.
    #[must_use]
    pub fn render(&self) -> String {
        let widths: Vec<usize> = (0..self.header.len())
            .map(|column| {
                let cells = self.rows.iter().filter_map(|cells| cells.get(column));
                cells
                    .map(|cell| width(cell))
                    .chain([width(&self.header[column]), 3])
                    .max()
                    .unwrap_or(3)
            })
            .collect();
        let mut text = String::new();
        self.line(&mut text, &widths, &self.header);
        let dashes: Vec<String> = widths
            .iter()
            .zip(&self.right)
            .map(|(&width, &right)| {
                let end = if right { ":" } else { "-" };
                format!("{}{end}", "-".repeat(width - 1))
            })
            .collect();
        self.line(&mut text, &widths, &dashes);
        for cells in &self.rows {
            self.line(&mut text, &widths, cells);
        }
        text
    }

    fn line(&self, text: &mut String, widths: &[usize], cells: &[String]) {
        text.push('|');
        for ((cell, &wide), &right) in cells.iter().zip(widths).zip(&self.right) {
            let padding = " ".repeat(wide.saturating_sub(width(cell)));
            let _ = if right {
                write!(text, " {padding}{cell} |")
            } else {
                write!(text, " {cell}{padding} |")
            };
        }
        text.push('\n');
    }
}

/// Columns a text takes in a terminal. All that we write ourselves is one column a character.
fn width(text: &str) -> usize {
    text.chars().count()
}

/// Makes a text safe inside a table cell.
fn escape(cell: &str) -> String {
    cell.replace('|', "\\|").replace(['\n', '\r'], " ")
}

/// Makes a text safe to stand in a paragraph or a list: one line, trimmed.
#[must_use]
pub fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_pipes_are_escaped() {
        let mut table = MarkdownTable::of_numbers(vec!["system".into(), "K = 16".into()]);
        table.row(vec!["a|b".into(), "1.0 ± 0.1".into()]);
        table.row(vec!["c".into()]);
        insta::assert_snapshot!(table.render(), @r"
        | system |    K = 16 |
        | ------ | --------: |
        | a\|b   | 1.0 ± 0.1 |
        | c      |           |
        ");
    }
}
