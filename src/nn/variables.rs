//! A model's variables by name: made once, saved and loaded as safetensors.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use candle_core::{DType, Device, Tensor, Var};

use super::{Init, NnError};
use crate::base::bounded;

/// Makes the variables of a model, from a seed or from a file of weights.
///
/// Layers ask for `<layer>.<variable>`, PyTorch's names.
#[derive(Debug)]
pub struct VariableBuilder {
    source: Source,
    device: Device,
    made: BTreeMap<String, Var>,
}

#[derive(Debug)]
enum Source {
    Seed(u64),
    Weights(BTreeMap<String, Tensor>),
}

impl VariableBuilder {
    /// Draws variables from streams of `seed`.
    #[must_use]
    pub fn from_seed(seed: u64, device: &Device) -> Self {
        Self {
            source: Source::Seed(seed),
            device: device.clone(),
            made: BTreeMap::new(),
        }
    }

    /// Takes variables from tensors by name; other float types become `f32`.
    #[must_use]
    pub fn from_tensors(tensors: BTreeMap<String, Tensor>, device: &Device) -> Self {
        Self {
            source: Source::Weights(tensors),
            device: device.clone(),
            made: BTreeMap::new(),
        }
    }

    /// Takes variables from a safetensors file.
    ///
    /// # Errors
    /// If the file cannot be read or is not in the format.
    pub fn from_file(path: &Path, device: &Device) -> Result<Self, NnError> {
        let bytes = bounded::read(path, bounded::DATA).map_err(|source| NnError::Io {
            action: "read",
            path: path.to_owned(),
            source,
        })?;
        let name = path.display().to_string();
        let tensors =
            candle_core::safetensors::load_buffer(&bytes, device).map_err(NnError::at(&name))?;
        Ok(Self::from_tensors(tensors.into_iter().collect(), device))
    }

    /// The variable `name`; `init` matters only when drawing from a seed.
    ///
    /// # Errors
    /// If the name is taken, or the weights lack it or have it in another shape.
    pub fn variable(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Tensor, NnError> {
        if self.made.contains_key(name) {
            return Err(NnError::Duplicate(name.to_owned()));
        }
        let value = match &mut self.source {
            Source::Seed(seed) => {
                Tensor::from_vec(init.draw(*seed, name, shape), shape, &self.device)
                    .map_err(NnError::at(name))?
            }
            Source::Weights(weights) => {
                let tensor = weights
                    .remove(name)
                    .ok_or_else(|| NnError::Missing(name.to_owned()))?;
                if tensor.dims() != shape {
                    return Err(NnError::Shape {
                        name: name.to_owned(),
                        expected: shape.to_vec(),
                        found: tensor.dims().to_vec(),
                    });
                }
                tensor.to_dtype(DType::F32).map_err(NnError::at(name))?
            }
        };
        let variable = Var::from_tensor(&value).map_err(NnError::at(name))?;
        let tensor = variable.as_tensor().clone();
        self.made.insert(name.to_owned(), variable);
        Ok(tensor)
    }

    /// All variables, once the model is complete.
    ///
    /// # Errors
    /// If the weights hold something no layer asked for.
    pub fn finish(self) -> Result<Variables, NnError> {
        match self.source {
            Source::Weights(rest) if !rest.is_empty() => {
                Err(NnError::Surplus(rest.into_keys().collect()))
            }
            _ => Ok(Variables { by_name: self.made }),
        }
    }
}

/// The variables of a model, in the order of their names.
#[derive(Debug)]
pub struct Variables {
    by_name: BTreeMap<String, Var>,
}

impl Variables {
    /// Names and variables, in the order of names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.by_name.iter().map(|(name, var)| (name.as_str(), var))
    }

