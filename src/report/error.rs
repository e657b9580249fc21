//! Why a report could not be made.

use std::io;
use std::path::PathBuf;

/// Why a report, or a part of it, could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A figure has nothing to show; it is never drawn blank.
    #[error("nothing to draw in figure `{figure}`: {missing}")]
    NothingToDraw {
        /// Name of the figure.
        figure: &'static str,
        /// What is not there.
        missing: String,
    },
    /// The drawing itself failed.
    #[error("cannot draw figure `{figure}`: {message}")]
    Drawing {
        /// Name of the figure.
        figure: &'static str,
        /// What the drawing library says.
        message: String,
    },
    /// A file of a report cannot be read back.
    #[error("cannot read `{}`: {message}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A text could not be made from its template: a mistake in the program.
    #[error(
        "cannot fill in the template {name}: {message}; this is a bug in runner, please report it"
    )]
    Template {
        /// The template.
        name: &'static str,
        /// What the template engine says.
        message: String,
    },
    /// There is no table or figure of that name.
    #[error("there is no {what} `{name}`; {suggestion}")]
    Unknown {
        /// `table` or `figure`.
        what: &'static str,
        /// The name.
        name: String,
        /// The nearest name, and all that exist.
        suggestion: String,
    },
    /// The folder of the report cannot be written to.
    #[error(
        "cannot {action} `{}` in the report folder `{}`: {source}; nothing there was changed \
         halfway: make the folder writable (and the disk not full), or choose another one, and \
         ask for the report again",
        .file,
        .folder.display()
    )]
    Unwritable {
        /// `create`, `write` or `remove`.
        action: &'static str,
        /// The file in it.
        file: String,
        /// The folder.
        folder: PathBuf,
        /// The reason.
        source: io::Error,
    },
}
