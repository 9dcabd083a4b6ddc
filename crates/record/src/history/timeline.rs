//! The last hour as columns, ready to be sent away as JSON.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use mainstay_core::Timestamp;
use serde::Serialize;

use super::Change;
use super::endpoint::{Class, EndpointBucket};
use super::ring::{BUCKET, BUCKETS, Short, begin_of, bucket_of};
use super::state::EndpointState;
use super::upstream::{SAVES, UpstreamBucket};
use crate::WrongFilter;
use crate::counters::{EndpointCounters, UpstreamCounters};
use crate::feed::millis;

/// What is wanted of the last hour.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TimelineFilter {
    upstream: Option<String>,
    endpoint: Option<String>,
    from_unix_ms: Option<u64>,
    to_unix_ms: Option<u64>,
    /// Series of endpoints; all if none is named.
    fields: Vec<&'static str>,
}

/// The last hour, or a part of it. All series have a place for each bucket; nothing is known where there is null.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Timeline {
    /// The version of this form: 1.
    pub version: u8,
    /// Now, in milliseconds since 1970.
    pub now_unix_ms: u64,
    /// How long a bucket is.
    pub bucket_ms: u64,
    /// When the first begins.
    pub from_unix_ms: u64,
    /// When the last ends.
    pub to_unix_ms: u64,
    /// How many there are.
    pub buckets: usize,
    /// Whether the last is being filled.
    pub partial: bool,
    /// The upstreams.
    pub upstreams: Vec<UpstreamSeries>,
    /// What changed in that time.
    pub changes: Vec<Change>,
}

/// An upstream's.
#[derive(Clone, Debug, Default, Serialize)]
pub struct UpstreamSeries {
    /// Its name.
    pub name: Arc<str>,
    /// Whether it isn't in the settings any more.
    pub gone: bool,
    calls: Vec<Option<u32>>,
    attempts: Vec<Option<u32>>,
    delivered: Vec<Option<u32>>,
    failed: Vec<Option<u32>>,
    as_is: Vec<Option<u64>>,
    saved: BTreeMap<&'static str, Vec<Option<u64>>>,
    amplification: Vec<Option<f64>>,
    budget: Vec<Option<f64>>,
    /// Its endpoints'; `None` where they weren't asked for.
    pub endpoints: Option<Vec<EndpointSeries>>,
}

/// An endpoint's. Series that weren't asked for are left out.
#[derive(Clone, Debug, Default, Serialize)]
pub struct EndpointSeries {
    /// Its name.
    pub name: Arc<str>,
    /// Whether it isn't in the settings any more.
    pub gone: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<Vec<Option<u32>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    broke: Option<Vec<Option<u64>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    breaks: Option<BTreeMap<&'static str, Vec<Option<u64>>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<Vec<Option<&'static str>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p50_ms: Option<Vec<Option<f64>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p99_ms: Option<Vec<Option<f64>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    in_flight: Option<Vec<Option<u16>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<String>,
}

const FIELDS: [&str; 8] =
    ["attempts", "broke", "breaks", "cause", "p50_ms", "p99_ms", "in_flight", "state"];

