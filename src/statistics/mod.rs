//! What numbers say about a difference: tests, intervals, corrections.
//!
//! A claim needs four things: the effect, an interval for it, the name of the test, and what the
//! test counts as its independent pieces (seeds, rows or users). [`Comparison`] holds all of them
//! or none: there is no way to get at a p-value alone. Where a test has nothing to go by (one
//! seed, differences without any spread, one class only) the result is [`CannotSay`] with the
//! reason; never a number that looks like an answer.
//!
//! | question | look into |
//! |---|---|
//! | do seeds agree that one is better? | [`student`] |
//! | would other users or rows say the same? | [`bootstrap`], [`delong`] |
//! | many questions at once | [`holm`] |
//!
//! The two kinds of question are different. A test over seeds holds the test rows fixed and asks
//! how far another draw of training samples would move the numbers; a test over rows or users
//! holds the trained systems fixed and asks how far other test data would. Neither has the
//! spread of the other in it.
//!
//! Everything here is a pure function; random numbers come from [`crate::base::Random`], so the
//! same seed gives the same bits with any number of threads.

pub mod bootstrap;
pub mod claim;
pub mod comparison;
pub mod delong;
pub mod holm;
pub mod mean;
pub mod student;

pub use claim::{Claims, Correction};
pub use comparison::{CannotSay, Comparison, Evidence, Interval, Test, Unit, Verdict};
