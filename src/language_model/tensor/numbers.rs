//! How many numbers a layer holds at its most: `layer.rs` and `attention.rs` in amounts, line by line.

use super::layer::{DOWN, GATE, KEY, OUTPUT, QUERY, UP, VALUE};
use super::packing::SCORES_AT_ONCE;
use crate::language_model::lora::MODULES;
use crate::language_model::memory::{LayerNumbers, Ledger, PassSize, Trained};
use crate::language_model::{Configuration, LoraOptions};

/// The sizes of a layer in a pass.
struct Layer<'a> {
    configuration: &'a Configuration,
    trained: Trained<'a>,
    size: PassSize,
    /// Whether a matrix is made dense where it is used.
    makes_dense: bool,
}

/// A group of sequences in attention, in numbers.
struct Group {
    queries: usize,
    keys: usize,
    scores: usize,
}

/// The numbers of a layer whose matrices are kept as they are used.
pub(in crate::language_model) fn layer_numbers(
    configuration: &Configuration,
    trained: Trained<'_>,
    size: PassSize,
) -> LayerNumbers {
    numbers(configuration, trained, size, false)
}

/// The same where a matrix is made dense when it is used.
pub(in crate::language_model) fn layer_numbers_quantised(
    configuration: &Configuration,
    trained: Trained<'_>,
    size: PassSize,
) -> LayerNumbers {
    numbers(configuration, trained, size, true)
}

/// Bytes for each row of a pass that are no hidden states: angles in `f32` and keys of dropout, both
/// for all rows and for those asked for, tokens, and places in attention.
pub(in crate::language_model) fn row_bytes(
    configuration: &Configuration,
    trained: Trained<'_>,
) -> u64 {
    let adapted = (0..MODULES.len()).filter(|module| trained.adapter(*module).is_some());
    let keys = 8 * adapted.count() * configuration.layers;
    (2 * (4 * configuration.head_size + keys) + 64) as u64
}

fn numbers(
    configuration: &Configuration,
    trained: Trained<'_>,
    size: PassSize,
    makes_dense: bool,
) -> LayerNumbers {
    let layer = Layer {
        configuration,
        trained,
        size,
        makes_dense,
    };
    LayerNumbers {
        kept: layer.kept() as u64,
        scoring: layer.forward(false),
        forward: layer.forward(true),
        backward: layer.backward(),
    }
}

