//! The content-addressed store: manifests by key, artifacts by digest, locks, verification.
//!
//! On disk, below the store's root (`.runner/store`):
//!
//! | path | written by | what |
//! |---|---|---|
//! | `format` | [`Store::open`] | version of this layout |
//! | `manifests/ab/<key>.json` | [`Store::publish`] | what a stage made; its presence is the commit |
//! | `artifacts/ab/<digest>` | [`Store::publish`] | a file or a folder, never changed |
//! | `locks/<key>` | [`Store::try_lock`] | a link to the lock of the runner that makes this stage |
//! | `tmp/run-<name>/` | [`Scratch`] | work under way; swept when its runner is gone |
//! | `partial/<key>/` | a stage | its unfinished work; goes once it is done |
//! | `latest/<experiment>.jsonl` | [`latest`] | last key, timing and outputs of each stage id, for plans and `why` |
//! | `files.json` | [`files`] | digests of the user's files by size and time |
//! | `quarantine/` | [`Store::quarantine`], [`Store::verify`] | what is damaged |
//! | `in-use` | [`Scratch`] | locked by every runner, so that nobody tidies up under it |
//! | `removed.jsonl` | [`Store::collect_garbage`] | artifacts that were removed on purpose |

mod environment;
pub mod files;
pub mod garbage;
pub mod latest;
pub mod lock;
pub mod manifest;
pub mod partial;
pub mod publish;
mod scratch;
pub mod store;
pub mod tree;
pub mod verify;

pub use environment::processor;
pub use lock::StageLock;
pub use manifest::{InputRecord, Manifest, OutputRecord};
pub use scratch::Scratch;
pub use store::{ArtifactState, Store, StoreError};
