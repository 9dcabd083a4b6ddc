//! Whether the peer's kernel has taken what we wrote.
//!
//! A reset makes our kernel forget what it hasn't delivered, so a cut of a large body would come early if the
//! reader was slow. The length of the send queue is asked of `/proc/net/tcp`, for the ioctl that tells it too
//! needs unsafe code, and this is asked once a broken body at most. Where there is no such file, we just wait.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Waits until a connection of the loopback has nothing left to deliver, or [`DELIVER_FOR`] has passed.
pub(crate) async fn delivered(local: SocketAddr, peer: SocketAddr) {
    let give_up_at = Instant::now() + DELIVER_FOR;
    while Instant::now() < give_up_at {
        let table = tokio::fs::read_to_string("/proc/net/tcp").await;
        if table.is_ok_and(|table| queued(&table, local, peer).is_none_or(|bytes| bytes == 0)) {
            return;
        }
        sleep(LOOK_EVERY).await;
    }
}

/// The send queue of this connection; none if it isn't in the table.
fn queued(table: &str, local: SocketAddr, peer: SocketAddr) -> Option<u64> {
    let (local, peer) = (port_ending(local), port_ending(peer));
    table.lines().find_map(|line| {
        // "sl local_address rem_address st tx_queue:rx_queue ...", all in hexadecimal.
        let mut columns = line.split_whitespace().skip(1);
        let ours = columns.next()?.ends_with(&local) && columns.next()?.ends_with(&peer);
        let queues = columns.nth(1).filter(|_| ours)?;
        u64::from_str_radix(queues.split(':').next()?, 16).ok()
    })
}

/// Both ends are at the loopback: the two ports name the connection.
fn port_ending(addr: SocketAddr) -> String {
    format!(":{:04X}", addr.port())
}

/// A reader that reads has everything by then; for one that doesn't, it makes no difference.
const DELIVER_FOR: Duration = Duration::from_secs(1);

const LOOK_EVERY: Duration = Duration::from_millis(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_is_found_by_both_ports() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n\
            \x20  0: 0100007F:1F90 0100007F:C350 01 00000000:00000005 00:00000000 00000000  0\n\
            \x20  1: 0100007F:1F90 0100007F:C351 01 000000FF:00000000 00:00000000 00000000  0\n";
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        assert_eq!(queued(table, at(0x1f90), at(0xc350)), Some(0));
        assert_eq!(queued(table, at(0x1f90), at(0xc351)), Some(255));
        assert_eq!(queued(table, at(0x1f90), at(0xc352)), None);
    }
}
