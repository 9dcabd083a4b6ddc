//! The budget against a plain model of it: lists and sums instead of packed words.

use std::sync::Arc;
use std::time::Duration;

use mainstay_core::budget::{Budget, BudgetLevel, BudgetSettings, Charge, Price, Reservation};
use mainstay_core::{Ratio, Timestamp};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Call,
    FirstTrySuccess,
    Reserve(Price),
    /// The index chooses among what is held, whatever its number.
    DropReservation(usize),
    Charge(usize),
    Refund(usize),
    DropCharge(usize),
    Wait(Duration),
    Renew(BudgetSettings),
}

/// What a budget is said to be, told as simply as possible.
struct Model {
    settings: BudgetSettings,
    now: Timestamp,
    tokens: u32,
    calls: Vec<Timestamp>,
    extra: Vec<Timestamp>,
    waiting: u64,
}

impl Model {
    fn new(settings: &BudgetSettings) -> Self {
        Self {
            settings: settings.clone(),
            now: Timestamp::ZERO,
            tokens: settings.initial,
            calls: Vec::new(),
            extra: Vec::new(),
            waiting: 0,
        }
    }

    fn give(&mut self, amount: u32) {
        self.tokens = (self.tokens + amount).min(self.settings.capacity);
    }

    fn cost(&self, price: Price) -> u32 {
        match price {
            Price::Transient => self.settings.cost,
            Price::Throttled => self.settings.throttled_cost,
        }
    }

    /// How many of `times` are in one of the ten tenths of a window that end with that of now.
    fn in_window(&self, times: &[Timestamp]) -> u64 {
        let tenth =
            |time: Timestamp| time.as_nanos() / (self.settings.window.as_nanos() as u64 / 10);
        times.iter().filter(|time| tenth(self.now) - tenth(**time) < 10).count() as u64
    }

    fn allowed(&self) -> u64 {
        let share = self.settings.ceiling.of(self.in_window(&self.calls));
        share.max(u64::from(self.settings.floor))
    }

    fn used(&self) -> u64 {
        self.in_window(&self.extra) + self.waiting
    }

    fn allows(&self, price: Price) -> bool {
        self.tokens >= self.cost(price) && self.used() < self.allowed()
    }

    fn renew(&mut self, settings: BudgetSettings) {
        if settings.window != self.settings.window {
            self.calls.clear();
            self.extra.clear();
        }
        self.settings = settings;
        self.give(0);
    }

    fn level(&self) -> BudgetLevel {
        BudgetLevel {
            tokens: self.tokens,
            capacity: self.settings.capacity,
            calls: self.in_window(&self.calls) as u32,
            extra: self.used() as u32,
        }
    }
}

/// A budget and its model, with what was taken from them and its cost.
struct Pair {
    budget: Arc<Budget>,
    model: Model,
    reservations: Vec<(Reservation, u32, Arc<Budget>)>,
    charges: Vec<(Charge, u32)>,
}

impl Pair {
    fn new(settings: BudgetSettings) -> Self {
        let model = Model::new(&settings);
        let budget = Budget::new(settings);
        Self { budget, model, reservations: Vec::new(), charges: Vec::new() }
    }

