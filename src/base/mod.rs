//! The words everyone speaks: digests, canonical JSON, seeds, time, events.
//!
//! Every other module may import this one; it imports none of them.

pub mod bounded;
pub mod canonical;
pub mod clock;
pub mod device;
pub mod digest;
pub mod event;
pub mod limits;
pub mod machine;
pub mod nearest;
pub mod random;

pub use canonical::canonical_json;
pub use device::{Device, Devices};
pub use digest::{Digest, StageKey};
pub use event::{Emitter, Event, EventKind, Lane, TemplateShape};
pub use limits::Limits;
pub use random::Random;
