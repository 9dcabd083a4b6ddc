//! `[upstream.NAME.budget]`

use mainstay_core::budget::BudgetSettings;

use super::{Key, Kind, key, length, minutes, number, secs};

pub(super) fn keys() -> Vec<Key<BudgetSettings>> {
    vec![
        key("capacity", number(1, 1_000_000), |b: &mut BudgetSettings| &mut b.capacity)
            .says("Most tokens that the bucket holds. A success at the first try adds one.")
            .low("Short breaks can't be masked.")
            .high("An outage is amplified for longer before retries stop."),
        key("initial", number(0, 1_000_000), |b: &mut BudgetSettings| &mut b.initial)
            .says("Tokens at the start: 70 are five retries. At most `capacity`.")
            .low("The first breaks after a start aren't masked.")
            .high("Short-lived processes retry without bound, all of them together."),
        key("cost", number(1, 1_000_000), |b: &mut BudgetSettings| &mut b.cost)
            .says("Tokens for an extra attempt; given back when it succeeds. At most `capacity`.")
            .low("Retries amplify an outage.")
            .high("Few breaks are masked."),
        key("throttled_cost", number(1, 1_000_000), |b: &mut BudgetSettings| &mut b.throttled_cost)
            .says("Tokens for an extra attempt after throttling. At most `capacity`.")
            .low("Throttled calls come back too often.")
            .high("They give up although waiting would do."),
        key("ceiling", Kind::Share { above_zero: false, below_one: false }, |b: &mut BudgetSettings| &mut b.ceiling)
            .says("Hard ceiling: extra attempts as a share of the calls in the window.")
            .low("Breaks of several endpoints at once show through.")
            .high("An overloaded upstream gets that much more load, and stays down."),
        key("floor", number(0, 1_000), |b: &mut BudgetSettings| &mut b.floor)
            .says("Extra attempts in a window that the ceiling always allows, for upstreams with few calls.")
            .low("A quiet upstream can't be healed.")
            .high("The ceiling means nothing."),
        key("window", length(secs(1), minutes(5)), |b: &mut BudgetSettings| &mut b.window)
            .says("Length of the ceiling's sliding window.")
            .low("The ceiling jumps with every burst.")
            .high("Old calls pay for new retries."),
    ]
}
