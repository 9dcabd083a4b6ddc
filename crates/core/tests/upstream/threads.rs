//! Many threads on one upstream. What must be exact is exact, whatever their order.

use std::sync::Arc;
use std::thread;

use mainstay_core::upstream::{EjectionSettings, Purpose, Report, ScopeId, UpstreamSettings, Want};
use mainstay_core::{Chance, Checked, EndpointId, Timestamp, Upstream};

use super::world::{answered, even, ms};

const THREADS: u64 = 4;
const ATTEMPTS: u64 = 20_000;

/// One thread's attempts: most are answered; some break, are throttled, or are dropped without news.
fn attempts(upstream: &Arc<Upstream>, seed: u64) -> u64 {
    let mut chance = Chance::from_seed(seed);
    let mut picked = 0;
    for n in 0..ATTEMPTS {
        let now = Timestamp::from_millis(1000) + ms(n);
        let want = Want { tried: &[], scope: ScopeId(0), purpose: Purpose::First, hash: None };
        let Ok(mut pick) = upstream.pick(want, now, &mut chance) else { continue };
        picked += 1;
        let report = match chance.below(10) {
            0 => Report::Broke,
            1 => Report::Throttled(Some(ms(chance.below(20)))),
            2 => continue,
            _ => answered(chance.below(50)),
        };
        let _ = pick.permit.report(report, now, &mut chance);
    }
    picked
}

fn upstream(start: Timestamp) -> Arc<Upstream> {
    let settings = UpstreamSettings {
        ejection: Some(EjectionSettings { minimum_calls: 1, ..Default::default() }),
        ..even(5)
    };
    let settings = Checked::new(settings).expect("the settings are within their rules");
    Upstream::new(settings, start, &mut Chance::from_seed(1))
}

/// What each thread returns; `work` gets the thread's seed.
fn on_threads<T: Send>(work: impl Fn(u64) -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (0..THREADS).map(|seed| scope.spawn(move || work(seed))).collect();
        threads.into_iter().map(|it| it.join().expect("no thread panics")).collect()
    })
}

#[test]
fn every_permit_is_given_back() {
    let start = Timestamp::from_millis(1000);
    let upstream = upstream(start);
    let picked: u64 = on_threads(|seed| {
        if seed > 0 {
            return attempts(&upstream, seed);
        }
        // One looks at the statistics meanwhile, and makes checks that all pass.
        let mut chance = Chance::from_seed(seed);
        for n in 0..ATTEMPTS {
            let now = start + ms(n);
            let _ = upstream.on_time(now, &mut chance);
            for endpoint in upstream.checks_due(now, &mut chance) {
                let _ = upstream.on_check(endpoint, Ok(()), now);
            }
        }
        0
    })
    .into_iter()
    .sum();
    assert!(picked > 0);
    assert!(upstream.view(start + ms(ATTEMPTS)).iter().all(|view| view.in_flight == 0));
}

#[test]
fn every_check_is_handed_out_once() {
    let start = Timestamp::from_millis(1000);
    let upstream = upstream(start);
    let now = start + ms(2000);
    let handed_out = on_threads(|seed| upstream.checks_due(now, &mut Chance::from_seed(seed)));
    let mut handed_out: Vec<EndpointId> = handed_out.into_iter().flatten().collect();
    handed_out.sort_unstable();
    assert_eq!(handed_out, (0..5).map(EndpointId).collect::<Vec<_>>());
}
