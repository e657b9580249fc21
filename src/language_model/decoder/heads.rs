//! All heads of a layer over all sequences of a batch: the tasks that attention is split into.
//!
//! Numbers of heads lie head after head, `[N, T, D]`, so that every (head, sequence) is one
//! slice that a task of its own can write.

use candle_core::Result;
use rayon::prelude::*;

use crate::language_model::Configuration;
use crate::language_model::layout::{Asked, Layout};
use crate::nn::attention::{Attended, Context, ContextGradients, Queries, backward, forward};
use crate::nn::vector::{add, rms_norm, rms_norm_again, rms_norm_backward, rotate, rows_per_task};

/// Cosines and sines of every position up to the longest of a batch, `[P, D/2]` each.
#[derive(Debug)]
pub(in crate::language_model) struct Angles {
    cosine: Vec<f32>,
    sine: Vec<f32>,
}

impl Angles {
    /// For positions up to `longest`, computed in `f32` as transformers does.
    pub(in crate::language_model) fn new(configuration: &Configuration, longest: usize) -> Self {
        let frequencies = configuration.rotary_frequencies();
        let count = (longest + 1) * frequencies.len();
        let (mut cosine, mut sine) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for position in 0..=longest {
            for frequency in &frequencies {
                let angle = f64::from(position as f32 * frequency);
                cosine.push(angle.cos() as f32);
                sine.push(angle.sin() as f32);
            }
        }
        Self { cosine, sine }
    }

    /// Cosines and sines.
    pub(in crate::language_model) fn both(&self) -> (&[f32], &[f32]) {
        (&self.cosine, &self.sine)
    }
}

/// How the rows of q, k or v become heads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shaping<'a> {
    /// N.
    pub(super) heads: usize,
    /// D.
    pub(super) size: usize,
    /// The norm of each head, `[D]`, with ε.
    pub(super) norm: Option<(&'a [f32], f32)>,
    /// Rotation by the position of each row; not for v.
    pub(super) turn: Option<(&'a Angles, &'a [usize])>,
    /// Factor: 1/√D for q.
    pub(super) factor: f32,
}

impl Shaping<'_> {
    /// `[T, N·D] → [N, T, D]`, normed, turned and scaled.
    pub(super) fn forward(&self, raw: &[f32]) -> Vec<f32> {
        let (width, size) = (self.heads * self.size, self.size);
        let rows = raw.len() / width.max(1);
        let mut out = vec![0.0; raw.len()];
        let task = rows_per_task(size);
        self.tasks(&mut out, rows, task)
            .into_par_iter()
            .for_each(|(head, begin, out)| {
                for (row, out) in out.chunks_exact_mut(size).enumerate() {
                    let at = (begin + row) * width + head * size;
                    out.copy_from_slice(&raw[at..at + size]);
                }
                if let Some((weight, epsilon)) = self.norm {
                    let mut inverse = vec![0.0; out.len() / size];
                    let plain = out.to_vec();
                    rms_norm(out, &mut inverse, &plain, weight, epsilon);
                }
                if let Some((angles, positions)) = self.turn {
                    let positions = &positions[begin..];
                    rotate(out, size, positions, angles.both(), 1.0, self.factor);
                }
            });
        out
    }

    /// Slices of at most `task` rows of one head: (head, first row, slice).
    fn tasks<'o>(
        &self,
        out: &'o mut [f32],
        rows: usize,
        task: usize,
    ) -> Vec<(usize, usize, &'o mut [f32])> {
        let size = self.size;
        let heads = out.chunks_mut((rows * size).max(1)).enumerate();
        heads
            .flat_map(|(head, out)| {
                let parts = out.chunks_mut(task * size).enumerate();
                parts.map(move |(number, part)| (head, number * task, part))
            })
            .collect()
    }

    /// Back: `gradient [N, T, D] → [T, N·D]`, and the gradient of the norm's weight. `raw` is
    /// only read if there is a norm.
    pub(super) fn backward(
        &self,
        gradient: &mut [f32],
        raw: &[f32],
        for_norm: Option<&mut Vec<f32>>,
    ) -> Vec<f32> {
        let (width, size) = (self.heads * self.size, self.size);
        let rows = gradient.len() / width.max(1);
        let task = rows_per_task(size);
        let wants_norm = for_norm.is_some();
        let parts: Vec<Vec<f32>> = self
            .tasks(gradient, rows, task)
            .into_par_iter()
            .map(|(head, begin, gradient)| {
                if let Some((angles, positions)) = self.turn {
                    let positions = &positions[begin..];
                    rotate(gradient, size, positions, angles.both(), -1.0, self.factor);
                }
                let mut part = Vec::new();
                if let Some((weight, epsilon)) = self.norm {
                    let mut plain = vec![0.0; gradient.len()];
                    for (row, plain) in plain.chunks_exact_mut(size).enumerate() {
                        let at = (begin + row) * width + head * size;
                        plain.copy_from_slice(&raw[at..at + size]);
                    }
                    let mut inverse = vec![0.0; gradient.len() / size];
                    let mut back = vec![0.0; gradient.len()];
                    rms_norm(&mut back, &mut inverse, &plain, weight, epsilon);
                    back.fill(0.0);
                    if wants_norm {
                        part = vec![0.0; size];
                    }
                    rms_norm_backward(&mut back, &mut part, gradient, &plain, &inverse, weight);
                    gradient.copy_from_slice(&back);
                }
                part
            })
            .collect();
        if let Some(into) = for_norm {
            for part in &parts {
                add(into, part);
            }
        }
        from_heads(gradient, self.heads, size)
    }
}

