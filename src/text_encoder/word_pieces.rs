//! BERT's tokenizer: `tokenizer.json`, or the older `vocab.txt`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::processors::bert::BertProcessing;
use tokenizers::{
    AddedToken, NormalizedString, Normalizer as _, OffsetReferential, OffsetType,
    PreTokenizedString, PreTokenizer as _, Tokenizer,
};

use crate::base::bounded;
use crate::model_files::error::clipped;
use crate::model_files::keys::check_json;
use crate::model_files::{ModelFileError, TOKENIZER_FILE, WORD_PIECE_FILE};

/// The special pieces in the order of their ids in a vocabulary made here.
pub const SPECIAL_PIECES: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/// What begins every text, and what ends it.
const FRAME: [&str; 2] = ["[CLS]", "[SEP]"];

/// What marks a piece that goes on with a word.
const CONTINUES: &str = "##";

const CONFIG_FILE: &str = "tokenizer_config.json";

/// Texts to ids of pieces of words, between `[CLS]` and `[SEP]`.
///
/// Texts are taken as they are: a `[SEP]` in a title is five characters and not the end of it.
#[derive(Debug, Clone)]
pub struct WordPieces {
    inner: Tokenizer,
}

impl WordPieces {
    /// Reads the tokenizer of a model folder.
    ///
    /// # Errors
    /// If there is none, it cannot be read, or it does not put `[CLS]` before and `[SEP]` behind a
    /// text.
    pub fn read(folder: &Path) -> Result<Self, ModelFileError> {
        let whole = folder.join(TOKENIZER_FILE);
        let pieces = folder.join(WORD_PIECE_FILE);
        let (inner, path) = if whole.exists() {
            let bytes = bounded::read(&whole, bounded::TOKENIZER)
                .map_err(ModelFileError::io("read", &whole))?;
            check_json(&bytes, &whole)?;
            let inner = Tokenizer::from_bytes(&bytes).map_err(|error| {
                ModelFileError::file(&whole, clipped(&error.to_string()))
                    .with_help("the file is damaged, or of a newer version of tokenizers")
            })?;
            (inner, whole)
        } else if pieces.exists() {
            let text = bounded::read_text(&pieces, bounded::TOKENIZER)
                .map_err(ModelFileError::io("read", &pieces))?;
            // transformers' own way to read the file: every line is a piece, an empty one too.
            let list: Vec<&str> = text.lines().map(str::trim_end).collect();
            (from_pieces(&list, lowers_case(folder)?, &pieces)?, pieces)
        } else {
            return Err(ModelFileError::file(
                folder,
                format!("there is no {TOKENIZER_FILE} and no {WORD_PIECE_FILE} in this folder"),
            )
            .with_help("take it from where the weights came from"));
        };
        Self::new(inner, &path)
    }

    fn new(mut inner: Tokenizer, path: &Path) -> Result<Self, ModelFileError> {
        inner.with_padding(None);
        inner.set_encode_special_tokens(true);
        let made = Self { inner };
        let frame = FRAME.map(|piece| made.inner.token_to_id(piece));
        let tried = made.encode("a", 8)?;
        let ends = [tried.first().copied(), tried.last().copied()];
        if frame.contains(&None) || ends != frame || tried.len() < 3 {
            return Err(ModelFileError::file(
                path,
                "the tokenizer does not put [CLS] before and [SEP] behind a text",
            )
            .with_help("it is not BERT's; take the tokenizer from where the weights came from"));
        }
        Ok(made)
    }

    /// Refuses a tokenizer with ids that the model has no embedding for.
    ///
    /// # Errors
    /// Naming the first such piece.
    pub fn check_against(&self, folder: &Path, vocabulary: usize) -> Result<(), ModelFileError> {
        let all: BTreeMap<u32, String> = (self.inner.get_vocab(true).into_iter())
            .map(|(piece, id)| (id, piece))
            .collect();
        match all.range(vocabulary as u32..).next() {
            None => Ok(()),
            Some((id, piece)) => Err(ModelFileError::file(
                folder,
                format!(
                    "the tokenizer gives `{}` the id {id}, and the model has embeddings for \
                     {vocabulary}",
                    clipped(piece)
                ),
            )
            .with_help("tokenizer and weights are of different models")),
        }
    }

