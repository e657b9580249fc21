//! Launches the kernels of `kernels.cu`.

use std::sync::OnceLock;

use candle_core::cuda_backend::cudarc::driver::{
    CudaSlice, CudaView, DeviceRepr, LaunchConfig, PushKernelArg,
};
use candle_core::cuda_backend::cudarc::nvrtc::{CompileOptions, compile_ptx_with_opts};
use candle_core::cuda_backend::{CudaDType, CudaStorageSlice, WrapErr};
use candle_core::{CudaDevice, CudaStorage, DType, Layout, Result, Shape, Storage, Tensor};
use half::{bf16, f16};

use super::operations::Operation;

const SOURCE: &str = include_str!("kernels.cu");

/// The oldest cards that compute in `bf16` (8.0: A100; 8.6: 3090); newer ones compile what was made
/// for these.
const ARCHITECTURE: &str = "compute_80";

/// The kernels in the driver's assembly, compiled once a process.
fn compiled() -> Result<&'static str> {
    static DONE: OnceLock<std::result::Result<String, String>> = OnceLock::new();
    let done = DONE.get_or_init(|| {
        let options = CompileOptions {
            arch: Some(ARCHITECTURE),
            ..CompileOptions::default()
        };
        compile_ptx_with_opts(SOURCE, options)
            .map(|ptx| ptx.to_src())
            .map_err(|error| error.to_string())
    });
    match done {
        Ok(text) => Ok(text),
        Err(error) => candle_core::bail!("kernels cannot be compiled: {error}"),
    }
}