    fn take(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Call => {
                self.budget.on_call(self.model.now);
                self.model.calls.push(self.model.now);
            }
            Step::FirstTrySuccess => {
                self.budget.on_first_try_success();
                self.model.give(1);
            }
            Step::Reserve(price) => self.reserve(price)?,
            Step::DropReservation(index) => {
                if let Some((reservation, cost, _)) = pull(&mut self.reservations, index) {
                    drop(reservation);
                    self.model.give(cost);
                    self.model.waiting -= 1;
                }
            }
            Step::Charge(index) => {
                if let Some((reservation, cost, origin)) = pull(&mut self.reservations, index) {
                    self.charge(reservation, cost, &origin);
                }
            }
            Step::Refund(index) => {
                if let Some((charge, cost)) = pull(&mut self.charges, index) {
                    charge.refund();
                    self.model.give(cost);
                }
            }
            Step::DropCharge(index) => drop(pull(&mut self.charges, index)),
            Step::Wait(length) => self.model.now = self.model.now + length,
            Step::Renew(settings) => {
                self.budget = self.budget.renewed(settings.clone());
                self.model.renew(settings);
            }
        }
        prop_assert_eq!(self.budget.level(self.model.now), self.model.level());
        prop_assert!(self.model.tokens <= self.model.settings.capacity);
        Ok(())
    }

    fn reserve(&mut self, price: Price) -> Result<(), TestCaseError> {
        let allowed = self.model.allows(price);
        let reservation = self.budget.reserve(price, self.model.now);
        prop_assert_eq!(reservation.is_some(), allowed);
        if let Some(reservation) = reservation {
            let cost = self.model.cost(price);
            self.model.tokens -= cost;
            self.model.waiting += 1;
            prop_assert!(self.model.used() <= self.model.allowed());
            self.reservations.push((reservation, cost, Arc::clone(&self.budget)));
        }
        Ok(())
    }

    /// What was reserved before a change of the window's length is counted in the old window.
    fn charge(&mut self, reservation: Reservation, cost: u32, origin: &Budget) {
        let before = self.budget.level(self.model.now).extra;
        self.charges.push((reservation.charge(self.model.now), cost));
        self.model.waiting -= 1;
        if self.budget.level(self.model.now).extra == before {
            self.model.extra.push(self.model.now);
        } else {
            let other = origin.level(self.model.now);
            assert!(other.extra > 0, "charged to no window at all");
        }
    }
}

fn pull<T>(held: &mut Vec<T>, index: usize) -> Option<T> {
    (!held.is_empty()).then(|| held.swap_remove(index % held.len()))
}

fn settings() -> impl Strategy<Value = BudgetSettings> {
    let window = prop_oneof![Just(1_000_u64), Just(2_500), Just(10_000)];
    (1_u32..200, 0_u32..200, 1_u32..20, 1_u32..20, 0_u16..=100, 0_u32..6, window).prop_map(
        |(capacity, initial, cost, throttled_cost, ceiling, floor, window)| BudgetSettings {
            capacity,
            initial: initial.min(capacity),
            cost: cost.min(capacity),
            throttled_cost: throttled_cost.min(capacity),
            ceiling: Ratio::percent(ceiling),
            floor,
            window: Duration::from_millis(window),
        },
    )
}

fn price() -> impl Strategy<Value = Price> {
    prop_oneof![Just(Price::Transient), Just(Price::Throttled)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => Just(Step::Call),
        6 => Just(Step::FirstTrySuccess),
        10 => price().prop_map(Step::Reserve),
        3 => any::<usize>().prop_map(Step::DropReservation),
        6 => any::<usize>().prop_map(Step::Charge),
        3 => any::<usize>().prop_map(Step::Refund),
        2 => any::<usize>().prop_map(Step::DropCharge),
        6 => (0_u64..400_000_000).prop_map(|nanos| Step::Wait(Duration::from_nanos(nanos))),
        1 => (0_u64..100_000).prop_map(|millis| Step::Wait(Duration::from_millis(millis))),
        1 => settings().prop_map(Step::Renew),
    ]
}

proptest! {
    #[test]
    fn the_budget_does_what_its_model_does(
        settings in settings(),
        steps in prop::collection::vec(step(), 1..300),
    ) {
        let mut pair = Pair::new(settings);
        for step in steps {
            pair.take(step)?;
        }
    }

    #[test]
    fn nothing_is_lost_once_all_reservations_are_dropped(
        settings in settings(),
        steps in prop::collection::vec((price(), any::<bool>(), 0_usize..10), 1..100),
    ) {
        let initial = settings.initial;
        let budget = Budget::new(settings);
        let mut held = Vec::new();
        let mut paid = Vec::new();
        for (price, charge, index) in steps {
            budget.on_call(Timestamp::ZERO);
            held.extend(budget.reserve(price, Timestamp::ZERO));
            if let Some(reservation) = pull(&mut held, index).filter(|_| charge) {
                paid.push(reservation.charge(Timestamp::ZERO));
            }
        }
        let made = paid.len() as u32;
        drop(held);
        paid.into_iter().for_each(Charge::refund);
        let level = budget.level(Timestamp::ZERO);
        prop_assert_eq!((level.tokens, level.extra), (initial, made));
    }
}
