//! A table of vectors, one per identifier.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::gradients::{Gradient, RowGradient, hand_over, wanted};
use super::matrix::{numbers, with_numbers};
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
    ) -> std::result::Result<Self, NnError> {
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
    pub fn forward(&self, identifiers: &Tensor) -> std::result::Result<Tensor, NnError> {
        let look_up = || {
            let mut shape = identifiers.dims().to_vec();
            shape.push(self.weight.dim(1)?);
            let identifiers = identifiers.flatten_all()?;
            let rows = if self.weight.device().is_cpu() {
                let identifiers = identifiers.to_vec1()?;
                self.weight.apply_op1(LookUp { identifiers })
            } else {
                self.weight.index_select(&identifiers, 0)
            };
            rows?.reshape(shape)
        };
        look_up().map_err(NnError::at(&self.name))
    }

    /// The table, `[V, W]`.
    #[must_use]
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }
}

/// Rows of a table, `[V, W] → [N, W]`.
struct LookUp {
    identifiers: Vec<u32>,
}

impl CustomOp1 for LookUp {
    fn name(&self) -> &'static str {
        "look_up"
    }

    fn cpu_fwd(&self, table: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, width) = layout.shape().dims2()?;
        let table = numbers(table, layout)?;
        let mut out = Vec::with_capacity(self.identifiers.len() * width);
        for row in &self.identifiers {
            let row = *row as usize;
            if row >= rows {
                candle_core::bail!("identifier {row} of a table of {rows} rows");
            }
            out.extend_from_slice(&table[row * width..(row + 1) * width]);
        }
        let shape = (self.identifiers.len(), width).into();
        Ok((CpuStorage::F32(out), shape))
    }

    fn bwd(&self, table: &Tensor, _rows: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let (rows, width) = table.dims2()?;
        if !(table.is_variable() && wanted()) {
            let identifiers = Tensor::new(self.identifiers.as_slice(), table.device())?;
            let sum = table.zeros_like()?.index_add(&identifiers, gradient, 0)?;
            return Ok(Some(sum));
        }
        let mut sums = RowGradient::new(rows, width);
        with_numbers(gradient, |gradient| {
            for (row, gradient) in self.identifiers.iter().zip(gradient.chunks_exact(width)) {
                sums.add(*row as usize, gradient);
            }
            Ok(())
        })?;
        hand_over(table, Gradient::Rows(sums))?;
        Ok(None)
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
