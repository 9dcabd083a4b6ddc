//! Incidents as they are shown.

use std::fmt::Write as _;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::call::Met;
use super::past::Past;
use super::{Incidents, Kept, Known, Now};
use crate::WrongFilter;
use crate::feed::millis;

/// An incident. Lengths are in milliseconds, times in milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Its name, in this process.
    pub id: String,
    /// The name of the first of those that began together: the same cause at several endpoints.
    pub group: String,
    /// The name of the upstream.
    pub upstream: Arc<str>,
    /// The endpoint; `None` for calls for which none was found.
    pub endpoint: Option<Arc<str>>,
    /// The code of what broke.
    pub cause: String,
    /// `open` or `ended`.
    pub state: String,
    /// When its first break was.
    pub began_unix_ms: u64,
    /// Why it is one: `breaks`, `breaker-opened`, `check-failed`.
    pub began_by: String,
    /// When its last break was.
    pub last_break_unix_ms: u64,
    /// When it ended.
    pub ended_unix_ms: Option<u64>,
    /// Why: `breaker-closed`, `check-passed`, `answers`, `quiet`, `removed`.
    pub ended_by: Option<String>,
    /// Since when something speaks for its end while it is open: it is over once that has held for a while.
    #[serde(default)]
    pub well_since_unix_ms: Option<u64>,
    /// What that is: as `ended_by`.
    #[serde(default)]
    pub well_by: Option<String>,
    /// Until its end, or until now.
    pub lasted_ms: f64,
    /// What broke, all of it.
    pub breaks: u64,
    /// What became of the calls that met it and are over.
    pub calls: IncidentCalls,
    /// What saved those that were saved.
    pub saved_by: IncidentSaves,
    /// What became of the calls that met any incident of its group: each counted once, however many of them it met.
    #[serde(default)]
    pub group_calls: IncidentCalls,
    /// What saved those of them that were saved.
    #[serde(default)]
    pub group_saved_by: IncidentSaves,
    /// How many calls had met it at moments before, the oldest first, where that was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub past: Vec<IncidentMoment>,
    /// The same of its group, each call once; told by the group's first, where it has had several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub group_past: Vec<IncidentMoment>,
    /// What was seen first.
    pub first: IncidentFirst,
    /// The same in a sentence, without times.
    pub summary: String,
}

/// Calls that met an incident: `met` = `saved` + `failed` + `left`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncidentCalls {
    /// All.
    pub met: u64,
    /// Their application got a good answer all the same.
    pub saved: u64,
    /// It didn't.
    pub failed: u64,
    /// It went away first.
    pub left: u64,
}

/// Calls that had met an incident at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncidentMoment {
    /// When: it was so until the next one.
    pub at_unix_ms: u64,
    /// The calls.
    pub calls: IncidentCalls,
    /// What had saved those that were saved.
    pub saved_by: IncidentSaves,
}

/// What saved calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncidentSaves {
    /// Another attempt at the same endpoint.
    pub retry: u64,
    /// Another endpoint.
    pub failover: u64,
    /// A second attempt beside the first.
    pub hedge: u64,
    /// A broken body was continued.
    pub heal: u64,
}

/// The first break of an incident.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncidentFirst {
    /// The call that met it.
    pub call: Option<String>,
    /// When.
    pub at_unix_ms: u64,
    /// In which phase.
    pub phase: Option<String>,
    /// How far the request got.
    pub certainty: Option<String>,
    /// What the error said.
    pub details: Option<String>,
}

/// Which incidents are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IncidentFilter {
    open: Option<bool>,
    upstream: Option<String>,
    limit: Option<usize>,
    past: bool,
}

