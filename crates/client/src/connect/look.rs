//! A look at an endpoint beyond what a connection needs: all of its addresses, and the certificates that it shows even
//! to those who don't trust them. For `mainstay diagnose`; nothing is ever sent over what is opened here.

use std::net::SocketAddr;
use std::time::Duration;

use mainstay_config::settings::{ConnectSettings, Endpoint, Scheme, TlsSettings};
use mainstay_core::BreakKind;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::race::interleave;
use super::tcp;
use super::tls::Tls;
use super::transport::Socket;
use super::{Connector, Place};
use crate::Clock;

/// One address, and whether it takes connections.
#[derive(Debug)]
pub(crate) struct Reached {
    pub(crate) address: SocketAddr,
    pub(crate) took: Duration,
    /// What broke, with what the system said.
    pub(crate) outcome: Result<(), (BreakKind, String)>,
}

/// What a TLS server shows and agrees on.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) version: String,
    pub(crate) cipher: String,
    /// What ALPN agreed on.
    pub(crate) protocol: Option<String>,
    /// The chain, leaf first, DER.
    pub(crate) chain: Vec<Vec<u8>>,
}

impl Connector {
    /// Connects to each address of the endpoint, all at the same time; none where the name has none.
    pub(crate) async fn reach_all(&self) -> Vec<Reached> {
        let until = Instant::now() + self.connect_timeout;
        let Ok(addresses) = self.addresses(until, &mut Vec::new()).await else { return Vec::new() };
        let addresses = interleave(&addresses, self.port);
        let mut trying = JoinSet::new();
        for (index, address) in addresses.into_iter().enumerate() {
            let options = self.tcp.clone();
            trying.spawn(async move {
                let started_at = Clock::now();
                let connected = timeout_at(until, options.connect(address)).await;
                let outcome = match connected {
                    Ok(Ok(_)) => Ok(()),
                    Ok(Err(error)) => Err((tcp::kind(address, &error), error.to_string())),
                    Err(_) => Err((BreakKind::ConnectTimeout, "no answer in time".to_owned())),
                };
                (index, Reached { address, took: Clock::now().since(started_at), outcome })
            });
        }
        let mut all = trying.join_all().await;
        all.sort_by_key(|(index, _)| *index);
        all.into_iter().map(|(_, reached)| reached).collect()
    }

    /// What the TLS server at `peer` shows to a client that accepts any certificate; none if it never gets so far.
    pub(crate) async fn shown(
        &self,
        endpoint: &Endpoint,
        settings: &ConnectSettings,
        peer: SocketAddr,
        place: Place,
    ) -> Option<Shown> {
        if endpoint.scheme == Scheme::Http {
            return None;
        }
        let trusting = TlsSettings { danger_accept_any_certificate: true, ..settings.tls.clone() };
        let tls = Tls::new(&endpoint.host, &trusting, settings.http2).ok()?;
        let until = Instant::now() + self.connect_timeout;
        let socket = timeout_at(until, self.tcp.connect(peer)).await.ok()?.ok()?;
        let handshake = tls.handshake(Socket::new(socket, place, false));
        let stream = timeout_at(until, handshake).await.ok()?.ok()?;
        let session = stream.get_ref().1;
        let named = |name: Option<String>| name.unwrap_or_else(|| "unknown".to_owned());
        Some(Shown {
            version: named(session.protocol_version().map(|version| format!("{version:?}"))),
            cipher: named(
                session.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite())),
            ),
            protocol: session
                .alpn_protocol()
                .map(|name| String::from_utf8_lossy(name).into_owned()),
            chain: session
                .peer_certificates()
                .unwrap_or_default()
                .iter()
                .map(|one| one.to_vec())
                .collect(),
        })
    }
}
