//! Language models by API: what is asked, what comes back, what it costs, and the file in which
//! every answer is kept, so that none is paid for twice.
//!
//! Knows nothing of stages. Any OpenAI-compatible endpoint will do: `/completions` with
//! log-probabilities and `/chat/completions`. What a server sends is bounded in size and depth,
//! and the key that opens it is in no text that leaves this module.

pub mod answer;
pub mod answers;
pub mod client;
pub mod desk;
pub mod error;
pub mod pace;
pub mod pool;
pub mod price;
pub mod question;
pub mod reading;
pub mod retry;
pub mod secret;

pub use answer::{Answer, Candidate};
pub use answers::{Answers, Checked, check_folder};
pub use client::{Client, Endpoint};
pub use desk::{Desk, Terms};
pub use error::ApiError;
pub use price::{Ceiling, Price, Tokens};
pub use question::{Protocol, Question};
pub use reading::{Missing, Outcome, Read, read};
pub use secret::Secret;
