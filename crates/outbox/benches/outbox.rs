//! What the outbox costs: accepted writes a second beside what the disk can sync, and a long backlog. `cargo xtask bench outbox` runs it.
//!
//! Rounds are interleaved: each measures the disk alone, then the store with 1, 8 and 64 callers, so that what others do to the machine
//! meanwhile meets all of them. One caller has one sync for each write; that is what the others are compared with.

#![allow(clippy::unwrap_used, reason = "a benchmark that can't go on has failed")]

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mainstay_core::outbox::{Assurance, Next, WallTime};
use mainstay_outbox::store::Access;
use mainstay_outbox::{DeliveryId, Field, Finish, Keys, Limits, NewDelivery, Store, StoredHead};

const NOW: WallTime = WallTime(2_000_000_000_000);
const CALLERS: [usize; 3] = [1, 8, 64];
const BODY_BYTES: usize = 500;

fn main() {
    let mut rounds = 5;
    let mut seconds = 2;
    let mut items = 1_000_000_u64;
    let mut dir = std::env::temp_dir();
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    while let Some(word) = words.next() {
        let value = words.next().unwrap_or_default();
        let number = || value.parse::<u64>().unwrap_or_else(|_| panic!("{word} needs a number"));
        match word.as_str() {
            "--rounds" => rounds = number(),
            "--seconds" => seconds = number(),
            "--items" => items = number(),
            "--dir" => dir = PathBuf::from(value),
            "--backlog" => return reopened(Path::new(&value)),
            _ => panic!("it takes --rounds N, --seconds N, --items N and --dir DIR, not {word}"),
        }
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.unwrap();
    if rounds > 0 {
        runtime.block_on(rates(&dir, rounds, Duration::from_secs(seconds)));
    }
    if items > 0 {
        runtime.block_on(backlog(&dir, items));
    }
}

/// Writes a second, with 1, 8 and 64 callers.
async fn rates(dir: &Path, rounds: u64, length: Duration) {
    let mut disk = Vec::new();
    let mut store = CALLERS.map(|_| Vec::new());
    for round in 0..rounds {
        disk.push(syncs(dir, length));
        for (callers, rates) in CALLERS.iter().zip(&mut store) {
            rates.push(accepts(dir, *callers, length).await);
        }
        let told: Vec<_> =
            store.iter().map(|rates| format!("{:.0}", rates.last().unwrap())).collect();
        eprintln!(
            "round {}: disk {:.0}, store {}",
            round + 1,
            disk.last().unwrap(),
            told.join(", ")
        );
    }
    println!("| | a second | : one sync a write | : the disk alone |\n|---|---|---|---|");
    println!("| the disk: 4 KiB appended and `fdatasync`, in a loop | {} | | |", spread(&disk, 0));
    for (callers, rates) in CALLERS.iter().zip(&store) {
        let beside = |others: &[f64]| {
            let ratios: Vec<_> = rates.iter().zip(others).map(|(one, other)| one / other).collect();
            spread(&ratios, 1)
        };
        let who = match callers {
            1 => "accepted, 1 caller: one sync a write".to_owned(),
            many => format!("accepted, {many} callers"),
        };
        println!("| {who} | {} | {} | {} |", spread(rates, 0), beside(&store[0]), beside(&disk));
    }
    println!();
}

/// How often the disk syncs 4 KiB more.
fn syncs(dir: &Path, length: Duration) -> f64 {
    let path = dir.join(format!("mainstay-bench-{}", std::process::id()));
    let mut file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
    let (begun, mut count) = (Instant::now(), 0_u32);
    while begun.elapsed() < length {
        file.write_all(&[1; 4096]).unwrap();
        file.sync_data().unwrap();
        count += 1;
    }
    let rate = f64::from(count) / begun.elapsed().as_secs_f64();
    std::fs::remove_file(path).unwrap();
    rate
}

async fn accepts(dir: &Path, callers: usize, length: Duration) -> f64 {
    let dir = tempfile::tempdir_in(dir).unwrap();
    let store = open(&dir.path().join("outbox.db"));
    let (begun, count) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let (store, count) = (store.clone(), Arc::clone(&count));
            tokio::spawn(async move {
                while begun.elapsed() < length {
                    store.accept(write(count.fetch_add(1, Ordering::Relaxed))).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    count.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64()
}

/// A long backlog: how the next is found while it grows, and how it is opened.
async fn backlog(dir: &Path, items: u64) {
    let dir = tempfile::tempdir_in(dir).unwrap();
    let path = dir.path().join("outbox.db");
    let store = open(&path);
    println!("| waiting | claim the next | accept one | finish one |\n|---|---|---|---|");
    let mut size = 0;
    for next in [1_000, 10_000, 100_000, 1_000_000] {
        let upto = items.min(next);
        if upto <= size {
            break;
        }
        fill(&store, size, upto).await;
        size = upto;
        let mut times = [Vec::new(), Vec::new(), Vec::new()];
        for turn in 0..200 {
            let begun = Instant::now();
            let offer = store.claim("api", NOW, 1).await.unwrap().offers.remove(0);
            times[0].push(begun.elapsed().as_secs_f64() * 1e3);
            let begun = Instant::now();
            let next = Next::Again { at: WallTime(NOW.0 + 1), counts: true, hold_until: None };
            let end = Finish { note: None, maybe_done: false, next, answer: None };
            store.finish(&offer, end, NOW).await.unwrap();
            times[1].push(begun.elapsed().as_secs_f64() * 1e3);
            let begun = Instant::now();
            store.accept(write(u64::MAX - size - turn)).await.unwrap();
            times[2].push(begun.elapsed().as_secs_f64() * 1e3);
        }
        let [claim, finish, accept] = times.map(|times| median(&times));
        println!("| {size} | {claim:.3} ms | {accept:.2} ms | {finish:.2} ms |");
    }
    drop(store);
    let bytes = std::fs::metadata(&path).unwrap().len();
    // Another process: what this one did isn't in its memory.
    let told = std::process::Command::new(std::env::current_exe().unwrap())
        .arg("--backlog")
        .arg(&path)
        .output()
        .unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    println!("\nThe file has {} MB. {}", bytes / 1_000_000, String::from_utf8_lossy(&told.stdout));
}

async fn fill(store: &Store, from: u64, upto: u64) {
    let next = Arc::new(AtomicU64::new(from));
    let begun = Instant::now();
    let tasks: Vec<_> = (0..512)
        .map(|_| {
            let (store, next) = (store.clone(), Arc::clone(&next));
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= upto {
                        return;
                    }
                    store.accept(write(number)).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let rate = (upto - from) as f64 / begun.elapsed().as_secs_f64();
    eprintln!("filled to {upto}: {rate:.0} a second by 512 callers");
}

/// What a fresh process needs of a backlog.
fn reopened(path: &Path) {
    let begun = Instant::now();
    let store = open(path);
    let opened = begun.elapsed();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        store.stop_interrupted().await.unwrap();
        let destinations = store.destinations().await.unwrap();
        assert_eq!(destinations, ["api"]);
        let first = store.claim("api", NOW, 1).await.unwrap();
        assert_eq!(first.offers.len(), 1);
        let ready = begun.elapsed();
        for _ in 0..1_000 {
            store.accept(write(u64::MAX - DRAWN.fetch_add(1, Ordering::Relaxed))).await.unwrap();
            let offers = store.claim("api", NOW, 1).await.unwrap().offers;
            let end = Finish { note: None, maybe_done: false, next: Next::Delivered, answer: None };
            store.finish(&offers[0], end, NOW).await.unwrap();
        }
        let totals = Instant::now();
        store.totals().await.unwrap();
        let totals = totals.elapsed();
        let worked = peak_mib();
        let check = Instant::now();
        assert_eq!(store.check().await.unwrap(), []);
        print!(
            "A fresh process has opened it after {:.0} ms and has the first delivery in hand after {:.0} ms; it counts them in {:.1} ms. \
             After a thousand more were accepted and delivered it had needed {worked:.0} MiB of memory at most. \
             A check of everything takes {:.1} s, and the process {:.0} MiB at most.",
            opened.as_secs_f64() * 1e3,
            ready.as_secs_f64() * 1e3,
            totals.as_secs_f64() * 1e3,
            check.elapsed().as_secs_f64(),
            peak_mib()
        );
    });
}

static DRAWN: AtomicU64 = AtomicU64::new(1 << 40);

fn peak_mib() -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(f64::NAN) / 1024.0
}

fn open(path: &Path) -> Store {
    let limits = Limits { items: u64::MAX >> 1, ..Limits::default() };
    Store::open(path, Keys::default(), limits, Access::Serve).unwrap()
}

/// As an application's writes are: half of them in lanes, all with a key that is looked up.
fn write(number: u64) -> NewDelivery {
    let id = DeliveryId::fresh().unwrap();
    let mut scope = [7; 32];
    scope[..16].copy_from_slice(id.as_bytes());
    let fields = [
        ("content-type", "application/json"),
        ("idempotency-key", "0123456789abcdef0123456789abcdef"),
        ("user-agent", "benchmark"),
    ];
    NewDelivery {
        id,
        upstream: "api".into(),
        route: "writes".into(),
        lane: number.is_multiple_of(2).then(|| format!("customer {}", number / 2 % 50_000)),
        key: id.to_string(),
        scope: Some(scope),
        print: scope,
        assurance: Assurance::Repeatable,
        head: StoredHead {
            method: Some("POST".into()),
            target: Some("/v1/orders".into()),
            status: None,
            fields: fields.map(|(name, value)| Field::Text(name.into(), value.into())).into(),
        },
        body: Bytes::from(vec![b'x'; BODY_BYTES]),
        accepted_at: NOW,
        due_at: NOW,
        expires_at: WallTime(NOW.0 + 3_600_000),
        tried: None,
        maybe_done: false,
        hold_until: None,
        callback: None,
        about: None,
    }
}

fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// The median, and least and most.
fn spread(figures: &[f64], decimals: usize) -> String {
    let least = figures.iter().copied().fold(f64::INFINITY, f64::min);
    let most = figures.iter().copied().fold(0.0, f64::max);
    format!("{:.decimals$} ({least:.decimals$}-{most:.decimals$})", median(figures))
}
