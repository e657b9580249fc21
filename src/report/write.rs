//! Writes the files of a report into a folder: each of them whole or not at all.
//!
//! A file whose bytes would be the same is not touched, so neither git nor a build tool that
//! looks at modification times sees a change where there is none.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::details::Details;
use super::error::ReportError;
use super::figure::{self, Drawing, FIGURES, Figure, FigureChart};
use super::html;
use super::input::ReportInput;
use super::page;
use super::part::Declared;
use super::record::{self, ReportRecord};
use super::table::{self, TABLES, Table, TableBlock};
use crate::results::comparison;

/// Which tables and figures a report has.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// The tables, in the order of the page.
    pub tables: Vec<Declared<Table>>,
    /// The figures, in the order of the page.
    pub figures: Vec<Declared<Figure>>,
}

impl Selection {
    /// Everything there is and has something to show.
    #[must_use]
    pub fn all() -> Self {
        let mut all = Self {
            tables: TABLES
                .iter()
                .filter(|table| table.by_default)
                .map(|table| Declared::plain(table.name, table))
                .collect(),
            figures: FIGURES
                .iter()
                .map(|figure| Declared::plain(figure.name, figure))
                .collect(),
        };
        all.tables.iter_mut().for_each(|table| table.asked = false);
        all.figures
            .iter_mut()
            .for_each(|figure| figure.asked = false);
        all
    }

    /// The tables and figures of these names, in this order.
    ///
    /// # Errors
    /// [`ReportError::Unknown`] for a name that is not in the registries.
    pub fn named<S: AsRef<str>>(tables: &[S], figures: &[S]) -> Result<Self, ReportError> {
        let table = |name: &S| {
            let name = name.as_ref();
            table::find(name).map(|table| Declared::plain(name, table))
        };
        let figure = |name: &S| {
            let name = name.as_ref();
            figure::find(name).map(|figure| Declared::plain(name, figure))
        };
        Ok(Self {
            tables: tables.iter().map(table).collect::<Result<_, _>>()?,
            figures: figures.iter().map(figure).collect::<Result<_, _>>()?,
        })
    }
}

/// A table as it is written.
#[derive(Debug, Clone)]
pub struct MadeTable {
    /// The stem of its files.
    pub name: String,
    /// What stands over it.
    pub title: String,
    /// What it shows, in one sentence.
    pub summary: &'static str,
    /// Markdown without a title.
    pub markdown: String,
    /// LaTeX.
    pub latex: String,
    /// CSV.
    pub csv: String,
    /// The same, place by place, for the page one can point at.
    pub blocks: Vec<TableBlock>,
}

/// A figure as it is written.
#[derive(Debug, Clone)]
pub struct MadeFigure {
    /// The stem of its files.
    pub name: String,
    /// What it shows, in one sentence.
    pub summary: &'static str,
    /// The figure in its three forms, or why there is none.
    pub drawn: Result<(FigureChart, Drawing), String>,
}

/// All tables and figures of an input.
///
/// # Errors
/// [`ReportError::Drawing`] if drawing itself fails.
pub fn make(
    input: &ReportInput<'_>,
    selection: &Selection,
) -> Result<(Vec<MadeTable>, Vec<MadeFigure>), ReportError> {
    let mut tables = Vec::new();
    for declared in &selection.tables {
        let table = declared.of;
        tables.push(declared.with(input, |input| {
            Ok::<_, ReportError>(MadeTable {
                name: declared.name.clone(),
                title: declared
                    .title
                    .clone()
                    .unwrap_or_else(|| format!("{}: {}", input.experiment, declared.name)),
                summary: table.summary,
                markdown: (table.render)(input)?,
                latex: (table.latex)(input)?,
                csv: (table.csv)(input),
                blocks: (table.blocks)(input),
            })
        })?);
    }
    let mut figures = Vec::new();
    for declared in &selection.figures {
        let drawn = declared.with(input, |input| {
            let chart = declared.of.chart(input)?;
            let drawing = declared.of.draw_chart(&chart)?;
            Ok((chart, drawing))
        });
        let drawn = match drawn {
            Ok(drawn) => Ok(drawn),
            Err(ReportError::NothingToDraw { .. }) if !declared.asked => continue,
            Err(ReportError::NothingToDraw { missing, .. }) => Err(missing),
            Err(error) => return Err(error),
        };
        figures.push(MadeFigure {
            name: declared.name.clone(),
            summary: declared.of.summary,
            drawn,
        });
    }
    Ok((tables, figures))
}

/// The files of a report, and those that must not stand beside them.
#[derive(Debug, Clone, Default)]
pub struct Files {
    /// Names and contents, in the order they are written: where the page stands, all it links to
    /// stands.
    pub written: Vec<(String, Vec<u8>)>,
    /// Names of files that would show other results than the page beside them.
    pub gone: BTreeSet<String>,
}

