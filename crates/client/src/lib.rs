//! The policy engine of Mainstay on tokio and real sockets.
//!
//! [`Client::call`] runs one [`mainstay_core::Call`] from its first attempt to the head of its answer, and its body
//! after that. What is decided is decided in core; this crate connects, sends, classifies what comes back, and
//! tells core.

mod alarm;
pub mod body;
pub mod broken;
mod chance;
pub mod check;
pub mod clock;
pub mod connect;
pub mod degrade;
pub mod diagnose;
pub mod driver;
pub mod gather;
pub mod pool;
mod rings;
pub mod service;
mod underway;

pub use body::{Outgoing, Source};
pub use chance::fresh_chance;
pub use clock::Clock;
pub use degrade::{Degrade, Degraded};
pub use driver::{Answer, Client, DeliveredBody, Unanswered, is_grpc};
pub use service::{Fields, Plan, Service};
