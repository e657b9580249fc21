//! Models by their name on the Hugging Face Hub, through the cache that all its tools share.
//!
//! A model that is in the cache is found without a network. What is missing is downloaded where
//! the program is built with the feature `hub`; elsewhere, or offline, the error says which
//! command fetches it.

use std::env;
#[cfg(feature = "hub")]
use std::fs;
use std::path::{Path, PathBuf};
#[cfg(feature = "hub")]
use std::{thread, time::Duration};

use super::ModelFileError;
#[cfg(feature = "hub")]
use super::download;
use super::error::clipped;
use super::keys::CONFIGURATION_FILE;
use super::weight_files::WEIGHT_FILES;
use crate::base::bounded;

/// Name of the file with a tokenizer in a model folder.
pub const TOKENIZER_FILE: &str = "tokenizer.json";

/// Name of the file with the pieces of words of BERT's tokenizer, one a line: the older form.
pub const WORD_PIECE_FILE: &str = "vocab.txt";

/// Files beside the weights. There must be a configuration and one of the two tokenizers.
#[cfg(feature = "hub")]
const FILES: [&str; 5] = [
    CONFIGURATION_FILE,
    TOKENIZER_FILE,
    WORD_PIECE_FILE,
    "tokenizer_config.json",
    "special_tokens_map.json",
];

/// How often a file is tried again, after longer and longer pauses.
#[cfg(feature = "hub")]
const RETRIES: u32 = 3;

/// A model on the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubModel {
    /// `owner/name`.
    pub name: String,
    /// A branch, a tag or a commit.
    pub revision: String,
}

/// A model that is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubFolder {
    /// Where its files are.
    pub folder: PathBuf,
    /// The commit they are of: what a key should hold, since a branch moves.
    pub commit: String,
}

/// Where the cache is, and whether to look beyond it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubCache {
    /// The folder with `models--owner--name` in it.
    pub root: PathBuf,
    /// Never to use the network.
    pub offline: bool,
    /// Another hub than huggingface.co.
    pub endpoint: Option<String>,
}

impl HubCache {
    /// The cache of this user: `HF_HUB_CACHE`, `$HF_HOME/hub` or `~/.cache/huggingface/hub`;
    /// offline if `HF_HUB_OFFLINE` is set to anything but 0; from the hub at `HF_ENDPOINT`.
    ///
    /// # Errors
    /// If none of these variables is set, and no home.
    pub fn from_environment() -> Result<Self, ModelFileError> {
        let folder = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        let root = folder("HF_HUB_CACHE")
            .map(PathBuf::from)
            .or_else(|| folder("HF_HOME").map(|home| Path::new(&home).join("hub")))
            .or_else(|| folder("HOME").map(|home| Path::new(&home).join(".cache/huggingface/hub")))
            .ok_or_else(|| {
                ModelFileError::invalid("it is not known where the cache of models is")
                    .with_help("set HF_HOME to a folder with room for models")
            })?;
        let offline = env::var("HF_HUB_OFFLINE");
        Ok(Self {
            root,
            offline: offline.is_ok_and(|value| !["", "0", "false"].contains(&value.as_str())),
            endpoint: env::var("HF_ENDPOINT").ok().filter(|url| !url.is_empty()),
        })
    }

    /// Finds a model in the cache, all its files there; `None` if it is not, or not whole.
    ///
    /// # Errors
    /// If its name is not one of the hub.
    pub fn find(&self, model: &HubModel) -> Result<Option<HubFolder>, ModelFileError> {
        let found = self.snapshot(model)?;
        Ok(found.filter(|found| is_whole(&found.folder)))
    }

    /// Finds what there is of a model in the cache, whole or not; `None` without its
    /// configuration.
    ///
    /// # Errors
    /// If its name is not one of the hub.
    pub fn snapshot(&self, model: &HubModel) -> Result<Option<HubFolder>, ModelFileError> {
        model.check()?;
        let root = self.root.join(model.folder_name());
        let commit =
            bounded::read_text(&root.join("refs").join(&model.revision), bounded::SETTINGS)
                .map_or_else(|_| model.revision.clone(), |text| text.trim().to_owned());
        let folder = root.join("snapshots").join(&commit);
        let there = is_commit(&commit) && folder.join(CONFIGURATION_FILE).exists();
        Ok(there.then_some(HubFolder { folder, commit }))
    }

