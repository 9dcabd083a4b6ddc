//! The last hour of a thousand endpoints is bounded, survives a reload, and leaves when it is over.

mod common;

use std::time::Duration;

use mainstay_core::Timestamp;
use mainstay_record::{EndpointLook, EndpointState, Recorder, TimelineFilter};

use common::*;

const MIB: usize = 1 << 20;

fn names(count: usize) -> Vec<String> {
    (0..count).map(|place| format!("endpoint-{place}")).collect()
}

fn looked(recorder: &std::sync::Arc<Recorder>, names: &[String], buckets: std::ops::Range<u64>) {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let api = recorder.upstream("api", &names);
    let look = EndpointLook {
        state: EndpointState::Up,
        in_flight: 3,
        p50: Some(Duration::from_millis(5)),
        p99: Some(Duration::from_millis(50)),
    };
    let looks = vec![look; names.len()];
    buckets
        .for_each(|bucket| api.look(Timestamp::from_millis(bucket * 10_000), 0.5, &looks, false));
}

#[test]
fn an_hour_of_a_thousand_endpoints_takes_nine_megabytes_and_no_more_after_three() {
    let recorder = recorder();
    let names = names(1000);
    looked(&recorder, &names, 1..400);
    let bytes = recorder.history_bytes();
    assert!((8 * MIB..10 * MIB).contains(&bytes), "{bytes}");
    looked(&recorder, &names, 400..1200);
    assert_eq!(recorder.history_bytes(), bytes);
}

#[test]
fn it_survives_a_reload_and_leaves_an_hour_after_the_endpoint() {
    let recorder = recorder();
    looked(&recorder, &names(2), 1..10);
    // A reload without the second one.
    looked(&recorder, &names(1), 10..20);
    let timeline = |bucket: u64| {
        let filter = TimelineFilter::of([("upstream", "api"), ("fields", "state")]).unwrap();
        let timeline = recorder.timeline(&filter, Timestamp::from_millis(bucket * 10_000)).unwrap();
        let value = serde_json::to_value(&timeline.upstreams[0].endpoints).unwrap();
        let of = |one: &serde_json::Value| {
            let state = one["state"].as_str().unwrap();
            (one["gone"].as_bool().unwrap(), state.matches('u').count())
        };
        value.as_array().unwrap().iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(timeline(19), [(false, 19), (true, 9)]);
    recorder.tidy_history(Timestamp::from_millis(300 * 10_000));
    assert_eq!(timeline(300).len(), 2);
    recorder.tidy_history(Timestamp::from_millis(370 * 10_000));
    assert_eq!(timeline(370), [(true, 9)]);
}
