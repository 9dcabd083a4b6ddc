//! Everything that is said of a request, as the document that `--json` prints and the text is drawn from.

use http::header;
use http::request::Parts;
use mainstay_config::settings::{Listener, Route, Upstream};
use mainstay_config::{Effective, Loaded, Origin, Settings};
use mainstay_core::breaks::safety::{Ground, Verdict};
use mainstay_core::event::StopReason;
use mainstay_core::heal::upload::{self, Protocol, Upload};
use mainstay_core::{CallFacts, Certainty};
use mainstay_proxy::{Considered, Outlook};
use serde::Serialize;

use super::play::{Foreseen, Played, Then};
use super::words;

/// What is said.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    version: u32,
    pub(super) method: String,
    pub(super) url: String,
    pub(super) host: String,
    pub(super) listeners: Vec<ListenerPart>,
    pub(super) routes: Vec<RoutePart>,
    /// What the proxy answers itself; the rest is there if it doesn't.
    pub(super) answered: Option<AnsweredPart>,
    pub(super) upstream: Option<UpstreamPart>,
    pub(super) repeatable: Option<RepeatablePart>,
    pub(super) breaks: Vec<BreakPart>,
    pub(super) settings: Vec<SettingPart>,
}

#[derive(Debug, Serialize)]
pub(super) struct ListenerPart {
    pub(super) address: String,
    pub(super) tls: bool,
    /// Whether the URL names it.
    pub(super) named: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct RoutePart {
    pub(super) name: String,
    pub(super) matches: bool,
    pub(super) why: String,
}

#[derive(Debug, Serialize)]
pub(super) struct AnsweredPart {
    pub(super) status: u16,
    pub(super) document: Option<serde_json::Value>,
}

#[derive(Debug, Serialize)]
pub(super) struct UpstreamPart {
    pub(super) name: String,
    pub(super) endpoints: Vec<EndpointPart>,
}

#[derive(Debug, Serialize)]
pub(super) struct EndpointPart {
    pub(super) name: String,
    pub(super) url: String,
    pub(super) tier: u8,
    pub(super) weight: u16,
    /// Whether its name says more than its URL.
    #[serde(skip)]
    pub(super) is_named: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct RepeatablePart {
    /// `safe`, `idempotent`, `by-key`, `declared` or `none`.
    ground: &'static str,
    may_be_done_twice: bool,
    pub(super) why: String,
    /// The largest request body that can be sent a second time.
    pub(super) replay_bytes: u64,
    /// Whether an upload that breaks goes on from where the upstream has it; `None` where that is off.
    pub(super) upload: Option<UploadPart>,
    /// Whether a part of it is kept in a file.
    #[serde(skip)]
    pub(super) spills: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct UploadPart {
    /// `ietf` or `tus`.
    protocol: &'static str,
    /// Whether this request would be continued, if it has content and the upstream speaks the protocol.
    suits: bool,
    pub(super) why: String,
}

#[derive(Debug, Serialize)]
pub(super) struct BreakPart {
    pub(super) code: &'static str,
    pub(super) certainty: Option<&'static str>,
    pub(super) example: Option<String>,
    verdict: Option<&'static str>,
    /// `again`, `retry`, `first`, `answered`, `as-is`, `cut` or `dropped`.
    decision: &'static str,
    /// Why nothing more is tried.
    stop: Option<&'static str>,
    /// The status that the application gets, if it gets one now.
    status: Option<u16>,
    /// Tokens of the budget that another attempt costs.
    tokens: u32,
    pub(super) then: String,
}

#[derive(Debug, Serialize)]
pub(super) struct SettingPart {
    pub(super) key: String,
    pub(super) value: String,
    /// `default`, `profile`, `upstream`, `route` or `gave-way`.
    pub(super) origin: &'static str,
    pub(super) profile: Option<&'static str>,
    #[serde(skip)]
    pub(super) told: String,
    /// `FILE:LINE`, or the argument.
    place: Option<String>,
}

impl Report {
    pub(super) fn new(loaded: &Loaded, head: &Parts, url: &str, outlook: &Outlook<'_>) -> Self {
        let settings = &loaded.settings;
        let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let host = host.unwrap_or_default().to_owned();
        let listeners = settings.listeners.iter().map(|one| listener(one, &host)).collect();
        let routes = outlook.considered.iter().map(|one| route(one, head, &host)).collect();
        let mut report = Self {
            version: 1,
            method: head.method.to_string(),
            url: url.to_owned(),
            host,
            listeners,
            routes,
            answered: outlook.answered.as_ref().map(|answered| AnsweredPart {
                status: answered.status,
                document: answered.document.clone(),
            }),
            upstream: None,
            repeatable: None,
            breaks: Vec::new(),
            settings: Vec::new(),
        };
        if let Some(route) = outlook.route().filter(|_| outlook.answered.is_none()) {
            report.called(loaded, head, route);
        }
        report
    }

    /// What is to be said of a request that an upstream is asked for.
    fn called(&mut self, loaded: &Loaded, head: &Parts, route: &Route) {
        let Settings { routes, upstreams, .. } = &loaded.settings;
        let index = routes.iter().position(|one| one.name == route.name);
        let Some((index, upstream)) = index.zip(upstreams.get(route.upstream)) else { return };
        self.upstream = Some(upstream_part(upstream));
        let key = route.idempotency_headers.iter().find(|name| head.headers.contains_key(*name));
        let method = head.method.as_str();
        let ground = Ground::of(method, key.is_some(), route.policy.idempotent);
        let facts = CallFacts::of(method, key.is_some(), &route.policy);
        let spilled = route.spill.map(|spill| spill.bytes);
        self.repeatable = Some(RepeatablePart {
            ground: ground.code(),
            may_be_done_twice: facts.repetition.is_idempotent(),
            why: words::ground(ground, method, key.map(String::as_str), route),
            replay_bytes: route.replay_bytes as u64 + spilled.unwrap_or_default(),
            upload: route.policy.resumable_upload.map(|upload| upload_part(upload.protocol, head)),
            spills: spilled.is_some(),
        });
        let played = Played {
            policy: &route.policy,
            upstream: &upstream.policy,
            facts,
            is_grpc: mainstay::is_grpc(&head.headers),
        };
        self.breaks = played.foreseen().iter().map(break_part).collect();
        self.settings = loaded.effective(index).iter().map(setting).collect();
    }
}

impl BreakPart {
    /// Whether the application hasn't lost yet.
    pub(super) fn is_good(&self) -> bool {
        matches!(self.decision, "again" | "retry" | "first")
    }
}

/// `host`: as the application names the proxy, with its port.
fn listener(listener: &Listener, host: &str) -> ListenerPart {
    let address = listener.address;
    let (name, port) = host.rsplit_once(':').unwrap_or((host, ""));
    let is_here = match name.trim_matches(['[', ']']).parse::<std::net::IpAddr>() {
        Ok(ip) => ip == address.ip() || address.ip().is_unspecified(),
        Err(_) => {
            name.eq_ignore_ascii_case("localhost")
                && (address.ip().is_loopback() || address.ip().is_unspecified())
        }
    };
    let named = is_here && port.parse() == Ok(address.port());
    ListenerPart { address: address.to_string(), tls: listener.tls.is_some(), named }
}

fn route(considered: &Considered<'_>, head: &Parts, host: &str) -> RoutePart {
    let matcher = &considered.route.matcher;
    let (method, path) = (head.method.as_str(), head.uri.path());
    let matches = considered.failed.is_empty();
    let failed = considered.failed.iter();
    let failed: Vec<_> =
        failed.map(|condition| words::failed(*condition, matcher, method, host, path)).collect();
    let why = if matches { words::met(matcher) } else { failed.join(", ") };
    RoutePart { name: considered.route.name.clone(), matches, why }
}

/// As if it had content of a known length: that isn't told here.
fn upload_part(protocol: Protocol, head: &Parts) -> UploadPart {
    let origin = upload::Origin::default();
    let fields = head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let upload = Upload::of(protocol, origin, head.method.as_str(), Some(1), fields);
    let (name, speaks) = match protocol {
        Protocol::Ietf { interop_version } => {
            ("ietf", format!("offers it (the IETF's draft, interop version {interop_version})"))
        }
        Protocol::Tus => ("tus", "speaks tus 1.0".to_owned()),
    };
    let why = match &upload {
        Ok(_) => {
            format!("one that breaks goes on from where the upstream has it, if that {speaks}")
        }
        Err(why) => format!("one that breaks isn't continued: {why}"),
    };
    UploadPart { protocol: name, suits: upload.is_ok(), why }
}

fn upstream_part(upstream: &Upstream) -> UpstreamPart {
    let pairs = upstream.policy.endpoints.iter().zip(&upstream.endpoints);
    let endpoints = pairs.map(|(policy, endpoint)| EndpointPart {
        name: endpoint.name.clone(),
        url: format!(
            "{}://{}{}",
            endpoint.scheme.as_str(),
            endpoint.authority(),
            endpoint.base_path
        ),
        tier: policy.tier,
        weight: policy.weight,
        is_named: endpoint.name != format!("{}:{}", endpoint.host, endpoint.port),
    });
    UpstreamPart { name: upstream.name.clone(), endpoints: endpoints.collect() }
}

fn break_part(foreseen: &Foreseen) -> BreakPart {
    let (decision, stop, status, tokens) = match &foreseen.then {
        Then::Again { is_first: true, .. } => ("first", None, None, 0),
        Then::Again { wait: None, tokens, .. } => ("again", None, None, *tokens),
        Then::Again { tokens, .. } => ("retry", None, None, *tokens),
        Then::Answered(gave_up) => {
            ("answered", Some(gave_up.stop), Some(gave_up.kind.answer_status()), 0)
        }
        Then::AsIs { status, stop } => ("as-is", *stop, Some(*status), 0),
        Then::Cut => ("cut", None, None, 0),
        Then::Dropped => ("dropped", None, None, 0),
    };
    BreakPart {
        code: foreseen.kind.code(),
        certainty: foreseen.certainty.map(Certainty::code),
        example: foreseen.example.clone(),
        verdict: foreseen.verdict.map(Verdict::code),
        decision,
        stop: stop.map(StopReason::code),
        status,
        tokens,
        then: words::then(foreseen),
    }
}

fn setting(value: &Effective) -> SettingPart {
    let profile = match value.origin {
        Origin::Profile(profile) => Some(profile.name()),
        _ => None,
    };
    let place = value.place.as_ref().map(|place| match place.line {
        Some(line) => format!("{}:{line}", place.name),
        None => place.name.clone(),
    });
    SettingPart {
        key: value.key.clone(),
        value: value.value.clone(),
        origin: value.origin.code(),
        profile,
        told: words::origin(value),
        place,
    }
}
