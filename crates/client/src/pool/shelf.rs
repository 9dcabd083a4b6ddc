//! Where idle connections lie: in divisions, one for each of a few threads, the last one used on top.
//!
//! A thread looks into its own division first, where connections lie whose tasks run on its own runtime, and into
//! the others before it opens a new one. The last one used is taken first: it is the least likely to have been
//! closed by the peer, and those at the bottom grow old and are swept away when there is less to do.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mainstay_core::Timestamp;
use mainstay_core::idle::wants_look;
use parking_lot::Mutex;

use super::ConnectionState;
use super::rest::{Rest, Terms};
use super::single::Single;

/// The idle connections of one target.
#[derive(Debug)]
pub(super) struct Shelf {
    divisions: Box<[Mutex<Division>]>,
    /// Connections in all divisions.
    idle: AtomicUsize,
    max_idle: usize,
}

// One cache line each, so that cores don't pass a line to and fro.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Division {
    stack: Vec<Idle>,
    /// Connections that were taken to be used again.
    reused: u64,
}

#[derive(Debug)]
struct Idle {
    single: Box<Single>,
    terms: Terms,
    /// It has been told that it lived past what was thought to be the peer's limit.
    outlived: bool,
}

/// What was found.
#[derive(Debug)]
pub(super) enum Found {
    /// A connection that can take a request.
    Ready(Box<Single>),
    /// None can, but one may at once: its task hasn't had its turn since its last exchange.
    Soon,
    /// None.
    Nothing,
}

impl Shelf {
    pub(super) fn new(max_idle: usize) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        // Twice the cores, since threads are numbered as they come and not all of them make calls.
        let divisions =
            (0..(2 * cores).clamp(2, MAX_DIVISIONS)).map(|_| Mutex::default()).collect();
        Self { divisions, idle: AtomicUsize::new(0), max_idle }
    }

    /// How many divisions there are.
    pub(super) fn divisions(&self) -> usize {
        self.divisions.len()
    }

    /// The division of the calling thread.
    pub(super) fn own(&self) -> usize {
        THREAD.with(|number| number % self.divisions.len())
    }

    /// Takes a connection that can be used again, from the calling thread's division if there is one.
    pub(super) fn take(&self, now: Timestamp, rest: &Rest) -> Found {
        if self.idle.load(Ordering::SeqCst) == 0 {
            return Found::Nothing;
        }
        let own = self.own();
        let mut soon = false;
        for place in (own..self.divisions.len()).chain(0..own) {
            match self.take_from(place, now, rest) {
                Found::Nothing => {}
                Found::Soon => soon = true,
                Found::Ready(single) => return Found::Ready(single),
            }
        }
        if soon { Found::Soon } else { Found::Nothing }
    }

    fn take_from(&self, place: usize, now: Timestamp, rest: &Rest) -> Found {
        let mut division = self.divisions[place].lock();
        let mut soon = false;
        let mut at = division.stack.len();
        while at > 0 {
            at -= 1;
            match division.stack[at].state(now) {
                State::Soon => soon = true,
                State::Probe => {}
                state @ (State::Closed | State::Over) => {
                    self.note_gone(&division.stack.remove(at), &state, now, rest);
                }
                State::Ready if !division.stack[at].is_alive(now) => {
                    self.note_gone(&division.stack.remove(at), &State::Closed, now, rest);
                }
                State::Ready => {
                    let Idle { mut single, terms: Terms { since, .. }, .. } =
                        division.stack.remove(at);
                    division.reused += 1;
                    self.idle.fetch_sub(1, Ordering::Relaxed);
                    single.reused = true;
                    single.idle_since = Some(since);
                    return Found::Ready(single);
                }
            }
        }
        if soon { Found::Soon } else { Found::Nothing }
    }

    /// Puts a connection back, to rest on these terms. Closes it when there is no room.
    pub(super) fn put(&self, single: Box<Single>, terms: Terms) {
        // In one order with those who wait for a connection, and whom the giver wakes.
        if self.idle.fetch_add(1, Ordering::SeqCst) >= self.max_idle {
            self.idle.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        self.divisions[single.division].lock().stack.push(Idle { single, terms, outlived: false });
    }

    /// Closes one idle connection, the least recently used of some division. False when there is none.
    pub(super) fn close_one(&self) -> bool {
        self.divisions.iter().any(|division| {
            let mut division = division.lock();
            let any = !division.stack.is_empty();
            if any {
                division.stack.remove(0);
                self.idle.fetch_sub(1, Ordering::Relaxed);
            }
            any
        })
    }

    /// Closes what is of no more use.
    pub(super) fn sweep(&self, now: Timestamp, rest: &Rest) {
        for division in &self.divisions {
            division.lock().stack.retain_mut(|idle| {
                let state = idle.state(now);
                let keep = match &state {
                    State::Ready | State::Probe => {
                        idle.note_survival(now, rest);
                        // A probe has told what it was kept for.
                        !(idle.outlived && matches!(state, State::Probe))
                    }
                    State::Soon => now.since(idle.terms.since) < SOON_AT_MOST,
                    State::Closed | State::Over => false,
                };
                if !keep {
                    self.note_gone(idle, &state, now, rest);
                }
                keep
            });
        }
    }

    fn note_gone(&self, idle: &Idle, state: &State, now: Timestamp, rest: &Rest) {
        self.idle.fetch_sub(1, Ordering::Relaxed);
        match state {
            // Not when it is noticed, but when it happened.
            State::Closed => {
                rest.note_closed(idle.terms, idle.single.ended_at().unwrap_or(now).min(now));
            }
            State::Over if idle.terms.is_retired(now) => rest.note_avoided(),
            State::Over | State::Probe | State::Ready | State::Soon => {}
        }
    }

    /// Closes connections to peers that are gone.
    pub(super) fn drain(&self, is_gone: impl Fn(Option<SocketAddr>) -> bool) {
        for division in &self.divisions {
            division.lock().stack.retain(|idle| {
                let gone = is_gone(idle.single.meter().peer());
                if gone {
                    self.idle.fetch_sub(1, Ordering::Relaxed);
                }
                !gone
            });
        }
    }

    /// What the connections on it do, by their numbers.
    pub(super) fn states(&self, now: Timestamp, note: &mut impl FnMut(u64, ConnectionState)) {
        for division in &self.divisions {
            for idle in &division.lock().stack {
                let idle_for = now.since(idle.terms.since);
                note(idle.single.meter().id(), ConnectionState::Idle { idle_for });
            }
        }
    }

    /// Idle connections.
    pub(super) fn idle(&self) -> usize {
        self.idle.load(Ordering::Relaxed)
    }

    /// How often a connection was used again.
    pub(super) fn reused(&self) -> u64 {
        self.divisions.iter().map(|division| division.lock().reused).sum()
    }
}

