//! A table of vectors, one per identifier.

use candle_core::Tensor;

use super::{Init, NnError, VariableBuilder};

/// A table `[V, W]` of vectors; its gradient is the sum over the places a row was used.
#[derive(Debug, Clone)]
pub struct Embedding {
    name: String,
    weight: Tensor,
}

impl Embedding {
    /// Makes `<name>.weight` with `rows` vectors of `width` numbers.
    ///
    /// # Errors
    /// See [`VariableBuilder::variable`].
    pub fn new(
        builder: &mut VariableBuilder,
        name: &str,
        rows: usize,
        width: usize,
        init: Init,
    ) -> Result<Self, NnError> {
        Ok(Self {
            name: name.to_owned(),
            weight: builder.variable(&format!("{name}.weight"), &[rows, width], init)?,
        })
    }

    /// Looks vectors up.
    ///
    /// # Shapes
    /// `identifiers [..] u32, below V → [.., W]`.
    ///
    /// # Errors
    /// If an identifier is not below V.
    pub fn forward(&self, identifiers: &Tensor) -> Result<Tensor, NnError> {
        let look_up = || {
            let mut shape = identifiers.dims().to_vec();
            shape.push(self.weight.dim(1)?);
            self.weight
                .index_select(&identifiers.flatten_all()?, 0)?
                .reshape(shape)
        };
        look_up().map_err(NnError::at(&self.name))
    }
}
