//! Errors as people read them: what, where (with the line), and what to do.

use std::fmt;
use std::fmt::Write as _;
use std::process::ExitCode;

use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode,
};

use super::output;
use super::{CliError, Exit};
use crate::spec::{self, LoadError, Sources, Span, SpecError};
use crate::study::StudyError;

/// Lines are shown up to this many characters.
const WIDEST: usize = 160;

/// One problem with the lines around it.
#[derive(Debug)]
struct Problem {
    diagnostic: spec::Diagnostic,
    /// Where it is, if that cannot be drawn.
    place: Option<String>,
    excerpt: Option<Excerpt>,
}

/// A few lines of a source, at their line numbers, and the place in them that is meant.
#[derive(Debug)]
struct Excerpt {
    source: NamedSource<String>,
    start: usize,
    len: usize,
}

impl Excerpt {
    /// `None` if the place is too far to the right to be shown.
    fn of(sources: &Sources, span: Span) -> Option<Self> {
        let source = sources.get(span)?;
        let (line, column) = sources.line_and_column(span);
        if column > WIDEST {
            return None;
        }
        // Lines that are not shown are only counted.
        let mut text = "\n".repeat(line.saturating_sub(2));
        let first = line.saturating_sub(2);
        let mut start = 0;
        for (number, shown) in source.text.lines().enumerate().skip(first).take(3) {
            if number + 1 == line {
                let before: String = shown.chars().take(column - 1).collect();
                start = text.len() + before.len();
            }
            let clipped: String = shown.chars().take(WIDEST).collect();
            text.push_str(&clipped);
            if clipped.len() < shown.len() {
                text.push('…');
            }
            text.push('\n');
        }
        // At the end of a text there may be no line to point at.
        let rest = text.get(start..).and_then(|rest| rest.lines().next());
        Some(Self {
            start,
            len: (span.len as usize).min(rest.map_or(0, str::len)),
            source: NamedSource::new(&source.name, text),
        })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.diagnostic.message)?;
        match &self.place {
            Some(place) => write!(formatter, " ({place})"),
            None => Ok(()),
        }
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
        self.excerpt
            .as_ref()
            .map(|excerpt| &excerpt.source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let excerpt = self.excerpt.as_ref()?;
        Some(Box::new(std::iter::once(LabeledSpan::new(
            Some("here".to_owned()),
            excerpt.start,
            excerpt.len,
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
        let excerpt = diagnostic
            .span
            .and_then(|span| Excerpt::of(&error.sources, span));
        let problem = Problem {
            place: diagnostic
                .span
                .filter(|_| excerpt.is_none())
                .map(|span| error.sources.place(span)),
            diagnostic: (*diagnostic).clone(),
            excerpt,
        };
        if handler.render_report(&mut text, &problem).is_err() {
            text.push_str(&problem.to_string());
        }
        text.push('\n');
    }
    if error.diagnostics.more() > 0 {
        let _ = writeln!(text, "and {} more", error.diagnostics.more());
    }
    let count = error.diagnostics.count();
    let _ = writeln!(
        text,
        "{count} problem{} found; nothing was run",
        if count == 1 { "" } else { "s" }
    );
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
            if let CliError::Study(StudyError::Store(_)) = other {
                output::note("  help: --store FOLDER names another store");
            }
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
            let _ = write!(text, ": {own}");
        }
        source = cause.source();
    }
    text
}
