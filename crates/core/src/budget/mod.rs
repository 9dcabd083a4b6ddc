//! The budget: the one account that pays for every extra attempt to an upstream.
//!
//! Retries, hedges, resumes and redeliveries all draw on it, so that their sum stays bounded. Two rules hold at
//! once:
//!
//! - A bucket of tokens (AWS retry guidance 2.1, standard mode: 500 tokens, a transient retry costs 14, one
//!   after throttling 5, a success at the first try adds 1, a success after an extra attempt returns its cost). It
//!   heals nearly everything up to a failure rate of about 20 % and amplifies nothing in an outage. It starts nearly
//!   empty, other than AWS's, so that a short-lived process is bounded too.
//! - A hard ceiling of extra attempts, in percent of the calls of a sliding window. Attempts that wait in backoff are
//!   counted as made, or they would all pass at once.
//!
//! ```text
//!   reserve ──▶ Reservation ── charge ──▶ Charge ── refund ──▶ tokens back: it succeeded
//!                   │ dropped                │ dropped
//!                   ▼                        ▼
//!              tokens back             tokens spent
//! ```
//!
//! `Account` holds the tokens and those who wait, `Window` the counts. A budget is no queue: who gets nothing is
//! told so at once. It doesn't know calls or endpoints, and it doesn't limit first attempts; the breaker does that.

mod account;
mod window;

use alloc::sync::Arc;
#[cfg(not(loom))]
use core::sync::atomic;
use core::time::Duration;

#[cfg(loom)]
use loom::sync::atomic;

use account::Account;
use window::{EXTRA_LIMIT, Window};

use crate::check::{Check, Problems};
use crate::ratio::Ratio;
use crate::time::Timestamp;

/// What extra attempts cost and how much of them there may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetSettings {
    /// Most tokens that the bucket holds. Default 500.
    pub capacity: u32,
    /// Tokens at the start. Default 70: five retries.
    pub initial: u32,
    /// What an extra attempt costs. Default 14.
    pub cost: u32,
    /// What an extra attempt after throttling costs. Default 5.
    pub throttled_cost: u32,
    /// Hard ceiling of extra attempts, as a share of the calls in the window. Default 20 %.
    pub ceiling: Ratio,
    /// Extra attempts in a window that the ceiling always allows, so that a quiet upstream can be healed at all.
    /// Default 5. The bucket still has to pay for them.
    pub floor: u32,
    /// Length of the ceiling's window, counted in ten exact buckets. Default 10 s.
    pub window: Duration,
}

impl Default for BudgetSettings {
    fn default() -> Self {
        Self {
            capacity: 500,
            initial: 70,
            cost: 14,
            throttled_cost: 5,
            ceiling: Ratio::percent(20),
            floor: 5,
            window: Duration::from_secs(10),
        }
    }
}

impl Check for BudgetSettings {
    fn check(&self, problems: &mut Problems) {
        let up_to_capacity = || alloc::format!("1 to the capacity, {}", self.capacity);
        let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));

        let capacity = 1..=CAPACITY_LIMIT;
        problems.require(
            capacity.contains(&self.capacity),
            "capacity",
            self.capacity,
            "1 to 1000000",
        );
        problems.require(
            self.initial <= self.capacity,
            "initial",
            self.initial,
            alloc::format!("0 to the capacity, {}", self.capacity),
        );
        let price = 1..=self.capacity;
        problems.require(price.contains(&self.cost), "cost", self.cost, up_to_capacity());
        problems.require(
            price.contains(&self.throttled_cost),
            "throttled_cost",
            self.throttled_cost,
            up_to_capacity(),
        );
        problems.require(self.floor <= FLOOR_LIMIT, "floor", self.floor, "0 to 1000");
        let window = second..=5 * minute;
        problems.require(window.contains(&self.window), "window", self.window, "1s to 5m");
    }
}

/// Which price an extra attempt has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Price {
    /// After a break.
    Transient,
    /// After the peer asked us to slow down.
    Throttled,
}

