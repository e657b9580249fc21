//! From samples and instruction records to tokens: templates, limits, answers.

pub mod error;
pub mod template;

pub use error::PromptError;
pub use template::PromptTemplate;
