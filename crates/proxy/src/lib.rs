//! The egress proxy: it listens, routes, reloads and drains.
//!
//! ```text
//!   listen ──▶ worker ──▶ connection ──▶ forward ──▶ mainstay::Client ──▶ answer
//!              one a core   parks          examine, route, strip, mark      or problem document
//!
//!   admin: health, status, metrics, events, calls; reload and breakers by order
//! ```
//!
//! [`Proxy`] is what a program starts. Nothing about retries, breakers or failover is decided here: this crate takes
//! requests in, hands them to the client, and tells the application what came of them.
//!
//! The modules in the order in which a request meets them: `listen` (sockets), `worker` (a thread, its runtime, its
//! sweep), `connection` (accept to close), `forward` (one request), `route` (where to), `problem` (what to say when
//! there is no answer), `outbox` (what is stored, and delivered later),
//! `export` (spans, to a collector), `heritage` (sockets that go to the next process). `generation` and `shared` hold what a reload swaps; `admin` is for people and their tools, and
//! `journal` keeps time for what they look at.

mod admin;
mod connection;
mod error;
mod export;
mod forward;
mod generation;
mod heritage;
mod journal;
mod listen;
mod messages;
mod outbox;
mod problem;
mod proxy;
mod route;
mod shared;
mod tls;
mod worker;

pub use error::{ReloadError, StartError};
pub use export::ExportError;
pub use forward::{Outlook, OwnAnswer};
pub use generation::{RouteError, UpstreamError};
pub use heritage::{Heritage, HeritageError};
pub use listen::BindError;
pub use messages::Messages;
pub use outbox::{OutboxError, open_store};
pub use proxy::{Options, Proxy};
pub use route::{Condition, Considered, route_of};
pub use tls::CertificateError;
