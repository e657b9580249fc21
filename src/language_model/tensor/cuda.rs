//! Launches the kernels of `kernels.cu`.

use std::sync::OnceLock;

use candle_core::backend::BackendStorage;
use candle_core::cuda_backend::cudarc::driver::{
    CudaSlice, DeviceRepr, LaunchConfig, PushKernelArg,
};
use candle_core::cuda_backend::cudarc::nvrtc::{CompileOptions, compile_ptx_with_opts};
use candle_core::cuda_backend::{CudaDType, CudaStorageSlice, WrapErr};
use candle_core::{CudaDevice, CudaStorage, Layout, Result, Shape};
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

/// Runs a kernel over the rows of its first input.
pub(super) fn launch(
    operation: Operation,
    inputs: &[(&CudaStorage, &Layout)],
) -> Result<(CudaStorage, Shape)> {
    let (first, layout) = inputs[0];
    let device = first.device().clone();
    let slice = match &first.slice {
        CudaStorageSlice::F32(_) => CudaStorageSlice::F32(run::<f32>(operation, inputs, "f32")?),
        CudaStorageSlice::F16(_) => CudaStorageSlice::F16(run::<f16>(operation, inputs, "f16")?),
        CudaStorageSlice::BF16(_) => {
            CudaStorageSlice::BF16(run::<bf16>(operation, inputs, "bf16")?)
        }
        _ => candle_core::bail!("{} of numbers of this type", operation.kernel()),
    };
    Ok((
        CudaStorage { slice, device },
        operation.output(layout.shape()),
    ))
}

fn run<N: CudaDType + DeviceRepr>(
    operation: Operation,
    inputs: &[(&CudaStorage, &Layout)],
    number: &str,
) -> Result<CudaSlice<N>> {
    let shape = inputs[0].1.shape();
    let device: &CudaDevice = inputs[0].0.device();
    let width = shape.dims().last().copied().unwrap_or(1).max(1);
    let rows = shape.elem_count() / width;
    let name = format!("{}_{number}", operation.kernel());
    let function = device.get_or_load_custom_func(&name, "runner", compiled()?)?;
    let threads = if width >= 1024 { 256 } else { 128 };
    let config = LaunchConfig {
        grid_dim: (rows as u32, 1, 1),
        block_dim: (threads, 1, 1),
        shared_mem_bytes: 0,
    };
    let numbers = |at: usize| view::<N>(inputs[at].0, inputs[at].1);
    let x = numbers(0)?;
    #[expect(unsafe_code, reason = "candle's way to a buffer that a kernel fills")]
    // SAFETY: the kernel writes every number of it.
    let out = unsafe { device.alloc::<N>(operation.output(shape).elem_count())? };
    let mut builder = function.builder();
    let columns = width as i32;
    // Whatever is pushed must live until the launch.
    let (second, third, integers, angles);
    let (keep, threshold, scale, sizes);
    match operation {
        Operation::DropOut { rate } => {
            integers = view::<u32>(inputs[1].0, inputs[1].1)?;
            keep = 1.0 / (1.0 - rate);
            // As the twin on the CPU cuts.
            threshold = (f64::from(rate) * f64::from(u32::MAX)) as u32;
            builder.arg(&x).arg(&integers).arg(&out).arg(&columns);
            builder.arg(&keep).arg(&threshold);
        }
        Operation::Swiglu => {
            second = numbers(1)?;
            builder.arg(&x).arg(&second).arg(&out).arg(&columns);
        }
        Operation::SwigluBackward => {
            second = numbers(1)?;
            third = numbers(2)?;
            builder
                .arg(&x)
                .arg(&second)
                .arg(&third)
                .arg(&out)
                .arg(&columns);
        }
        Operation::NormBackward { epsilon } => {
            second = numbers(1)?;
            third = numbers(2)?;
            scale = epsilon;
            builder
                .arg(&x)
                .arg(&second)
                .arg(&third)
                .arg(&out)
                .arg(&columns);
            builder.arg(&scale);
        }
        Operation::Rotate { head, sign } => {
            angles = (
                view::<f32>(inputs[1].0, inputs[1].1)?,
                view::<f32>(inputs[2].0, inputs[2].1)?,
            );
            sizes = (head as i32, 0);
            scale = sign;
            builder
                .arg(&x)
                .arg(&angles.0)
                .arg(&angles.1)
                .arg(&out)
                .arg(&columns);
            builder.arg(&sizes.0).arg(&scale);
        }
        Operation::Softmax { scale: factor } => {
            let [_, heads, queries, _] = *shape.dims() else {
                candle_core::bail!("softmax of {shape:?}");
            };
            integers = view::<u32>(inputs[1].0, inputs[1].1)?;
            sizes = (queries as i32, heads as i32);
            scale = factor;
            builder.arg(&x).arg(&integers).arg(&out).arg(&columns);
            builder.arg(&sizes.0).arg(&sizes.1).arg(&scale);
        }
        Operation::SoftmaxBackward { scale: factor } => {
            second = numbers(1)?;
            scale = factor;
            builder
                .arg(&x)
                .arg(&second)
                .arg(&out)
                .arg(&columns)
                .arg(&scale);
        }
    }
    if rows > 0 {
        #[expect(unsafe_code, reason = "a kernel is foreign code")]
        // SAFETY: arguments are those of the kernel in kernels.cu, and every tensor has the shape
        // that its operation's documentation states.
        unsafe { builder.launch(config) }.w()?;
    }
    Ok(out)
}

/// The numbers of a tensor without gaps.
fn view<'a, N: CudaDType + DeviceRepr>(
    storage: &'a CudaStorage,
    layout: &Layout,
) -> Result<candle_core::cuda_backend::cudarc::driver::CudaView<'a, N>> {
    let Some((begin, end)) = layout.contiguous_offsets() else {
        candle_core::bail!("a tensor with gaps, {:?}", layout.shape());
    };
    Ok(storage.as_cuda_slice::<N>()?.slice(begin..end))
}
