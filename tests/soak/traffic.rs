//! Who calls: reads, writes with and without keys, uploads, downloads, event streams, HTTP/2, gRPC and WebSocket, all at the same time.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use mainstay_lab::load::{CallResult, Ended, Load};
use mainstay_lab::{Oracle, Snapshot};
use tokio::task::JoinSet;

use crate::support::text;
use crate::watch::Proxy;
use crate::{LONGEST_CALL, websocket};

/// A kind of traffic.
struct Kind {
    name: &'static str,
    method: Method,
    path: &'static str,
    /// Calls a second.
    rate: f64,
    body_bytes: usize,
    field: Option<(&'static str, &'static str)>,
    http2: bool,
}

const fn kind(name: &'static str, method: Method, path: &'static str, rate: f64) -> Kind {
    Kind { name, method, path, rate, body_bytes: 100, field: None, http2: false }
}

fn kinds() -> [Kind; 8] {
    let grpc = Some(("content-type", "application/grpc"));
    [
        kind("reads", Method::GET, "/x", 40.0),
        kind("writes", Method::POST, "/x", 15.0),
        Kind {
            field: Some(("idempotency-key", "soak")),
            ..kind("keyed", Method::POST, "/x", 10.0)
        },
        Kind { body_bytes: 200_000, ..kind("uploads", Method::PUT, "/x", 3.0) },
        kind("downloads", Method::GET, "/bytes/200000", 5.0),
        kind("streams", Method::GET, "/events?last=40&every=20ms", 4.0),
        Kind { http2: true, ..kind("http2", Method::GET, "/x", 20.0) },
        Kind { http2: true, field: grpc, ..kind("grpc", Method::POST, "/lab.Echo/Say", 10.0) },
    ]
}

/// What came of calls, by kind.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) kinds: BTreeMap<&'static str, Counts>,
    /// Times of all calls.
    pub(crate) took: Vec<Duration>,
    writes: Vec<(String, bool)>,
    /// What the oracle says of writes without a key.
    pub(crate) doubled: Vec<String>,
    pub(crate) lost: Vec<String>,
}

/// Calls of one kind.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) calls: u64,
    pub(crate) good: u64,
    /// Ended as broken, visibly.
    pub(crate) bad: u64,
    /// Passed for good, with other content than the server's.
    pub(crate) wrong: u64,
    /// Didn't end by themselves.
    pub(crate) stuck: u64,
}

/// All kinds of traffic for so long, and until the last of it has ended.
pub(crate) async fn lap(proxy: &Proxy, lap: u32, lasts: Duration) -> Result<Tally, String> {
    let mut running = JoinSet::new();
    for kind in kinds() {
        let mut load = Load::gets(proxy.listen, count(kind.rate, lasts), kind.rate);
        load.methods = vec![kind.method];
        load.path = kind.path.to_owned();
        load.body = Bytes::from(vec![b'x'; kind.body_bytes]);
        load.timeout = LONGEST_CALL;
        load.id_prefix = format!("{}-{lap}", kind.name);
        load.http2 = kind.http2;
        let fields = kind.field.into_iter();
        load.headers = fields
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        let name = kind.name;
        running.spawn(async move {
            let mut tally = Tally::default();
            load.run(|call| tally.count(name, call)).await;
            tally
        });
    }
    let (listen, sockets) = (proxy.listen, count(websocket::RATE, lasts));
    running.spawn(async move {
        let counts = websocket::talk(listen, sockets).await;
        Tally { kinds: BTreeMap::from([("websocket", counts)]), ..Tally::default() }
    });
    let mut all = Tally::default();
    while let Some(tally) = running.join_next().await {
        all.add(tally.map_err(text)?);
    }
    Ok(all)
}

fn count(rate: f64, lasts: Duration) -> usize {
    (rate * lasts.as_secs_f64()).ceil() as usize
}

impl Tally {
    fn count(&mut self, kind: &'static str, call: &CallResult) {
        let counts = self.kinds.entry(kind).or_default();
        counts.calls += 1;
        let is_wrong = call.is_good() && call.is_right == Some(false);
        let is_good = call.is_good() && !is_wrong;
        counts.wrong += u64::from(is_wrong);
        counts.stuck += u64::from(call.ended == Ended::TimedOut);
        counts.good += u64::from(is_good);
        counts.bad += u64::from(!is_good && !is_wrong && call.ended != Ended::TimedOut);
        self.took.push(call.took);
        if kind == "writes" {
            self.writes.push((call.id.clone(), is_good));
        }
    }

    /// Looks each write up in the oracle's books.
    pub(crate) fn judged_by(mut self, oracle: &Oracle) -> Self {
        let books = oracle.snapshot();
        for (id, is_good) in std::mem::take(&mut self.writes) {
            match executions(&books, &id) {
                0 if is_good => self.lost.push(id),
                0 | 1 => {}
                _ => self.doubled.push(id),
            }
        }
        self
    }

    pub(crate) fn add(&mut self, other: Self) {
        for (kind, counts) in other.kinds {
            self.kinds.entry(kind).or_default().add(counts);
        }
        self.took.extend(other.took);
        self.writes.extend(other.writes);
        self.doubled.extend(other.doubled);
        self.lost.extend(other.lost);
    }

    /// All kinds together.
    pub(crate) fn total(&self) -> Counts {
        let mut total = Counts::default();
        self.kinds.values().for_each(|counts| total.add(*counts));
        total
    }

    /// The time that so many of a thousand calls took at most.
    pub(crate) fn percentile(&self, per_mille: usize) -> Duration {
        let mut took = self.took.clone();
        took.sort_unstable();
        let place = (took.len() * per_mille).div_ceil(1000).saturating_sub(1);
        took.get(place).copied().unwrap_or_default()
    }

    pub(crate) fn line(&self) -> String {
        let Counts { calls, good, bad, wrong, stuck } = self.total();
        format!(
            "{calls} calls, {good} good, {bad} visibly broken, {wrong} wrong, {stuck} stuck, {} doubled, {} lost",
            self.doubled.len(),
            self.lost.len()
        )
    }
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.good += other.good;
        self.bad += other.bad;
        self.wrong += other.wrong;
        self.stuck += other.stuck;
    }
}

fn executions(books: &Snapshot, id: &str) -> u64 {
    let methods = books.requests.get(id);
    methods.map_or(0, |methods| methods.values().map(|counts| counts.executed).sum())
}
