//! One sentence that says what is broken, since when, why, and what it costs; and one on what Mainstay does about it: the same as
//! on the dashboard, by one table of cases (`headlines.json`).

use super::known::Known;
use super::picture::{Picture, UpstreamPart};
use crate::top::told::{Breaker, Counts, Endpoint, Incident, Met};
use crate::top::words::{self, Kind, costs, count, ended, left, list, of, since, span, state};

/// The sentences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Headline {
    pub(crate) kind: Kind,
    pub(crate) text: String,
    pub(crate) next: String,
}

/// Incidents of one upstream and cause that began together: told as one; each of them still is one wherever incidents are counted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Group<'a> {
    pub(crate) first: &'a Incident,
    /// How many they are.
    pub(crate) incidents: u64,
    pub(crate) endpoints: Vec<&'a str>,
    pub(crate) began: u64,
    pub(crate) met: u64,
    pub(crate) saved: u64,
    pub(crate) failed: u64,
    pub(crate) saved_by: Counts,
    /// All of them are well again, since the last of them is.
    pub(crate) well_since: Option<u64>,
}

impl<'a> Group<'a> {
    /// A call that met the cause at three endpoints is one call: the group counts it once, where a sum would count it three times.
    /// Whichever of them changed last has the group's newest count.
    fn of(all: &[&'a Incident]) -> Option<Self> {
        let first = *all.first()?;
        // An older address doesn't tell of groups: no fewer calls than the most of one.
        let of_group = |one: &&'a Incident| one.group_calls.as_ref().unwrap_or(&one.calls).met;
        let newest = *all.iter().max_by_key(|one| of_group(one))?;
        let is_one = all.len() == 1;
        let calls = newest.group_calls.as_ref().filter(|_| !is_one).unwrap_or(&newest.calls);
        let saved_by = newest.group_saved_by.as_ref().filter(|_| !is_one);
        let (Met { met, saved, failed, .. }, saved_by) =
            (calls, saved_by.unwrap_or(&newest.saved_by));
        let mut endpoints: Vec<_> = all.iter().filter_map(|one| one.endpoint.as_deref()).collect();
        endpoints.sort_unstable();
        let well = all.iter().map(|one| one.well_since_unix_ms);
        Some(Self {
            first,
            incidents: all.len() as u64,
            endpoints,
            began: all.iter().map(|one| one.began_unix_ms).min()?,
            met: *met,
            saved: *saved,
            failed: *failed,
            saved_by: saved_by.clone(),
            well_since: well.collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().max()),
        })
    }

    pub(crate) fn costs(&self) -> String {
        costs(self.saved, &self.saved_by, self.failed)
    }
}

/// How many names a sentence may hold.
const MOST_NAMES: usize = 4;

pub(crate) fn headline(known: &Known, now: u64) -> Headline {
    let Some(picture) = &known.picture else {
        let text = "Waiting for the first news".to_owned();
        return Headline { kind: Kind::Off, text, next: String::new() };
    };
    if picture.top.says.draining {
        let text = "Mainstay is draining: it takes no new calls, and ends when those on their way \
                    are done.";
        return Headline { kind: Kind::Warn, text: text.to_owned(), next: String::new() };
    }
    let incidents = known.incidents();
    let open = groups(incidents.iter().copied().filter(|one| one.is_open()));
    if !open.is_empty() {
        return of_incident(picture, &open, now);
    }
    of_endpoints(picture, now).unwrap_or_else(|| of_peace(picture, &incidents, now))
}

/// The worst first: what isn't well again, then what failed, then what was met by more calls, then what began earlier.
pub(crate) fn groups<'a>(incidents: impl Iterator<Item = &'a Incident>) -> Vec<Group<'a>> {
    let mut groups: Vec<(&str, Vec<&Incident>)> = Vec::new();
    for one in incidents {
        let key = one.group.as_deref().unwrap_or(&one.id);
        match groups.iter_mut().find(|(known, _)| *known == key) {
            Some((_, all)) => all.push(one),
            None => groups.push((key, vec![one])),
        }
    }
    let mut groups: Vec<_> = groups.iter().filter_map(|(_, all)| Group::of(all)).collect();
    groups.sort_by_key(|group| {
        let worse = std::cmp::Reverse((group.failed, group.met));
        (group.well_since.is_some(), worse, group.began)
    });
    groups
}

