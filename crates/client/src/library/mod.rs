//! The face that a Rust program sees: a client for HTTP that knows which breaks it may mend.
//!
//! ```text
//!   Mainstay::builder() ─┐                                      ┌─▶ Response ─▶ body
//!                        ├─▶ Mainstay ─▶ RequestBuilder ─▶ send ┤
//!   a policy file ───────┘      │                               └─▶ Error: how far it got, the request if it wasn't sent
//!                               └─▶ Upstream ─▶ call: anything that isn't HTTP
//! ```
//!
//! It is a thin layer: settings come from `mainstay-config`, decisions from core, and [`crate::driver`] makes the calls, as for
//! the proxy. What it adds are addresses (which URL belongs to which upstream), the watching over upstreams while they are in use,
//! and the types.

mod body;
mod builder;
mod call;
mod copy;
pub(crate) mod drive;
mod error;
mod event_stream;
mod events;
#[cfg(test)]
mod leaves;
mod mainstay;
#[cfg(feature = "metrics")]
mod metrics;
pub(crate) mod observe;
pub(crate) mod places;
mod request;
mod response;
mod upstream;

pub use body::Body;
pub use builder::{BuildError, Builder, OtherHosts, SettingValue, UpstreamBuilder};
pub use call::{AttemptStart, CallError, Endpoint, Failure, UpstreamCall};
pub use error::{Error, ErrorKind};
pub use event_stream::EventStream;
pub use events::{Event, Events};
pub use mainstay::Mainstay;
#[cfg(feature = "tracing")]
pub use observe::TracingObserver;
pub use observe::{Observed, Observer};
pub use request::{Request, RequestBuilder};
pub use response::{Response, ResponseBody};
pub use upstream::Upstream;
