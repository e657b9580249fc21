//! The state of a training that is not done, on disk.
//!
//! One safetensors file, written beside and renamed, so that it is whole or not there. Its
//! metadata holds what is not a tensor as JSON, and a digest of everything, since a file can also
//! be damaged later. A state says which training it is of; one of another training is not used.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, View};
use safetensors::{SafeTensors, serialize_to_file};
use serde::{Deserialize, Serialize};

use super::adamw::Moments;
use super::{AdamW, AdamWOptions, CurvePoint};
use crate::language_model::Parameters;

/// Name of the file in the caller's folder.
pub const STATE_FILE: &str = "training.safetensors";

/// Raised when a state of an older program could not be gone on from.
const FORMAT: u32 = 1;

/// The best state so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Best {
    /// Its step.
    pub(super) step: usize,
    /// What it was chosen for: AUC or loss.
    pub(super) value: f64,
    /// Its parameters.
    #[serde(skip)]
    pub(super) values: BTreeMap<String, Vec<f32>>,
}

/// All of a training but parameters and moments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub(super) struct Course {
    /// Optimiser steps done.
    pub(super) step: usize,
    /// The step of the last validation.
    pub(super) validated: usize,
    /// Validations since the best one.
    pub(super) without_better: usize,
    /// Whether patience ran out.
    pub(super) stopped: bool,
    /// Tokens trained on.
    pub(super) tokens: u64,
    /// The best state so far.
    pub(super) best: Option<Best>,
    /// A point per step.
    pub(super) curve: Vec<CurvePoint>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Head {
    format: u32,
    training: String,
    optimiser_steps: u64,
    optimiser_moved: u64,
    reached: Vec<String>,
    course: Course,
}

/// A training as it was saved.
#[derive(Debug)]
pub(super) struct Saved {
    pub(super) course: Course,
    pub(super) optimiser: AdamW,
    pub(super) values: BTreeMap<String, Vec<f32>>,
}

/// What was found in a folder.
#[derive(Debug)]
pub(super) enum Found {
    /// No state.
    Nothing,
    /// A state that cannot be gone on from, and why.
    Useless(String),
    /// A state of this training.
    State(Box<Saved>),
}

const HEAD: &str = "training";
const DIGEST: &str = "digest";

/// Lengths are all that a state needs of shapes: the model knows its own.
struct Numbers<'a> {
    shape: [usize; 1],
    numbers: &'a [f32],
}

impl<'a> Numbers<'a> {
    fn new(numbers: &'a [f32]) -> Self {
        Self {
            shape: [numbers.len()],
            numbers,
        }
    }
}

impl View for Numbers<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(bytes(self.numbers))
    }

    fn data_len(&self) -> usize {
        self.numbers.len() * 4
    }
}

fn bytes(numbers: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(numbers.len() * 4);
    for number in numbers {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes
}

/// The digest that a file's metadata gives of the rest of it: tensors come in the order of names.
fn digest<'a>(head: &str, tensors: impl Iterator<Item = (&'a str, Cow<'a, [u8]>)>) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(head.len() as u64).to_le_bytes());
    hasher.update(head.as_bytes());
    for (name, data) in tensors {
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name.as_bytes());
        hasher.update(&(data.len() as u64).to_le_bytes());
        hasher.update(&data);
    }
    hasher.finalize().to_hex().to_string()
}

/// Saves a training into a folder, over an earlier state.
pub(super) fn save(
    folder: &Path,
    training: &str,
    course: &Course,
    optimiser: &AdamW,
    parameters: &Parameters,
) -> io::Result<()> {
    let (optimiser_steps, optimiser_moved) = optimiser.counts();
    let reached = optimiser.moments().iter().filter(|(_, one)| one.reached);
    let head = Head {
        format: FORMAT,
        training: training.to_owned(),
        optimiser_steps,
        optimiser_moved,
        reached: reached.map(|(name, _)| name.clone()).collect(),
        course: course.clone(),
    };
    let head = serde_json::to_string(&head)?;
    let mut tensors: BTreeMap<String, Numbers<'_>> = BTreeMap::new();
    let mut add = |kind: &str, name: &str, numbers| {
        tensors.insert(format!("{kind}/{name}"), Numbers::new(numbers));
    };
    for (name, parameter) in parameters.iter() {
        add("value", name, &parameter.values);
    }
    for (name, moments) in optimiser.moments() {
        add("first", name, &moments.first);
        add("second", name, &moments.second);
    }
    for (name, values) in course.best.iter().flat_map(|best| &best.values) {
        add("best", name, values);
    }
    let digest = digest(
        &head,
        tensors
            .iter()
            .map(|(name, one)| (name.as_str(), one.data())),
    );
    let metadata = [(HEAD.to_owned(), head), (DIGEST.to_owned(), digest)];
    fs::create_dir_all(folder)?;
    let path = folder.join(STATE_FILE);
    let beside = path.with_extension("safetensors.new");
    serialize_to_file(tensors, Some(metadata.into()), &beside).map_err(io::Error::other)?;
    File::open(&beside)?.sync_all()?;
    fs::rename(&beside, &path)
}

