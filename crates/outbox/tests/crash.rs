//! Processes that are killed while they accept and deliver, at random moments and at each of their writes: what was acknowledged is there, once
//! and in order. And a disk that is full: it is refused, nothing is lost, and it goes on when there is room again.
//!
//! A test starts itself as the process that is killed: a variable of the environment tells it which it is. `cargo xtask outbox-crash` makes
//! more rounds of it.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod stage;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mainstay_core::outbox::{Assurance, Next, WallTime};
use mainstay_outbox::store::{Accepted, Access, Full, Keep};
use mainstay_outbox::{
    DeliveryId, Filter, Keys, Limits, NewDelivery, Offer, Page, State, Store, StoreError,
};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use stage::{NOW, Stage, finish, new};

const LIMITS: Limits =
    Limits { items: 1_000_000, bytes: 1 << 40, lane_items: 1_000_000, reserve_bytes: 0 };
const WORKERS: u64 = 4;
/// What its deliveries are must not be sent twice.
const ONCE: u64 = 3;

fn serve(path: &Path) -> Store {
    Store::open(path, Keys::default(), LIMITS, Access::Serve).unwrap()
}

/// The write number `number` of a worker. Made again, it is the same request.
fn write_of(worker: u64, number: u64) -> NewDelivery {
    let mut scope = [worker as u8; 32];
    scope[..8].copy_from_slice(&number.to_be_bytes());
    let key = format!("{worker}-{number}");
    let body = key.repeat(1 + (number % 50) as usize * 10);
    let assurance = if worker == ONCE { Assurance::None } else { Assurance::Repeatable };
    let lane = worker.to_string();
    NewDelivery { scope: Some(scope), key, assurance, ..new("api", Some(&lane), &body) }
}

/// The process that is killed.
mod child {
    use super::*;

    /// Accepts and delivers until it is killed. What is acknowledged is printed, each with its line in one write.
    pub(crate) fn run(path: &Path, begin: &str) -> ! {
        tell(format!("P {}", std::process::id()));
        // Nobody is there any more to kill it.
        std::thread::spawn(|| {
            let _ = std::io::stdin().read(&mut [0]);
            std::process::exit(0);
        });
        let begin: Vec<u64> = begin.split(' ').map(|number| number.parse().unwrap()).collect();
        block_on(async {
            let store = serve(path);
            store.stop_interrupted().await.unwrap();
            for (worker, begin) in (0..).zip(begin) {
                tokio::spawn(accept(store.clone(), worker, begin));
            }
            deliver(store).await
        })
    }

    async fn accept(store: Store, worker: u64, begin: u64) {
        for number in begin.. {
            let new = write_of(worker, number);
            let id = match store.accept(new.clone()).await.unwrap() {
                Accepted::New => new.id,
                Accepted::Known(id) => id,
            };
            tell(format!("A {worker} {number} {id}"));
        }
    }

    async fn deliver(store: Store) -> ! {
        let mut changes = store.changes();
        loop {
            changes.mark_unchanged();
            for offer in store.claim("api", NOW, 8).await.unwrap().offers {
                tell(format!("O {} {}", offer.key, offer.id));
                tokio::spawn(one(store.clone(), offer));
            }
            changes.changed().await.unwrap();
        }
    }

    async fn one(store: Store, offer: Offer) {
        let again = offer.assurance == Assurance::Repeatable && offer.calls == 0;
        let next = if again {
            Next::Again { at: NOW, counts: true, hold_until: None }
        } else {
            Next::Delivered
        };
        store.finish(&offer, finish(next), NOW).await.unwrap();
        if !again {
            tell(format!("D {}", offer.id));
        }
    }

    fn tell(line: String) {
        std::io::stdout().lock().write_all((line + "\n").as_bytes()).unwrap();
    }
}

/// How a process ends.
#[derive(Clone, Copy, Debug)]
enum Kill {
    /// After it has told so many things.
    AfterLines(usize),
    /// When a thread of it comes to such a call of the system for the nth time.
    AtWrite(usize),
}

/// The calls by which a store changes its files.
const WRITES: &str = "pwrite64,write,fsync,fdatasync,ftruncate,unlink,rename,openat";

/// What was acknowledged by all processes so far.
#[derive(Default)]
struct Known {
    accepted: BTreeMap<(u64, u64), DeliveryId>,
    offered: HashMap<u64, u64>,
    offered_ids: BTreeSet<DeliveryId>,
    delivered: BTreeSet<DeliveryId>,
    /// Delivered, and then forgotten by us.
    gone: BTreeSet<DeliveryId>,
}

