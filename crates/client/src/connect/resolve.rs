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
use mainstay_core::{Break, BreakKind, Certainty, Timestamp};
use parking_lot::Mutex;
use tokio::time::timeout;

use crate::Clock;
use crate::pool::Broken;

static SYSTEM: System = System(Mutex::new(None));

/// The resolver of the system's files, while they are as they were.
struct System(Mutex<Option<Current>>);

struct Current {
    resolver: Arc<TokioResolver>,
    files: Stamps,
    looked_at: Timestamp,
}

type Stamps = [Option<SystemTime>; 2];

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
    Broken { what: Break::new(kind, Certainty::NotSent), details: Some(why.to_string()) }
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
