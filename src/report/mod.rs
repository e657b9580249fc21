//! What people read of an experiment: tables, figures and a page, all of them pure functions of
//! a [`ReportInput`].
//!
//! Nothing here runs, measures or decides anything, and nothing that changes between two reads of
//! the same results (a time, a host, a path) gets in: the same input gives the same bytes.
//! Percent appears only here; a result set holds every metric in its own unit.
//!
//! To add a table or a figure: one file and one line in [`TABLES`] or [`FIGURES`].

pub mod audit;
pub mod details;
pub mod error;
pub mod evidence;
pub mod figure;
mod fragment;
pub mod html;
pub mod input;
pub mod markdown;
pub mod page;
pub mod paper;
pub mod part;
pub mod record;
pub mod table;
mod template;
pub mod view;
pub mod words;
pub mod write;

pub use details::Details;
pub use error::ReportError;
pub use figure::{Drawing, FIGURES, Figure, FigureChart};
pub use input::{Choice, Missing, MissingReason, ReportInput};
pub use part::{Declared, Only};
pub use table::{TABLES, Table, TableBlock};
pub use write::{Files, MadeFigure, MadeTable, Selection, files_of, make, stale_files, write_all};