fn of_incident(picture: &Picture, open: &[Group<'_>], now: u64) -> Headline {
    let worst = &open[0];
    let upstream = picture.upstream(&worst.first.upstream);
    let endpoints: Vec<_> = worst
        .endpoints
        .iter()
        .filter_map(|name| upstream.and_then(|upstream| upstream.endpoint(name)))
        .collect();
    let is_out = !endpoints.is_empty() && endpoints.iter().all(|one| !takes(one));
    let (who, verb) = match worst.endpoints.len() {
        0 => ("calls find no endpoint".to_owned(), ""),
        1 => (
            format!("endpoint {}", worst.endpoints[0]),
            if is_out { " is down" } else { " breaks" },
        ),
        many => {
            let mut shown = worst.endpoints[..many.min(MOST_NAMES)].to_vec();
            let more = format!("{} more", many.saturating_sub(MOST_NAMES));
            shown.extend((many > MOST_NAMES).then_some(&*more));
            (format!("endpoints {}", list(&shown)), if is_out { " are down" } else { " break" })
        }
    };
    let upstream_name = &worst.first.upstream;
    let (begun, cause) = (since(worst.began, now), &worst.first.cause);
    let well = worst.well_since.filter(|_| endpoints.iter().all(|one| takes(one)));
    let told = match well {
        None => format!("{upstream_name}: {who}{verb} since {begun} ({cause})"),
        Some(well) => {
            let by = worst.first.well_by.as_deref().map_or("", ended);
            let (back, by) = match worst.endpoints.len() {
                0 => ("calls find an endpoint again".to_owned(), String::new()),
                1 => (format!("{who} is back"), format!(": {by}")),
                _ => (format!("{who} are back"), String::new()),
            };
            let well = since(well, now);
            format!("{upstream_name}: {back} since {well}{by} ({cause} from {begun} on)")
        }
    };
    let number: u64 = open.iter().map(|group| group.incidents).sum();
    let others = match number {
        1 => String::new(),
        all => format!(" {} are open.", of(all, "incident", "incidents")),
    };
    let doing = match (well, upstream) {
        (Some(_), _) => "It is over once nothing has broken there for some seconds.".to_owned(),
        (None, Some(upstream)) => doing(upstream, &endpoints, now),
        (None, None) => String::new(),
    };
    let is_bad =
        worst.failed > 0 || is_out || upstream.is_some_and(|one| one.own.says.state == "down");
    Headline {
        kind: if is_bad && well.is_none() { Kind::Bad } else { Kind::Warn },
        text: format!("{told}; {}.", worst.costs()),
        next: format!("{doing}{others}").trim().to_owned(),
    }
}

/// Whether calls are sent there: not only probes.
fn takes(endpoint: &Endpoint) -> bool {
    state(&endpoint.state).2 && endpoint.state != "probing"
}

/// What is done about it.
fn doing(upstream: &UpstreamPart, endpoints: &[&Endpoint], now: u64) -> String {
    let affected = |one: &Endpoint| endpoints.iter().any(|other| other.name == one.name);
    let usable = upstream.endpoints.iter().map(|one| &one.says);
    let usable: Vec<_> = usable.filter(|one| takes(one) && !affected(one)).collect();
    let breaking = endpoints.iter().filter(|one| takes(one)).count();
    let probe = next_probe(endpoints, now);
    let Some(tier) = usable.iter().map(|one| one.tier).min() else {
        return match breaking {
            0 if waits_for_call(endpoints.iter().copied(), now).is_some() => {
                format!("No endpoint of {} is known to be well.{probe}", upstream.name())
            }
            0 => format!(
                "No endpoint of {} can be used: its calls wait for a moment, and fail with the time \
                 to come back.{probe}",
                upstream.name()
            ),
            _ => "There is no other endpoint: calls are tried again there, as far as that is \
                  safe and the budget allows."
                .to_owned(),
        };
    };
    // Those that calls went to, if any did; else those that the next ones would.
    let is_asked = usable.iter().any(|one| one.last_s.attempts > 0);
    let is_shown =
        |one: &&&Endpoint| if is_asked { one.last_s.attempts > 0 } else { one.tier == tier };
    let shown: Vec<_> = usable.iter().filter(is_shown).map(|one| one.name.as_str()).collect();
    let elsewhere = match shown.len() {
        many if many > MOST_NAMES => format!("{many} other endpoints"),
        _ => list(&shown),
    };
    if breaking > 0 && breaking == endpoints.len() {
        return format!("What breaks goes on to {elsewhere}, where that is safe.");
    }
    format!("Calls go to {elsewhere}.{probe}")
}

fn next_probe(endpoints: &[&Endpoint], now: u64) -> String {
    let breakers = || endpoints.iter().filter_map(|one| one.breaker.as_ref());
    let mut half = breakers().filter(|one| one.state == "half-open").peekable();
    if half.peek().is_some() {
        return match half.any(|one| one.probing > 0) {
            true => " A probe is out now.".to_owned(),
            false => " The next call there is a probe.".to_owned(),
        };
    }
    if let Some(due) = waits_for_call(endpoints.iter().copied(), now) {
        return format!(
            " Nobody has asked there since {}, when it might be probed again: the next call is its \
             probe.",
            since(due, now)
        );
    }
    let until = breakers().filter_map(|one| one.until_unix_ms).min();
    until.map_or_else(String::new, |until| format!(" Next probe in {}.", left(until, now)))
}

/// Since when an open breaker would let a probe through, if none has come; nothing can be learned of such an endpoint meanwhile.
fn waits_for_call<'a>(endpoints: impl Iterator<Item = &'a Endpoint>, now: u64) -> Option<u64> {
    let open = endpoints.filter_map(|one| one.breaker.as_ref()).filter(|one| one.state == "open");
    open.filter_map(|one| one.until_unix_ms).filter(|until| is_late(*until, now)).min()
}