/// The account of one upstream.
///
/// Lock-free. A call costs one atomic add, a success at the first try one load while the bucket is full. The
/// ceiling holds at the moment of each reservation, however many threads reserve: never more extra attempts, made
/// in the window or waiting, than `max(floor, ceiling × calls in the window)`.
#[derive(Debug)]
pub struct Budget {
    settings: BudgetSettings,
    account: Arc<Account>,
    window: Arc<Window>,
}

/// Tokens set aside for an extra attempt that waits in backoff. Given back when dropped without being charged.
#[must_use = "a reservation that is dropped gives its tokens back"]
#[derive(Debug)]
pub struct Reservation {
    budget: Arc<Budget>,
    cost: u32,
    /// Whether dropping it has nothing to give back any more.
    charged: bool,
}

/// What an extra attempt has paid, to be returned when it succeeds. Dropped without that, it stays spent.
#[must_use = "a charge that is dropped stays spent"]
#[derive(Debug)]
pub struct Charge {
    budget: Arc<Budget>,
    cost: u32,
}

/// The level of a budget, to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetLevel {
    /// Tokens that can be spent.
    pub tokens: u32,
    /// Most that there can be.
    pub capacity: u32,
    /// Calls in the window.
    pub calls: u32,
    /// Extra attempts in the window, and waiting.
    pub extra: u32,
}

impl Budget {
    /// An account with its initial tokens.
    #[must_use]
    pub fn new(settings: BudgetSettings) -> Arc<Self> {
        let account = Arc::new(Account::new(settings.capacity, settings.initial));
        let window = Arc::new(Window::new(settings.window));
        Arc::new(Self { settings, account, window })
    }

    /// An account by new settings that keeps the tokens and counts of this one.
    ///
    /// Both are one account from then on: what was reserved or charged here comes back there, and the new capacity
    /// holds for both. Counts are kept when the window has the same length; a new length starts from nothing, so
    /// that until calls have been counted only the floor is allowed.
    #[must_use]
    pub fn renewed(&self, settings: BudgetSettings) -> Arc<Self> {
        let account = Arc::clone(&self.account);
        account.resize(settings.capacity);
        let window = if self.window.has_length(settings.window) {
            Arc::clone(&self.window)
        } else {
            Arc::new(Window::new(settings.window))
        };
        Arc::new(Self { settings, account, window })
    }

    /// Counts a call as it starts: the ceiling's whole.
    #[inline]
    pub fn on_call(&self, now: Timestamp) {
        self.window.add_call(now);
    }

    /// Takes in the success of a first attempt.
    #[inline]
    pub fn on_first_try_success(&self) {
        self.account.give(FIRST_TRY_GAIN);
    }

    /// Sets tokens aside for an extra attempt; `None` when the bucket or the ceiling says no.
    pub fn reserve(self: &Arc<Self>, price: Price, now: Timestamp) -> Option<Reservation> {
        let cost = match price {
            Price::Transient => self.settings.cost,
            Price::Throttled => self.settings.throttled_cost,
        };
        if self.account.tokens() < cost || !self.begin_waiting(now) {
            return None;
        }
        if !self.account.take(cost) {
            self.account.end_waiting();
            return None;
        }
        Some(Reservation { budget: Arc::clone(self), cost, charged: false })
    }

    /// How much is left.
    #[must_use]
    pub fn level(&self, now: Timestamp) -> BudgetLevel {
        let (capacity, tokens) = self.account.level();
        let waiting = self.account.waiting().count();
        let counts = self.window.counts(now);
        BudgetLevel {
            tokens,
            capacity,
            calls: clamp(counts.calls),
            extra: clamp(counts.extra + waiting),
        }
    }

    /// Counts one more waiting if the ceiling allows it.
    ///
    /// The order matters. A charge is counted in the window before it stops waiting, and the waiting are looked at
    /// before the window: so each extra attempt is seen once at least, and if one moved in between, it is tried again.
    fn begin_waiting(&self, now: Timestamp) -> bool {
        loop {
            let waiting = self.account.waiting();
            let counts = self.window.counts(now);
            if counts.extra + waiting.count() >= self.allowed(counts.calls) {
                return false;
            }
            if self.account.begin_waiting(waiting) {
                return true;
            }
        }
    }

    /// Extra attempts that the ceiling allows in a window with so many calls.
    fn allowed(&self, calls: u64) -> u64 {
        let share = self.settings.ceiling.of(calls);
        share.max(u64::from(self.settings.floor)).min(EXTRA_LIMIT)
    }
}

