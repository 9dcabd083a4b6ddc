//! Incidents through the recorder, as the client and the proxy tell of what happens.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use mainstay_core::event::{AttemptId, AttemptReason, OpenCause, Saved};
use mainstay_core::{Break, BreakKind, Certainty, EndpointId, Event, Timestamp};

use crate::history::{EndpointLook, EndpointState};
use crate::{
    CallId, CallTag, CallTrace, Incident, IncidentFilter, IncidentMoment, Recorder,
    RecorderOptions, UpstreamRecorder,
};

const A: EndpointId = EndpointId(0);
const B: EndpointId = EndpointId(1);

thread_local! {
    /// What the wall clock shows.
    static WALL: Cell<u64> = const { Cell::new(1_000_000) };
}

struct World {
    recorder: Arc<Recorder>,
    api: Arc<UpstreamRecorder>,
    calls: u64,
    now: Timestamp,
}

/// How a call ends after its break.
#[derive(Clone, Copy)]
enum End {
    FailedOver,
    Failed,
    Left,
}

impl World {
    fn new() -> Self {
        let options = RecorderOptions { unix_millis: || WALL.get(), ..RecorderOptions::default() };
        let recorder = Recorder::with(options);
        recorder.set_incidents(Default::default(), false);
        let api = recorder.upstream("api", &["a", "b"]);
        Self { recorder, api, calls: 0, now: Timestamp::from_millis(10_000) }
    }

    /// A call that breaks at `endpoint` and ends so.
    fn call(&mut self, endpoint: EndpointId, kind: BreakKind, end: End) -> CallId {
        self.call_at(&[endpoint], kind, end)
    }

    /// A call that breaks at one after the other and ends so.
    fn call_at(&mut self, endpoints: &[EndpointId], kind: BreakKind, end: End) -> CallId {
        self.calls += 1;
        let id = CallId::next(self.calls);
        let mut trace = CallTrace::of(id);
        let what = Break::new(kind, Certainty::NotSent);
        let took = Duration::from_millis(1);
        let certainty = Certainty::NotSent;
        let failed = |kind| Event::CallFailed { kind, certainty, attempts: 1, took };
        let mut events = vec![Event::CallStarted];
        for (attempt, endpoint) in (1..).map(AttemptId).zip(endpoints.iter().copied()) {
            let reason = AttemptReason::First;
            events.push(Event::AttemptStarted { attempt, endpoint, reason });
            events.push(Event::AttemptFailed { attempt, endpoint, what, took });
        }
        events.push(match end {
            End::FailedOver => {
                let saved = Saved::ByFailover;
                Event::CallDelivered { status: 200, attempts: 2, saved, took, as_is: false }
            }
            End::Failed => failed(kind),
            End::Left => failed(BreakKind::ClientGone),
        });
        for event in events {
            self.api.on_call_event(&mut trace, self.now, event);
        }
        self.over(id, trace);
        id
    }

    /// A call that is sent nowhere.
    fn refused(&mut self) {
        self.calls += 1;
        let (id, took) = (CallId::next(self.calls), Duration::ZERO);
        let mut trace = CallTrace::of(id);
        let (kind, certainty) = (BreakKind::BreakerOpen, Certainty::NotSent);
        self.api.on_call_event(&mut trace, self.now, Event::CallStarted);
        let failed = Event::CallFailed { kind, certainty, attempts: 0, took };
        self.api.on_call_event(&mut trace, self.now, failed);
        self.over(id, trace);
    }

    fn over(&self, id: CallId, trace: CallTrace) {
        let tag = CallTag {
            id,
            route: "api".into(),
            method: http::Method::GET,
            path: "/".into(),
            request: None,
        };
        self.api.on_call_over(&tag, trace);
    }

    fn wait(&mut self, millis: u64) {
        self.now = self.now + Duration::from_millis(millis);
    }

    /// A second's look: both endpoints stand so.
    fn look(&self, a: EndpointState) {
        let looks =
            [a, EndpointState::Up].map(|state| EndpointLook { state, ..EndpointLook::default() });
        self.api.look(self.now, 1.0, &looks, false);
    }

