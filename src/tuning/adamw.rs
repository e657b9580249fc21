//! AdamW (Loshchilov and Hutter, 2019), with the arithmetic of `torch.optim.AdamW`.

use std::collections::BTreeMap;

use super::TuneError;
use crate::language_model::Parameters;

/// The numbers of AdamW.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWOptions {
    /// Decay of the first moment.
    pub beta_1: f64,
    /// Decay of the second moment.
    pub beta_2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Share of a value that goes in each step, times the learning rate; values of parameters of
    /// one dimension (biases, norms) stay, as the Trainer has it.
    pub weight_decay: f64,
}

impl Default for AdamWOptions {
    fn default() -> Self {
        Self {
            beta_1: 0.9,
            beta_2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.0,
        }
    }
}

/// The moments of a parameter.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Moments {
    /// Running mean of the gradient.
    pub first: Vec<f32>,
    /// Running mean of its square.
    pub second: Vec<f32>,
    /// Whether any gradient so far was not zero.
    pub reached: bool,
}

/// The optimiser with its moments.
#[derive(Debug, Clone, PartialEq)]
pub struct AdamW {
    options: AdamWOptions,
    steps: u64,
    moved: u64,
    moments: BTreeMap<String, Moments>,
}

/// Steps with a learning rate above 0 until the gradient of a parameter must not have been zero
/// in all of them. LoRA's A has none while B is zero, so it gets some more.
const STEPS_TO_REACH: u64 = 1;
const STEPS_TO_REACH_A: u64 = 3;

impl AdamW {
    /// An optimiser with zero moments for these parameters.
    #[must_use]
    pub fn new(parameters: &Parameters, options: AdamWOptions) -> Self {
        let moments = parameters.iter().map(|(name, parameter)| {
            let zeros = vec![0.0; parameter.values.len()];
            let moments = Moments {
                first: zeros.clone(),
                second: zeros,
                reached: false,
            };
            (name.to_owned(), moments)
        });
        Self {
            options,
            steps: 0,
            moved: 0,
            moments: moments.collect(),
        }
    }

    /// An optimiser that goes on after `steps` steps, `moved` of them with a learning rate above
    /// 0, with the moments it had.
    #[must_use]
    pub fn resumed(
        options: AdamWOptions,
        steps: u64,
        moved: u64,
        moments: BTreeMap<String, Moments>,
    ) -> Self {
        Self {
            options,
            steps,
            moved,
            moments,
        }
    }

    /// Steps done, and those of them with a learning rate above 0.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        (self.steps, self.moved)
    }

    /// The moments by parameter.
    #[must_use]
    pub fn moments(&self) -> &BTreeMap<String, Moments> {
        &self.moments
    }

    /// Moves every parameter along its gradient, which stays as it is.
    ///
    /// # Errors
    /// [`TuneError::NoGradient`] if a parameter had a zero gradient in all steps that could have
    /// moved it, before anything is changed.
    pub fn step(
        &mut self,
        parameters: &mut Parameters,
        learning_rate: f64,
    ) -> Result<(), TuneError> {
        let moved = self.moved + u64::from(learning_rate > 0.0);
        for (name, parameter) in parameters.iter() {
            let Some(moments) = self.moments.get_mut(name) else {
                return Err(TuneError::Data(format!(
                    "the optimiser was made for other parameters: it has no `{name}`"
                )));
            };
            moments.reached |= parameter.gradient.iter().any(|number| *number != 0.0);
            let patience = if name.contains(".lora_A.") {
                STEPS_TO_REACH_A
            } else {
                STEPS_TO_REACH
            };
            if !moments.reached && moved >= patience {
                return Err(TuneError::NoGradient(name.to_owned()));
            }
        }
        self.moved = moved;
        self.steps += 1;

        // PyTorch computes these in f64 and rounds them where they meet an f32 tensor.
        let options = self.options;
        let unbias = |beta: f64| 1.0 - beta.powf(self.steps as f64);
        let new_1 = (1.0 - options.beta_1) as f32;
        let keep_1 = options.beta_1 as f32;
        let keep_2 = options.beta_2 as f32;
        let new_2 = (1.0 - options.beta_2) as f32;
        let rate = (learning_rate / unbias(options.beta_1)) as f32;
        let root = unbias(options.beta_2).sqrt() as f32;
        let epsilon = options.epsilon as f32;
        for (name, parameter) in parameters.iter_mut() {
            let Some(moments) = self.moments.get_mut(name) else {
                continue;
            };
            let decays = parameter.shape.len() > 1 && options.weight_decay > 0.0;
            let shrink = if decays {
                (1.0 - learning_rate * options.weight_decay) as f32
            } else {
                1.0
            };
            let moments = moments.first.iter_mut().zip(&mut moments.second);
            let values = parameter.values.iter_mut().zip(&parameter.gradient);
            for ((value, &gradient), (first, second)) in values.zip(moments) {
                *value *= shrink;
                // `lerp` takes the end that it is nearer to.
                *first = if new_1 < 0.5 {
                    *first + new_1 * (gradient - *first)
                } else {
                    gradient - (gradient - *first) * keep_1
                };
                *second = *second * keep_2 + new_2 * gradient * gradient;
                *value -= rate * *first / (second.sqrt() / root + epsilon);
            }
        }
        Ok(())
    }
}

