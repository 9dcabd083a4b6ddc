//! What the live stream tells, as far as it is shown. What isn't known here is passed over, so that a newer proxy can be looked at.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

/// By the cause that saved them, or the code that broke them.
pub(crate) type Counts = BTreeMap<String, u64>;

/// The first event of a stream.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct Hello {
    pub(crate) boot: String,
    pub(crate) mainstay: String,
    pub(crate) now_unix_ms: u64,
    pub(crate) started_unix_ms: u64,
    pub(crate) calls_per_s: u64,
    pub(crate) missed: u64,
}

/// Of the whole, without its upstreams.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct Top {
    pub(crate) now_unix_ms: u64,
    pub(crate) generation: u64,
    pub(crate) draining: bool,
    pub(crate) calls_in_progress: u64,
    pub(crate) connections: Option<Applications>,
    pub(crate) outbox: Option<OutboxCounts>,
}

/// Connections of applications.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct Applications {
    pub(crate) open: u64,
    pub(crate) parked: u64,
    pub(crate) limit: u64,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct OutboxCounts {
    /// Unknown, as are the others, while the outbox can't be asked.
    pub(crate) waiting: Option<u64>,
    pub(crate) stopped: Option<u64>,
    pub(crate) delivered: Option<u64>,
    pub(crate) dead: Option<u64>,
    pub(crate) oldest_waiting_unix_ms: Option<u64>,
}

