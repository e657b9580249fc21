//! Where the two sides of a diff come from: a folder, or a commit.
//!
//! Of a commit only the blobs that are needed are read; nothing is checked out, and no index,
//! hook, filter or configuration of the repository runs. Files in LFS are pointers and are
//! refused as what they are: no result set.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use gix::bstr::BString;

use crate::base::bounded;
use crate::results::provenance::Provenance;
use crate::results::{ResultError, ResultSet};

const RESULTS: &str = "results.csv";
const PROVENANCE: &str = "provenance.json";

/// One side: the result sets of one or several experiments.
#[derive(Debug, Clone, Default)]
pub struct Side {
    /// What it is, for people: `HEAD (3f2a91c)`, `results`.
    pub label: String,
    /// By the name of their folder.
    pub experiments: BTreeMap<String, Committed>,
    /// Whether one experiment was named, and not all there are.
    pub is_one: bool,
}

/// What the folder of one experiment holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Committed {
    /// `results.csv`.
    pub results: ResultSet,
    /// `provenance.json`, if it is there.
    pub provenance: Option<Provenance>,
}

/// Why a side cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A folder without result sets.
    #[error(
        "there is no {RESULTS} in `{}` nor in a folder below it\n  help: run an experiment, or \
         name the folder of one",
        .0.display()
    )]
    Empty(PathBuf),
    /// A commit without result sets.
    #[error(
        "commit {commit} has no `{folder}/*/{RESULTS}`\n  help: commit the results of an \
         experiment, or say with --results where they are"
    )]
    EmptyCommit {
        /// The commit.
        commit: String,
        /// The folder of results, as the repository sees it.
        folder: String,
    },
    /// A file cannot be read.
    #[error("cannot read `{}`: {source}", .path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no result set.
    #[error(transparent)]
    Results(#[from] ResultError),
    /// There is no repository.
    #[error(
        "`{revision}` is no folder and no experiment, and there is no git repository here to look \
         for it: {message}"
    )]
    NoRepository {
        /// What was asked for.
        revision: String,
        /// What git says.
        message: String,
    },
    /// The repository has no such revision.
    #[error(
        "`{revision}` is no folder, no experiment and no revision: {message}\n  help: write a \
         branch, a tag, a hash or HEAD~1; `git log` lists them"
    )]
    NoRevision {
        /// What was asked for.
        revision: String,
        /// What git says.
        message: String,
    },
    /// The results lie outside of the repository.
    #[error("`{}` is not inside the work tree of the repository at `{}`", .results.display(), .root.display())]
    Outside {
        /// The folder of results.
        results: PathBuf,
        /// The root of the work tree.
        root: PathBuf,
    },
    /// Git's objects cannot be read.
    #[error("cannot read commit {commit}: {message}")]
    Object {
        /// The commit.
        commit: String,
        /// What is wrong.
        message: String,
    },
}

