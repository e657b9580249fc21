//! Texts as tokens, by the `tokenizer.json` of a model folder.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::{Configuration, LanguageModelError, SpecialIds};
use crate::base::bounded;
use crate::model_files::TOKENIZER_FILE;
use crate::model_files::error::clipped;
use crate::model_files::keys::check_json;

const CONFIG_FILE: &str = "tokenizer_config.json";
const SPECIAL_FILE: &str = "special_tokens_map.json";

/// A tokenizer with the ids that begin and end a text.
///
/// Texts are taken as they are: a `</s>` in a title is five characters and not the end of the text.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    bos: Option<u32>,
    eos: Option<u32>,
    adds_bos: bool,
}

/// Where two answers to a prompt part, in tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answers {
    /// The tokens before the first that differs: the prompt, and what the answers share. The model
    /// reads these and then weighs `tokens` against each other.
    pub context: Vec<u32>,
    /// The first token that differs, of each answer.
    pub tokens: [u32; 2],
    /// How many of `context` are the prompt's own; the others both answers begin with. Where the
    /// tokenizer joins the prompt's end to an answer's beginning, the prompt loses tokens.
    pub prompt_tokens: usize,
}

impl Tokenizer {
    /// Reads `tokenizer.json`, and from `tokenizer_config.json` or `special_tokens_map.json` which
    /// tokens begin and end a text.
    ///
    /// # Errors
    /// If there is no `tokenizer.json`, or a file is not what it should be.
    pub fn read(folder: &Path) -> Result<Self, LanguageModelError> {
        let path = folder.join(TOKENIZER_FILE);
        if !path.exists() {
            let error = LanguageModelError::file(
                folder,
                format!("there is no {TOKENIZER_FILE} in this folder"),
            );
            let convert = "convert it once: python -c \"from transformers import AutoTokenizer; \
                           AutoTokenizer.from_pretrained('FOLDER').save_pretrained('FOLDER')\"";
            return Err(if folder.join("tokenizer.model").exists() {
                error.with_help(format!(
                    "`tokenizer.model` is there, which only SentencePiece reads; {convert}"
                ))
            } else {
                error.with_help("take it from where the weights came from")
            });
        }
        let bytes = bounded::read(&path, bounded::TOKENIZER)
            .map_err(LanguageModelError::io("read", &path))?;
        check_json(&bytes, &path)?;
        let inner = tokenizers::Tokenizer::from_bytes(&bytes).map_err(|error| {
            LanguageModelError::file(&path, clipped(&error.to_string()))
                .with_help("the file is damaged, or of a newer version of tokenizers")
        })?;
        let config = read_object(&folder.join(CONFIG_FILE))?;
        let map = read_object(&folder.join(SPECIAL_FILE))?;
        let special = |key: &str| {
            let text = token_text(config.get(key)).or_else(|| token_text(map.get(key)))?;
            Some((inner.token_to_id(text), text))
        };
        let id = |key: &str| match special(key) {
            None => Ok(None),
            Some((Some(id), _)) => Ok(Some(id)),
            Some((None, text)) => Err(LanguageModelError::file(
                folder,
                format!(
                    "`{key}` is `{}`, which {TOKENIZER_FILE} does not know",
                    clipped(text)
                ),
            )),
        };
        let (bos, eos) = (id("bos_token")?, id("eos_token")?);
        let flag = config.get("add_bos_token").and_then(Value::as_bool);
        Self::new(inner, bos, eos, flag)
    }

    /// Puts a tokenizer together; whether it begins texts with `bos` is tried out where
    /// `adds_bos` does not say.
    pub(crate) fn new(
        mut inner: tokenizers::Tokenizer,
        bos: Option<u32>,
        eos: Option<u32>,
        adds_bos: Option<bool>,
    ) -> Result<Self, LanguageModelError> {
        inner.with_truncation(None).map_err(refused)?;
        inner.with_padding(None);
        inner.set_encode_special_tokens(true);
        let adds_bos = match adds_bos {
            Some(flag) => flag && bos.is_some(),
            None => {
                let tried = inner.encode_fast("a", true).map_err(refused)?;
                bos.is_some() && tried.get_ids().first().copied() == bos
            }
        };
        Ok(Self {
            inner,
            bos,
            eos,
            adds_bos,
        })
    }

