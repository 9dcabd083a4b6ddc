//! A healthy call costs no allocation.

mod common;

use common::*;
use mainstay_core::Timestamp;
use mainstay_record::{CallId, CallTrace};

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
    let event = failed_over()[3].1;
    let told = || api.on_upstream_event(Timestamp::ZERO, event);
    assert_eq!(allocation_counter::measure(told).count_total, 0);
    let feed = recorder.subscribe();
    assert!(allocation_counter::measure(told).count_total > 0);
    drop(feed);
    assert_eq!(allocation_counter::measure(told).count_total, 0);
}
