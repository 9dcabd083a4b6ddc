//! What is said about calls: at an upstream for all of its routes, or at a route.

use mainstay_core::call::{AdaptiveTimeout, HedgeSettings};
use mainstay_core::heal::socket::SocketSettings;
use mainstay_core::line::Priority;
use mainstay_core::retry::Jitter;
use mainstay_core::upstream::Percentile;

use super::kind::percentiles;
use super::{
    GIB, KIB, Key, Kind, MIB, Rule, degrade, heal, hours, key, length, millis, minutes, number,
    outbox, secs, section, size, switched_section,
};
use crate::draft::{BackoffDraft, CallDraft, GrowthWord, ResumableDraft, RetryDraft, UploadWord};
use crate::settings::{Forwarded, Spill, TraceField};

pub(crate) fn call() -> Vec<Key<CallDraft>> {
    let own = vec![
        key("total_timeout", length(millis(10), hours(24)), |c: &mut CallDraft| &mut c.total_timeout)
            .says("From the call's start to the head of its answer, all attempts and waits included.")
            .low("Slow answers are thrown away.")
            .high("The application waits for what won't come."),
        key("attempt_timeout", length(millis(1), hours(24)), |c: &mut CallDraft| &mut c.attempt_timeout)
            .says("From an attempt's start to the head of its answer. At most `total_timeout`; the default gives way to a shorter one.")
            .low("Work is thrown away and done again.")
            .high("A hang costs that long."),
        key("failures", Kind::Statuses { min: 400, max: 599 }, |c: &mut CallDraft| &mut c.failures)
            .says("Statuses that count as failures of the endpoint. 429 and 503 with `Retry-After` are throttling, whatever is said here."),
        key("idempotent", Kind::Flag, |c: &mut CallDraft| &mut c.idempotent)
            .says("Whether requests may be done twice whatever their method. Wrongly true, writes are doubled."),
        key("idempotency_headers", Kind::Texts(Rule::FieldName), |c: &mut CallDraft| &mut c.idempotency_headers)
            .says("Header fields that carry an idempotency key: a request with one may be done twice."),
        key("replay", size(0, 64 * MIB), |c: &mut CallDraft| &mut c.replay)
            .says("How much of a request's body is kept, to be sent again.")
            .low("Larger requests can't be retried.")
            .high("Memory, for each call; `limits.replay_total` bounds the sum."),
        key("body_idle_timeout", length(millis(10), hours(24)), |c: &mut CallDraft| &mut c.body_idle_timeout)
            .says("How long a body, either way, may make no progress.")
            .low("Streams with pauses are cut.")
            .high("A stalled one is noticed late."),
        key("host_header", Kind::Text(Rule::HostHeader), |c: &mut CallDraft| &mut c.host)
            .says("The `Host` that the upstream sees: the endpoint's own, the application's, or this one."),
        key("forwarded", Kind::choice::<Forwarded>(), |c: &mut CallDraft| &mut c.forwarded)
            .says("Fields that tell the upstream the application's address, scheme and host: `Forwarded` (RFC 7239), `X-Forwarded-For`, `-Proto` and `-Host`, both, or none. None unless asked for: a third party isn't to learn inner addresses, and some APIs build links or check signatures by `X-Forwarded-Host`. What the application itself sends of them goes on in any case, and `Via` is always added (RFC 9110)."),
        key("hash_header", Kind::Text(Rule::FieldName), |c: &mut CallDraft| &mut c.hash_header)
            .or_off()
            .says("Header field by which `consistent-hash` chooses the endpoint."),
    ];
    let own = own.into_iter().chain(about_calls());
    let hedge = switched_section(
        "hedge",
        "A second attempt at another endpoint while the first is still out, for requests that may be done twice; the slower one is stopped. Paid for by the budget. Off unless it is written.",
        hedge(),
        |c: &mut CallDraft| &mut c.hedge,
    );
    let adaptive = switched_section(
        "adaptive_timeout",
        "An attempt's timeout follows what its endpoint usually takes; `attempt_timeout` is its cap. Off unless it is written.",
        adaptive_timeout(),
        |c: &mut CallDraft| &mut c.adaptive_timeout,
    );
    let retry = section(
        "retry",
        "When and how often a call is tried again.",
        retry(),
        |c: &mut CallDraft| &mut c.retry,
    );
    let spill = switched_section(
        "spill",
        "A request's body goes on in an encrypted file where `replay` ends, so that large uploads can be sent again. Off unless it is written.",
        spill(),
        |c: &mut CallDraft| &mut c.spill,
    );
    let resumable = switched_section(
        "resumable_upload",
        "Uploads that break go on from where the upstream has them, by a protocol that it speaks, in place of being sent again. See docs/uploads.md. Off unless it is written.",
        resumable_upload(),
        |c: &mut CallDraft| &mut c.resumable_upload,
    );
    let stale = switched_section(
        "stale",
        "Good answers are kept, and given once more when none comes, by RFC 9111 and 5861. Marked as such by `Proxy-Status`.",
        degrade::stale(),
        |c: &mut CallDraft| &mut c.stale,
    );
    let fallback = switched_section(
        "fallback",
        "A fixed answer for when none comes and nothing that is kept may stand in. Marked as such by `Proxy-Status`.",
        degrade::fallback(),
        |c: &mut CallDraft| &mut c.fallback,
    );
    let heal = section(
        "heal",
        "What becomes of answers that break.",
        heal::heal(),
        |c: &mut CallDraft| &mut c.heal,
    );
    let outbox = switched_section(
        "outbox",
        "Writes that can't be delivered now are stored, and delivered when the API is back; the application gets 202. `[outbox]` says where. Off unless it is written.",
        outbox::route(),
        |c: &mut CallDraft| &mut c.outbox,
    );
    let websocket = section(
        "websocket",
        "How WebSocket connections are watched.",
        websocket(),
        |c: &mut CallDraft| &mut c.websocket,
    );
    own.chain(retry)
        .chain(heal)
        .chain(spill)
        .chain(resumable)
        .chain(hedge)
        .chain(adaptive)
        .chain(stale)
        .chain(fallback)
        .chain(outbox)
        .chain(websocket)
        .collect()
}

