//! Names that can't be resolved: each way to fail is its own break, and is asked for again after a time of its own.

use serde_json::Value;
use tokio::time::timeout;

use crate::support::{Binary, PATIENCE, get};
use crate::{Outcome, Stage};

/// A name, how its server fails, the break that comes of it, and how long the first and the second failure are held, in
/// milliseconds: a denial for as long as the zone says, the others for a second, and twice that the next time.
const FAILURES: [(&str, &str, &str, [u64; 2]); 5] = [
    ("unknown.lab", "dns-nxdomain", "name-not-found", [2000, 2000]),
    ("empty.lab", "dns-nodata", "no-address", [2000, 2000]),
    ("broken.lab", "dns-servfail", "resolver-failure", [1000, 2000]),
    ("unwilling.lab", "dns-refused", "resolver-failure", [1000, 2000]),
    ("silent.lab", "dns-timeout", "resolver-timeout", [1000, 2000]),
];

/// What the record says of one attempt at a name.
struct Attempt {
    code: String,
    /// How long the failure is held in all, where the attempt met one that was; nothing where it waited for a lookup.
    held_ms: Option<u64>,
}

impl Attempt {
    fn read(attempt: &Value) -> Option<Self> {
        // Whoever waited for a lookup until its own time was over has nothing to tell.
        let detail = attempt["detail"].as_str().unwrap_or_default();
        let number = |text: &str| text.rsplit([' ', '(']).next()?.parse::<u64>().ok();
        let held = || {
            let (before, after) = detail.split_once(" ms ago; not asked again for ")?;
            Some(number(before)? + after.split(' ').next()?.parse::<u64>().ok()?)
        };
        Some(Self { code: attempt["code"].as_str()?.to_owned(), held_ms: held() })
    }
}

/// What the attempts of one more call at a name came to.
async fn call(binary: &Binary, name: &str) -> Result<Vec<Attempt>, String> {
    get(binary.proxy, &format!("/{name}")).await?;
    let calls = binary.admin("/calls?limit=1").await?;
    let attempts = &calls["calls"][0]["attempts"];
    let read: Option<Vec<_>> =
        attempts.as_array().into_iter().flatten().map(Attempt::read).collect();
    read.filter(|attempts| !attempts.is_empty()).ok_or_else(|| format!("{name}: {calls}"))
}

/// Calls a name until its failure is held for so long, and then once more: whatever is held asks no name server.
async fn until_held(
    stage: &Stage,
    binary: &Binary,
    name: &str,
    code: &str,
    hold_ms: u64,
) -> Outcome {
    let asked = || stage.lab.name(name).map_or(0, |name| name.questions());
    loop {
        let before = asked();
        let attempts = call(binary, name).await?;
        if let Some(other) = attempts.iter().find(|attempt| attempt.code != code) {
            return Err(format!("{name}: {} instead of {code}", other.code));
        }
        let all_held = attempts.iter().all(|attempt| attempt.held_ms.is_some());
        if all_held && asked() != before {
            return Err(format!("{name}: asked {} times while it was held", asked() - before));
        }
        // Two lengths, each of which was rounded down to a millisecond.
        let fits = |held: u64| (hold_ms - 2..=hold_ms).contains(&held);
        if all_held && attempts.iter().filter_map(|attempt| attempt.held_ms).all(fits) {
            return Ok(());
        }
    }
}

#[tokio::test]
async fn each_way_in_which_a_name_has_no_addresses_is_its_own_break_with_its_own_hold() -> Outcome {
    let names: String = FAILURES
        .iter()
        .map(|(name, ..)| {
            format!("[[dns.name]]\nname = \"{name}\"\na = [\"127.0.0.1\"]\nttl = \"2s\"\n")
        })
        .collect();
    let stage = Stage::set(&format!("[[server]]\nname = \"a\"\n[dns]\n{names}")).await?;
    let (port, server) = (stage.port("a")?, stage.lab.dns_addr().ok_or("no name server")?);
    let mut config = String::new();
    for (name, fault, ..) in FAILURES {
        stage.fault(name, fault).await?;
        let upstream = name.replace('.', "-");
        config.push_str(&format!(
            "[upstream.{upstream}]\nendpoints = [\"http://{name}:{port}\"]\nhealth = false\n\
             breaker.consecutive_failures = 0\nbreaker.failure_ratio = false\n\
             connect.resolve_timeout = \"300ms\"\nconnect.dns.servers = [\"{server}\"]\n\
             [[route]]\npath = \"/{name}\"\nupstream = \"{upstream}\"\n"
        ));
    }
    let binary = Binary::run(&config).await?;
    for round in 0..2 {
        for (name, _, code, holds) in FAILURES {
            let held = until_held(&stage, &binary, name, code, holds[round]);
            timeout(PATIENCE, held).await.map_err(|_| {
                format!("{name}: its failure {} was never held for {} ms", round + 1, holds[round])
            })??;
        }
    }
    // Whatever it was, the name is found again once it is there, after a hold.
    for (name, ..) in FAILURES {
        stage.fault(name, "healthy").await?;
    }
    for (name, ..) in FAILURES {
        let found = async {
            while !get(binary.proxy, &format!("/{name}")).await?.contains("\"server\":\"a\"") {}
            Ok::<_, String>(())
        };
        timeout(PATIENCE, found).await.map_err(|_| format!("{name}: never found again"))??;
    }
    Ok(())
}
