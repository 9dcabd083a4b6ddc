//! What may be wrong with the answers about a name.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// A name's questions are answered wrongly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsFault {
    /// How.
    pub trouble: DnsTrouble,
    /// For questions of this family alone; none: both.
    pub family: Option<Family>,
}

/// How questions are answered wrongly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DnsTrouble {
    /// NXDOMAIN.
    NoSuchName,
    /// No error and no address.
    NoData,
    /// SERVFAIL.
    ServerFailure,
    /// REFUSED.
    Refused,
    /// No answer at all.
    Silence,
    /// The right answer, so much later.
    Slow(Duration),
    /// Other addresses.
    Answer {
        /// IPv4.
        a: Vec<Ipv4Addr>,
        /// IPv6.
        aaaa: Vec<Ipv6Addr>,
    },
}

/// Which addresses are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    A,
    /// IPv6.
    Aaaa,
}

impl Family {
    /// As it is written in a rule.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::Aaaa => "aaaa",
        }
    }
}

impl DnsTrouble {
    /// The word of its fault.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::NoSuchName => "dns-nxdomain",
            Self::NoData => "dns-nodata",
            Self::ServerFailure => "dns-servfail",
            Self::Refused => "dns-refused",
            Self::Silence => "dns-timeout",
            Self::Slow(_) => "dns-slow",
            Self::Answer { .. } => "dns-answer",
        }
    }
}
