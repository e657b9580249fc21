//! Launches the kernels of `kernels.cu`.

use std::sync::OnceLock;

use candle_core::cuda_backend::cudarc::driver::{
    CudaSlice, CudaView, DeviceRepr, LaunchConfig, PushKernelArg,
};
use candle_core::cuda_backend::cudarc::nvrtc::{CompileOptions, compile_ptx_with_opts};
use candle_core::cuda_backend::{CudaDType, CudaStorageSlice, WrapErr};
use candle_core::{CudaDevice, CudaStorage, DType, Layout, Result, Shape, Storage, Tensor};
use half::{bf16, f16};

use super::launch::{Launch, Scalar};
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
    Scalar(Scalar),
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

    let first = inputs
        .first()
        .map_or(out.0.dtype(), |(storage, _)| storage.dtype());
    let number = operation.number(out.0.dtype(), first);
    let name = format!("{}_{}", operation.kernel(), number.as_str());
    let shapes: Vec<&Shape> = inputs.iter().map(|(_, layout)| layout.shape()).collect();
    let launch = Launch::new(operation, out.1.shape(), &shapes);
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
        None if launch.may_lack_one => arguments.push(Argument::Nothing(0)),
        None => {}
    }
    arguments.extend(launch.scalars.iter().copied().map(Argument::Scalar));
    if launch.rows == 0 {
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
            Argument::Scalar(Scalar::Size(size)) => builder.arg(size),
            Argument::Scalar(Scalar::Factor(factor)) => builder.arg(factor),
            Argument::Scalar(Scalar::Threshold(threshold)) => builder.arg(threshold),
        };
    }
    let config = LaunchConfig {
        grid_dim: (launch.rows as u32, 1, 1),
        block_dim: (launch.threads, 1, 1),
        shared_mem_bytes: 0,
    };
    #[expect(unsafe_code, reason = "a kernel is foreign code")]
    // SAFETY: arguments are those of the kernel in kernels.cu, and every tensor has the shape that
    // its operation's documentation states.
    unsafe { builder.launch(config) }.w()?;
    Ok(())
}
