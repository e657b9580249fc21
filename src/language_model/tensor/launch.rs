//! How a kernel of `kernels.cu` is launched: over how many rows, and with which numbers after its
//! tensors.

use candle_core::Shape;

use super::operations::Operation;

/// A number that a kernel is given.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scalar {
    Size(i32),
    Factor(f32),
    Threshold(u32),
}

/// A launch: a block for each row.
#[derive(Debug)]
pub(super) struct Launch {
    pub(super) rows: usize,
    /// Threads of a block.
    pub(super) threads: u32,
    /// After the tensors: what is written, what is read, what is read beside these.
    pub(super) scalars: Vec<Scalar>,
    /// Whether the kernel has a place for a tensor beside those read that may be missing.
    pub(super) may_lack_one: bool,
}

impl Launch {
    /// How an operation that writes `out` from these is launched.
    pub(super) fn new(operation: &Operation, out: &Shape, inputs: &[&Shape]) -> Self {
        let (rows, width, scalars) = parts(operation, out, inputs);
        Self {
            rows,
            threads: if width >= 1024 { 256 } else { 128 },
            scalars,
            may_lack_one: matches!(
                operation,
                Operation::Lowered { .. } | Operation::AddLow { .. }
            ),
        }
    }
}

fn size(size: usize) -> Scalar {
    Scalar::Size(size as i32)
}

/// What dropout does to a number: the factor of what stays, and the hash below which none does.
fn drops(rate: f32) -> [Scalar; 2] {
    // As the twin cuts.
    let threshold = (f64::from(rate) * f64::from(u32::MAX)) as u32;
    [
        Scalar::Factor(1.0 / (1.0 - rate)),
        Scalar::Threshold(threshold),
    ]
}

/// The number of rows, the width of one, and the scalars.
fn parts(operation: &Operation, out: &Shape, inputs: &[&Shape]) -> (usize, usize, Vec<Scalar>) {
    let last = out.dims().last().copied().unwrap_or(1).max(1);
    let (rows, width) = (out.elem_count() / last, last);
    let mut more = vec![size(width)];
    match operation {
        Operation::DropOut { rate } => more.extend(drops(*rate)),
        Operation::Lowered { width, scale, mask } => {
            more = vec![size(*width), size(last), Scalar::Factor(*scale)];
            more.extend(drops(mask.as_ref().map_or(0.0, |mask| mask.rate)));
            return (rows, *width, more);
        }
        Operation::AddLow {
            rank,
            outputs_first,
            mask,
        } => {
            let strides = if *outputs_first {
                (1, *rank)
            } else {
                (width, 1)
            };
            more.extend([size(*rank), size(strides.0), size(strides.1)]);
            more.extend(drops(mask.as_ref().map_or(0.0, |mask| mask.rate)));
        }
        Operation::Swiglu | Operation::Dequantise { .. } => {}
        // Of the two that it gives, one after the other.
        Operation::SwigluBackward => return (rows / 2, width, more),
        Operation::NormBackward { epsilon } => more.push(Scalar::Factor(*epsilon)),
        Operation::Rotate { head, sign, .. } => {
            more.extend([size(*head), Scalar::Factor(*sign)]);
        }
        Operation::ToHeads {
            width,
            head,
            length,
        }
        | Operation::FromHeads {
            width,
            head,
            length,
        } => {
            let places = inputs[1].elem_count();
            let more = vec![size(*width), size(*head), size(*length)];
            return (places, *width, more);
        }
        Operation::SumHeads {
            head,
            length,
            batch,
            ..
        } => more.extend([size(*head), size(*length), size(*batch)]),
        Operation::Softmax {
            scale,
            heads,
            queries,
            ..
        } => more.extend([size(*queries), size(*heads), Scalar::Factor(*scale)]),
        Operation::SoftmaxBackward { scale, .. } => more.push(Scalar::Factor(*scale)),
        Operation::LogSums { vocabulary } => {
            return (out.elem_count(), *vocabulary, vec![size(*vocabulary)]);
        }
        Operation::CrossEntropyBackward { scale, targets, .. } => {
            more.extend([size(*targets), Scalar::Factor(*scale)]);
        }
    }
    (rows, width, more)
}