impl TimelineFilter {
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
            let wrong = |why, allowed: String| WrongFilter::new(name, value, why, allowed);
            let time = || {
                let parsed = value.parse::<u64>();
                parsed.map_err(|_| wrong("it is no number", "milliseconds since 1970".to_owned()))
            };
            match name {
                "upstream" => filter.upstream = Some(value.to_owned()),
                "endpoint" => filter.endpoint = Some(value.to_owned()),
                "from" => filter.from_unix_ms = Some(time()?),
                "to" => filter.to_unix_ms = Some(time()?),
                "fields" => {
                    for field in value.split(',') {
                        let known = FIELDS.into_iter().find(|known| *known == field);
                        let known = known
                            .ok_or_else(|| wrong("there is no such series", FIELDS.join(", ")))?;
                        filter.fields.push(known);
                    }
                }
                _ => {
                    let allowed = "upstream, endpoint, from, to, fields".to_owned();
                    return Err(wrong("there is no such parameter", allowed));
                }
            }
        }
        if let (Some(endpoint), None) = (&filter.endpoint, &filter.upstream) {
            let why = "it needs `upstream`, since names of endpoints are an upstream's own";
            return Err(WrongFilter::new("endpoint", endpoint, why, "upstream and endpoint"));
        }
        Ok(filter)
    }

    fn wants(&self, field: &str) -> bool {
        self.fields.is_empty() || self.fields.contains(&field)
    }

    /// What is kept of the hour before `now`.
    pub(crate) fn pick(
        &self,
        upstreams: &[Arc<UpstreamCounters>],
        changes: &super::Changes,
        now: Timestamp,
        now_unix_ms: u64,
    ) -> Result<Timeline, WrongFilter> {
        let (known, range) = (self.known(upstreams)?, self.buckets(now, now_unix_ms));
        let unix = |at: Timestamp| match at > now {
            true => now_unix_ms + at.since(now).as_millis() as u64,
            false => now_unix_ms.saturating_sub(now.since(at).as_millis() as u64),
        };
        let (from_unix_ms, to_unix_ms) = (unix(begin_of(range.start)), unix(begin_of(range.end)));
        let mut changes = changes.within(from_unix_ms..=to_unix_ms);
        changes.retain(|change| {
            let is_of = |wanted: &Option<String>, name: &str| {
                wanted.as_ref().is_none_or(|wanted| wanted == name || name.is_empty())
            };
            let endpoint = change.item.endpoint.as_deref().unwrap_or_default();
            is_of(&self.upstream, &change.item.upstream) && is_of(&self.endpoint, endpoint)
        });
        let series = |upstream: &Arc<UpstreamCounters>| self.upstream(upstream, range.clone(), now);
        Ok(Timeline {
            version: 1,
            now_unix_ms,
            bucket_ms: BUCKET.as_millis() as u64,
            from_unix_ms,
            to_unix_ms,
            buckets: range.len(),
            partial: range.end > bucket_of(now),
            upstreams: known.iter().filter_map(series).collect(),
            changes,
        })
    }

    /// The upstreams that are wanted. A name that nothing has would look like one to which nothing happened.
    fn known(
        &self,
        upstreams: &[Arc<UpstreamCounters>],
    ) -> Result<Vec<Arc<UpstreamCounters>>, WrongFilter> {
        let Some(name) = &self.upstream else { return Ok(upstreams.to_vec()) };
        let wrong = |parameter: &str, value: &str, why, allowed: Vec<&str>| {
            WrongFilter::new(parameter, value, why, allowed.join(", "))
        };
        let upstream = upstreams.iter().find(|upstream| **upstream.name() == **name);
        let names = || upstreams.iter().map(|upstream| &**upstream.name()).collect();
        let upstream = upstream
            .ok_or_else(|| wrong("upstream", name, "there is no such upstream", names()))?;
        if let Some(endpoint) = &self.endpoint {
            let known = upstream.known();
            let names = || known.iter().map(|one| &**one.name()).collect();
            if !known.iter().any(|one| **one.name() == **endpoint) {
                return Err(wrong("endpoint", endpoint, "there is no such endpoint", names()));
            }
        }
        Ok(vec![Arc::clone(upstream)])
    }

    /// The buckets that are wanted: an hour, up to the one that is being filled, at most.
    fn buckets(&self, now: Timestamp, now_unix_ms: u64) -> Range<u32> {
        let end = bucket_of(now) + 1;
        let begin = end.saturating_sub(BUCKETS as u32);
        let of = |unix_ms: u64| {
            let ago = std::time::Duration::from_millis(now_unix_ms.saturating_sub(unix_ms));
            bucket_of(now - ago)
        };
        let from = self.from_unix_ms.map_or(begin, |from| of(from).clamp(begin, end));
        let to = self.to_unix_ms.map_or(end, |to| (of(to) + 1).clamp(from, end));
        from..to
    }

    fn upstream(
        &self,
        counters: &Arc<UpstreamCounters>,
        range: Range<u32>,
        now: Timestamp,
    ) -> Option<UpstreamSeries> {
        let (buckets, gone) = {
            let past = counters.past();
            let past = past.as_ref()?;
            (past.buckets(counters, range.clone()), past.is_gone(now))
        };
        let endpoints = self.upstream.is_some().then(|| {
            let wanted = |one: &&Arc<EndpointCounters>| {
                self.endpoint.as_ref().is_none_or(|wanted| **one.name() == **wanted)
            };
            let known = counters.known();
            let series = |one| self.endpoint(one, range.clone(), now);
            known.iter().filter(wanted).filter_map(series).collect()
        });
        let saved = |place: usize| column(&buckets, |it: &UpstreamBucket| it.saved[place].get());
        let optional = |value: fn(&UpstreamBucket) -> Option<f64>| {
            buckets.iter().map(|bucket| bucket.as_ref().and_then(value).map(rounded)).collect()
        };
        Some(UpstreamSeries {
            name: Arc::clone(counters.name()),
            gone,
            calls: column(&buckets, |it| it.calls),
            attempts: column(&buckets, |it| it.attempts),
            delivered: column(&buckets, |it| it.delivered),
            failed: column(&buckets, |it| it.failed),
            as_is: column(&buckets, |it| it.as_is.get()),
            saved: SAVES
                .into_iter()
                .enumerate()
                .map(|(place, name)| (name, saved(place)))
                .collect(),
            amplification: optional(UpstreamBucket::amplification),
            budget: optional(UpstreamBucket::budget),
            endpoints,
        })
    }

    fn endpoint(
        &self,
        counters: &Arc<EndpointCounters>,
        range: Range<u32>,
        now: Timestamp,
    ) -> Option<EndpointSeries> {
        let (buckets, gone) = {
            let past = counters.past();
            let past = past.as_ref()?;
            (past.buckets(counters, range), past.is_gone(now))
        };
        let breaks = || {
            let classes = Class::ALL.into_iter().enumerate().map(|(place, class)| {
                (class.code(), column(&buckets, |it: &EndpointBucket| it.breaks[place].get()))
            });
            let is_seen =
                |series: &Vec<Option<u64>>| series.iter().flatten().any(|count| *count > 0);
            classes.filter(|(_, series)| is_seen(series)).collect()
        };
        let times = |value: fn(&EndpointBucket) -> Short| {
            let time = |it: &EndpointBucket| value(it).time().map(millis);
            buckets.iter().map(|bucket| bucket.as_ref().and_then(time)).collect()
        };
        let cause = |it: &EndpointBucket| it.cause().map(mainstay_core::BreakKind::code);
        let letter = |bucket: &Option<EndpointBucket>| {
            bucket.map_or(EndpointState::Unknown, |bucket| bucket.state).letter()
        };
        Some(EndpointSeries {
            name: Arc::clone(counters.name()),
            gone,
            attempts: self.wants("attempts").then(|| column(&buckets, |it| it.attempts)),
            broke: self.wants("broke").then(|| column(&buckets, EndpointBucket::broke)),
            breaks: self.wants("breaks").then(breaks),
            cause: self
                .wants("cause")
                .then(|| buckets.iter().map(|bucket| bucket.as_ref().and_then(cause)).collect()),
            p50_ms: self.wants("p50_ms").then(|| times(|it| it.p50)),
            p99_ms: self.wants("p99_ms").then(|| times(|it| it.p99)),
            in_flight: self.wants("in_flight").then(|| column(&buckets, |it| it.in_flight)),
            state: self.wants("state").then(|| buckets.iter().map(letter).collect()),
        })
    }
}

