//! The TCP part: socket options, the race over the addresses, and what its errors mean.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use mainstay_config::settings::ConnectSettings;
use mainstay_core::establish::{Run, RunEnd};
use mainstay_core::{BreakKind, Certainty, Timestamp};
use mainstay_record::{Step, StepName, StepOutcome};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::race::Try;
use crate::broken::Broken;

/// Options of each socket.
#[derive(Clone, Debug)]
pub(super) struct TcpOptions {
    keepalive: Option<Duration>,
    user_timeout: Option<Duration>,
    /// For the handshake with one address.
    timeout: Duration,
}

impl TcpOptions {
    pub(super) fn new(settings: &ConnectSettings) -> Self {
        Self {
            keepalive: settings.tcp_keepalive,
            user_timeout: settings.tcp_user_timeout,
            timeout: settings.tcp_timeout,
        }
    }

    /// Connects to one address.
    pub(super) async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        self.apply(&socket)?;
        timeout(self.timeout, socket.connect(address)).await.unwrap_or_else(|_| {
            let said = format!("no answer within {} ms", self.timeout.as_millis());
            Err(io::Error::new(io::ErrorKind::TimedOut, said))
        })
    }

    fn apply(&self, socket: &TcpSocket) -> io::Result<()> {
        // A request is written in one piece; waiting for more would only delay it.
        socket.set_nodelay(true)?;
        let raw = SockRef::from(socket);
        // The system counts in whole seconds, and takes no zero.
        if let Some(every) = self.keepalive.map(|every| every.max(Duration::from_secs(1))) {
            let probes = TcpKeepalive::new().with_time(every).with_interval(every);
            raw.set_tcp_keepalive(&probes)?;
        }
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if self.user_timeout.is_some() {
            raw.set_tcp_user_timeout(self.user_timeout)?;
        }
        Ok(())
    }
}

/// The break of a race that nobody won: the failure that says most, and all of them as details.
pub(super) fn broken(tries: &[Try]) -> Broken {
    let failures = tries.iter().filter_map(|tried| Some(kind(tried.address, tried.error()?)));
    let details = describe(tries);
    let kind = failures.min_by_key(|kind| rank(*kind)).unwrap_or(BreakKind::NoAddress);
    Broken {
        details: (!details.is_empty()).then_some(details),
        ..Broken::new(kind, Certainty::NotSent)
    }
}

/// The failures of a race, for people.
pub(super) fn describe(tries: &[Try]) -> String {
    let each =
        tries.iter().filter_map(|tried| Some(format!("{}: {}", tried.address, tried.error()?)));
    each.collect::<Vec<_>>().join("; ")
}

/// A race, step by step. An attempt that was still out was given up when another one had won; otherwise `out` says what
/// became of it.
pub(super) fn steps(
    tries: &[Try],
    now: Timestamp,
    out: &StepOutcome,
) -> impl Iterator<Item = Step> {
    let any_won = tries.iter().any(Try::won);
    tries.iter().map(move |tried| {
        let (ended_at, outcome) = match &tried.ended {
            Some((at, Ok(()))) => (*at, StepOutcome::Done(None)),
            Some((at, Err(error))) => {
                let kind = kind(tried.address, error);
                (*at, StepOutcome::Broke(kind, Some(error.to_string())))
            }
            None if any_won => (now, StepOutcome::GivenUp),
            None => (now, out.clone()),
        };
        Step {
            name: StepName::Connect(tried.address),
            started_at: tried.started_at,
            took: ended_at.since(tried.started_at),
            outcome,
        }
    })
}

/// An attempt at an address, for the address's history.
pub(super) fn run(tried: &Try) -> Run {
    let end = match &tried.ended {
        None => RunEnd::Out,
        Some((_, Ok(()))) => RunEnd::Won,
        Some((_, Err(error))) if kind(tried.address, error) == BreakKind::LimitReached => {
            RunEnd::LocalFault
        }
        Some((_, Err(_))) => RunEnd::Failed,
    };
    Run { address: tried.address.ip(), started_at: tried.started_at, end }
}

pub(super) fn kind(address: SocketAddr, error: &io::Error) -> BreakKind {
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => {
            BreakKind::ConnectRefused
        }
        io::ErrorKind::TimedOut => BreakKind::ConnectTimeout,
        // Without IPv6 on this host, its loopback address can't be reached for want of an address of our own.
        io::ErrorKind::AddrNotAvailable if address.is_ipv6() && address.ip().is_loopback() => {
            BreakKind::Unreachable
        }
        // Out of local ports, of memory for sockets, or of file descriptors: nobody's fault but ours.
        io::ErrorKind::AddrNotAvailable
        | io::ErrorKind::AddrInUse
        | io::ErrorKind::OutOfMemory
        | io::ErrorKind::WouldBlock => BreakKind::LimitReached,
        _ if matches!(error.raw_os_error(), Some(ENFILE | EMFILE)) => BreakKind::LimitReached,
        _ => BreakKind::Unreachable,
    }
}

