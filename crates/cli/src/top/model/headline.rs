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
    /// Those of which nothing says that they are well; all of them, if all are.
    breaking: Vec<&'a str>,
    last_break: u64,
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
        let well = all.iter().map(|one| one.well_since_unix_ms);
        let well_since = well.collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().max());
        let names = |is_wanted: &dyn Fn(&Incident) -> bool| {
            let wanted = all.iter().filter(|one| is_wanted(one));
            let mut names: Vec<_> = wanted.filter_map(|one| one.endpoint.as_deref()).collect();
            names.sort_unstable();
            names
        };
        Some(Self {
            first,
            incidents: all.len() as u64,
            endpoints: names(&|_| true),
            breaking: names(&|one| well_since.is_some() || one.well_since_unix_ms.is_none()),
            last_break: all.iter().filter_map(|one| one.last_break_unix_ms).max().unwrap_or(0),
            began: all.iter().map(|one| one.began_unix_ms).min()?,
            met: *met,
            saved: *saved,
            failed: *failed,
            saved_by: saved_by.clone(),
            well_since,
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
    let mut open = groups(incidents.iter().copied().filter(|one| one.is_open()));
    // What nobody misses and nobody asks isn't what is to be said first.
    open.sort_by_key(|one| is_calm(picture) && waits(picture, one, now));
    if !open.is_empty() {
        return of_incident(picture, &open, now);
    }
    let out = Out::all(picture);
    let all = out.len();
    let (idle, rest): (Vec<_>, Vec<_>) =
        out.into_iter().partition(|one| is_calm(picture) && one.is_idle(now));
    let idle: Vec<_> = idle.iter().map(|one| &*one.endpoint.name).collect();
    of_endpoints(picture, &rest, all, now)
        .unwrap_or_else(|| of_peace(picture, &incidents, &idle, now))
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
    let names = worst.breaking.iter();
    let endpoints: Vec<_> =
        names.filter_map(|name| upstream.and_then(|upstream| upstream.endpoint(name))).collect();
    let is_out = !endpoints.is_empty() && !endpoints.iter().any(|one| takes(one));
    let well = worst.well_since.filter(|_| endpoints.iter().all(|one| takes(one)));
    let told = match well {
        Some(well) => Some(back(worst, well, now)),
        None if is_quiet(worst, &endpoints, upstream, now) => Some(last_broke(worst, now)),
        None if is_calm(picture) && waits(picture, worst, now) => {
            let next = upstream.map(|upstream| doing(upstream, &endpoints, now));
            Some((waiting(worst, now), next.unwrap_or_default()))
        }
        None => None,
    };
    let is_told = told.is_some();
    let (text, doing) = told.unwrap_or_else(|| {
        let reason = reason(worst, open);
        let (begun, cause) = (since(worst.began, now), &worst.first.cause);
        let text = format!("{} since {begun} ({cause}{reason})", breaks(worst, is_out));
        (text, upstream.map_or_else(String::new, |upstream| doing(upstream, &endpoints, now)))
    });
    let number: u64 = open.iter().map(|group| group.incidents).sum();
    let others = match number {
        1 => String::new(),
        all => format!(" {} are open.", of(all, "incident", "incidents")),
    };
    let is_bad =
        worst.failed > 0 || is_out || upstream.is_some_and(|one| one.own.says.state == "down");
    Headline {
        kind: if is_bad && !is_told { Kind::Bad } else { Kind::Warn },
        text: format!("{}: {text}; {}.", worst.first.upstream, worst.costs()),
        next: format!("{doing}{others}").trim().to_owned(),
    }
}

/// Who breaks: endpoints, or calls that find none.
fn breaks(worst: &Group<'_>, is_out: bool) -> String {
    match (worst.breaking.len(), is_out) {
        (0, _) => "calls find no endpoint".to_owned(),
        (1, true) => format!("{} is down", who(worst)),
        (1, false) => format!("{} breaks", who(worst)),
        (_, true) => format!("{} are down", who(worst)),
        (_, false) => format!("{} break", who(worst)),
    }
}

fn who(worst: &Group<'_>) -> String {
    let endpoints = if worst.breaking.len() > 1 { "endpoints" } else { "endpoint" };
    format!("{endpoints} {}", named(&worst.breaking))
}

/// A sentence holds a few names.
fn named(names: &[&str]) -> String {
    let more = format!("{} more", names.len().saturating_sub(MOST_NAMES));
    let mut shown = names[..names.len().min(MOST_NAMES)].to_vec();
    shown.extend((names.len() > MOST_NAMES).then_some(&*more));
    list(&shown)
}

/// Why breakers are open is what broke at the endpoints.
fn reason(worst: &Group<'_>, open: &[Group<'_>]) -> String {
    if !worst.endpoints.is_empty() || worst.first.cause != "breaker-open" {
        return String::new();
    }
    let is_of = |one: &&Group<'_>| one.first.upstream == worst.first.upstream;
    let why = open.iter().filter(is_of).find(|one| !one.endpoints.is_empty());
    why.map_or_else(String::new, |why| format!(": {} at {}", why.first.cause, named(&why.breaking)))
}

