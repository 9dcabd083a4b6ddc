//! A world and a policy from a number.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use mainstay_core::call::{AdaptiveTimeout, HedgeAfter, HedgeSettings};
use mainstay_core::limit::{AdaptiveSettings, LimitSettings};
use mainstay_core::rate::RateSettings;
use mainstay_core::throttle::ThrottleSettings;
use mainstay_core::upstream::Percentile;
use mainstay_core::{CallPolicy, Chance, Checked};
use mainstay_sim::Policy;

/// What a number stands for, as text.
pub(crate) struct Generated {
    pub(crate) world: String,
    pub(crate) policy: String,
}

/// The world of a number: trouble in the first 20 s, then a minute without.
pub(crate) fn world(seed: u64) -> Generated {
    let mut dice = Dice(Chance::from_seed(seed));
    let endpoints = 1 + dice.0.below(5) as usize;
    let zones = ["x", "y", "z"];
    let mut world =
        format!("[world]\nname = \"sweep\"\nseed = {seed}\nduration = \"80s\"\n\n[load]\n");
    let rate = 10 + dice.0.below(40);
    let arrivals = dice.one(&[
        format!("arrivals = \"poisson\"\nrate = {rate}"),
        format!("arrivals = \"poisson\"\nrate = {rate}"),
        format!("arrivals = \"constant\"\nrate = {rate}"),
        format!("arrivals = \"bursts\"\nburst = {}\nevery = \"500ms\"", rate / 2),
        format!("arrivals = \"closed\"\nclients = {rate}\nthink = \"exponential=1s\""),
    ]);
    let proxies = 1 + dice.0.below(3);
    writeln!(world, "{arrivals}\nproxies = {proxies}\nwrites = 0.3\nkeyed = 0.3").unwrap();
    if dice.sometimes(6) {
        writeln!(world, "patience = \"{}ms\"", 500 + dice.0.below(4000)).unwrap();
    }
    writeln!(world, "zones = [\"x\", \"y\"]").unwrap();
    if dice.sometimes(5) {
        world.push_str("[[load.surge]]\nat = \"5s\"\nfor = \"5s\"\ntimes = 4\n");
    }
    for number in 0..endpoints {
        endpoint(&mut world, number, zones[number % zones.len()], &mut dice);
    }
    world.push_str("\n[network]\nlatency = \"1ms\"\njitter = \"1ms\"\n");
    if dice.sometimes(5) {
        world.push_str("loss = 0.001\n");
    }
    world.push_str("far = { latency = \"15ms\" }\n");
    for _ in 0..1 + dice.0.below(4) {
        fault(&mut world, endpoints, &mut dice);
    }
    Generated { world, policy: policy(&mut dice) }
}

fn endpoint(world: &mut String, number: usize, zone: &str, dice: &mut Dice) {
    writeln!(world, "\n[[endpoint]]\nname = \"{number}\"\nzone = \"{zone}\"").unwrap();
    let service = dice.one(&[
        "10ms",
        "exponential=10ms",
        "median=8ms p99=60ms",
        "uniform=5ms..20ms",
        "fixed=5ms rare=200ms share=0.01",
    ]);
    writeln!(world, "service = \"{service}\"").unwrap();
    if dice.sometimes(2) {
        // Enough for all calls of the world, more or less at once.
        writeln!(world, "workers = {}\nqueue = {}", 8 + dice.0.below(20), 20 + dice.0.below(200))
            .unwrap();
        writeln!(world, "collapse = {}", dice.sometimes(3)).unwrap();
    }
    if dice.sometimes(3) {
        world.push_str("h2 = true\n");
    }
    if dice.sometimes(4) {
        world.push_str("tls = false\n");
    }
    if dice.sometimes(4) {
        world.push_str("body = \"20ms\"\n");
    }
    if dice.sometimes(4) {
        world.push_str("cache = { fill = 200, miss = \"50ms\" }\n");
    }
    if dice.sometimes(4) {
        writeln!(world, "tier = {}", dice.0.below(2)).unwrap();
    }
}

fn fault(world: &mut String, endpoints: usize, dice: &mut Dice) {
    let at = 2 + dice.0.below(12);
    let lasting = 1 + dice.0.below(20 - at);
    writeln!(world, "\n[[fault]]\nat = \"{at}s\"\nfor = \"{lasting}s\"").unwrap();
    if dice.sometimes(8) {
        let what = dice.one(&["blackhole", "slow fixed=300ms"]);
        writeln!(world, "between = [\"x\", \"y\"]\nwhat = \"{what}\"").unwrap();
        return;
    }
    let place = match dice.0.below(4) {
        0 => "endpoint = \"*\"".to_owned(),
        1 => "zone = \"x\"".to_owned(),
        _ => format!("endpoint = \"{}\"", dice.0.below(endpoints as u64)),
    };
    let mut what = dice.one(WHAT).to_owned();
    let is_of_requests = WITH_RATIO.iter().any(|word| what.starts_with(word));
    if is_of_requests && dice.sometimes(2) {
        what.push_str(dice.one(&[" ratio=0.1", " ratio=0.5", " ratio=0.9", " methods=POST"]));
    }
    writeln!(world, "{place}\nwhat = \"{what}\"").unwrap();
}

