//! `embed_items`: the vector of each item's text, by a frozen text encoder.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::language_model::locate;
use super::{InputDeclaration, OutputDeclaration, StageContext, StageError, StageKind};
use crate::data::Item;
use crate::data::catalogue::read_catalogue;
use crate::recommender::sequence::{ItemVectors, item_key};
use crate::text_encoder::{EmbedOptions, Pooling, TextEncoder, TextEncoderError};

impl From<TextEncoderError> for StageError {
    fn from(error: TextEncoderError) -> Self {
        match error {
            TextEncoderError::Cancelled => Self::Cancelled,
            error => Self::other(error),
        }
    }
}

/// Embeds the texts of items.
///
/// It depends on the catalogues and the encoder and on nothing else, so it runs once for all K,
/// seeds and methods. Texts that are equal are encoded once.
#[derive(Debug)]
pub struct EmbedItems;

/// Parameters of [`EmbedItems`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Params {
    /// How the states of a text's tokens become one vector. Paper: cls.
    pooling: Pooling,
    /// Tokens of a text at most, `[CLS]` and `[SEP]` included; the end of a longer text is left
    /// out. The longest titles of MovieLens and Book-Crossing have about 30 and 90.
    max_tokens: usize,
    /// The text of an item without an author: `{title}` is put in.
    text: String,
    /// The text of an item with an author: `{title}` and `{maker}` are put in. By default as the
    /// prompts name a book, without its quotation marks.
    text_with_maker: String,
    /// Threads to use; changes no number.
    threads: usize,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            pooling: Pooling::Cls,
            max_tokens: 128,
            text: "{title}".to_owned(),
            text_with_maker: "{title} written by {maker}".to_owned(),
            threads: 1,
        }
    }
}

impl Params {
    /// The text of an item. A name that itself holds `{maker}` stays as it is.
    fn text_of(&self, item: &Item) -> String {
        let (template, maker) = match item.maker.as_deref().filter(|maker| !maker.is_empty()) {
            Some(maker) => (&self.text_with_maker, maker),
            None => (&self.text, ""),
        };
        let parts = template.split("{title}");
        let filled: Vec<String> = parts.map(|part| part.replace("{maker}", maker)).collect();
        filled.join(&item.title)
    }
}

impl StageKind for EmbedItems {
    type Params = Params;

    const NAME: &'static str = "embed_items";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Makes a vector of each item's text with a frozen BERT.";
    const INPUTS: &'static [InputDeclaration] = &[
        InputDeclaration::many("items", "catalogues: the items to embed"),
        InputDeclaration::one("encoder", "BERT in the form of Hugging Face"),
    ];
    const SKIP: &'static [&'static str] = &["threads"];

    fn outputs(_params: &Params) -> Vec<OutputDeclaration> {
        vec![OutputDeclaration::new("vectors", "vectors.safetensors")]
    }

    fn threads(params: &Params) -> usize {
        params.threads
    }

    fn check(params: &Params) -> Result<(), (String, String)> {
        let wrong = |field: &str, message: &str| Err((field.to_owned(), message.to_owned()));
        if params.max_tokens < 3 {
            return wrong("max_tokens", "[CLS], a piece and [SEP] are 3");
        }
        if params.threads == 0 {
            return wrong("threads", "must be at least 1");
        }
        for (field, template) in [
            ("text", &params.text),
            ("text_with_maker", &params.text_with_maker),
        ] {
            if !template.contains("{title}") {
                return wrong(
                    field,
                    "`{title}` is missing, so all items would have one text",
                );
            }
        }
        if params.text.contains("{maker}") {
            return wrong(
                "text",
                "is for items without an author, so `{maker}` has no value",
            );
        }
        Ok(())
    }

    fn run(params: &Params, context: &StageContext) -> Result<(), StageError> {
        let mut texts: BTreeMap<String, String> = BTreeMap::new();
        for part in context.inputs("items") {
            for known in read_catalogue(&part.path)? {
                let key = item_key(known.domain, &known.item);
                let text = params.text_of(&known.item);
                if let Some(other) = texts.get(&key)
                    && *other != text
                {
                    return Err(StageError::input(format!(
                        "`{key}` is `{other}` in one catalogue and `{text}` in `{}`",
                        part.origin
                    ))
                    .with_help("embed catalogues that share identifiers one by one"));
                }
                texts.insert(key, text);
            }
        }
        if texts.is_empty() {
            return Err(StageError::input("the catalogues have no items to embed"));
        }
        let (folder, _) = locate(context.input("encoder")?)?;
        let encoder = TextEncoder::open(&folder)?;
        context.check_cancelled()?;
        let options = EmbedOptions {
            pooling: params.pooling,
            max_tokens: params.max_tokens,
        };
        let listed: Vec<&str> = texts.values().map(String::as_str).collect();
        let vectors = encoder.embed(&listed, options, &mut |done, of| {
            context.emitter().progress(done as u64, of as u64, "text");
            !context.is_cancelled()
        })?;
        let keys: Vec<String> = texts.into_keys().collect();
        let path = context.output("vectors")?;
        ItemVectors::write(path, encoder.width(), &keys, &vectors.concat())
            .map_err(StageError::other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_those_of_the_prompts_and_braces_in_titles_stay() {
        let params = Params::default();
        let text = |title: &str, maker: Option<&str>| {
            params.text_of(&Item {
                id: "1".to_owned(),
                title: title.to_owned(),
                maker: maker.map(str::to_owned),
            })
        };
        assert_eq!(text("Toy Story (1995)", None), "Toy Story (1995)");
        assert_eq!(
            text("Emma", Some("Jane Austen")),
            "Emma written by Jane Austen"
        );
        assert_eq!(
            text("{maker} {title}", Some("X")),
            "{maker} {title} written by X"
        );
        assert_eq!(text("Emma", Some("")), "Emma");
        let wrong = |change: fn(&mut Params)| {
            let mut params = Params::default();
            change(&mut params);
            EmbedItems::check(&params).expect_err("wrong").0
        };
        assert_eq!(wrong(|params| params.max_tokens = 2), "max_tokens");
        assert_eq!(wrong(|params| params.text = "film".to_owned()), "text");
        assert_eq!(
            wrong(|params| params.text = "{title} {maker}".to_owned()),
            "text"
        );
        assert_eq!(wrong(|params| params.threads = 0), "threads");
        assert!(EmbedItems::check(&params).is_ok());
    }
}
