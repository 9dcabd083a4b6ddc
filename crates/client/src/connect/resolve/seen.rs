//! How a lookup went, for people: a call needs its outcome alone.

use std::net::SocketAddr;
use std::time::Duration;

use mainstay_core::BreakKind;

/// A lookup that is over.
#[derive(Clone, Debug, Default)]
pub(crate) struct LookedUp {
    /// By the system's configuration, which looks into `/etc/hosts` first.
    pub(crate) by_system: bool,
    /// The name servers that were asked, or would be: one that answers spares the others.
    pub(crate) servers: Vec<SocketAddr>,
    /// AAAA and A.
    pub(crate) families: Vec<FamilyLookup>,
}

/// One family of addresses.
#[derive(Clone, Debug)]
pub(crate) struct FamilyLookup {
    /// AAAA or A.
    pub(crate) record: &'static str,
    pub(crate) took: Duration,
    /// How many addresses and their TTL, or what broke and what was said.
    pub(crate) outcome: Result<(usize, Duration), (BreakKind, String)>,
}
