//! The last hour: of each endpoint and upstream a bucket every ten seconds, and the changes of state.
//!
//! ```text
//!   counters ──(each second: how it stands; each ten: the counters)──▶ ring of 360 buckets ──▶ timeline
//!   changes  ─────────────────────────────────────────────────────────▶ list               ──▶
//! ```
//!
//! Calls know nothing of it: whoever keeps time calls [`crate::UpstreamRecorder::look`], and what is kept are differences of
//! counters that are counted anyway. So a bucket can't disagree with the metrics, and the hot path has no more to do.
//! Memory is bounded by 24 bytes a bucket of an endpoint; what isn't in use any more leaves after an hour.

mod changes;
mod endpoint;
mod ring;
mod state;
mod timeline;
mod upstream;

pub(crate) use changes::Changes;
pub use changes::{Change, Order};
pub(crate) use endpoint::EndpointPast;
pub use endpoint::{EndpointLook, EndpointNow, EndpointPart};
pub(crate) use ring::bucket_of;
pub use state::EndpointState;
pub use timeline::{EndpointSeries, Timeline, TimelineFilter, UpstreamSeries};
pub(crate) use upstream::UpstreamPast;
pub use upstream::{CallPart, UpstreamNow};
