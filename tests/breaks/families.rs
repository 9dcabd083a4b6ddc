//! Names with addresses of both families, one of which is black-holed.

use std::time::{Duration, Instant};

use crate::support::{Binary, get};
use crate::{Outcome, Stage};

/// Names of each sort, each with its first call.
const NAMES: usize = 7;

/// Calls of a name after its first.
const LATER: usize = 4;

/// What the first call may take longer than at a healthy name.
const FIRST: Duration = Duration::from_millis(300);

/// The default of `connect.race_delay`, which a later call would take longer if it met the black hole again.
const DELAY: Duration = Duration::from_millis(250);

/// How long the calls took, at healthy names and at those with a black hole.
#[derive(Default)]
struct Took {
    healthy: Vec<Duration>,
    holed: Vec<Duration>,
}

fn median(mut all: Vec<Duration>) -> Duration {
    all.sort_unstable();
    all[all.len() / 2]
}

/// One call that connects anew, which IPv4 or IPv6 answers.
async fn took(binary: &Binary, name: &str, family: &str) -> Result<Duration, String> {
    let begun = Instant::now();
    let answer = get(binary.proxy, &format!("/{name}")).await?;
    let took = begun.elapsed();
    let server = format!("\"server\":\"{family}\"");
    if answer.contains(&server) { Ok(took) } else { Err(format!("{name}: {answer}")) }
}

// Both sorts are called in turn in the same run, and medians are compared, so that a machine that is busy with something else
// delays them alike. What is left for it is the 50 ms between the two constants, in four of seven pairs.
#[tokio::test]
async fn a_black_holed_family_costs_the_first_call_one_delay_and_later_ones_nothing() -> Outcome {
    let mut lab = "
[[server]]
name = \"healthy4\"
[[server]]
name = \"healthy6\"
address = \"::1\"
port = \"healthy4\"
[[server]]
name = \"holed4\"
[[server]]
name = \"holed6\"
address = \"::1\"
port = \"holed4\"
[dns]
"
    .to_owned();
    let names: Vec<_> =
        (0..NAMES).map(|n| (format!("healthy{n}.lab"), format!("holed{n}.lab"))).collect();
    for name in names.iter().flat_map(|(healthy, holed)| [healthy, holed]) {
        lab.push_str(&format!(
            "[[dns.name]]\nname = \"{name}\"\na = [\"127.0.0.1\"]\naaaa = [\"::1\"]\nttl = \"300s\"\n"
        ));
    }
    let stage = Stage::set(&lab).await?;
    stage.fault("holed6", "blackhole").await?;
    let server = stage.lab.dns_addr().ok_or("no name server")?;
    let mut config = String::new();
    for (healthy, holed) in &names {
        for (name, port) in [(healthy, stage.port("healthy4")?), (holed, stage.port("holed4")?)] {
            let upstream = name.replace('.', "-");
            config.push_str(&format!(
                "[upstream.{upstream}]\nendpoints = [\"http://{name}:{port}\"]\nhealth = false\npool.max_idle = 0\n\
                 connect.dns.servers = [\"{server}\"]\n[[route]]\npath = \"/{name}\"\nupstream = \"{upstream}\"\n"
            ));
        }
    }
    let binary = Binary::run(&config).await?;
    let (mut first, mut later) = (Vec::new(), Took::default());
    for (healthy, holed) in &names {
        let healthy = took(&binary, healthy, "healthy6").await?;
        first.push(took(&binary, holed, "holed4").await?.saturating_sub(healthy));
    }
    for _ in 0..LATER {
        for (healthy, holed) in &names {
            later.healthy.push(took(&binary, healthy, "healthy6").await?);
            later.holed.push(took(&binary, holed, "holed4").await?);
        }
    }
    let first = median(first);
    let (healthy, holed) = (median(later.healthy), median(later.holed));
    let figures = format!(
        "first calls took {first:.1?} longer than at a healthy name; later calls {holed:.1?}, there {healthy:.1?}"
    );
    println!("{figures}");
    if first < FIRST && holed < healthy + DELAY / 2 { Ok(()) } else { Err(figures) }
}
