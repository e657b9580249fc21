//! LaTeX tables with booktabs.

use serde_json::json;

use crate::report::error::ReportError;
use crate::report::input::ReportInput;
use crate::report::template;

const TABLE: &str = include_str!("../../../templates/report/table.tex");
const TABLES: &str = include_str!("../../../templates/report/tables.tex");

/// A floating table: `rows` are cells that are LaTeX already, the first column flush left and all
/// others flush right; a rule stands below the rows of these positions.
pub(super) fn table(
    rows: &[Vec<String>],
    rules: &[usize],
    caption: &str,
    label: &str,
) -> Result<String, ReportError> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(1);
    let lines = rows.iter().enumerate().map(|(at, cells)| {
        json!({"cells": cells, "rule_below": rules.contains(&at) && at + 1 < rows.len()})
    });
    let values = json!({
        "caption": escape(caption), "label": label.replace('_', "-"),
        "columns": format!("l{}", "r".repeat(columns.saturating_sub(1))),
        "rows": lines.collect::<Vec<_>>(),
    });
    template::render("table.tex", TABLE, values)
}

/// A file of tables, or why there is none.
pub(super) fn tables(tables: &[String], nothing: &str) -> Result<String, ReportError> {
    let tables: Vec<&str> = tables.iter().map(|table| table.trim_end()).collect();
    let values = json!({"tables": tables, "nothing": nothing});
    template::render("tables.tex", TABLES, values)
}

/// The label of a table: its name and what tells its pieces apart.
pub(super) fn label(input: &ReportInput<'_>, table: &str, pieces: &[&str]) -> String {
    let name = if input.part.is_empty() {
        table
    } else {
        &input.part
    };
    let mut label = format!("tab:{name}");
    for piece in pieces {
        label.push('-');
        label.push_str(piece);
    }
    label
}

/// What is wrong with the rows, for a caption.
pub(super) fn guards(input: &ReportInput<'_>) -> String {
    let mut text = String::new();
    for guard in &input.guards {
        text.push_str(&format!(" Read with care: {guard}."));
    }
    text
}

/// A note as a sentence of a caption.
pub(super) fn sentence(note: &str) -> String {
    let mut letters = note.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string());
    format!("{}{}.", first.unwrap_or_default(), letters.as_str())
}

/// Makes a text safe outside of math, with the signs of our own sentences as commands that every
/// engine knows.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\\' => escaped.push_str("\\textbackslash{}"),
            '~' => escaped.push_str("\\textasciitilde{}"),
            '^' => escaped.push_str("\\textasciicircum{}"),
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => {
                escaped.push('\\');
                escaped.push(letter);
            }
            '†' => escaped.push_str("$^{\\dagger}$"),
            '±' => escaped.push_str("$\\pm$"),
            '×' => escaped.push_str("$\\times$"),
            '→' => escaped.push_str("$\\rightarrow$"),
            '−' => escaped.push_str("$-$"),
            '<' => escaped.push_str("$<$"),
            '>' => escaped.push_str("$>$"),
            '–' => escaped.push_str("--"),
            '—' => escaped.push_str("---"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_latex_would_read_is_escaped() {
        assert_eq!(
            escape("a_b & 95 % → c † {x} \\y, p < 0.01"),
            "a\\_b \\& 95 \\% $\\rightarrow$ c $^{\\dagger}$ \\{x\\} \\textbackslash{}y, p $<$ 0.01"
        );
    }
}