/// What a kernel is given, in the order of its parameters.
enum Argument<'a> {
    F32(CudaView<'a, f32>),
    F16(CudaView<'a, f16>),
    Bf16(CudaView<'a, bf16>),
    U32(CudaView<'a, u32>),
    U8(CudaView<'a, u8>),
    /// An address of nothing.
    Nothing(u64),
    Size(i32),
    Threshold(u32),
    Factor(f32),
}

/// The numbers of a tensor without gaps.
fn view<'a>(storage: &'a CudaStorage, layout: &Layout) -> Result<Argument<'a>> {
    let Some((begin, end)) = layout.contiguous_offsets() else {
        candle_core::bail!("a tensor with gaps, {:?}", layout.shape());
    };
    Ok(match &storage.slice {
        CudaStorageSlice::F32(all) => Argument::F32(all.slice(begin..end)),
        CudaStorageSlice::F16(all) => Argument::F16(all.slice(begin..end)),
        CudaStorageSlice::BF16(all) => Argument::Bf16(all.slice(begin..end)),
        CudaStorageSlice::U32(all) => Argument::U32(all.slice(begin..end)),
        CudaStorageSlice::U8(all) => Argument::U8(all.slice(begin..end)),
        _ => candle_core::bail!("numbers of a type that is not computed in"),
    })
}

/// Makes what an operation gives.
pub(super) fn launch(
    operation: &Operation,
    beside: Option<&Tensor>,
    inputs: &[(&CudaStorage, &Layout)],
) -> Result<(CudaStorage, Shape)> {
    use candle_core::backend::BackendStorage;

    let known: Vec<(&Shape, DType)> = inputs
        .iter()
        .map(|(storage, layout)| (layout.shape(), storage.dtype()))
        .collect();
    let (shape, dtype) = operation.output(&known);
    let device = inputs[0].0.device().clone();
    let made = Layout::contiguous(&shape);
    let slice = match dtype {
        DType::F32 => CudaStorageSlice::F32(room::<f32>(&device, &shape)?),
        DType::F16 => CudaStorageSlice::F16(room::<f16>(&device, &shape)?),
        DType::BF16 => CudaStorageSlice::BF16(room::<bf16>(&device, &shape)?),
        other => candle_core::bail!("{} into {other:?}", operation.kernel()),
    };
    let out = CudaStorage { slice, device };
    run(operation, beside, (&out, &made), inputs)?;
    Ok((out, shape))
}

/// Changes the first tensor.
pub(super) fn launch_in_place(
    operation: &Operation,
    beside: Option<&Tensor>,
    (out, layout): (&mut CudaStorage, &Layout),
    inputs: &[(&CudaStorage, &Layout)],
) -> Result<()> {
    run(operation, beside, (out, layout), inputs)
}

/// Room for numbers that a kernel writes.
fn room<N: CudaDType + DeviceRepr>(device: &CudaDevice, shape: &Shape) -> Result<CudaSlice<N>> {
    #[expect(unsafe_code, reason = "candle's way to a buffer that a kernel fills")]
    // SAFETY: every kernel writes every number of what it makes.
    unsafe {
        device.alloc::<N>(shape.elem_count())
    }
}

/// Launches the kernel over the rows of an operation, a block for each.
fn run(
    operation: &Operation,
    beside: Option<&Tensor>,
    out: (&CudaStorage, &Layout),
    inputs: &[(&CudaStorage, &Layout)],
) -> Result<()> {
    use candle_core::backend::BackendStorage;

    // The type of the numbers: sums of logits are always `f32`, and blocks are bytes.
    let number = match operation {
        Operation::LogSums { .. } => inputs[0].0.dtype(),
        _ => out.0.dtype(),
    };
    let name = format!("{}_{}", operation.kernel(), number.as_str());
    let mut arguments = vec![view(out.0, out.1)?];
    for (storage, layout) in inputs {
        arguments.push(view(storage, layout)?);
    }
    let held = beside.map(Tensor::storage_and_layout);
    match &held {
        Some((storage, layout)) => match &**storage {
            Storage::Cuda(storage) => arguments.push(view(storage, layout)?),
            _ => candle_core::bail!("{}: a tensor is on another device", operation.kernel()),
        },
        None if operation.may_read_beside() => arguments.push(Argument::Nothing(0)),
        None => {}
    }
    let shapes: Vec<&Shape> = inputs.iter().map(|(_, layout)| layout.shape()).collect();
    let (rows, width, more) = rest(operation, out.1.shape(), &shapes);
    arguments.extend(more);
    if rows == 0 {
        return Ok(());
    }
    let device = out.0.device();
    let function = device.get_or_load_custom_func(&name, "runner", compiled()?)?;
    let mut builder = function.builder();
    for argument in &arguments {
        match argument {
            Argument::F32(all) => builder.arg(all),
            Argument::F16(all) => builder.arg(all),
            Argument::Bf16(all) => builder.arg(all),
            Argument::U32(all) => builder.arg(all),
            Argument::U8(all) => builder.arg(all),
            Argument::Nothing(address) => builder.arg(address),
            Argument::Size(size) => builder.arg(size),
            Argument::Threshold(threshold) => builder.arg(threshold),
            Argument::Factor(factor) => builder.arg(factor),
        };
    }
    let config = LaunchConfig {
        grid_dim: (rows as u32, 1, 1),
        block_dim: (if width >= 1024 { 256 } else { 128 }, 1, 1),
        shared_mem_bytes: 0,
    };
    #[expect(unsafe_code, reason = "a kernel is foreign code")]
    // SAFETY: arguments are those of the kernel in kernels.cu, and every tensor has the shape that
    // its operation's documentation states.
    unsafe { builder.launch(config) }.w()?;
    Ok(())
}

/// The number of rows, the width of one, and the parameters after the tensors.
fn rest(
    operation: &Operation,
    out: &Shape,
    inputs: &[&Shape],
) -> (usize, usize, Vec<Argument<'static>>) {
    let size = |size: usize| Argument::Size(size as i32);
    let last = |shape: &Shape| shape.dims().last().copied().unwrap_or(1).max(1);
    let rows_of = |shape: &Shape| shape.elem_count() / last(shape);
    let drops = |rate: f32| {
        // As the twin cuts.
        let threshold = (f64::from(rate) * f64::from(u32::MAX)) as u32;
        [
            Argument::Factor(1.0 / (1.0 - rate)),
            Argument::Threshold(threshold),
        ]
    };
    let (rows, width) = (rows_of(out), last(out));
    let mut more = vec![size(width)];
    match operation {
        Operation::DropOut { rate } => more.extend(drops(*rate)),
        Operation::Lowered { width, scale, mask } => {
            more = vec![size(*width), size(last(out)), Argument::Factor(*scale)];
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
        Operation::NormBackward { epsilon } => more.push(Argument::Factor(*epsilon)),
        Operation::Rotate { head, sign, .. } => {
            more.extend([size(*head), Argument::Factor(*sign)]);
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
            return (
                places,
                *width,
                vec![size(*width), size(*head), size(*length)],
            );
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
        } => more.extend([size(*queries), size(*heads), Argument::Factor(*scale)]),
        Operation::SoftmaxBackward { scale, .. } => more.push(Argument::Factor(*scale)),
        Operation::LogSums { vocabulary } => {
            return (out.elem_count(), *vocabulary, vec![size(*vocabulary)]);
        }
        Operation::CrossEntropyBackward { scale, targets, .. } => {
            more.extend([size(*targets), Argument::Factor(*scale)]);
        }
    }
    (rows, width, more)
}
