//! `[route.heal]`, or the same at an upstream for all of its routes.

use super::{GIB, Key, Kind, MIB, Rule, hours, key, length, millis, minutes, secs, size};
use crate::draft::HealDraft;

pub(super) fn heal() -> Vec<Key<HealDraft>> {
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