/// What an idle connection is good for.
enum State {
    Ready,
    Soon,
    /// Kept, but not to be used: to see when the peer closes it.
    Probe,
    Closed,
    Over,
}

impl Idle {
    /// That it lives may say something of the peer's limit.
    fn note_survival(&mut self, now: Timestamp, rest: &Rest) {
        let rested = now.since(self.terms.since);
        if !self.outlived && rest.survival_counts(rested) && self.single.is_alive() {
            self.outlived = true;
            rest.note_survived(rested);
        }
    }

    /// Whether the socket has nothing to say against using it again, if it is to be asked.
    fn is_alive(&self, now: Timestamp) -> bool {
        !wants_look(now.since(self.terms.since)) || self.single.is_alive()
    }

    fn state(&self, now: Timestamp) -> State {
        if self.single.is_closed() {
            State::Closed
        } else if self.terms.kept_until <= now {
            State::Over
        } else if self.terms.usable_until <= now {
            State::Probe
        } else if self.single.is_ready() {
            State::Ready
        } else {
            State::Soon
        }
    }
}

thread_local! {
    /// The calling thread's number, in the order in which threads first made a call.
    static THREAD: usize = NEXT_THREAD.fetch_add(1, Ordering::Relaxed);
}

static NEXT_THREAD: AtomicUsize = AtomicUsize::new(0);

/// More divisions than this only make looking through them slower.
const MAX_DIVISIONS: usize = 64;

/// A connection whose answer is complete while its request isn't (the server had heard enough) may become free
/// when the application has sent all. So long, and no longer, it isn't worth closing.
const SOON_AT_MOST: Duration = Duration::from_secs(5);
