//! The outbox of the real binary, killed again and again while applications write and the API fails.
//!
//! Each round starts the binary, lets the applications write, and ends it with SIGKILL at a random moment. After the last one
//! everything is delivered, and the API's own book is held against what the applications were told:
//!
//! - each write with a key that was answered with 202 was carried out once, and those of a lane in their order;
//! - each write without a key was carried out once at most, and if not, a person is asked.
//!
//! Some rounds in the suite; `cargo xtask outbox-crash` makes 200. A failure prints the seed; `MAINSTAY_OUTBOX_SEED` repeats it, as far
//! as the system's timing lets it.

mod api;
mod fleet;
mod intake;
#[path = "../support/postgres.rs"]
mod postgres;
#[path = "../support/mod.rs"]
mod support;
mod told;
mod upgrade;
mod writer;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use api::Api;
use support::{Binary, PATIENCE, text};
use tokio::time::sleep;
use writer::Writer;

#[tokio::test]
async fn what_was_accepted_arrives_though_the_process_is_killed() -> Result<(), String> {
    let rounds = number("MAINSTAY_OUTBOX_ROUNDS")?.unwrap_or(ROUNDS);
    let seed = number("MAINSTAY_OUTBOX_SEED")?.unwrap_or_else(|| u64::from(std::process::id()));
    let mut chance = Chance(seed);
    let dir = tempfile::tempdir().map_err(text)?;
    let api = Api::serve(chance.next()).await.map_err(text)?;
    let config = config(&api, dir.path());
    let mut writers: Vec<Writer> =
        (0..LANES).map(|lane| Writer::new(lane, lane % 4 != 0)).collect();
    for _ in 0..rounds {
        let binary = Binary::run(&config).await?;
        let proxy = binary.proxy;
        let write = async {
            let each = writers.iter_mut().map(|writer| writer.write(proxy));
            futures(each).await;
        };
        let life = Duration::from_millis(20 + chance.next() % 400);
        // The writers end when their connections do.
        let kill = async {
            sleep(life).await;
            binary.kill().await
        };
        let ((), killed) = tokio::join!(write, kill);
        killed?;
    }
    api.heal();
    let binary = Binary::run(&config).await?;
    delivered(&binary).await?;
    let told = check(&api, &writers, &binary).await;
    let told = told.map_err(|why| format!("seed {seed}, {rounds} rounds: {why}"))?;
    println!("{rounds} kills, {told}, seed {seed}");
    Ok(())
}

#[tokio::test]
async fn after_an_outage_all_of_it_arrives_in_order_and_not_at_once() -> Result<(), String> {
    let outage = Duration::from_secs(number("MAINSTAY_OUTAGE_SECONDS")?.unwrap_or(OUTAGE_SECONDS));
    let dir = tempfile::tempdir().map_err(text)?;
    let api = Api::serve(1).await.map_err(text)?;
    api.heal();
    api.set_down(true);
    let binary = Binary::run(&config(&api, dir.path())).await?;
    let mut writers: Vec<Writer> = (0..LANES).map(|lane| Writer::new(lane, true)).collect();
    let proxy = binary.proxy;
    let writing = writers.iter_mut().map(|writer| writer.write_for(proxy, outage));
    futures(writing).await;
    let accepted: usize = writers.iter().map(|writer| writer.accepted.len()).sum();
    if !api.book().is_empty() {
        return Err("something was carried out while the API was down".into());
    }
    let back = Instant::now();
    api.set_down(false);
    delivered(&binary).await?;
    let took = back.elapsed();
    check(&api, &writers, &binary).await?;
    let at_a_time = api.at_a_time();
    let most = at_a_time.iter().copied().max().unwrap_or_default();
    // One at first, then twice as many with each round: so that after the first so many never more than so many are there.
    let first = &at_a_time[..at_a_time.len().min(8)];
    let ramps = first.iter().enumerate().all(|(place, now)| *now <= place + 1) && first[0] == 1;
    if most > IN_FLIGHT || !ramps {
        return Err(format!("a stampede: {most} at a time, and at first {first:?}"));
    }
    println!(
        "{accepted} accepted in {outage:?}, delivered within {took:?}, at most {most} at a time, at first {first:?}"
    );
    Ok(())
}