    /// Pieces of words there are.
    #[must_use]
    pub fn size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// The ids of a text, `[CLS]` and `[SEP]` included, cut to at most `most` of them: the end of
    /// a longer text is left out, never `[SEP]`.
    ///
    /// # Errors
    /// If the tokenizer refuses the text.
    pub fn encode(&self, text: &str, most: usize) -> Result<Vec<u32>, ModelFileError> {
        let refused = |error: tokenizers::Error| {
            ModelFileError::invalid(format!(
                "the tokenizer refuses the text `{}`: {error}",
                clipped(text)
            ))
        };
        let mut ids = self
            .inner
            .encode_fast(text, true)
            .map_err(refused)?
            .get_ids()
            .to_vec();
        if ids.len() > most
            && let Some(last) = ids.last().copied()
        {
            ids.truncate(most.saturating_sub(1));
            ids.push(last);
        }
        Ok(ids)
    }

    /// Makes a vocabulary of at most `most` pieces from texts, lower-cased and without accents as
    /// bert-base-uncased: the special pieces, every character at the beginning and inside of a
    /// word, then whole words, the most frequent first.
    ///
    /// Whole words instead of BERT's merges: the crate's trainer numbers its first pieces in an
    /// order that changes from run to run, and a model with random weights gains nothing from
    /// pieces in common.
    ///
    /// # Errors
    /// If there is no room for the characters.
    pub fn from_texts<'a>(
        texts: impl IntoIterator<Item = &'a str>,
        most: usize,
    ) -> Result<Self, ModelFileError> {
        let mut words: BTreeMap<String, usize> = BTreeMap::new();
        for text in texts {
            for word in split(text)? {
                *words.entry(word).or_default() += 1;
            }
        }
        let mut pieces: Vec<String> = SPECIAL_PIECES.map(str::to_owned).to_vec();
        let mut letters: BTreeSet<String> = BTreeSet::new();
        for word in words.keys() {
            for (at, letter) in word.chars().enumerate() {
                let mark = if at == 0 { "" } else { CONTINUES };
                letters.insert(format!("{mark}{letter}"));
            }
        }
        pieces.extend(letters.iter().cloned());
        if pieces.len() > most {
            return Err(ModelFileError::invalid(format!(
                "a vocabulary of {most} pieces does not hold the {} special pieces and characters \
                 of the texts",
                pieces.len()
            ))
            .with_help(format!("ask for {} or more", pieces.len())));
        }
        let mut by_count: Vec<(&String, usize)> = words
            .iter()
            .filter(|(word, _)| !letters.contains(*word))
            .map(|(word, count)| (word, *count))
            .collect();
        // A stable sort: words of one count stay in the order of the alphabet.
        by_count.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let room = most - pieces.len();
        pieces.extend(
            by_count
                .into_iter()
                .take(room)
                .map(|(word, _)| word.clone()),
        );
        let list: Vec<&str> = pieces.iter().map(String::as_str).collect();
        let path = Path::new(TOKENIZER_FILE);
        Self::new(from_pieces(&list, true, path)?, path)
    }

    /// Writes `tokenizer.json`, `vocab.txt` and `tokenizer_config.json`, from which transformers'
    /// `AutoTokenizer` makes the same tokenizer.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write(&self, folder: &Path, max_tokens: usize) -> Result<(), ModelFileError> {
        // Special pieces in a text are special for everybody else.
        let mut inner = self.inner.clone();
        inner.set_encode_special_tokens(false);
        let text = inner.to_string(true).map_err(|error| {
            ModelFileError::invalid(format!("the tokenizer cannot be written: {error}"))
        })?;
        let config = json!({
            "cls_token": "[CLS]",
            "do_lower_case": true,
            "mask_token": "[MASK]",
            "model_max_length": max_tokens,
            "pad_token": "[PAD]",
            "sep_token": "[SEP]",
            "tokenizer_class": "BertTokenizer",
            "unk_token": "[UNK]",
        });
        let pieces: BTreeMap<u32, String> = (self.inner.get_vocab(true).into_iter())
            .map(|(piece, id)| (id, piece))
            .collect();
        let mut pieces = pieces.into_values().collect::<Vec<_>>().join("\n");
        pieces.push('\n');
        for (name, text) in [
            (TOKENIZER_FILE, text + "\n"),
            (CONFIG_FILE, format!("{config:#}\n")),
            (WORD_PIECE_FILE, pieces),
        ] {
            let path = folder.join(name);
            fs::write(&path, text).map_err(ModelFileError::io("write", path))?;
        }
        Ok(())
    }
}

