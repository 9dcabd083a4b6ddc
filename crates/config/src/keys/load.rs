//! What is let through to an upstream: `[upstream.NAME.limit]`, `.endpoint_limit`, `.line`, `.rate`, `.key_rate` and
//! `.throttle`.

use mainstay_core::line::LineSettings;
use mainstay_core::throttle::ThrottleSettings;

use super::{
    Key, Kind, hours, key, length, millis, minutes, number, secs, section, switched_section, within,
};
use crate::draft::{KeyRateDraft, LimitDraft, LimitWord, RateDraft, UpstreamDraft};

pub(super) fn keys() -> Vec<Key<UpstreamDraft>> {
    type Draft = UpstreamDraft;
    let text = [
        "How many attempts may be under way at the upstream as a whole, from their start to the end of the answer's body. Off unless it is written.",
        "The same at each endpoint: one that has no room is passed over. Off unless it is written.",
        "Who waits for room under these limits. Calls of higher priority go first; under lasting overload the newest do, since the oldest mostly can't make it any more.",
        "How many attempts may go to the upstream in each period. What is too early waits, if its time allows, and is refused if not. Off unless it is written.",
        "The same for each value of the route's `rate_key_header`: for APIs that limit each token or tenant. Off unless it is written.",
        "Whether calls are refused here while the upstream turns most of them away (SRE book, \"Handling Overload\"). Off unless it is written.",
    ];
    let mut keys = switched_section("limit", text[0], limit(), |u: &mut Draft| &mut u.limit);
    keys.extend(switched_section("endpoint_limit", text[1], limit(), |u: &mut Draft| {
        &mut u.endpoint_limit
    }));
    keys.extend(section("line", text[2], line(), |u: &mut Draft| &mut u.policy.load.line));
    keys.extend(switched_section("rate", text[3], rate(), |u: &mut Draft| &mut u.rate));
    keys.extend(switched_section("key_rate", text[4], key_rate(), |u: &mut Draft| &mut u.key_rate));
    keys.extend(switched_section("throttle", text[5], throttle(), |u: &mut Draft| {
        &mut u.policy.load.throttle
    }));
    keys
}

fn limit() -> Vec<Key<LimitDraft>> {
    let mut keys = vec![
        key("kind", Kind::choice::<LimitWord>(), |l: &mut LimitDraft| &mut l.kind)
            .says("How the limit is set: it is `max`, it grows by one while all is well and falls by a factor when attempts time out or are turned away, or it follows the latency."),
        key("max", number(1, 100_000), |l: &mut LimitDraft| &mut l.max)
            .default_is("`200`; must be given for a fixed limit")
            .says("The limit itself where it is fixed; else never more than this. What isn't written of `min`, `max` and `initial` gives way.")
            .low("Calls wait while the upstream has room.")
            .high("A limit that was wrong for long has grown far beyond what the upstream takes."),
        key("min", number(1, 100_000), |l: &mut LimitDraft| &mut l.min)
            .default_is("`4`")
            .says("Never fewer. At most `max`.")
            .low("One bad minute leaves hardly any calls through.")
            .high("An overloaded upstream stays so."),
        key("initial", number(1, 100_000), |l: &mut LimitDraft| &mut l.initial)
            .default_is("`20`")
            .says("At the start. From `min` to `max`.")
            .low("A slow start.")
            .high("A small upstream is overrun until the limit has come down."),
        key("window", length(millis(100), minutes(1)), |l: &mut LimitDraft| &mut l.window)
            .default_is("`\"1s\"`")
            .says("How long outcomes are gathered before the limit moves once.")
            .low("It follows noise.")
            .high("It is late."),
        key("minimum_samples", number(1, 1000), |l: &mut LimitDraft| &mut l.minimum_samples)
            .default_is("`10`")
            .says("Ended attempts below which a window stays open; a lower limit needs only as many as it lets in.")
            .low("It follows noise.")
            .high("A quiet upstream's limit never moves."),
        key("backoff", Kind::Factor { min: 10, max: 99 }, |l: &mut LimitDraft| &mut l.backoff)
            .default_is("`0.9`")
            .says("What is left of the limit after a window in which too many attempts timed out or were turned away.")
            .low("One hiccup halts the traffic.")
            .high("An overload lasts."),
        key("tolerated_drops", Kind::Share { above_zero: false, below_one: true }, |l: &mut LimitDraft| &mut l.tolerated_drops)
            .default_is("`\"1%\"`")
            .says("Share of such attempts in a window that is taken as ordinary.")
            .low("Of a thousand calls one that times out pulls the limit down.")
            .high("An overload is seen late."),
    ];
    keys.extend(of_one_kind());
    keys
}

