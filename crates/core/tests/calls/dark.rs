//! Calls that find every breaker open: who waits, for how long, and what goes out meanwhile.

use std::sync::Arc;
use std::time::Duration;

use mainstay_core::breaker::{BreakerMode, BreakerSettings, Forced};
use mainstay_core::breaks::safety::Repetition;
use mainstay_core::call::GaveUp;
use mainstay_core::event::{AttemptId, Held, StopReason};
use mainstay_core::upstream::{EndpointId, EndpointSettings, Report, ScopeId};
use mainstay_core::{
    Action, Break, BreakKind, Call, CallPolicy, Certainty, Chance, Checked, Ctx, Event, Timestamp,
    Upstream, UpstreamSettings,
};

use super::story::facts;

/// Calls to an upstream with two endpoints, all of them under way at once.
struct Crowd {
    upstream: Arc<Upstream>,
    policy: Arc<Checked<CallPolicy>>,
    chance: Chance,
    now: Timestamp,
    calls: Vec<One>,
    /// What every attempt ends with, a millisecond after it began.
    ends: End,
    began: u64,
    attempts: u64,
    delivered: u64,
    gave_up: Vec<GaveUp>,
    events: Vec<Event>,
    most_waiting: u32,
    most_in_flight: u32,
}

struct One {
    call: Call,
    out: Option<Attempt>,
}

#[derive(Clone, Copy)]
struct Attempt {
    id: AttemptId,
    /// When there is news of it.
    at: Timestamp,
    cancelled: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum End {
    Well,
    Unavailable,
    Refused,
    Hung,
}

impl Crowd {
    fn new(breaker: BreakerSettings, seed: u64) -> Self {
        let settings = UpstreamSettings {
            endpoints: ["a", "b"]
                .map(|name| EndpointSettings { name: name.into(), tier: 0, weight: 1 })
                .into(),
            breaker,
            health: None,
            ejection: None,
            ..UpstreamSettings::default()
        };
        let (mut chance, now) = (Chance::from_seed(seed), Timestamp::from_millis(1_000));
        let upstream =
            Upstream::new(Checked::new(settings).expect("right settings"), now, &mut chance);
        let policy =
            CallPolicy { attempt_timeout: Duration::from_secs(1), ..CallPolicy::default() };
        Self {
            upstream,
            policy: Arc::new(Checked::new(policy).expect("a right policy")),
            chance,
            now,
            calls: Vec::new(),
            ends: End::Well,
            began: 0,
            attempts: 0,
            delivered: 0,
            gave_up: Vec::new(),
            events: Vec::new(),
            most_waiting: 0,
            most_in_flight: 0,
        }
    }

    /// Opens the breakers of both endpoints, as failing attempts would.
    fn darken(&mut self) {
        for endpoint in [EndpointId(0), EndpointId(1)] {
            for _ in 0..5 {
                let pick = self.upstream.pick_again(endpoint, ScopeId::default(), self.now);
                let mut permit = pick.expect("it is closed").permit;
                let _ = permit.report(Report::Broke, self.now, &mut self.chance);
            }
        }
    }

    fn begin(&mut self, repetition: Repetition) {
        let call = Call::new(Arc::clone(&self.policy), facts(repetition), self.now);
        self.began += 1;
        self.calls.push(One { call, out: None });
        let last = self.calls.len() - 1;
        self.tell(last, |call, ctx| call.on_start(ctx));
    }

