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

    /// The first `count` vectors, `[count, W]`: of positions, for instance.
    ///
    /// # Errors
    /// If there are fewer.
    pub fn first(&self, count: usize) -> Result<Tensor, NnError> {
        let first = self.weight.narrow(0, 0, count);
        first.map_err(NnError::at(&self.name))
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

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::nn::finite_difference::check;

    #[test]
    fn a_row_used_twice_gets_both_gradients() {
        let device = Device::Cpu;
        let mut builder = VariableBuilder::from_seed(3, &device);
        let init = Init::Normal { deviation: 1.0 };
        let table = Embedding::new(&mut builder, "items", 4, 2, init).expect("fresh");
        let variables = builder.finish().expect("complete");
        let identifiers = Tensor::new(&[[0_u32, 3, 3], [1, 0, 3]], &device).expect("cpu");
        let looked_up = table.forward(&identifiers).expect("below 4");
        assert_eq!(looked_up.dims(), [2, 3, 2]);
        check(&variables, || {
            let vectors = table.forward(&identifiers).expect("below 4");
            vectors.sqr().and_then(|v| v.mean_all()).expect("cpu")
        });
        let beyond = Tensor::new(&[4_u32], &device).expect("cpu");
        assert!(table.forward(&beyond).is_err());
    }
}