/// What only one kind of limit has.
fn of_one_kind() -> Vec<Key<LimitDraft>> {
    vec![
        key("slow_after", length(millis(1), hours(1)), |l: &mut LimitDraft| &mut l.slow_after)
            .default_is("`\"5s\"`")
            .says("From when on an answer counts as a sign of overload. Only for \"aimd\".")
            .low("An upstream that is always slow gets `min` calls.")
            .high("One that answers late, but answers, is never spared."),
        key("smoothing", Kind::Factor { min: 1, max: 100 }, |l: &mut LimitDraft| &mut l.smoothing)
            .default_is("`0.2`")
            .says("How far one window moves the limit towards what it says. Only for \"gradient\", as the next three.")
            .low("It is late.")
            .high("It swings."),
        key("queue", number(1, 1000), |l: &mut LimitDraft| &mut l.queue)
            .default_is("`4`")
            .says("Calls that may wait at the upstream; the limit grows by as many while the latency is good.")
            .low("It grows slowly.")
            .high("A small upstream always has a queue."),
        key("long_window", number(10, 100_000), |l: &mut LimitDraft| &mut l.long_window)
            .default_is("`600`")
            .says("Windows over which the usual latency is averaged.")
            .low("An overload is soon taken for the usual.")
            .high("A change of the usual is learned late."),
        key("tolerance", Kind::Factor { min: 100, max: 1000 }, |l: &mut LimitDraft| &mut l.tolerance)
            .default_is("`1.5`")
            .says("How many times the usual latency the last window's may be before the limit falls.")
            .low("Ordinary swings pull it down.")
            .high("A queue is noticed late."),
    ]
}

fn line() -> Vec<Key<LineSettings>> {
    vec![
        key("length", number(0, 10_000), |l: &mut LineSettings| &mut l.length)
            .says("Calls that may wait for room at a time; 0: nobody waits.")
            .low("A short burst is refused although there would have been time.")
            .high("Calls wait that had better been told at once."),
        key("target", length(millis(0), secs(10)), |l: &mut LineSettings| &mut l.target)
            .says("Waits up to this are good, however steadily somebody waits.")
            .low("A burst looks like overload.")
            .high("Overload looks like a burst."),
        key("interval", length(millis(1), minutes(1)), |l: &mut LineSettings| &mut l.interval)
            .says("After so long with every wait above `target` there is overload, and who came last is let in first.")
            .low("The order turns around for a burst.")
            .high("Everybody waits until it is too late."),
    ]
}

fn rate() -> Vec<Key<RateDraft>> {
    vec![
        key("calls", number(1, 1_000_000), |r: &mut RateDraft| &mut r.calls)
            .default_is("must be given")
            .says("Attempts in each period, as the upstream's own terms say. At most one each microsecond.")
            .low("Calls wait without need.")
            .high("The upstream turns them away, and a refusal costs a round trip and part of the allowance."),
        key("period", length(millis(1), hours(24)), |r: &mut RateDraft| &mut r.period)
            .says("Length of the period."),
        key("burst", number(1, 1_000_000), |r: &mut RateDraft| &mut r.burst)
            .default_is("a tenth of `calls`, at least 1")
            .says("Attempts that may go at once after a rest. As many as `calls` is what an upstream with a fixed window allows, but twice that can then go in one of its windows.")
            .low("Calls that come together wait for each other.")
            .high("The upstream turns some of a burst away."),
    ]
}

fn key_rate() -> Vec<Key<KeyRateDraft>> {
    let mut keys = within("", rate(), |r: &mut KeyRateDraft| &mut r.each);
    keys.push(
        key("keys", number(1, 65_536), |r: &mut KeyRateDraft| &mut r.keys)
            .says("Keys that are busy at the same time; 128 bytes of memory each.")
            .low("Some keys wait for others.")
            .high("Memory."),
    );
    keys
}

fn throttle() -> Vec<Key<ThrottleSettings>> {
    vec![
        key("multiplier", Kind::Factor { min: 110, max: 1000 }, |t: &mut ThrottleSettings| {
            &mut t.multiplier_percent
        })
        .says("What the upstream may be sent, as a multiple of what it takes.")
        .low("Calls are refused that it might have taken.")
        .high("An upstream in overload is hardly spared."),
        key("window", length(secs(10), minutes(10)), |t: &mut ThrottleSettings| &mut t.window)
            .says("Length of the window in which calls and answers are counted.")
            .low("It swings.")
            .high("An overload is noticed late, and its end too."),
        key("minimum", number(1, 10_000), |t: &mut ThrottleSettings| &mut t.minimum)
            .says("Calls in the window below which none is refused.")
            .low("A few refusals at night shut the door.")
            .high("A quiet upstream is never spared."),
    ]
}
