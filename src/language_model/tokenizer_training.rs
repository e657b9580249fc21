//! A tokenizer of one's own, for a backbone of one's own.

use tokenizers::AddedToken;
use tokenizers::decoders::byte_level::ByteLevel;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::processors::template::TemplateProcessing;

use super::tokenizer::refused;
use super::{LanguageModelError, Tokenizer};

/// The special tokens, in the order of their ids, which are LLaMA's.
pub const SPECIAL_TOKENS: [&str; 3] = ["<unk>", "<s>", "</s>"];

/// The special tokens and one for each byte.
const SMALLEST: usize = SPECIAL_TOKENS.len() + 256;

impl Tokenizer {
    /// Learns a byte-level BPE of at most `vocabulary_size` tokens; few texts give fewer.
    ///
    /// Every text has tokens and comes back from them byte for byte. The same texts give the same
    /// tokenizer, in whatever order they come.
    ///
    /// # Errors
    /// If `vocabulary_size` does not hold all bytes and special tokens.
    pub fn train_bpe<S: AsRef<str> + Send>(
        texts: impl Iterator<Item = S> + Send,
        vocabulary_size: usize,
    ) -> Result<Self, LanguageModelError> {
        if vocabulary_size < SMALLEST {
            return Err(LanguageModelError::invalid(format!(
                "a vocabulary of {vocabulary_size} tokens does not hold the 256 bytes and the {} \
                 special tokens",
                SPECIAL_TOKENS.len()
            ))
            .with_help(format!("ask for {SMALLEST} or more")));
        }
        let special = SPECIAL_TOKENS.map(|token| AddedToken::from(token, true));
        let bytes = ByteLevel::new(false, true, true);
        let mut inner = tokenizers::Tokenizer::new(BPE::default());
        inner.with_pre_tokenizer(Some(bytes));
        inner.with_decoder(Some(bytes));
        let mut trainer = TrainerWrapper::BpeTrainer(
            BpeTrainer::builder()
                .vocab_size(vocabulary_size)
                .min_frequency(2)
                .show_progress(false)
                .special_tokens(special.to_vec())
                .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
                .build(),
        );
        inner.train(&mut trainer, texts).map_err(refused)?;
        let [_, bos, eos] = SPECIAL_TOKENS;
        let template = TemplateProcessing::builder()
            .try_single(format!("{bos} $A"))
            .and_then(|builder| builder.try_pair(format!("{bos} $A {bos}:1 $B:1")))
            .map_err(LanguageModelError::invalid)?
            .special_tokens(vec![(bos, 1)])
            .build()
            .map_err(|error| LanguageModelError::invalid(error.to_string()))?;
        inner.with_post_processor(Some(template));
        let (bos, eos) = (inner.token_to_id(bos), inner.token_to_id(eos));
        Self::new(inner, bos, eos, Some(true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts() -> Vec<String> {
        // Many words of equal counts, whose merges are decided by nothing but their ids.
        (0..400)
            .map(|index| {
                format!(
                    "The {index}th user liked \"Film {}\".\nYes. ",
                    index * 7 % 31
                )
            })
            .collect()
    }

    fn json(tokenizer: &Tokenizer) -> String {
        let folder = tempfile::tempdir().expect("folder");
        tokenizer.write(folder.path()).expect("write");
        std::fs::read_to_string(folder.path().join("tokenizer.json")).expect("read")
    }

    #[test]
    fn the_same_texts_give_the_same_tokenizer() {
        let mut texts = texts();
        let first = json(&Tokenizer::train_bpe(texts.iter(), 500).expect("train"));
        for round in 0..5 {
            texts.rotate_left(37 + round);
            texts.reverse();
            let again = json(&Tokenizer::train_bpe(texts.iter(), 500).expect("train"));
            assert!(first == again, "round {round} differs");
        }
        let digest = crate::base::Digest::of_bytes(first.as_bytes());
        insta::assert_snapshot!(digest.short(), @"909519ae6ac2");
    }

    #[test]
    fn every_text_comes_back_and_special_tokens_have_llamas_ids() {
        let tokenizer = Tokenizer::train_bpe(texts().iter(), 300).expect("train");
        assert_eq!(tokenizer.vocabulary_size(), 300);
        assert_eq!((tokenizer.bos(), tokenizer.eos()), (Some(1), Some(2)));
        assert!(tokenizer.adds_bos());
        for text in ["Yes.", " a  b\n\n", "Amélie </s> 東京 🎬\u{0}", ""] {
            let tokens = tokenizer.encode(text, true).expect("encode");
            assert_eq!(tokens[0], 1);
            assert!(
                !tokens[1..].iter().any(|token| *token < 3),
                "{text}: {tokens:?}"
            );
            assert_eq!(tokenizer.decode(&tokens).expect("decode"), text);
        }
        assert!(Tokenizer::train_bpe(texts().iter(), 258).is_err());
    }
}