/// What a call says of itself, and what its attempts say to the upstream.
fn about_calls() -> Vec<Key<CallDraft>> {
    vec![
        key("priority", Kind::choice::<Priority>(), |c: &mut CallDraft| &mut c.priority)
            .says("Before whom its calls go where they have to wait for room."),
        key("priority_header", Kind::Text(Rule::FieldName), |c: &mut CallDraft| &mut c.fields.priority)
            .or_off()
            .says("Header field in which a request says its own priority: 0 (lowest) to 3 (highest). Anything else is ignored."),
        key("deadline_header", Kind::Text(Rule::FieldName), |c: &mut CallDraft| &mut c.fields.deadline)
            .or_off()
            .says("Header field with the time that is left: a request's is kept to (`total_timeout` is its cap), and each attempt says what is left of it, less the way to the endpoint. Milliseconds, or with a unit: `1500`, `1500ms`, `2s`. gRPC calls have `grpc-timeout` for it in any case."),
        key("rate_key_header", Kind::Text(Rule::FieldName), |c: &mut CallDraft| &mut c.fields.lane)
            .or_off()
            .says("Header field, such as a token, by whose value the upstream keeps its rate limits: `key_rate` counts by it, and a 429 pauses only calls with the same value. The value itself isn't kept."),
        key("attempt_header", Kind::Flag, |c: &mut CallDraft| &mut c.fields.attempt)
            .says("Whether each attempt says in `Mainstay-Attempt` which it is and of how many, and a request's own is heeded: a layer below one that will try again leaves the trying to it, so that layers of retries don't multiply."),
        key("trace_header", Kind::choice::<TraceField>(), |c: &mut CallDraft| &mut c.fields.trace)
            .says("What each attempt says in `traceparent` and `tracestate` where calls are traced (`[traces]`): \"always\" its own span, in the application's trace or in one that is made; \"continue\", only where the application sent one; \"never\", nothing, for a third party that needn't know. Where calls aren't traced these fields pass unchanged."),
    ]
}

fn spill() -> Vec<Key<Spill>> {
    vec![
        key("size", size(64 * KIB, 64 * GIB), |s: &mut Spill| &mut s.bytes)
            .says("Most of one body in its file, beyond `replay`; at most `limits.spill_total`.")
            .low("Larger requests can't be retried.")
            .high("Disk, for each call; `limits.spill_total` bounds the sum."),
    ]
}

fn resumable_upload() -> Vec<Key<ResumableDraft>> {
    vec![
        key("protocol", Kind::choice::<UploadWord>(), |r: &mut ResumableDraft| &mut r.protocol)
            .says("What the upstream speaks: \"ietf\", the resumable uploads of draft-ietf-httpbis-resumable-upload, for PUT and POST; or \"tus\", tus 1.0, in which each POST with a body becomes a creation and the upload of what is created."),
        key("interop_version", number(1, 99), |r: &mut ResumableDraft| &mut r.interop_version)
            .default_is("`8`")
            .says("The draft's interop version, which client and server have to agree upon: 6 is drafts 05 to 07, 8 is draft 10. A server of another one offers nothing, and takes each upload for an ordinary one. Not for tus."),
        key("within", length(millis(100), hours(1)), |r: &mut ResumableDraft| &mut r.within)
            .says("How long an upload that broke may be without progress before it is given up.")
            .low("A restart of the upstream isn't outlived.")
            .high("The application waits for what won't come."),
    ]
}

fn hedge() -> Vec<Key<HedgeSettings>> {
    let after = Kind::Percentile { least: Percentile::P75, min: millis(1), max: minutes(1) };
    vec![
        key("after", after, |h: &mut HedgeSettings| &mut h.after)
            .says("How long an attempt has to be out: a fixed time, or as long as all but this share of the endpoint's answers of the last half minute took. \"p95\" makes about one call in twenty twice.")
            .low("Many calls are made twice.")
            .high("Slow calls stay slow."),
        key("floor", length(millis(1), minutes(1)), |h: &mut HedgeSettings| &mut h.floor)
            .says("The least time, whatever the percentile says.")
            .low("Where all answers are fast, small delays are hedged.")
            .high("The percentile means nothing."),
    ]
}

