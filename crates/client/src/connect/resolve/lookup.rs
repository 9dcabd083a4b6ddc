//! One lookup: both families, from the system's name servers or from given ones.
//!
//! One resolver serves the process, with the system's configuration: `/etc/hosts`, `/etc/resolv.conf` with its
//! search list, and a cache that honours TTLs. It is made anew when one of the two files has changed: a sidecar
//! often starts before the network is up, and laptops move. A and AAAA are asked for at the same time, and whoever
//! answers second is waited for briefly only (RFC 8305, section 3), so a name server that drops AAAA costs little.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use mainstay_core::{BreakKind, Timestamp};
use parking_lot::Mutex;
use tokio::time::timeout;

use super::seen::{FamilyLookup, LookedUp};
use crate::Clock;

static SYSTEM: System = System(Mutex::new(None));

/// The resolver of the system's files, while they are as they were.
struct System(Mutex<Option<Current>>);

struct Current {
    resolver: Asked,
    files: Stamps,
    looked_at: Timestamp,
}

/// A resolver, and the name servers that it asks.
#[derive(Clone)]
pub(super) struct Asked {
    resolver: Arc<TokioResolver>,
    servers: Arc<[SocketAddr]>,
}

type Stamps = [Option<SystemTime>; 2];

/// Whom to ask.
#[derive(Debug)]
pub(super) enum Servers {
    /// Those of the system's files.
    System,
    /// These.
    Own(Result<Asked, String>),
}

/// What a lookup found; never no addresses.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// In the order in which to try them.
    pub(super) addresses: Vec<IpAddr>,
    /// How long they are good for.
    pub(super) ttl: Duration,
}

/// Why a lookup found nothing.
#[derive(Debug)]
pub(super) struct Miss {
    pub(super) kind: BreakKind,
    pub(super) said: String,
    /// How long that there is nothing is good for.
    pub(super) ttl: Option<Duration>,
}

impl Miss {
    pub(super) fn new(kind: BreakKind, said: impl std::fmt::Display) -> Self {
        Self { kind, said: said.to_string(), ttl: None }
    }
}

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.servers.iter()).finish()
    }
}

impl Servers {
    pub(super) fn new(servers: &[SocketAddr]) -> Self {
        if servers.is_empty() { Self::System } else { Self::Own(own(servers)) }
    }

    /// The addresses of `host`, and how they were found. Ends `within` that time.
    pub(super) async fn look_up(
        &self,
        host: &str,
        within: Duration,
    ) -> (Result<Found, Miss>, LookedUp) {
        let (asked, by_system) = match self {
            Self::System => (SYSTEM.resolver(Clock::now()).map_err(|error| missed(&error)), true),
            Self::Own(own) => {
                let failed = |why: &String| Miss::new(BreakKind::ResolverFailure, why);
                (own.clone().map_err(|why| failed(&why)), false)
            }
        };
        match asked {
            Err(miss) => (Err(miss), LookedUp { by_system, ..LookedUp::default() }),
            Ok(asked) => {
                let (outcome, families) = lookup(&asked.resolver, host, within).await;
                (outcome, LookedUp { by_system, servers: asked.servers.to_vec(), families })
            }
        }
    }
}

fn own(servers: &[SocketAddr]) -> Result<Asked, String> {
    let configured = servers.iter().map(|address| {
        let mut server = NameServerConfig::udp_and_tcp(address.ip());
        for connection in &mut server.connections {
            connection.port = address.port();
        }
        server
    });
    let config = ResolverConfig::from_parts(None, Vec::new(), configured.collect());
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    builder.options_mut().use_hosts_file = ResolveHosts::Never;
    adapt(builder.options_mut());
    let resolver = builder.build().map_err(|error| error.to_string())?;
    Ok(Asked { resolver: Arc::new(resolver), servers: servers.into() })
}

/// What holds for whatever servers: a datagram that is lost is sent again soon, and denials aren't kept, since a second
/// one is to confirm the first.
fn adapt(options: &mut ResolverOpts) {
    options.timeout = options.timeout.min(ASKED_AGAIN_AFTER);
    options.negative_min_ttl = Some(Duration::ZERO);
    options.negative_max_ttl = Some(Duration::ZERO);
}

