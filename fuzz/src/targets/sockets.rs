//! WebSocket tunnels: frames of both sides, cut anywhere.

use std::time::Duration;

use mainstay_core::heal::socket::{ConnectionEnd, Side, SocketSettings, Tunnel};
use mainstay_core::{Chance, Timestamp};

use super::{knobs, pieces};

/// What one side may have waiting for it at most, whatever the other sends: a piece, and what may be added to it.
const ROOM: usize = 1 << 20;

/// Runs it: what goes to one side is bounded, and the tunnel comes to an end.
///
/// # Panics
///
/// Where it doesn't hold.
pub fn run(bytes: &[u8]) {
    let Some(([step, mix, seed], rest)) = knobs(bytes) else { return };
    let chance = Chance::from_seed(u64::from(seed));
    let mut now = Timestamp::ZERO;
    let mut tunnel = Tunnel::new(&SocketSettings::default(), Duration::from_secs(30), chance, now);
    for (place, piece) in pieces(rest, step).enumerate() {
        let from = if (place as u8) & mix == 0 { Side::Application } else { Side::Upstream };
        now = now + Duration::from_millis(u64::from(mix));
        if tunnel.reads(from) {
            tunnel.on_bytes(from, piece, now);
        }
        for to in [Side::Application, Side::Upstream] {
            let waiting = tunnel.pending(to).len();
            assert!(waiting <= ROOM, "{waiting} bytes wait");
            tunnel.on_written(to, waiting, now);
        }
        if tunnel.next_deadline().is_some_and(|due| due <= now) {
            tunnel.on_time(now);
        }
    }
    tunnel.on_end(Side::Upstream, ConnectionEnd::Closed, now);
    for _ in 0..100 {
        let Some(due) = tunnel.next_deadline() else { return };
        now = now.max(due);
        tunnel.on_time(now);
        for to in [Side::Application, Side::Upstream] {
            let waiting = tunnel.pending(to).len();
            tunnel.on_written(to, waiting, now);
        }
    }
    panic!("the tunnel never ends");
}
