//! The words of each choice.

use mainstay_core::breaker::BreakerMode;
use mainstay_core::line::Priority;
use mainstay_core::retry::Jitter;
use mainstay_core::upstream::{Balance, Percentile};

use super::Word;
use crate::draft::{EndWord, GrowthWord, LimitWord, ProbeWord, ScopeWord, UploadWord};
use crate::settings::{
    AccessFormat, Forwarded, Http2, LogFormat, MaybeDone, OtlpProtocol, OutboxMode, RecordedCalls,
    TraceField,
};

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

impl Word for EndWord {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("as-it-is", Self::AsItIs),
        ("reconnect", Self::Reconnect),
        ("terminal", Self::Terminal),
        ("terminal-always", Self::TerminalAlways),
    ];
}

impl Word for UploadWord {
    const WORDS: &'static [(&'static str, Self)] = &[("ietf", Self::Ietf), ("tus", Self::Tus)];
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

impl Word for LogFormat {
    const WORDS: &'static [(&'static str, Self)] = &[("text", Self::Text), ("json", Self::Json)];
}

impl Word for AccessFormat {
    const WORDS: &'static [(&'static str, Self)] =
        &[("combined", Self::Combined), ("json", Self::Json)];
}

impl Word for OtlpProtocol {
    const WORDS: &'static [(&'static str, Self)] = &[("grpc", Self::Grpc), ("http", Self::Http)];
}

impl Word for TraceField {
    const WORDS: &'static [(&'static str, Self)] =
        &[("always", Self::Always), ("continue", Self::Continue), ("never", Self::Never)];
}

impl Word for LimitWord {
    const WORDS: &'static [(&'static str, Self)] =
        &[("fixed", Self::Fixed), ("aimd", Self::Aimd), ("gradient", Self::Gradient)];
}

impl Word for Priority {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("lowest", Self::LOWEST),
        ("normal", Self::NORMAL),
        ("high", Self::HIGH),
        ("highest", Self::HIGHEST),
    ];
}

impl Word for Percentile {
    const WORDS: &'static [(&'static str, Self)] = &[
        (Self::P50.code(), Self::P50),
        (Self::P75.code(), Self::P75),
        (Self::P90.code(), Self::P90),
        (Self::P95.code(), Self::P95),
        (Self::P98.code(), Self::P98),
        (Self::P99.code(), Self::P99),
        (Self::P995.code(), Self::P995),
        (Self::P999.code(), Self::P999),
    ];
}

impl Word for ScopeWord {
    const WORDS: &'static [(&'static str, Self)] =
        &[("endpoint", Self::Endpoint), ("route", Self::Route)];
}

impl Word for RecordedCalls {
    const WORDS: &'static [(&'static str, Self)] =
        &[("broken", Self::Broken), ("failed", Self::Failed)];
}

impl Word for OutboxMode {
    const WORDS: &'static [(&'static str, Self)] =
        &[("on-request", Self::OnRequest), ("fallback", Self::Fallback), ("always", Self::Always)];
}

impl Word for MaybeDone {
    const WORDS: &'static [(&'static str, Self)] = &[("stop", Self::Stop), ("again", Self::Again)];
}
