//! Incidents: what broke, since when, why, what it cost, and what ended it.
//!
//! When one begins and ends is [`mainstay_core::incident`]'s to say; here are the watches, one for each cause at each endpoint at which
//! something broke lately, and what is known of each incident. Breaks and calls are counted as they come, none is left out.
//!
//! ```text
//!   a break ────────────▶ watch of (upstream, endpoint, cause) ──▶ began, ended ─▶ changes, log, webhook
//!   a call is over ─────▶ its incidents: met, saved, failed
//!   each second ────────▶ all watches: answers, is it out, time
//! ```

mod call;
mod past;
mod show;
mod watches;

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mainstay_core::incident::{BeganBy, EndedBy, IncidentSettings, Turn};
use mainstay_core::{BreakKind, Certainty, Checked, Timestamp};
use parking_lot::Mutex;

use crate::CallId;
use call::Met;
pub(crate) use call::{CallEnd, is_nowhere};
pub use show::{
    Incident, IncidentCalls, IncidentFilter, IncidentFirst, IncidentMoment, IncidentSaves,
};
use watches::Watches;
pub(crate) use watches::{Key, Seen};

/// All incidents of the process, from when somebody keeps time for them: without that none would ever end.
#[derive(Debug, Default)]
pub(crate) struct Incidents {
    is_kept: AtomicBool,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    settings: Checked<IncidentSettings>,
    watches: Watches,
    /// The number of the last one.
    last: u64,
    /// Counts up with each change of any of them.
    version: u64,
    open: BTreeMap<u64, Known>,
    /// Those that are over, the newest last.
    ended: VecDeque<Known>,
    /// By the number of their first.
    groups: BTreeMap<u64, Group>,
}

/// Calls that met any incident of a group, each counted once.
#[derive(Debug, Default)]
struct Group {
    met: Met,
    /// How many incidents it has had.
    incidents: usize,
    /// How many calls had met it at moments before, from when it has several.
    past: past::Past,
    /// Those that were over before the incident which they met had begun: one may have met several.
    early: HashSet<CallId>,
}

/// What is known of one.
#[derive(Clone, Debug)]
struct Known {
    number: u64,
    /// The first of those that began together.
    group: u64,
    key: Key,
    began_at: Timestamp,
    began_unix_ms: u64,
    began_by: BeganBy,
    last_break_at: Timestamp,
    ended: Option<(Timestamp, EndedBy)>,
    /// What speaks for its end while it is open.
    sign: Option<(Timestamp, EndedBy)>,
    breaks: u64,
    met: Met,
    /// How many calls had met it at moments before.
    past: past::Past,
    first: First,
    version: u64,
}

/// What an incident is of, and the times of its breaks.
#[derive(Debug)]
pub(crate) struct Span {
    key: Key,
    times: RangeInclusive<Timestamp>,
}

/// A break, as far as one is told of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct First {
    pub(crate) call: Option<CallId>,
    pub(crate) certainty: Option<Certainty>,
    /// What the error said.
    pub(crate) details: Option<Arc<str>>,
}

/// An incident began or ended.
#[derive(Clone, Debug)]
pub struct IncidentTurn {
    /// What it is now.
    pub incident: Incident,
    /// Whether it began; else it ended.
    pub began: bool,
}

/// The time, on both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub(crate) at: Timestamp,
    pub(crate) unix_ms: u64,
}

impl Incidents {
    /// Begins and ends by these rules from now on.
    pub(crate) fn set(&self, settings: Checked<IncidentSettings>) {
        self.kept.lock().settings = settings;
        self.is_kept.store(true, Ordering::Relaxed);
    }

    /// Whether anybody keeps them: one load.
    pub(crate) fn are_kept(&self) -> bool {
        self.is_kept.load(Ordering::Relaxed)
    }

    /// Something broke.
    pub(crate) fn on_break(&self, key: Key, first: First, now: Now) -> Option<IncidentTurn> {
        let kept = &mut *self.kept.lock();
        let turn = kept.watches.on_break(&kept.settings, &key, first, now.at);
        let number = kept.watches.incident(&key);
        if let Some(known) = number.and_then(|number| kept.open.get_mut(&number)) {
            known.breaks += 1;
            known.last_break_at = known.last_break_at.max(now.at);
            known.sign = None;
            kept.version += 1;
            known.version = kept.version;
        }
        kept.take(&key, turn, now)
    }

