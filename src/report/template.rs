//! Texts from the templates under `templates/report/`, in the language of minijinja.

use minijinja::Environment;
use minijinja::syntax::SyntaxConfig;
use serde_json::Value;

use super::error::ReportError;

/// Fills in a template; one whose name ends in `.html` escapes what is filled in, one in `.tex`
/// is written with `<< … >>` and `<% … %>`, since LaTeX needs its braces itself.
///
/// # Errors
/// [`ReportError::Template`] if the template fails, which is a mistake in the program.
pub(super) fn render(name: &'static str, text: &str, values: Value) -> Result<String, ReportError> {
    let attempt = || {
        let ending = name.rsplit('.').next();
        let mut environment = Environment::new();
        let mut syntax = SyntaxConfig::builder();
        syntax.keep_trailing_newline(true);
        if ending != Some("html") {
            syntax.trim_blocks(true).lstrip_blocks(true);
        }
        if ending == Some("tex") {
            syntax.block_delimiters("<%", "%>");
            syntax.variable_delimiters("<<", ">>");
            syntax.comment_delimiters("<#", "#>");
        }
        environment.set_syntax(syntax.build()?);
        environment.render_named_str(name, text, value_of(values))
    };
    attempt().map_err(|error| ReportError::Template {
        name,
        message: format!("{error:#}"),
    })
}

/// JSON as the template engine's value.
fn value_of(json: Value) -> minijinja::Value {
    match json {
        Value::Null => minijinja::Value::from(()),
        Value::Bool(yes) => minijinja::Value::from(yes),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => minijinja::Value::from(whole),
            (None, Some(number)) => minijinja::Value::from(number),
            (None, None) => minijinja::Value::from(()),
        },
        Value::String(text) => minijinja::Value::from(text),
        Value::Array(items) => {
            minijinja::Value::from(items.into_iter().map(value_of).collect::<Vec<_>>())
        }
        Value::Object(map) => minijinja::Value::from_pairs(
            map.into_iter().map(|(name, inner)| (name, value_of(inner))),
        ),
    }
}
