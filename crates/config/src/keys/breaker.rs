//! `[upstream.NAME.breaker]`

use mainstay_core::breaker::{BreakerMode, BreakerSettings};

use super::{Key, Kind, hours, key, length, millis, minutes, number, secs};

pub(super) fn keys() -> Vec<Key<BreakerSettings>> {
    vec![
        key("mode", Kind::choice::<BreakerMode>(), |b: &mut BreakerSettings| &mut b.mode)
            .says("What an open breaker stops: every attempt, retries and failovers only, or nothing: then it only watches."),
        key("consecutive_failures", number(0, 65_535), |b: &mut BreakerSettings| &mut b.consecutive_failures)
            .says("Failures in a row that open it; 0 switches this trigger off.")
            .low("Single hiccups open it.")
            .high("A dead endpoint gets that many calls first."),
        key("failure_ratio", Kind::Share { above_zero: true, below_one: false }, |b: &mut BreakerSettings| &mut b.failure_ratio)
            .or_off()
            .says("Share of failures in the window that opens it.")
            .low("An endpoint that still serves most calls is lost.")
            .high("Calls go on breaking."),
        key("slow_ratio", Kind::Share { above_zero: true, below_one: false }, |b: &mut BreakerSettings| &mut b.slow_ratio)
            .or_off()
            .says("Share of slow calls in the window that opens it.")
            .low("A few slow answers open it.")
            .high("A crawling endpoint keeps its calls."),
        key("slow_after", length(millis(1), hours(1)), |b: &mut BreakerSettings| &mut b.slow_after)
            .says("From when on a success counts as slow: the time to the head of the answer.")
            .low("Normal answers are slow.")
            .high("Nothing is ever slow."),
        key("minimum_calls", number(1, 1_000_000), |b: &mut BreakerSettings| &mut b.minimum_calls)
            .says("Calls in the window below which the ratios say nothing.")
            .low("A few calls at night open it.")
            .high("The ratios never speak."),
        key("window", length(secs(1), minutes(5)), |b: &mut BreakerSettings| &mut b.window)
            .says("Length of the sliding window in which calls are counted.")
            .low("Too few calls to judge by.")
            .high("An outage is seen late and remembered for long."),
        key("open_for", length(millis(10), hours(1)), |b: &mut BreakerSettings| &mut b.open_for)
            .says("First time for which it stays open; half of it is sure, half is chance.")
            .low("An endpoint that is coming back is hammered.")
            .high("One that is back stays unused."),
        key("open_cap", length(millis(10), hours(24)), |b: &mut BreakerSettings| &mut b.open_cap)
            .says("Longest open time: each reopening doubles it up to here. At least `open_for`.")
            .low("A long outage is probed often.")
            .high("After a long outage the return is seen late."),
        key("probe_limit", number(1, 255), |b: &mut BreakerSettings| &mut b.probe_limit)
            .says("Most probes at once while it is half-open; the ramp is 1, 2, 4, ... up to this.")
            .low("Coming back takes long.")
            .high("A cold endpoint gets too much at once."),
        key("probes_to_close", number(1, 255), |b: &mut BreakerSettings| &mut b.probes_to_close)
            .says("Probes that must succeed before it closes.")
            .low("One lucky call brings all of the load back.")
            .high("A healthy endpoint waits."),
        key("half_open_for", length(secs(1), minutes(10)), |b: &mut BreakerSettings| &mut b.half_open_for)
            .says("How long it waits for news of its probes before it writes them off.")
            .low("Slow probes are written off before they can tell; stay above `attempt_timeout`.")
            .high("A lost probe blocks the way back for that long."),
        key("wait_for", length(secs(0), minutes(1)), |b: &mut BreakerSettings| &mut b.wait_for)
            .says("How long a call waits at most where every breaker is open, all of its waits together and within its own time; 0s: it is refused at once, and no probe goes before its time.")
            .low("An outage of a moment is felt.")
            .high("Applications are told late that nothing goes."),
        key("wait_limit", number(0, 10_000), |b: &mut BreakerSettings| &mut b.wait_limit)
            .says("Calls that may wait so at once; lower priorities leave a part of them to higher ones.")
            .low("Calls are refused that could have waited.")
            .high("They hold memory, and come all at once when it is over."),
    ]
}