/// Makes `results.csv`, `report.json`, `provenance.json` and `comparisons.csv` where there are any,
/// a `.md`, a `.tex` and a `.csv` for each table, a `.png` and a `.svg` for each figure,
/// `report.md`, and with `details` `report.html`.
///
/// # Errors
/// [`ReportError::Drawing`] if drawing itself fails, [`ReportError::Template`] if a template does.
pub fn files_of(
    input: &ReportInput<'_>,
    selection: &Selection,
    details: Option<&Details>,
) -> Result<Files, ReportError> {
    let (tables, figures) = make(input, selection)?;
    let page = page::render(input, &tables, &figures)?;
    let html = details
        .map(|details| html::render(input, &tables, &figures, details))
        .transpose()?;
    let mut files = Files::default();
    let mut add = |name: String, bytes: Vec<u8>| files.written.push((name, bytes));
    add(
        "results.csv".to_owned(),
        input.results.to_csv().into_bytes(),
    );
    let record = ReportRecord::of(input, selection);
    add(record::FILE.to_owned(), record.to_json().into_bytes());
    if let Some(record) = &input.record {
        add("provenance.json".to_owned(), record.to_json().into_bytes());
    }
    if !input.comparisons.is_empty() {
        let text = comparison::to_csv(&input.comparisons);
        add("comparisons.csv".to_owned(), text.into_bytes());
    }
    for table in tables {
        let text = format!("# {}\n\n{}", table.title, table.markdown);
        add(format!("{}.md", table.name), text.into_bytes());
        add(format!("{}.tex", table.name), table.latex.into_bytes());
        add(format!("{}.csv", table.name), table.csv.into_bytes());
    }
    for figure in figures {
        if let Ok((_, drawing)) = figure.drawn {
            add(format!("{}.png", figure.name), drawing.png);
            add(format!("{}.svg", figure.name), drawing.svg.into_bytes());
        }
    }
    add("report.md".to_owned(), page.into_bytes());
    if let Some(html) = html {
        add("report.html".to_owned(), html.into_bytes());
    }
    let tables = TABLES.iter().map(|table| table.name);
    let tables = tables.chain(selection.tables.iter().map(|table| table.name.as_str()));
    for name in tables {
        files
            .gone
            .extend(["md", "tex", "csv"].map(|end| format!("{name}.{end}")));
    }
    let figures = FIGURES.iter().map(|figure| figure.name);
    let figures = figures.chain(selection.figures.iter().map(|figure| figure.name.as_str()));
    for name in figures {
        files
            .gone
            .extend(["png", "svg"].map(|end| format!("{name}.{end}")));
    }
    files.gone.insert("comparisons.csv".to_owned());
    files.gone.insert("report.html".to_owned());
    for (name, _) in &files.written {
        files.gone.remove(name);
    }
    Ok(files)
}

/// Writes the files of a report, see [`files_of`]; gives the paths of all of them, changed or not.
///
/// A figure that has nothing to show does not stop the rest: the page says why it is not there,
/// and its files of an earlier report are removed, since they would show other results than the
/// page beside them. So are those of tables and figures that an earlier report had and this one
/// has not.
///
/// # Errors
/// [`ReportError::Unwritable`] if the folder cannot be made or written to, and those of
/// [`files_of`], which leave the old report as it was.
pub fn write_all(
    folder: &Path,
    input: &ReportInput<'_>,
    selection: &Selection,
    details: Option<&Details>,
) -> Result<Vec<PathBuf>, ReportError> {
    let mut files = files_of(input, selection, details)?;
    files.gone.extend(ReportRecord::files_in(folder));
    for (name, _) in &files.written {
        files.gone.remove(name);
    }
    fs::create_dir_all(folder).map_err(unwritable("create", folder, "."))?;
    for name in files.gone {
        remove(folder, &name)?;
    }
    files
        .written
        .into_iter()
        .map(|(name, bytes)| write_one(folder, &name, &bytes))
        .collect()
}

/// Names of files in a folder that are not what the report would write, and of those that should
/// not be there. `report.html` is left aside: it tells of times and machines too.
#[must_use]
pub fn stale_files(folder: &Path, files: &Files) -> Vec<String> {
    let written = files
        .written
        .iter()
        .filter(|(name, bytes)| !fs::read(folder.join(name)).is_ok_and(|old| old == *bytes))
        .map(|(name, _)| name.clone());
    let gone = files.gone.iter().filter(|name| folder.join(name).exists());
    let mut stale: Vec<String> = written.chain(gone.cloned()).collect();
    stale.retain(|name| name != "report.html");
    stale
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