impl Known {
    fn begin(&self) -> String {
        let next = |worker: u64| {
            let mut all = self.accepted.range((worker, 0)..=(worker, u64::MAX));
            all.next_back().map_or(0, |((_, number), _)| number + 1)
        };
        (0..WORKERS).map(|worker| next(worker).to_string()).collect::<Vec<_>>().join(" ")
    }

    fn hear(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        let id = |text: &str| text.parse::<DeliveryId>().unwrap();
        match words.as_slice() {
            ["A", worker, number, told] => {
                let place = (worker.parse().unwrap(), number.parse().unwrap());
                self.accepted.insert(place, id(told));
            }
            ["O", key, told] => {
                let (worker, number) = place(key);
                let last = self.offered.entry(worker).or_default();
                assert!(number >= *last, "worker {worker}: {number} is offered after {last}");
                *last = number;
                assert!(!self.delivered.contains(&id(told)), "{key} was delivered before");
                self.offered_ids.insert(id(told));
            }
            ["D", told] => assert!(self.delivered.insert(id(told)), "{told} was delivered twice"),
            // The test's own frame.
            _ => {}
        }
    }

    /// Looks at what the process left behind.
    async fn verify(&mut self, path: &Path) {
        let store = serve(path);
        assert_eq!(store.check().await.unwrap(), []);
        store.stop_interrupted().await.unwrap();
        let page = Page { after: None, most: u32::MAX };
        let all = store.list(Filter::default(), page).await.unwrap();
        let mut states = HashMap::new();
        let mut last = HashMap::<u64, u64>::new();
        for one in &all {
            let (worker, number) = place(&one.key);
            let last = last.insert(worker, number);
            assert!(last < Some(number), "worker {worker}: {number} after {last:?}");
            if one.state.is_open() {
                assert!(!self.delivered.contains(&one.id), "{} was delivered", one.key);
            }
            let was_offered = self.offered_ids.contains(&one.id);
            if worker == ONCE && was_offered {
                assert_ne!(one.state, State::Waiting, "{} would be sent again", one.key);
            }
            states.insert(one.id, one.state);
        }
        for ((worker, number), id) in &self.accepted {
            let is_there = states.contains_key(id) || self.gone.contains(id);
            assert!(is_there, "{worker}-{number} was accepted and is lost");
        }
        for id in self.delivered.difference(&self.gone) {
            assert_eq!(states[id], State::Delivered);
        }
        // A person looks after what may have been done.
        store.settle(Filter::default(), NOW).await.unwrap();
        let done = all.iter().filter(|one| one.state != State::Waiting).map(|one| one.id);
        self.gone.extend(done);
        let keep = Keep { delivered: Duration::ZERO, dead: Duration::ZERO };
        while store.tend(keep, WallTime(NOW.0 + 1)).await.unwrap() {}
    }
}

fn place(key: &str) -> (u64, u64) {
    let (worker, number) = key.split_once('-').unwrap();
    (worker.parse().unwrap(), number.parse().unwrap())
}

/// Starts a process and has it killed. Whether it came so far as to tell something.
fn life(test: &str, path: &Path, known: &mut Known, kill: Kill) -> bool {
    let program = std::env::current_exe().unwrap();
    let (mut command, most) = match kill {
        Kill::AfterLines(lines) => (Command::new(&program), lines),
        Kill::AtWrite(nth) => {
            let mut strace = Command::new("strace");
            strace.args(["-f", "-qq", "-o", "/dev/null", "-e"]).arg(format!("trace={WRITES}"));
            strace.arg("-e").arg(format!("inject={WRITES}:signal=KILL:when={nth}"));
            strace.arg(&program);
            (strace, 2_000)
        }
    };
    command.args(["--exact", test, "--nocapture"]).env(CHILD, path).env(BEGIN, known.begin());
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let (mut pid, mut heard, mut is_killed) = (None, 0, false);
    let mut line = String::new();
    // A line that the kill cut short was told to nobody.
    while lines.read_line(&mut line).is_ok_and(|length| length > 0) && line.ends_with('\n') {
        match line.trim_end().strip_prefix("P ") {
            Some(number) => pid = Pid::from_raw(number.parse().unwrap()),
            None => known.hear(line.trim_end()),
        }
        heard += usize::from(line.starts_with(['A', 'O', 'D']));
        if heard >= most && !is_killed {
            // What it tells meanwhile counts too.
            kill_process(pid.unwrap(), Signal::KILL).unwrap();
            is_killed = true;
        }
        line.clear();
    }
    assert!(!child.wait().unwrap().success(), "it was to be killed");
    heard > 0
}

/// Set for a process that is to be killed: its store.
const CHILD: &str = "MAINSTAY_CRASH_CHILD";
/// Which write each worker begins with.
const BEGIN: &str = "MAINSTAY_CRASH_BEGIN";