/// `[N, T, D] → [T, N·D]`.
pub(super) fn from_heads(by_head: &[f32], heads: usize, size: usize) -> Vec<f32> {
    let width = heads * size;
    let rows = by_head.len() / width.max(1);
    let mut out = vec![0.0; by_head.len()];
    let task = rows_per_task(width);
    out.par_chunks_mut((task * width).max(1))
        .enumerate()
        .for_each(|(number, out)| {
            for (row, out) in out.chunks_exact_mut(width).enumerate() {
                let row = number * task + row;
                for (head, out) in out.chunks_exact_mut(size).enumerate() {
                    let at = (head * rows + row) * size;
                    out.copy_from_slice(&by_head[at..at + size]);
                }
            }
        });
    out
}

/// A head, and what one sequence adds to the gradients of the prefix's keys and values in it.
type OfPrefix = (usize, Vec<f32>, Vec<f32>);

/// Heads of a layer as attention sees them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heads<'a> {
    /// The sizes.
    pub(super) configuration: &'a Configuration,
    /// Rows of keys and values.
    pub(super) layout: &'a Layout,
    /// Rows of queries.
    pub(super) asked: &'a Asked,
    /// `[N, Q, D]`.
    pub(super) queries: &'a [f32],
    /// `[N_kv, T, D]`.
    pub(super) keys: &'a [f32],
    /// `[N_kv, T, D]`.
    pub(super) values: &'a [f32],
}

/// Cuts `[N, rows, D]` into `[N][segments]` slices of `lengths` rows each.
fn cut<'a>(
    data: &'a mut [f32],
    heads: usize,
    lengths: &[usize],
    size: usize,
) -> Vec<Vec<&'a mut [f32]>> {
    let mut rest = data;
    let mut all = Vec::with_capacity(heads);
    for _ in 0..heads {
        let mut of_head = Vec::with_capacity(lengths.len());
        for length in lengths {
            let (part, after) = std::mem::take(&mut rest).split_at_mut(length * size);
            of_head.push(part);
            rest = after;
        }
        all.push(of_head);
    }
    all
}

