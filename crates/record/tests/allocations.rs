//! A healthy call costs no allocation.

mod common;

use std::borrow::Cow;

use common::*;
use mainstay_core::event::AttemptId;
use mainstay_core::{BreakKind, Timestamp};
use mainstay_record::{AttemptFacts, CallId, CallTrace, Step, StepName};

#[test]
fn a_healthy_call_is_counted_without_an_allocation() {
    let recorder = recorder();
    let api = api(&recorder);
    let tag = tag(CallId::next(1));
    // Time passes, so that the amplification takes its notes too.
    let run = |second: u64| {
        let mut trace = CallTrace::of(tag.id);
        for (millis, event) in healthy() {
            api.on_call_event(&mut trace, at(second * 1000 + millis), event);
        }
        api.on_call_over(&tag, trace);
    };
    let info = allocation_counter::measure(|| (0..1_000).for_each(run));
    assert_eq!(info.count_total, 0);
    assert_eq!(recorder.counts().calls.delivered, 1_000);
}

#[test]
fn nobody_pays_for_a_feed_that_nobody_reads() {
    let recorder = recorder();
    let api = api(&recorder);
    // A change of state is kept for the history in any case; this is none.
    let event = mainstay_core::Event::BodyUnrepeatable;
    let told = || api.on_upstream_event(Timestamp::ZERO, event);
    assert_eq!(allocation_counter::measure(told).count_total, 0);
    let feed = recorder.subscribe();
    assert!(allocation_counter::measure(told).count_total > 0);
    drop(feed);
    assert_eq!(allocation_counter::measure(told).count_total, 0);
}

/// What a kept call holds, in bytes, after so many attempts with so many steps each, and texts of this length.
fn kept_bytes(attempts: u16, steps: usize, text_bytes: usize) -> i64 {
    let text = "x".repeat(text_bytes);
    let recorder = recorder();
    let api = api(&recorder);
    let keep = || {
        let mut trace = CallTrace::of(CallId::next(1));
        for attempt in 1..=attempts {
            let step = |_| {
                let name = StepName::Connect(([127, 0, 0, 1], 80).into());
                Step::broke(name, at(1), at(2), BreakKind::ConnectRefused, Some(text.clone()))
            };
            let facts = AttemptFacts {
                connection: Some(connection()),
                steps: (0..steps).map(step).collect(),
                detail: Some(text.clone()),
                evidence: Some(Cow::Owned(text.clone())),
                ..AttemptFacts::default()
            };
            trace.add_facts(AttemptId(attempt), facts);
        }
        for (millis, event) in failed_over() {
            api.on_call_event(&mut trace, at(millis), event);
        }
        let mut tag = tag(CallId::next(1));
        tag.path = "/".repeat(text_bytes);
        api.on_call_over(&tag, trace);
    };
    // The first makes room in the ring.
    keep();
    allocation_counter::measure(keep).bytes_current
}

#[test]
fn a_kept_call_holds_about_two_kilobytes_and_never_more_than_forty() {
    let usual = kept_bytes(2, 4, 40);
    assert!((1_000..4_000).contains(&usual), "{usual} bytes for two attempts of four steps");
    let worst = kept_bytes(26, 1_000, 100_000);
    assert!(worst < 40_000, "{worst} bytes for many attempts, steps and long texts");
}
