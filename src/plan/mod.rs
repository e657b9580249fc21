//! Stage graph + store → [`Plan`]: what is fresh, what is stale and why.
//!
//! A key contains the digests of a stage's inputs, not the keys of their makers. So a stage's
//! key is known only once all its inputs' bytes are known: stages below a stale one are
//! [`Verdict::Waiting`], and turn out fresh after all if the rerun makes the same bytes.
//!
//! | verdict | key known | artifacts | what happens |
//! |---|---|---|---|
//! | `Fresh` | yes | manifest in the store | nothing, even if the bytes were evicted, unless a stale stage needs them |
//! | `Stale` | yes | no manifest | runs |
//! | `Waiting` | not yet | unknown | decided when what it waits for is done |

pub mod keys;
mod planner;
pub mod reason;

pub use keys::{Keys, PlanError};
pub(crate) use planner::makers;
pub use planner::{Plan, Verdict, plan};
pub use reason::Reason;