fn policy(dice: &mut Dice) -> String {
    let mut policy = "[upstream.world]\nendpoints = [\"https://world.example\"]\n".to_owned();
    let mut line = |chance: u64, choices: &[&str], dice: &mut Dice| {
        if dice.sometimes(chance) {
            writeln!(policy, "{}", dice.one(choices)).unwrap();
        }
    };
    line(
        2,
        &[
            "balance = \"round-robin\"",
            "balance = \"least-request\"",
            "balance = \"consistent-hash\"",
        ],
        dice,
    );
    line(
        2,
        &[
            "attempt_timeout = \"500ms\"",
            "attempt_timeout = \"2s\"\ntotal_timeout = \"3s\"",
            "total_timeout = \"1s\"",
            "attempt_timeout = \"2s\"",
        ],
        dice,
    );
    line(4, &["fail_open = false"], dice);
    line(3, &["retry.max_attempts = 1", "retry.max_attempts = 5", "retry.max_attempts = 10"], dice);
    line(
        3,
        &[
            "retry.backoff.jitter = \"none\"",
            "retry.backoff.jitter = \"equal\"",
            "retry.backoff.jitter = \"decorrelated\"",
        ],
        dice,
    );
    line(4, &["breaker.mode = \"off\"", "breaker.mode = \"stop-retries\""], dice);
    line(4, &["breaker.slow_ratio = 0.5\nbreaker.slow_after = \"500ms\""], dice);
    // Else a breaker that saw a long trouble would be half-open only after the world's end.
    line(1, &["breaker.open_cap = \"10s\""], dice);
    line(
        3,
        &[
            "budget.ceiling = 0.1",
            "budget.floor = 50",
            "budget.initial = 500",
            "budget.capacity = 14\nbudget.initial = 14",
        ],
        dice,
    );
    line(
        3,
        &[
            "health = false",
            "health.kind = \"http\"\nhealth.path = \"/healthz\"",
            "health.interval = \"1s\"",
        ],
        dice,
    );
    line(
        2,
        &[
            "ejection = false",
            "ejection.interval = \"2s\"\nejection.eject_for = \"3s\"\nejection.minimum_calls = 5\nejection.minimum_endpoints = 2",
        ],
        dice,
    );
    policy
}

/// Puts hedges and limits into a policy, by the same number. They go into the settings themselves: what they can be is more
/// than a file says in a line.
pub(crate) fn load_control(seed: u64, policy: &mut Policy) {
    let mut dice = Dice(Chance::from_seed(!seed));
    let hedge = dice.sometimes(3).then(|| HedgeSettings {
        after: dice.one(&[
            HedgeAfter::Percentile(Percentile::P95),
            HedgeAfter::Percentile(Percentile::P90),
            HedgeAfter::Fixed(Duration::from_millis(30)),
        ]),
        ..HedgeSettings::default()
    });
    let adaptive_timeout = dice.sometimes(4).then(AdaptiveTimeout::default);
    for call in [&mut policy.reads, &mut policy.writes] {
        let changed = CallPolicy { hedge, adaptive_timeout, ..(***call).clone() };
        *call = Arc::new(Checked::new(changed).unwrap());
    }
    let mut upstream = policy.upstream.clone().into_inner();
    if dice.sometimes(4) {
        let limit = dice.one(&[
            LimitSettings::Fixed(4),
            LimitSettings::Fixed(64),
            LimitSettings::Adaptive(AdaptiveSettings::default()),
        ]);
        if dice.sometimes(2) {
            upstream.load.limit = Some(limit);
        } else {
            upstream.load.endpoint_limit = Some(limit);
        }
    }
    upstream.load.throttle = dice.sometimes(5).then(ThrottleSettings::default);
    // More than any of the worlds calls, surges aside.
    let period = Duration::from_secs(1);
    upstream.load.rate =
        dice.sometimes(6).then_some(RateSettings { rate: 100, period, burst: 100 });
    policy.upstream = Checked::new(upstream).unwrap();
}

struct Dice(Chance);

impl Dice {
    fn one<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.0.below(all.len() as u64) as usize].clone()
    }

    /// Once in so many times.
    fn sometimes(&mut self, times: u64) -> bool {
        self.0.below(times) == 0
    }
}

/// Every fault that the simulator follows.
const WHAT: &[&str] = &[
    "refuse",
    "blackhole",
    "half-dead",
    "hang",
    "reset-before",
    "close-before",
    "reset-after-execute",
    "reset-after-head",
    "reset-in-body",
    "truncate",
    "truncate-chunked",
    "stall",
    "stall-head",
    "trickle bytes=128 every=20ms",
    "slow fixed=800ms",
    "slow uniform=10ms..3s",
    "slow median=50ms p99=2s",
    "status code=500",
    "status code=503",
    "status code=425",
    "status code=404",
    "throttle retry-after=1",
    "throttle code=503 retry-after=2",
    "throttle retry-after=none",
    "close-idle after=50ms with=fin",
    "close-idle after=20ms jitter=100ms with=rst",
    "close-on-reuse",
    "close-on-reuse with=rst ratio=0.5",
    "garbage",
    "flap up=1s down=1s",
    "flap up=500ms down=2s status code=502",
    "capacity concurrency=1 service=300ms queue=5 collapse=true",
    "capacity concurrency=2 service=50ms queue=0",
    "cold extra=1s for=5s",
    "h2-refuse-stream",
    "h2-goaway",
    "tls-expired",
    "tls-expiring",
    "tls-wrong-name",
    "tls-self-signed",
    "tls-old-protocol",
    "tls-alert",
    "tls-stalled",
];

/// Those that take a ratio and methods.
const WITH_RATIO: &[&str] = &[
    "hang",
    "reset-",
    "close-before",
    "truncate",
    "stall",
    "trickle",
    "slow",
    "status",
    "throttle",
    "garbage",
    "h2-",
];
