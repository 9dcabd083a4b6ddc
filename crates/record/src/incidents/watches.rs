//! The watches, and what is kept for an incident that hasn't begun yet.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use mainstay_core::incident::{EndedBy, IncidentSettings, Turn, Watch};
use mainstay_core::{BreakKind, Checked, Timestamp};

use super::First;
use super::call::{BreakOfCall, CallEnd, Met};
use crate::CallId;

/// What is watched.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) upstream: Arc<str>,
    /// None: calls for which no endpoint was found.
    pub(crate) endpoint: Option<Arc<str>>,
    pub(crate) kind: BreakKind,
}

/// How a place stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// Whether it isn't asked, by what was seen of it.
    pub(crate) is_out: bool,
    /// Answers so far.
    pub(crate) answered: u64,
}

/// All of them, by their upstream.
#[derive(Debug, Default)]
pub(super) struct Watches {
    by_upstream: HashMap<Arc<str>, HashMap<Key, Entry>>,
    count: usize,
}

#[derive(Debug, Default)]
struct Entry {
    watch: Watch,
    /// The last breaks, as many as make an incident at most.
    breaks: VecDeque<(Timestamp, First)>,
    /// Calls that met them and are over.
    calls: VecDeque<EarlyCall>,
    /// Answers at the last look; nothing if something has broken since.
    answered: Option<u64>,
    /// The number of the incident that is open, or was last.
    incident: Option<u64>,
}

/// A call that was over before the incident that it met had begun.
#[derive(Clone, Debug)]
pub(super) struct EarlyCall {
    /// When it met the break.
    at: Timestamp,
    pub(super) id: CallId,
    pub(super) met: Met,
    /// The groups in which it is counted already, by another break of it.
    pub(super) counted: Vec<u64>,
}

/// What was known of an incident when it began.
#[derive(Debug, Default)]
pub(super) struct Early {
    pub(super) first: First,
    pub(super) calls: Vec<EarlyCall>,
    pub(super) last_break_at: Option<Timestamp>,
}

type Settings = Checked<IncidentSettings>;

impl Watches {
    pub(super) fn on_break(
        &mut self,
        settings: &Settings,
        key: &Key,
        first: First,
        at: Timestamp,
    ) -> Option<Turn> {
        let entry = self.entry(settings, key, at)?;
        entry.answered = None;
        let turn = entry.watch.on_break(settings, at);
        if turn.is_some() || !entry.watch.is_open() {
            bounded(&mut entry.breaks, settings, (at, first));
        }
        turn
    }

    pub(super) fn on_check_failed(
        &mut self,
        settings: &Settings,
        key: &Key,
        first: First,
        at: Timestamp,
    ) -> Option<Turn> {
        let entry = self.entry(settings, key, at)?;
        let turn = entry.watch.on_check_failed(settings, at);
        if turn.is_some() && entry.breaks.is_empty() {
            entry.breaks.push_back((at, first));
        }
        turn
    }

    /// Of what broke last at the endpoint; nothing broke where answers were only slow.
    pub(super) fn on_breaker_opened(
        &mut self,
        settings: &Settings,
        upstream: &str,
        endpoint: &str,
        at: Timestamp,
    ) -> Option<(Key, Option<Turn>)> {
        let of = |key: &Key| is_of(key, upstream, Some(endpoint));
        let is_near = |last: Timestamp| at.since(last) <= settings.within;
        let entries = self.by_upstream.get_mut(upstream)?;
        let last = entries.iter().filter(|(key, _)| of(key));
        let last = last.filter_map(|(key, entry)| Some((entry.breaks.back()?.0, key)));
        // While one is open its breaks aren't kept, but then nothing new begins either.
        let open = entries.iter().find(|(key, entry)| of(key) && entry.watch.is_open());
        let (_, key) = match open {
            Some((key, _)) => (at, key),
            None => last.filter(|(last, _)| is_near(*last)).max_by_key(|(last, _)| *last)?,
        };
        let key = key.clone();
        let turn = entries.get_mut(&key)?.watch.on_breaker_opened(settings, at);
        Some((key, turn))
    }

    pub(super) fn of_endpoint(
        &mut self,
        upstream: &str,
        endpoint: &str,
        mut tell: impl FnMut(&mut Watch),
    ) {
        let of = self.by_upstream.get_mut(upstream).into_iter().flatten();
        let of = of.filter(|(key, _)| is_of(key, upstream, Some(endpoint)));
        of.for_each(|(_, entry)| tell(&mut entry.watch));
    }

