//! "Exponential Backoff And Jitter" (Brooker, AWS architecture blog, 2015): how long it takes, and how many writes, until
//! each of N clients has updated the same row under optimistic concurrency.
//!
//! Each client reads the row's version, then writes with it; the write succeeds while the version is unchanged, and
//! raises it; else the client backs off and reads again. A message takes |Normal(10 ms, 2 ms)| one way, the server no
//! time. Retries there are without limit, which a call's policy can't say, so the waits of the engine are taken
//! ([`backoff::wait`]) and not its calls.
//!
//! Near enough: each mean of 100 runs within 3 standard errors of the published one, plus 3 %.

use std::time::Duration;

use mainstay_core::retry::{BackoffSettings, Growth, Jitter, backoff};
use mainstay_core::{Chance, Timestamp};
use mainstay_sim::{Agenda, exact};

/// What a client does when its write failed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    AtOnce,
    Waits(Jitter),
    /// Decorrelated as published: the cap cuts what was drawn. The engine cuts the range before it draws, so that capped
    /// waits still spread.
    DecorrelatedCutAfter,
}

impl Way {
    fn wait(self, attempt: u32, last: Duration, chance: &mut Chance) -> Duration {
        let (jitter, cap) = match self {
            Self::AtOnce => return Duration::ZERO,
            Self::Waits(jitter) => (jitter, CAP),
            Self::DecorrelatedCutAfter => (Jitter::Decorrelated, 3 * CAP),
        };
        let settings = BackoffSettings {
            growth: Growth::Exponential { factor_percent: 200 },
            // There the first wait is base × 2; a decorrelated one has no power of two.
            base: if matches!(jitter, Jitter::Decorrelated) { 5 * MS } else { 10 * MS },
            cap,
            jitter,
        };
        backoff::wait(&settings, u8::try_from(attempt).unwrap_or(u8::MAX), last, chance).min(CAP)
    }
}

/// A message arrives.
enum Message {
    Read(usize),
    Version(usize, u64),
    Write(usize, u64),
    Written(usize, bool),
}

#[derive(Clone, Default)]
struct Client {
    attempts: u32,
    last: Duration,
}

/// Until all clients are done: how long it took, and how many writes.
fn contend(clients: usize, way: Way, chance: &mut Chance) -> (Duration, u64) {
    let mut agenda = Agenda::new();
    let mut states = vec![Client::default(); clients];
    let (mut version, mut writes, mut done_at) = (0, 0, Timestamp::ZERO);
    for client in 0..clients {
        let takes = latency(chance);
        agenda.put(Timestamp::ZERO + takes, Message::Read(client));
    }
    while let Some((now, message)) = agenda.take() {
        let arrives = now + latency(chance);
        match message {
            Message::Read(client) => agenda.put(arrives, Message::Version(client, version)),
            Message::Version(client, seen) => agenda.put(arrives, Message::Write(client, seen)),
            Message::Write(client, seen) => {
                writes += 1;
                let succeeds = seen == version;
                version += u64::from(succeeds);
                agenda.put(arrives, Message::Written(client, succeeds));
            }
            Message::Written(_, true) => done_at = now,
            Message::Written(client, false) => {
                let state = &mut states[client];
                state.attempts += 1;
                state.last = way.wait(state.attempts, state.last, chance);
                agenda.put(arrives + state.last, Message::Read(client));
            }
        }
    }
    (done_at.since(Timestamp::ZERO), writes)
}

fn latency(chance: &mut Chance) -> Duration {
    let millis = 10.0 + 2.0 * exact::normal(chance);
    Duration::from_nanos((millis.abs() * 1e6) as u64)
}

/// Runs a way with each number of clients, and compares it with what was published.
#[track_caller]
fn check(name: &str) {
    let (_, way, published) = PUBLISHED.iter().find(|(known, _, _)| *known == name).unwrap();
    for (clients, (time, writes)) in CLIENTS.iter().zip(published) {
        let found = means(*clients, *way);
        println!("{clients:>4} {name}: {:.0} ms, {:.0} writes", found.0, found.1);
        for (found, (published, deviation)) in [(found.0, time), (found.1, writes)] {
            let near = 3.0 * deviation / 10.0 + 0.03 * published;
            assert!(
                (found - published).abs() <= near,
                "{clients} {name}: {found}, not {published} ± {near}"
            );
        }
    }
}

