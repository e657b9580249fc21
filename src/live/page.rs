//! The page itself: one document with everything in it.

use minijinja::{Environment, context};

const TEMPLATE: &str = include_str!("../../templates/report/live.html");
const STYLES: [&str; 2] = [
    include_str!("../../templates/report/page.css"),
    include_str!("../../templates/report/live.css"),
];
const SCRIPT: &str = include_str!("../../templates/report/live.js");

/// The page, which asks for the state itself.
pub(super) fn page() -> Result<String, minijinja::Error> {
    let context = context! { style => STYLES.join("\n"), script => SCRIPT };
    Environment::new().render_named_str("live.html", TEMPLATE, context)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_has_all_in_it() {
        let page = super::page().expect("a page");
        assert!(page.contains("fetch(\"/state.json\""));
        assert!(!page.contains("|safe"));
        for outside in [" src=", "<link rel=\"stylesheet\"", "@import", "https://"] {
            assert!(!page.contains(outside), "{outside}");
        }
    }
}
