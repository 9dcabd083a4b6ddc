//! A disk that fails, or is full: single calls of the system return EIO or ENOSPC, once or from then on, on the database, its log and the
//! number of commits. What was accepted is there afterwards; what was said to have failed isn't; and the process goes on, or says what is wrong.
//!
//! A test starts itself under strace, which breaks the calls. `cargo xtask outbox-crash` makes more rounds of it.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod stage;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mainstay_core::outbox::{Next, WallTime};
use mainstay_outbox::store::{Accepted, Access, Page};
use mainstay_outbox::{Filter, Keys, Limits, NewDelivery, State, Store};
use stage::{NOW, Stage, finish, new};

const LIMITS: Limits =
    Limits { items: 1_000_000, bytes: 1 << 40, lane_items: 1_000_000, reserve_bytes: 0 };

fn write_of(number: u64) -> NewDelivery {
    let mut scope = [7; 32];
    scope[..8].copy_from_slice(&number.to_be_bytes());
    let body = number.to_string().repeat(1 + number as usize % 2_000);
    NewDelivery { scope: Some(scope), key: number.to_string(), ..new("api", Some("a"), &body) }
}

/// The process whose disk fails: it accepts and delivers one after the other, and says what it was told.
///
/// `A n`: accepted; `E n`: failed; `U n`: failed, and may be there; `D n`: delivered; `O why`: it didn't open; `Z`: it came to its end.
async fn child(path: &Path) {
    let store = match Store::open(path, Keys::default(), LIMITS, Access::Serve) {
        Ok(store) => store,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return tell(&format!("O {error}"));
        }
    };
    for number in 0..WRITES {
        match store.accept(write_of(number)).await {
            Ok(Accepted::New | Accepted::Known(_)) => tell(&format!("A {number}")),
            Err(error) => {
                let is_unsure = error.to_string().contains("may be there");
                tell(&format!("{} {number} {error}", if is_unsure { "U" } else { "E" }));
                if std::env::var(AT_ONCE).is_ok() {
                    tell("Z");
                    // Nothing is put in order.
                    std::process::exit(0);
                }
            }
        }
        if number % 4 == 3 {
            // What can't be claimed or written now is offered again, by this process or the next.
            let claimed = store.claim("api", NOW, 1).await.unwrap_or_default();
            for offer in claimed.offers {
                match store.finish(&offer, finish(Next::Delivered), NOW).await {
                    Ok(()) => tell(&format!("D {}", offer.key)),
                    Err(error) => tell(&format!("F {} {error}", offer.key)),
                }
            }
        }
    }
    drop(store);
    tell("Z");
}

fn tell(line: &str) {
    std::io::stdout().lock().write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// Which calls fail.
#[derive(Clone, Copy, Debug)]
struct Fault {
    error: &'static str,
    calls: &'static str,
    /// Of the file whose name ends so.
    file: &'static str,
    /// The first that fails.
    from: usize,
    /// Whether it fails from then on, or once.
    lasts: bool,
    /// Whether the process ends with the first write that fails, as if it were killed.
    ends: bool,
}

/// What a store's files are done to, and how often, about, in a life of [`child`].
const PLACES: [(&str, &str, &str, usize); 12] = [
    ("EIO", "fdatasync,fsync", "outbox.db-wal", 60),
    ("EIO", "fdatasync,fsync", "outbox.db", 4),
    ("EIO", "pwrite64,write", "outbox.db-wal", 900),
    ("EIO", "pwrite64,write", "outbox.db", 60),
    ("EIO", "pwrite64,write", "outbox.db-commits", 60),
    ("EIO", "pread64,read", "outbox.db", 40),
    ("EIO", "pread64,read", "outbox.db-wal", 20),
    ("EIO", "openat", "outbox.db", 4),
    ("EIO", "openat", "outbox.db-wal", 3),
    ("ENOSPC", "pwrite64,write", "outbox.db-wal", 900),
    ("ENOSPC", "pwrite64,write", "outbox.db", 60),
    ("ENOSPC", "pwrite64,write", "outbox.db-commits", 60),
];

/// What the process told.
#[derive(Default)]
struct Told {
    accepted: BTreeSet<u64>,
    failed: BTreeSet<u64>,
    delivered: BTreeSet<u64>,
    is_over: bool,
    text: String,
}

fn life(path: &Path, fault: Fault) -> Told {
    let Fault { error, calls, file, from, lasts, ends } = fault;
    let end = if lasts { "+" } else { "" };
    let broken: PathBuf = path.with_file_name(file);
    let done = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-P"])
        .arg(broken)
        .arg("-e")
        .arg(format!("trace={calls}"))
        .arg("-e")
        .arg(format!("inject={calls}:error={error}:when={from}{end}"))
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "what_a_failing_disk_does_is_said_and_nothing_is_lost", "--nocapture"])
        .env(CHILD, path)
        .envs(ends.then_some((AT_ONCE, "1")))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    let errors = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{fault:?}: the process failed: {text}{errors}");
    let mut told = Told::default();
    for line in text.lines() {
        let mut words = line.split(' ');
        let (word, number) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let into = match word {
            "A" => &mut told.accepted,
            "E" => &mut told.failed,
            "D" => &mut told.delivered,
            _ => {
                told.is_over |= matches!(word, "Z" | "O");
                continue;
            }
        };
        into.insert(number.parse().unwrap());
    }
    told.text = text;
    told
}

