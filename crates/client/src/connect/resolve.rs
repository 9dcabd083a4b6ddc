//! Names into addresses.
//!
//! One resolver serves the process, with the system's configuration: `/etc/hosts`, `/etc/resolv.conf` with its
//! search list, and a cache that honours TTLs. It is made anew when one of the two files has changed: a sidecar
//! often starts before the network is up, and laptops move. A and AAAA are asked for at the same time, and whoever
//! answers second is waited for briefly only (RFC 8305, section 3), so a name server that drops AAAA costs little.

use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hickory_resolver::TokioResolver;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use mainstay_core::{BreakKind, Certainty, Timestamp};
use parking_lot::Mutex;
use tokio::time::timeout;

use crate::Clock;
use crate::broken::Broken;

static SYSTEM: System = System(Mutex::new(None));

/// The resolver of the system's files, while they are as they were.
struct System(Mutex<Option<Current>>);

struct Current {
    resolver: Arc<TokioResolver>,
    files: Stamps,
    looked_at: Timestamp,
}

type Stamps = [Option<SystemTime>; 2];

/// The addresses of the last lookup that gave any: better than none while no name server answers.
#[derive(Debug, Default)]
pub(super) struct LastGood(Mutex<Vec<IpAddr>>);

impl LastGood {
    pub(super) fn is_known(&self) -> bool {
        !self.0.lock().is_empty()
    }

    /// What to make of a lookup: its addresses; or the last good ones where the name servers were silent or
    /// useless. When they say that there is nothing, there is nothing.
    pub(super) fn settle(&self, found: Result<Vec<IpAddr>, Broken>) -> Result<Vec<IpAddr>, Broken> {
        let mut known = self.0.lock();
        match found {
            Ok(addresses) => {
                known.clone_from(&addresses);
                Ok(addresses)
            }
            Err(broken) => match broken.what.kind {
                BreakKind::ResolverTimeout | BreakKind::ResolverFailure if !known.is_empty() => {
                    Ok(known.clone())
                }
                _ => Err(broken),
            },
        }
    }
}

/// The addresses of `host`, in the order in which to try them; never none.
pub(super) async fn resolve(host: &str) -> Result<Vec<IpAddr>, Broken> {
    let resolver = SYSTEM.resolver(Clock::now()).map_err(|error| broken(&error))?;
    lookup(&resolver, host).await
}

impl System {
    fn resolver(&self, now: Timestamp) -> Result<Arc<TokioResolver>, NetError> {
        let mut current = self.0.lock();
        if let Some(current) = current.as_mut() {
            if now.since(current.looked_at) < LOOK_EVERY {
                return Ok(Arc::clone(&current.resolver));
            }
            current.looked_at = now;
            if current.files == stamps() {
                return Ok(Arc::clone(&current.resolver));
            }
        }
        let files = stamps();
        let resolver = Arc::new(TokioResolver::builder_tokio()?.build()?);
        *current = Some(Current { resolver: Arc::clone(&resolver), files, looked_at: now });
        Ok(resolver)
    }
}

fn stamps() -> Stamps {
    ["/etc/resolv.conf", "/etc/hosts"]
        .map(|path| std::fs::metadata(path).and_then(|file| file.modified()).ok())
}

async fn lookup(resolver: &TokioResolver, host: &str) -> Result<Vec<IpAddr>, Broken> {
    let name = Name::from_utf8(host).map_err(|error| miss(BreakKind::NameNotFound, &error))?;
    let mut v6 = pin!(family(resolver, &name, RecordType::AAAA));
    let mut v4 = pin!(family(resolver, &name, RecordType::A));
    let (v6, v4) = tokio::select! {
        v6 = &mut v6 => (v6, v4.await),
        v4 = &mut v4 => match &v4 {
            Ok(_) => (timeout(RESOLUTION_DELAY, v6).await.unwrap_or_else(|late| Err(miss(BreakKind::ResolverTimeout, &late))), v4),
            Err(_) => (v6.await, v4),
        },
    };
    match (v6, v4) {
        (Ok(mut all), Ok(v4)) => {
            all.extend(v4);
            Ok(all)
        }
        (Ok(one), Err(_)) | (Err(_), Ok(one)) => Ok(one),
        (Err(v6), Err(v4)) => Err(if rank(&v6) < rank(&v4) { v6 } else { v4 }),
    }
}

