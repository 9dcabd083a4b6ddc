//! The open connections of one target, for whoever wants to look at each.
//!
//! A connection is entered when it is established and forgotten some time after it was closed; while it carries requests
//! nobody touches this.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use mainstay_core::Timestamp;
use parking_lot::Mutex;

use crate::connect::{Meter, TcpInfo, Transport};

/// The open connections of one target.
#[derive(Debug, Default)]
pub(super) struct Registry(Mutex<Vec<Entry>>);

#[derive(Debug)]
struct Entry {
    meter: Weak<Meter>,
    protocol: &'static str,
    tls: Option<String>,
    local: Option<SocketAddr>,
}

/// What can be seen of one open connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionView {
    /// Its number, for the process; records of calls have it too.
    pub id: u64,
    /// The address at its other end.
    pub peer: Option<SocketAddr>,
    /// The address at this end.
    pub local: Option<SocketAddr>,
    /// `http/1.1` or `h2`.
    pub protocol: &'static str,
    /// The version of TLS and the protocol agreed on, if TLS is spoken.
    pub tls: Option<String>,
    /// How long it has been established.
    pub age: Duration,
    /// What it does.
    pub state: ConnectionState,
    /// Requests that it has carried, those under way included.
    pub requests: u64,
    /// Bytes that left, TLS and all.
    pub bytes_sent: u64,
    /// Bytes of HTTP that arrived.
    pub bytes_received: u64,
    /// How long the last PING's answer took, over HTTP/2; `None` before there was one.
    pub ping: Option<Duration>,
    /// What the system knows of it; `None` where it doesn't say.
    pub tcp: Option<TcpInfo>,
}

/// What a connection does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionState {
    /// It is kept, and carries nothing since so long.
    Idle {
        /// How long.
        idle_for: Duration,
    },
    /// It carries this many requests.
    Busy {
        /// How many; 1 at a time over HTTP/1.1.
        streams: u32,
    },
    /// It takes nothing new: used once, too old, going away, or no longer kept.
    Draining,
}

impl Registry {
    /// Enters a connection that has just been established.
    pub(super) fn enter(&self, transport: &Transport, protocol: &'static str) {
        let entry = Entry {
            meter: Arc::downgrade(transport.meter()),
            protocol,
            tls: transport.tls_summary(),
            local: transport.local(),
        };
        let mut entries = self.0.lock();
        // Looked through now and then: each time it would have to grow.
        if entries.len() == entries.capacity() {
            entries.retain(|entry| entry.meter.upgrade().is_some_and(|meter| meter.is_open()));
        }
        entries.push(entry);
    }

    /// The connections that are open at `now`; `kept` is what those in the pool do, by their numbers. One over HTTP/1.1 that
    /// isn't there is in use; one over HTTP/2 stays there while it takes streams.
    pub(super) fn view(
        &self,
        now: Timestamp,
        kept: &BTreeMap<u64, ConnectionState>,
    ) -> Vec<ConnectionView> {
        let entries = self.0.lock();
        let open = entries.iter().filter_map(|entry| {
            let meter = entry.meter.upgrade().filter(|meter| meter.is_open())?;
            let away = if entry.protocol == "h2" {
                ConnectionState::Draining
            } else {
                ConnectionState::Busy { streams: 1 }
            };
            let facts = meter.connection(entry.protocol, entry.tls.is_some(), None, now);
            Some(ConnectionView {
                id: facts.id,
                peer: facts.peer,
                local: entry.local,
                protocol: entry.protocol,
                tls: entry.tls.clone(),
                age: facts.age,
                state: kept.get(&facts.id).copied().unwrap_or(away),
                requests: facts.requests_before,
                bytes_sent: meter.written_bytes(),
                bytes_received: meter.read_bytes(),
                ping: meter.ping_round_trip(),
                tcp: meter.tcp_info(),
            })
        });
        open.collect()
    }
}
