//! What a call pays for being recorded.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use mainstay_core::event::{AttemptId, AttemptReason, Saved, StopReason};
use mainstay_core::{Break, BreakKind, Certainty, EndpointId, Event, Timestamp};
use mainstay_record::{
    CallId, CallTag, CallTrace, LogOptions, Recorder, RecorderOptions, UpstreamRecorder, WriterSink,
};

const TOOK: Duration = Duration::from_millis(3);
const ENDPOINT: EndpointId = EndpointId(0);
const ATTEMPT: AttemptId = AttemptId(1);

const BEGIN: [Event; 2] = [
    Event::CallStarted,
    Event::AttemptStarted { attempt: ATTEMPT, endpoint: ENDPOINT, reason: AttemptReason::First },
];
const WELL: [Event; 2] = [
    Event::AttemptSucceeded { attempt: ATTEMPT, endpoint: ENDPOINT, status: 200, took: TOOK },
    Event::CallDelivered {
        status: 200,
        attempts: 1,
        saved: Saved::NotNeeded,
        took: TOOK,
        as_is: false,
    },
];
const BADLY: [Event; 3] = [
    Event::AttemptFailed {
        attempt: ATTEMPT,
        endpoint: ENDPOINT,
        what: Break::new(BreakKind::ResetBeforeHead, Certainty::MaybeProcessed),
        took: TOOK,
    },
    Event::RetryRefused { reason: StopReason::OutcomeUnknown },
    Event::CallFailed {
        kind: BreakKind::ResetBeforeHead,
        certainty: Certainty::MaybeProcessed,
        attempts: 1,
        took: TOOK,
    },
];

fn call(api: &UpstreamRecorder, tag: &CallTag, end: &[Event]) {
    let mut trace = CallTrace::of(tag.id);
    for event in BEGIN.iter().chain(end) {
        api.on_call_event(&mut trace, black_box(Timestamp::from_millis(5)), *black_box(event));
    }
    api.on_call_over(tag, trace);
}

fn tag() -> CallTag {
    CallTag {
        id: CallId::next(1),
        route: "main".into(),
        method: http::Method::GET,
        path: "/v1/charges".into(),
        request: None,
    }
}

/// The time of `calls` healthy calls on each of two threads at one recorder.
fn two_threads(recorder: &Arc<Recorder>, calls: u64) -> Duration {
    let api = recorder.upstream("api", &["a", "b"]);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let tag = tag();
                (0..calls).for_each(|_| call(&api, &tag, &WELL));
            });
        }
    });
    start.elapsed()
}

fn bench(c: &mut Criterion) {
    let tag = tag();
    let recorder = Recorder::new();
    let api = recorder.upstream("api", &["a", "b"]);
    c.bench_function("healthy call, four events and its end", |b| {
        b.iter(|| call(&api, &tag, &WELL))
    });
    c.bench_function("the same on two threads", |b| b.iter_custom(|n| two_threads(&recorder, n)));
    c.bench_function("broken call, no log", |b| b.iter(|| call(&api, &tag, &BADLY)));
    let feed = recorder.subscribe();
    c.bench_function("broken call, watched", |b| b.iter(|| call(&api, &tag, &BADLY)));
    drop(feed);

    let sink = WriterSink::new(std::io::sink()).expect("a thread can be started");
    let log = Some(LogOptions::new(Arc::new(sink)));
    let logging = Recorder::with(RecorderOptions { log, ..RecorderOptions::default() });
    let api = logging.upstream("api", &["a", "b"]);
    c.bench_function("broken call, logged", |b| b.iter(|| call(&api, &tag, &BADLY)));

    let names: Vec<_> = (0..1000).map(|place| format!("endpoint-{place}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let large = Recorder::new();
    let _api = large.upstream("api", &names);
    c.bench_function("scrape of 1000 endpoints", |b| b.iter(|| large.metrics_text(true, &[])));
    c.bench_function("scrape of two endpoints", |b| b.iter(|| recorder.metrics_text(true, &[])));
}

criterion_group! {
    name = record;
    config = Criterion::default().measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500));
    targets = bench
}
criterion_main!(record);
