//! Lengths of the texts that stages will read, before they do: counted where the texts are there,
//! else bounded.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use super::needs::{Basis, KnownBackbone, KnownInput, Unknown};
use crate::base::{Digest, bounded, canonical_json};
use crate::data::Sample;
use crate::data::frame::{read_records, read_samples_from};
use crate::data::source::Source;
use crate::language_model::Tokenizer;
use crate::prompt::{Encoder, Limit, PromptTemplate};
use crate::tuning::census::{Lengths, bounded_lengths};
use crate::tuning::shared_prefix;

/// Lengths of texts by what they were made from, kept from plan to plan.
#[derive(Debug, Default)]
pub struct KnownLengths {
    path: Option<PathBuf>,
    known: BTreeMap<String, Arc<Lengths>>,
    changed: bool,
    tokenizer: Option<(PathBuf, Arc<Tokenizer>)>,
}

/// A file with more entries is begun anew: what was forgotten is counted again.
const MOST_KNOWN: usize = 2_000;

impl KnownLengths {
    /// Reads what is kept; an unreadable file only costs counting again.
    #[must_use]
    pub fn load(path: &Path) -> Self {
        let known: BTreeMap<String, Lengths> = bounded::read(path, bounded::RECORDS)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        let known = known.into_iter().map(|(key, one)| (key, Arc::new(one)));
        Self {
            path: Some(path.to_owned()),
            known: known.collect(),
            ..Self::default()
        }
    }

    /// Keeps what was counted, where that is possible.
    pub fn save(&mut self) {
        let Some(path) = self.path.as_deref().filter(|_| self.changed) else {
            return;
        };
        let folder = path.parent().unwrap_or_else(|| Path::new("."));
        let plain: BTreeMap<&String, &Lengths> =
            self.known.iter().map(|(key, one)| (key, &**one)).collect();
        if let (Ok(bytes), Ok(file)) = (
            serde_json::to_vec(&plain),
            tempfile::NamedTempFile::new_in(folder),
        ) && std::fs::write(file.path(), bytes).is_ok()
        {
            // What is not kept is counted again.
            let _ = file.persist(path);
        }
        self.changed = false;
    }

    fn get(
        &mut self,
        key: Option<String>,
        count: impl FnOnce(&mut Self) -> Result<Lengths, Unknown>,
    ) -> Result<Arc<Lengths>, Unknown> {
        if let Some(found) = key.as_ref().and_then(|key| self.known.get(key)) {
            return Ok(Arc::clone(found));
        }
        let made = Arc::new(count(self)?);
        if let Some(key) = key {
            if self.known.len() >= MOST_KNOWN {
                self.known.clear();
            }
            self.known.insert(key, Arc::clone(&made));
            self.changed = true;
        }
        Ok(made)
    }

    fn tokenizer(&mut self, folder: &Path) -> Result<Arc<Tokenizer>, Unknown> {
        if let Some((known, tokenizer)) = &self.tokenizer
            && known == folder
        {
            return Ok(Arc::clone(tokenizer));
        }
        let tokenizer = Tokenizer::read(folder).map_err(|error| error.to_string())?;
        let tokenizer = Arc::new(tokenizer);
        self.tokenizer = Some((folder.to_owned(), Arc::clone(&tokenizer)));
        Ok(tokenizer)
    }
}

/// Which texts of samples are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// Prompt, answer and end.
    Text,
    /// The prompt up to where the answers part.
    Question,
    /// Instruction records.
    Record,
}

/// What texts are made with.
pub(super) struct Prompting<'a> {
    pub(super) backbone: &'a KnownBackbone,
    pub(super) template: KnownInput<'a>,
    pub(super) limit: Limit,
}

