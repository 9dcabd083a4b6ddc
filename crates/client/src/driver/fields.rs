//! What a request says about itself, and what each attempt says to the upstream.

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use mainstay_config::settings::TraceField;
use mainstay_core::call::{Layer, time_left};
use mainstay_core::event::AttemptId;
use mainstay_core::line::Priority;
use mainstay_core::{CallFacts, CallPolicy, EndpointId};
use mainstay_record::{CallId, Sampling, TraceContext, TraceParent};

use super::running::Running;
use crate::chance::with_chance;
use crate::service::{Fields, Plan};
use crate::{Clock, is_grpc};

/// What the request says about itself.
pub(crate) fn facts(plan: &Plan, head: &Parts, has_body: bool) -> CallFacts {
    let fields = &head.headers;
    let has_key = || plan.idempotency_headers.iter().any(|name| fields.contains_key(name));
    let method = head.method.as_str();
    let plain = CallFacts::of(method, false, &plan.policy);
    let facts = if plain.repetition.is_idempotent() {
        plain
    } else {
        CallFacts::of(method, has_key(), &plan.policy)
    };
    let value = |name: &Option<HeaderName>| name.as_ref().and_then(|name| fields.get(name));
    CallFacts {
        hash: value(&plan.hash_header).map(|value| fnv1a(value.as_bytes())),
        has_body,
        time_left: time_left_of(plan, fields),
        priority: value(&plan.fields.priority).and_then(priority),
        lane: value(&plan.fields.lane).map(|value| fnv1a(value.as_bytes())),
        layer: layer_of(plan, fields),
        has_stand_in: plan.degrade.may_stand_in(head),
        ..facts
    }
}

/// The shorter of what the caller says in either way.
fn time_left_of(plan: &Plan, fields: &HeaderMap) -> Option<std::time::Duration> {
    let named = plan.fields.deadline.as_ref().and_then(|name| fields.get(name));
    let plain = named.and_then(|value| time_left::parse_plain(value.as_bytes()));
    let grpc = is_grpc(fields).then(|| fields.get(GRPC_TIMEOUT)).flatten();
    let grpc = grpc.and_then(|value| time_left::parse_grpc(value.as_bytes()));
    plain.into_iter().chain(grpc).min()
}

fn layer_of(plan: &Plan, fields: &HeaderMap) -> Option<Layer> {
    let value = plan.fields.attempt.as_ref().and_then(|_| fields.get(ATTEMPT));
    value.and_then(|value| Layer::parse(value.as_bytes()))
}

fn priority(value: &HeaderValue) -> Option<Priority> {
    let number = value.to_str().ok()?.trim().parse().ok()?;
    (number <= Priority::HIGHEST.number()).then(|| Priority::new(number))
}

impl Running {
    /// Says in an attempt's request how much time there is for it, and which attempt it is.
    pub(super) fn say(
        &self,
        plan: &Plan,
        (attempt, endpoint): (AttemptId, EndpointId),
        fields: &mut HeaderMap,
    ) {
        self.say_trace(plan.fields.trace, attempt, fields);
        if let Some(first) = &plan.fields.attempt {
            let layer = self.call.layer();
            let is_plain = (layer.attempt, layer.depth) == (1, 1);
            let value = if is_plain { first.clone() } else { value_of(&layer) };
            fields.insert(ATTEMPT, value);
        }
        let deadline = &plan.fields.deadline;
        if deadline.is_none() && !self.is_grpc {
            return;
        }
        let upstream = plan.service.upstream();
        let left = self.call.time_left(endpoint, upstream, Clock::now());
        if let Some(name) = deadline {
            fields.insert(name.clone(), HeaderValue::from(left.as_millis() as u64));
        }
        // A stream that was given no time has none: the attempt's timeout ends with the head of its answer.
        if self.is_grpc && fields.contains_key(GRPC_TIMEOUT) {
            let value = value_of(&time_left::GrpcTimeout(left));
            fields.insert(GRPC_TIMEOUT, value);
        }
    }
}

impl Running {
    /// Says which span the attempt is, or takes out what isn't to be said.
    fn say_trace(&self, says: TraceField, attempt: AttemptId, fields: &mut HeaderMap) {
        let Some(context) = self.trace().context() else { return };
        let is_said = match says {
            TraceField::Always => true,
            TraceField::Continue => context.has_parent(),
            TraceField::Never => false,
        };
        // Vendors' state belongs to the trace that it came with (Trace Context, section 3.3).
        if !is_said || !context.has_parent() {
            fields.remove(TRACESTATE);
        }
        let value = is_said.then(|| context.header(attempt, self.trace().is_broken()));
        match value.and_then(|value| HeaderValue::from_bytes(&value).ok()) {
            Some(value) => fields.insert(TRACEPARENT, value),
            None => fields.remove(TRACEPARENT),
        };
    }
}

/// The place in its trace of a call that begins, if it is to have one.
pub(super) fn trace_context(
    id: CallId,
    sampling: Option<Sampling>,
    fields: &HeaderMap,
) -> Option<TraceContext> {
    let sampling = sampling?;
    let mut said = fields.get_all(TRACEPARENT).into_iter();
    // Two of them contradict each other, and count as none.
    let parent = match (said.next(), said.next()) {
        (Some(only), None) => TraceParent::parse(only.as_bytes()),
        _ => None,
    };
    Some(with_chance(|chance| TraceContext::begin(id, parent, sampling, || chance.next_u64())))
}

impl Fields {
    /// What the first attempt under a policy says that no layer of retries stands above: nearly every attempt.
    #[must_use]
    pub fn first_attempt(policy: &CallPolicy) -> HeaderValue {
        value_of(&Layer { attempt: 1, of: policy.retry.max_attempts.count(), depth: 1 })
    }
}

/// What core writes is digits, letters and signs that any field may have.
fn value_of(text: &impl ToString) -> HeaderValue {
    HeaderValue::try_from(text.to_string()).unwrap_or_else(|_| HeaderValue::from_static("1"))
}

/// FNV-1a, 64 bits: the same on every machine, so that instances agree where a key belongs.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

// Names that were read once: as text each look-up would read them anew.
const ATTEMPT: HeaderName = HeaderName::from_static(Layer::FIELD);
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static(time_left::GRPC_TIMEOUT);
/// W3C Trace Context.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(super) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
