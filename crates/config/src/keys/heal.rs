//! `[route.heal]`, or the same at an upstream for all of its routes.

use super::{
    GIB, KIB, Key, Kind, MIB, Rule, hours, key, length, millis, minutes, number, secs, section,
    size, switched_section,
};
use mainstay_core::heal::events::RingSettings;

use crate::draft::{EndWord, EventsDraft, HealDraft};

pub(super) fn heal() -> Vec<Key<HealDraft>> {
    let events = section(
        "events",
        "Server-sent events: only whole events go to the application, and a stream that breaks goes on behind the last of them.",
        events(),
        |h: &mut HealDraft| &mut h.events,
    );
    own().into_iter().chain(events).collect()
}

fn own() -> Vec<Key<HealDraft>> {
    vec![
        key("hold", size(0, 16 * MIB), |h: &mut HealDraft| &mut h.hold)
            .or_off()
            .says("The head of an answer is held back until the first byte of its body is here, or all of it where it is announced to be no larger than this; what breaks before is tried again, and the application sees nothing of it. For requests that may be done twice. `limits.hold_total` bounds the sum.")
            .low("Small answers that break have to be continued, and most can't be.")
            .high("Memory, and the first byte comes with the last."),
        key("hold_for", length(millis(1), minutes(1)), |h: &mut HealDraft| &mut h.hold_for)
            .says("How long the head is held back at most.")
            .low("A break soon after the head shows through.")
            .high("Where the first byte takes long, the head is late too."),
        key("resume_within", length(millis(100), hours(1)), |h: &mut HealDraft| &mut h.resume_within)
            .or_off()
            .says("A broken answer to a GET is continued, by `Range` with a strong validator or by `Last-Event-ID`, where it is provable that what comes is what is missing; so long may the application be without new bytes meanwhile. Off, it ends as visibly broken.")
            .low("A restart of the upstream isn't outlived.")
            .high("The application waits for what won't come."),
        key("validators", Kind::Texts(Rule::FieldName), |h: &mut HealDraft| &mut h.validators)
            .default_is("none")
            .says("Header fields of answers that are as good as a strong `ETag`: the same value always means the same bytes. A generation, a version, a digest. Wrongly declared, answers are put together from different versions."),
        key("skip", size(0, GIB), |h: &mut HealDraft| &mut h.skip)
            .says("How much of an answer is read once more and thrown away where an upstream sends the whole in place of what is missing, provably the same.")
            .low("Upstreams without ranges can't be healed.")
            .high("Load, for somebody who may have stopped caring."),
        key("min_rate", size(1, GIB), |h: &mut HealDraft| &mut h.min_rate)
            .or_off()
            .says("Bytes a second that an answer of known length has to bring, measured while the upstream is waited for. Less is a stall, and a stalled answer is broken.")
            .low("A trickle goes on for ever.")
            .high("Slow lines are cut off."),
        key("min_rate_window", length(secs(1), hours(1)), |h: &mut HealDraft| &mut h.min_rate_window)
            .says("Over how much waiting that is measured.")
            .low("A pause is taken for a stall.")
            .high("A trickle is found late."),
    ]
}

fn events() -> Vec<Key<EventsDraft>> {
    let ring = switched_section(
        "ring",
        "Events without ids get some of Mainstay's own, `ms-RUN-NUMBER`, and the last of them are kept: an application that comes back to a GET with one of these as its `Last-Event-ID` gets what it missed, and goes on with the same stream. Off unless it is written.",
        ring(),
        |e: &mut EventsDraft| &mut e.ring,
    );
    own_events().into_iter().chain(ring).collect()
}

fn ring() -> Vec<Key<RingSettings>> {
    vec![
        key("keep", length(secs(1), hours(1)), |r: &mut RingSettings| &mut r.keep)
            .says("How long the upstream's stream is read on while the application is away.")
            .low("An application that takes its time to come back has a gap, and is told.")
            .high("Streams that nobody wants any more, at the upstream as well."),
        key("events", number(1, 100_000), |r: &mut RingSettings| &mut r.events)
            .says("Events of a stream that are kept.")
            .low("An application that was away for long has a gap, and is told.")
            .high("Memory, for each stream."),
        key("bytes", size(4 * KIB, 256 * MIB), |r: &mut RingSettings| &mut r.bytes)
            .says("Bytes of them; `limits.ring_total` bounds the sum.")
            .low("The same.")
            .high("The same."),
    ]
}

fn own_events() -> Vec<Key<EventsDraft>> {
    vec![
        key("end", Kind::choice::<EndWord>(), |e: &mut EventsDraft| &mut e.end)
            .says("What it means when the upstream ends a stream in good order: it is passed on as the end that it is; the stream is continued; it is a break unless a last event came before, of streams that begin like a language model's or of all."),
        key("terminal_data", Kind::Texts(Rule::Name), |e: &mut EventsDraft| &mut e.terminal_data)
            .says("Data of a last event."),
        key("terminal_events", Kind::Texts(Rule::Name), |e: &mut EventsDraft| &mut e.terminal_events)
            .says("Types of a last event."),
        key("block", size(KIB, 64 * MIB), |e: &mut EventsDraft| &mut e.block)
            .says("How much of an event that isn't whole is kept back. A longer one is passed on as it comes, and its stream can't be healed.")
            .low("Streams with long events can't be continued.")
            .high("Memory, for each stream whose upstream ends no event."),
        key("remembered", number(16, 1_000_000), |e: &mut EventsDraft| &mut e.remembered)
            .says("Events that are remembered of a stream, to recognise what comes again; about 48 bytes each.")
            .low("Long streams whose ids are in no order can't be continued.")
            .high("Memory, for each stream."),
        key("volatile", Kind::Texts(Rule::Name), |e: &mut EventsDraft| &mut e.volatile)
            .default_is("none")
            .says("Types of events, such as `ping`, that mean nothing when they are missing or come twice."),
        key("heartbeat", length(millis(100), minutes(5)), |e: &mut EventsDraft| &mut e.heartbeat)
            .says("While a stream is being continued, the application gets a comment each so often.")
            .low("Bytes.")
            .high("The application's own timeout fires."),
        key("dead_after", length(secs(1), hours(24)), |e: &mut EventsDraft| &mut e.dead_after)
            .says("A stream in which nothing at all comes for so long, not even a comment, is dead. Takes the place of `body_idle_timeout` there.")
            .low("A quiet stream is taken for a dead one.")
            .high("A dead one is found late."),
        key("retry_most", length(millis(0), hours(1)), |e: &mut EventsDraft| &mut e.retry_most)
            .says("The most that the upstream's own `retry:` makes a reconnect wait.")
            .low("An upstream that asks for rest doesn't get it.")
            .high("A stream may be away for long."),
        key("error_event", Kind::Text(Rule::Name), |e: &mut EventsDraft| &mut e.error_event)
            .or_off()
            .says("The type of the event that tells a break which isn't healed, with the break's code, before the connection is cut."),
    ]
}