/// The addresses of one family; never none.
async fn family(
    resolver: &TokioResolver,
    name: &Name,
    kind: RecordType,
) -> Result<Vec<IpAddr>, Broken> {
    let answer = resolver.lookup(name.clone(), kind).await.map_err(|error| broken(&error))?;
    let addresses = answer.answers().iter().filter_map(|record| match &record.data {
        RData::A(address) => Some(IpAddr::V4(address.0)),
        RData::AAAA(address) => Some(IpAddr::V6(address.0)),
        _ => None,
    });
    let addresses: Vec<IpAddr> = addresses.collect();
    if addresses.is_empty() {
        return Err(miss(BreakKind::NoAddress, &"an answer without addresses"));
    }
    Ok(addresses)
}

fn broken(error: &NetError) -> Broken {
    let code = match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => Some(none.response_code),
        NetError::Dns(DnsError::ResponseCode(code)) => Some(*code),
        _ => None,
    };
    let kind = match (code, error) {
        (Some(ResponseCode::NXDomain), _) => BreakKind::NameNotFound,
        (Some(ResponseCode::NoError), _) => BreakKind::NoAddress,
        (Some(_), _) => BreakKind::ResolverFailure,
        (None, NetError::Timeout) => BreakKind::ResolverTimeout,
        (None, NetError::Io(error)) if error.kind() == io::ErrorKind::TimedOut => {
            BreakKind::ResolverTimeout
        }
        (None, _) => BreakKind::ResolverFailure,
    };
    miss(kind, error)
}

fn miss(kind: BreakKind, why: &dyn std::fmt::Display) -> Broken {
    Broken::new(kind, Certainty::NotSent).details(why.to_string())
}

/// Which family's failure is told when both failed: NXDOMAIN holds for the whole name, and a name server that
/// failed for one family may well have known addresses.
fn rank(miss: &Broken) -> u8 {
    match miss.what.kind {
        BreakKind::NameNotFound => 0,
        BreakKind::ResolverTimeout => 1,
        BreakKind::ResolverFailure => 2,
        _ => 3,
    }
}

/// How long the second family is waited for once there are addresses of the first (RFC 8305, section 8).
const RESOLUTION_DELAY: Duration = Duration::from_millis(50);

