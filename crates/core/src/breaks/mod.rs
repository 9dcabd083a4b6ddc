//! What can break: a closed set of kinds, each with the phase it happens in and how sure we are of its effect.
//!
//! A [`Break`] is kind × phase × certainty. Foreign errors are read once, at the edge, into a `Break`; nobody
//! downcasts or reads messages later. Whether the request may be sent again follows from the break, the method
//! and the key alone ([`safety`]), never from the name of an error.

pub mod evidence;
pub mod grpc;
mod kind;
pub mod safety;
mod status;

use core::time::Duration;

pub use kind::{BreakKind, Phase};
pub use status::StatusSet;

/// How far the request of a broken attempt got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Certainty {
    /// Nothing of it left this host, or the peer had closed before it got any of it, and that is proved.
    NotSent,
    /// The peer says that it did nothing.
    Refused,
    /// It was sent, and nobody knows what became of it.
    MaybeProcessed,
    /// It was carried out: the head of an answer arrived.
    Processed,
}

impl Certainty {
    /// A stable name for records and problem documents.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotSent => "not-sent",
            Self::Refused => "refused",
            Self::MaybeProcessed => "maybe-processed",
            Self::Processed => "processed",
        }
    }
}

/// A failure of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Break {
    /// What broke.
    pub kind: BreakKind,
    /// How far the request got.
    pub certainty: Certainty,
    /// The status of the answer, where the break is an answer (a server error, throttling).
    pub status: Option<u16>,
    /// The gRPC status, where the break is the outcome of a gRPC call.
    pub grpc: Option<u8>,
    /// How long the peer asked to be left alone, counted from when its answer came.
    pub retry_after: Option<Duration>,
}

impl Break {
    /// A break without an answer.
    #[must_use]
    pub const fn new(kind: BreakKind, certainty: Certainty) -> Self {
        Self { kind, certainty, status: None, grpc: None, retry_after: None }
    }

    /// The phase it happened in.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.kind.phase()
    }

    /// Reads an answer as a break, if it is one.
    ///
    /// `failures` are the statuses that count as failures. 429, and 503 with a hint, are throttling; 421 and 425
    /// say that nothing was done; any other status is an answer like every other.
    #[must_use]
    pub const fn of_status(
        status: u16,
        retry_after: Option<Duration>,
        failures: &StatusSet,
    ) -> Option<Self> {
        let (kind, certainty) = match status {
            429 => (BreakKind::Throttled, Certainty::Refused),
            503 if retry_after.is_some() => (BreakKind::Throttled, Certainty::Refused),
            421 | 425 => (BreakKind::RefusedStatus, Certainty::Refused),
            _ if failures.contains(status) => (BreakKind::ServerError, Certainty::MaybeProcessed),
            _ => return None,
        };
        Some(Self { kind, certainty, status: Some(status), grpc: None, retry_after })
    }
}