/// Whether `tokenizer_config.json` says that texts are lower-cased; BERT's default is that they
/// are.
fn lowers_case(folder: &Path) -> Result<bool, ModelFileError> {
    let path = folder.join(CONFIG_FILE);
    if !path.exists() {
        return Ok(true);
    }
    let bytes =
        bounded::read(&path, bounded::SETTINGS).map_err(ModelFileError::io("read", &path))?;
    let config: Value = serde_json::from_slice(&bytes)
        .map_err(|error| ModelFileError::file(&path, format!("this is not JSON: {error}")))?;
    let flag = config.get("do_lower_case").and_then(Value::as_bool);
    Ok(flag.unwrap_or(true))
}

/// BERT's tokenizer over a list of pieces, numbered as they come.
fn from_pieces(
    pieces: &[&str],
    lower_case: bool,
    path: &Path,
) -> Result<Tokenizer, ModelFileError> {
    let refused = |error: tokenizers::Error| ModelFileError::file(path, error.to_string());
    let id = |piece: &str| {
        let at = pieces.iter().position(|one| *one == piece);
        at.map(|at| at as u32).ok_or_else(|| {
            ModelFileError::file(path, format!("the piece {piece} is missing"))
                .with_help("it is not a vocabulary of BERT")
        })
    };
    let frame = [id(FRAME[0])?, id(FRAME[1])?];
    id("[UNK]")?;
    let numbered = WordPiece::read_bytes(pieces.join("\n").as_bytes()).map_err(refused)?;
    let model = WordPiece::builder()
        .vocab(numbered)
        .build()
        .map_err(refused)?;
    let mut inner = Tokenizer::new(model);
    inner
        .with_normalizer(Some(BertNormalizer::new(true, true, None, lower_case)))
        .map_err(refused)?;
    inner.with_pre_tokenizer(Some(BertPreTokenizer));
    inner.with_decoder(Some(tokenizers::decoders::wordpiece::WordPiece::default()));
    let [cls, sep] = frame;
    inner.with_post_processor(Some(BertProcessing::new(
        (FRAME[1].to_owned(), sep),
        (FRAME[0].to_owned(), cls),
    )));
    let special: Vec<AddedToken> = SPECIAL_PIECES
        .into_iter()
        .filter(|piece| pieces.contains(piece))
        .map(|piece| AddedToken::from(piece, true))
        .collect();
    inner.add_special_tokens(special).map_err(refused)?;
    Ok(inner)
}