    fn incidents(&self) -> Vec<Incident> {
        self.recorder.incidents(&IncidentFilter::default(), self.now)
    }
}

#[test]
fn an_incident_counts_each_break_and_each_call_that_met_it_the_first_ones_too() {
    let mut world = World::new();
    let first = world.call(A, BreakKind::ConnectRefused, End::FailedOver);
    for _ in 0..3 {
        world.wait(100);
        world.call(A, BreakKind::ConnectRefused, End::FailedOver);
    }
    assert_eq!(world.incidents(), []);
    for _ in 0..10 {
        world.wait(100);
        world.call(A, BreakKind::ConnectRefused, End::FailedOver);
    }
    world.call(A, BreakKind::ConnectRefused, End::Failed);
    world.call(A, BreakKind::ConnectRefused, End::Left);
    let [incident] = &world.incidents()[..] else { panic!("{:?}", world.incidents()) };
    let calls = incident.calls;
    assert_eq!(
        (incident.breaks, calls.met, calls.saved, calls.failed, calls.left),
        (16, 16, 14, 1, 1)
    );
    assert_eq!((incident.saved_by.failover, &*incident.cause), (14, "connect-refused"));
    assert_eq!(incident.first.call, Some(first.to_string()));
    assert_eq!(incident.first.certainty.as_deref(), Some("not-sent"));
    assert_eq!(
        incident.summary,
        "api: endpoint a broke with connect-refused; 16 calls met it, 14 saved (14 by failover), 1 failed, 1 left"
    );
    // Told among the changes, too.
    let began = world.recorder.changes_after(0).0;
    assert_eq!(
        (&*began[0].item.event, began[0].item.what.as_deref()),
        ("incident-began", Some("i1"))
    );
    assert_eq!(world.recorder.counts().upstreams[0].incidents["connect-refused"], 1);
}

#[test]
fn it_goes_on_while_the_endpoint_is_out_and_ends_with_its_reason() {
    let mut world = World::new();
    world.call(A, BreakKind::ResetBeforeHead, End::FailedOver);
    let cause = OpenCause::Consecutive;
    let opened = Event::BreakerOpened { endpoint: A, cause, open_for: Duration::from_secs(1) };
    world.api.on_upstream_event(world.now, opened);
    assert_eq!(world.incidents()[0].began_by, "breaker-opened");
    for _ in 0..300 {
        world.wait(1000);
        world.look(EndpointState::Open);
    }
    world.api.on_upstream_event(world.now, Event::BreakerClosed { endpoint: A });
    for _ in 0..5 {
        assert_eq!(world.incidents()[0].state, "open");
        world.wait(1000);
        world.look(EndpointState::Up);
    }
    let ended = &world.incidents()[0];
    assert_eq!((&*ended.state, ended.ended_by.as_deref()), ("ended", Some("breaker-closed")));
    assert_eq!((ended.lasted_ms, ended.ended_unix_ms), (300_000.0, Some(1_300_000)));
    // A lone break after it is none, and one that came before its end still counts to it.
    world.call(A, BreakKind::ResetBeforeHead, End::FailedOver);
    assert_eq!((world.incidents().len(), world.incidents()[0].calls.met), (1, 1));
}

#[test]
fn answers_without_a_break_end_it() {
    let mut world = World::new();
    (0..5).for_each(|_| {
        world.call(A, BreakKind::ServerError, End::FailedOver);
    });
    for _ in 0..7 {
        world.wait(1000);
        world.look(EndpointState::Up);
        let mut trace = CallTrace::default();
        for attempt in 1..=30 {
            let (attempt, took) = (AttemptId(attempt), Duration::from_millis(1));
            let answered = Event::AttemptSucceeded { attempt, endpoint: A, status: 200, took };
            world.api.on_call_event(&mut trace, world.now, answered);
        }
    }
    assert_eq!(world.incidents()[0].ended_by.as_deref(), Some("answers"));
}