/// Whether its breaker would let probes through, and no call comes there. Between two probes there is a moment, too.
fn is_unasked(one: &Endpoint) -> bool {
    let is_free = |it: &Breaker| it.state == "half-open" && it.probing == 0;
    one.state == "probing" && one.breaker.as_ref().is_some_and(is_free) && one.last_s.attempts == 0
}

/// Whether a probe was due and hasn't come.
pub(crate) const fn is_late(due: u64, now: u64) -> bool {
    due.saturating_add(LATE_MS) <= now
}

/// So late, and what is due isn't on its way: there is nobody who asks.
const LATE_MS: u64 = 2000;

/// Endpoints that are out although no incident is open.
fn of_endpoints(picture: &Picture, now: u64) -> Option<Headline> {
    let all = picture.upstreams.iter();
    let all = all.flat_map(|up| up.endpoints.iter().map(move |one| (up.name(), &one.says)));
    let out: Vec<_> = all
        .filter(|(_, one)| matches!(state(&one.state).0, Kind::Bad | Kind::Probing | Kind::Off))
        .filter(|(_, one)| one.state != "unknown")
        .collect();
    // What nobody ordered comes first.
    let ordered = |one: &Endpoint| one.ordered != "auto" || state(&one.state).0 == Kind::Off;
    let (upstream, one) = *out.iter().find(|(_, one)| !ordered(one)).or_else(|| out.first())?;
    let cause = one.ejected.as_ref().and_then(|ejected| ejected.cause.as_deref());
    let cause = cause.or_else(|| one.check.as_ref().and_then(|check| check.code.as_deref()));
    let cause = cause.map_or_else(String::new, |cause| format!(" ({cause})"));
    let begun = one.since_unix_ms;
    let begun = begun.map_or_else(String::new, |begun| format!(" since {}", since(begun, now)));
    let (kind, word, _) = state(&one.state);
    let due = waits_for_call(std::iter::once(one), now);
    // "is breaker open" isn't English.
    let (word, idle) = match &*one.state {
        "open" => {
            let idle =
                due.map(|due| format!(", and nobody has asked it since {}", since(due, now)));
            ("out, by its breaker,", idle)
        }
        _ if is_unasked(one) => ("half-open", Some(", and nobody asks it".to_owned())),
        _ => (word, None),
    };
    let idle = idle.map_or_else(String::new, |idle| idle + ": the next call there is a probe");
    let more = match out.len() as u64 - 1 {
        0 => String::new(),
        more => format!("{} up. ", of(more, "more endpoint isn't", "more endpoints aren't")),
    };
    Some(Headline {
        kind: if kind == Kind::Bad { Kind::Bad } else { Kind::Warn },
        text: format!("{upstream}: endpoint {} is {word}{begun}{cause}{idle}.", one.name),
        next: format!("{more}{}", of_calm(picture)),
    })
}

/// No incident is open: what that says of calls.
fn of_calm(picture: &Picture) -> String {
    match Failures::of(picture).minute {
        0 => "No incident is open: calls aren't broken by it now.".to_owned(),
        some => {
            let failed = of(some, "call", "calls");
            format!("No incident is open, but {failed} failed in the last minute.")
        }
    }
}

/// Calls of which the application felt what broke: where it is too little for an incident, too.
struct Failures {
    minute: u64,
    lately: u64,
    calls: u64,
    minutes: u64,
}

impl Failures {
    fn of(picture: &Picture) -> Self {
        let upstreams = || picture.upstreams.iter().map(|one| &one.own.says);
        Self {
            minute: upstreams().map(|one| one.minute.broken()).sum(),
            lately: upstreams().map(|one| one.lately.broken).sum(),
            calls: upstreams().map(|one| one.lately.calls).sum(),
            minutes: upstreams().map(|one| one.lately.minutes).max().unwrap_or_default(),
        }
    }
}

