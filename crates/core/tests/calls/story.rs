//! One call as a dialogue: news in, and what the machine wants done.
//!
//! Three endpoints in three tiers, so that each pick is known: a, then b, then c.

use std::sync::Arc;
use std::time::Duration;

use mainstay_core::breaks::grpc::{GrpcOutcome, Pushback};
use mainstay_core::breaks::safety::Repetition;
use mainstay_core::budget::BudgetSettings;
use mainstay_core::call::{Connection, GaveUp};
use mainstay_core::event::{AttemptId, StopReason};
use mainstay_core::line::Priority;
use mainstay_core::retry::{BackoffSettings, Jitter, RetrySettings};
use mainstay_core::upstream::{EndpointSettings, LoadSettings};
use mainstay_core::{
    Action, Break, BreakKind, Call, CallFacts, CallPolicy, Certainty, Chance, Checked, Ctx, Event,
    Timestamp, Upstream, UpstreamSettings,
};

pub(super) struct Story {
    pub(super) upstream: Arc<Upstream>,
    pub(super) call: Call,
    pub(super) chance: Chance,
    pub(super) now: Timestamp,
    pub(super) events: Vec<Event>,
    pub(super) policy: Arc<Checked<CallPolicy>>,
    pub(super) facts: CallFacts,
}

impl Story {
    pub(super) fn of(
        endpoints: &[&str],
        facts: CallFacts,
        policy: CallPolicy,
        budget: BudgetSettings,
    ) -> Self {
        Self::under(endpoints, facts, policy, budget, LoadSettings::default())
    }

    /// The same, with limits.
    pub(super) fn under(
        endpoints: &[&str],
        facts: CallFacts,
        policy: CallPolicy,
        budget: BudgetSettings,
        load: LoadSettings,
    ) -> Self {
        let settings = UpstreamSettings {
            endpoints: endpoints
                .iter()
                .enumerate()
                .map(|(tier, name)| EndpointSettings {
                    name: (*name).into(),
                    tier: tier as u8,
                    weight: 1,
                })
                .collect(),
            budget,
            load,
            health: None,
            ..UpstreamSettings::default()
        };
        let (mut chance, now) = (Chance::from_seed(1), Timestamp::from_millis(1_000));
        let upstream =
            Upstream::new(Checked::new(settings).expect("right settings"), now, &mut chance);
        let policy = Arc::new(Checked::new(policy).expect("a right policy"));
        let call = Call::new(Arc::clone(&policy), facts, now);
        Self { upstream, call, chance, now, events: Vec::new(), policy, facts }
    }

    pub(super) fn read() -> Self {
        Self::of(
            &["a", "b", "c"],
            facts(Repetition::Idempotent),
            policy(),
            BudgetSettings::default(),
        )
    }

    pub(super) fn write() -> Self {
        Self::of(&["a", "b", "c"], facts(Repetition::Unsafe), policy(), BudgetSettings::default())
    }

    pub(super) fn tell(&mut self, news: impl FnOnce(&mut Call, &mut Ctx<'_>)) -> String {
        let mut ctx = Ctx { now: self.now, chance: &mut self.chance, upstream: &self.upstream };
        news(&mut self.call, &mut ctx);
        while let Some(event) = self.call.next_event() {
            self.events.push(event);
        }
        let mut said = Vec::new();
        while let Some(action) = self.call.next_action() {
            said.push(show(&action, &self.upstream));
        }
        said.join(", ")
    }

    /// Another call under the same policy to the same upstream.
    pub(super) fn again(&self) -> Call {
        Call::new(Arc::clone(&self.policy), self.facts, self.now)
    }

    pub(super) fn start(&mut self) -> String {
        self.tell(|call, ctx| call.on_start(ctx))
    }

    pub(super) fn breaks(&mut self, attempt: u16, kind: BreakKind, certainty: Certainty) -> String {
        self.tell(|call, ctx| call.on_break(AttemptId(attempt), Break::new(kind, certainty), ctx))
    }

    pub(super) fn answers(&mut self, attempt: u16, status: u16) -> String {
        self.tell(|call, ctx| call.on_head(AttemptId(attempt), status, None, ctx))
    }

    pub(super) fn answers_with_hint(&mut self, attempt: u16, status: u16, seconds: u64) -> String {
        let hint = Some(Duration::from_secs(seconds));
        self.tell(|call, ctx| call.on_head(AttemptId(attempt), status, hint, ctx))
    }

    pub(super) fn ends_as_grpc(&mut self, attempt: u16, code: u8, pushback: Pushback) -> String {
        let outcome = GrpcOutcome { code, pushback };
        self.tell(|call, ctx| call.on_grpc_outcome(AttemptId(attempt), outcome, ctx))
    }

    /// Goes to the machine's own deadline.
    pub(super) fn wait(&mut self) -> String {
        self.now = self.call.next_deadline().expect("a deadline").at;
        self.tell(|call, ctx| call.on_time(ctx))
    }

    pub(super) fn waited_for(&self) -> Duration {
        self.call.next_deadline().expect("a deadline").at.since(self.now)
    }

    pub(super) fn in_flight(&self) -> u32 {
        self.upstream.view(self.now).iter().map(|endpoint| endpoint.in_flight).sum()
    }

    pub(super) fn stopped_by(&self) -> Option<StopReason> {
        self.events.iter().find_map(|event| match event {
            Event::RetryRefused { reason } => Some(*reason),
            _ => None,
        })
    }
}

pub(super) fn facts(repetition: Repetition) -> CallFacts {
    CallFacts { repetition, ..CallFacts::of("GET", false, &CallPolicy::default()) }
}

/// The defaults, with waits of exactly 100, 200, ... ms.
pub(super) fn policy() -> CallPolicy {
    let backoff = BackoffSettings {
        base: Duration::from_millis(100),
        jitter: Jitter::None,
        ..BackoffSettings::default()
    };
    CallPolicy {
        retry: RetrySettings { backoff, ..RetrySettings::default() },
        ..CallPolicy::default()
    }
}

pub(super) fn show(action: &Action, upstream: &Upstream) -> String {
    match action {
        Action::Attempt { attempt, endpoint, connection } => {
            let fresh =
                if *connection == Connection::Fresh { " over a fresh connection" } else { "" };
            format!("attempt {} at {}{fresh}", attempt.0, upstream.endpoint_name(*endpoint))
        }
        Action::Line(entry) if entry.priority == Priority::NORMAL => "line up normal".into(),
        Action::Line(entry) => format!("line up {}", entry.priority.number()),
        Action::Cancel { attempt } => format!("cancel {}", attempt.0),
        Action::Keep { attempt } => format!("keep {}", attempt.0),
        Action::Deliver { attempt } => format!("deliver {}", attempt.0),
        Action::Commit { attempt } => format!("commit {}", attempt.0),
        Action::Continue { attempt } => format!("continue with {}", attempt.0),
        Action::Cut(kind) => format!("cut {}", kind.code()),
        Action::Fail(GaveUp { kind, certainty, stop, .. }) => {
            format!("fail {} {} {}", kind.code(), certainty.code(), stop.code())
        }
    }
}
