//! Markdown of the report's own words as HTML. What users wrote (a description, a title of a film)
//! may be in it, so no tag gets through but the few that the words use themselves.

use pulldown_cmark::{CowStr, Event, Options, Parser, html};

/// Tags that stand in the middle of a line.
const INLINE: [&str; 2] = ["<u>", "</u>"];

/// Renders Markdown with tables; foreign HTML becomes text.
pub(super) fn html_of(markdown: &str) -> String {
    let parser = Parser::new_ext(markdown, Options::ENABLE_TABLES);
    let events = parser.map(|event| match event {
        Event::InlineHtml(tag) if INLINE.contains(&&*tag) => Event::InlineHtml(tag),
        Event::Html(tag) if is_folding(&tag) => Event::Html(tag),
        Event::InlineHtml(tag) | Event::Html(tag) => Event::Text(CowStr::from(tag.into_string())),
        other => other,
    });
    let mut text = String::new();
    html::push_html(&mut text, events);
    text
}

/// Lines of a part that is folded away, as [`page`](super::page) writes them.
fn is_folding(line: &str) -> bool {
    let line = line.trim();
    let summary = line
        .strip_prefix("<summary>")
        .and_then(|rest| rest.strip_suffix("</summary>"));
    matches!(line, "<details>" | "</details>")
        || summary.is_some_and(|text| !text.contains(['<', '>']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_and_own_tags_are_rendered_and_foreign_ones_are_text() {
        let text = html_of(
            "| a | b |\n| --- | ---: |\n| <u>1</u> | <img src=x onerror=y> |\n\n<script>alert(1)</script>\n\n<details>\n<summary>2 choices</summary>\n\nin\n\n</details>\n",
        );
        assert!(text.contains("<u>1</u>"), "{text}");
        assert!(
            text.contains("<th style=\"text-align: right\">b</th>"),
            "{text}"
        );
        assert!(text.contains("<summary>2 choices</summary>"), "{text}");
        assert!(text.contains("</details>"), "{text}");
        assert!(
            !text.contains("<script>") && !text.contains("<img"),
            "{text}"
        );
        assert!(text.contains("&lt;script&gt;"), "{text}");
    }
}
