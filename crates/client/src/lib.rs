//! Calls to other people's APIs that survive broken connections, inside a Rust program.
//!
//! [`Mainstay`] is a client for HTTP that feels like others, and does more: it tries again where that is safe, within a budget, elsewhere
//! if need be; leaves alone what is down; continues answers that broke in the middle; and says what broke and how far a request got. It
//! is the engine of the proxy `mainstay run`, and takes the same policy file.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use mainstay::{Mainstay, UpstreamBuilder};
//!
//! let orders = UpstreamBuilder::new("orders").endpoint("https://a.example").endpoint("https://b.example");
//! let client = Mainstay::builder().upstream(orders).build()?;
//! match client.get("https://a.example/orders/7").send().await {
//!     Ok(response) => println!("{} ({:?})", response.status(), response.saved()),
//!     Err(error) => println!("{error}: {:?}", error.certainty()),
//! }
//! # Ok(()) }
//! ```
//!
//! # Features
//!
//! None is on by default. `json`: bodies by serde. `stream`: bodies as [streams](https://docs.rs/futures-core). `tower`: a layer around other
//! clients, and a connector below them. `tracing`: events and spans. `testing`: scripted upstreams and virtual time, for tests of programs.
//! `metrics`: what was counted, as text for Prometheus. `websocket`: WebSocket connections as streams and sinks. `outbox-postgres`, `outbox-sqlite`: calls that are made after a transaction of the program's own; `courier`: by the program itself.
//!
//! # What is stable
//!
//! What these pages show. Modules that they hide (`driver`, `pool` and others) are what the proxy is made of; they follow no version.

mod alarm;
#[doc(hidden)]
pub mod body;
#[doc(hidden)]
pub mod broken;
mod chance;
#[doc(hidden)]
pub mod check;
#[doc(hidden)]
pub mod clock;
#[doc(hidden)]
pub mod connect;
#[doc(hidden)]
pub mod degrade;
#[doc(hidden)]
pub mod diagnose;
#[doc(hidden)]
pub mod driver;
#[doc(hidden)]
pub mod gather;
mod library;
#[cfg(feature = "outbox")]
pub mod outbox;
#[doc(hidden)]
pub mod pool;
mod rings;
#[doc(hidden)]
pub mod route;
#[doc(hidden)]
pub mod service;
mod shown;
#[cfg(feature = "courier")]
#[doc(hidden)]
pub mod stored;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "tower")]
pub mod tower;
mod trailers;
mod underway;
#[cfg(feature = "websocket")]
pub mod websocket;
mod wishes;

#[cfg(feature = "tracing")]
pub use library::TracingObserver;
pub use library::{
    AttemptStart, Body, BuildError, Builder, CallError, Endpoint, Error, ErrorKind, Event,
    EventStream, Events, Failure, Mainstay, Observed, Observer, OtherHosts, Request,
    RequestBuilder, Response, ResponseBody, SettingValue, Upstream, UpstreamBuilder, UpstreamCall,
};
pub use wishes::{Attempt, AttemptOutcome};

pub use degrade::Degraded;
pub use mainstay_config::Profile;
pub use mainstay_core::Event as CallEvent;
pub use mainstay_core::event::{AttemptReason, DegradedBy, Saved, StopReason};
pub use mainstay_core::{Break, BreakKind, Certainty, Phase};
pub use mainstay_record::CallId;

// What the proxy is made of.
#[doc(hidden)]
pub use body::{BodyRoom, Outgoing, Source};
#[doc(hidden)]
pub use chance::fresh_chance;
#[doc(hidden)]
pub use clock::Clock;
#[doc(hidden)]
pub use degrade::Degrade;
#[doc(hidden)]
pub use driver::{Answer, Client, DeliveredBody, Unanswered, is_grpc};
#[doc(hidden)]
pub use service::{Fields, Plan, Service};
