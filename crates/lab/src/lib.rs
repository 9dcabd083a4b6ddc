//! The misbehaving upstream: HTTP servers that break at the byte that was asked for, when it was asked for, and an
//! oracle that counts what they really did.
//!
//! Whoever claims to survive breaks has to be broken on purpose. Mocks break where their author thought of it;
//! here the sockets are real, the kernel sends the reset, and a refused port is really closed. And because a
//! client can't know whether its write was carried out, the [`Oracle`] at the other end does.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use mainstay_lab::{Fault, Lab, Rule, Spec};
//!
//! let lab = Lab::start(Spec::of(["a", "b"])).await?;
//! lab.set("a", Fault::Refuse).await?;
//! lab.set("b", "status code=502 ratio=0.5 methods=POST".parse::<Rule>()?).await?;
//! // ... send requests to lab.server("b") ...
//! assert!(lab.oracle().duplicates().is_empty());
//! lab.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! From the text to the bytes, in the order in which a request meets them:
//!
//! - `file`, `timeline`, `spec`, `problem`: what the user wrote, with everything wrong in it named at once
//! - [`Fault`] (`fault`): the closed list of ways to misbehave, and [`Rule`], which says to whom
//! - `lab`, `listener`, `wire`, `delivery`: the running servers, their doors, a connection's bytes and its two ways
//!   to end
//! - `h1`, `h2`: the protocols; HTTP/1.1 by hand, because a well-behaved library won't break on purpose
//! - `exchange`, `active`, `queue`: what becomes of a request; the only place where one is executed
//! - `api`: what a healthy server answers
//! - [`dns`]: the lab's own names
//! - [`Oracle`]: the books
//! - `control`, [`serve_file`]: the lab by itself
//!
//! What it deliberately doesn't do: listen anywhere but at the loopback, keep request bodies, or be fair about
//! who is hit. It knows no other part of Mainstay, so that it can judge all of them.

mod active;
mod api;
mod control;
mod delivery;
pub mod dns;
mod exchange;
mod fault;
pub mod file;
mod h1;
mod h2;
mod lab;
mod listener;
pub mod load;
mod oracle;
mod problem;
mod queue;
mod rng;
mod serve;
mod site;
mod spec;
mod timeline;
mod tls;
mod wire;

pub use api::{pattern_byte, seeded_byte};
pub use dns::{DnsSpec, NameSpec};
pub use fault::{
    Changing, Delay, DnsFault, DnsTrouble, Ending, Family, Fault, KINDS, Kind, Place, RangeTrouble,
    Ratio, RetryAfter, Rule, Scope, TlsTrouble, parse_duration,
};
pub use lab::{Lab, Server, StartError, UnknownServer};
pub use oracle::{
    Counts, Duplicate, ID_LIMIT_BYTES, IDS_LIMIT, Oracle, PathCounts, Snapshot, Totals,
};
pub use problem::{Invalid, Problem};
pub use rng::{FNV_OFFSET, fnv1a};
pub use serve::{ServeError, serve_file};
pub use spec::{SERVERS_LIMIT, ServerSpec, Spec};
pub use timeline::{Step, Timeline};
pub use tls::TlsError;