impl Side {
    /// The folder of one experiment, or one that holds folders of experiments.
    ///
    /// # Errors
    /// [`SourceError::Empty`], [`SourceError::Unreadable`] or what is wrong with a file.
    pub fn of_folder(folder: &Path) -> Result<Self, SourceError> {
        let mut side = Self {
            label: folder.display().to_string(),
            ..Self::default()
        };
        if folder.join(RESULTS).is_file() {
            let name = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
            let name = name.file_name().unwrap_or_default().to_string_lossy();
            side.experiments
                .insert(name.into_owned(), committed(folder)?);
            side.is_one = true;
            return Ok(side);
        }
        let unreadable = |source| SourceError::Unreadable {
            path: folder.to_owned(),
            source,
        };
        for entry in fs::read_dir(folder).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            if entry.path().join(RESULTS).is_file() {
                let name = entry.file_name().to_string_lossy().into_owned();
                side.experiments.insert(name, committed(&entry.path())?);
            }
        }
        if side.experiments.is_empty() {
            return Err(SourceError::Empty(folder.to_owned()));
        }
        Ok(side)
    }

    /// The result sets of a commit: those in folders of `results`, a path of the work tree.
    ///
    /// # Errors
    /// Any of the others.
    pub fn of_revision(revision: &str, results: &Path) -> Result<Self, SourceError> {
        let repository = gix::discover(".").map_err(|error| SourceError::NoRepository {
            revision: revision.to_owned(),
            message: error.to_string(),
        })?;
        let within = within(&repository, results)?;
        let id = repository
            .rev_parse_single(BString::from(revision).as_ref() as &gix::bstr::BStr)
            .map_err(|error| SourceError::NoRevision {
                revision: revision.to_owned(),
                message: error.to_string(),
            })?;
        let commit = id.to_hex_with_len(7).to_string();
        let broken = |message: String| SourceError::Object {
            commit: commit.clone(),
            message,
        };
        let tree = id
            .object()
            .map_err(|error| broken(error.to_string()))?
            .peel_to_tree()
            .map_err(|error| broken(error.to_string()))?;
        let mut side = Self {
            label: format!("{revision} ({commit})"),
            ..Self::default()
        };
        let empty = || SourceError::EmptyCommit {
            commit: commit.clone(),
            folder: within.display().to_string(),
        };
        let folder = tree
            .lookup_entry_by_path(&within)
            .map_err(|error| broken(error.to_string()))?
            .ok_or_else(empty)?;
        let folder = folder
            .object()
            .map_err(|error| broken(error.to_string()))?
            .peel_to_tree()
            .map_err(|_| empty())?;
        let blob = |name: &str, file: &str| -> Result<Option<Vec<u8>>, SourceError> {
            let entry = folder
                .lookup_entry_by_path(Path::new(name).join(file))
                .map_err(|error| broken(error.to_string()))?;
            let Some(entry) = entry.filter(|entry| entry.mode().is_blob()) else {
                return Ok(None);
            };
            // Asked first: the whole object would be in memory at once.
            let header = entry.id().header();
            let size = header.map_err(|error| broken(error.to_string()))?.size();
            if size > bounded::RECORDS {
                return Err(broken(format!("`{name}/{file}` has {size} bytes")));
            }
            let object = entry.object().map_err(|error| broken(error.to_string()))?;
            Ok(Some(object.data.clone()))
        };
        for entry in folder.iter() {
            let entry = entry.map_err(|error| broken(error.to_string()))?;
            let name = entry.filename().to_string();
            if !entry.mode().is_tree() {
                continue;
            }
            let Some(bytes) = blob(&name, RESULTS)? else {
                continue;
            };
            let label = |file: &str| format!("{commit}:{}/{name}/{file}", within.display());
            let provenance = match blob(&name, PROVENANCE)? {
                Some(bytes) => Some(Provenance::from_json(&label(PROVENANCE), &bytes)?),
                None => None,
            };
            let results = ResultSet::from_csv(&label(RESULTS), &bytes)?;
            let committed = Committed {
                results,
                provenance,
            };
            side.experiments.insert(name, committed);
        }
        if side.experiments.is_empty() {
            return Err(empty());
        }
        Ok(side)
    }
}

/// The folder of results as the repository sees it.
fn within(repository: &gix::Repository, results: &Path) -> Result<PathBuf, SourceError> {
    let unreadable = |source| SourceError::Unreadable {
        path: results.to_owned(),
        source,
    };
    // The folder may be gone from the work tree and be in the commit all the same.
    let here = fs::canonicalize(".").map_err(unreadable)?;
    let full = fs::canonicalize(results).unwrap_or_else(|_| here.join(results));
    let root = repository.workdir().unwrap_or(repository.git_dir());
    let root = fs::canonicalize(root).map_err(unreadable)?;
    full.strip_prefix(&root)
        .map(Path::to_owned)
        .map_err(|_| SourceError::Outside {
            results: full.clone(),
            root,
        })
}

fn committed(folder: &Path) -> Result<Committed, SourceError> {
    let read = |file: &str| {
        let path = folder.join(file);
        bounded::read(&path, bounded::RECORDS)
            .map_err(|source| SourceError::Unreadable { path, source })
    };
    let label = |file: &str| folder.join(file).display().to_string();
    let results = ResultSet::from_csv(&label(RESULTS), &read(RESULTS)?)?;
    let provenance = if folder.join(PROVENANCE).is_file() {
        let bytes = read(PROVENANCE)?;
        Some(Provenance::from_json(&label(PROVENANCE), &bytes)?)
    } else {
        None
    };
    Ok(Committed {
        results,
        provenance,
    })
}
