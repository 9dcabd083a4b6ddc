//! Incidents: listed, and one in detail.

use mainstay::Clock;
use mainstay_record::{FeedItem, Incident, IncidentFilter, WrongFilter};
use serde_json::{Value, json};

use super::paths;
use crate::proxy::Control;

/// The document of `/incidents`.
///
/// # Errors
///
/// The first parameter that can't be used.
pub(super) fn list(control: &Control, query: Option<&str>) -> Result<Value, WrongFilter> {
    let parameters = paths::parameters(query);
    let pairs = parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let filter = IncidentFilter::of(pairs)?;
    let (recorder, now) = (&control.shared.recorder, Clock::now());
    let open = IncidentFilter::of([("state", "open")]).map(|open| recorder.incidents(&open, now));
    Ok(json!({
        "version": 1,
        "open": open.map_or(0, |open| open.len()),
        "incidents": recorder.incidents(&filter, now),
    }))
}

/// The document of `/incidents/ID`: with what changed about its endpoint meanwhile, and some of the calls that met it: as many as
/// the query's `calls` says.
///
/// # Errors
///
/// The first parameter that can't be used.
pub(super) fn detail(
    control: &Control,
    id: &str,
    query: Option<&str>,
) -> Result<Option<Value>, WrongFilter> {
    let most = most_calls(query)?;
    let recorder = &control.shared.recorder;
    let Some((incident, group)) = recorder.incident(id, Clock::now()) else { return Ok(None) };
    let (changes, _) = recorder.changes_after(0);
    let changes: Vec<_> = changes
        .into_iter()
        .filter(|change| {
            let item = &change.item;
            *item.upstream == *incident.upstream
                && (item.endpoint.is_none()
                    // Where calls find no endpoint, what happened to any of them is why.
                    || incident.endpoint.is_none()
                    || item.endpoint == incident.endpoint)
                && around(&incident).contains(&item.at_unix_ms)
                && !is_of_another(item, &incident)
        })
        .collect();
    let mut calls = recorder.calls_of(&incident, usize::MAX);
    let kept = calls.len();
    calls.truncate(most);
    Ok(Some(json!({
        "version": 1, "incident": incident, "group": group, "changes": changes, "calls": calls,
        "calls_kept": kept,
    })))
}

fn most_calls(query: Option<&str>) -> Result<usize, WrongFilter> {
    let mut most = MOST_CALLS;
    for (name, value) in paths::parameters(query) {
        let wrong = |why, allowed: &str| WrongFilter::new(&name, &value, why, allowed);
        if name != "calls" {
            return Err(wrong("there is no such parameter", "calls"));
        }
        let number = value.parse().ok().filter(|number| (1..=2000).contains(number));
        most = number.ok_or_else(|| wrong("it is out of range", "1 to 2000"))?;
    }
    Ok(most)
}

/// A little before it, what may have led to it; until what ended it, since what came later is another story.
fn around(incident: &Incident) -> std::ops::RangeInclusive<u64> {
    let until = incident.ended_unix_ms.map_or(u64::MAX, |ended| ended.saturating_add(ROUNDED_MS));
    incident.began_unix_ms.saturating_sub(BEFORE_MS)..=until
}

/// Other incidents of the endpoint have their own pages.
fn is_of_another(item: &FeedItem, incident: &Incident) -> bool {
    item.event.starts_with("incident-") && item.what.as_deref() != Some(&*incident.id)
}

const BEFORE_MS: u64 = 30_000;

/// Two clocks are read one after the other, and told in whole milliseconds.
const ROUNDED_MS: u64 = 10;

/// As many as are read at a glance; the page asks for more when it is asked to.
const MOST_CALLS: usize = 20;
