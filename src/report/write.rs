//! Writes the files of a report into a folder: each of them whole or not at all.
//!
//! A file whose bytes would be the same is not touched, so neither git nor a build tool that
//! looks at modification times sees a change where there is none.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::error::ReportError;
use super::figure::{self, Drawing, FIGURES, Figure};
use super::input::ReportInput;
use super::page::{self, PlacedFigure};
use super::table::{self, TABLES, Table};
use crate::results::comparison;

/// Which tables and figures a report has.
#[derive(Debug, Clone)]
pub struct Selection {
    tables: Vec<&'static Table>,
    figures: Vec<&'static Figure>,
}

impl Selection {
    /// Everything there is.
    #[must_use]
    pub fn all() -> Self {
        Self {
            tables: TABLES.iter().collect(),
            figures: FIGURES.iter().collect(),
        }
    }

    /// The tables and figures of these names, in this order.
    ///
    /// # Errors
    /// [`ReportError::Unknown`] for a name that is not in the registries.
    pub fn named<S: AsRef<str>>(tables: &[S], figures: &[S]) -> Result<Self, ReportError> {
        Ok(Self {
            tables: tables
                .iter()
                .map(|name| table::find(name.as_ref()))
                .collect::<Result<_, _>>()?,
            figures: figures
                .iter()
                .map(|name| figure::find(name.as_ref()))
                .collect::<Result<_, _>>()?,
        })
    }
}

/// Writes `results.csv`, `provenance.json` and `comparisons.csv` where there are any, a `.md`, a `.tex` and a `.csv` for
/// each table, a `.png` and a `.svg` for each figure, and
/// `report.md`; gives the paths of all of them, changed or not.
///
/// A figure that has nothing to show does not stop the rest: the page says why it is not there,
/// and files of that figure from an earlier report are removed, since they would show other
/// results than the page beside them.
///
/// # Errors
/// [`ReportError::Unwritable`] if the folder cannot be made or written to,
/// [`ReportError::Drawing`] if drawing itself fails.
pub fn write_all(
    folder: &Path,
    input: &ReportInput<'_>,
    selection: &Selection,
) -> Result<Vec<PathBuf>, ReportError> {
    // Everything is made before the first file is written, so an error here leaves the old
    // report as it was.
    let mut drawings: Vec<(&'static Figure, Result<Drawing, String>)> = Vec::new();
    for &figure in &selection.figures {
        match (figure.draw)(input) {
            Ok(drawing) => drawings.push((figure, Ok(drawing))),
            Err(ReportError::NothingToDraw { missing, .. }) => {
                drawings.push((figure, Err(missing)));
            }
            Err(error) => return Err(error),
        }
    }
    let placed: Vec<PlacedFigure<'_>> = drawings
        .iter()
        .map(|(figure, drawing)| PlacedFigure {
            figure,
            not_drawn: drawing.as_ref().err().map(String::as_str),
        })
        .collect();
    let page = page::render(input, &selection.tables, &placed);

    fs::create_dir_all(folder).map_err(unwritable("create", folder, "."))?;
    let mut files: Vec<(String, Vec<u8>)> = vec![(
        "results.csv".to_owned(),
        input.results.to_csv().into_bytes(),
    )];
    if let Some(record) = &input.record {
        files.push(("provenance.json".to_owned(), record.to_json().into_bytes()));
    }
    if input.comparisons.is_empty() {
        remove(folder, "comparisons.csv")?;
    } else {
        let text = comparison::to_csv(&input.comparisons);
        files.push(("comparisons.csv".to_owned(), text.into_bytes()));
    }
    for table in &selection.tables {
        let title = format!("# {}: {}\n\n", input.experiment, table.name);
        let text = title + &(table.render)(input);
        files.push((format!("{}.md", table.name), text.into_bytes()));
        files.push((
            format!("{}.tex", table.name),
            (table.latex)(input).into_bytes(),
        ));
        files.push((
            format!("{}.csv", table.name),
            (table.csv)(input).into_bytes(),
        ));
    }
    for (figure, drawing) in drawings {
        let names = [
            format!("{}.png", figure.name),
            format!("{}.svg", figure.name),
        ];
        match drawing {
            Ok(drawing) => {
                let [png, svg] = names;
                files.push((png, drawing.png));
                files.push((svg, drawing.svg.into_bytes()));
            }
            Err(_) => {
                for name in names {
                    remove(folder, &name)?;
                }
            }
        }
    }
    // The page comes last: where it stands, all it links to stands.
    files.push(("report.md".to_owned(), page.into_bytes()));
    files
        .into_iter()
        .map(|(name, bytes)| write_one(folder, &name, &bytes))
        .collect()
}

fn write_one(folder: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf, ReportError> {
    let path = folder.join(name);
    if fs::read(&path).is_ok_and(|old| old == bytes) {
        return Ok(path);
    }
    // In the same folder, since a rename is atomic only within one file system.
    let prefix = format!(".{name}.");
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix);
    readable_for_all(&mut builder);
    let mut temporary = builder
        .tempfile_in(folder)
        .map_err(unwritable("create", folder, name))?;
    temporary
        .write_all(bytes)
        .and_then(|()| temporary.as_file().sync_all())
        .map_err(unwritable("write", folder, name))?;
    temporary
        .persist(&path)
        .map_err(|error| unwritable("replace", folder, name)(error.error))?;
    Ok(path)
}

/// Temporary files are private by default; a report is for everybody who may read the folder.
#[cfg(unix)]
fn readable_for_all(builder: &mut tempfile::Builder<'_, '_>) {
    use std::os::unix::fs::PermissionsExt as _;
    // The umask still applies, as to any file a program makes.
    builder.permissions(fs::Permissions::from_mode(0o666));
}

#[cfg(not(unix))]
fn readable_for_all(_: &mut tempfile::Builder<'_, '_>) {}

fn remove(folder: &Path, name: &str) -> Result<(), ReportError> {
    match fs::remove_file(folder.join(name)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(unwritable("remove", folder, name)(error))
        }
        _ => Ok(()),
    }
}

fn unwritable(
    action: &'static str,
    folder: &Path,
    file: &str,
) -> impl FnOnce(io::Error) -> ReportError {
    let (folder, file) = (folder.to_owned(), file.to_owned());
    move |source| ReportError::Unwritable {
        action,
        file,
        folder,
        source,
    }
}
