//! The one training loop, [`fit()`], and its parts; it knows [`Trainable`], no model.

pub mod adam;
pub mod error;
pub mod fit;
pub mod loss;
pub mod observer;
pub mod robust;

pub use adam::{Adam, AdamOptions};
pub use error::TrainError;
pub use fit::{Epoch, FitOptions, Fitted, Trainable, fit};
pub use loss::Loss;
pub use observer::{Observer, Silent};
pub use robust::{Propensities, Robustness};
