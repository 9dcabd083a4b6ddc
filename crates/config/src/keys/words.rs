//! The words of each choice.

use mainstay_core::breaker::BreakerMode;
use mainstay_core::retry::Jitter;
use mainstay_core::upstream::Balance;

use super::Word;
use crate::draft::{GrowthWord, ProbeWord, ScopeWord};
use crate::settings::{Forwarded, Http2, RecordedCalls};

impl Word for Balance {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("peak-ewma", Self::PeakEwma),
        ("round-robin", Self::RoundRobin),
        ("least-request", Self::LeastRequest),
        ("consistent-hash", Self::ConsistentHash),
    ];
}

impl Word for BreakerMode {
    const WORDS: &'static [(&'static str, Self)] =
        &[("stop-all", Self::StopAll), ("stop-retries", Self::StopRetries), ("off", Self::Off)];
}

impl Word for Jitter {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("full", Self::Full),
        ("equal", Self::Equal),
        ("decorrelated", Self::Decorrelated),
        ("none", Self::None),
    ];
}

impl Word for GrowthWord {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("exponential", Self::Exponential),
        ("linear", Self::Linear),
        ("constant", Self::Constant),
    ];
}

impl Word for Http2 {
    const WORDS: &'static [(&'static str, Self)] =
        &[("auto", Self::Auto), ("always", Self::Always), ("never", Self::Never)];
}

impl Word for Forwarded {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("none", Self::Nothing),
        ("forwarded", Self::Standard),
        ("x-forwarded", Self::Legacy),
        ("both", Self::Both),
    ];
}

impl Word for ProbeWord {
    const WORDS: &'static [(&'static str, Self)] =
        &[("tcp", Self::Tcp), ("tls", Self::Tls), ("http", Self::Http), ("grpc", Self::Grpc)];
}

impl Word for ScopeWord {
    const WORDS: &'static [(&'static str, Self)] =
        &[("endpoint", Self::Endpoint), ("route", Self::Route)];
}

impl Word for RecordedCalls {
    const WORDS: &'static [(&'static str, Self)] =
        &[("broken", Self::Broken), ("failed", Self::Failed)];
}
