//! A piece of a table as Markdown; what it looks like is in `templates/report/table.md`.

use serde_json::json;

use crate::report::error::ReportError;
use crate::report::template;

const TEMPLATE: &str = include_str!("../../../templates/report/table.md");

/// A table with all that stands over and below it; what is empty is left out.
#[derive(Debug, Clone, Default)]
pub(super) struct Section {
    /// Headings with their marks: `## movie`, `### AUC × 100`.
    pub(super) headings: Vec<String>,
    /// What stands between headings and table.
    pub(super) lead: String,
    /// The table.
    pub(super) table: String,
    /// What its numbers are.
    pub(super) about: String,
    /// What is to be said of it, as a list.
    pub(super) notes: Vec<String>,
}

/// Sections, and paragraphs below all of them.
pub(super) fn markdown(sections: &[Section], below: &[String]) -> Result<String, ReportError> {
    let sections = sections.iter().map(|section| {
        json!({
            "headings": section.headings, "lead": section.lead,
            "table": section.table.trim_end(), "about": section.about, "notes": section.notes,
        })
    });
    let values = json!({"sections": sections.collect::<Vec<_>>(), "below": below});
    template::render("table.md", TEMPLATE, values)
}
