//! What the policy costs a call that goes well: budget, pick, report, drop; the clock is passed in.
//!
//! The number of endpoints must not matter beyond what the processor's caches make of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use mainstay_core::upstream::{
    Balance, EndpointSettings, Purpose, Report, ScopeId, UpstreamSettings, Want,
};
use mainstay_core::{Chance, Checked, Timestamp, Upstream};

fn upstream(endpoints: usize, balance: Balance, now: Timestamp) -> Arc<Upstream> {
    let endpoint = |n| EndpointSettings { name: format!("endpoint {n}"), tier: 0, weight: 1 };
    let settings = UpstreamSettings {
        endpoints: (0..endpoints).map(endpoint).collect(),
        balance,
        ..UpstreamSettings::default()
    };
    let settings = Checked::new(settings).expect("the settings are within their rules");
    Upstream::new(settings, now, &mut Chance::from_seed(1))
}

/// One call at its first try.
#[inline]
fn call(upstream: &Arc<Upstream>, now: Timestamp, chance: &mut Chance) {
    let want =
        Want { tried: &[], scope: ScopeId(0), purpose: Purpose::First, hash: Some(now.as_nanos()) };
    upstream.budget().on_call(now);
    let mut pick = upstream.pick(want, now, chance).expect("all are well");
    let answered = Report::Answered(Duration::from_micros(800));
    let event = pick.permit.report(answered, now, chance);
    debug_assert!(event.is_none());
    upstream.budget().on_first_try_success();
}

/// Time moves by as much as it does at 100,000 calls a second.
fn next(now: Timestamp) -> Timestamp {
    now + Duration::from_micros(10)
}

fn alone(c: &mut Criterion) {
    let mut group = c.benchmark_group("closed_path");
    for endpoints in [1, 3, 100, 1000] {
        for balance in
            [Balance::PeakEwma, Balance::LeastRequest, Balance::RoundRobin, Balance::ConsistentHash]
        {
            let mut now = Timestamp::from_millis(1);
            let (upstream, mut chance) = (upstream(endpoints, balance, now), Chance::from_seed(2));
            let id = BenchmarkId::new(format!("{balance:?}"), endpoints);
            group.bench_function(id, |b| {
                b.iter(|| {
                    now = next(now);
                    call(&upstream, now, &mut chance);
                });
            });
        }
    }
    group.finish();
}

/// The same while a second thread does the same on the same upstream as fast as it can.
fn contended(c: &mut Criterion) {
    let mut group = c.benchmark_group("closed_path_two_threads");
    for endpoints in [3, 100, 1000] {
        let mut now = Timestamp::from_millis(1);
        let upstream = upstream(endpoints, Balance::PeakEwma, now);
        let stop = Arc::new(AtomicBool::new(false));
        let other = {
            let (upstream, stop) = (Arc::clone(&upstream), Arc::clone(&stop));
            let (mut now, mut chance) = (now, Chance::from_seed(3));
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    now = next(now);
                    call(&upstream, now, &mut chance);
                }
            })
        };
        let mut chance = Chance::from_seed(2);
        group.bench_function(BenchmarkId::new("PeakEwma", endpoints), |b| {
            b.iter(|| {
                now = next(now);
                call(&upstream, now, &mut chance);
            });
        });
        stop.store(true, Ordering::Relaxed);
        other.join().expect("the other thread ends");
    }
    group.finish();
}

criterion_group!(benches, alone, contended);
criterion_main!(benches);