impl Layer<'_> {
    fn adapter(&self, module: usize) -> Option<&LoraOptions> {
        self.trained.adapter(module)
    }

    fn all(&self) -> usize {
        self.size.rows
    }

    fn asked(&self) -> usize {
        self.size.asked
    }

    fn is_all(&self) -> bool {
        self.asked() == self.all()
    }

    fn rows(&self, module: usize) -> usize {
        match module {
            KEY | VALUE => self.all(),
            _ => self.asked(),
        }
    }

    fn hidden(&self) -> usize {
        self.configuration.hidden_size
    }

    /// Inputs and outputs of a module.
    fn widths(&self, module: usize) -> (usize, usize) {
        let (name, _) = MODULES[module];
        self.configuration.module_widths(name).unwrap_or_default()
    }

    /// Numbers of a module's output.
    fn output(&self, module: usize) -> usize {
        self.rows(module) * self.widths(module).1
    }

    /// Numbers of a module's input.
    fn input(&self, module: usize) -> usize {
        self.rows(module) * self.widths(module).0
    }

    fn matrix(&self, module: usize) -> usize {
        let (inputs, outputs) = self.widths(module);
        if self.makes_dense {
            inputs * outputs
        } else {
            0
        }
    }

    /// Low-rank activations of a module.
    fn low(&self, module: usize) -> usize {
        self.adapter(module)
            .map_or(0, |options| options.r * self.rows(module))
    }

    fn triple(&self) -> usize {
        self.output(QUERY) + self.output(KEY) + self.output(VALUE)
    }

    fn turned(&self) -> usize {
        self.output(QUERY) + self.output(KEY)
    }

    fn raw(&self) -> usize {
        if self.configuration.query_key_norm {
            self.turned()
        } else {
            0
        }
    }

    fn kept(&self) -> usize {
        self.raw()
            + self.triple()
            + self.input(OUTPUT)
            + self.asked() * self.hidden()
            + 2 * self.output(GATE)
            + (0..MODULES.len()).map(|at| self.low(at)).sum::<usize>()
    }

    /// Groups as `packing` makes them of sequences as long as the longest.
    fn group(&self) -> Group {
        let PassSize {
            asked,
            sequences,
            prefix,
            longest,
            ..
        } = self.size;
        let sequences = sequences.max(1);
        let of_one = if self.is_all() {
            longest.saturating_sub(prefix)
        } else {
            asked.div_ceil(sequences)
        };
        let of_one = of_one.max(1);
        let scores_of_one = self.configuration.heads * of_one * longest.max(1);
        let together = (SCORES_AT_ONCE / scores_of_one).clamp(1, sequences);
        let (_, width) = self.widths(QUERY);
        let (_, key_width) = self.widths(KEY);
        Group {
            queries: together * of_one * width,
            keys: together * longest * key_width,
            scores: together * scores_of_one,
        }
    }

    /// `Linear::forward`; its output and what it keeps stay.
    fn linear(&self, ledger: &mut Ledger, module: usize) {
        ledger.touch(self.matrix(module) + self.output(module));
        ledger.take(self.output(module));
        let Some(options) = self.adapter(module) else {
            return;
        };
        ledger.take(options.r * self.rows(module));
    }

    /// `Scene::attend`; what it gives stays.
    fn attend(&self, ledger: &mut Ledger) {
        let Group {
            queries,
            keys,
            scores,
        } = self.group();
        ledger.take(self.input(OUTPUT));
        ledger.touch(queries + keys + scores);
    }

    /// `Layer::forward` beside its input.
    fn forward(&self, keep: bool) -> u64 {
        let mut ledger = Ledger::default();
        let hidden = self.asked() * self.hidden();
        let chosen = if self.is_all() { 0 } else { hidden };
        ledger.take(self.all() * self.hidden() + chosen);
        self.linear(&mut ledger, QUERY);
        ledger.give(chosen);
        self.linear(&mut ledger, KEY);
        self.linear(&mut ledger, VALUE);
        ledger.give(self.all() * self.hidden());
        if self.configuration.query_key_norm {
            ledger.touch(self.turned());
            ledger.take(if keep { self.raw() } else { 0 });
        }
        self.attend(&mut ledger);
        self.linear(&mut ledger, OUTPUT);
        ledger.touch(chosen + hidden);
        ledger.take(hidden);
        self.linear(&mut ledger, GATE);
        self.linear(&mut ledger, UP);
        ledger.give(hidden);
        ledger.take(self.output(GATE));
        self.linear(&mut ledger, DOWN);
        ledger.give(self.output(GATE));
        ledger.touch(hidden);
        ledger.most()
    }

    /// `Linear::backward`, whose input costs so much to have; the gradient of its input stays.
    fn linear_backward(&self, ledger: &mut Ledger, module: usize, input: usize, wanted: bool) {
        let for_x = if wanted { self.input(module) } else { 0 };
        if wanted {
            ledger.touch(self.matrix(module) + for_x);
            ledger.take(for_x);
        }
        if self.adapter(module).is_none() {
            return;
        }
        let low = 2 * self.low(module);
        ledger.touch(low + input + self.input(module));
    }

    /// `Layer::backward` with what was kept and the gradient of its output.
    fn backward(&self) -> u64 {
        let mut ledger = Ledger::default();
        let hidden = self.asked() * self.hidden();
        let inner = self.output(GATE);
        ledger.take(self.kept() + hidden);
        // Feed-forward block.
        self.linear_backward(&mut ledger, DOWN, inner, true);
        ledger.take(2 * inner);
        ledger.give(inner);
        self.linear_backward(&mut ledger, GATE, hidden, true);
        self.linear_backward(&mut ledger, UP, hidden, true);
        ledger.touch(hidden);
        // Gate and up themselves, and their gradients.
        ledger.give(hidden + 4 * inner);
        // Through the norm, and added to what came.
        ledger.touch(2 * hidden);
        ledger.give(hidden);
        // Attention block.
        self.linear_backward(&mut ledger, OUTPUT, 0, true);
        let wide = self.input(OUTPUT);
        ledger.take(wide + self.triple());
        let Group {
            queries,
            keys,
            scores,
        } = self.group();
        ledger.touch(2 * (queries + keys + scores));
        ledger.give(wide);
        let all = self.all() * self.hidden();
        ledger.take(all);
        let chosen = if self.is_all() { 0 } else { hidden };
        self.linear_backward(&mut ledger, QUERY, chosen, true);
        if !self.is_all() {
            ledger.touch(all);
            ledger.give(hidden);
            ledger.take(all);
        }
        self.linear_backward(&mut ledger, KEY, 0, true);
        ledger.touch(all);
        ledger.give(all);
        self.linear_backward(&mut ledger, VALUE, 0, true);
        ledger.touch(all);
        ledger.give(all);
        ledger.touch(2 * all + if self.is_all() { 0 } else { all });
        ledger.most()
    }
}
