//! Counts: what they say after which events, and that none is lost between threads and reloads.

mod common;

use std::collections::BTreeSet;

use common::*;
use mainstay_core::event::{AttemptReason, Saved};
use mainstay_core::{BreakKind, EndpointId, Event};
use mainstay_record::{CallCounts, CallTrace, Recorder};

#[test]
fn each_call_is_counted_once_by_how_it_ended() {
    let recorder = recorder();
    let api = api(&recorder);
    tell(&api, &healthy());
    tell(&api, &failed_over());
    tell(&api, &given_up());
    tell(&api, &[(0, Event::CallStarted), (9, delivered(1, Saved::NotNeeded, true, 9))]);
    let mut running = CallTrace::default();
    api.on_call_event(&mut running, at(0), Event::CallStarted);

    let counts = recorder.counts();
    let expected = CallCounts {
        started: 5,
        delivered: 3,
        as_is: 1,
        failed: 1,
        in_progress: 1,
        saved_by_retry: 0,
        saved_by_failover: 1,
        saved_by_hedge: 0,
        healed: 0,
        cut: 0,
        attempts: 4,
        records: 4,
        broken: 2,
    };
    assert_eq!(counts.calls, expected);
    let api = counts.upstream("api").unwrap();
    assert_eq!(api.calls, expected);
    assert_eq!(api.failures["reset-before-head"], 1);
    assert_eq!(api.certainties["maybe-processed"], 1);
    assert_eq!(api.retries_refused["outcome-unknown"], 1);
    assert_eq!(api.retries_scheduled["backoff"], 1);
    assert_eq!(api.bodies_unrepeatable, 1);
    let [a, b] = api.endpoints.as_slice() else { panic!("{:?}", api.endpoints) };
    assert_eq!((a.attempts, a.answered, a.broke, a.failovers), (3, 1, 2, 0));
    assert_eq!((b.attempts, b.answered, b.broke, b.failovers), (1, 1, 0, 1));
    assert_eq!(a.breaks["response-timeout"], 1);
    assert_eq!(a.breaker_opens["consecutive-failures"], 1);
    assert_eq!(counts.breaks().values().sum::<u64>(), 2);
}

#[test]
fn counts_can_be_sent_as_json_and_read_back() {
    let recorder = recorder();
    tell(&api(&recorder), &everything());
    let counts = recorder.counts();
    let json = serde_json::to_string(&counts).unwrap();
    assert_eq!(serde_json::from_str::<mainstay_record::Counts>(&json).unwrap(), counts);
}

#[test]
fn nothing_is_lost_between_threads_and_started_is_always_the_sum_of_the_rest() {
    const THREADS: u64 = 12;
    const CALLS: u64 = 2_000;
    let recorder = recorder();
    let api = api(&recorder);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..CALLS / 4 {
                    tell(&api, &healthy());
                    tell(&api, &healthy());
                    tell(&api, &failed_over());
                    tell(&api, &given_up());
                }
            });
        }
        for _ in 0..200 {
            let calls = recorder.counts().calls;
            assert_eq!(calls.started, calls.delivered + calls.failed + calls.in_progress);
        }
    });
    let counts = recorder.counts();
    let all = THREADS * CALLS;
    let expected = CallCounts {
        started: all,
        delivered: all / 4 * 3,
        failed: all / 4,
        saved_by_failover: all / 4,
        attempts: all / 4 * 5,
        records: all,
        broken: all / 2,
        ..CallCounts::default()
    };
    assert_eq!(counts.calls, expected);
    let endpoints = &counts.upstreams[0].endpoints;
    assert_eq!((endpoints[0].attempts, endpoints[1].attempts), (all, all / 4));
    // The last thousand, and those that failed before them.
    assert!((1_000..=2_000).contains(&recorder.recent().len()));
}

#[test]
fn after_a_reload_counting_goes_on_by_name() {
    let recorder = recorder();
    let old = recorder.upstream("api", &["a", "b"]);
    tell(&old, &healthy());
    let new = recorder.upstream("api", &["c", "a"]);
    tell(&old, &healthy());
    // Id 0 is "c" in the new generation.
    tell(&new, &healthy());
    // An id that the generation doesn't have isn't lost.
    let lost = EndpointId(9);
    tell(&new, &[(0, Event::CallStarted), (0, started(1, lost, AttemptReason::First))]);
    let counts = recorder.counts();
    let attempts = |name: &str| {
        let endpoints = &counts.upstreams[0].endpoints;
        endpoints.iter().find(|endpoint| &*endpoint.name == name).unwrap().attempts
    };
    assert_eq!(["a", "b", "c", "other"].map(attempts), [2, 0, 1, 1]);
    assert_eq!(counts.calls.attempts, 4);
}

#[test]
fn names_that_reloads_leave_behind_are_forgotten_in_the_end_but_not_their_counts() {
    let recorder = recorder();
    for round in 0..5 {
        let names: Vec<_> = (0..700).map(|place| format!("{round}-{place}")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        tell(&recorder.upstream("api", &names), &healthy());
        // Another upstream each time, used by nobody after its round.
        (0..300).for_each(|place| drop(recorder.upstream(&format!("{round}-{place}"), &["a"])));
    }
    let counts = recorder.counts();
    let endpoints = &counts.upstream("api").unwrap().endpoints;
    assert_eq!(endpoints.len(), 2_001);
    assert_eq!(endpoints.iter().map(|endpoint| endpoint.attempts).sum::<u64>(), 5);
    assert_eq!(counts.upstreams.len(), 1_000);
}

#[test]
fn the_census_names_every_event_once_it_was_reached() {
    let recorder = recorder();
    let never: BTreeSet<_> = recorder.census().events.never.into_iter().collect();
    let codes: BTreeSet<_> = everything().iter().map(|(_, event)| event.code().into()).collect();
    assert_eq!(never, codes);

    tell(&api(&recorder), &everything());
    let census = recorder.census();
    assert_eq!(census.events.never, [""; 0]);
    assert_eq!(census.breaks.seen, ["reset-before-head", "response-timeout", "body-reset"]);
    assert_eq!(census.breaks.never.len(), BreakKind::ALL.len() - 3);
    assert_eq!(census.stops.seen, ["outcome-unknown", "line-full"]);
    assert_eq!(census.attempts.never, ["retry", "hedge", "resume"]);
    assert_eq!(census.opens.seen, ["consecutive-failures"]);
    assert_eq!(census.ejections.never, ["failure-share"]);
    assert_eq!(census.saved.seen, ["failover"]);
    assert_eq!(census.parts().count(), 7);
}

#[test]
fn a_recorder_can_be_shared_by_threads() {
    fn check<T: Send + Sync>() {}
    check::<Recorder>();
    check::<mainstay_record::UpstreamRecorder>();
    check::<CallTrace>();
}