impl Prompting<'_> {
    /// Lengths of the texts of an input that is there.
    fn lengths(
        &self,
        what: What,
        input: &KnownInput<'_>,
        path: &Path,
        lengths: &mut KnownLengths,
    ) -> Result<Arc<Lengths>, Unknown> {
        let key = match (self.backbone.digest, input.digest, self.template.digest) {
            (Some(backbone), Some(rows), Some(template)) => Some(canonical_json(&json!([
                format!("{what:?}"),
                backbone,
                rows,
                template,
                self.limit.tokens,
                self.limit.cutoff
            ]))),
            _ => None,
        };
        let key = key.map(|text| Digest::of_bytes(text.as_bytes()).hex());
        lengths.get(key, |lengths| self.count(what, input, path, lengths))
    }

    fn count(
        &self,
        what: What,
        input: &KnownInput<'_>,
        path: &Path,
        lengths: &mut KnownLengths,
    ) -> Result<Lengths, Unknown> {
        let words = |error: &dyn std::fmt::Display| error.to_string();
        let folder = self.backbone.folder.as_deref();
        let tokenizer = lengths.tokenizer(folder.ok_or("its tokenizer is not there yet")?)?;
        let path_of_template = self.template.path.as_deref();
        let path_of_template = path_of_template.ok_or("its template is not there yet")?;
        let text = bounded::read_text(path_of_template, bounded::SETTINGS)
            .map_err(|error| words(&error))?;
        let template =
            PromptTemplate::parse(&self.template.origin, &text).map_err(|error| words(&error))?;
        let mut encoder = Encoder::new(&tokenizer, &template, self.limit);
        let mut texts: Vec<(Vec<u32>, usize)> = Vec::new();
        match what {
            What::Record => {
                for record in read_records(path).map_err(|error| words(&error))? {
                    let text = encoder.record(&record).map_err(|error| words(&error))?;
                    texts.extend(text.map(|text| (text.tokens, text.answer_start)));
                }
            }
            What::Text | What::Question => {
                let source = Source::named(path, &*input.origin);
                let samples: Vec<Sample> =
                    read_samples_from(&source).map_err(|error| words(&error))?;
                for sample in &samples {
                    if what == What::Question {
                        let asked = encoder.question(sample).map_err(|error| words(&error))?;
                        let tokens = asked.question.tokens;
                        let end = tokens.len();
                        texts.push((tokens, end));
                    } else {
                        let text = encoder.sample(sample).map_err(|error| words(&error))?;
                        texts.extend(text.map(|text| (text.tokens, text.answer_start)));
                    }
                }
            }
        }
        Ok(Lengths {
            shared: shared_prefix(texts.iter().map(|(tokens, _)| &tokens[..])),
            rows: texts
                .iter()
                .map(|(tokens, answer)| (tokens.len(), *answer))
                .collect(),
        })
    }

    /// Lengths of all texts of an input, or a bound of them; with it, whether it is known how many
    /// texts there are.
    pub(super) fn bounded(
        &self,
        what: What,
        inputs: &[KnownInput<'_>],
        enough: usize,
        lengths: &mut KnownLengths,
    ) -> Result<(Lengths, Basis, bool), Unknown> {
        let mut all = Lengths::default();
        let (mut basis, mut counted) = (Basis::Rows, true);
        for (number, input) in inputs.iter().enumerate() {
            let (one, found, known) = self.bounded_one(what, input, enough, lengths)?;
            all.shared = if number == 0 {
                one.shared
            } else {
                // Sets of other domains ask otherwise: what each shares says nothing of both.
                0
            };
            all.rows.extend(&one.rows);
            basis = basis.max(found);
            counted &= known;
        }
        Ok((all, basis, counted))
    }

    fn bounded_one(
        &self,
        what: What,
        input: &KnownInput<'_>,
        enough: usize,
        lengths: &mut KnownLengths,
    ) -> Result<(Lengths, Basis, bool), Unknown> {
        if let Some(path) = input.path.as_deref() {
            if self.backbone.folder.is_some() {
                let found = self.lengths(what, input, path, lengths)?;
                return Ok((Lengths::clone(&found), Basis::Rows, true));
            }
            let rows = count(what, input, path)?;
            let bound = bounded_lengths(rows, self.limit.tokens);
            return Ok((bound, Basis::Limit, true));
        }
        let drawn = input
            .maker
            .as_deref()
            .filter(|maker| maker.kind() == "k_shot");
        if let Some(maker) = drawn
            && let Some(k) = maker.params().get("k").and_then(Value::as_u64)
        {
            let pools = maker.inputs("train");
            let k = k as usize;
            let mut drawn = Lengths::default();
            let mut basis = Basis::Pool;
            for (number, pool) in pools.iter().enumerate() {
                let here = pool
                    .path
                    .as_deref()
                    .filter(|_| self.backbone.folder.is_some());
                let Some(path) = here else {
                    basis = Basis::Limit;
                    drawn
                        .rows
                        .extend(bounded_lengths(k, self.limit.tokens).rows);
                    continue;
                };
                let found = self.lengths(what, pool, path, lengths)?;
                let mut rows = found.rows.clone();
                rows.sort_unstable_by(|one, other| other.cmp(one));
                drawn.rows.extend(rows.into_iter().take(k));
                drawn.shared = if number == 0 { found.shared } else { 0 };
            }
            return Ok((drawn, basis, true));
        }
        Ok((
            bounded_lengths(enough, self.limit.tokens),
            Basis::Limit,
            false,
        ))
    }
}

/// How many texts there are.
fn count(what: What, input: &KnownInput<'_>, path: &Path) -> Result<usize, Unknown> {
    let words = |error: &dyn std::fmt::Display| error.to_string();
    Ok(match what {
        What::Record => read_records(path).map_err(|error| words(&error))?.len(),
        What::Text | What::Question => {
            let source = Source::named(path, &*input.origin);
            read_samples_from(&source)
                .map_err(|error| words(&error))?
                .len()
        }
    })
}