/// Milliseconds and writes.
pub(crate) fn means(clients: usize, way: Way) -> (f64, f64) {
    let mut chance = Chance::from_seed(clients as u64);
    let runs: Vec<_> = (0..RUNS).map(|_| contend(clients, way, &mut chance)).collect();
    let mean = |value: &dyn Fn(&(Duration, u64)) -> f64| {
        runs.iter().map(value).sum::<f64>() / f64::from(RUNS)
    };
    (mean(&|run| run.0.as_secs_f64() * 1e3), mean(&|run| run.1 as f64))
}

#[test]
fn without_backoff_work_grows_with_the_square_of_the_contenders() {
    check("none");
}

#[test]
fn exponential_backoff_without_jitter_takes_long_and_saves_little() {
    check("exponential, no jitter");
}

#[test]
fn equal_jitter_is_far_better() {
    check("equal jitter");
}

#[test]
fn full_jitter_is_the_quickest_with_the_fewest_writes() {
    check("full jitter");
}

#[test]
fn decorrelated_jitter_is_as_quick_and_costs_more_writes() {
    check("decorrelated");
}

#[test]
fn a_cap_on_the_range_is_quicker_than_one_on_what_was_drawn() {
    for clients in [100, 190] {
        let ours = means(clients, Way::Waits(Jitter::Decorrelated));
        let published = means(clients, Way::DecorrelatedCutAfter);
        println!("{clients}: {ours:?}, as published {published:?}");
        assert!(ours.0 < published.0 * 0.95, "{clients}: {ours:?} {published:?}");
        assert!(ours.1 < published.1 * 1.03, "{clients}: {ours:?} {published:?}");
    }
}

/// How many clients contend.
pub(crate) const CLIENTS: [usize; 5] = [10, 50, 100, 150, 190];

/// A mean of 100 runs, and the standard deviation of a run.
type Mean = (f64, f64);

/// Milliseconds and writes, for each number of clients.
type Row = [(Mean, Mean); 5];

/// Name, way, and for each number of clients the milliseconds and the writes.
pub(crate) const PUBLISHED: [(&str, Way, Row); 5] = [
    (
        "none",
        Way::AtOnce,
        [
            ((382.0, 29.0), (51.0, 4.0)),
            ((1138.0, 42.0), (690.0, 18.0)),
            ((2031.0, 43.0), (2426.0, 31.0)),
            ((2876.0, 42.0), (5142.0, 47.0)),
            ((3532.0, 48.0), (7991.0, 76.0)),
        ],
    ),
    (
        "exponential, no jitter",
        Way::Waits(Jitter::None),
        [
            ((3590.0, 1396.0), (51.0, 4.0)),
            ((36033.0, 3358.0), (623.0, 30.0)),
            ((63309.0, 3658.0), (1846.0, 58.0)),
            ((85893.0, 4213.0), (3536.0, 90.0)),
            ((100_766.0, 4252.0), (5165.0, 130.0)),
        ],
    ),
    (
        "equal jitter",
        Way::Waits(Jitter::Equal),
        [
            ((733.0, 167.0), (42.0, 2.0)),
            ((4278.0, 557.0), (347.0, 6.0)),
            ((6540.0, 784.0), (812.0, 8.0)),
            ((8349.0, 633.0), (1325.0, 10.0)),
            ((9498.0, 648.0), (1760.0, 11.0)),
        ],
    ),
    (
        "full jitter",
        Way::Waits(Jitter::Full),
        [
            ((465.0, 99.0), (39.0, 2.0)),
            ((2914.0, 557.0), (332.0, 4.0)),
            ((4909.0, 548.0), (796.0, 7.0)),
            ((6435.0, 547.0), (1319.0, 10.0)),
            ((7389.0, 600.0), (1772.0, 13.0)),
        ],
    ),
    (
        "decorrelated",
        Way::DecorrelatedCutAfter,
        [
            ((435.0, 87.0), (38.0, 2.0)),
            ((2195.0, 560.0), (373.0, 12.0)),
            ((4780.0, 829.0), (999.0, 26.0)),
            ((6561.0, 805.0), (1759.0, 47.0)),
            ((8057.0, 971.0), (2434.0, 52.0)),
        ],
    ),
];

/// The longest wait there.
const CAP: Duration = Duration::from_millis(2000);

const MS: Duration = Duration::from_millis(1);

/// As many as the published means are of.
const RUNS: u32 = 100;
