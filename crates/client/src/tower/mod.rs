//! Mainstay around any client that is a tower service: [`MainstayLayer`]. And below it: [`Connector`].
//!
//! ```text
//!   program ─▶ MainstayService ─▶ core: again? where? when? ─▶ inner service ─▶ hyper-util, reqwest, tonic, ...
//!                                                                    └─▶ Connector: names, racing, TLS
//! ```
//!
//! The layer decides about attempts and makes none itself: each is a call of a clone of the inner service. The program's request
//! body is kept as it is sent, within the policy's bounds, and replayed byte by byte or not at all.
//!
//! It keeps tower's contract. [`poll_ready`](tower_service::Service::poll_ready) is the inner service's; the service that was ready makes the first
//! attempt, and each further one waits until its own clone is. A clone shares the upstream and nothing else.

mod body;
mod classify;
mod connector;
mod kept;
mod layer;
mod service;

pub use body::{AttemptBody, LayerBody};
pub use classify::classify;
pub use connector::{ConnectError, Connection, Connector};
pub use kept::{KeptBody, kept};
pub use layer::MainstayLayer;
pub use service::{MainstayService, ResponseFuture};
