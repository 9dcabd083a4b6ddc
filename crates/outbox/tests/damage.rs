//! Files that are cut and flipped all over: each such store is recovered, or refused, or it tells what is wrong. None of them silently has
//! fewer deliveries, others, or others' order.
//!
//! A failure prints its case; `MAINSTAY_DAMAGE_FROM=N MAINSTAY_DAMAGE_CASES=1` repeats one of the random ones, and more of them
//! are tried with another beginning.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod stage;

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use mainstay_core::outbox::{DeadReason, Next, StoppedReason, WallTime};
use mainstay_outbox::store::Access;
use mainstay_outbox::{
    DeliveryId, Detail, Filter, Finish, Keys, Limits, NewDelivery, Page, Store, StoreError,
    StoredHead,
};
use stage::{NOW, Stage, finish, new};

/// Later than everything is due.
const LATER: WallTime = WallTime(NOW.0 + 1_000_000);

/// What was stored, by whoever stored it.
struct Truth {
    /// As they are read from the undamaged store.
    details: Vec<Detail>,
    accepted: BTreeMap<DeliveryId, NewDelivery>,
    /// The order in which the undamaged store offers them.
    offered: Vec<DeliveryId>,
}

/// What came of a damaged one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    /// It isn't opened.
    Refused,
    /// It is opened, and `check` or an error tells.
    Told,
    /// All of it is as it was.
    Whole,
}

/// A store with deliveries in all states. `in_log`: the later half isn't in the database file yet.
async fn filled(in_log: bool) -> (Stage, Truth) {
    let stage = Stage::in_memory();
    let store = stage.open();
    let mut accepted = BTreeMap::new();
    for number in 0..60_usize {
        let lane = (!number.is_multiple_of(4)).then(|| format!("lane {}", number % 7));
        let body = format!("{number}-").repeat([1, 100, 5_000][number % 3]);
        let mut one = new(["api", "other"][number % 2], lane.as_deref(), &body);
        one.scope = number.is_multiple_of(5).then_some([number as u8; 32]);
        one.accepted_at = WallTime(NOW.0 + number as u64);
        store.accept(one.clone()).await.unwrap();
        accepted.insert(one.id, one);
    }
    for round in 0..2 {
        for upstream in ["api", "other"] {
            for (place, offer) in
                store.claim(upstream, LATER, 7).await.unwrap().offers.iter().enumerate()
            {
                let next = match (place + round) % 6 {
                    0 => Next::Again { at: WallTime(NOW.0 + 5), counts: true, hold_until: None },
                    1 => Next::Dead(DeadReason::Rejected),
                    2 if round == 1 => Next::Stopped(StoppedReason::MaybeDone),
                    _ => Next::Delivered,
                };
                let head = StoredHead { status: Some(200), ..StoredHead::default() };
                let answer = Some((head, Bytes::from("answer ".repeat(300))));
                store.finish(offer, Finish { answer, ..finish(next) }, LATER).await.unwrap();
            }
        }
    }
    // Closed, everything goes into the database file; as a crash leaves it, it is in the log.
    let kept = if in_log {
        stage.as_a_crash_leaves_it()
    } else {
        drop(store);
        stage
    };
    let reading = kept.as_a_crash_leaves_it();
    let store = reading.open();
    let details = details(&store).await.unwrap();
    let offered = drained(&store, &accepted).await.unwrap();
    let stopped = |one: &&Detail| one.summary.state.name() == "stopped";
    assert!(offered.len() > 20 && details.iter().filter(stopped).count() == 2);
    (kept, Truth { details, accepted, offered })
}

async fn details(store: &Store) -> Result<Vec<Detail>, StoreError> {
    let mut all = Vec::new();
    for one in store.list(Filter::default(), Page { after: None, most: 1000 }).await? {
        all.push(store.detail(one.id).await?);
    }
    Ok(all)
}

/// Delivers all that is offered, and looks whether each is what was accepted.
async fn drained(
    store: &Store,
    accepted: &BTreeMap<DeliveryId, NewDelivery>,
) -> Result<Vec<DeliveryId>, StoreError> {
    let mut offered = Vec::new();
    for _ in 0..100 {
        let before = offered.len();
        for upstream in store.destinations().await? {
            for offer in store.claim(&upstream, LATER, 3).await?.offers {
                let new =
                    accepted.get(&offer.id).unwrap_or_else(|| panic!("an unknown {}", offer.id));
                assert!(
                    offer.head == new.head
                        && offer.body == new.body
                        && offer.key == new.key
                        && offer.upstream == new.upstream
                        && offer.route == new.route
                        && offer.assurance == new.assurance
                        && offer.expires_at == new.expires_at,
                    "{offer:?} was accepted as {new:?}"
                );
                offered.push(offer.id);
                store.finish(&offer, finish(Next::Delivered), LATER).await?;
            }
        }
        if offered.len() == before {
            return Ok(offered);
        }
    }
    panic!("it never ends: {} offers", offered.len());
}

