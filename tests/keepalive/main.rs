//! The keep-alive race on numbers that say something: servers that close idle connections after a second, and bursts of
//! calls whose pauses are about as long.
//!
//! A burst needs many connections at once, so each pause leaves that many to reach the limit. Half of the pauses are spread
//! around the limit, the other half lie within a hundredth of it, where requests cross closes. There are four upstreams: a server that
//! ends the stream and one that closes without having read (so that what crosses is reset), each with the limit learned and,
//! to compare, not learned. The lab's oracle counts what was carried out twice.
//!
//! In the suite it runs for a few seconds with a short limit. `cargo xtask keepalive` runs it for a minute and prints the table
//! of `docs/connections.md`.

mod figures;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use figures::{Closes, Figures};
use http::Method;
use mainstay_lab::load::Load;
use mainstay_lab::{Lab, Rule, Spec};
use support::{Binary, text};
use tokio::time::{Instant, sleep_until};

type Outcome = Result<(), String>;

/// The upstreams: how the server closes, and whether the limit is learned.
const SIDES: [(&str, &str, bool); 4] = [
    ("fin", "fin", true),
    ("close", "close", true),
    ("fin-unlearned", "fin", false),
    ("close-unlearned", "close", false),
];

/// Calls that are out at the same time, and so connections.
const BURST: usize = 16;

/// How long, and with which limit.
struct Run {
    seconds: u64,
    limit: Duration,
}

#[tokio::test]
async fn no_read_fails_and_nothing_is_doubled_while_connections_reach_their_servers_idle_limit()
-> Outcome {
    let asked_for = std::env::var("MAINSTAY_KEEPALIVE_SECONDS").ok();
    let run = match &asked_for {
        None => Run { seconds: 4, limit: Duration::from_millis(300) },
        Some(seconds) => {
            Run { seconds: seconds.parse().map_err(text)?, limit: Duration::from_secs(1) }
        }
    };
    let figures = run.play().await?;
    if asked_for.is_some() {
        println!("{}", figures::table(&figures, run.seconds));
    }
    let wrong: Vec<String> = figures.iter().filter_map(|one| one.wrong().err()).collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

impl Run {
    async fn play(&self) -> Result<Vec<Figures>, String> {
        let lab = Lab::start(Spec::of(SIDES.iter().map(|(name, ..)| *name))).await.map_err(text)?;
        let mut config = String::new();
        for (name, closes, learned) in SIDES {
            let (after, jitter) = (self.limit.as_millis(), self.jitter().as_millis());
            let rule: Rule = format!("close-idle after={after}ms jitter={jitter}ms with={closes}")
                .parse()
                .map_err(text)?;
            lab.set(name, rule).await.map_err(text)?;
            let address = lab.server(name).ok_or("no such server")?.addr();
            config.push_str(&format!(
                "[upstream.{name}]\nendpoints = [\"http://{address}\"]\nhealth = false\npool.learn_idle = {learned}\n\
                 [[route]]\npath = \"/{name}\"\nupstream = \"{name}\"\n"
            ));
        }
        let binary = Binary::run(&config).await?;
        let sides = SIDES.map(|(name, ..)| self.side(name, &binary));
        let [first, second, third, fourth] = sides;
        let (first, second, third, fourth) = tokio::join!(first, second, third, fourth);
        let mut all = vec![first?, second?, third?, fourth?];
        for duplicate in lab.oracle().duplicates() {
            let whose =
                all.iter_mut().filter(|one| duplicate.id.starts_with(&format!("{}.", one.name)));
            whose.for_each(|one| one.duplicates += 1);
        }
        lab.shutdown().await;
        Ok(all)
    }

    /// Bursts and pauses at one upstream, until the time is over.
    async fn side(&self, name: &'static str, binary: &Binary) -> Result<Figures, String> {
        let mut figures = Figures::of(name);
        let ends_at = Instant::now() + Duration::from_secs(self.seconds);
        let mut number = 0;
        while Instant::now() < ends_at {
            let begun = Instant::now();
            let pause = self.pause(number);
            self.calls(name, &format!("{name}.{number}."), BURST, binary, &mut figures).await;
            // Between two bursts a read and a write, as light traffic has them: not all connections are of the same age.
            sleep_until(begun + pause / 3).await;
            self.calls(name, &format!("{name}.{number}-."), 2, binary, &mut figures).await;
            figures.note(Closes::of(binary, name).await?);
            sleep_until(begun + pause).await;
            number += 1;
        }
        figures.note(Closes::of(binary, name).await?);
        Ok(figures)
    }

    async fn calls(
        &self,
        name: &str,
        prefix: &str,
        count: usize,
        binary: &Binary,
        figures: &mut Figures,
    ) {
        let mut load = Load::gets(binary.proxy, count, AT_ONCE);
        load.methods = vec![Method::GET, Method::POST];
        load.path = format!("/{name}/x");
        load.body = bytes::Bytes::from_static(b"{\"amount\": 1}");
        load.id_prefix = prefix.to_owned();
        load.run(|result| figures.add(result)).await;
    }

    /// Spread evenly without a generator: multiples of the golden ratio.
    fn pause(&self, number: u32) -> Duration {
        let part = (f64::from(number) * 0.618_033_988_75).fract();
        if number.is_multiple_of(2) {
            self.limit.mul_f64(0.5 + part)
        } else {
            self.limit + self.jitter().mul_f64(2.0 * part) - self.jitter()
        }
    }

    fn jitter(&self) -> Duration {
        self.limit / 100
    }
}

/// Calls a second within a burst: one after the other without a pause.
const AT_ONCE: f64 = 1_000_000.0;