impl IncidentFilter {
    /// The filter of a query's parameters.
    ///
    /// # Errors
    ///
    /// The first parameter that can't be used.
    pub fn of<'a>(
        parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, WrongFilter> {
        let mut filter = Self::default();
        for (name, value) in parameters {
            let wrong = |why, allowed: &str| WrongFilter::new(name, value, why, allowed);
            match (name, value) {
                ("state", "open") => filter.open = Some(true),
                ("state", "ended") => filter.open = Some(false),
                ("state", _) => return Err(wrong("there is no such state", "open, ended")),
                ("upstream", _) => filter.upstream = Some(value.to_owned()),
                ("limit", _) => {
                    let limit = value.parse().ok().filter(|limit| (1..=1000).contains(limit));
                    filter.limit =
                        Some(limit.ok_or_else(|| wrong("it is out of range", "1 to 1000"))?);
                }
                ("past", "true") => filter.past = true,
                ("past", "false") => filter.past = false,
                ("past", _) => return Err(wrong("it is neither", "true, false")),
                _ => {
                    return Err(wrong(
                        "there is no such parameter",
                        "state, upstream, limit, past",
                    ));
                }
            }
        }
        Ok(filter)
    }
}

impl Incidents {
    /// Those that are wanted, the newest first.
    pub(crate) fn list(&self, filter: &IncidentFilter, now: Now) -> Vec<Incident> {
        let kept = self.kept.lock();
        let mut all: Vec<&Known> = kept.open.values().chain(&kept.ended).collect();
        all.retain(|known| {
            filter.open.is_none_or(|open| open == known.ended.is_none())
                && filter.upstream.as_ref().is_none_or(|name| **name == *known.key.upstream)
        });
        all.sort_unstable_by_key(|known| std::cmp::Reverse(known.number));
        let limit = filter.limit.unwrap_or(usize::MAX);
        let show = |known: &Known| match filter.past {
            true => kept.show_past(known, now),
            false => kept.show(known, now),
        };
        all.into_iter().take(limit).map(show).collect()
    }

    /// The one of this name, and the others of its group.
    pub(crate) fn find(&self, id: &str, now: Now) -> Option<(Incident, Vec<Incident>)> {
        let number: u64 = id.strip_prefix('i')?.parse().ok()?;
        let kept = self.kept.lock();
        let all = || kept.open.values().chain(&kept.ended);
        let found = all().find(|known| known.number == number)?;
        let others = all().filter(|known| known.group == found.group && known.number != number);
        Some((kept.show_past(found, now), others.map(|known| kept.show(known, now)).collect()))
    }

    /// Those that have changed since this version, and the version now.
    pub(crate) fn changed(&self, since: u64, now: Now) -> (Vec<Incident>, u64) {
        let kept = self.kept.lock();
        let all = kept.open.values().chain(&kept.ended);
        let changed = all.filter(|known| known.version > since).map(|known| kept.show(known, now));
        (changed.collect(), kept.version)
    }
}

impl Kept {
    /// One, with what is known of its group.
    pub(super) fn show(&self, known: &Known, now: Now) -> Incident {
        let group = self.groups.get(&known.group).map(|group| group.met).unwrap_or_default();
        Incident { group_calls: group.calls(), group_saved_by: group.saved_by(), ..known.show(now) }
    }

    /// The same, with how it stood before.
    fn show_past(&self, known: &Known, now: Now) -> Incident {
        let is_first = known.number == known.group;
        let group = self.groups.get(&known.group).filter(|_| is_first);
        Incident {
            past: known.moments(&known.past),
            group_past: group.map(|group| known.moments(&group.past)).unwrap_or_default(),
            ..self.show(known, now)
        }
    }
}

impl Met {
    fn calls(&self) -> IncidentCalls {
        let Self { saved, failed, left, .. } = *self;
        IncidentCalls { met: saved + failed + left, saved, failed, left }
    }

    fn saved_by(&self) -> IncidentSaves {
        let [retry, failover, hedge, heal] = self.saved_by;
        IncidentSaves { retry, failover, hedge, heal }
    }
}