async fn judge(stage: &Stage, truth: &Truth) -> Verdict {
    let limits = Limits { reserve_bytes: 0, ..Limits::default() };
    let store = match Store::open(&stage.path(), Keys::default(), limits, Access::Serve) {
        Ok(store) => store,
        Err(error) => {
            assert!(error.to_string().contains("outbox.db"), "{error}");
            return Verdict::Refused;
        }
    };
    let told = match store.check().await {
        Ok(faults) => faults.iter().map(ToString::to_string).collect(),
        Err(error) => vec![error.to_string()],
    };
    let found = details(&store).await;
    let offered = drained(&store, &truth.accepted).await;
    if let Ok(offered) = &offered {
        let mut once = offered.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), offered.len(), "offered twice");
    }
    if !told.is_empty() {
        return Verdict::Told;
    }
    // It says that all is well; so it has to be.
    let (found, offered) = (found.unwrap(), offered.unwrap());
    assert_eq!(found.len(), truth.details.len(), "fewer, and nothing tells");
    for (found, truth) in found.iter().zip(&truth.details) {
        assert_eq!(found, truth);
    }
    assert_eq!(offered, truth.offered);
    Verdict::Whole
}

/// One damaged file, judged.
async fn damaged(
    whole: &Stage,
    truth: &Truth,
    file: &str,
    case: &str,
    damage: impl FnOnce(&Path),
) -> Verdict {
    let stage = whole.as_a_crash_leaves_it();
    damage(&stage.beside(file));
    // Printed only if it fails.
    println!("case: {file}, {case}");
    judge(&stage, truth).await
}

fn flip(path: &Path, seed: u64) -> String {
    let mut content = std::fs::read(path).unwrap();
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as usize % below
    };
    for _ in 0..4 {
        random(2);
    }
    let place = random(content.len());
    let what = match random(8) {
        // A sector that was never written, or went elsewhere.
        0 => {
            let sector = place / 512 * 512;
            let end = content.len().min(sector + 512);
            content[sector..end].fill(0);
            format!("seed {seed}: sector at {sector} zeroed")
        }
        1 => {
            let byte = random(256) as u8;
            content[place] = byte;
            format!("seed {seed}: byte at {place} is {byte}")
        }
        _ => {
            let bit = random(8);
            content[place] ^= 1 << bit;
            format!("seed {seed}: bit {bit} of byte {place} flipped")
        }
    };
    std::fs::write(path, content).unwrap();
    what
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

async fn flips(in_log: bool, file: &str) {
    let (whole, truth) = filled(in_log).await;
    let mut verdicts = BTreeMap::<_, u32>::new();
    let from = number("MAINSTAY_DAMAGE_FROM", 1);
    for seed in from..from + number("MAINSTAY_DAMAGE_CASES", 150) {
        let case = format!("seed {seed}");
        let verdict =
            damaged(&whole, &truth, file, &case, |path| println!("{}", flip(path, seed))).await;
        *verdicts.entry(verdict).or_default() += 1;
    }
    println!("{file}, in log: {in_log}: {verdicts:?}");
}

async fn cuts(in_log: bool, file: &str) {
    let (whole, truth) = filled(in_log).await;
    let size = std::fs::metadata(whole.beside(file)).unwrap().len();
    let mut verdicts = BTreeMap::<_, u32>::new();
    // Each end of a page or frame nearby, and places between them.
    let step = (size / 80).max(1);
    for around in (0..size).step_by(usize::try_from(step).unwrap()) {
        for length in [around, around / 4096 * 4096, around.saturating_sub(32) / 4120 * 4120 + 32] {
            let cut = |path: &Path| {
                std::fs::OpenOptions::new()
                    .write(true)
                    .open(path)
                    .unwrap()
                    .set_len(length)
                    .unwrap();
            };
            let verdict = damaged(&whole, &truth, file, &format!("cut to {length}"), cut).await;
            *verdicts.entry(verdict).or_default() += 1;
        }
    }
    println!("{file}, in log: {in_log}: {verdicts:?}");
}

#[tokio::test]
async fn a_flipped_database_is_refused_or_tells() {
    flips(false, "outbox.db").await;
}

#[tokio::test]
async fn a_flipped_log_is_refused_or_tells() {
    flips(true, "outbox.db-wal").await;
}

#[tokio::test]
async fn a_flipped_database_below_its_log_is_refused_or_tells() {
    flips(true, "outbox.db").await;
}

#[tokio::test]
async fn a_flipped_mark_of_commits_costs_nothing_or_is_refused() {
    flips(true, "outbox.db-commits").await;
}

#[tokio::test]
async fn a_cut_database_is_refused_or_tells() {
    cuts(false, "outbox.db").await;
}

#[tokio::test]
async fn a_cut_log_is_refused() {
    cuts(true, "outbox.db-wal").await;
}

#[tokio::test]
async fn an_index_of_the_log_that_is_anything_else_is_made_anew() {
    let (whole, truth) = filled(true).await;
    for content in [&b""[..], b"x", &[0xff; 32_768]] {
        let write = |path: &Path| std::fs::write(path, content).unwrap();
        let verdict = damaged(&whole, &truth, "outbox.db-shm", "another one", write).await;
        assert_eq!(verdict, Verdict::Whole);
    }
}

#[tokio::test]
async fn a_store_that_lost_its_log_is_refused() {
    let (whole, truth) = filled(true).await;
    let remove = |path: &Path| std::fs::remove_file(path).unwrap();
    let verdict = damaged(&whole, &truth, "outbox.db-wal", "removed", remove).await;
    assert_eq!(verdict, Verdict::Refused);
}
