//! How long connections may rest: what is learned of the peer's idle limit, and what became of those that rested.
//!
//! The decisions are [`IdleLimit`]'s. It hears of closes and of survivals that say something, both rare, behind a
//! lock; what it answers is copied to where a call reads it without one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::HeaderMap;
use mainstay_core::{IdleLimit, Reuse, Timestamp};
use parking_lot::Mutex;

/// What is known of resting at one endpoint.
#[derive(Debug)]
pub(super) struct Rest {
    idle_timeout: Duration,
    /// `None` when nothing is to be learned.
    limit: Option<Mutex<IdleLimit>>,
    /// What the machine answered last, in nanoseconds; `NONE` for nothing.
    retire_after: AtomicU64,
    survival_counts_from: AtomicU64,
    probe_at: AtomicU64,
    /// Whether connections are used again; until when not, in nanoseconds.
    reuse: Mutex<Reuse>,
    fresh_until: AtomicU64,
    avoided: AtomicU64,
    met: AtomicU64,
    seen: AtomicU64,
}

/// How long one connection may rest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) since: Timestamp,
    /// From then on it isn't used any more.
    pub(super) usable_until: Timestamp,
    /// From then on it isn't kept: later than the other for a probe.
    pub(super) kept_until: Timestamp,
    /// Whether the learned limit ends its use.
    learned: bool,
}

impl Terms {
    /// Whether it is kept no longer because of the learned limit: not as a probe, nor for the configured time.
    pub(super) fn is_retired(&self, now: Timestamp) -> bool {
        self.learned && self.usable_until == self.kept_until && self.kept_until <= now
    }
}

const NONE: u64 = u64::MAX;

impl Rest {
    pub(super) fn new(idle_timeout: Duration, learn: bool) -> Self {
        Self {
            idle_timeout,
            limit: learn.then(Mutex::default),
            retire_after: AtomicU64::new(NONE),
            survival_counts_from: AtomicU64::new(NONE),
            probe_at: AtomicU64::new(NONE),
            reuse: Mutex::default(),
            fresh_until: AtomicU64::new(0),
            avoided: AtomicU64::new(0),
            met: AtomicU64::new(0),
            seen: AtomicU64::new(0),
        }
    }

    /// The terms of a connection that rests from now on and may grow no older than `expires_at`.
    pub(super) fn terms(&self, now: Timestamp, expires_at: Timestamp) -> Terms {
        let terms = self.lent_terms(now, expires_at);
        if terms.learned && self.takes_probe(now) {
            return Terms { kept_until: expires_at.min(now + self.idle_timeout), ..terms };
        }
        terms
    }

    /// The same of one that another client's pool keeps: it can't be a probe, which must lie there unused.
    pub(super) fn lent_terms(&self, now: Timestamp, expires_at: Timestamp) -> Terms {
        let kept_until = expires_at.min(now + self.idle_timeout);
        let plain = Terms { since: now, usable_until: kept_until, kept_until, learned: false };
        let Some(usable_until) = read(&self.retire_after).map(|after| now + after) else {
            return plain;
        };
        if usable_until >= kept_until {
            return plain;
        }
        Terms { usable_until, kept_until: usable_until, learned: true, ..plain }
    }

    /// Whether a connection that has rested for so long has rested long enough, by the configured time.
    pub(super) fn is_over(&self, rested: Duration) -> bool {
        rested >= self.idle_timeout
    }

    /// Whether one that has rested for so long isn't to be used any more, by the learned limit.
    pub(super) fn is_retired(&self, rested: Duration) -> bool {
        read(&self.retire_after).is_some_and(|after| rested >= after)
    }

    /// Whether the connection in hand is to be left lying unused, to see when the peer closes it.
    pub(super) fn takes_probe(&self, now: Timestamp) -> bool {
        let due = read(&self.probe_at).is_some_and(|at| Timestamp::ZERO + at <= now);
        due && self.tell(|limit| {
            let due = limit.probe_at().is_some_and(|at| at <= now);
            if due {
                limit.on_probe(now);
            }
            due
        })
    }

    /// A connection was let go of before the peer would have closed it.
    pub(super) fn note_avoided(&self) {
        self.avoided.fetch_add(1, Ordering::Relaxed);
    }

    /// The peer closed a resting connection, while it might still have been used or not.
    pub(super) fn note_closed(&self, terms: Terms, at: Timestamp) {
        if terms.learned && at >= terms.usable_until {
            self.note_avoided();
        } else {
            self.note_seen();
        }
        self.learn_close(at.since(terms.since), at);
    }

    /// The peer closed a connection while it rested, nobody knows when.
    pub(super) fn note_seen(&self) {
        self.seen.fetch_add(1, Ordering::Relaxed);
    }

    /// A request met the peer's close, after its connection had rested for so long.
    pub(super) fn note_met(&self, rested: Option<Duration>, now: Timestamp) {
        self.met.fetch_add(1, Ordering::Relaxed);
        let mut reuse = self.reuse.lock();
        reuse.on_met(now);
        write(&self.fresh_until, Some(reuse.fresh_until().since(Timestamp::ZERO)));
        drop(reuse);
        if let Some(rested) = rested {
            self.learn_close(rested, now);
        }
    }

    /// Whether connections of this peer are kept and used again.
    pub(super) fn reuses(&self, now: Timestamp) -> bool {
        read(&self.fresh_until).is_none_or(|until| Timestamp::ZERO + until <= now)
    }

