//! Adam (Kingma and Ba, 2015) with L2 in the gradient, as `torch.optim.Adam` has it.

use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, InplaceOp1, Layout, Result};

use super::TrainError;
use crate::nn::matrix::with_numbers;
use crate::nn::moments::{Step, step, step_rows};
use crate::nn::{Gradient, Gradients, NnError, Variables};

/// The numbers of Adam.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamOptions {
    /// Step size; the paper's baselines use 1e-3.
    pub learning_rate: f64,
    /// λ in `gradient + λ · weight`. This is coupled L2, not `AdamW`: the moments see it.
    pub weight_decay: f64,
    /// Decay of the first moment.
    pub beta_1: f64,
    /// Decay of the second moment.
    pub beta_2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
}

impl Default for AdamOptions {
    fn default() -> Self {
        Self {
            learning_rate: 1e-3,
            weight_decay: 0.0,
            beta_1: 0.9,
            beta_2: 0.999,
            epsilon: 1e-8,
        }
    }
}

/// The optimiser with its moments, one pass over memory per variable and step.
///
/// Every variable is updated in every step, rows of an embedding no sample used included: with
/// weight decay they shrink, as they do in PyTorch with dense gradients.
#[derive(Debug)]
pub struct Adam {
    options: AdamOptions,
    steps: i32,
    moments: Vec<Mutex<Moments>>,
}

#[derive(Debug, Default)]
struct Moments {
    first: Vec<f32>,
    second: Vec<f32>,
}

impl Adam {
    /// An optimiser with empty moments for these variables.
    #[must_use]
    pub fn new(variables: &Variables, options: AdamOptions) -> Self {
        Self {
            options,
            steps: 0,
            moments: variables.iter().map(|_| Mutex::default()).collect(),
        }
    }

    /// Moves every variable of the model this optimiser was made for.
    ///
    /// # Errors
    /// [`TrainError::NoGradient`] if a variable has none, before anything is changed.
    pub fn step(
        &mut self,
        variables: &Variables,
        gradients: &Gradients,
    ) -> std::result::Result<(), TrainError> {
        for (name, variable) in variables.iter() {
            if gradients.find(variable).is_none() {
                return Err(TrainError::NoGradient(name.to_owned()));
            }
        }
        self.steps += 1;
        let options = self.options;
        let unbias = |beta: f64| 1.0 - beta.powi(self.steps);
        for ((name, variable), moments) in variables.iter().zip(&self.moments) {
            let Some(gradient) = gradients.find(variable) else {
                continue;
            };
            let update = Update {
                step: Step {
                    weight_decay: options.weight_decay as f32,
                    keep_1: options.beta_1 as f32,
                    keep_2: options.beta_2 as f32,
                    new_1: (1.0 - options.beta_1) as f32,
                    new_2: (1.0 - options.beta_2) as f32,
                    rate: (options.learning_rate / unbias(options.beta_1)) as f32,
                    root: (1.0 / unbias(options.beta_2).sqrt()) as f32,
                    epsilon: options.epsilon as f32,
                },
                gradient,
                moments,
            };
            let tensor = variable.as_tensor();
            tensor.inplace_op1(&update).map_err(NnError::at(name))?;
        }
        Ok(())
    }
}

struct Update<'a> {
    step: Step,
    gradient: &'a Gradient,
    moments: &'a Mutex<Moments>,
}