    /// A breaker opened, by what was seen: what broke last at its endpoint is why.
    pub(crate) fn on_breaker_opened(
        &self,
        upstream: &Arc<str>,
        endpoint: &Arc<str>,
        now: Now,
    ) -> Option<IncidentTurn> {
        let kept = &mut *self.kept.lock();
        let (key, turn) =
            kept.watches.on_breaker_opened(&kept.settings, upstream, endpoint, now.at)?;
        kept.take(&key, turn, now)
    }

    pub(crate) fn on_breaker_closed(&self, upstream: &str, endpoint: &str, at: Timestamp) {
        let kept = &mut *self.kept.lock();
        kept.watches.of_endpoint(upstream, endpoint, |watch| watch.on_breaker_closed(at));
        kept.note_signs(upstream);
    }

    /// Active checks found an endpoint unhealthy.
    pub(crate) fn on_check_failed(
        &self,
        key: Key,
        details: Option<&Arc<str>>,
        now: Now,
    ) -> Option<IncidentTurn> {
        let first = First { details: details.cloned(), ..First::default() };
        let kept = &mut *self.kept.lock();
        let turn = kept.watches.on_check_failed(&kept.settings, &key, first, now.at);
        kept.take(&key, turn, now)
    }

    pub(crate) fn on_check_passed(&self, upstream: &str, endpoint: &str, at: Timestamp) {
        let kept = &mut *self.kept.lock();
        kept.watches.of_endpoint(upstream, endpoint, |watch| watch.on_check_passed(at));
        kept.note_signs(upstream);
    }

    /// A call that met breaks is over.
    pub(crate) fn on_call(&self, end: &CallEnd) {
        let kept = &mut *self.kept.lock();
        let mut groups: Vec<u64> = Vec::new();
        let mut early = Vec::new();
        for met in &end.breaks {
            kept.version += 1;
            let version = kept.version;
            let Some(known) = kept.find_mut(&met.key, met.at) else {
                early.push(met);
                continue;
            };
            known.met.add(end.met);
            known.version = version;
            if known.first.call == Some(end.id) && known.first.details.is_none() {
                known.first.details.clone_from(&met.details);
            }
            if !groups.contains(&known.group) {
                groups.push(known.group);
            }
        }
        for group in &groups {
            kept.groups.entry(*group).or_default().met.add(end.met);
        }
        // These may belong to some that haven't begun yet.
        early.into_iter().for_each(|met| kept.watches.on_call(&kept.settings, met, end, &groups));
    }

    /// A second has passed. `seen` tells how each endpoint of the upstream stands; one that isn't there is removed.
    pub(crate) fn look(
        &self,
        upstream: &Arc<str>,
        now: Now,
        seen: impl Fn(Option<&str>) -> Option<Seen>,
    ) -> Vec<IncidentTurn> {
        let kept = &mut *self.kept.lock();
        let turns = kept.watches.look(&kept.settings, upstream, now.at, seen);
        kept.note_signs(upstream);
        kept.note_past(upstream, now.at);
        turns.into_iter().filter_map(|(key, turn)| kept.take(&key, Some(turn), now)).collect()
    }

    /// Only these upstreams are left.
    pub(crate) fn only(&self, upstreams: &[Arc<str>], now: Now) -> Vec<IncidentTurn> {
        let kept = &mut *self.kept.lock();
        let turns = kept.watches.only(upstreams, now.at);
        let turns = turns.into_iter();
        let turns = turns.filter_map(|(key, turn)| kept.take(&key, Some(turn), now)).collect();
        kept.watches.forget_others(upstreams);
        turns
    }

    /// When the one of this name was, and of what.
    pub(crate) fn span(&self, id: &str) -> Option<Span> {
        let number: u64 = id.strip_prefix('i')?.parse().ok()?;
        let kept = self.kept.lock();
        let mut all = kept.open.values().chain(&kept.ended);
        all.find(|known| known.number == number).map(Known::span)
    }

    /// How many are open at an upstream.
    pub(crate) fn open_at(&self, upstream: &str) -> usize {
        self.kept.lock().open.values().filter(|known| *known.key.upstream == *upstream).count()
    }
}

impl Kept {
    /// What a watch said.
    fn take(&mut self, key: &Key, turn: Option<Turn>, now: Now) -> Option<IncidentTurn> {
        self.version += 1;
        let began = match turn? {
            Turn::Began { at, by, breaks } => {
                self.begin(key, (at, by), breaks.into(), now);
                true
            }
            Turn::Ended { at, by } => {
                self.end(key, at, by)?;
                false
            }
        };
        let known = if began { self.open.get(&self.last) } else { self.ended.back() };
        Some(IncidentTurn { incident: self.show(known?, now), began })
    }

