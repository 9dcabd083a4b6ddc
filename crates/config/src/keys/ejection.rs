//! `[upstream.NAME.ejection]`

use mainstay_core::upstream::EjectionSettings;

use super::{Key, Kind, hours, key, length, millis, minutes, number};

pub(super) fn keys() -> Vec<Key<EjectionSettings>> {
    vec![
        key("interval", length(millis(100), minutes(10)), |e: &mut EjectionSettings| &mut e.interval)
            .says("How often the statistics are looked at.")
            .low("Too few calls to judge by.")
            .high("A bad endpoint keeps its share for that long."),
        key("eject_for", length(millis(100), hours(1)), |e: &mut EjectionSettings| &mut e.eject_for)
            .says("First ejection time; it grows with each ejection and shrinks with each clean interval.")
            .low("A bad endpoint is back at once.")
            .high("A good one is missed for long."),
        key("eject_cap", length(millis(100), hours(24)), |e: &mut EjectionSettings| &mut e.eject_cap)
            .says("Longest ejection. At least `eject_for`.")
            .low("A lasting defect is met often.")
            .high("A repaired endpoint is missed for long."),
        key("max_ejected", Kind::Share { above_zero: false, below_one: false }, |e: &mut EjectionSettings| &mut e.max_ejected)
            .says("Most endpoints ejected at a time, but always at least one.")
            .low("Several bad endpoints stay in use.")
            .high("The rest is overloaded by what the ejected ones carried."),
        key("stdev_factor", Kind::Factor { min: 0, max: 1000 }, |e: &mut EjectionSettings| &mut e.stdev_factor_percent)
            .says("Ejected when its success rate is below the mean by this many standard deviations; 0 switches the rule off.")
            .low("Normal spread ejects.")
            .high("Only the worst are found."),
        key("failure_share", Kind::Share { above_zero: true, below_one: false }, |e: &mut EjectionSettings| &mut e.failure_share)
            .or_off()
            .says("Ejected at this share of failures.")
            .low("An endpoint that serves most of its calls is lost.")
            .high("One that fails most of them is kept."),
        key("minimum_endpoints", number(1, 1000), |e: &mut EjectionSettings| &mut e.minimum_endpoints)
            .says("Endpoints with enough calls below which nobody is ejected.")
            .low("Comparing two or three says little.")
            .high("Small upstreams have no ejection."),
        key("minimum_calls", number(1, 1_000_000), |e: &mut EjectionSettings| &mut e.minimum_calls)
            .says("Calls in the interval below which an endpoint isn't judged.")
            .low("Chance ejects.")
            .high("Quiet endpoints are never judged."),
    ]
}