impl System {
    fn resolver(&self, now: Timestamp) -> Result<Asked, NetError> {
        let mut current = self.0.lock();
        if let Some(current) = current.as_mut() {
            if now.since(current.looked_at) < LOOK_EVERY {
                return Ok(current.resolver.clone());
            }
            current.looked_at = now;
            if current.files == stamps() {
                return Ok(current.resolver.clone());
            }
        }
        let files = stamps();
        let resolver = {
            let (config, options) = read_system_conf()?;
            let servers = addresses(&config);
            let provider = TokioRuntimeProvider::default();
            let mut builder = TokioResolver::builder_with_config(config, provider);
            *builder.options_mut() = options;
            adapt(builder.options_mut());
            Asked { resolver: Arc::new(builder.build()?), servers }
        };
        *current = Some(Current { resolver: resolver.clone(), files, looked_at: now });
        Ok(resolver)
    }
}

/// The name servers of a configuration, each once, though it is asked over UDP and TCP.
fn addresses(config: &ResolverConfig) -> Arc<[SocketAddr]> {
    let servers = config
        .name_servers()
        .iter()
        .filter_map(|server| Some(SocketAddr::new(server.ip, server.connections.first()?.port)));
    servers.collect()
}

fn stamps() -> Stamps {
    ["/etc/resolv.conf", "/etc/hosts"]
        .map(|path| std::fs::metadata(path).and_then(|file| file.modified()).ok())
}

async fn lookup(
    resolver: &TokioResolver,
    host: &str,
    within: Duration,
) -> (Result<Found, Miss>, Vec<FamilyLookup>) {
    let name = match Name::from_utf8(host) {
        Ok(name) => name,
        Err(error) => return (Err(Miss::new(BreakKind::NameNotFound, error)), Vec::new()),
    };
    let began = Clock::now();
    let mut v6 = pin!(family(resolver, &name, RecordType::AAAA, within));
    let mut v4 = pin!(family(resolver, &name, RecordType::A, within));
    let (v6, v4) = tokio::select! {
        v6 = &mut v6 => (v6, v4.await),
        v4 = &mut v4 => match &v4.0 {
            Ok(_) => {
                let late = |_| (Err(Miss::new(BreakKind::ResolverTimeout, "not waited for: the other family had answered")), Clock::now().since(began));
                (timeout(RESOLUTION_DELAY, v6).await.unwrap_or_else(late), v4)
            }
            Err(_) => (v6.await, v4),
        },
    };
    let families = vec![seen("AAAA", &v6), seen("A", &v4)];
    (both(v6.0, v4.0), families)
}

type Answered = (Result<Found, Miss>, Duration);

fn seen(record: &'static str, (outcome, took): &Answered) -> FamilyLookup {
    FamilyLookup {
        record,
        took: *took,
        outcome: match outcome {
            Ok(found) => Ok((found.addresses.len(), found.ttl)),
            Err(miss) => Err((miss.kind, miss.said.clone())),
        },
    }
}

fn both(v6: Result<Found, Miss>, v4: Result<Found, Miss>) -> Result<Found, Miss> {
    match (v6, v4) {
        (Ok(mut all), Ok(v4)) => {
            all.addresses.extend(v4.addresses);
            all.ttl = all.ttl.min(v4.ttl);
            Ok(all)
        }
        (Ok(one), Err(_)) | (Err(_), Ok(one)) => Ok(one),
        (Err(v6), Err(v4)) => Err(if rank(&v6) < rank(&v4) { v6 } else { v4 }),
    }
}

/// The addresses of one family, and how long that took.
async fn family(
    resolver: &TokioResolver,
    name: &Name,
    kind: RecordType,
    within: Duration,
) -> Answered {
    let began = Clock::now();
    let asked = timeout(within, ask(resolver, name, kind)).await;
    let outcome = asked.unwrap_or_else(|_| {
        Err(Miss::new(BreakKind::ResolverTimeout, "no name server answered in time"))
    });
    (outcome, Clock::now().since(began))
}