#[test]
fn each_cause_at_each_endpoint_is_one_and_those_of_a_cause_are_a_group() {
    let mut world = World::new();
    for _ in 0..5 {
        world.call(A, BreakKind::ConnectRefused, End::FailedOver);
        world.call(B, BreakKind::ConnectRefused, End::Failed);
        world.call(B, BreakKind::ServerError, End::Failed);
        world.refused();
    }
    let all = world.incidents();
    let told: Vec<_> = all
        .iter()
        .rev()
        .map(|one| (&*one.id, &*one.group, one.endpoint.as_deref(), &*one.cause))
        .collect();
    assert_eq!(
        told,
        [
            ("i1", "i1", Some("a"), "connect-refused"),
            ("i2", "i1", Some("b"), "connect-refused"),
            ("i3", "i3", Some("b"), "server-error"),
            ("i4", "i4", None, "breaker-open"),
        ]
    );
    assert_eq!((all[0].calls.met, all[0].calls.failed), (5, 5));
    let (_, others) = world.recorder.incident("i1", world.now).unwrap();
    assert_eq!(others.iter().map(|one| &*one.id).collect::<Vec<_>>(), ["i2"]);
    assert!(world.recorder.incident("i9", world.now).is_none());
    // The upstream leaves the settings.
    world.recorder.incidents_only(&[], world.now);
    assert!(world.incidents().iter().all(|one| one.ended_by.as_deref() == Some("removed")));
}

#[test]
fn a_call_that_met_a_cause_at_several_endpoints_counts_once_in_their_group() {
    let mut world = World::new();
    let group = |world: &World| {
        let all = world.incidents();
        assert!(all.iter().all(|one| one.group_calls == all[0].group_calls), "{all:?}");
        (all.len(), all.iter().map(|one| one.calls.met).sum::<u64>(), all[0].group_calls)
    };
    // Before either is an incident, then while only one is, then while both are.
    for _ in 0..4 {
        world.call_at(&[A, B], BreakKind::ConnectRefused, End::Failed);
    }
    world.call_at(&[A], BreakKind::ConnectRefused, End::FailedOver);
    let calls =
        |saved, failed| crate::IncidentCalls { met: saved + failed, saved, failed, left: 0 };
    assert_eq!(group(&world), (1, 5, calls(1, 4)));
    for _ in 0..3 {
        world.call_at(&[A, B], BreakKind::ConnectRefused, End::Failed);
    }
    assert_eq!(group(&world), (2, 15, calls(1, 7)));
    assert_eq!(world.incidents()[0].group_saved_by.failover, 1);
    // Another cause is another group.
    (0..5).for_each(|_| {
        world.call(A, BreakKind::ServerError, End::Failed);
    });
    assert_eq!(world.incidents()[0].group_calls, calls(0, 5));
}

#[test]
fn one_that_is_well_again_says_so_until_it_is_over_or_breaks_anew() {
    let mut world = World::new();
    world.call(A, BreakKind::ResetBeforeHead, End::FailedOver);
    let (cause, open_for) = (OpenCause::Consecutive, Duration::from_secs(1));
    let opened = Event::BreakerOpened { endpoint: A, cause, open_for };
    world.api.on_upstream_event(world.now, opened);
    let well = |world: &World| {
        let one = &world.incidents()[0];
        (one.well_since_unix_ms, one.well_by.clone())
    };
    assert_eq!(well(&world), (None, None));
    world.wait(2000);
    let (_, version) = world.recorder.incidents_after(0, world.now);
    world.api.on_upstream_event(world.now, Event::BreakerClosed { endpoint: A });
    assert_eq!(well(&world), (Some(1_002_000), Some("breaker-closed".into())));
    assert_eq!(world.recorder.incidents_after(version, world.now).0.len(), 1, "it is told");
    world.call(A, BreakKind::ResetBeforeHead, End::FailedOver);
    assert_eq!(well(&world), (None, None));
    world.api.on_upstream_event(world.now, Event::BreakerClosed { endpoint: A });
    world.wait(6000);
    world.look(EndpointState::Up);
    assert_eq!((world.incidents()[0].ended_unix_ms, well(&world)), (Some(1_002_000), (None, None)));
}

