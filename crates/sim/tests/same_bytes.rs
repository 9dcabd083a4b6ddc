//! The same world, policy and seed give the same bytes: in one process, on another machine, after a change of the code.
//!
//! The digest of one small world, in which about everything happens, is kept in `digest.txt`. It changes when a decision, a
//! number drawn, or the form of the report does. Meant: `MAINSTAY_BLESS=1 cargo nextest run -p mainstay-sim -E
//! 'test(digest)'`, and say in the commit what changed. Not meant, or seen on one machine only: a defect, most often
//! the order of a hash map, a function of the system's mathematics library, or an address.
#![expect(clippy::unwrap_used, reason = "a test may unwrap anywhere")]

use std::path::Path;

use mainstay_lab::{FNV_OFFSET, fnv1a};
use mainstay_sim::{Checks, Policy, Simulation, World};

/// Three proxies in two zones, four kinds of arrivals of chance, queues, a cache, a rate limit, loss, and faults.
const WORLD: &str = r#"
[world]
name = "small"
seed = 7
duration = "20s"
[load]
arrivals = "poisson"
rate = 120
proxies = 3
zones = ["east", "west"]
writes = 0.3
keyed = 0.5
patience = "8s"
[[load.surge]]
at = "12s"
for = "3s"
times = 3
[[endpoint]]
name = "a"
zone = "east"
workers = 4
queue = 20
service = "exponential=20ms"
collapse = true
cache = { fill = 100, miss = "30ms" }
[[endpoint]]
name = "b"
zone = "west"
service = "median=10ms p99=200ms"
body = "5ms"
[[endpoint]]
name = "c"
zone = "west"
tier = 1
service = "uniform=5ms..15ms"
rate_limit = { rate = 40, burst = 10, retry_after = "1s" }
[network]
latency = "1ms"
jitter = "2ms"
loss = 0.002
far = { latency = "15ms" }
[[fault]]
at = "3s"
for = "4s"
endpoint = "a"
what = "flap up=700ms down=400ms refuse"
[[fault]]
at = "6s"
for = "3s"
endpoint = "b"
what = "reset-in-body ratio=0.2"
[[fault]]
at = "9s"
for = "2s"
between = ["east", "west"]
what = "blackhole"
[[fault]]
at = "13s"
for = "3s"
endpoint = "*"
what = "status code=503 ratio=0.4"
"#;

fn told(text: &str) -> Vec<u8> {
    let world = World::parse(text, None).unwrap();
    let policy = Policy::defaults(&world).unwrap();
    let report = Simulation::new(&world, &policy, Checks::Often).run();
    assert_eq!(report.violations.0, 0, "{:#?}", report.violations);
    serde_json::to_vec_pretty(&report).unwrap()
}

#[test]
fn a_world_that_is_run_twice_is_told_in_the_same_bytes() {
    let first = told(WORLD);
    assert!(first == told(WORLD));
    assert!(first != told(&WORLD.replace("seed = 7", "seed = 8")), "the seed is not used");
}

#[test]
fn the_digest_of_a_small_world_is_up_to_date() {
    let told = told(WORLD);
    let made = format!("{:016x} {} bytes\n", fnv1a(FNV_OFFSET, &told), told.len());
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/digest.txt");
    if std::env::var_os("MAINSTAY_BLESS").is_some() {
        std::fs::write(&file, &made).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap();
    assert!(
        made == kept,
        "the small world is told as {made}instead of {kept}see the head of this file"
    );
}
