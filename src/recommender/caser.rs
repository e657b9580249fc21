//! Caser: convolutions over the history as if it were a picture.
//!
//! Paper: Tang and Wang, "Personalized top-N sequential recommendation via convolutional sequence
//! embedding", WSDM 2018. Reference: the Caser of the DROS repository, on which TALLRec's authors
//! say they built their baselines: embedding ~ N(0, 0.01²); horizontal filters of several heights,
//! `ReLU`, the largest value over time; one vertical filter over all steps, `ReLU`; dropout on what the
//! filters found; a linear layer to all items. There is no embedding of the user (nor has the
//! reference one): a user of a few samples could not have one that means anything.
//!
//! Histories shorter than `history_length` are followed by zeros, as in the reference; windows that
//! lie in them count (their value is the filter's bias). An embedding of the feedback makes the
//! picture wider, and the filters with it.
//!
//! Deviates: only the target's row of the output layer is computed (the loss sees no other); the
//! vertical filter has a `ReLU`, as in the reference and unlike the paper; what the reference does
//! when a batch has a single row (its `squeeze` fails) does not happen here. TALLRec searched the
//! filters' height in {2, 3, 4}; all three at once are the reference's default and ours. Settings
//! that all methods share are as in [`super::gru4rec`].

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SettingError;
use super::sequence::sequence_settings;
use super::sequence::settings::{at_least_one, wrong};
use super::sequence::{Batch, HistoryEmbedding, Items, Network, SequenceSettings};
use crate::base::Random;
use crate::nn::{
    Dropout, HorizontalConvolution, Linear, NnError, VariableBuilder, VerticalConvolution,
};

/// Steps that horizontal filters cover, as `[2, 3, 4]`, or `3` for one height.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "WrittenHeights")]
pub struct FilterHeights(Vec<usize>);

/// One height or several.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum WrittenHeights {
    /// Filters of one height.
    One(usize),
    /// Filters of each of these heights.
    Several(Vec<usize>),
}

impl From<WrittenHeights> for FilterHeights {
    /// One way to write it in keys and model folders: a list.
    fn from(written: WrittenHeights) -> Self {
        match written {
            WrittenHeights::One(height) => Self(vec![height]),
            WrittenHeights::Several(heights) => Self(heights),
        }
    }
}

impl JsonSchema for FilterHeights {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "FilterHeights".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        WrittenHeights::json_schema(generator)
    }
}

sequence_settings! {
    /// Settings of [`Caser`].
    pub struct CaserSettings {
        /// Steps that the horizontal filters cover: a list for filters of several heights at once,
        /// or one number, as the values of an axis are (`filter_heights: [2, 3, 4]` under a method
        /// of the grid tries each alone). Paper (preprint 3.1.3): the best of 2, 3 and 4; DROS
        /// repository: all three.
        pub filter_heights: FilterHeights = FilterHeights(vec![2, 3, 4]),
        /// Horizontal filters of each height. Paper (preprint 3.1.3): 16.
        pub horizontal_filters: usize = 16,
        /// Vertical filters. Paper (preprint 3.1.3): 1.
        pub vertical_filters: usize = 1,
    }
}

/// The method; see the module. Variables have the names of the reference.
#[derive(Debug)]
pub struct Caser {
    history: HistoryEmbedding,
    horizontal: Vec<HorizontalConvolution>,
    vertical: VerticalConvolution,
    dropout: Dropout,
    output: Linear,
}

impl Network for Caser {
    type Settings = CaserSettings;

    const NAME: &'static str = "caser";
    const SUMMARY: &'static str =
        "Convolutions over the history's item embeddings (Tang and Wang, 2018).";

    fn check(settings: &CaserSettings) -> Result<(), SettingError> {
        at_least_one(&[
            ("horizontal_filters", settings.horizontal_filters),
            ("vertical_filters", settings.vertical_filters),
        ])?;
        let FilterHeights(heights) = &settings.filter_heights;
        let length = settings.history_length;
        let message = if heights.is_empty() {
            "must name at least one height".to_owned()
        } else if let Some(height) = heights
            .iter()
            .find(|height| !(1..=length).contains(*height))
        {
            format!("{height} is not a height between 1 and history_length, {length}")
        } else if let Some((at, height)) =
            (heights.iter().enumerate()).find(|(at, height)| heights[..*at].contains(*height))
        {
            format!(
                "height {height} is there twice, the second time at place {}",
                at + 1
            )
        } else {
            return Ok(());
        };
        Err(wrong("filter_heights", &message))
    }

    fn build(
        settings: &CaserSettings,
        items: Items<'_>,
        builder: &mut VariableBuilder,
    ) -> Result<Self, NnError> {
        let shared = settings.shared();
        let steps = shared.history_length;
        let history = HistoryEmbedding::new(builder, &shared, shared.hidden_size, items)?;
        let width = history.width();
        let filters = settings.horizontal_filters;
        let FilterHeights(heights) = &settings.filter_heights;
        let horizontal = heights
            .iter()
            .enumerate()
            .map(|(number, height)| {
                let name = format!("horizontal_cnn.{number}");
                HorizontalConvolution::new(builder, &name, filters, (*height, width), steps)
            })
            .collect::<Result<_, _>>()?;
        let vertical =
            VerticalConvolution::new(builder, "vertical_cnn", settings.vertical_filters, steps)?;
        let found = filters * heights.len() + settings.vertical_filters * width;
        Ok(Self {
            history,
            horizontal,
            vertical,
            dropout: Dropout::new(shared.dropout),
            output: Linear::new(builder, "s_fc", found, items.rows)?,
        })
    }

    fn features(&self, batch: &Batch, random: Option<&mut Random>) -> Result<Tensor, NnError> {
        let x = self.history.forward(batch)?; // [B, T, W]
        let mut found = Vec::with_capacity(self.horizontal.len() + 1);
        for filters in &self.horizontal {
            found.push(filters.forward(&x, &batch.lengths)?); // [B, F]
        }
        found.push(self.vertical.forward(&x, &batch.lengths)?); // [B, F · W]
        let found = Tensor::cat(&found, 1).map_err(NnError::at("filters"))?;
        self.dropout.forward(found, random)
    }

    fn output(&self) -> &Linear {
        &self.output
    }
}
