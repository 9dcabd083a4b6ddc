//! What becomes of a connection after a switch of protocols (101): both sides are joined, and the call goes on until they part.
//!
//! A WebSocket connection is watched by core's [`Tunnel`], which [`socket`] runs. Of any other protocol nothing is understood:
//! [`opaque`] passes bytes.

mod opaque;
mod socket;

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use hyper::upgrade::OnUpgrade;
use mainstay::{Clock, DeliveredBody, fresh_chance};
use mainstay_core::heal::socket::{SocketSettings, Tunnel, TunnelCounts, TunnelEnd};

use crate::connection::Active;
use crate::shared::{OpenTunnel, Shared};
use socket::Socket;
pub(crate) use socket::TUNNELS_PART_WITHIN;

/// What a tunnel is made of, and how it is run.
#[derive(Debug)]
pub(super) struct Joined {
    /// The protocol that both speak now.
    pub(super) protocol: HeaderValue,
    /// The application's side.
    pub(super) application: OnUpgrade,
    /// The upstream's.
    pub(super) upstream: OnUpgrade,
    /// How a WebSocket connection is watched.
    pub(super) socket: SocketSettings,
    /// How long nothing may move where nobody is asked.
    pub(super) idle_timeout: Duration,
}

/// Runs the tunnel in a task of its own. The call lasts as long as its tunnel.
pub(super) fn join(active: Active, joined: Joined, mut body: DeliveredBody) {
    tokio::spawn(async move {
        let shared = Arc::clone(active.link().worker().shared());
        let open = OpenTunnel::new(Arc::clone(&shared));
        let (end, counts) = joined.run(&shared, &mut body).await;
        body.end_tunnel(end, counts);
        // In this order: whoever waits for tunnels counts the calls that are left.
        drop(active);
        drop(open);
    });
}

impl Joined {
    async fn run(self, shared: &Shared, body: &mut DeliveredBody) -> (TunnelEnd, TunnelCounts) {
        let (application, upstream) = tokio::join!(self.application, self.upstream);
        let upstream = match upstream {
            Ok(upstream) => upstream,
            Err(_) => return (TunnelEnd::UpstreamReset, TunnelCounts::default()),
        };
        match application {
            Ok(application) if self.protocol.as_bytes().eq_ignore_ascii_case(b"websocket") => {
                let tunnel =
                    Tunnel::new(&self.socket, self.idle_timeout, fresh_chance(), Clock::now());
                Socket::new(tunnel, application, upstream).run(shared, body).await
            }
            Ok(application) => opaque::run(application, upstream, self.idle_timeout).await,
            Err(_) => (TunnelEnd::ApplicationGone, TunnelCounts::default()),
        }
    }
}