impl Known {
    fn unix(&self, at: mainstay_core::Timestamp) -> u64 {
        let after = at.since(self.began_at).as_millis();
        self.began_unix_ms + u64::try_from(after).unwrap_or(u64::MAX)
    }

    fn moments(&self, past: &Past) -> Vec<IncidentMoment> {
        let moment = |(at, met): &(mainstay_core::Timestamp, Met)| IncidentMoment {
            at_unix_ms: self.unix(*at),
            calls: met.calls(),
            saved_by: met.saved_by(),
        };
        past.moments().iter().map(moment).collect()
    }

    fn show(&self, now: Now) -> Incident {
        let kind = self.key.kind;
        let until = self.ended.map_or(now.at, |(at, _)| at);
        let mut incident = Incident {
            id: format!("i{}", self.number),
            group: format!("i{}", self.group),
            upstream: Arc::clone(&self.key.upstream),
            endpoint: self.key.endpoint.clone(),
            cause: kind.code().to_owned(),
            state: if self.ended.is_some() { "ended" } else { "open" }.to_owned(),
            began_unix_ms: self.began_unix_ms,
            began_by: self.began_by.code().to_owned(),
            last_break_unix_ms: self.unix(self.last_break_at),
            ended_unix_ms: self.ended.map(|(at, _)| self.unix(at)),
            ended_by: self.ended.map(|(_, by)| by.code().to_owned()),
            well_since_unix_ms: self.sign.map(|(at, _)| self.unix(at)),
            well_by: self.sign.map(|(_, by)| by.code().to_owned()),
            lasted_ms: millis(until.since(self.began_at)).round(),
            breaks: self.breaks,
            calls: self.met.calls(),
            saved_by: self.met.saved_by(),
            group_calls: IncidentCalls::default(),
            group_saved_by: IncidentSaves::default(),
            past: Vec::new(),
            group_past: Vec::new(),
            first: IncidentFirst {
                call: self.first.call.map(|call| call.to_string()),
                at_unix_ms: self.began_unix_ms,
                phase: Some(kind.phase().code().to_owned()),
                certainty: self.first.certainty.map(|certainty| certainty.code().to_owned()),
                details: self.first.details.as_deref().map(str::to_owned),
            },
            summary: String::new(),
        };
        incident.summary = summary(&incident);
        incident
    }
}

/// What happened, in a sentence without times.
fn summary(incident: &Incident) -> String {
    let Incident { upstream, cause, calls, saved_by, .. } = incident;
    let mut text = match &incident.endpoint {
        Some(endpoint) => format!("{upstream}: endpoint {endpoint} broke with {cause}"),
        None => format!("{upstream}: no endpoint could be asked ({cause})"),
    };
    let _ = write!(
        text,
        "; {} met it, {} saved",
        if calls.met == 1 { "1 call".to_owned() } else { format!("{} calls", grouped(calls.met)) },
        grouped(calls.saved)
    );
    let IncidentSaves { retry, failover, hedge, heal } = *saved_by;
    let ways =
        [(retry, "by retry"), (failover, "by failover"), (hedge, "by a hedge"), (heal, "healed")];
    let ways: Vec<_> = ways
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, how)| format!("{} {how}", grouped(*count)))
        .collect();
    if !ways.is_empty() {
        let _ = write!(text, " ({})", ways.join(", "));
    }
    let _ = write!(text, ", {} failed", grouped(calls.failed));
    if calls.left > 0 {
        let _ = write!(text, ", {} left", grouped(calls.left));
    }
    text
}

/// A number with commas between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn a_filter_that_cant_be_used_is_named() {
        for (name, value) in [("state", "shut"), ("limit", "0"), ("limit", "x"), ("since", "1")] {
            assert_eq!(IncidentFilter::of([(name, value)]).unwrap_err().parameter, name);
        }
        assert!(IncidentFilter::of([("state", "open"), ("limit", "3"), ("upstream", "a")]).is_ok());
    }
}