/// What an endpoint itself said says more than what the network said about one of its families.
fn rank(kind: BreakKind) -> u8 {
    match kind {
        BreakKind::ConnectRefused => 0,
        BreakKind::ConnectTimeout => 1,
        BreakKind::LimitReached => 2,
        _ => 3,
    }
}

// The same numbers on every Unix; the standard library has no kind for them.
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;

#[cfg(test)]
mod tests {
    use super::*;
    use mainstay_core::Break;

    fn check(failures: &[(&str, io::Error)], wanted: BreakKind) {
        let tries: Vec<Try> = failures
            .iter()
            .map(|(address, error)| {
                let again = error
                    .raw_os_error()
                    .map_or_else(|| error.kind().into(), io::Error::from_raw_os_error);
                tried(address, Some(Err(again)))
            })
            .collect();
        let broken = broken(&tries);
        assert_eq!(broken.what, Break::new(wanted, Certainty::NotSent), "{failures:?}");
    }

    /// An attempt that started after 1 ms and ended after 5, if it did.
    fn tried(address: &str, ended: Option<io::Result<()>>) -> Try {
        Try {
            address: address.parse().unwrap(),
            started_at: Timestamp::from_millis(1),
            ended: ended.map(|outcome| (Timestamp::from_millis(5), outcome)),
        }
    }

    #[test]
    fn each_address_has_a_step_and_losers_are_given_up() {
        let now = Timestamp::from_millis(11);
        let outcomes = |tries: &[Try]| {
            let out = StepOutcome::Broke(BreakKind::ConnectTimeout, None);
            let steps: Vec<Step> = steps(tries, now, &out).collect();
            steps.into_iter().map(|step| (step.took.as_millis(), step.outcome)).collect::<Vec<_>>()
        };
        let refused = || tried("10.0.0.1:80", Some(Err(io::ErrorKind::ConnectionRefused.into())));
        let (out, won) = (|| tried("10.0.0.2:80", None), tried("10.0.0.3:80", Some(Ok(()))));
        let text = Some("connection refused".to_owned());
        let broke = (4, StepOutcome::Broke(BreakKind::ConnectRefused, text));
        assert_eq!(
            outcomes(&[refused(), out(), won]),
            [broke.clone(), (10, StepOutcome::GivenUp), (4, StepOutcome::Done(None))]
        );
        let late = (10, StepOutcome::Broke(BreakKind::ConnectTimeout, None));
        assert_eq!(outcomes(&[refused(), out()]), [broke, late]);
    }

    #[test]
    fn errors_of_the_system_become_kinds() {
        let v4 = "10.0.0.1:80";
        check(&[(v4, io::ErrorKind::ConnectionRefused.into())], BreakKind::ConnectRefused);
        check(&[(v4, io::ErrorKind::HostUnreachable.into())], BreakKind::Unreachable);
        check(&[(v4, io::ErrorKind::NetworkUnreachable.into())], BreakKind::Unreachable);
        check(&[(v4, io::ErrorKind::PermissionDenied.into())], BreakKind::Unreachable);
        check(&[(v4, io::ErrorKind::TimedOut.into())], BreakKind::ConnectTimeout);
        check(&[(v4, io::ErrorKind::AddrNotAvailable.into())], BreakKind::LimitReached);
        check(&[("[::1]:80", io::ErrorKind::AddrNotAvailable.into())], BreakKind::Unreachable);
        check(&[(v4, io::Error::from_raw_os_error(EMFILE))], BreakKind::LimitReached);
        check(&[], BreakKind::NoAddress);
    }

    #[test]
    fn of_several_failures_the_one_that_says_most_is_told() {
        let (v4, v6) = ("10.0.0.1:80", "[2001:db8::1]:80");
        check(
            &[
                (v6, io::ErrorKind::NetworkUnreachable.into()),
                (v4, io::ErrorKind::ConnectionRefused.into()),
            ],
            BreakKind::ConnectRefused,
        );
        check(
            &[
                (v6, io::ErrorKind::NetworkUnreachable.into()),
                (v4, io::Error::from_raw_os_error(EMFILE)),
            ],
            BreakKind::LimitReached,
        );
    }
}
