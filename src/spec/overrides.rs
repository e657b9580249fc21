//! `--set path=value`: changes any value of an experiment from the command line.

use super::source::{Diagnostics, Sources, Span};
use super::yaml::{Content, Entry, Node, parse};

/// Keys of a path at most; no experiment is nested as deeply.
const MOST_KEYS: usize = 32;

/// Applies `--set` arguments in order; the value is read as YAML (`--set grid.k=[16,64]`).
pub fn apply(
    root: &mut Node,
    arguments: &[String],
    sources: &mut Sources,
    diagnostics: &mut Diagnostics,
) {
    if root.is_null() {
        root.content = Content::Map(Vec::new());
    }
    for argument in arguments {
        // Shown as the person typed it, so that a caret can point into it.
        let prefix = "--set ";
        let shown = format!("{prefix}{argument}");
        let source = sources.add("command line", &shown);
        let whole = Span {
            source,
            start: prefix.len() as u32,
            len: argument.len() as u32,
        };
        let Some((path, text)) = argument.split_once('=') else {
            diagnostics.error_with_help(
                "spec::set",
                whole,
                format!("`{argument}` has no `=`"),
                "write --set path=value, for example --set grid.k=[16,64]",
            );
            continue;
        };
        let keys: Vec<&str> = path.trim().split('.').collect();
        if keys.iter().any(|key| key.is_empty()) || keys.len() > MOST_KEYS {
            diagnostics.error_with_help(
                "spec::set",
                whole,
                format!("`{path}` is not a path"),
                "write keys joined by dots, for example data.movie.path",
            );
            continue;
        }
        let mut inner = Diagnostics::default();
        let value = parse(text, source, &mut inner);
        if let Some(problem) = inner.sorted().first() {
            diagnostics.error_with_help(
                "spec::set",
                whole,
                problem.message.clone(),
                "quote the value for your shell, for example --set 'grid.k=[16, 64]'",
            );
        }
        let Some(mut value) = value else { continue };
        place(&mut value, whole);
        keep_preset(root, &keys);
        if let Some((above, what)) = closed(root, &keys) {
            diagnostics.error_with_help(
                "spec::set",
                whole,
                format!(
                    "`{above}` is {what}, so there is no `{}` in it",
                    path.trim()
                ),
                format!("change it as a whole: --set {above}=VALUE"),
            );
            continue;
        }
        root.insert(&keys, value);
    }
}

/// The first thing on the way to a path that has no keys, and what it is.
fn closed(root: &Node, keys: &[&str]) -> Option<(String, String)> {
    let mut at = root;
    for (depth, key) in keys.iter().enumerate() {
        if at.as_map().is_none() && !at.is_null() {
            return (depth > 0).then(|| (keys[..depth].join("."), at.describe()));
        }
        at = at.get(key)?;
    }
    None
}

/// All of an argument's value points at the argument: its parts are short enough.
fn place(node: &mut Node, span: Span) {
    node.span = span;
    match &mut node.content {
        Content::Scalar(_) => {}
        Content::List(items) => items.iter_mut().for_each(|item| place(item, span)),
        Content::Map(entries) => {
            for entry in entries {
                entry.span = span;
                place(&mut entry.value, span);
            }
        }
    }
}

/// `fidelity: paper` followed by `--set fidelity.movie.split=…` keeps the preset.
fn keep_preset(root: &mut Node, keys: &[&str]) {
    if keys.len() < 2 || keys[0] != "fidelity" {
        return;
    }
    if let Content::Map(entries) = &mut root.content
        && let Some(entry) = entries.iter_mut().find(|entry| entry.key == "fidelity")
        && entry.value.as_str().is_some()
    {
        let span = entry.value.span;
        let preset = Entry {
            key: "preset".to_owned(),
            span,
            value: entry.value.clone(),
        };
        entry.value = Node {
            span,
            content: Content::Map(vec![preset]),
        };
    }
}