async fn ask(resolver: &TokioResolver, name: &Name, kind: RecordType) -> Result<Found, Miss> {
    let answer = resolver.lookup(name.clone(), kind).await.map_err(|error| missed(&error))?;
    let addresses = answer.answers().iter().filter_map(|record| match &record.data {
        RData::A(address) => Some(IpAddr::V4(address.0)),
        RData::AAAA(address) => Some(IpAddr::V6(address.0)),
        _ => None,
    });
    let addresses: Vec<IpAddr> = addresses.collect();
    if addresses.is_empty() {
        return Err(Miss::new(BreakKind::NoAddress, "an answer without addresses"));
    }
    // An alias on the way may change before the addresses do.
    let ttl = answer.answers().iter().map(|record| record.ttl).min().unwrap_or_default();
    Ok(Found { addresses, ttl: Duration::from_secs(ttl.into()) })
}

fn missed(error: &NetError) -> Miss {
    let (code, ttl) = match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => {
            (Some(none.response_code), none.negative_ttl)
        }
        NetError::Dns(DnsError::ResponseCode(code)) => (Some(*code), None),
        _ => (None, None),
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
    Miss { ttl: ttl.map(|ttl| Duration::from_secs(ttl.into())), ..Miss::new(kind, error) }
}

/// Which family's failure is told when both failed: NXDOMAIN holds for the whole name, and a name server that
/// failed for one family may well have known addresses.
fn rank(miss: &Miss) -> u8 {
    match miss.kind {
        BreakKind::NameNotFound => 0,
        BreakKind::ResolverTimeout => 1,
        BreakKind::ResolverFailure => 2,
        _ => 3,
    }
}

/// How long the second family is waited for once there are addresses of the first (RFC 8305, section 8).
const RESOLUTION_DELAY: Duration = Duration::from_millis(50);

/// How long a name server may be silent before it, or the next one, is asked again: a datagram may be lost, and there has
/// to be time for a second within a connect.
const ASKED_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How often the system's files are looked at: two calls of `stat`, nothing that a connect would notice, and
/// soon enough for somebody who has just repaired the network.
const LOOK_EVERY: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
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
        let (found, seen) =
            Servers::new(&[server]).look_up("api.test.", Duration::from_secs(60)).await;
        assert_eq!((seen.by_system, seen.servers), (false, vec![server]));
        assert_eq!(seen.families.len(), 2);
        found
            .map(|found| {
                assert_eq!(found.ttl, Duration::from_secs(60));
                found.addresses
            })
            .map_err(|miss| miss.kind)
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

    #[tokio::test]
    async fn each_family_s_time_and_ttl_are_seen_and_what_broke_it() {
        let server = serve(V4, Says::Code(SERVER_FAILED)).await;
        let within = Duration::from_secs(60);
        let (_, seen) = Servers::new(&[server]).look_up("api.test.", within).await;
        let [v6, v4] = &seen.families[..] else { panic!("{seen:?}") };
        assert_eq!((v6.record, v4.record), ("AAAA", "A"));
        assert_eq!(v6.outcome.as_ref().map_err(|(kind, _)| *kind), Err(BreakKind::ResolverFailure));
        assert_eq!(v4.outcome, Ok((1, Duration::from_secs(60))));
    }

    #[tokio::test]
    async fn the_systems_resolver_is_made_once_while_its_files_stay_as_they_are() {
        let system = System(Mutex::new(None));
        let first = system.resolver(Timestamp::ZERO).unwrap();
        let second = system.resolver(Timestamp::ZERO + LOOK_EVERY).unwrap();
        assert!(Arc::ptr_eq(&first.resolver, &second.resolver));
        if let Some(current) = system.0.lock().as_mut() {
            current.files = [None, None];
        }
        let third = system.resolver(Timestamp::ZERO + LOOK_EVERY / 2).unwrap();
        assert!(Arc::ptr_eq(&first.resolver, &third.resolver), "not looked at again so soon");
        let fourth = system.resolver(Timestamp::ZERO + LOOK_EVERY * 3).unwrap();
        assert!(!Arc::ptr_eq(&first.resolver, &fourth.resolver));
    }
}
