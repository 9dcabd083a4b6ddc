//! The budget: the one account that pays for every extra attempt to an upstream.
//!
//! Retries, hedges, resumes and redeliveries all draw on it, so that their sum stays bounded. Two rules hold at
//! once: a bucket of tokens (AWS retry guidance 2.1: 500, a transient retry costs 14, one after throttling 5, a
//! success at the first try adds 1, a success after an extra attempt returns its cost), which heals nearly
//! everything up to a failure rate of about 20 % and amplifies nothing in an outage; and a hard ceiling of extra attempts in percent
//! of the calls of a sliding window. Attempts that wait in backoff are counted as spent, or they would all
//! pass at once. The bucket starts nearly empty, so that a short-lived process is bounded too.

use alloc::sync::Arc;
use core::time::Duration;

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
        let _ = problems;
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
#[derive(Debug)]
pub struct Budget {}

/// Tokens set aside for an extra attempt that waits in backoff. Given back when dropped without being charged.
#[must_use = "a reservation that is dropped gives its tokens back"]
#[derive(Debug)]
pub struct Reservation {}

/// What an extra attempt has paid, to be returned when it succeeds.
#[must_use]
#[derive(Debug)]
pub struct Charge {}

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
        let _ = settings;
        todo!()
    }

    /// An account by new settings that keeps the tokens and counts of this one.
    #[must_use]
    pub fn renewed(&self, settings: BudgetSettings) -> Arc<Self> {
        let _ = settings;
        todo!()
    }

    /// Counts a call as it starts: the ceiling's whole.
    pub fn on_call(&self, now: Timestamp) {
        let _ = now;
        todo!()
    }

    /// Takes in the success of a first attempt.
    pub fn on_first_try_success(&self) {
        todo!()
    }

    /// Sets tokens aside for an extra attempt; `None` when the bucket or the ceiling says no.
    pub fn reserve(self: &Arc<Self>, price: Price, now: Timestamp) -> Option<Reservation> {
        let _ = (price, now);
        todo!()
    }

    /// How much is left.
    #[must_use]
    pub fn level(&self, now: Timestamp) -> BudgetLevel {
        let _ = now;
        todo!()
    }
}

impl Reservation {
    /// The extra attempt is being sent.
    pub fn charge(self, now: Timestamp) -> Charge {
        let _ = now;
        todo!()
    }
}

impl Charge {
    /// The extra attempt succeeded: what it cost goes back into the bucket.
    pub fn refund(self) {
        todo!()
    }
}