fn play_child() {
    if let Ok(path) = std::env::var(CHILD) {
        child::run(Path::new(&path), &std::env::var(BEGIN).unwrap());
    }
}

fn rounds() -> usize {
    std::env::var("MAINSTAY_CRASH_ROUNDS").map_or(20, |rounds| rounds.parse().unwrap())
}

/// Whether single calls of the system can be broken here.
fn has_strace() -> bool {
    let tried = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).status();
    let has = tried.is_ok_and(|status| status.success());
    if !has {
        println!("strace isn't here, or may not trace: all kills are at random moments");
    }
    has
}

fn random(below: usize) -> usize {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    (u64::from_be_bytes(bytes) >> 1) as usize % below
}

#[test]
fn what_a_killed_process_acknowledged_is_there_once_and_in_order() {
    play_child();
    let stage = Stage::new();
    let mut known = Known::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let has_strace = has_strace();
    let mut lived = 0;
    for round in 0..rounds() {
        let kill = if has_strace && round % 2 == 1 {
            Kill::AtWrite(1 + random(600))
        } else {
            Kill::AfterLines(1 + random(400))
        };
        println!("round {round}: {kill:?}");
        let test = "what_a_killed_process_acknowledged_is_there_once_and_in_order";
        lived += usize::from(life(test, &stage.path(), &mut known, kill));
        runtime.block_on(known.verify(&stage.path()));
    }
    println!(
        "{} rounds, {lived} lived to acknowledge something: {} accepted, {} delivered, none lost or doubled",
        rounds(),
        known.accepted.len(),
        known.delivered.len()
    );
    assert!(lived > 0 && !known.delivered.is_empty());
}

/// From the very first call on: the files are being made.
#[test]
fn what_is_killed_at_each_of_its_first_writes_leaves_a_store_that_opens() {
    play_child();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let has_strace = has_strace();
    for round in 0..rounds() {
        let stage = Stage::new();
        let mut known = Known::default();
        let kill = if has_strace {
            // All of the first hundred and fifty, if there are so many rounds.
            Kill::AtWrite(1 + round * (150 / rounds().min(150)).max(1) % 150)
        } else {
            Kill::AfterLines(1 + round)
        };
        println!("round {round}: {kill:?}");
        let test = "what_is_killed_at_each_of_its_first_writes_leaves_a_store_that_opens";
        life(test, &stage.path(), &mut known, kill);
        runtime.block_on(known.verify(&stage.path()));
    }
}

/// A disk that can be made full and empty again.
trait Disk: Send + Sync {
    fn make_room(&self);
    /// Whether what is refused for want of room must be told as that.
    fn is_honest(&self) -> bool;
}

/// Fills a store from several sides until the disk is full, and looks what came of it.
async fn fill(path: PathBuf, disk: impl Disk) {
    let store = serve(&path);
    let count = Arc::new(AtomicU64::new(0));
    let before = new("api", Some("a"), "before");
    store.accept(before.clone()).await.unwrap();
    let first = store.claim("api", NOW, 1).await.unwrap().offers.remove(0);
    let workers: Vec<_> = (0..8_u64)
        .map(|worker| {
            let (store, count) = (store.clone(), Arc::clone(&count));
            tokio::spawn(async move {
                let mut mine = Vec::new();
                // Some are refused, and smaller ones may still find room.
                let mut refusals = Vec::new();
                while refusals.len() < 20 {
                    let number = count.fetch_add(1, Ordering::Relaxed);
                    let size = 50_000 >> refusals.len().min(12);
                    let body = format!("{number} ").repeat(size / 5 + 1);
                    let new = new("api", Some(&format!("lane {worker}")), &body);
                    match store.accept(new.clone()).await {
                        Ok(_) => mine.push(new),
                        Err(error) => refusals.push(error),
                    }
                }
                (mine, refusals)
            })
        })
        .collect();
    let mut lanes = Vec::new();
    for worker in workers {
        let (mine, refusals) = worker.await.unwrap();
        for error in refusals {
            let is_full = matches!(error, StoreError::Full(Full::Disk));
            let is_failure = matches!(error, StoreError::Database(_));
            assert!(is_full || (is_failure && !disk.is_honest()), "{error}");
        }
        lanes.push(mine);
    }
    // An answer comes that there is no room for: it isn't written, and isn't lost either.
    let answer = (mainstay_outbox::StoredHead::default(), "x".repeat(8_000_000).into());
    let end = mainstay_outbox::Finish { answer: Some(answer), ..finish(Next::Delivered) };
    store.finish(&first, end.clone(), NOW).await.unwrap_err();
    assert_eq!(store.summary(first.id).await.unwrap().state, State::Waiting);
    let accepted: Vec<_> = lanes.iter().flatten().map(|new| new.id).collect();
    assert!(accepted.len() > 20, "{}", accepted.len());
    check_all(&store, &before, &accepted).await;
    // Another process opens it, still full.
    drop(store);
    let store = serve(&path);
    check_all(&store, &before, &accepted).await;
    disk.make_room();
    let late = new("api", Some("late"), "late");
    store.accept(late.clone()).await.unwrap();
    store.finish(&first, end, NOW).await.unwrap();
    let mut arrived = HashMap::<_, Vec<DeliveryId>>::new();
    loop {
        let offers = store.claim("api", NOW, 10).await.unwrap().offers;
        if offers.is_empty() {
            break;
        }
        for offer in offers {
            let lane = store.summary(offer.id).await.unwrap().lane;
            arrived.entry(lane.unwrap()).or_default().push(offer.id);
            store.finish(&offer, finish(Next::Delivered), NOW).await.unwrap();
        }
    }
    assert_eq!(arrived.remove("late").unwrap(), [late.id]);
    for (worker, mine) in lanes.iter().enumerate() {
        let wanted: Vec<_> = mine.iter().map(|new| new.id).collect();
        assert_eq!(arrived.remove(&format!("lane {worker}")).unwrap_or_default(), wanted);
    }
    assert!(arrived.is_empty());
    assert_eq!(store.check().await.unwrap(), []);
}