/// The disk is well again: what is there?
async fn verify(path: &Path, told: &Told, fault: Fault) {
    let store = Store::open(path, Keys::default(), LIMITS, Access::Serve);
    let store = store.unwrap_or_else(|error| panic!("{fault:?}: {error}: {}", told.text));
    assert_eq!(store.check().await.unwrap(), [], "{fault:?}");
    let page = Page { after: None, most: u32::MAX };
    let all = store.list(Filter::default(), page).await.unwrap();
    let numbers: Vec<u64> = all.iter().map(|one| one.key.parse().unwrap()).collect();
    assert!(numbers.is_sorted(), "{fault:?}: {numbers:?}");
    let there: BTreeSet<u64> = numbers.into_iter().collect();
    let lost: Vec<_> = told.accepted.difference(&there).collect();
    assert!(lost.is_empty(), "{fault:?}: accepted and lost: {lost:?}: {}", told.text);
    let undead: Vec<_> = told.failed.intersection(&there).collect();
    assert!(undead.is_empty(), "{fault:?}: failed and there: {undead:?}: {}", told.text);
    for one in &all {
        let number = one.key.parse().unwrap();
        if told.delivered.contains(&number) {
            assert_eq!(one.state, State::Delivered, "{fault:?}: {number}");
        }
    }
    // And it goes on.
    store.accept(write_of(WRITES)).await.unwrap();
    let later = WallTime(NOW.0 + 1);
    assert!(!store.claim("api", later, 10).await.unwrap().offers.is_empty(), "{fault:?}");
}

#[test]
fn what_a_failing_disk_does_is_said_and_nothing_is_lost() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if let Ok(path) = std::env::var(CHILD) {
        return runtime.block_on(child(Path::new(&path)));
    }
    let tried = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).status();
    assert!(
        tried.is_ok_and(|status| status.success()),
        "strace isn't here, or may not trace, so that no disk can be made to fail; `cargo xtask test` installs it"
    );
    let rounds = std::env::var("MAINSTAY_CRASH_ROUNDS");
    let rounds: usize = rounds.map_or(PLACES.len() * 2, |rounds| rounds.parse().unwrap());
    let (mut accepted, mut failed, mut refused, mut met) = (0, 0, 0, 0);
    for round in 0..rounds {
        let (error, calls, file, most) = PLACES[round % PLACES.len()];
        let lasts = round / PLACES.len() % 2 == 1;
        let (from, ends) = (1 + random(most), random(2) == 1);
        let fault = Fault { error, calls, file, from, lasts, ends };
        let stage = Stage::new();
        if round % 3 != 0 {
            // Else it is made while the disk fails.
            drop(stage.open());
        }
        let told = life(&stage.path(), fault);
        assert!(told.is_over, "{fault:?}: it came to no end: {}", told.text);
        runtime.block_on(verify(&stage.path(), &told, fault));
        if error == "ENOSPC" && !told.failed.is_empty() {
            assert!(told.text.contains("disk is full"), "{fault:?}: {}", told.text);
        }
        accepted += told.accepted.len();
        failed += told.failed.len();
        refused += usize::from(told.text.contains("\nO "));
        met += usize::from(told.accepted.len() < WRITES as usize);
    }
    println!(
        "{rounds} disks: {met} told, {refused} of them at the start; {accepted} writes accepted, {failed} refused"
    );
    assert!(accepted > 0 && met > 0, "no fault was ever met");
}

fn random(below: usize) -> usize {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    (u64::from_be_bytes(bytes) >> 1) as usize % below
}

/// Set for a process whose disk fails: its store.
const CHILD: &str = "MAINSTAY_IO_CHILD";
/// Set for one that ends with the first write that fails.
const AT_ONCE: &str = "MAINSTAY_IO_AT_ONCE";
/// Of one life.
const WRITES: u64 = 40;