fn websocket() -> Vec<Key<SocketSettings>> {
    vec![
        key("ping_after", length(millis(10), hours(24)), |s: &mut SocketSettings| &mut s.ping_after)
            .or_off()
            .says("An upstream that was quiet for so long is sent a Ping of Mainstay's own. Without Pings, `body_idle_timeout` ends a connection on which nothing moves.")
            .low("Pings without need.")
            .high("A connection without anybody at its other end is found late."),
        key("pong_within", length(millis(10), hours(1)), |s: &mut SocketSettings| &mut s.pong_within)
            .says("How long it may then send nothing at all: after that it is dead, and the application gets a Close with code 1012.")
            .low("A slow upstream is taken for a dead one.")
            .high("A dead one is found late."),
        key("reconnect", length(millis(100), hours(1)), |s: &mut SocketSettings| &mut s.reconnect)
            .or_off()
            .says("An upstream's connection that breaks before the first message, either way, is opened again by the same handshake, elsewhere first, and the application notices nothing; this is how long that may take.")
            .low("A restart of the upstream isn't outlived.")
            .high("The application waits for what won't come."),
    ]
}

fn adaptive_timeout() -> Vec<Key<AdaptiveTimeout>> {
    vec![
        key("percentile", percentiles(Percentile::P90), |a: &mut AdaptiveTimeout| &mut a.percentile)
            .says("Which percentile of the endpoint's answers of the last half minute is followed.")
            .low("Answers that would have come are cut off and asked for again.")
            .high("More answers have to be known before it says anything."),
        key("times", Kind::Factor { min: 100, max: 1000 }, |a: &mut AdaptiveTimeout| &mut a.times_percent)
            .says("What it is multiplied by.")
            .low("A small change for the slower is a wave of timeouts.")
            .high("A hang costs that long."),
        key("floor", length(millis(1), hours(24)), |a: &mut AdaptiveTimeout| &mut a.floor)
            .says("The least timeout. At most `attempt_timeout`; the default gives way to a shorter one.")
            .low("A pause of the network is a wave of timeouts.")
            .high("It doesn't follow."),
    ]
}

fn retry() -> Vec<Key<RetryDraft>> {
    let own = vec![
        key("max_attempts", number(1, 10), |r: &mut RetryDraft| &mut r.max_attempts)
            .says("Attempts in all, the first included; 1 switches retries off. A request that was never sent goes to another endpoint without being counted here, up to 16 times.")
            .low("Breaks show through.")
            .high("Load without success: with one failure in two, ten leave one call in a thousand."),
        key("throttled_base", length(millis(1), minutes(1)), |r: &mut RetryDraft| &mut r.throttled_base)
            .says("First wait after throttling without a hint of the upstream.")
            .low("The upstream throttles on.")
            .high("The call is over before."),
        key("repeat_refused", Kind::Flag, |r: &mut RetryDraft| &mut r.repeat_refused)
            .says("Whether a write goes again when the upstream says that it did nothing (HTTP/2 REFUSED_STREAM, 421, 425)."),
    ];
    let text = "How long to wait between attempts.";
    let backoff = section("backoff", text, backoff(), |r: &mut RetryDraft| &mut r.backoff);
    own.into_iter().chain(backoff).collect()
}

fn backoff() -> Vec<Key<BackoffDraft>> {
    vec![
        key("growth", Kind::choice::<GrowthWord>(), |b: &mut BackoffDraft| &mut b.growth)
            .says("How the wait grows: base \u{d7} factor each time, by a base each time, not at all."),
        key("factor", Kind::Factor { min: 100, max: 1000 }, |b: &mut BackoffDraft| &mut b.factor)
            .default_is("`2.0`")
            .says("The factor of exponential growth.")
            .low("Waits hardly grow.")
            .high("The second retry comes too late."),
        key("base", length(millis(1), minutes(1)), |b: &mut BackoffDraft| &mut b.base)
            .says("First wait, before jitter.")
            .low("The retry meets the same hiccup.")
            .high("The application waits without need."),
        key("cap", length(millis(1), hours(1)), |b: &mut BackoffDraft| &mut b.cap)
            .says("Longest wait, before jitter. At least `base`.")
            .low("Waits stop growing.")
            .high("The call's time is spent on waiting."),
        key("jitter", Kind::choice::<Jitter>(), |b: &mut BackoffDraft| &mut b.jitter)
            .says("How the wait is spread: over all of it, over its half, from base to three times the last wait, not at all. Without it a fleet comes back as one."),
    ]
}

/// For [`super::limits`], which bounds the same bodies.
pub(super) const REPLAY_TOTAL_MOST: u64 = 64 * GIB;

/// For [`super::top`].
pub(super) const DRAIN_MOST: std::time::Duration = secs(86_400);
