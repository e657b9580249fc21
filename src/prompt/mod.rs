//! From samples and instruction records to tokens: templates, limits, answers.

pub mod encode;
pub mod error;
pub mod in_context;
pub mod template;

pub use encode::{Asked, Cutoff, Encoder, Fitted, Limit};
pub use error::PromptError;
pub use in_context::InContext;
pub use template::PromptTemplate;