/// A text as the words of bert-base-uncased, before they are taken to pieces.
fn split(text: &str) -> Result<Vec<String>, ModelFileError> {
    let refused = |error: tokenizers::Error| ModelFileError::invalid(error.to_string());
    let mut normalized = NormalizedString::from(text);
    BertNormalizer::new(true, true, None, true)
        .normalize(&mut normalized)
        .map_err(refused)?;
    let mut words = PreTokenizedString::from(normalized);
    BertPreTokenizer.pre_tokenize(&mut words).map_err(refused)?;
    let found = words.get_splits(OffsetReferential::Normalized, OffsetType::Byte);
    Ok(found
        .into_iter()
        .map(|(word, ..)| word.to_owned())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TITLES: [&str; 4] = [
        "Toy Story (1995)",
        "Amélie (2001)",
        "The Story of Us (1999)",
        "Story [SEP] of Toys (1995)",
    ];

    fn spelled(pieces: &WordPieces, text: &str) -> Vec<String> {
        let ids = pieces.encode(text, 64).expect("encode");
        ids.iter()
            .map(|id| pieces.inner.id_to_token(*id).expect("a piece"))
            .collect()
    }

    #[test]
    fn a_vocabulary_of_ones_own_knows_its_texts_and_comes_back_from_both_files() {
        let made = WordPieces::from_texts(TITLES, 80).expect("room");
        assert_eq!(
            spelled(&made, "AMELIE's toy story"),
            ["[CLS]", "amelie", "[UNK]", "s", "toy", "story", "[SEP]"]
        );
        // Not a special piece: five characters, as everything in a title.
        let literal = spelled(&made, "[SEP]");
        assert_eq!(literal, ["[CLS]", "[", "sep", "]", "[SEP]"]);
        // A word of known characters that is no word of the texts.
        assert_eq!(spelled(&made, "soy")[1..4], ["s", "##o", "##y"]);
        let folder = tempfile::tempdir().expect("folder");
        made.write(folder.path(), 64).expect("write");
        let read = |folder: &Path| WordPieces::read(folder).expect("a tokenizer");
        for text in TITLES.into_iter().chain(["soy 東京 🎬", ""]) {
            let expected = made.encode(text, 64).expect("encode");
            let whole = read(folder.path());
            assert_eq!(whole.encode(text, 64).expect("encode"), expected);
            fs::rename(folder.path().join(TOKENIZER_FILE), folder.path().join("x")).expect("move");
            assert_eq!(
                read(folder.path()).encode(text, 64).expect("encode"),
                expected,
                "{text}"
            );
            fs::rename(folder.path().join("x"), folder.path().join(TOKENIZER_FILE)).expect("move");
        }
        assert!(made.check_against(folder.path(), made.size()).is_ok());
        let error = made
            .check_against(folder.path(), made.size() - 1)
            .expect_err("one too many");
        assert!(error.to_string().contains("different models"), "{error}");
    }

    #[test]
    fn the_same_texts_give_the_same_files_and_long_ones_are_cut_before_their_end() {
        let written = |titles: &[&str]| {
            let folder = tempfile::tempdir().expect("folder");
            let made = WordPieces::from_texts(titles.iter().copied(), 60).expect("room");
            made.write(folder.path(), 64).expect("write");
            fs::read_to_string(folder.path().join(TOKENIZER_FILE)).expect("read")
        };
        let mut reversed = TITLES;
        reversed.reverse();
        assert_eq!(written(&TITLES), written(&reversed));
        let made = WordPieces::from_texts(TITLES, 80).expect("room");
        let whole = made.encode("The Story of Us (1999)", 64).expect("encode");
        let cut = made.encode("The Story of Us (1999)", 4).expect("encode");
        assert_eq!(cut, [whole[0], whole[1], whole[2], whole[whole.len() - 1]]);
        let error = WordPieces::from_texts(TITLES, 10).expect_err("too small");
        assert!(error.to_string().contains("ask for"), "{error}");
    }

    #[test]
    fn a_folder_without_berts_tokenizer_is_refused() {
        let folder = tempfile::tempdir().expect("folder");
        let refused = |folder: &Path| WordPieces::read(folder).expect_err("no").to_string();
        assert!(refused(folder.path()).contains("no vocab.txt"));
        let path = folder.path().join(WORD_PIECE_FILE);
        fs::write(&path, "[PAD]\n[UNK]\nfilm\n").expect("write");
        assert!(refused(folder.path()).contains("[CLS]"));
        fs::write(folder.path().join(TOKENIZER_FILE), "{}").expect("write");
        assert!(refused(folder.path()).contains("damaged"));
    }
}
