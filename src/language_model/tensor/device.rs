//! Opens the device that a model computes on.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use candle_core::Device as Candle;

use crate::base::Device;
use crate::language_model::LanguageModelError;

/// Devices of this process: tensors of two openings of one card would not go together.
static OPEN: Mutex<BTreeMap<usize, Candle>> = Mutex::new(BTreeMap::new());

/// Opens a device, or gives the one that is open.
///
/// # Errors
/// If this program has no CUDA, or driver, library or card are missing or fail; the message says
/// what to do.
pub fn open(device: Device) -> Result<Candle, LanguageModelError> {
    let Device::Cuda(ordinal) = device else {
        return Ok(Candle::Cpu);
    };
    check_built(device)?;
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = open.get(&ordinal) {
        return Ok(found.clone());
    }
    let found = asked_of(device, || open_card(ordinal))?;
    #[cfg(feature = "cuda")]
    super::proof::prove(&found)?;
    open.insert(ordinal, found.clone());
    Ok(found)
}

/// Asks something of CUDA. Where a library is missing, cudarc panics instead of giving an error.
fn asked_of<T>(
    device: Device,
    ask: impl FnOnce() -> candle_core::Result<T>,
) -> Result<T, LanguageModelError> {
    let (why, help) = match quietly(ask) {
        Ok(Ok(found)) => return Ok(found),
        Ok(Err(error)) => (
            first_line(&error.to_string()).to_owned(),
            "`nvidia-smi` lists the cards that there are, from 0 on",
        ),
        Err(message) => (
            missing_library(&message),
            "the NVIDIA driver (libcuda), or CUDA's libraries (libcublas, libcurand, libnvrtc) are \
             missing or too old; docs/GPU.md says which are needed and where they are looked for; \
             `--device cpu` does without",
        ),
    };
    let told = LanguageModelError::invalid(format!("`{device}` cannot be opened: {why}"));
    Err(told.with_help(help))
}

/// Opens a card with one queue of work for all threads: candle's usual device has one for each, and
/// nothing would order what a thread uploads before another's use of it.
fn open_card(ordinal: usize) -> candle_core::Result<Candle> {
    let found = Candle::new_cuda_with_stream(ordinal)?;
    #[cfg(feature = "cuda")]
    {
        use candle_core::cuda_backend::{WrapErr, cudarc::driver};

        let card = found.as_cuda_device()?;
        let mut everything = u64::MAX;
        #[expect(unsafe_code, reason = "CUDA's settings are foreign code")]
        // SAFETY: with one queue there is nothing that events between queues would order; device and
        // pool are CUDA's own, and the attribute is a number of 64 bits, which is copied.
        unsafe {
            card.disable_event_tracking();
            // What is freed stays with the process: else all goes back to the card at every wait,
            // and every pass takes it anew.
            let stream = card.cuda_stream();
            let pool = driver::result::device::get_default_mem_pool(stream.context().cu_device());
            let attribute = driver::sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
            let value = std::ptr::from_mut(&mut everything).cast();
            driver::result::mem_pool::set_attribute(pool.w()?, attribute, value).w()?;
        }
    }
    Ok(found)
}

/// Whether this program can compute on a device.
///
/// # Errors
/// If it was built without CUDA, and a card is asked for.
fn check_built(device: Device) -> Result<(), LanguageModelError> {
    if device == Device::Cpu || cfg!(feature = "cuda") {
        return Ok(());
    }
    Err(LanguageModelError::invalid(format!(
        "the device `{device}` is asked for, and this program is built without CUDA"
    ))
    .with_help(
        "build it on a machine with the CUDA toolkit: cargo build --release --features cuda \
         (docs/GPU.md)",
    ))
}

/// Whether a device is there for this program; a card is not opened for it, which would take some
/// hundred megabytes of it.
///
/// # Errors
/// If this program has no CUDA, or driver or card are missing; the message says what to do.
pub fn check_there(device: Device) -> Result<(), LanguageModelError> {
    check_built(device)?;
    #[cfg(feature = "cuda")]
    if let Device::Cuda(ordinal) = device {
        use candle_core::cuda_backend::{WrapErr, cudarc::driver::CudaContext};

        let count = asked_of(device, || CudaContext::device_count().w())?;
        if usize::try_from(count).is_ok_and(|count| ordinal >= count) {
            let cards = match count {
                0 => "no card".to_owned(),
                1 => "one card, `cuda:0`".to_owned(),
                _ => format!("{count} cards, `cuda:0` to `cuda:{}`", count - 1),
            };
            return Err(LanguageModelError::invalid(format!(
                "the device `{device}` is asked for, and there is {cards}"
            ))
            .with_help("`nvidia-smi` lists the cards that there are, from 0 on"));
        }
    }
    Ok(())
}