impl<'a> Heads<'a> {
    /// What the queries of a segment see in one head of keys.
    fn context(&self, segment: usize, head: usize) -> Context<'a> {
        let size = self.configuration.head_size;
        let of_head = head * self.layout.rows() * size;
        let segment = self.layout.segments[segment];
        let own = of_head + segment.begin * size;
        let own = own..own + segment.length * size;
        let shared = if segment.after_prefix {
            of_head..of_head + self.layout.prefix * size
        } else {
            of_head..of_head
        };
        Context {
            size,
            prefix_keys: &self.keys[shared.clone()],
            prefix_values: &self.values[shared],
            own_keys: &self.keys[own.clone()],
            own_values: &self.values[own],
            window: self.configuration.sliding_window,
        }
    }

    /// Queries of each segment begin at these rows.
    fn begins(&self) -> Vec<usize> {
        let counts = self.asked.counts.iter();
        counts
            .scan(0, |sum, count| {
                let begin = *sum;
                *sum += count;
                Some(begin)
            })
            .collect()
    }

    fn queries(&self, head: usize, begin: usize, count: usize) -> Queries<'a> {
        let size = self.configuration.head_size;
        let at = (head * self.asked.rows.len() + begin) * size;
        Queries {
            queries: &self.queries[at..at + count * size],
            positions: &self.asked.positions[begin..begin + count],
        }
    }

    /// What the queries see, `[Q, N·D]`, and of each ln Σ e^score, `[N, Q]`.
    pub(super) fn forward(&self) -> Result<(Vec<f32>, Vec<f32>)> {
        let Configuration {
            heads,
            key_value_heads,
            head_size: size,
            ..
        } = *self.configuration;
        let rows = self.asked.rows.len();
        let counts = &self.asked.counts;
        let mut out = vec![0.0; heads * rows * size];
        let mut log_sums = vec![0.0; heads * rows];
        let outs = cut(&mut out, heads, counts, size);
        let sums = cut(&mut log_sums, heads, counts, 1);
        let begins = self.begins();
        let mut tasks = Vec::with_capacity(heads * counts.len());
        for (head, (outs, sums)) in outs.into_iter().zip(sums).enumerate() {
            for (segment, (out, sums)) in outs.into_iter().zip(sums).enumerate() {
                tasks.push((head, segment, out, sums));
            }
        }
        tasks
            .into_par_iter()
            .try_for_each(|(head, segment, out, sums)| {
                let queries = self.queries(head, begins[segment], counts[segment]);
                let context = self.context(segment, head * key_value_heads / heads);
                forward(out, sums, queries, &context)
            })?;
        Ok((from_heads(&out, heads, size), log_sums))
    }

    /// Gradients of `queries`, `keys` and `values`, in their shapes.
    ///
    /// # Shapes
    /// `attended, gradient [Q, N·D], log_sums [N, Q]`.
    pub(super) fn backward(
        &self,
        attended: &[f32],
        gradient: &[f32],
        log_sums: &[f32],
    ) -> Result<[Vec<f32>; 3]> {
        let Configuration {
            heads,
            key_value_heads,
            head_size: size,
            ..
        } = *self.configuration;
        let rows = self.asked.rows.len();
        let counts = &self.asked.counts;
        let lengths: Vec<usize> = self.layout.segments.iter().map(|one| one.length).collect();
        let mut for_queries = vec![0.0; self.queries.len()];
        let mut for_keys = vec![0.0; self.keys.len()];
        let mut for_values = vec![0.0; self.values.len()];
        let mut of_queries = cut(&mut for_queries, heads, counts, size).into_iter();
        let of_keys = cut(&mut for_keys, key_value_heads, &lengths, size);
        let of_values = cut(&mut for_values, key_value_heads, &lengths, size);
        let begins = self.begins();
        let group = heads / key_value_heads.max(1);
        let mut tasks = Vec::with_capacity(key_value_heads * counts.len());
        for (head, (keys, values)) in of_keys.into_iter().zip(of_values).enumerate() {
            let mut of_group: Vec<_> = of_queries
                .by_ref()
                .take(group)
                .map(Vec::into_iter)
                .collect();
            for (segment, (keys, values)) in keys.into_iter().zip(values).enumerate() {
                let queries: Vec<&mut [f32]> =
                    of_group.iter_mut().filter_map(Iterator::next).collect();
                tasks.push((head, segment, queries, keys, values));
            }
        }
        // Every sequence adds to the gradient of a shared prefix; the sums are made afterwards,
        // in the order of sequences.
        let shared: Result<Vec<OfPrefix>> = tasks
            .into_par_iter()
            .map(|(head, segment, of_group, keys, values)| {
                let context = self.context(segment, head);
                let mut prefix_keys = vec![0.0; context.prefix_keys.len()];
                let mut prefix_values = prefix_keys.clone();
                let mut into = ContextGradients {
                    prefix_keys: &mut prefix_keys,
                    prefix_values: &mut prefix_values,
                    own_keys: keys,
                    own_values: values,
                };
                let (begin, count) = (begins[segment], counts[segment]);
                for (member, for_queries) in of_group.into_iter().enumerate() {
                    let query_head = head * group + member;
                    if count == 0 {
                        continue;
                    }
                    let at = begin * heads * size + query_head * size;
                    let attended = Attended {
                        values: &attended[at..],
                        gradient: &gradient[at..],
                        stride: heads * size,
                    };
                    let of_head = query_head * rows + begin;
                    backward(
                        for_queries,
                        &mut into,
                        self.queries(query_head, begin, count),
                        attended,
                        &log_sums[of_head..of_head + count],
                        &context,
                    )?;
                }
                Ok((head, prefix_keys, prefix_values))
            })
            .collect();
        let of_head = self.layout.rows() * size;
        for (head, keys, values) in shared? {
            add(&mut for_keys[head * of_head..], &keys);
            add(&mut for_values[head * of_head..], &values);
        }
        Ok([for_queries, for_keys, for_values])
    }
}