    /// Finds a model, or downloads what is missing of it. `progress` is told the file, how many
    /// bytes of it are here and how many it has.
    ///
    /// # Errors
    /// If it is neither here nor to be had.
    pub fn get(
        &self,
        model: &HubModel,
        progress: &mut dyn FnMut(&str, u64, u64),
    ) -> Result<HubFolder, ModelFileError> {
        if let Some(found) = self.find(model)? {
            return Ok(found);
        }
        if self.offline {
            return Err(self.absent(model, "and HF_HUB_OFFLINE forbids to download it"));
        }
        self.download(model, progress)
    }

    #[cfg(not(feature = "hub"))]
    fn download(
        &self,
        model: &HubModel,
        _progress: &mut dyn FnMut(&str, u64, u64),
    ) -> Result<HubFolder, ModelFileError> {
        Err(self.absent(model, "and this program is built without downloads"))
    }

    #[cfg(feature = "hub")]
    fn download(
        &self,
        model: &HubModel,
        progress: &mut dyn FnMut(&str, u64, u64),
    ) -> Result<HubFolder, ModelFileError> {
        use hf_hub::api::sync::{ApiBuilder, ApiRepo};
        use hf_hub::{Cache, Repo, RepoType};

        let failed = |what: String, error: &dyn std::fmt::Display| {
            let text = clipped(&error.to_string());
            self.absent(model, &format!("and {what} failed: {text}"))
                .of_the_network()
        };
        // Its own retries are off: one that follows a failed resumption asks for the file from
        // its first byte and appends that to what is there already (hf-hub 0.5.0).
        let mut builder = ApiBuilder::from_cache(Cache::new(self.root.clone()))
            .with_progress(false)
            .with_retries(0);
        let endpoint = self.endpoint.as_deref().unwrap_or("https://huggingface.co");
        builder = builder.with_endpoint(endpoint.trim_end_matches('/').to_owned());
        let token = env::var("HF_TOKEN").ok().filter(|token| !token.is_empty());
        if token.is_some() {
            builder = builder.with_token(token);
        }
        let api = builder
            .build()
            .map_err(|error| failed("setting up the connection".to_owned(), &error))?;
        let at = |revision: &str| {
            let (name, revision) = (model.name.clone(), revision.to_owned());
            api.repo(Repo::with_revision(name, RepoType::Model, revision))
        };
        let info = at(&model.revision)
            .info()
            .map_err(|error| failed("asking for it".to_owned(), &error))?;
        if !is_commit(&info.sha) {
            return Err(self.absent(model, "and the hub does not say which commit it is"));
        }
        // All files of one commit, even if the branch moves on meanwhile.
        let repository: ApiRepo = at(&info.sha);
        let snapshot = self
            .root
            .join(model.folder_name())
            .join("snapshots")
            .join(&info.sha);
        let there = |name: &str| info.siblings.iter().any(|one| one.rfilename == name);
        let mut fetch = |name: &str| {
            if snapshot.join(name).exists() {
                return Ok(());
            }
            let mut tried = 0;
            loop {
                let meter = Meter {
                    name: name.to_owned(),
                    size: 0,
                    done: 0,
                    tell: &mut *progress,
                };
                let error = match repository.download_with_progress(name, meter) {
                    Ok(path) => match download::check(&path)? {
                        Ok(()) => return Ok(()),
                        Err(differs) => differs,
                    },
                    Err(error) => error.to_string(),
                };
                tried += 1;
                if tried > RETRIES {
                    return Err(failed(format!("downloading {name}"), &error));
                }
                // What is there is gone on with, but a whole file whose last byte came just
                // before the program was killed leaves nothing to ask for.
                if let Ok(metadata) = api.metadata(&repository.url(name)) {
                    let blobs = self.root.join(model.folder_name()).join("blobs");
                    let part = blobs.join(metadata.etag()).with_extension("part");
                    let length = fs::metadata(&part).map_or(0, |part| part.len());
                    if length >= metadata.size() as u64 {
                        // Where it cannot be removed, the next try says why.
                        let _ = fs::remove_file(&part);
                    }
                }
                thread::sleep(Duration::from_millis(150 << tried));
            }
        };
        for name in FILES {
            if there(name) {
                fetch(name)?;
            }
        }
        let Some((weights, is_index)) = WEIGHT_FILES.iter().find(|(name, _)| there(name)) else {
            return Err(self.absent(model, "and the hub has no weights of a known format for it"));
        };
        fetch(weights)?;
        if *is_index {
            for shard in shards(&snapshot.join(weights)).unwrap_or_default() {
                fetch(&shard)?;
            }
        }
        if model.revision != info.sha {
            let reference = self
                .root
                .join(model.folder_name())
                .join("refs")
                .join(&model.revision);
            if let Some(parent) = reference.parent() {
                fs::create_dir_all(parent).map_err(ModelFileError::io("create", parent))?;
            }
            fs::write(&reference, &info.sha).map_err(ModelFileError::io("write", reference))?;
        }
        self.find(model)?
            .ok_or_else(|| self.absent(model, "and what the hub has of it is not a whole model"))
    }