    /// A variable's tensor.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.by_name.get(name).map(Var::as_tensor)
    }

    /// How many numbers there are in all.
    #[must_use]
    pub fn count(&self) -> usize {
        let numbers = |var: &Var| var.as_tensor().elem_count();
        self.by_name.values().map(numbers).sum()
    }

    /// Copies all values, to come back to with [`Variables::restore`].
    ///
    /// # Errors
    /// If the device refuses.
    pub fn snapshot(&self) -> Result<Snapshot, NnError> {
        let copy = |(name, var): (&String, &Var)| {
            let value = var.as_tensor().copy().map_err(NnError::at(name))?;
            Ok((name.clone(), value.detach()))
        };
        let values = self.by_name.iter().map(copy).collect::<Result<_, _>>()?;
        Ok(Snapshot { values })
    }

    /// Sets all values to those of a snapshot of the same model.
    ///
    /// # Errors
    /// If the snapshot is of another model.
    pub fn restore(&self, snapshot: &Snapshot) -> Result<(), NnError> {
        for (name, variable) in &self.by_name {
            let value = snapshot
                .values
                .get(name)
                .ok_or_else(|| NnError::Missing(name.clone()))?;
            variable.set(value).map_err(NnError::at(name))?;
        }
        Ok(())
    }

    /// Writes a safetensors file; the same values give the same bytes.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), NnError> {
        let tensors = self
            .by_name
            .iter()
            .map(|(name, var)| (name, var.as_tensor()));
        let bytes = safetensors::serialize(tensors, None).map_err(|source| NnError::Format {
            path: path.to_owned(),
            source,
        })?;
        fs::write(path, bytes).map_err(|source| NnError::Io {
            action: "write",
            path: path.to_owned(),
            source,
        })
    }
}

/// Values of all variables at one moment.
#[derive(Debug)]
pub struct Snapshot {
    values: BTreeMap<String, Tensor>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(builder: &mut VariableBuilder) -> Result<(), NnError> {
        builder.variable("b", &[2], Init::Constant(1.0))?;
        builder.variable("a", &[2, 3], Init::XavierNormal)?;
        Ok(())
    }

    #[test]
    fn files_read_back_and_wrong_keys_are_errors() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("model.safetensors");
        let mut builder = VariableBuilder::from_seed(1, &Device::Cpu);
        build(&mut builder).expect("fresh");
        let variables = builder.finish().expect("complete");
        assert_eq!(variables.count(), 8);
        variables.save(&path).expect("save");

        let mut builder = VariableBuilder::from_file(&path, &Device::Cpu).expect("file");
        build(&mut builder).expect("same names");
        let loaded = builder.finish().expect("nothing left");
        for (name, variable) in variables.iter() {
            let one = variable.flatten_all().and_then(|t| t.to_vec1::<f32>());
            let two = loaded.get(name).expect("there").flatten_all();
            assert_eq!(
                one.expect("f32"),
                two.expect("flat").to_vec1::<f32>().expect("f32")
            );
        }

        let mut builder = VariableBuilder::from_file(&path, &Device::Cpu).expect("file");
        let missing = builder.variable("c", &[1], Init::Constant(0.0));
        assert!(matches!(missing, Err(NnError::Missing(name)) if name == "c"));
        let shape = builder.variable("a", &[3, 2], Init::Constant(0.0));
        assert!(matches!(shape, Err(NnError::Shape { .. })));
        assert!(matches!(builder.finish(), Err(NnError::Surplus(names)) if names == ["b"]));
    }

    #[test]
    fn a_snapshot_comes_back_and_does_not_follow() {
        let mut builder = VariableBuilder::from_seed(1, &Device::Cpu);
        let tensor = builder
            .variable("a", &[2], Init::Constant(1.0))
            .expect("fresh");
        assert!(matches!(
            builder.variable("a", &[2], Init::Constant(1.0)),
            Err(NnError::Duplicate(_))
        ));
        let variables = builder.finish().expect("complete");
        let snapshot = variables.snapshot().expect("copy");
        let (_, variable) = variables.iter().next().expect("one");
        let other = Tensor::new(&[5_f32, 6.0], &Device::Cpu).expect("tensor");
        variable.set(&other).expect("set");
        assert_eq!(tensor.to_vec1::<f32>().expect("f32"), [5.0, 6.0]);
        variables.restore(&snapshot).expect("same model");
        assert_eq!(tensor.to_vec1::<f32>().expect("f32"), [1.0, 1.0]);
    }
}