/// RMS norm of `[T, H]` in tasks; also 1/√(mean + ε) of every row.
pub(super) fn norm(x: &[f32], weight: &[f32], epsilon: f32) -> (Vec<f32>, Vec<f32>) {
    let width = weight.len().max(1);
    let mut out = vec![0.0; x.len()];
    let mut inverse = vec![0.0; x.len() / width];
    let task = rows_per_task(width);
    out.par_chunks_mut(task * width)
        .zip(inverse.par_chunks_mut(task))
        .zip(x.par_chunks(task * width))
        .for_each(|((out, inverse), x)| rms_norm(out, inverse, x, weight, epsilon));
    (out, inverse)
}

/// The same again with the inverses known.
pub(super) fn norm_again(x: &[f32], inverse: &[f32], weight: &[f32]) -> Vec<f32> {
    let width = weight.len().max(1);
    let mut out = vec![0.0; x.len()];
    let task = rows_per_task(width);
    out.par_chunks_mut(task * width)
        .zip(inverse.par_chunks(task))
        .zip(x.par_chunks(task * width))
        .for_each(|((out, inverse), x)| rms_norm_again(out, inverse, x, weight));
    out
}

/// Adds to `for_x` what comes back through a norm, and to `for_weight` the weight's gradient.
pub(super) fn norm_backward(
    for_x: &mut [f32],
    for_weight: Option<&mut Vec<f32>>,
    gradient: &[f32],
    x: &[f32],
    inverse: &[f32],
    weight: &[f32],
) {
    let width = weight.len().max(1);
    let task = rows_per_task(width);
    let wanted = for_weight.is_some();
    let parts: Vec<Vec<f32>> = for_x
        .par_chunks_mut(task * width)
        .zip(gradient.par_chunks(task * width))
        .zip(x.par_chunks(task * width))
        .zip(inverse.par_chunks(task))
        .map(|(((for_x, gradient), x), inverse)| {
            let mut part = if wanted { vec![0.0; width] } else { Vec::new() };
            rms_norm_backward(for_x, &mut part, gradient, x, inverse, weight);
            part
        })
        .collect();
    if let Some(into) = for_weight {
        for part in &parts {
            add(into, part);
        }
    }
}