/// What is well again, and what is waited for.
fn back(worst: &Group<'_>, well: u64, now: u64) -> (String, String) {
    let by = worst.first.well_by.as_deref().map_or("", ended);
    let (what, by) = match worst.breaking.len() {
        0 => ("calls find an endpoint again".to_owned(), String::new()),
        1 => (format!("{} is back", who(worst)), format!(": {by}")),
        _ => (format!("{} are back", who(worst)), String::new()),
    };
    let (well, begun) = (since(well, now), since(worst.began, now));
    (
        format!("{what} since {well}{by} ({} from {begun} on)", worst.first.cause),
        "It is over once nothing has broken there for some seconds.".to_owned(),
    )
}

/// Whether nothing has broken for a while where calls may go, and too little is asked there to say that it is well.
fn is_quiet(
    worst: &Group<'_>,
    endpoints: &[&Endpoint],
    upstream: Option<&UpstreamPart>,
    now: u64,
) -> bool {
    let may = match (endpoints, upstream) {
        ([], Some(upstream)) if worst.breaking.is_empty() => {
            upstream.endpoints.iter().any(|one| takes(&one.says))
        }
        ([], _) => false,
        (some, _) => some.iter().all(|one| takes(one)),
    };
    may && worst.last_break > 0 && worst.last_break.saturating_add(QUIET_MS) <= now
}

/// Longer than what is well again takes to be over.
const QUIET_MS: u64 = 10_000;

/// Whether each endpoint of a group that isn't well again waits for a call, which goes to another.
fn waits(picture: &Picture, group: &Group<'_>, now: u64) -> bool {
    let Some(upstream) = picture.upstream(&group.first.upstream) else { return false };
    let mut out = group.breaking.iter().filter_map(|name| upstream.endpoint(name)).peekable();
    out.peek().is_some() && out.all(|endpoint| Out { upstream, endpoint }.is_idle(now))
}

fn waiting(worst: &Group<'_>, now: u64) -> String {
    let wait = if worst.breaking.len() > 1 { "wait" } else { "waits" };
    let (who, cause, begun) = (who(worst), &worst.first.cause, since(worst.began, now));
    format!("{who} {wait} for a call to probe with ({cause} from {begun} on)")
}

fn last_broke(worst: &Group<'_>, now: u64) -> (String, String) {
    let what = match worst.breaking.len() {
        0 => "calls last found no endpoint".to_owned(),
        _ => format!("{} last broke", who(worst)),
    };
    let (last, begun) = (since(worst.last_break, now), since(worst.began, now));
    (
        format!("{what} at {last} ({} from {begun} on)", worst.first.cause),
        "It is over once nothing has broken there for a while.".to_owned(),
    )
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

/// An endpoint that is out, of which and of what else there is no incident.
struct Out<'a> {
    upstream: &'a UpstreamPart,
    endpoint: &'a Endpoint,
}

impl<'a> Out<'a> {
    fn all(picture: &'a Picture) -> Vec<Self> {
        let all = picture.upstreams.iter();
        let all = all.flat_map(|up| up.endpoints.iter().map(move |one| (up, &one.says)));
        let out = all.filter(|(_, one)| {
            one.state != "unknown"
                && matches!(state(&one.state).0, Kind::Bad | Kind::Probing | Kind::Off)
        });
        out.map(|(upstream, endpoint)| Self { upstream, endpoint }).collect()
    }

    /// Whether it waits for a call, which goes to another.
    fn is_idle(&self, now: u64) -> bool {
        let waits = waits_for_call(std::iter::once(self.endpoint), now).is_some();
        (is_unasked(self.endpoint) || waits)
            && self.upstream.endpoints.iter().any(|one| takes(&one.says))
    }
}

/// Whether in the last minute nothing broke.
fn is_calm(picture: &Picture) -> bool {
    let mut endpoints = picture.upstreams.iter().flat_map(|one| &one.endpoints);
    Failures::of(picture).minute == 0 && endpoints.all(|one| one.says.minute.broke == 0)
}

/// Endpoints that are out although no incident is open, of so many in all.
fn of_endpoints(picture: &Picture, out: &[Out<'_>], all: usize, now: u64) -> Option<Headline> {
    // What nobody ordered comes first.
    let ordered = |one: &Endpoint| one.ordered != "auto" || state(&one.state).0 == Kind::Off;
    let first = out.iter().find(|one| !ordered(one.endpoint)).or_else(|| out.first())?;
    let (upstream, one) = (first.upstream.name(), first.endpoint);
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
    let more = match all as u64 - 1 {
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

fn of_peace(picture: &Picture, incidents: &[&Incident], idle: &[&str], now: u64) -> Headline {
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
    let waits = match idle {
        [] => String::new(),
        [one] => format!("; {one} waits for a call to probe with"),
        some => format!("; {} wait for a call to probe with", named(some)),
    };
    let up = if idle.is_empty() { "each" } else { "the others" };
    let (kind, text) = match (minute, lately) {
        (0, 0) => (Kind::Good, format!("All is well{waits}.")),
        (0, _) => (Kind::Good, format!("All is well now; {long}{waits}.")),
        (some, _) => {
            let failed = of(some, "call", "calls");
            let text = format!("No incident is open, but {failed} failed in the last minute.");
            (Kind::Warn, text)
        }
    };
    let more = if minute > 0 && lately > minute { format!("{long}. ") } else { String::new() };
    Headline { kind, text, next: format!("{more}{upstreams} with {endpoints}, {up} up.{last}") }
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
