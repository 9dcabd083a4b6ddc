//! Which requests go where, and under which policy.

use std::sync::Arc;
use std::time::Duration;

use mainstay_core::heal::socket::SocketSettings;
use mainstay_core::{CallPolicy, Checked};

use super::{Fallback, RouteOutbox, Stale};

/// Requests that match go to one upstream, under one policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// What it is called in records. Unique.
    pub name: String,
    /// Which requests.
    pub matcher: Matcher,
    /// Place of the upstream in [`super::Settings::upstreams`].
    pub upstream: usize,
    /// The policy for its calls.
    pub policy: Arc<Checked<CallPolicy>>,
    /// Bytes of a request's body that are kept for replay; 0 to 64 MiB, default 1 MiB.
    pub replay_bytes: usize,
    /// Whether what comes beyond them goes to a file. Default no.
    pub spill: Option<Spill>,
    /// How long a body, either way, may make no progress. Default 30 s.
    pub body_idle_timeout: Duration,
    /// The `Host` that the upstream sees.
    pub host: HostRewrite,
    /// What the upstream is told of where the request came from.
    pub forwarded: Forwarded,
    /// Path prefix taken off before the endpoint's own base path is put in front.
    pub strip_prefix: Option<String>,
    /// Names of the fields that carry an idempotency key, in lower case. Default `idempotency-key`.
    pub idempotency_headers: Vec<String>,
    /// The field that consistent hashing goes by, in lower case.
    pub hash_header: Option<String>,
    /// The fields by which caller and upstream tell each other about the call.
    pub fields: CallFields,
    /// Whether good answers are kept, to stand in for those that don't come. Default none.
    pub stale: Option<Stale>,
    /// The answer that stands in for one that didn't come. Default none.
    pub fallback: Option<Fallback>,
    /// Whether writes are stored that can't be delivered now. Default no.
    pub outbox: Option<RouteOutbox>,
    /// How WebSocket connections are watched.
    pub websocket: SocketSettings,
}

/// A request's body goes on in an encrypted file where memory for its replay ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spill {
    /// Bytes of one body in its file. 64 KiB to 64 GiB, default 1 GiB.
    pub bytes: u64,
}

impl Default for Spill {
    fn default() -> Self {
        Self { bytes: 1 << 30 }
    }
}

/// Header fields that say how a call is to be treated; their names in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallFields {
    /// How much time there is left, from the caller and on to the upstream.
    pub deadline: Option<String>,
    /// Before whom the call goes where it has to wait for room.
    pub priority: Option<String>,
    /// Whose share of the rate limits it takes.
    pub lane: Option<String>,
    /// Whether each attempt says which it is and of how many.
    pub attempt: bool,
    /// What each attempt says of its trace, where calls are traced.
    pub trace: TraceField,
}

impl Default for CallFields {
    fn default() -> Self {
        Self {
            deadline: None,
            priority: None,
            lane: None,
            attempt: true,
            trace: TraceField::Always,
        }
    }
}

/// What attempts say in `traceparent` and `tracestate` (W3C Trace Context), where calls are traced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TraceField {
    /// Their own span, in the application's trace or in one that is made. Default.
    #[default]
    Always,
    /// The same, but nothing where the application sent none.
    Continue,
    /// Nothing: what the application sent is taken out.
    Never,
}

/// All that is given must match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matcher {
    /// Host names without port, in lower case; `*.example.com` matches any name below. Empty: any.
    pub hosts: Vec<String>,
    /// The path.
    pub path: Option<PathMatch>,
    /// Methods, case-sensitive. Empty: any.
    pub methods: Vec<String>,
    /// Query parameters, each of which must be there.
    pub query: Vec<NameMatch>,
    /// Header fields, each of which must be there; names in lower case.
    pub headers: Vec<NameMatch>,
}

/// How a path matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathMatch {
    /// Whole segments: `/v1` matches `/v1` and `/v1/x`, not `/v10`.
    Prefix(String),
    /// Segments, of which `{name}` or `*` stands for one and a final `**` for the rest, none included.
    Pattern(Vec<String>),
}

/// A name that must be there, with a value if one is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameMatch {
    /// The name.
    pub name: String,
    /// The exact value; `None`: any.
    pub value: Option<String>,
}

/// The `Host` that an upstream sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostRewrite {
    /// The endpoint's own authority. Default.
    Endpoint,
    /// The application's.
    Keep,
    /// This one.
    Set(String),
}

/// The fields in which an upstream is told the application's address, the scheme and the host that it asked for. What
/// the application itself says in them goes on in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Forwarded {
    /// Nothing is added: an address of the inner network is no business of a third party. Default.
    Nothing,
    /// `Forwarded` (RFC 7239).
    Standard,
    /// `X-Forwarded-For`, `-Proto` and `-Host`.
    Legacy,
    /// Both.
    Both,
}

impl Forwarded {
    /// Whether `Forwarded` is added.
    #[must_use]
    pub const fn has_standard(self) -> bool {
        matches!(self, Self::Standard | Self::Both)
    }

    /// Whether the `X-Forwarded` fields are added.
    #[must_use]
    pub const fn has_legacy(self) -> bool {
        matches!(self, Self::Legacy | Self::Both)
    }
}