impl Reservation {
    /// The extra attempt is being sent.
    pub fn charge(mut self, now: Timestamp) -> Charge {
        self.budget.window.add_extra(now);
        self.budget.account.end_waiting();
        self.charged = true;
        Charge { budget: Arc::clone(&self.budget), cost: self.cost }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.charged {
            self.budget.account.give(self.cost);
            self.budget.account.end_waiting();
        }
    }
}

impl Charge {
    /// The extra attempt succeeded: what it cost goes back into the bucket.
    pub fn refund(self) {
        self.budget.account.give(self.cost);
    }
}

/// Keeps what different threads write on different cache lines; two of them, because processors fetch in pairs.
#[derive(Debug)]
#[repr(align(128))]
struct Padded<T>(T);

fn clamp(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// What a success at the first try brings in. At cost 14 the bucket runs dry when about one call in five fails.
const FIRST_TRY_GAIN: u32 = 1;

/// At the default cost, 71,000 retries in one go: beyond that, a bucket bounds nothing.
const CAPACITY_LIMIT: u32 = 1_000_000;

/// A floor holds whatever the traffic, so a large one would take the ceiling away.
const FLOOR_LIMIT: u32 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Checked;
    use alloc::string::String;
    use alloc::vec::Vec;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn problems(change: impl FnOnce(&mut BudgetSettings)) -> Vec<String> {
        let mut settings = BudgetSettings::default();
        change(&mut settings);
        let problems = Checked::new(settings).err().unwrap_or_default();
        problems.into_iter().map(|problem| problem.place).collect()
    }

    /// Reserves until the answer is no.
    fn reserve_all(budget: &Arc<Budget>, now: Timestamp) -> Vec<Reservation> {
        core::iter::from_fn(|| budget.reserve(Price::Transient, now)).collect()
    }

    #[test]
    fn the_defaults_are_within_their_own_rules() {
        assert!(problems(|_| {}).is_empty());
    }

    #[test]
    fn both_bounds_of_each_setting_hold() {
        let second = Duration::from_secs(1);
        let nano = Duration::from_nanos(1);
        let one = |s: &mut BudgetSettings| (s.initial, s.cost, s.throttled_cost) = (1, 1, 1);

        assert_eq!(problems(|s| (s.capacity, _) = (1, one(s))), [""; 0]);
        assert_eq!(problems(|s| s.capacity = 1_000_000), [""; 0]);
        assert_eq!(problems(|s| s.capacity = 1_000_001), ["capacity"]);
        assert_eq!(problems(|s| s.capacity = 0), ["capacity", "initial", "cost", "throttled_cost"]);
        assert_eq!(problems(|s| s.initial = 0), [""; 0]);
        assert_eq!(problems(|s| s.initial = s.capacity), [""; 0]);
        assert_eq!(problems(|s| s.initial = s.capacity + 1), ["initial"]);
        assert_eq!(problems(|s| s.cost = 1), [""; 0]);
        assert_eq!(problems(|s| s.cost = s.capacity), [""; 0]);
        assert_eq!(problems(|s| s.cost = 0), ["cost"]);
        assert_eq!(problems(|s| s.cost = s.capacity + 1), ["cost"]);
        assert_eq!(problems(|s| s.throttled_cost = s.capacity), [""; 0]);
        assert_eq!(problems(|s| s.throttled_cost = 0), ["throttled_cost"]);
        assert_eq!(problems(|s| s.throttled_cost = s.capacity + 1), ["throttled_cost"]);
        assert_eq!(problems(|s| s.floor = 1_000), [""; 0]);
        assert_eq!(problems(|s| s.floor = 1_001), ["floor"]);
        assert_eq!(problems(|s| s.window = second), [""; 0]);
        assert_eq!(problems(|s| s.window = second - nano), ["window"]);
        assert_eq!(problems(|s| s.window = 300 * second), [""; 0]);
        assert_eq!(problems(|s| s.window = 300 * second + nano), ["window"]);
    }

    #[test]
    fn a_new_bucket_pays_for_five_retries() {
        let budget = Budget::new(BudgetSettings::default());
        assert_eq!(reserve_all(&budget, at(0)).len(), 5);
    }

    #[test]
    fn a_dropped_reservation_gives_its_tokens_back_and_a_charge_only_when_refunded() {
        let budget = Budget::new(BudgetSettings::default());
        let tokens = || budget.level(at(0)).tokens;

        let reservation = budget.reserve(Price::Transient, at(0));
        assert_eq!(tokens(), 56);
        drop(reservation);
        assert_eq!(tokens(), 70);

        let charge = budget.reserve(Price::Throttled, at(0)).map(|r| r.charge(at(0)));
        assert_eq!(tokens(), 65);
        charge.into_iter().for_each(Charge::refund);
        assert_eq!(tokens(), 70);

        drop(budget.reserve(Price::Transient, at(0)).map(|r| r.charge(at(0))));
        assert_eq!(tokens(), 56);
    }

    #[test]
    fn the_ceiling_counts_what_waits_and_what_was_made() {
        let settings = BudgetSettings { initial: 500, floor: 2, ..BudgetSettings::default() };
        let budget = Budget::new(settings);
        assert_eq!(reserve_all(&budget, at(0)).len(), 2, "the floor");

        (0..50).for_each(|_| budget.on_call(at(100)));
        let waiting = reserve_all(&budget, at(100));
        assert_eq!(waiting.len(), 10, "20 % of 50");
        let charges: Vec<Charge> = waiting.into_iter().map(|r| r.charge(at(200))).collect();
        charges.into_iter().for_each(Charge::refund);
        assert!(budget.reserve(Price::Transient, at(9_999)).is_none(), "made, and in the window");
        assert_eq!(budget.level(at(9_999)).extra, 10);
        assert_eq!(reserve_all(&budget, at(10_000)).len(), 2, "the window has slid");
    }

    #[test]
    fn successes_fill_the_bucket_up_to_its_capacity() {
        let budget = Budget::new(BudgetSettings { capacity: 72, ..BudgetSettings::default() });
        (0..5).for_each(|_| budget.on_first_try_success());
        assert_eq!(budget.level(at(0)).tokens, 72);
    }

    #[test]
    fn a_new_generation_keeps_the_account_and_what_is_reserved_in_the_old_one_comes_back() {
        let old = Budget::new(BudgetSettings::default());
        (0..100).for_each(|_| old.on_call(at(0)));
        let waiting = old.reserve(Price::Transient, at(0));
        let charge = old.reserve(Price::Transient, at(0)).map(|r| r.charge(at(0)));

        let new = old.renewed(BudgetSettings { capacity: 50, ..BudgetSettings::default() });
        let shown = |tokens, extra| BudgetLevel { tokens, capacity: 50, calls: 100, extra };
        assert_eq!(new.level(at(0)), shown(42, 2));
        charge.into_iter().for_each(Charge::refund);
        drop(waiting);
        assert_eq!(new.level(at(0)), shown(50, 1));
        assert_eq!(old.level(at(0)), shown(50, 1));
    }

    #[test]
    fn another_window_length_starts_from_nothing() {
        let old = Budget::new(BudgetSettings::default());
        (0..100).for_each(|_| old.on_call(at(0)));
        let waiting = old.reserve(Price::Transient, at(0));
        let window = Duration::from_secs(20);
        let new = old.renewed(BudgetSettings { window, ..BudgetSettings::default() });
        assert_eq!(new.level(at(0)), BudgetLevel { tokens: 56, capacity: 500, calls: 0, extra: 1 });
        drop(waiting);
        assert_eq!(new.level(at(0)), BudgetLevel { tokens: 70, capacity: 500, calls: 0, extra: 0 });
    }

    #[test]
    fn settings_that_nobody_checked_do_no_harm() {
        let budget = Budget::new(BudgetSettings {
            capacity: 0,
            cost: 0,
            window: Duration::ZERO,
            ..BudgetSettings::default()
        });
        budget.on_call(Timestamp::MAX);
        budget.on_first_try_success();
        assert_eq!(reserve_all(&budget, Timestamp::MAX).len(), 5, "the floor");
        assert_eq!(budget.level(Timestamp::MAX).tokens, 0);
    }
}
