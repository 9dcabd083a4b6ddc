//! Documents that are asked for, as far as they are shown.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::told::{Call, Change, Incident};

/// `/incidents/ID`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct IncidentPage {
    pub(crate) incident: Incident,
    pub(crate) group: Vec<Incident>,
    pub(crate) changes: Vec<Change>,
    pub(crate) calls: Vec<Call>,
}

/// `/timeline`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct Timeline {
    pub(crate) bucket_ms: u64,
    pub(crate) upstreams: Vec<UpstreamSeries>,
    pub(crate) changes: Vec<Change>,
}

type Series = Vec<Option<f64>>;

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct UpstreamSeries {
    pub(crate) name: String,
    pub(crate) calls: Series,
    pub(crate) failed: Series,
    /// Broken answers that were delivered as they were.
    pub(crate) as_is: Series,
    pub(crate) saved: BTreeMap<String, Series>,
    pub(crate) endpoints: Option<Vec<EndpointSeries>>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct EndpointSeries {
    pub(crate) name: String,
    pub(crate) attempts: Series,
    pub(crate) broke: Series,
    pub(crate) p50_ms: Series,
    pub(crate) p99_ms: Series,
    pub(crate) in_flight: Series,
    /// A letter for each bucket.
    pub(crate) state: String,
}

/// `/outbox`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct Deliveries {
    pub(crate) deliveries: Vec<Delivery>,
    /// Where the next page begins, if there may be one.
    pub(crate) after: Option<i64>,
}

/// A stored write.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct Delivery {
    pub(crate) id: String,
    pub(crate) state: String,
    pub(crate) reason: Option<String>,
    pub(crate) upstream: String,
    pub(crate) route: String,
    pub(crate) lane: Option<String>,
    pub(crate) key: String,
    pub(crate) accepted_at: u64,
    pub(crate) due_at: u64,
    pub(crate) expires_at: u64,
    pub(crate) finished_at: Option<u64>,
    pub(crate) calls: u64,
    pub(crate) maybe_done: bool,
    pub(crate) behind: bool,
    pub(crate) size: u64,
}

/// `/outbox/lanes`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct Lanes {
    pub(crate) lanes: Vec<Lane>,
}

/// A lane that is held by a stopped delivery.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct Lane {
    pub(crate) upstream: String,
    pub(crate) lane: String,
    pub(crate) held_by: Delivery,
    pub(crate) behind: u64,
}

/// `/connections`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct Connections {
    pub(crate) connections: Vec<Connection>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct Connection {
    pub(crate) id: u64,
    pub(crate) upstream: String,
    pub(crate) endpoint: String,
    pub(crate) peer: Option<String>,
    pub(crate) protocol: String,
    pub(crate) tls: Option<Value>,
    pub(crate) state: String,
    pub(crate) age_ms: f64,
    pub(crate) idle_ms: Option<f64>,
    pub(crate) streams: u64,
    pub(crate) requests: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_received: u64,
    pub(crate) rtt_ms: Option<f64>,
    pub(crate) retransmits: Option<u64>,
}