    fn begin(&mut self, key: &Key, (at, by): (Timestamp, BeganBy), breaks: u64, now: Now) {
        self.last += 1;
        let early = self.watches.early(key, at, self.last);
        let is_near =
            |other: &&Known| other.key.upstream == key.upstream && other.key.kind == key.kind;
        let group = self.open.values().find(is_near).map_or(self.last, |other| other.group);
        let counted = self.groups.entry(group).or_default();
        counted.incidents += 1;
        let mut met = Met::default();
        for call in early.calls {
            met.add(call.met);
            if !call.counted.contains(&group) && counted.early.insert(call.id) {
                counted.met.add(call.met);
            }
        }
        let ago = u64::try_from(now.at.since(at).as_millis()).unwrap_or(u64::MAX);
        let known = Known {
            number: self.last,
            group,
            key: key.clone(),
            began_at: at,
            began_unix_ms: now.unix_ms.saturating_sub(ago),
            began_by: by,
            last_break_at: early.last_break_at.unwrap_or(at),
            ended: None,
            sign: None,
            breaks,
            met,
            past: past::Past::default(),
            first: early.first,
            version: self.version,
        };
        self.open.insert(self.last, known);
    }

    fn end(&mut self, key: &Key, at: Timestamp, by: EndedBy) -> Option<()> {
        let mut known = self.open.remove(&self.watches.incident(key)?)?;
        known.ended = Some((at.max(known.began_at), by));
        (known.sign, known.version) = (None, self.version);
        self.ended.push_back(known);
        if self.ended.len() > ENDED
            && let Some(oldest) = self.ended.pop_front()
        {
            let mut others = self.open.values().chain(&self.ended);
            if !others.any(|other| other.group == oldest.group) {
                self.groups.remove(&oldest.group);
            }
        }
        Some(())
    }

    /// Notes how many calls have met the open ones of an upstream, and their groups.
    fn note_past(&mut self, upstream: &str, at: Timestamp) {
        for known in self.open.values_mut().filter(|known| *known.key.upstream == *upstream) {
            known.past.note(at, known.met);
            if let Some(group) = self.groups.get_mut(&known.group).filter(|it| it.incidents > 1) {
                group.past.note(at, group.met);
            }
        }
    }

    /// Notes at the open ones of an upstream what speaks for their end.
    fn note_signs(&mut self, upstream: &str) {
        for known in self.open.values_mut().filter(|known| *known.key.upstream == *upstream) {
            let sign = self.watches.sign(&known.key);
            if known.sign != sign {
                self.version += 1;
                (known.sign, known.version) = (sign, self.version);
            }
        }
    }

    /// The incident that a break at that time belongs to: the one that is open, or the last that isn't any more.
    fn find_mut(&mut self, key: &Key, at: Timestamp) -> Option<&mut Known> {
        let is_of = |known: &&mut Known| known.key == *key && known.times().contains(&at);
        let number = self.watches.incident(key);
        let open = number.and_then(|number| self.open.get_mut(&number)).filter(is_of);
        open.or_else(|| self.ended.iter_mut().rev().find(is_of))
    }
}

impl Known {
    /// The times of the breaks that are its own.
    fn times(&self) -> RangeInclusive<Timestamp> {
        let until = self.ended.map_or(Timestamp::MAX, |(ended, _)| ended.max(self.last_break_at));
        self.began_at..=until
    }

    fn span(&self) -> Span {
        Span { key: self.key.clone(), times: self.times() }
    }
}

impl Span {
    /// Whether the call met it: by the clock by which it was counted, not by the times that are shown.
    pub(crate) fn has(&self, end: &CallEnd) -> bool {
        end.breaks.iter().any(|met| met.key == self.key && self.times.contains(&met.at))
    }
}

impl Key {
    pub(crate) fn of(upstream: &Arc<str>, endpoint: Option<&Arc<str>>, kind: BreakKind) -> Self {
        Self { upstream: Arc::clone(upstream), endpoint: endpoint.cloned(), kind }
    }
}

/// Incidents that are over and still shown: a bad day's.
const ENDED: usize = 256;

#[cfg(test)]
mod tests;