    /// Teaches the time of a close.
    pub(super) fn learn_close(&self, rested: Duration, at: Timestamp) {
        self.tell(|limit| limit.on_peer_closed(rested, at));
    }

    /// Whether it says something that a connection lives after resting for so long. If so, tell of it once.
    pub(super) fn survival_counts(&self, rested: Duration) -> bool {
        read(&self.survival_counts_from).is_some_and(|from| rested >= from)
    }

    pub(super) fn note_survived(&self, rested: Duration) {
        self.tell(|limit| limit.on_survived(rested));
    }

    /// Reads what an answer says of how long its connection is kept. The same in each answer, so ask at a
    /// connection's first.
    pub(super) fn note_hint(&self, fields: &HeaderMap) {
        if let Some(timeout) =
            fields.get("keep-alive").and_then(|field| timeout_in(field.as_bytes()))
        {
            self.tell(|limit| limit.on_hint(timeout));
        }
    }

    pub(super) fn avoided(&self) -> u64 {
        self.avoided.load(Ordering::Relaxed)
    }

    pub(super) fn met(&self) -> u64 {
        self.met.load(Ordering::Relaxed)
    }

    pub(super) fn seen(&self) -> u64 {
        self.seen.load(Ordering::Relaxed)
    }

    /// The peer's limit, as far as is known.
    pub(super) fn limit(&self) -> Option<Duration> {
        self.limit.as_ref()?.lock().limit()
    }

    /// Tells the machine something, and copies its new answers. The default where nothing is to be learned.
    fn tell<T: Default>(&self, tell: impl FnOnce(&mut IdleLimit) -> T) -> T {
        let Some(limit) = &self.limit else { return T::default() };
        let mut limit = limit.lock();
        let told = tell(&mut limit);
        write(&self.retire_after, limit.retire_after());
        write(&self.survival_counts_from, limit.survival_counts_from());
        write(&self.probe_at, limit.probe_at().map(|at| at.since(Timestamp::ZERO)));
        told
    }
}

fn read(nanos: &AtomicU64) -> Option<Duration> {
    let nanos = nanos.load(Ordering::Relaxed);
    (nanos != NONE).then(|| Duration::from_nanos(nanos))
}

fn write(nanos: &AtomicU64, value: Option<Duration>) {
    nanos.store(value.map_or(NONE, mainstay_core::time::nanos), Ordering::Relaxed);
}

/// `timeout=5, max=100`: the seconds. An absurd number is none.
fn timeout_in(field: &[u8]) -> Option<Duration> {
    let field = std::str::from_utf8(field).ok()?;
    let timeout = field.split(',').find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("timeout").then(|| value.trim().trim_matches('"'))
    })?;
    timeout.parse().ok().map(|seconds: u32| Duration::from_secs(seconds.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn connections_are_neither_kept_nor_used_again_while_requests_meet_closes() {
        let rest = Rest::new(50 * SECOND, true);
        assert!(rest.reuses(at(10)));
        (0..3).for_each(|_| rest.note_met(None, at(10)));
        assert!(!rest.reuses(at(10)));
        assert!(rest.reuses(at(11)));
    }

    /// Has met a peer that closes after two seconds.
    fn taught() -> Rest {
        let rest = Rest::new(50 * SECOND, true);
        rest.learn_close(2 * SECOND, at(10));
        rest.learn_close(2 * SECOND, at(20));
        rest
    }

    #[test]
    fn nothing_learned_changes_nothing() {
        let terms = Rest::new(50 * SECOND, true).terms(at(1), at(31));
        assert_eq!((terms.usable_until, terms.kept_until, terms.learned), (at(31), at(31), false));
    }

    #[test]
    fn a_learned_limit_ends_a_connections_use_before_it_and_a_switch_turns_that_off() {
        let terms = taught().terms(at(100), at(1000));
        assert_eq!(terms.usable_until, Timestamp::from_millis(101_800));
        assert_eq!((terms.kept_until, terms.learned), (terms.usable_until, true));
        let off = Rest::new(50 * SECOND, false);
        off.learn_close(2 * SECOND, at(10));
        off.learn_close(2 * SECOND, at(20));
        assert_eq!((off.limit(), off.terms(at(100), at(1000)).usable_until), (None, at(150)));
    }

    #[test]
    fn now_and_then_one_is_kept_past_its_use() {
        let rest = taught();
        let terms = rest.terms(at(400), at(1000));
        assert_eq!((terms.usable_until, terms.kept_until), (at(400) + SECOND * 9 / 5, at(450)));
        let next = rest.terms(at(401), at(1000));
        assert_eq!(next.usable_until, next.kept_until);
    }

    #[test]
    fn a_close_after_a_connections_use_was_over_counts_as_avoided() {
        let rest = taught();
        let terms = rest.terms(at(100), at(1000));
        rest.note_closed(terms, at(102));
        rest.note_closed(terms, at(101));
        assert_eq!((rest.avoided(), rest.seen(), rest.met()), (1, 1, 0));
    }

    #[test]
    fn the_seconds_of_a_keep_alive_field_are_found_among_others() {
        let seconds = |text: &str| timeout_in(text.as_bytes()).map(|timeout| timeout.as_secs());
        assert_eq!(seconds("timeout=5, max=100"), Some(5));
        assert_eq!(seconds("max=100, Timeout = \"75\""), Some(75));
        for text in ["", "max=100", "timeout", "timeout=-1", "timeout=99999999999", "\u{fc}"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