    fn absent(&self, model: &HubModel, why: &str) -> ModelFileError {
        ModelFileError::invalid(format!(
            "the model `{}` (revision {}) is not in `{}`, {why}",
            model.name,
            model.revision,
            self.root.display()
        ))
        .with_help(format!(
            "where there is a network, run: hf download {} --revision {} \
             --include '*.json' '*.txt' '*.safetensors'; then copy `{}` into that folder, or give the \
             path of a model folder instead",
            model.name,
            model.revision,
            model.folder_name()
        ))
    }
}

impl HubModel {
    /// Name of its folder in the cache.
    fn folder_name(&self) -> String {
        format!("models--{}", self.name.replace('/', "--"))
    }

    /// Names come from files of experiments and become parts of paths.
    fn check(&self) -> Result<(), ModelFileError> {
        let fine = |part: &str| {
            let letters = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
            !part.is_empty() && !part.starts_with('.') && part.chars().all(letters)
        };
        let parts: Vec<&str> = self.name.split('/').collect();
        if parts.len() != 2 || !parts.iter().all(|part| fine(part)) {
            return Err(ModelFileError::invalid(format!(
                "`{}` is not the name of a model on the hub",
                clipped(&self.name)
            ))
            .with_help("names are written owner/name"));
        }
        if !self.revision.split('/').all(fine) {
            return Err(ModelFileError::invalid(format!(
                "`{}` is not a branch, tag or commit",
                clipped(&self.revision)
            )));
        }
        Ok(())
    }
}

/// Whether a text is a whole commit hash.
fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|digit| digit.is_ascii_hexdigit())
}

/// Whether a folder has a configuration, a tokenizer and all weights.
fn is_whole(folder: &Path) -> bool {
    let there = |name: &&str| folder.join(name).exists();
    if !there(&CONFIGURATION_FILE) || ![TOKENIZER_FILE, WORD_PIECE_FILE].iter().any(there) {
        return false;
    }
    let found = WEIGHT_FILES
        .iter()
        .find(|(name, _)| folder.join(name).exists());
    match found {
        None => false,
        Some((_, false)) => true,
        Some((index, true)) => shards(&folder.join(index))
            .is_some_and(|names| names.iter().all(|name| folder.join(name).exists())),
    }
}

/// The files that an index names; `None` if it is not one.
fn shards(index: &Path) -> Option<std::collections::BTreeSet<String>> {
    let bytes = bounded::read(index, bounded::SETTINGS).ok()?;
    let value: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
    let map = value.get("weight_map")?.as_object()?;
    map.values()
        .map(|name| {
            let name = name.as_str()?;
            (!name.contains(['/', '\\']) && !name.starts_with('.')).then(|| name.to_owned())
        })
        .collect()
}

/// Hands hf-hub's counts on.
#[cfg(feature = "hub")]
struct Meter<'a> {
    name: String,
    size: u64,
    done: u64,
    tell: &'a mut dyn FnMut(&str, u64, u64),
}

#[cfg(feature = "hub")]
impl hf_hub::api::Progress for Meter<'_> {
    fn init(&mut self, size: usize, _filename: &str) {
        self.size = size as u64;
        self.done = 0;
    }

    fn update(&mut self, size: usize) {
        self.done += size as u64;
        (self.tell)(&self.name, self.done, self.size);
    }

    fn finish(&mut self) {}
}