async fn check_all(store: &Store, before: &NewDelivery, accepted: &[DeliveryId]) {
    assert_eq!(store.check().await.unwrap(), []);
    let page = Page { after: None, most: u32::MAX };
    let all = store.list(Filter::default(), page).await.unwrap();
    let found: BTreeSet<_> = all.iter().map(|one| one.id).collect();
    let wanted: BTreeSet<_> = accepted.iter().copied().chain([before.id]).collect();
    assert_eq!(found, wanted, "what was accepted and nothing else");
}

/// Starts this test anew in a shell that prepares what it needs. Whether that could be done, and it was well.
fn in_shell(test: &str, script: &str, path: &Path) -> Result<(), String> {
    let program = std::env::current_exe().unwrap();
    let done = Command::new("sh")
        .arg("-c")
        .arg(script)
        .arg(program)
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, path)
        .output()
        .unwrap();
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
    if done.status.success() { Ok(()) } else { Err(text) }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}

/// The system lets no file grow beyond a size: that is another error than a full disk's, and quotas look the same.
struct Limited;

impl Disk for Limited {
    fn make_room(&self) {
        limit_files(None);
    }

    fn is_honest(&self) -> bool {
        false
    }
}

fn limit_files(current: Option<u64>) {
    let maximum = getrlimit(Resource::Fsize).maximum;
    setrlimit(Resource::Fsize, Rlimit { current: current.or(maximum), maximum }).unwrap();
}

#[test]
fn files_that_may_not_grow_lose_nothing_that_was_accepted() {
    if let Ok(path) = std::env::var(CHILD) {
        limit_files(Some(3_000_000));
        return block_on(fill(path.into(), Limited));
    }
    let stage = Stage::new();
    // The signal that comes with it would end the process.
    let script = "trap '' XFSZ; exec \"$0\" \"$@\"";
    in_shell("files_that_may_not_grow_lose_nothing_that_was_accepted", script, &stage.path())
        .unwrap();
}

/// A small disk in memory, of which a file takes some that nobody needs.
struct Small {
    ballast: PathBuf,
}

impl Disk for Small {
    fn make_room(&self) {
        std::fs::remove_file(&self.ballast).unwrap();
    }

    fn is_honest(&self) -> bool {
        true
    }
}

#[test]
fn a_full_disk_loses_nothing_that_was_accepted() {
    if let Ok(path) = std::env::var(CHILD) {
        let ballast = Path::new(&path).with_file_name("ballast");
        std::fs::write(&ballast, vec![1; 40_000_000]).unwrap();
        return block_on(fill(path.into(), Small { ballast }));
    }
    let can_mount = Command::new("unshare")
        .args(["--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"])
        .output()
        .is_ok_and(|done| done.status.success());
    if !can_mount {
        // A container may have no right to. Then the one above has to do, and `io.rs`, where the system says that the disk is full
        // without one that is.
        println!("no disk can be mounted here");
        return;
    }
    let stage = Stage::new();
    let script = "exec unshare --map-root-user --mount sh -c 'mount -t tmpfs -o size=44m none \"$DISK\" && exec \"$0\" \"$@\"' \"$0\" \"$@\"";
    let script = format!("DISK='{}'; export DISK; {script}", stage.dir().display());
    in_shell("a_full_disk_loses_nothing_that_was_accepted", &script, &stage.path()).unwrap();
}
