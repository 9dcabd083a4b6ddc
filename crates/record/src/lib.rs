//! Events of calls, turned into metrics, log lines and feeds.
//!
//! Everything that can be asked why reads one stream of [`mainstay_core::Event`]s. The client and the proxy hand
//! them in here: each call's own through a [`CallTrace`], an upstream's through its [`UpstreamRecorder`].

mod id;
mod trace;
mod recorder;

pub use id::CallId;
pub use recorder::{Recorder, UpstreamRecorder};
pub use trace::{CallTag, CallTrace};