/// Waits until nothing waits any more. What there is to deliver depends on the rounds and on the machine; what may not be is that nothing
/// is delivered for as long as anybody is patient.
async fn delivered(binary: &Binary) -> Result<(), String> {
    let (mut left, mut until) = (u64::MAX, Instant::now() + PATIENCE);
    loop {
        let waiting = totals(binary).await?.get("waiting").copied().unwrap_or_default();
        if waiting == 0 {
            return Ok(());
        }
        if waiting < left {
            (left, until) = (waiting, Instant::now() + PATIENCE);
        }
        if Instant::now() > until {
            return Err(format!("{waiting} deliveries are left"));
        }
        sleep(Duration::from_millis(20)).await;
    }
}

async fn totals(binary: &Binary) -> Result<BTreeMap<String, u64>, String> {
    let status = binary.admin("/status").await?;
    let all = status["outbox"]["deliveries"].as_array().ok_or("no outbox in /status")?;
    let mut totals = BTreeMap::new();
    // Each state is told for each upstream, that of the callbacks among them.
    for one in all {
        let state = one["state"].as_str().ok_or("deliveries without a state")?;
        let items = one["items"].as_u64().ok_or("deliveries without a number")?;
        *totals.entry(state.to_owned()).or_default() += items;
    }
    Ok(totals)
}

async fn check(api: &Api, writers: &[Writer], binary: &Binary) -> Result<String, String> {
    let book = api.book();
    let totals = totals(binary).await?;
    let stopped = totals.get("stopped").copied().unwrap_or_default();
    let (mut accepted, mut unknown) = (0, 0);
    for writer in writers {
        let done: Vec<&str> = book
            .iter()
            .map(String::as_str)
            .filter(|what| what.starts_with(&writer.prefix()))
            .collect();
        let mut once = done.clone();
        once.sort_unstable();
        once.dedup();
        if once.len() < done.len() {
            return Err(format!("{} was carried out twice: {done:?}", writer.prefix()));
        }
        let missing: Vec<_> =
            writer.accepted.iter().filter(|what| !done.contains(&what.as_str())).collect();
        accepted += writer.accepted.len();
        if !writer.has_keys {
            unknown += missing.len() as u64;
            continue;
        }
        if !missing.is_empty() {
            return Err(format!("accepted, and never carried out: {missing:?}"));
        }
        // Written in their order, each when the one before it had been accepted.
        if !done.is_sorted() {
            return Err(format!("out of order: {done:?}"));
        }
    }
    if unknown > stopped {
        return Err(format!(
            "{unknown} without a key weren't carried out, and {stopped} are stopped"
        ));
    }
    if accepted < writers.len() {
        return Err(format!("only {accepted} writes were accepted: that shows nothing"));
    }
    Ok(format!("{accepted} accepted, {} carried out, {stopped} stopped", book.len()))
}

fn config(api: &Api, dir: &std::path::Path) -> String {
    config_with(api, &format!("path = \"{}/outbox.db\"\nreserve = 0", dir.display()))
}

/// With a store of this kind.
fn config_with(api: &Api, store: &str) -> String {
    format!(
        "[outbox]
         {store}
         [upstream.api]
         endpoints = [\"http://{}\"]
         breaker.mode = \"off\"
         [upstream.api.outbox]
         mode = \"always\"
         lane = \"header:x-lane\"
         base = \"100ms\"
         cap = \"200ms\"
         max_calls = 1000",
        api.address,
    )
}

/// Runs all of them side by side.
async fn futures(all: impl Iterator<Item = impl Future<Output = ()>>) {
    let mut all: Vec<_> = all.map(Box::pin).collect();
    std::future::poll_fn(|cx| {
        all.retain_mut(|one| one.as_mut().poll(cx).is_pending());
        if all.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

fn number(name: &str) -> Result<Option<u64>, String> {
    let Ok(value) = std::env::var(name) else { return Ok(None) };
    value.parse().map(Some).map_err(|_| format!("{name} is a number, not {value:?}"))
}

/// A sequence of numbers that a seed repeats (splitmix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// What the outbox has on its way to one upstream at a time, unless the config says otherwise.
const IN_FLIGHT: usize = 16;

const OUTAGE_SECONDS: u64 = 3;
const ROUNDS: u64 = 8;
const LANES: usize = 16;