/// Memory of a card, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceMemory {
    /// All of it.
    pub total: u64,
    /// What nobody has.
    pub free: u64,
    /// The most that this process's tensors took at once.
    pub highest: u64,
}

/// The memory of a card that this process has open; `None` for the processor, or where it cannot be
/// asked.
#[must_use]
pub fn memory(device: Device) -> Option<DeviceMemory> {
    memory_of(&opened(device)?)
}

/// Forgets how much tensors took of a card, so that [`DeviceMemory::highest`] speaks of what comes
/// now.
pub fn forget_peak(device: Device) {
    if let Some(opened) = opened(device) {
        forget_peak_of(&opened);
    }
}

/// A card that is open.
fn opened(device: Device) -> Option<Candle> {
    let Device::Cuda(ordinal) = device else {
        return None;
    };
    let open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    open.get(&ordinal).cloned()
}

/// The most that tensors took, as CUDA's pool of memory counts it; `set` puts another count there.
#[cfg(feature = "cuda")]
fn highest(device: &Candle, set: Option<u64>) -> Option<u64> {
    use candle_core::cuda_backend::cudarc::driver::{result, sys};

    let stream = device.as_cuda_device().ok()?.cuda_stream();
    let attribute = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH;
    let mut count = set.unwrap_or_default();
    let value = std::ptr::from_mut(&mut count).cast();
    #[expect(unsafe_code, reason = "CUDA's settings are foreign code")]
    // SAFETY: device and pool are CUDA's own, and the attribute is a number of 64 bits.
    unsafe {
        let pool = result::device::get_default_mem_pool(stream.context().cu_device()).ok()?;
        match set {
            Some(_) => result::mem_pool::set_attribute(pool, attribute, value).ok()?,
            None => result::mem_pool::get_attribute(pool, attribute, value).ok()?,
        }
    }
    Some(count)
}

#[cfg(feature = "cuda")]
fn memory_of(device: &Candle) -> Option<DeviceMemory> {
    let stream = device.as_cuda_device().ok()?.cuda_stream();
    let (free, total) = stream.context().mem_get_info().ok()?;
    Some(DeviceMemory {
        total: total as u64,
        free: free as u64,
        highest: highest(device, None)?,
    })
}

#[cfg(feature = "cuda")]
fn forget_peak_of(device: &Candle) {
    // CUDA takes no other number than zero, and begins again from what is taken now.
    highest(device, Some(0));
}

#[cfg(not(feature = "cuda"))]
fn memory_of(_device: &Candle) -> Option<DeviceMemory> {
    None
}

#[cfg(not(feature = "cuda"))]
fn forget_peak_of(_device: &Candle) {}

/// Runs what may panic, without a panic's usual noise, and gives its message.
fn quietly<T>(act: impl FnOnce() -> T) -> Result<T, String> {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let done = catch_unwind(AssertUnwindSafe(act));
    std::panic::set_hook(before);
    done.map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        text.unwrap_or("a library panicked without a word")
            .to_owned()
    })
}

/// What cudarc says where a library is missing, without the thirty names that it looked for.
fn missing_library(message: &str) -> String {
    let name = message
        .split_once("Unable to dynamically load the \"")
        .and_then(|(_, rest)| rest.split_once('"'));
    match name {
        Some((name, _)) => format!("the library lib{name} is not found"),
        None => first_line(message).to_owned(),
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_a_library_is_a_message() {
        let caught = quietly(|| -> u8 { panic!("unable to load {}", "libcuda") });
        assert_eq!(caught, Err("unable to load libcuda".to_owned()));
        assert_eq!(quietly(|| 3), Ok(3));
    }

    #[test]
    fn a_missing_library_is_named_and_not_the_names_that_it_may_have() {
        let said = "Unable to dynamically load the \"cuda\" shared library - searched for library \
                    names: [\"libcuda.so\", \"libcuda64.so\"]. Ensure that";
        assert_eq!(missing_library(said), "the library libcuda is not found");
        assert_eq!(missing_library("another\nword"), "another");
    }

    #[test]
    fn the_cpu_is_always_there_and_a_card_is_not() {
        assert!(open(Device::Cpu).expect("there").is_cpu());
        if !cfg!(feature = "cuda") {
            let error = open(Device::Cuda(0)).expect_err("no CUDA").to_string();
            assert!(
                error.contains("`cuda:0`") && error.contains("--features cuda"),
                "{error}"
            );
        }
    }
}
