//! `[[endpoint]]` and `[network]`: who answers, and what lies between.

use std::time::Duration;

use mainstay_lab::Ratio;

use super::load::spread;
use super::{ANY, Zones};
use crate::world::tree::{Reader, Table, Value};
use crate::world::{Cache, Endpoint, Network, RateLimit, Way, Zone};

pub(super) fn endpoints(
    value: Option<&Value<'_>>,
    zones: &mut Zones,
    reader: &mut Reader<'_>,
) -> Vec<Endpoint> {
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for table in reader.tables("endpoint", value) {
        let endpoint = endpoint(table, zones, &endpoints, reader);
        endpoints.push(endpoint);
    }
    if !(1..=MOST_ENDPOINTS).contains(&endpoints.len()) {
        let count = endpoints.len().to_string();
        reader.wrong(0, "endpoint", count, "1 to 256 [[endpoint]] tables, each with a name");
    }
    endpoints
}

fn endpoint(
    mut table: Table<'_, '_>,
    zones: &mut Zones,
    before: &[Endpoint],
    reader: &mut Reader<'_>,
) -> Endpoint {
    let mut name = String::new();
    if let Some(value) = table.need("name", "a name, such as \"a\"", reader) {
        name = reader.text("endpoint.name", value);
        let is_word = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b'*');
        if !is_word || before.iter().any(|other| other.name == name) {
            reader.refuse("endpoint.name", value, "a word that no other endpoint is called by");
        }
    }
    let zone = table.take("zone").map(|value| reader.text("endpoint.zone", value));
    let zone = zone.map_or(0, |zone| zones.named(&zone));
    let workers = table.take("workers");
    let endpoint = Endpoint {
        name,
        zone,
        tier: reader.whole("endpoint.tier", table.take("tier"), (0, 7), 0) as u8,
        weight: reader.whole("endpoint.weight", table.take("weight"), (1, 1000), 1) as u16,
        workers: workers
            .map(|value| reader.whole("endpoint.workers", Some(value), (1, 100_000), 1) as u32),
        queue: reader.whole("endpoint.queue", table.take("queue"), (0, 1_000_000), 100) as u32,
        service: spread("endpoint.service", table.take("service"), SERVICE, reader),
        collapse: reader.truth("endpoint.collapse", table.take("collapse"), false),
        cache: table
            .take("cache")
            .and_then(|value| reader.table("cache", value))
            .map(|table| cache(table, reader)),
        rate_limit: table
            .take("rate_limit")
            .and_then(|value| reader.table("rate_limit", value))
            .map(|table| rate_limit(table, reader)),
        body: table
            .take("body")
            .map_or(Duration::ZERO, |value| reader.time("endpoint.body", value, ANY)),
        tls: reader.truth("endpoint.tls", table.take("tls"), true),
        h2: reader.truth("endpoint.h2", table.take("h2"), false),
    };
    table.end(reader);
    endpoint
}

fn cache(mut table: Table<'_, '_>, reader: &mut Reader<'_>) -> Cache {
    let fill = table.need("fill", "calls after which it is full", reader);
    let miss = table.need("miss", "what a miss adds, such as \"100ms\"", reader);
    let cache = Cache {
        fill: reader.whole("cache.fill", fill, (1, 10_000_000), 1) as u32,
        miss: miss.map_or(Duration::ZERO, |value| reader.time("cache.miss", value, ANY)),
        warm: reader.truth("cache.warm", table.take("warm"), true),
    };
    table.end(reader);
    cache
}

fn rate_limit(mut table: Table<'_, '_>, reader: &mut Reader<'_>) -> RateLimit {
    let rate = table.need("rate", "calls a second", reader);
    let retry_after = table.take("retry_after");
    let limit = RateLimit {
        rate_milli: rate
            .map_or(1000, |value| reader.scaled("rate_limit.rate", value, 1000, (0, 1_000_000))),
        burst: reader.whole("rate_limit.burst", table.take("burst"), (1, 1_000_000), 1) as u32,
        retry_after: retry_after.map(|value| reader.time("rate_limit.retry_after", value, ANY)),
    };
    table.end(reader);
    limit
}

pub(super) fn network(
    mut table: Table<'_, '_>,
    zones: &mut Zones,
    reader: &mut Reader<'_>,
) -> Network {
    let near = way(&mut table, Network::default().near, reader);
    let far = table.take("far").and_then(|value| reader.table("far", value));
    let far = far.map_or(near, |mut table| {
        let far = way(&mut table, near, reader);
        table.end(reader);
        far
    });
    let mut links = Vec::new();
    for mut link in reader.tables("link", table.take("link")) {
        let ends = link.need("between", "two zones, such as [\"x\", \"y\"]", reader);
        let way = way(&mut link, far, reader);
        link.end(reader);
        if let Some((a, b)) = ends.and_then(|value| pair(value, zones, reader)) {
            links.push((a, b, way));
        }
    }
    table.end(reader);
    Network { near, far, links }
}

fn pair(value: &Value<'_>, zones: &mut Zones, reader: &mut Reader<'_>) -> Option<(Zone, Zone)> {
    match reader.texts("link.between", value)[..] {
        [a, b] => Some((zones.named(a), zones.named(b))),
        _ => {
            reader.refuse("link.between", value, "two zones, such as [\"x\", \"y\"]");
            None
        }
    }
}

/// What is left out is as in `before`.
fn way(table: &mut Table<'_, '_>, before: Way, reader: &mut Reader<'_>) -> Way {
    let (latency, jitter) = (table.take("latency"), table.take("jitter"));
    let loss = table.take("loss");
    Way {
        latency: latency.map_or(before.latency, |value| reader.time("network.latency", value, ANY)),
        jitter: jitter.map_or(before.jitter, |value| reader.time("network.jitter", value, ANY)),
        loss: match loss {
            Some(value) => reader.share("network.loss", Some(value)),
            None => before.loss,
        },
    }
}

impl Default for Network {
    /// Half a millisecond each way, nothing is lost.
    fn default() -> Self {
        let near = Way {
            latency: Duration::from_micros(500),
            jitter: Duration::ZERO,
            loss: Ratio::from_millionths(0),
        };
        Self { near, far: near, links: Vec::new() }
    }
}

/// More than a person writes down, and than a table of results would hold.
const MOST_ENDPOINTS: usize = 256;

const SERVICE: Duration = Duration::from_millis(10);