    /// Writes `tokenizer.json` and `tokenizer_config.json`, from which transformers'
    /// `AutoTokenizer` makes the same tokenizer.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), LanguageModelError> {
        let path = folder.join(TOKENIZER_FILE);
        let mut text = self.inner.to_string(true).map_err(refused)?;
        text.push('\n');
        fs::write(&path, text).map_err(LanguageModelError::io("write", path))?;
        let token = |id: Option<u32>| id.and_then(|id| self.inner.id_to_token(id));
        let config = json!({
            "add_bos_token": self.adds_bos,
            "add_eos_token": false,
            "bos_token": token(self.bos),
            "clean_up_tokenization_spaces": false,
            "eos_token": token(self.eos),
            "tokenizer_class": "PreTrainedTokenizerFast",
        });
        let path = folder.join(CONFIG_FILE);
        let mut text = serde_json::to_string_pretty(&config)
            .map_err(|error| LanguageModelError::file(&path, error.to_string()))?;
        text.push('\n');
        fs::write(&path, text).map_err(LanguageModelError::io("write", path))
    }

    /// The tokens of a text; `add_bos` puts the token that begins a text before them, if this
    /// tokenizer has one.
    ///
    /// # Errors
    /// If the tokenizer refuses the text.
    pub fn encode(&self, text: &str, add_bos: bool) -> Result<Vec<u32>, LanguageModelError> {
        let encoded = self.inner.encode_fast(text, false).map_err(refused)?;
        let bos = self.bos.filter(|_| add_bos);
        Ok(bos
            .into_iter()
            .chain(encoded.get_ids().iter().copied())
            .collect())
    }

    /// The text of tokens, without those that begin or end it.
    ///
    /// # Errors
    /// If the tokenizer refuses them.
    pub fn decode(&self, tokens: &[u32]) -> Result<String, LanguageModelError> {
        self.inner.decode(tokens, true).map_err(refused)
    }

    /// A token as the vocabulary spells it.
    #[must_use]
    pub fn spelling(&self, token: u32) -> Option<String> {
        self.inner.id_to_token(token)
    }

    /// The token that begins a text.
    #[must_use]
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// The token that ends a text.
    #[must_use]
    pub fn eos(&self) -> Option<u32> {
        self.eos
    }

    /// Whether the model was trained on texts that begin with [`Tokenizer::bos`]: what
    /// transformers does by default.
    #[must_use]
    pub fn adds_bos(&self) -> bool {
        self.adds_bos
    }

    /// The ids for `config.json`.
    #[must_use]
    pub fn special_ids(&self) -> SpecialIds {
        SpecialIds {
            bos: self.bos,
            eos: self.eos,
            pad: None,
        }
    }

    /// One more than the largest id.
    #[must_use]
    pub fn vocabulary_size(&self) -> usize {
        let largest = self.inner.get_vocab(true).into_values().max();
        largest.map_or(0, |largest| largest as usize + 1)
    }

    /// Refuses a tokenizer that makes tokens the model has no row for. Special tokens beyond the
    /// model's rows (a `[PAD]` that was added later) are no harm: no text becomes one here.
    ///
    /// # Errors
    /// If there is such a token.
    pub fn check_against(&self, configuration: &Configuration) -> Result<(), LanguageModelError> {
        let added = self.inner.get_added_tokens_decoder();
        let rows = configuration.vocabulary_size;
        let used = [self.bos, self.eos];
        let beyond = self
            .inner
            .get_vocab(true)
            .into_iter()
            .filter(|(_, id)| *id as usize >= rows)
            .filter(|(_, id)| {
                used.contains(&Some(*id)) || !added.get(id).is_some_and(|token| token.special)
            })
            .min_by_key(|(_, id)| *id);
        match beyond {
            None => Ok(()),
            Some((token, id)) => Err(LanguageModelError::invalid(format!(
                "this is the tokenizer of another model: token `{}` has id {id}, and the model \
                 has {rows} tokens",
                clipped(&token)
            ))
            .with_help("take tokenizer.json and config.json from the same folder")),
        }
    }

    /// Where two answers to a prompt part.
    ///
    /// Both are tokenised behind the prompt, since tokens depend on what stands before.
    ///
    /// # Errors
    /// If the answers have the same tokens, or one is the beginning of the other.
    pub fn answer_tokens(
        &self,
        prompt: &str,
        answers: [&str; 2],
        add_bos: bool,
    ) -> Result<Answers, LanguageModelError> {
        let alone = self.encode(prompt, add_bos)?;
        let [one, two] = answers.map(|answer| self.encode(&format!("{prompt}{answer}"), add_bos));
        let (one, two) = (one?, two?);
        let shared = common(&one, &two);
        let (Some(first), Some(second)) = (one.get(shared), two.get(shared)) else {
            let what = if one == two {
                "have the same tokens"
            } else {
                "do not part: one is the beginning of the other"
            };
            return Err(LanguageModelError::invalid(format!(
                "the answers `{}` and `{}` {what}",
                clipped(answers[0]),
                clipped(answers[1])
            ))
            .with_help("choose answers that differ, such as `Yes.` and `No.`"));
        };
        Ok(Answers {
            context: one[..shared].to_vec(),
            tokens: [*first, *second],
            prompt_tokens: common(&alone, &one[..shared]),
        })
    }
}

/// How many first tokens are the same.
fn common(one: &[u32], two: &[u32]) -> usize {
    one.iter()
        .zip(two)
        .take_while(|(one, two)| one == two)
        .count()
}

/// A token that is given as a text or as an object; an empty text is none.
fn token_text(value: Option<&Value>) -> Option<&str> {
    let value = value?;
    let text = value.as_str().or_else(|| value.get("content")?.as_str());
    text.filter(|text| !text.is_empty())
}

/// A JSON object in a file; an empty one if there is no file.
fn read_object(path: &Path) -> Result<Map<String, Value>, LanguageModelError> {
    if !path.exists() {
        return Ok(Map::new());
    }
    let bytes =
        bounded::read(path, bounded::SETTINGS).map_err(LanguageModelError::io("read", path))?;
    serde_json::from_slice(&bytes).map_err(|error| {
        LanguageModelError::file(path, format!("this is not a JSON object: {error}"))
    })
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(crate) fn refused(error: tokenizers::Error) -> LanguageModelError {
    LanguageModelError::invalid(format!("the tokenizer refuses: {error}"))
}