#[test]
fn it_is_known_how_it_stood_at_a_moment() {
    let mut world = World::new();
    (0..5).for_each(|_| {
        world.call(A, BreakKind::ServerError, End::Failed);
    });
    world.look(EndpointState::Up);
    world.wait(1000);
    (0..2).for_each(|_| {
        world.call(A, BreakKind::ServerError, End::FailedOver);
    });
    world.look(EndpointState::Up);
    let past = IncidentFilter::of([("past", "true")]).unwrap();
    let past = &world.recorder.incidents(&past, world.now)[0].past;
    let shown: Vec<_> =
        past.iter().map(|it| (it.at_unix_ms, it.calls.met, it.calls.saved)).collect();
    assert_eq!(shown, [(1_000_000, 5, 0), (1_001_000, 7, 2)]);
    assert!(world.incidents()[0].past.is_empty());
}

#[test]
fn its_begin_and_end_are_told_with_its_own_times() {
    let mut world = World::new();
    for _ in 0..5 {
        world.call(A, BreakKind::ServerError, End::Failed);
        world.wait(1000);
    }
    world.wait(61_000);
    world.look(EndpointState::Up);
    let one = &world.incidents()[0];
    let (changes, _) = world.recorder.changes_after(0);
    let told: Vec<_> = changes.iter().map(|it| (&*it.item.event, it.item.at_unix_ms)).collect();
    let ended = one.ended_unix_ms.unwrap();
    assert_eq!(told, [("incident-began", one.began_unix_ms), ("incident-ended", ended)]);
    // Four seconds before the fifth break, with which it was known to be one.
    assert_eq!((one.began_unix_ms, changes[0].item.noticed_unix_ms), (996_000, Some(1_000_000)));
}

#[test]
fn what_the_application_is_to_blame_for_is_no_incident() {
    let mut world = World::new();
    for _ in 0..20 {
        world.call(A, BreakKind::ClientGone, End::Left);
    }
    assert_eq!(world.incidents(), []);
}

#[test]
fn a_reader_asks_for_what_has_changed() {
    let mut world = World::new();
    (0..5).for_each(|_| {
        world.call(A, BreakKind::ServerError, End::Failed);
    });
    let (changed, version) = world.recorder.incidents_after(0, world.now);
    assert_eq!(changed.len(), 1);
    assert_eq!(world.recorder.incidents_after(version, world.now).0, []);
    world.call(A, BreakKind::ServerError, End::Failed);
    let (changed, later) = world.recorder.incidents_after(version, world.now);
    assert!(changed[0].calls.met == 6 && later > version);
}

#[test]
fn how_a_group_stood_at_a_moment_is_told_by_its_first() {
    let mut world = World::new();
    let past = IncidentFilter::of([("past", "true")]).unwrap();
    let shown = |world: &World| {
        let mut all = world.recorder.incidents(&past, world.now);
        all.sort_by(|left, right| left.id.cmp(&right.id));
        let met = |moments: &[IncidentMoment]| {
            moments.iter().map(|it| (it.at_unix_ms, it.calls.met)).collect::<Vec<_>>()
        };
        all.iter().map(|one| met(&one.group_past)).collect::<Vec<_>>()
    };
    (0..5).for_each(|_| {
        world.call(A, BreakKind::ConnectRefused, End::Failed);
    });
    world.look(EndpointState::Up);
    assert_eq!(shown(&world), [[]], "of one they are its own");
    (0..5).for_each(|_| {
        world.call_at(&[A, B], BreakKind::ConnectRefused, End::Failed);
    });
    world.wait(1000);
    world.look(EndpointState::Up);
    world.wait(1000);
    world.call_at(&[A, B], BreakKind::ConnectRefused, End::Failed);
    world.look(EndpointState::Up);
    assert_eq!(shown(&world), [vec![(1_001_000, 10), (1_002_000, 11)], vec![]]);
}

#[test]
fn its_calls_are_those_that_were_counted_however_late_the_wall_clock_was_read() {
    let mut world = World::new();
    (0..5).for_each(|number| {
        // Somebody else had the processor between the two clocks.
        WALL.set(1_000_000 + number * 500);
        world.call(A, BreakKind::ServerError, End::Failed);
    });
    let incident = &world.incidents()[0];
    assert_eq!((incident.began_unix_ms, incident.calls.met), (1_002_000, 5));
    assert_eq!(world.recorder.calls_of(incident, 9).len(), 5);
}