fn of_peace(picture: &Picture, incidents: &[&Incident], now: u64) -> Headline {
    let upstreams = of(picture.upstreams.len() as u64, "upstream", "upstreams");
    let endpoints = of(picture.endpoints() as u64, "endpoint", "endpoints");
    let ended = incidents.iter().filter_map(|one| Some((one.ended_unix_ms?, *one)));
    let last = ended.max_by_key(|(ended, _)| *ended).map_or_else(
        || " No incident is kept.".to_owned(),
        |(ended, one)| {
            let place = words::place(Some(&one.upstream), one.endpoint.as_deref());
            let cost = costs(one.calls.saved, &one.saved_by, one.calls.failed);
            let ago = span(now.saturating_sub(ended));
            format!(" The last incident ended {ago} before now: {place} ({}), {cost}.", one.cause)
        },
    );
    let Failures { minute, lately, calls, minutes } = Failures::of(picture);
    let (failed, calls) = (count(lately), of(calls, "call", "calls"));
    let long = format!("{failed} of {calls} failed in the last {minutes} minutes");
    let (kind, text) = match (minute, lately) {
        (0, 0) => (Kind::Good, "All is well.".to_owned()),
        (0, _) => (Kind::Good, format!("All is well now; {long}.")),
        (some, _) => {
            let failed = of(some, "call", "calls");
            let text = format!("No incident is open, but {failed} failed in the last minute.");
            (Kind::Warn, text)
        }
    };
    let more = if minute > 0 && lately > minute { format!("{long}. ") } else { String::new() };
    Headline { kind, text, next: format!("{more}{upstreams} with {endpoints}, each up.{last}") }
}

/// Why an endpoint is in its state, and what comes next.
pub(crate) fn why(one: &Endpoint, now: u64) -> String {
    let mut parts = Vec::new();
    if !one.ordered.is_empty() && one.ordered != "auto" {
        parts.push(format!("ordered: {}", one.ordered));
    }
    if let Some(ejected) = &one.ejected {
        let cause = ejected.cause.as_ref().map_or_else(String::new, |why| format!(" by {why}"));
        let back = ejected.until_unix_ms;
        let back = back.map_or_else(String::new, |until| format!(", back in {}", left(until, now)));
        parts.push(format!("ejected{cause}{back}"));
    }
    if let Some(until) = one.throttled_until_unix_ms {
        parts.push(format!("asks to be left alone for {}", left(until, now)));
    }
    let failed = one.check.as_ref().filter(|check| !check.passed);
    let most = one.minute.breaks.iter().max_by_key(|(_, number)| **number);
    let cause = failed.and_then(|check| check.code.clone());
    parts.extend(cause.or_else(|| most.map(|(code, _)| code.clone())));
    match &one.breaker {
        Some(it) if it.state == "open" => parts.push(match it.until_unix_ms {
            None => "until it is ordered otherwise".to_owned(),
            Some(until) if is_late(until, now) => {
                format!("its next call is a probe; none since {}", since(until, now))
            }
            Some(until) => format!("probe in {}", left(until, now)),
        }),
        Some(it) if it.state == "half-open" => {
            parts.push(format!("probes: {} out, {} good", count(it.probing), count(it.succeeded)));
        }
        _ => {}
    }
    if let Some(warm) = one.warm_percent.filter(|warm| *warm < 100.0) {
        parts.push(format!("takes {warm:.0} % of its share"));
    }
    parts.join(" · ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::told::Told;

    /// What both say, this and the dashboard, which its own test reads.
    const CASES: &str = include_str!("headlines.json");

    #[derive(serde::Deserialize)]
    struct Case {
        what: String,
        state: serde_json::Value,
        incidents: serde_json::Value,
        tone: String,
        text: String,
        next: String,
    }

    #[test]
    fn what_is_told_is_what_the_table_says() {
        let cases: Vec<Case> = serde_json::from_str(CASES).expect("a table");
        assert!(cases.len() > 10, "{}", cases.len());
        for case in cases {
            let mut known = Known::default();
            let incidents = serde_json::json!({ "incidents": case.incidents }).to_string();
            for (event, data) in [("state", case.state.to_string()), ("incidents", incidents)] {
                let told = Told::read(event, &data).expect("an event").expect("a known one");
                known.on_told(told, 0).expect("taken");
            }
            let now = case.state["now_unix_ms"].as_u64().expect("a time");
            let told = headline(&known, now);
            let tone = match told.kind {
                Kind::Bad => "bad",
                Kind::Warn => "warn",
                Kind::Good => "good",
                Kind::Off => "dim",
                Kind::Probing => "probing",
            };
            let wanted = (&*case.tone, &*case.text, &*case.next);
            assert_eq!((tone, &*told.text, &*told.next), wanted, "{}", case.what);
        }
    }

    #[test]
    fn before_anything_is_told_it_says_so() {
        let told = headline(&Known::default(), 0);
        assert_eq!((told.kind, &*told.text), (Kind::Off, "Waiting for the first news"));
    }
}