fn column<B, T>(buckets: &[Option<B>], value: impl Fn(&B) -> T) -> Vec<Option<T>> {
    buckets.iter().map(|bucket| bucket.as_ref().map(&value)).collect()
}

/// To three digits: more isn't known.
fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn wrong(query: &[(&str, &str)], parameter: &str) {
        let wrong = TimelineFilter::of(query.iter().copied()).unwrap_err();
        assert_eq!(wrong.parameter, parameter);
    }

    #[test]
    fn what_cant_be_used_is_named() {
        wrong(&[("from", "yesterday")], "from");
        wrong(&[("fields", "p99_ms,p98_ms")], "fields");
        wrong(&[("since", "1")], "since");
        wrong(&[("endpoint", "a")], "endpoint");
    }

    #[test]
    fn a_range_is_within_the_hour_and_has_whole_buckets() {
        let now = Timestamp::from_millis(5_000_000);
        let range = |from: Option<u64>, to: Option<u64>| {
            let filter =
                TimelineFilter { from_unix_ms: from, to_unix_ms: to, ..TimelineFilter::default() };
            filter.buckets(now, 1_000_000_000)
        };
        assert_eq!(range(None, None), 141..501);
        assert_eq!(range(Some(0), Some(u64::MAX)), 141..501);
        assert_eq!(range(Some(999_950_000), Some(999_969_000)), 495..497);
        assert_eq!(range(Some(2_000_000_000), None), 500..501);
    }
}
