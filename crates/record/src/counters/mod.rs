//! What is counted, and how it is read.
//!
//! Each event adds to a few counters and nothing else: no lock, no allocation, no formatting. What every healthy call
//! counts is kept per thread ([`shard`]); the rest is rare and shared. Everything that tells numbers (metrics, counts,
//! the census) reads the same counters, so they can't disagree.

mod amplification;
mod endpoint;
mod exemplar;
mod histogram;
mod shard;
mod tally;
mod upstream;

pub(crate) use amplification::ratio;
pub(crate) use endpoint::{EndpointCounters, EndpointSums, PASSED, Pulse};
pub(crate) use exemplar::Exemplar;
pub(crate) use histogram::{BOUNDS, BUCKETS, HistogramSums};
pub(crate) use shard::Sharded;
pub(crate) use tally::Sums;
pub(crate) use upstream::{CallPulse, OTHER, UpstreamCounters, UpstreamSums};