    /// A call is over that met a break which belongs to no incident so far; in these groups it is counted already.
    pub(super) fn on_call(
        &mut self,
        settings: &Settings,
        met: &BreakOfCall,
        end: &CallEnd,
        counted: &[u64],
    ) {
        let Some(entry) = self.known(&met.key) else { return };
        let call = EarlyCall { at: met.at, id: end.id, met: end.met, counted: counted.to_vec() };
        bounded(&mut entry.calls, settings, call);
        if let Some((_, first)) = entry.breaks.iter_mut().find(|(_, it)| it.call == Some(end.id)) {
            first.details.clone_from(&met.details);
        }
    }

    /// One has begun at that time: its first break, the calls that met it and are over, and its last break.
    pub(super) fn early(&mut self, key: &Key, began: Timestamp, number: u64) -> Early {
        let Some(entry) = self.known(key) else { return Early::default() };
        entry.incident = Some(number);
        let breaks = std::mem::take(&mut entry.breaks);
        let last_break_at = breaks.back().map(|(at, _)| *at);
        let first = breaks.into_iter().find(|(at, _)| *at >= began).map(|(_, first)| first);
        let calls = std::mem::take(&mut entry.calls);
        let calls = calls.into_iter().filter(|call| call.at >= began).collect();
        Early { first: first.unwrap_or_default(), calls, last_break_at }
    }

    pub(super) fn look(
        &mut self,
        settings: &Settings,
        upstream: &str,
        at: Timestamp,
        seen: impl Fn(Option<&str>) -> Option<Seen>,
    ) -> Vec<(Key, Turn)> {
        let mut turns = Vec::new();
        let Some(entries) = self.by_upstream.get_mut(upstream) else { return turns };
        let before = entries.len();
        entries.retain(|key, entry| {
            if !entry.watch.is_open() {
                return !entry.watch.is_idle(settings, at);
            }
            let turn = match seen(key.endpoint.as_deref()) {
                None => entry.watch.on_removed(at),
                Some(seen) => {
                    if let Some(before) = entry.answered.replace(seen.answered) {
                        let count = seen.answered.saturating_sub(before);
                        let count = u32::try_from(count).unwrap_or(u32::MAX);
                        entry.watch.on_answers(settings, count, at);
                    }
                    entry.watch.on_time(settings, at, seen.is_out)
                }
            };
            turns.extend(turn.map(|turn| (key.clone(), turn)));
            true
        });
        self.count -= before - entries.len();
        turns
    }

    pub(super) fn only(&mut self, upstreams: &[Arc<str>], at: Timestamp) -> Vec<(Key, Turn)> {
        let mut turns = Vec::new();
        for (upstream, entries) in &mut self.by_upstream {
            if !upstreams.contains(upstream) {
                for (key, entry) in entries {
                    turns.extend(entry.watch.on_removed(at).map(|turn| (key.clone(), turn)));
                }
            }
        }
        turns
    }

    /// Only these upstreams are left.
    pub(super) fn forget_others(&mut self, upstreams: &[Arc<str>]) {
        self.by_upstream.retain(|upstream, _| upstreams.contains(upstream));
        self.count = self.by_upstream.values().map(HashMap::len).sum();
    }

    /// What speaks for the end of the one that is open.
    pub(super) fn sign(&self, key: &Key) -> Option<(Timestamp, EndedBy)> {
        self.by_upstream.get(&key.upstream)?.get(key)?.watch.sign()
    }

    /// The incident that is open, or was the last one.
    pub(super) fn incident(&self, key: &Key) -> Option<u64> {
        self.by_upstream.get(&key.upstream)?.get(key)?.incident
    }

    fn known(&mut self, key: &Key) -> Option<&mut Entry> {
        self.by_upstream.get_mut(&key.upstream)?.get_mut(key)
    }

    /// The watch of a key. When there are too many, those that know nothing leave; if all know something, no more come.
    fn entry(&mut self, settings: &Settings, key: &Key, at: Timestamp) -> Option<&mut Entry> {
        if self.known(key).is_none() {
            if self.count >= WATCHES {
                let all = self.by_upstream.values_mut();
                all.for_each(|all| all.retain(|_, entry| !entry.watch.is_idle(settings, at)));
                self.count = self.by_upstream.values().map(HashMap::len).sum();
            }
            if self.count >= WATCHES {
                return None;
            }
            let entries = self.by_upstream.entry(Arc::clone(&key.upstream)).or_default();
            entries.insert(key.clone(), Entry::default());
            self.count += 1;
        }
        self.known(key)
    }
}

fn is_of(key: &Key, upstream: &str, endpoint: Option<&str>) -> bool {
    *key.upstream == *upstream && key.endpoint.as_deref() == endpoint
}

fn bounded<T>(list: &mut VecDeque<T>, settings: &Settings, item: T) {
    if list.len() >= usize::from(settings.breaks) {
        list.pop_front();
    }
    list.push_back(item);
}

/// A thousand endpoints that break in four ways each.
const WATCHES: usize = 4096;
