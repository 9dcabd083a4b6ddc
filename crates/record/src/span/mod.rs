//! Traces: which calls are told as spans, and those that wait to be exported.
//!
//! Whether a call is kept is known before it begins by its trace's id or its parent's flag ([`context`]), and at its end if
//! something broke. So a healthy call that isn't sampled costs its ids; all else is done when it is over, from its events, by
//! whoever exports ([`crate::otlp`]).
//!
//! ```text
//!   call over, sampled or broken ─▶ SpanQueue ─▶ one who exports, in batches
//!                                      └─ full: dropped and counted
//! ```

mod context;
mod queue;

pub use context::{Sampling, TraceContext, TraceParent};
pub use queue::{SpanBatch, SpanQueue, SpanStatus};