/// An upstream, without its endpoints.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct Upstream {
    pub(crate) name: String,
    pub(crate) state: String,
    pub(crate) last_s: LastSecond,
    pub(crate) minute: UpstreamMinute,
    pub(crate) lately: Lately,
    pub(crate) total: Total,
    pub(crate) in_progress: u64,
    pub(crate) budget: Option<Budget>,
    pub(crate) load: Option<Load>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct LastSecond {
    pub(crate) calls: u64,
    pub(crate) attempts: u64,
    pub(crate) broke: u64,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct UpstreamMinute {
    pub(crate) calls: u64,
    pub(crate) delivered: u64,
    pub(crate) failed: u64,
    pub(crate) as_is: u64,
    pub(crate) cut: u64,
    pub(crate) success: Option<f64>,
    pub(crate) amplification: Option<f64>,
    pub(crate) saved: Counts,
}

impl UpstreamMinute {
    /// Calls without an answer, with a broken one, or with a part of one.
    pub(crate) fn broken(&self) -> u64 {
        self.failed + self.as_is + self.cut
    }
}

/// The last minutes.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct Lately {
    pub(crate) minutes: u64,
    pub(crate) calls: u64,
    pub(crate) broken: u64,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct Total {
    pub(crate) calls: u64,
    pub(crate) failed: u64,
    pub(crate) as_is: u64,
    pub(crate) cut: u64,
    pub(crate) saved: Counts,
}

impl Total {
    /// Calls without an answer, with a broken one, or with a part of one.
    pub(crate) fn broken(&self) -> u64 {
        self.failed + self.as_is + self.cut
    }
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct Budget {
    /// How full it is: 0 is empty, 1 is full.
    pub(crate) level: Option<f64>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct Load {
    pub(crate) limit: Option<Limit>,
    pub(crate) waiting: u64,
    pub(crate) paused_until_unix_ms: Option<u64>,
    pub(crate) throttle: Option<Throttle>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct Limit {
    pub(crate) current: u64,
    pub(crate) in_flight: u64,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct Throttle {
    pub(crate) refused_percent: f64,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct Endpoint {
    pub(crate) name: String,
    pub(crate) tier: u64,
    pub(crate) weight: f64,
    pub(crate) state: String,
    pub(crate) since_unix_ms: Option<u64>,
    pub(crate) ordered: String,
    pub(crate) breaker: Option<Breaker>,
    pub(crate) route_breakers: BTreeMap<String, Breaker>,
    pub(crate) window: Option<Window>,
    pub(crate) check: Option<Check>,
    pub(crate) ejected: Option<Ejected>,
    pub(crate) throttled_until_unix_ms: Option<u64>,
    pub(crate) warm_percent: Option<f64>,
    pub(crate) latency: Latency,
    pub(crate) in_flight: Option<u64>,
    pub(crate) last_s: LastSecond,
    pub(crate) minute: EndpointMinute,
    pub(crate) connections: Option<Kept>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct Breaker {
    pub(crate) state: String,
    pub(crate) until_unix_ms: Option<u64>,
    pub(crate) probing: u64,
    pub(crate) succeeded: u64,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct Window {
    pub(crate) calls: u64,
    pub(crate) failures: u64,
    pub(crate) slow: u64,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct Check {
    pub(crate) at_unix_ms: u64,
    pub(crate) passed: bool,
    pub(crate) code: Option<String>,
    pub(crate) details: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct Ejected {
    pub(crate) until_unix_ms: Option<u64>,
    pub(crate) cause: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct Latency {
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct EndpointMinute {
    pub(crate) attempts: u64,
    pub(crate) broke: u64,
    pub(crate) success: Option<f64>,
    pub(crate) breaks: Counts,
}

/// Connections to an endpoint.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct Kept {
    pub(crate) idle: u64,
    pub(crate) in_use: u64,
    pub(crate) idle_limit_ms: Option<f64>,
    pub(crate) stale_met: u64,
}

/// Rows of the feed, and how many more there were.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct Calls {
    pub(crate) left_out: u64,
    pub(crate) calls: Vec<Call>,
}

/// A call in which something broke.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct Call {
    pub(crate) id: String,
    pub(crate) at_unix_ms: u64,
    pub(crate) upstream: String,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) outcome: String,
    pub(crate) status: Option<u16>,
    pub(crate) saved: Option<String>,
    pub(crate) code: Option<String>,
    pub(crate) stopped: Option<String>,
    pub(crate) degraded: Option<String>,
    pub(crate) failed: bool,
    pub(crate) took_ms: Option<f64>,
    /// For a breaker that lets it through.
    pub(crate) waited_ms: Option<f64>,
    pub(crate) breaks: Vec<Break>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct Break {
    pub(crate) endpoint: String,
    pub(crate) code: String,
    pub(crate) decision: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct Changes {
    pub(crate) changes: Vec<Change>,
}

/// A change of state, or an order.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct Change {
    pub(crate) seq: u64,
    pub(crate) at_unix_ms: u64,
    pub(crate) event: String,
    pub(crate) upstream: Option<String>,
    pub(crate) endpoint: Option<String>,
    pub(crate) why: Option<String>,
    pub(crate) for_ms: Option<f64>,
    pub(crate) code: Option<String>,
    pub(crate) details: Option<String>,
    pub(crate) what: Option<Value>,
    pub(crate) who: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct Incidents {
    pub(crate) incidents: Vec<Incident>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct Incident {
    pub(crate) id: String,
    pub(crate) group: Option<String>,
    pub(crate) upstream: String,
    pub(crate) endpoint: Option<String>,
    pub(crate) cause: String,
    pub(crate) state: String,
    pub(crate) began_unix_ms: u64,
    pub(crate) began_by: Option<String>,
    pub(crate) last_break_unix_ms: Option<u64>,
    pub(crate) ended_unix_ms: Option<u64>,
    pub(crate) ended_by: Option<String>,
    pub(crate) well_since_unix_ms: Option<u64>,
    pub(crate) well_by: Option<String>,
    pub(crate) breaks: u64,
    pub(crate) calls: Met,
    pub(crate) saved_by: Counts,
    /// Of its group, each call once; an older address doesn't tell it.
    pub(crate) group_calls: Option<Met>,
    pub(crate) group_saved_by: Option<Counts>,
    pub(crate) first: Option<First>,
}

impl Incident {
    pub(crate) fn is_open(&self) -> bool {
        self.state == "open"
    }
}

/// Calls that met an incident.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct Met {
    pub(crate) met: u64,
    pub(crate) saved: u64,
    pub(crate) failed: u64,
    pub(crate) left: u64,
}

/// What was seen first of an incident.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct First {
    pub(crate) call: Option<String>,
    pub(crate) at_unix_ms: u64,
    pub(crate) phase: Option<String>,
    pub(crate) certainty: Option<String>,
    pub(crate) details: Option<String>,
}

/// An event of the stream.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Told {
    Hello(Hello),
    /// As it came: what isn't in it is unchanged.
    State(Map<String, Value>),
    Calls(Calls),
    Changes(Vec<Change>),
    Incidents(Vec<Incident>),
    /// So many events were lost: the reader was too slow.
    Lost(u64),
}

#[derive(Deserialize)]
struct Lost {
    lost: u64,
}

impl Told {
    /// Reads an event; `None` if its name is unknown.
    ///
    /// # Errors
    ///
    /// It isn't what an event of this name is.
    pub(crate) fn read(event: &str, data: &str) -> serde_json::Result<Option<Self>> {
        Ok(Some(match event {
            "hello" => Self::Hello(serde_json::from_str(data)?),
            "state" => Self::State(serde_json::from_str(data)?),
            "calls" => Self::Calls(serde_json::from_str(data)?),
            "changes" => Self::Changes(serde_json::from_str::<Changes>(data)?.changes),
            "incidents" => Self::Incidents(serde_json::from_str::<Incidents>(data)?.incidents),
            "lost" => Self::Lost(serde_json::from_str::<Lost>(data)?.lost),
            _ => return Ok(None),
        }))
    }
}