/// Looks for the state of a training in a folder. `parameters` are the model's, for names and
/// lengths.
pub(super) fn find(
    folder: &Path,
    training: &str,
    options: AdamWOptions,
    parameters: &Parameters,
) -> Found {
    let path = folder.join(STATE_FILE);
    let read = match fs::read(&path) {
        Ok(read) => read,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Found::Nothing,
        Err(error) => return Found::Useless(format!("it cannot be read: {error}")),
    };
    match parse(&read, training, options, parameters) {
        Ok(saved) => Found::State(Box::new(saved)),
        Err(why) => Found::Useless(why),
    }
}

/// Removes the state from a folder, once what the training made is safe.
///
/// # Errors
/// If there is a state that cannot be removed.
pub fn remove(folder: &Path) -> io::Result<()> {
    let path: PathBuf = folder.join(STATE_FILE);
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn parse(
    read: &[u8],
    training: &str,
    options: AdamWOptions,
    parameters: &Parameters,
) -> Result<Saved, String> {
    let damaged = || "it is damaged".to_owned();
    let tensors = SafeTensors::deserialize(read).map_err(|_| damaged())?;
    let (_, metadata) = SafeTensors::read_metadata(read).map_err(|_| damaged())?;
    let texts = metadata.metadata().as_ref().ok_or_else(damaged)?;
    let head = texts.get(HEAD).ok_or_else(damaged)?;
    let list: BTreeMap<String, _> = tensors.tensors().into_iter().collect();
    let views = list
        .iter()
        .map(|(name, view)| (name.as_str(), Cow::Borrowed(view.data())));
    if texts.get(DIGEST) != Some(&digest(head, views)) {
        return Err(damaged());
    }
    let head: Head =
        serde_json::from_str(head).map_err(|_| "it is of another version of runner".to_owned())?;
    if head.format != FORMAT {
        return Err("it is of another version of runner".to_owned());
    }
    if head.training != training {
        return Err("it is of another training (options, rows or model differ)".to_owned());
    }
    let numbers = |kind: &str, name: &str, length: usize| -> Result<Vec<f32>, String> {
        let view = list.get(&format!("{kind}/{name}")).ok_or_else(damaged)?;
        let words = view.data().chunks_exact(4);
        let numbers: Vec<f32> = words
            .map(|word| f32::from_le_bytes([word[0], word[1], word[2], word[3]]))
            .collect();
        if numbers.len() == length {
            Ok(numbers)
        } else {
            Err(damaged())
        }
    };
    let mut values = BTreeMap::new();
    let mut moments = BTreeMap::new();
    let mut course = head.course;
    for (name, parameter) in parameters.iter() {
        let length = parameter.values.len();
        values.insert(name.to_owned(), numbers("value", name, length)?);
        let own = Moments {
            first: numbers("first", name, length)?,
            second: numbers("second", name, length)?,
            reached: head.reached.iter().any(|one| one == name),
        };
        moments.insert(name.to_owned(), own);
        if let Some(best) = &mut course.best {
            best.values
                .insert(name.to_owned(), numbers("best", name, length)?);
        }
    }
    let (steps, moved) = (head.optimiser_steps, head.optimiser_moved);
    Ok(Saved {
        course,
        optimiser: AdamW::resumed(options, steps, moved, moments),
        values,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language_model::Parameter;

    fn parameters() -> Parameters {
        let one = Parameter::new(vec![2], vec![0.1, f32::MIN_POSITIVE]);
        Parameters::new(BTreeMap::from([("w".to_owned(), one)]))
    }

    fn course() -> Course {
        Course {
            step: 3,
            best: Some(Best {
                step: 2,
                value: 1.0 / 3.0,
                values: BTreeMap::from([("w".to_owned(), vec![0.25, -0.0])]),
            }),
            ..Course::default()
        }
    }

    #[test]
    fn a_state_reads_back_and_no_damage_goes_unseen() {
        let folder = tempfile::tempdir().expect("folder");
        let options = AdamWOptions::default();
        let mut model = parameters();
        let mut optimiser = AdamW::new(&model, options);
        let training = "one";
        let look = |training| find(folder.path(), training, options, &parameters());
        assert!(matches!(look(training), Found::Nothing));

        model.get_mut("w").expect("there").gradient = vec![0.5, -0.25];
        optimiser.step(&mut model, 0.1).expect("gradients");
        for _ in 0..2 {
            save(folder.path(), training, &course(), &optimiser, &model).expect("saved");
        }
        let Found::State(saved) = look(training) else {
            panic!("no state");
        };
        assert_eq!(saved.course, course());
        assert_eq!(saved.optimiser, optimiser);
        assert_eq!(saved.values["w"], model.get("w").expect("there").values);
        let other = look("two");
        assert!(matches!(other, Found::Useless(why) if why.contains("another training")));

        let path = folder.path().join(STATE_FILE);
        let whole = fs::read(&path).expect("bytes");
        for at in (0..whole.len()).step_by(3) {
            fs::write(&path, &whole[..at]).expect("write");
            assert!(matches!(look(training), Found::Useless(_)), "cut at {at}");
            let mut flipped = whole.clone();
            flipped[at] ^= 4;
            fs::write(&path, &flipped).expect("write");
            let same = match look(training) {
                Found::State(saved) => saved.course == course() && saved.optimiser == optimiser,
                _ => true,
            };
            assert!(same, "a flipped bit at {at} is unseen");
        }
        remove(folder.path()).expect("removed");
        remove(folder.path()).expect("nothing to remove");
        assert!(matches!(look(training), Found::Nothing));
    }
}
