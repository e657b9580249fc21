//! How many numbers a layer holds at its most: `layer.rs` in amounts, line by line.

use super::network::{DOWN, GATE, KEY, OUTPUT, QUERY, UP, VALUE};
use crate::language_model::lora::MODULES;
use crate::language_model::memory::{LayerNumbers, Ledger, PassSize, Trained};
use crate::language_model::{Configuration, LoraOptions};
use crate::nn::vector::rows_per_task;

/// The sizes of a layer in a pass.
struct Layer<'a> {
    /// T and Q.
    all: usize,
    asked: usize,
    /// Widths: hidden, all heads of queries, all heads of keys, inner; and the number of heads.
    hidden: usize,
    queries: usize,
    keys: usize,
    inner: usize,
    heads: usize,
    /// Copies of keys' and values' gradients of a shared beginning, one a sequence.
    shared: usize,
    has_norms: bool,
    trained: Trained<'a>,
}

/// The numbers that a layer of the decoder on the CPU holds.
pub(in crate::language_model) fn layer_numbers(
    configuration: &Configuration,
    trained: Trained<'_>,
    size: PassSize,
) -> LayerNumbers {
    let keys = configuration.key_value_heads * configuration.head_size;
    let layer = Layer {
        all: size.rows,
        asked: size.asked,
        hidden: configuration.hidden_size,
        queries: configuration.heads * configuration.head_size,
        keys,
        inner: configuration.intermediate_size,
        heads: configuration.heads,
        shared: if size.prefix > 0 {
            2 * size.sequences * size.prefix * keys
        } else {
            0
        },
        has_norms: configuration.query_key_norm,
        trained,
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

    /// Whether anything of a module is trained.
    fn trains(&self, module: usize) -> bool {
        self.trained == Trained::Everything || self.adapter(module).is_some()
    }

    fn is_all(&self) -> bool {
        self.asked == self.all
    }

    fn rows(&self, module: usize) -> usize {
        match module {
            KEY | VALUE => self.all,
            _ => self.asked,
        }
    }

    /// Low-rank activations of a module.
    fn low(&self, module: usize) -> usize {
        self.adapter(module)
            .map_or(0, |options| options.r * self.rows(module))
    }

    /// q, k and v.
    fn triple(&self) -> usize {
        self.asked * self.queries + 2 * self.all * self.keys
    }

    /// q and k before their norms.
    fn raw(&self) -> usize {
        if self.has_norms {
            self.asked * self.queries + self.all * self.keys
        } else {
            0
        }
    }

    fn kept(&self) -> usize {
        self.all
            + self.raw()
            + self.triple()
            + self.heads * self.asked
            + self.asked * (self.queries + self.hidden + 1 + 2 * self.inner)
            + (0..MODULES.len()).map(|at| self.low(at)).sum::<usize>()
    }

    /// `Layer::forward` beside its input.
    fn forward(&self, keep: bool) -> u64 {
        let mut ledger = Ledger::default();
        let chosen = if self.is_all() {
            0
        } else {
            self.asked * self.hidden
        };
        let wide = self.asked * self.queries;
        ledger.take(self.all * self.hidden + self.all);
        ledger.take(chosen);
        ledger.take(self.triple());
        ledger.take(self.low(QUERY) + self.low(KEY) + self.low(VALUE));
        ledger.give(self.all * self.hidden + chosen);
        ledger.take(self.triple());
        ledger.give(self.triple() - if keep { self.raw() } else { 0 });
        // By head, and then by row.
        ledger.take(wide + self.heads * self.asked);
        ledger.take(wide);
        ledger.give(wide);
        ledger.take(self.asked * self.hidden + self.low(OUTPUT));
        ledger.touch(chosen);
        if !keep {
            ledger.give(self.triple() + wide);
        }
        ledger.take(self.asked * (self.hidden + 1));
        ledger.take(2 * self.asked * self.inner + self.low(GATE) + self.low(UP));
        ledger.give(self.asked * self.hidden);
        ledger.take(self.asked * self.inner);
        ledger.take(self.asked * self.hidden + self.low(DOWN));
        ledger.most()
    }

    /// What `Linear::backward` needs beside what it is given: the gradient of the low-rank
    /// activations, and the parts of A's gradient, one a task.
    fn linear(&self, module: usize, inputs: usize) -> usize {
        self.adapter(module).map_or(0, |options| {
            let rows = self.rows(module);
            let parts = rows.div_ceil(rows_per_task(inputs));
            options.r * (rows + parts * inputs)
        })
    }

    /// The parts of a norm's gradient, one a task.
    fn norm(&self, rows: usize) -> usize {
        if self.trained == Trained::Everything {
            rows.div_ceil(rows_per_task(self.hidden)) * self.hidden
        } else {
            0
        }
    }

    /// `Layer::backward` with what was kept and the gradient of its output.
    fn backward(&self) -> u64 {
        let mut ledger = Ledger::default();
        let hidden = self.asked * self.hidden;
        let inner = self.asked * self.inner;
        let wide = self.asked * self.queries;
        ledger.take(self.kept() + hidden);
        // Feed-forward block.
        ledger.take(inner);
        let active = if self.trains(DOWN) { inner } else { 0 };
        ledger.take(active);
        ledger.touch(self.linear(DOWN, self.inner));
        ledger.give(active + inner);
        let normed = if self.trains(GATE) || self.trains(UP) {
            hidden
        } else {
            0
        };
        ledger.take(normed + hidden);
        ledger.touch(self.linear(GATE, self.hidden));
        ledger.touch(self.linear(UP, self.hidden));
        ledger.give(2 * inner + normed);
        ledger.touch(self.norm(self.asked));
        ledger.give(2 * hidden);
        // Attention block.
        ledger.take(wide);
        ledger.touch(self.linear(OUTPUT, self.queries));
        ledger.take(self.triple());
        ledger.touch(self.shared);
        ledger.give(wide);
        ledger.take(self.triple());
        if [QUERY, KEY, VALUE].iter().any(|at| self.trains(*at)) {
            ledger.take(self.all * self.hidden);
            if !self.is_all() {
                ledger.take(hidden);
            }
        }
        ledger.take(hidden);
        ledger.touch(self.linear(QUERY, self.hidden));
        if !self.is_all() {
            ledger.take(self.all * self.hidden);
        }
        ledger.touch(self.linear(KEY, self.hidden));
        ledger.touch(self.linear(VALUE, self.hidden));
        if !self.is_all() {
            ledger.take(self.all * self.hidden);
        }
        ledger.touch(self.norm(self.all));
        ledger.most()
    }
}