impl InplaceOp1 for Update<'_> {
    fn name(&self) -> &'static str {
        "adam"
    }

    fn cpu_fwd(&self, weights: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let (CpuStorage::F32(all), Some((start, end))) = (weights, layout.contiguous_offsets())
        else {
            candle_core::bail!("adam needs contiguous f32 variables");
        };
        let weights = &mut all[start..end];
        let mut moments = self.moments.lock().unwrap_or_else(PoisonError::into_inner);
        let Moments { first, second } = &mut *moments;
        first.resize(weights.len(), 0.0);
        second.resize(weights.len(), 0.0);
        match self.gradient {
            Gradient::All(gradient) => with_numbers(gradient, |gradient| {
                if weights.len() != gradient.len() {
                    candle_core::bail!("{} weights, {} gradients", weights.len(), gradient.len());
                }
                step(weights, first, second, gradient, self.step);
                Ok(())
            }),
            Gradient::Rows(rows) => {
                step_rows(weights, first, second, rows, self.step);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::nn::{Embedding, Init, VariableBuilder};

    /// The first step of Adam is the learning rate times the gradient's sign; the second, for
    /// an unchanged gradient, the same again.
    #[test]
    fn first_steps_by_hand_and_a_variable_without_gradient_is_named() {
        let mut builder = VariableBuilder::from_seed(1, &Device::Cpu);
        let used = builder.variable("used", &[2], Init::Constant(1.0));
        let used = used.expect("fresh");
        let variables = builder.finish().expect("complete");
        let options = AdamOptions {
            learning_rate: 0.1,
            ..AdamOptions::default()
        };
        let mut adam = Adam::new(&variables, options);
        let direction = candle_core::Tensor::new(&[3_f32, -0.5], &Device::Cpu).expect("cpu");
        for _ in 0..2 {
            let loss = (&used * &direction).and_then(|t| t.sum_all());
            let gradients = Gradients::of(&loss.expect("cpu")).expect("differentiable");
            adam.step(&variables, &gradients).expect("a gradient each");
        }
        let values = used.to_vec1::<f32>().expect("f32");
        assert!((values[0] - 0.8).abs() < 1e-6 && (values[1] - 1.2).abs() < 1e-6);

        let mut builder = VariableBuilder::from_seed(1, &Device::Cpu);
        let used = builder.variable("used", &[2], Init::Constant(1.0));
        builder
            .variable("idle", &[2], Init::Constant(1.0))
            .expect("fresh");
        let variables = builder.finish().expect("complete");
        let loss = used.expect("fresh").sum_all().expect("cpu");
        let gradients = Gradients::of(&loss).expect("differentiable");
        let error = Adam::new(&variables, options).step(&variables, &gradients);
        assert!(matches!(error, Err(TrainError::NoGradient(name)) if name == "idle"));
    }
    /// A table of which few rows are used: the bytes of whole gradients, also of rows that decay.
    #[test]
    fn rows_move_as_whole_tables_do() {
        let make = || {
            let mut builder = VariableBuilder::from_seed(2, &Device::Cpu);
            let init = Init::Normal { deviation: 1.0 };
            let table = Embedding::new(&mut builder, "items", 50, 7, init).expect("fresh");
            (table, builder.finish().expect("complete"))
        };
        let options = AdamOptions {
            weight_decay: 0.01,
            ..AdamOptions::default()
        };
        let ((rows, rows_variables), (whole, whole_variables)) = (make(), make());
        let mut for_rows = Adam::new(&rows_variables, options);
        let mut for_whole = Adam::new(&whole_variables, options);
        for number in 0..20_u32 {
            let used = [number % 9, (number * 7) % 30, number % 9];
            let used = candle_core::Tensor::new(&used, &Device::Cpu).expect("cpu");
            let loss = rows.forward(&used).and_then(|x| {
                let sum = x.sqr().and_then(|x| x.sum_all());
                sum.map_err(NnError::at("loss"))
            });
            let gradients = Gradients::of(&loss.expect("cpu")).expect("differentiable");
            assert!(matches!(
                gradients.find(rows.weight()),
                Some(Gradient::Rows(_))
            ));
            for_rows.step(&rows_variables, &gradients).expect("all");
            let loss = whole
                .weight()
                .index_select(&used, 0)
                .and_then(|x| x.sqr()?.sum_all());
            let gradients = Gradients::of(&loss.expect("cpu")).expect("differentiable");
            assert!(matches!(
                gradients.find(whole.weight()),
                Some(Gradient::All(_))
            ));
            for_whole.step(&whole_variables, &gradients).expect("all");
            let one = rows.weight().to_vec2::<f32>().expect("f32");
            assert_eq!(one, whole.weight().to_vec2::<f32>().expect("f32"));
        }
    }
}
