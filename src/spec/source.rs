//! Where a value was written, and what is wrong with it.
//!
//! Every value of an experiment or a pipeline remembers its [`Span`]. Problems are collected as
//! [`Diagnostic`]s, so that a person sees all of them at once, each with its place.

use std::fmt;

/// A place in a source: a file, or a command-line argument such as `--set k=1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Span {
    /// Index into [`Sources`].
    pub source: u32,
    /// Byte offset.
    pub start: u32,
    /// Length in bytes; 0 points between two characters.
    pub len: u32,
}

/// One text that was read.
#[derive(Debug, Clone)]
pub struct Source {
    /// File path as the user wrote it, or `--set`.
    pub name: String,
    /// The whole text.
    pub text: String,
}

/// All texts that were read, so that a span can be shown.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    list: Vec<Source>,
}

impl Sources {
    /// Remembers a text and returns its index.
    pub fn add(&mut self, name: &str, text: &str) -> u32 {
        self.list.push(Source {
            name: name.to_owned(),
            text: text.to_owned(),
        });
        u32::try_from(self.list.len() - 1).unwrap_or(u32::MAX)
    }

    /// The text a span points into.
    #[must_use]
    pub fn get(&self, span: Span) -> Option<&Source> {
        self.list.get(span.source as usize)
    }

    /// Line and column of a span, both counted from 1, columns in characters.
    #[must_use]
    pub fn line_and_column(&self, span: Span) -> (usize, usize) {
        let Some(source) = self.get(span) else {
            return (1, 1);
        };
        let mut start = (span.start as usize).min(source.text.len());
        while !source.text.is_char_boundary(start) {
            start -= 1;
        }
        let before = &source.text[..start];
        let line = before.matches('\n').count() + 1;
        let column = before
            .rsplit('\n')
            .next()
            .map_or(0, |last| last.chars().count())
            + 1;
        (line, column)
    }

    /// `file:line:column`.
    #[must_use]
    pub fn place(&self, span: Span) -> String {
        let (line, column) = self.line_and_column(span);
        let name = self.get(span).map_or("?", |source| source.name.as_str());
        format!("{name}:{line}:{column}")
    }
}

/// One thing that is wrong with an experiment or a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Stable code, such as `spec::unknown_axis`.
    pub code: &'static str,
    /// What is wrong, with the wrong value.
    pub message: String,
    /// Where.
    pub span: Option<Span>,
    /// The nearest valid value, or what to do.
    pub help: Option<String>,
}

/// More problems than this are counted and not kept: nobody reads them, and a file may have one a
/// line.
const MOST_PROBLEMS: usize = 200;

/// Everything that is wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
    more: usize,
}

impl Diagnostics {
    /// Adds a problem at a place.
    pub fn error(&mut self, code: &'static str, span: Span, message: impl Into<String>) {
        self.push(code, Some(span), message, None);
    }

    /// Adds a problem at a place, with what to do about it.
    pub fn error_with_help(
        &mut self,
        code: &'static str,
        span: Span,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.push(code, Some(span), message, Some(help.into()));
    }

    /// Adds a problem; the same problem at the same place is kept once.
    pub fn push(
        &mut self,
        code: &'static str,
        span: Option<Span>,
        message: impl Into<String>,
        help: Option<String>,
    ) {
        let diagnostic = Diagnostic {
            code,
            message: message.into(),
            span,
            help,
        };
        if self.list.contains(&diagnostic) {
            return;
        }
        if self.list.len() < MOST_PROBLEMS {
            self.list.push(diagnostic);
        } else {
            self.more += 1;
        }
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many things are wrong so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.list.len() + self.more
    }

    /// How many of them are not kept, because they are too many to be read.
    #[must_use]
    pub fn more(&self) -> usize {
        self.more
    }

    /// Whether nothing is wrong that could mislead the search for more: a setting or a table that
    /// does not exist changes no stage of the others.
    #[must_use]
    pub fn leave_stages_alone(&self) -> bool {
        self.more == 0
            && self
                .list
                .iter()
                .all(|one| matches!(one.code, "spec::setting" | "spec::report"))
    }

    /// The problems that are kept, in the order of their places.
    #[must_use]
    pub fn sorted(&self) -> Vec<&Diagnostic> {
        let mut list: Vec<&Diagnostic> = self.list.iter().collect();
        list.sort_by_key(|diagnostic| diagnostic.span);
        list
    }

    /// Turns into an error if anything is wrong.
    ///
    /// # Errors
    /// [`SpecError`] with everything found so far.
    pub fn into_result(self, sources: &Sources) -> Result<(), SpecError> {
        if self.list.is_empty() {
            return Ok(());
        }
        Err(SpecError {
            sources: sources.clone(),
            diagnostics: self,
        })
    }
}

/// An experiment or a pipeline that cannot be used, with every reason.
#[derive(Debug, Clone)]
pub struct SpecError {
    /// The texts the spans point into.
    pub sources: Sources,
    /// What is wrong.
    pub diagnostics: Diagnostics,
}

impl fmt::Display for SpecError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, diagnostic) in self.diagnostics.sorted().into_iter().enumerate() {
            if position > 0 {
                writeln!(formatter)?;
            }
            if let Some(span) = diagnostic.span {
                write!(formatter, "{}: ", self.sources.place(span))?;
            }
            write!(formatter, "{}", diagnostic.message)?;
            if let Some(help) = &diagnostic.help {
                write!(formatter, " — {help}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for SpecError {}
