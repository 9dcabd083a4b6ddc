//! Limits in front of a simulated endpoint: some workers, a queue that they share, and callers that want as much as they get.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use mainstay_core::limit::{AdaptiveSettings, GradientRule, Limit, LimitRule, LimitSettings};
use mainstay_core::{Chance, Timestamp};

/// Callers, a limit, and an endpoint whose workers serve one call after the other.
struct World {
    limit: Limit,
    chance: Chance,
    now: Timestamp,
    /// Calls that the callers would have in flight if the limit let them.
    demand: u32,
    /// When each worker is free.
    workers: BinaryHeap<Reverse<Timestamp>>,
    /// What a call takes; half of it up or down by chance.
    service: Duration,
    /// Calls beyond which it refuses.
    room: u32,
    in_flight: u32,
    /// Those of them that it has let in.
    let_in: u32,
    /// Ends of calls: when, when it began, whether it was refused.
    ends: BinaryHeap<Reverse<(Timestamp, Timestamp, bool)>>,
}

/// What came of a stretch of time.
#[derive(Debug, Default)]
struct Outcome {
    answered: u32,
    refused: u32,
    took: Duration,
}

impl World {
    fn new(rule: LimitRule, workers: u32) -> Self {
        let mut world = Self {
            limit: Limit::new(LimitSettings::Adaptive(AdaptiveSettings {
                rule,
                ..AdaptiveSettings::default()
            })),
            chance: Chance::from_seed(7),
            now: Timestamp::ZERO,
            demand: u32::MAX,
            workers: BinaryHeap::new(),
            service: Duration::from_millis(100),
            room: u32::MAX,
            in_flight: 0,
            let_in: 0,
            ends: BinaryHeap::new(),
        };
        world.employ(workers);
        world
    }

    fn gradient(workers: u32) -> Self {
        Self::new(LimitRule::Gradient(GradientRule::default()), workers)
    }

    /// An endpoint that refuses what it would have to let wait longer than ten calls do.
    fn aimd(workers: u32) -> Self {
        Self { room: workers + 10, ..Self::new(LimitRule::default(), workers) }
    }

    /// Changes the number of workers.
    fn employ(&mut self, workers: u32) {
        while self.workers.len() > workers as usize {
            self.workers.pop();
        }
        while self.workers.len() < workers as usize {
            self.workers.push(Reverse(self.now));
        }
    }

    fn send(&mut self) {
        self.in_flight += 1;
        let end = if self.let_in >= self.room {
            (self.now + Duration::from_millis(20), self.now, true)
        } else {
            self.let_in += 1;
            let free = self.workers.pop().expect("there is a worker").0;
            let service = self.service / 2 + self.chance.up_to(self.service);
            let end = self.now.max(free) + service;
            self.workers.push(Reverse(end));
            (end, self.now, false)
        };
        self.ends.push(Reverse(end));
    }

    fn run(&mut self, seconds: u64) -> Outcome {
        let until = self.now + Duration::from_secs(seconds);
        let (mut outcome, mut took_all) = (Outcome::default(), Duration::ZERO);
        loop {
            while self.in_flight < self.limit.current().min(self.demand) {
                self.send();
            }
            if self.ends.peek().is_none_or(|end| end.0.0 > until) {
                self.now = until;
                outcome.took = took_all / outcome.answered.max(1);
                return outcome;
            }
            let Some(Reverse((end, began, refused))) = self.ends.pop() else { continue };
            self.now = end;
            if refused {
                outcome.refused += 1;
                let _ = self.limit.on_drop(self.in_flight, end);
            } else {
                self.let_in -= 1;
                outcome.answered += 1;
                took_all += end.since(began);
                let _ = self.limit.on_answer(end.since(began), self.in_flight, end);
            }
            self.in_flight -= 1;
        }
    }

    #[track_caller]
    fn check_limit(&self, expected: std::ops::RangeInclusive<u32>) {
        let current = self.limit.current();
        assert!(expected.contains(&current), "{current} is not in {expected:?}");
    }
}

#[test]
fn gradient_finds_the_capacity_and_keeps_to_it_under_hours_of_load() {
    let mut world = World::gradient(50);
    world.run(240);
    for _hour in 0..3 {
        let outcome = world.run(3600);
        world.check_limit(50..=95);
        // 50 workers at 100 ms answer 500 a second.
        assert!(outcome.answered > 490 * 3600, "{outcome:?}");
        assert!(outcome.took < Duration::from_millis(185), "{outcome:?}");
    }
}

#[test]
fn gradient_learns_that_it_started_too_high() {
    let mut world = World::gradient(4);
    world.run(900);
    world.check_limit(4..=15);
    let outcome = world.run(60);
    assert!(outcome.took < Duration::from_millis(400), "{outcome:?}");
}

#[test]
fn gradient_falls_when_the_endpoint_loses_half_of_its_workers_and_comes_back_with_them() {
    let mut world = World::gradient(60);
    world.run(300);
    world.check_limit(60..=115);
    world.employ(30);
    world.run(120);
    world.check_limit(30..=55);
    world.employ(60);
    world.run(120);
    world.check_limit(60..=115);
}

#[test]
fn gradient_recovers_from_a_latency_that_rises_for_good_and_falls_again() {
    let mut world = World::gradient(50);
    world.run(300);
    world.service = Duration::from_millis(400);
    world.run(60);
    world.check_limit(4..=50);
    world.run(180);
    world.check_limit(50..=110);
    let outcome = world.run(60);
    assert!(outcome.answered > 120 * 60, "{outcome:?}");

    world.service = Duration::from_millis(100);
    world.run(600);
    world.check_limit(50..=95);
}

#[test]
fn neither_rule_grows_while_less_than_half_of_the_limit_is_used() {
    for mut world in [World::gradient(50), World::aimd(50)] {
        world.demand = 9;
        world.run(600);
        world.check_limit(20..=20);
        world.demand = 10;
        world.run(60);
        world.check_limit(20..=21);
    }
}

#[test]
fn aimd_finds_the_room_that_the_endpoint_has() {
    let mut world = World::aimd(50);
    world.run(60);
    for _minute in 0..30 {
        let outcome = world.run(60);
        world.check_limit(53..=62);
        assert!(outcome.answered > 485 * 60, "{outcome:?}");
        assert!(outcome.refused < outcome.answered / 50, "{outcome:?}");
    }
}

#[test]
fn aimd_falls_to_its_bound_in_an_outage_and_comes_back() {
    let mut world = World::aimd(50);
    world.run(120);
    let room = std::mem::replace(&mut world.room, 0);
    world.run(60);
    world.check_limit(4..=4);
    world.room = room;
    world.run(70);
    world.check_limit(53..=62);
}