/// How often the system's files are looked at: two calls of `stat`, nothing that a connect would notice, and
/// soon enough for somebody who has just repaired the network.
const LOOK_EVERY: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_resolver::config::{NameServerConfig, ResolverConfig, ResolverOpts};
    use hickory_resolver::net::runtime::TokioRuntimeProvider;
    use std::net::SocketAddr;
    use tokio::net::UdpSocket;

    /// How a name server answers the question for one family.
    #[derive(Clone, Copy)]
    enum Says {
        Address(&'static str),
        /// This code, and no records.
        Code(u8),
        Nothing,
    }

    const NO_ERROR: u8 = 0;
    const SERVER_FAILED: u8 = 2;
    const NO_SUCH_NAME: u8 = 3;
    const REFUSED: u8 = 5;

    /// A name server that gives these answers to questions for A and AAAA, whatever the name.
    async fn serve(v4: Says, v6: Says) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut question = [0; 512];
            loop {
                let (length, from) = socket.recv_from(&mut question).await.unwrap();
                if let Some(answer) = answer(&question[..length], v4, v6) {
                    socket.send_to(&answer, from).await.unwrap();
                }
            }
        });
        address
    }

    fn answer(question: &[u8], v4: Says, v6: Says) -> Option<Vec<u8>> {
        // Header of 12 bytes, then the name as labels, an empty one at its end, then type and class.
        let mut end = 12;
        while question[end] != 0 {
            end += 1 + usize::from(question[end]);
        }
        let is_v6 = question[end + 2] == 28;
        let end = end + 5;
        let (code, records) = match if is_v6 { v6 } else { v4 } {
            Says::Nothing => return None,
            Says::Code(code) => (code, Vec::new()),
            Says::Address(text) => {
                let data = match text.parse().unwrap() {
                    IpAddr::V4(address) => address.octets().to_vec(),
                    IpAddr::V6(address) => address.octets().to_vec(),
                };
                // The name by reference, type, class, a TTL of 60 s, length.
                let mut record =
                    vec![0xc0, 12, 0, question[end - 3], 0, 1, 0, 0, 0, 60, 0, data.len() as u8];
                record.extend(data);
                (NO_ERROR, record)
            }
        };
        let mut message = question[..2].to_vec();
        message.extend([0x81, 0x80 | code, 0, 1, 0, u8::from(!records.is_empty()), 0, 0, 0, 0]);
        message.extend(&question[12..end]);
        message.extend(records);
        Some(message)
    }

    async fn look_up(v4: Says, v6: Says) -> Result<Vec<IpAddr>, BreakKind> {
        let server = serve(v4, v6).await;
        let mut name_server = NameServerConfig::udp(server.ip());
        for connection in &mut name_server.connections {
            connection.port = server.port();
        }
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![name_server]);
        let mut builder =
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        *builder.options_mut() = ResolverOpts::default();
        let resolver = builder.build().unwrap();
        lookup(&resolver, "api.test.").await.map_err(|broken| broken.what.kind)
    }

    async fn check(v4: Says, v6: Says, wanted: Result<&[&str], BreakKind>) {
        let wanted =
            wanted.map(|all| all.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>());
        assert_eq!(look_up(v4, v6).await, wanted);
    }

    const V4: Says = Says::Address("192.0.2.1");
    const V6: Says = Says::Address("2001:db8::1");

    #[tokio::test]
    async fn both_families_are_asked_and_ipv6_comes_first() {
        check(V4, V6, Ok(&["2001:db8::1", "192.0.2.1"])).await;
    }

    #[tokio::test]
    async fn one_family_is_enough() {
        check(V4, Says::Code(NO_ERROR), Ok(&["192.0.2.1"])).await;
        check(Says::Code(NO_ERROR), V6, Ok(&["2001:db8::1"])).await;
        check(V4, Says::Code(SERVER_FAILED), Ok(&["192.0.2.1"])).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_drops_questions_for_ipv6_costs_little() {
        let begin = tokio::time::Instant::now();
        check(V4, Says::Nothing, Ok(&["192.0.2.1"])).await;
        assert!(begin.elapsed() <= RESOLUTION_DELAY * 2, "{:?}", begin.elapsed());
    }

    #[tokio::test]
    async fn a_name_that_does_not_exist_is_told_from_one_without_addresses() {
        let (none, empty) = (Says::Code(NO_SUCH_NAME), Says::Code(NO_ERROR));
        check(none, none, Err(BreakKind::NameNotFound)).await;
        check(empty, none, Err(BreakKind::NameNotFound)).await;
        check(empty, empty, Err(BreakKind::NoAddress)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn failing_and_silent_servers_are_told_apart() {
        let failed = Says::Code(SERVER_FAILED);
        check(failed, failed, Err(BreakKind::ResolverFailure)).await;
        check(Says::Code(REFUSED), Says::Code(NO_ERROR), Err(BreakKind::ResolverFailure)).await;
        check(Says::Nothing, Says::Nothing, Err(BreakKind::ResolverTimeout)).await;
    }

    #[test]
    fn the_last_good_addresses_serve_while_no_name_server_answers() {
        let (last_good, address) = (LastGood::default(), IpAddr::from([192, 0, 2, 1]));
        let settle = |kind| {
            last_good.settle(Err(miss(kind, &"no answer"))).map_err(|broken| broken.what.kind)
        };
        assert_eq!(settle(BreakKind::ResolverTimeout), Err(BreakKind::ResolverTimeout));
        assert_eq!(last_good.settle(Ok(vec![address])).ok(), Some(vec![address]));
        assert_eq!(settle(BreakKind::ResolverTimeout), Ok(vec![address]));
        assert_eq!(settle(BreakKind::ResolverFailure), Ok(vec![address]));
        assert_eq!(settle(BreakKind::NameNotFound), Err(BreakKind::NameNotFound));
        assert_eq!(settle(BreakKind::NoAddress), Err(BreakKind::NoAddress));
    }

    #[tokio::test]
    async fn the_systems_resolver_is_made_once_while_its_files_stay_as_they_are() {
        let system = System(Mutex::new(None));
        let first = system.resolver(Timestamp::ZERO).unwrap();
        let second = system.resolver(Timestamp::ZERO + LOOK_EVERY).unwrap();
        assert!(Arc::ptr_eq(&first, &second));
        if let Some(current) = system.0.lock().as_mut() {
            current.files = [None, None];
        }
        let third = system.resolver(Timestamp::ZERO + LOOK_EVERY / 2).unwrap();
        assert!(Arc::ptr_eq(&first, &third), "not looked at again so soon");
        let fourth = system.resolver(Timestamp::ZERO + LOOK_EVERY * 3).unwrap();
        assert!(!Arc::ptr_eq(&first, &fourth));
    }
}
