//! The race of RFC 8305 ("Happy Eyeballs", version 2) over the addresses of a name.
//!
//! Attempts start in order, a delay apart, or at once when one has failed; the first connection wins and the
//! others are cancelled by being dropped. Losers aren't held against anybody. What became of each is written down as it
//! happens, so that it is known even when the race is cut short.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use mainstay_core::Timestamp;
use tokio::time::{Instant, sleep};

use crate::Clock;

/// An attempt at one address.
#[derive(Debug)]
pub(super) struct Try {
    pub(super) address: SocketAddr,
    pub(super) started_at: Timestamp,
    /// When it ended, and how; nothing while it is out, or when it was cancelled.
    pub(super) ended: Option<(Timestamp, io::Result<()>)>,
}

impl Try {
    fn start(address: SocketAddr) -> Self {
        Self { address, started_at: Clock::now(), ended: None }
    }

    fn end<T>(&mut self, outcome: io::Result<T>) -> Option<T> {
        let (won, ended) = match outcome {
            Ok(connection) => (Some(connection), Ok(())),
            Err(error) => (None, Err(error)),
        };
        self.ended = Some((Clock::now(), ended));
        won
    }

    /// Why it gave no connection, if it failed.
    pub(super) fn error(&self) -> Option<&io::Error> {
        self.ended.as_ref().and_then(|(_, outcome)| outcome.as_ref().err())
    }

    /// Whether its connection is the one that came first.
    pub(super) fn won(&self) -> bool {
        matches!(self.ended, Some((_, Ok(()))))
    }
}

/// The addresses with their families interleaved, starting with the family of the first (RFC 8305, section 4).
pub(super) fn interleave(addresses: &[IpAddr], port: u16) -> Vec<SocketAddr> {
    let Some(first) = addresses.first() else { return Vec::new() };
    let of_family =
        |is_ipv6: bool| addresses.iter().filter(move |address| address.is_ipv6() == is_ipv6);
    let (mut one, mut other) = (of_family(first.is_ipv6()), of_family(!first.is_ipv6()));
    let mut order = Vec::with_capacity(addresses.len());
    while order.len() < addresses.len() {
        order.extend(one.next().map(|address| SocketAddr::new(*address, port)));
        order.extend(other.next().map(|address| SocketAddr::new(*address, port)));
    }
    order
}

/// The first connection that `connect` makes to one of the addresses; nothing when all failed. What became of each
/// address that was tried is put into `tries`, in the order in which they started.
pub(super) async fn race<T, F>(
    addresses: &[SocketAddr],
    delay: Duration,
    tries: &mut Vec<Try>,
    mut connect: impl FnMut(SocketAddr) -> F,
) -> Option<T>
where
    F: Future<Output = io::Result<T>>,
{
    if let [only] = addresses {
        let place = tries.len();
        tries.push(Try::start(*only));
        let outcome = connect(*only).await;
        return tries[place].end(outcome);
    }
    let mut waiting = addresses.iter().copied();
    let mut running: Vec<(usize, Pin<Box<F>>)> = Vec::new();
    let mut timer = pin!(sleep(delay));
    poll_fn(|cx| {
        loop {
            let mut start_next = running.is_empty();
            let mut place = 0;
            while place < running.len() {
                match running[place].1.as_mut().poll(cx) {
                    Poll::Pending => place += 1,
                    Poll::Ready(outcome) => {
                        let (tried, _) = running.remove(place);
                        if let Some(connection) = tries[tried].end(outcome) {
                            return Poll::Ready(Some(connection));
                        }
                        start_next = true;
                    }
                }
            }
            if !start_next && timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            match waiting.next() {
                Some(address) => {
                    running.push((tries.len(), Box::pin(connect(address))));
                    tries.push(Try::start(address));
                    timer.as_mut().reset(Instant::now() + delay);
                }
                None if running.is_empty() => return Poll::Ready(None),
                None => return Poll::Pending,
            }
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY: Duration = Duration::from_millis(250);

    /// How the attempt at an address goes: it takes a time, and succeeds or not.
    type Script = fn(u8) -> (u64, bool);

    /// Runs a race over `10.0.0.1` to `10.0.0.count`: who won, when it ended, and when each attempt started.
    async fn check(
        count: u8,
        script: Script,
        winner: Option<u8>,
        ended_ms: u64,
        started_ms: &[u64],
    ) {
        let addresses: Vec<SocketAddr> =
            (1..=count).map(|last| SocketAddr::from(([10, 0, 0, last], 80))).collect();
        let begin = Instant::now();
        let (mut tries, mut started) = (Vec::new(), Vec::new());
        let won = race(&addresses, DELAY, &mut tries, |address| {
            started.push(begin.elapsed().as_millis() as u64);
            let IpAddr::V4(ip) = address.ip() else { panic!("no such address") };
            let last = ip.octets()[3];
            async move {
                let (takes_ms, succeeds) = script(last);
                sleep(Duration::from_millis(takes_ms)).await;
                if succeeds { Ok(last) } else { Err(io::ErrorKind::ConnectionRefused.into()) }
            }
        })
        .await;
        assert_eq!((won, begin.elapsed().as_millis() as u64), (winner, ended_ms));
        assert_eq!(started, started_ms);
        assert_eq!(tries.len(), started_ms.len());
        let winners = tries.iter().filter(|tried| tried.won()).map(|tried| tried.address);
        let wanted = winner.map(|last| SocketAddr::from(([10, 0, 0, last], 80)));
        assert_eq!(winners.collect::<Vec<_>>(), wanted.into_iter().collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn a_quick_first_address_is_the_only_one_that_is_tried() {
        check(3, |_| (20, true), Some(1), 20, &[0]).await;
        check(1, |_| (900, true), Some(1), 900, &[0]).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_address_costs_one_delay() {
        check(
            2,
            |last| if last == 1 { (60_000, true) } else { (10, true) },
            Some(2),
            260,
            &[0, 250],
        )
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_address_costs_no_delay() {
        check(3, |last| (10, last == 3), Some(3), 30, &[0, 10, 20]).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_first_address_may_still_win() {
        check(2, |last| if last == 1 { (300, true) } else { (100, true) }, Some(1), 300, &[0, 250])
            .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_race_that_all_lose_ends_with_the_last() {
        check(2, |last| (u64::from(last) * 100, false), None, 300, &[0, 100]).await;
        check(0, |_| (1, true), None, 0, &[]).await;
    }

    #[test]
    fn families_take_turns_and_the_first_one_starts() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let all = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "::1", "::2"].map(address);
        let order = interleave(&all, 7);
        let wanted = ["10.0.0.1", "::1", "10.0.0.2", "::2", "10.0.0.3"].map(address);
        assert_eq!(order, wanted.map(|ip| SocketAddr::new(ip, 7)));
        assert!(interleave(&[], 7).is_empty());
    }
}
