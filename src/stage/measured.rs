//! What a stage takes of its device, measured: what the plan of memory is held against.

use crate::base::{Device, machine};
use crate::language_model::Precision;
use crate::language_model::memory::Engine;
use crate::language_model::tensor::device;

/// Forgets what was taken before, so that [`peak_memory`] speaks of what comes now.
pub(crate) fn forget_peak(of: Device) {
    match of {
        Device::Cpu => machine::forget_peak(),
        Device::Cuda(_) => device::forget_peak(of),
    }
}

/// Bytes that this process took at its highest moment: of the machine's memory, or, by its tensors,
/// of the card's. `None` where nothing was taken of the card, or the system does not tell.
pub(crate) fn peak_memory(of: Device) -> Option<u64> {
    match of {
        Device::Cpu => machine::peak(),
        Device::Cuda(_) => device::memory(of).map(|memory| memory.highest),
    }
}

/// What was planned of that which is measured: of a card without what CUDA takes for itself.
pub(crate) fn planned(of: Device, total: u64) -> u64 {
    match of {
        Device::Cpu => total,
        Device::Cuda(_) => {
            let program = Engine::on_tensors(of, Precision::default()).program_bytes;
            total.saturating_sub(program)
        }
    }
}
