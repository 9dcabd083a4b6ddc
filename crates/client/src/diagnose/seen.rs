//! What a walk saw, as a document.

use std::net::SocketAddr;
use std::time::Duration;

use mainstay_core::Timestamp;
use mainstay_record::{Step, StepName, StepOutcome};
use serde::Serialize;

use super::{Certificate, Class, Finding};
use crate::connect::{FamilyLookup, LookedUp, Reached, Shown};

/// All that a walk saw. Times are in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Diagnosis {
    /// The endpoint's name.
    pub endpoint: String,
    /// What was asked for.
    pub url: String,
    /// How it came out.
    pub class: Class,
    /// The steps of the call, in the order in which they began.
    pub steps: Vec<StepSeen>,
    /// How the name was looked up; nothing where the host is an address.
    pub names: Option<NamesSeen>,
    /// All addresses, the ones that the call didn't need included.
    pub addresses: Vec<AddressSeen>,
    /// What the TLS server showed.
    pub tls: Option<TlsSeen>,
    /// The head of the answer.
    pub head: Option<HeadSeen>,
    /// Bytes of the body that came.
    pub body_bytes: Option<u64>,
    /// Whether that was all: false where it broke, or was longer than what is read of one.
    pub body_whole: Option<bool>,
    /// Whether the same connection carried a second request.
    pub reuse: Option<ReuseSeen>,
    /// How long the connection may be idle.
    pub idle: Option<IdleSeen>,
    /// What broke, and what to make of it.
    pub finding: Option<Finding>,
}

/// One step of the call.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepSeen {
    /// queue, resolve, connect, tls, send, first-byte, body.
    pub step: &'static str,
    /// The address, of a connect.
    pub address: Option<SocketAddr>,
    /// When it began, counted from the beginning of the walk.
    pub started_ms: f64,
    /// How long it took.
    pub took_ms: f64,
    /// done, broke or given-up: another address had won.
    pub outcome: &'static str,
    /// The break's code.
    pub code: Option<&'static str>,
    /// What is worth telling of it.
    pub text: Option<String>,
}

/// How a name was looked up.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NamesSeen {
    /// By the system's configuration, which looks into `/etc/hosts` first and may remember an answer.
    pub by_system: bool,
    /// The name servers, in the order in which they are asked: one that answers spares the others.
    pub servers: Vec<SocketAddr>,
    /// What came of each family.
    pub families: Vec<FamilySeen>,
}

/// One family of addresses.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FamilySeen {
    /// AAAA or A.
    pub record: &'static str,
    /// How long its question took.
    pub took_ms: f64,
    /// How many addresses came.
    pub addresses: usize,
    /// How long they are good for, in seconds.
    pub ttl_s: Option<u64>,
    /// The break's code, if it broke.
    pub code: Option<&'static str>,
    /// What was said then.
    pub error: Option<String>,
}

/// One address.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AddressSeen {
    /// Which.
    pub address: SocketAddr,
    /// How long its TCP handshake took, or its failure.
    pub took_ms: f64,
    /// The break's code; none: it takes connections.
    pub code: Option<&'static str>,
    /// What the system said.
    pub error: Option<String>,
}

/// What a TLS server agreed on and showed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TlsSeen {
    /// The version.
    pub version: String,
    /// The cipher suite.
    pub cipher: String,
    /// What ALPN offered.
    pub offered: Vec<&'static str>,
    /// What it agreed on.
    pub agreed: Option<String>,
    /// The chain that the server sent, its own certificate first.
    pub chain: Vec<Certificate>,
}

/// The head of an answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HeadSeen {
    /// The status.
    pub status: u16,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub version: String,
    /// From the request's beginning to the head.
    pub first_byte_ms: f64,
    /// What the server calls itself.
    pub server: Option<String>,
    /// Its hint how long a connection may be idle.
    pub keep_alive: Option<String>,
}

/// A second request.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReuseSeen {
    /// Whether it went over the same connection.
    pub reused: bool,
    /// To the end of its answer, or to the break.
    pub took_ms: f64,
    /// The break's code, if it broke.
    pub code: Option<&'static str>,
}

/// A connection left alone.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct IdleSeen {
    /// When the peer closed it; none: it lived to the end of the probe.
    pub closed_after_ms: Option<f64>,
    /// How long it was watched.
    pub watched_ms: f64,
}

impl StepSeen {
    pub(super) fn of(step: &Step, began: Timestamp) -> Self {
        let (outcome, code, text) = match &step.outcome {
            StepOutcome::Done(text) => ("done", None, text.clone()),
            StepOutcome::Broke(kind, text) => ("broke", Some(kind.code()), text.clone()),
            StepOutcome::GivenUp => ("given-up", None, None),
        };
        let address = match step.name {
            StepName::Connect(address) => Some(address),
            _ => None,
        };
        Self {
            step: step.name.code(),
            address,
            started_ms: millis(step.started_at.since(began)),
            took_ms: millis(step.took),
            outcome,
            code,
            text,
        }
    }
}

impl NamesSeen {
    pub(super) fn of(seen: LookedUp) -> Self {
        let families = seen.families.into_iter().map(FamilySeen::of).collect();
        Self { by_system: seen.by_system, servers: seen.servers, families }
    }
}

impl FamilySeen {
    fn of(seen: FamilyLookup) -> Self {
        let one = Self {
            record: seen.record,
            took_ms: millis(seen.took),
            addresses: 0,
            ttl_s: None,
            code: None,
            error: None,
        };
        match seen.outcome {
            Ok((addresses, ttl)) => Self { addresses, ttl_s: Some(ttl.as_secs()), ..one },
            Err((kind, error)) => Self { code: Some(kind.code()), error: Some(error), ..one },
        }
    }
}

impl AddressSeen {
    pub(super) fn of(reached: Reached) -> Self {
        let (code, error) = match reached.outcome {
            Ok(()) => (None, None),
            Err((kind, error)) => (Some(kind.code()), Some(error)),
        };
        Self { address: reached.address, took_ms: millis(reached.took), code, error }
    }
}

impl TlsSeen {
    pub(super) fn of(shown: &Shown, offered: Vec<&'static str>) -> Self {
        let now = std::time::SystemTime::now();
        Self {
            version: shown.version.clone(),
            cipher: shown.cipher.clone(),
            offered,
            agreed: shown.protocol.clone(),
            chain: shown.chain.iter().filter_map(|der| Certificate::read(der, now)).collect(),
        }
    }
}

/// In milliseconds, to the microsecond.
pub(super) fn millis(length: Duration) -> f64 {
    length.as_micros() as f64 / 1e3
}