    fn tell(&mut self, which: usize, news: impl FnOnce(&mut Call, &mut Ctx<'_>)) {
        let one = &mut self.calls[which];
        let mut ctx = Ctx { now: self.now, chance: &mut self.chance, upstream: &self.upstream };
        news(&mut one.call, &mut ctx);
        while let Some(action) = one.call.next_action() {
            match action {
                Action::Attempt { attempt: id, .. } => {
                    self.attempts += 1;
                    let in_a_moment = self.now + Duration::from_millis(1);
                    let at = if self.ends == End::Hung { Timestamp::MAX } else { in_a_moment };
                    one.out = Some(Attempt { id, at, cancelled: false });
                }
                Action::Cancel { attempt: id } => {
                    one.out = Some(Attempt { id, at: self.now, cancelled: true });
                }
                Action::Deliver { .. } => one.call.on_body_end(None, &mut ctx),
                Action::Fail(gave_up) => self.gave_up.push(gave_up),
                Action::Keep { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        while let Some(event) = one.call.next_event() {
            let is_good = matches!(event, Event::CallDelivered { as_is: false, .. });
            self.delivered += u64::from(is_good);
            self.events.push(event);
        }
        self.most_waiting = self.most_waiting.max(self.upstream.awaiting_breaker());
        let in_flight = self.upstream.view(self.now).iter().map(|it| it.in_flight).sum();
        self.most_in_flight = self.most_in_flight.max(in_flight);
    }

    /// When something happens next, and to which call.
    fn next(&self) -> Option<(Timestamp, usize)> {
        let due = |one: &One| {
            let news = one.out.map(|attempt| attempt.at);
            let deadline = one.call.next_deadline().map(|deadline| deadline.at);
            news.into_iter().chain(deadline).min().filter(|at| *at < Timestamp::MAX)
        };
        let all = self.calls.iter().enumerate();
        all.filter_map(|(which, one)| Some((due(one)?, which))).min()
    }

    /// Lets time pass until then.
    fn run_until(&mut self, until: Timestamp) {
        while let Some((at, which)) = self.next().filter(|(at, _)| *at <= until) {
            self.now = at.max(self.now);
            match self.calls[which].out.filter(|attempt| attempt.at <= self.now) {
                Some(attempt) => self.end(which, attempt),
                None => self.tell(which, |call, ctx| call.on_time(ctx)),
            }
            self.calls.retain(|one| !one.call.is_over());
        }
        self.calls.retain(|one| !one.call.is_over());
        self.now = until;
    }

    fn end(&mut self, which: usize, Attempt { id, cancelled, .. }: Attempt) {
        self.calls[which].out = None;
        let broke = |kind, certainty| Break::new(kind, certainty);
        match self.ends {
            _ if cancelled => {
                let late = broke(BreakKind::ResponseTimeout, Certainty::MaybeProcessed);
                self.tell(which, |call, ctx| call.on_break(id, late, ctx));
            }
            End::Well | End::Hung => {
                self.tell(which, |call, ctx| call.on_head(id, 200, None, ctx));
            }
            End::Unavailable => self.tell(which, |call, ctx| call.on_head(id, 503, None, ctx)),
            End::Refused => {
                let refused = broke(BreakKind::ConnectRefused, Certainty::NotSent);
                self.tell(which, |call, ctx| call.on_break(id, refused, ctx));
            }
        }
    }

    /// A call each 10 ms for so long.
    fn load(&mut self, repetition: Repetition, length: Duration) {
        let ends_at = self.now + length;
        while self.now < ends_at {
            self.begin(repetition);
            self.run_until(self.now + Duration::from_millis(10));
        }
    }

    /// Everything comes to its end.
    fn finish(&mut self) {
        self.run_until(self.now + Duration::from_secs(60));
        assert_eq!(self.calls.len(), 0, "each call ends");
        assert_eq!(self.upstream.awaiting_breaker(), 0, "each place is free again");
        let in_flight: u32 = self.upstream.view(self.now).iter().map(|it| it.in_flight).sum();
        assert_eq!(in_flight, 0, "each permit is back");
    }
}

fn quick() -> BreakerSettings {
    BreakerSettings { open_for: Duration::from_millis(500), ..BreakerSettings::default() }
}

#[test]
fn an_outage_shorter_than_the_wait_is_hardly_felt_and_hardly_met_with_requests() {
    for (seed, ends) in (0..20).zip([End::Unavailable, End::Refused].into_iter().cycle()) {
        let mut crowd = Crowd::new(quick(), seed);
        crowd.load(Repetition::Idempotent, Duration::from_secs(1));
        assert_eq!(crowd.delivered, 100);
        (crowd.ends, crowd.attempts) = (ends, 0);
        crowd.load(Repetition::Idempotent, Duration::from_millis(800));
        assert!(crowd.attempts <= 40, "{} attempts in the outage, seed {seed}", crowd.attempts);
        crowd.ends = End::Well;
        crowd.load(Repetition::Idempotent, Duration::from_secs(1));
        crowd.finish();
        let lost = crowd.began - crowd.delivered;
        assert!(lost <= 12, "{lost} of {} lost, seed {seed}", crowd.began);
    }
}

#[test]
fn writes_wait_before_they_are_sent_and_none_is_sent_twice() {
    let mut crowd = Crowd::new(quick(), 1);
    crowd.darken();
    for _ in 0..50 {
        crowd.begin(Repetition::Unsafe);
    }
    assert_eq!(crowd.attempts, 0);
    crowd.finish();
    assert_eq!((crowd.delivered, crowd.attempts), (50, 50));
    let waited = |event: &&Event| matches!(event, Event::BreakerAwaited { passed: true, .. });
    assert_eq!(crowd.events.iter().filter(waited).count(), 50);
}

#[test]
fn those_who_wait_are_let_through_as_probes_succeed_and_not_before() {
    for seed in 0..50 {
        let mut crowd = Crowd::new(quick(), seed);
        crowd.darken();
        (0..100).for_each(|_| crowd.begin(Repetition::Idempotent));
        assert_eq!(crowd.most_waiting, 100);
        let opened_at = crowd.now;
        // The first probe goes no sooner than half of a tenth of the open time, and alone.
        crowd.run_until(opened_at + Duration::from_millis(24));
        assert_eq!(crowd.attempts, 0, "seed {seed}");
        crowd.finish();
        assert_eq!(crowd.delivered, 100);
        // 1, 2, then all who ask: those who wait ask about twice a millisecond.
        assert!(crowd.most_in_flight <= 12, "{} at once, seed {seed}", crowd.most_in_flight);
    }
}

#[test]
fn a_call_that_nobody_lets_through_ends_in_time_with_the_truth() {
    let mut crowd = Crowd::new(BreakerSettings::default(), 3);
    crowd.darken();
    crowd.ends = End::Unavailable;
    (0..50).for_each(|_| crowd.begin(Repetition::Idempotent));
    crowd.run_until(crowd.now + Duration::from_millis(1_200));
    let refused: Vec<_> =
        crowd.gave_up.iter().filter(|it| it.kind == BreakKind::BreakerOpen).collect();
    assert!(refused.len() >= 40, "{} of 50", refused.len());
    for gave_up in refused {
        assert_eq!(
            (gave_up.stop, gave_up.certainty),
            (StopReason::BreakerOpen, Certainty::NotSent)
        );
        assert!(gave_up.retry_after.is_some());
    }
    let waits: Vec<Duration> = crowd
        .events
        .iter()
        .filter_map(|event| match event {
            Event::BreakerAwaited { waited, passed: false } => Some(*waited),
            _ => None,
        })
        .collect();
    // All of it at once, but for those who were let through in between, in vain.
    let all = waits.iter().filter(|waited| **waited == Duration::from_secs(1)).count();
    assert!(all >= 40 && waits.iter().all(|waited| *waited <= Duration::from_secs(1)), "{waits:?}");
    crowd.finish();
}

#[test]
fn no_more_wait_than_may() {
    let mut crowd = Crowd::new(BreakerSettings { wait_limit: 16, ..quick() }, 1);
    crowd.darken();
    (0..100).for_each(|_| crowd.begin(Repetition::Idempotent));
    // The highest priority would have four places more.
    assert_eq!((crowd.most_waiting, crowd.gave_up.len()), (12, 88));
    crowd.finish();
    assert_eq!(crowd.delivered, 12);
}

#[test]
fn a_call_that_is_dropped_leaves_its_place() {
    let mut crowd = Crowd::new(quick(), 1);
    crowd.darken();
    (0..10).for_each(|_| crowd.begin(Repetition::Idempotent));
    assert_eq!(crowd.upstream.awaiting_breaker(), 10);
    crowd.calls.drain(..5);
    assert_eq!(crowd.upstream.awaiting_breaker(), 5);
    crowd.tell(0, |call, ctx| call.on_cancel(ctx));
    assert_eq!(crowd.upstream.awaiting_breaker(), 4);
    crowd.calls.remove(0);
    crowd.finish();
    assert_eq!(crowd.delivered, 4);
}

#[test]
fn nobody_waits_where_it_is_switched_off_ordered_or_only_retries_are_stopped() {
    let never = BreakerSettings { wait_for: Duration::ZERO, ..quick() };
    let mut crowd = Crowd::new(never, 1);
    crowd.darken();
    crowd.begin(Repetition::Idempotent);
    assert_eq!(crowd.gave_up.len(), 1);
    // Nor does anything go before its time.
    crowd.load(Repetition::Idempotent, Duration::from_millis(240));
    assert_eq!((crowd.attempts, crowd.gave_up.len()), (0, 25));

    let mut crowd = Crowd::new(quick(), 1);
    for endpoint in [EndpointId(0), EndpointId(1)] {
        let _ = crowd.upstream.force(endpoint, Forced::Open, crowd.now);
    }
    crowd.begin(Repetition::Idempotent);
    assert_eq!(crowd.gave_up.len(), 1);

    let mut crowd = Crowd::new(BreakerSettings { mode: BreakerMode::StopRetries, ..quick() }, 1);
    crowd.darken();
    crowd.ends = End::Unavailable;
    crowd.begin(Repetition::Idempotent);
    crowd.finish();
    assert_eq!(crowd.attempts, 1);
    assert!(!crowd.events.contains(&Event::AttemptHeld { by: Held::Breaker }));
}

#[test]
fn an_outage_that_lasts_is_met_with_few_requests_and_quick_refusals() {
    let mut crowd = Crowd::new(BreakerSettings::default(), 5);
    crowd.ends = End::Unavailable;
    crowd.load(Repetition::Idempotent, Duration::from_secs(12));
    crowd.attempts = 0;
    let refused = crowd.gave_up.len();
    crowd.load(Repetition::Idempotent, Duration::from_secs(30));
    assert!(crowd.attempts <= 16, "{} attempts in half a minute", crowd.attempts);
    assert!(crowd.attempts >= 6, "{} attempts in half a minute", crowd.attempts);
    assert!(crowd.gave_up.len() >= refused + 2_950, "they aren't kept waiting");
    assert!(crowd.upstream.awaiting_breaker() <= 2);
    crowd.finish();
}

#[test]
fn probes_that_hang_hold_no_others_up() {
    let mut crowd = Crowd::new(quick(), 2);
    crowd.darken();
    crowd.ends = End::Hung;
    crowd.load(Repetition::Idempotent, Duration::from_millis(700));
    let hanging = crowd.attempts;
    assert!((3..=7).contains(&hanging), "{hanging}");
    // What hangs goes on hanging; what begins from now on is well.
    crowd.ends = End::Well;
    crowd.run_until(crowd.now + Duration::from_millis(300));
    assert!(crowd.delivered >= 60, "{} of 70", crowd.delivered);
    crowd.finish();
}
