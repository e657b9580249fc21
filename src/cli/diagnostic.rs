//! Errors as people read them: what, where (with the line), and what to do.

use std::fmt;
use std::process::ExitCode;

use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode,
};

use super::output;
use super::{CliError, Exit};
use crate::spec::{self, LoadError, SpecError};
use crate::study::StudyError;

/// One problem with its source.
#[derive(Debug)]
struct Problem {
    diagnostic: spec::Diagnostic,
    source: Option<NamedSource<String>>,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.diagnostic.message)
    }
}

impl std::error::Error for Problem {}

impl Diagnostic for Problem {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.diagnostic.code))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.diagnostic
            .help
            .as_ref()
            .map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = self.diagnostic.span?;
        Some(Box::new(std::iter::once(LabeledSpan::new(
            Some("here".to_owned()),
            span.start as usize,
            span.len as usize,
        ))))
    }
}

/// Draws every problem of an experiment or a pipeline.
#[must_use]
pub fn render(error: &SpecError, colours: bool) -> String {
    let theme = if colours {
        GraphicalTheme::unicode()
    } else {
        GraphicalTheme::unicode_nocolor()
    };
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_width(100)
        .with_links(false);
    let mut text = String::new();
    let list = error.diagnostics.sorted();
    for diagnostic in &list {
        let source = diagnostic.span.and_then(|span| error.sources.get(span));
        let problem = Problem {
            diagnostic: (*diagnostic).clone(),
            source: source.map(|source| NamedSource::new(&source.name, source.text.clone())),
        };
        if handler.render_report(&mut text, &problem).is_err() {
            text.push_str(&problem.to_string());
        }
        text.push('\n');
    }
    let count = list.len();
    text.push_str(&format!(
        "{count} problem{} found; nothing was run\n",
        if count == 1 { "" } else { "s" }
    ));
    text
}

/// Prints an error and gives its exit code.
pub(super) fn report(error: &CliError) -> ExitCode {
    let exit = error.exit();
    match error {
        CliError::Study(StudyError::Load(LoadError::Invalid(spec)) | StudyError::Spec(spec)) => {
            let colours = output::has_terminal() && std::env::var_os("NO_COLOR").is_none();
            output::note(render(spec, colours).trim_end());
        }
        other => {
            output::note(&format!("error: {}", chain(other)));
            if exit == Exit::Bug {
                output::note("this looks like a bug in runner; please report it");
            }
        }
    }
    exit.into()
}

/// The message with its causes, each said once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let own = cause.to_string();
        if !text.contains(&own) {
            text.push_str(&format!(": {own}"));
        }
        source = cause.source();
    }
    text
}