/// Euclidean norm of all gradients together.
#[must_use]
pub fn gradient_norm(parameters: &Parameters) -> f64 {
    let squares = parameters.iter().map(|(_, parameter)| {
        let numbers = parameter.gradient.iter();
        numbers
            .map(|number| f64::from(*number).powi(2))
            .sum::<f64>()
    });
    squares.sum::<f64>().sqrt()
}

/// Shortens the gradients to a common norm of `limit`, if `norm` is longer
/// (`torch.nn.utils.clip_grad_norm_`).
pub fn clip(parameters: &mut Parameters, norm: f64, limit: f64) {
    let factor = limit / (norm + 1e-6);
    if factor < 1.0 {
        let factor = factor as f32;
        for (_, parameter) in parameters.iter_mut() {
            for number in &mut parameter.gradient {
                *number *= factor;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language_model::Parameter;

    /// Name, shape, values, gradient.
    type Given<'a> = (&'a str, &'a [usize], &'a [f32], &'a [f32]);

    fn parameters(list: &[Given<'_>]) -> Parameters {
        let one = |(name, shape, values, gradient): &Given<'_>| {
            let mut parameter = Parameter::new(shape.to_vec(), values.to_vec());
            parameter.gradient = gradient.to_vec();
            ((*name).to_owned(), parameter)
        };
        Parameters::new(list.iter().map(one).collect())
    }

    /// As `AdamW([p], lr=0.1, weight_decay=0.5)`; the trajectories of `tests/parity_tuning.rs` are
    /// PyTorch's own.
    #[test]
    fn two_steps_agree_with_the_formulas_in_f64() {
        let options = AdamWOptions {
            weight_decay: 0.5,
            ..AdamWOptions::default()
        };
        let mut all = parameters(&[
            ("w", &[1, 2], &[1.0, -2.0], &[0.5, -3.0]),
            ("bias", &[2], &[1.0, -2.0], &[0.5, -3.0]),
        ]);
        let mut adamw = AdamW::new(&all, options);
        adamw.step(&mut all, 0.1).expect("gradients");
        for (_, parameter) in all.iter_mut() {
            parameter.gradient = vec![-1.0, 0.25];
        }
        adamw.step(&mut all, 0.1).expect("gradients");
        for (name, decay) in [("w", 0.5), ("bias", 0.0)] {
            for (at, (start, gradients)) in [(1.0, [0.5, -1.0]), (-2.0, [-3.0, 0.25])]
                .into_iter()
                .enumerate()
            {
                let (mut value, mut first, mut second) = (start, 0.0, 0.0);
                for (step, gradient) in gradients.into_iter().enumerate() {
                    value *= 1.0 - 0.1 * decay;
                    first = 0.9 * first + 0.1 * gradient;
                    second = 0.999 * second + 0.001 * gradient * gradient;
                    let power = step as i32 + 1;
                    let unbiased = first / (1.0 - 0.9_f64.powi(power));
                    let spread: f64 = second / (1.0 - 0.999_f64.powi(power));
                    value -= 0.1 * unbiased / (spread.sqrt() + 1e-8);
                }
                let found = f64::from(all.get(name).expect("there").values[at]);
                assert!((found - value).abs() < 1e-6, "{name} {found} {value}");
            }
        }
        assert_eq!(adamw.counts(), (2, 2));
    }

    #[test]
    fn a_learning_rate_of_zero_moves_moments_only() {
        let mut all = parameters(&[("w", &[1, 1], &[1.0], &[0.5])]);
        let mut adamw = AdamW::new(&all, AdamWOptions::default());
        adamw.step(&mut all, 0.0).expect("a gradient");
        assert_eq!(all.get("w").expect("there").values, [1.0]);
        assert_eq!(adamw.moments()["w"].first, [0.05]);
        assert_eq!(adamw.counts(), (1, 0));
    }

    #[test]
    fn what_no_gradient_reaches_is_named_and_a_waits_for_b() {
        let a = "layers.0.q_proj.lora_A.weight";
        let b = "layers.0.q_proj.lora_B.weight";
        let mut all = parameters(&[(a, &[1, 1], &[1.0], &[0.0]), (b, &[1, 1], &[0.0], &[0.1])]);
        let mut adamw = AdamW::new(&all, AdamWOptions::default());
        adamw.step(&mut all, 0.0).expect("nothing moves yet");
        adamw.step(&mut all, 0.1).expect("A has time");
        adamw.step(&mut all, 0.1).expect("A has time");
        let error = adamw.step(&mut all, 0.1);
        assert!(matches!(error, Err(TuneError::NoGradient(name)) if name == a));

        let mut all = parameters(&[(a, &[1, 1], &[1.0], &[0.1]), (b, &[1, 1], &[0.0], &[0.0])]);
        let mut adamw = AdamW::new(&all, AdamWOptions::default());
        adamw.step(&mut all, 0.0).expect("nothing moves yet");
        let error = adamw.step(&mut all, 0.1);
        assert!(matches!(error, Err(TuneError::NoGradient(name)) if name == b));
    }

    #[test]
    fn long_gradients_are_shortened_and_short_ones_stay() {
        let mut all = parameters(&[
            ("a", &[2], &[0.0, 0.0], &[3.0, 0.0]),
            ("b", &[1], &[0.0], &[4.0]),
        ]);
        let norm = gradient_norm(&all);
        assert!((norm - 5.0).abs() < 1e-12);
        clip(&mut all, norm, 10.0);
        assert_eq!(all.get("b").expect("there").gradient, [4.0]);
        clip(&mut all, norm, 1.0);
        assert!((gradient_norm(&all) - 1.0).abs() < 1e-6);
    }
}
