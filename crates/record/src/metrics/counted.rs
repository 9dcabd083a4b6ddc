//! The metrics that are counted, written from the counters.

use std::sync::Arc;

use mainstay_core::event::Saved;

use super::page::{Family, Page};
use super::table::{self, Metric};
use crate::counters::{BUCKETS, EndpointSums, HistogramSums, PASSED, UpstreamSums, ratio};
use crate::label::{Change, Cut, Label, Outcome};

/// An upstream's sums, and what only a scrape with a clock knows.
pub(crate) struct Counted {
    pub(crate) sums: UpstreamSums,
    /// Attempts per call in the last minute.
    pub(crate) recent_amplification: Option<f64>,
    /// Incidents that haven't ended.
    pub(crate) incidents_open: usize,
}

/// Writes everything that is counted for calls.
pub(super) fn write_calls(page: &mut Page, all: &[Counted]) {
    per_upstream(page, &table::CALLS_STARTED, all, |sums| sums.started);
    let mut family = page.family(&table::CALLS);
    for (upstream, outcome, sums) in outcomes(all) {
        family.count(&[("upstream", upstream), ("outcome", outcome.code())], sums.count());
    }
    let mut family = page.family(&table::CALLS_IN_PROGRESS);
    for sums in all.iter().map(|counted| &counted.sums) {
        family.gauge(&[("upstream", &sums.name)], sums.in_progress() as f64);
    }
    by_label(page, &table::CALLS_SAVED, "saved", all, |sums| {
        sums.saved.iter().filter(|(saved, _)| *saved != Saved::NotNeeded).collect()
    });
    write_failures(page, all);
    let mut family = page.family(&table::CALL_DURATION);
    for Counted { sums, .. } in all {
        for (place, (outcome, durations)) in by_outcome(sums).into_iter().enumerate() {
            let labels = [("upstream", &*sums.name), ("outcome", outcome.code())];
            family.histogram(&labels, durations, &sums.examples.durations[place]);
        }
    }
    per_upstream(page, &table::RECORDS, all, |sums| sums.over);
    per_upstream(page, &table::BROKEN_CALLS, all, |sums| sums.broken);
    per_upstream(page, &table::TRACE_DROPPED, all, |sums| sums.trace_dropped);
    per_upstream(page, &table::BODIES_UNREPEATABLE, all, |sums| sums.unrepeatable);
    let mut family = page.family(&table::HEDGES);
    for Counted { sums, .. } in all {
        let won = sums.saved.of(Saved::ByHedge);
        for (outcome, count) in
            [("launched", sums.hedges()), ("won", won), ("wasted", sums.hedges_wasted())]
        {
            family.count(&[("upstream", &sums.name), ("outcome", outcome)], count);
        }
    }
    by_label(page, &table::HEDGES_REFUSED, "reason", all, |sums| {
        sums.hedges_refused.iter().collect()
    });
    by_label(page, &table::ATTEMPTS_HELD, "by", all, |sums| sums.held.iter().collect());
    let mut family = page.family(&table::BREAKER_WAIT);
    for Counted { sums, .. } in all {
        for (outcome, waits) in [("passed", &sums.breaker_passed), ("ended", &sums.breaker_ended)] {
            let labels = [("upstream", &*sums.name), ("outcome", outcome)];
            family.histogram(&labels, waits, &[None; BUCKETS]);
        }
    }
    by_label(page, &table::CALLS_SHED, "reason", all, |sums| {
        sums.shed.iter().filter(|(reason, _)| reason.is_shed()).collect()
    });
    by_label(page, &table::DEGRADED, "kind", all, |sums| sums.degraded.iter().collect());
    by_label(page, &table::INCIDENTS, "cause", all, |sums| sums.incidents.seen().collect());
    let mut family = page.family(&table::INCIDENTS_OPEN);
    for counted in all {
        family.gauge(&[("upstream", &counted.sums.name)], counted.incidents_open as f64);
    }
    per_upstream(page, &table::ANSWERS_HEALED, all, |sums| sums.healed);
    by_label(page, &table::ANSWERS_CUT, "why", all, |sums| sums.cut.iter().collect());
    by_label(page, &table::UPLOADS_NOT_RESUMED, "why", all, |sums| {
        sums.uploads_not_resumed.iter().filter(|(why, _)| *why != Cut::Off).collect()
    });
    by_label(page, &table::TUNNELS, "end", all, |sums| sums.tunnels.seen().collect());
    let mut family = page.family(&table::TUNNEL_BYTES);
    for Counted { sums, .. } in all {
        for (direction, count) in [("sent", sums.tunnel_sent), ("received", sums.tunnel_received)] {
            family.count(&[("upstream", &sums.name), ("direction", direction)], count);
        }
    }
    per_upstream(page, &table::TUNNEL_PINGS, all, |sums| sums.tunnel_pings);
    per_upstream(page, &table::TUNNELS_REOPENED, all, |sums| sums.tunnels_reopened);
    by_label(page, &table::RETRIES_SCHEDULED, "delay", all, |sums| sums.delays.iter().collect());
    by_label(page, &table::RETRIES_REFUSED, "reason", all, |sums| sums.stops.iter().collect());
    write_amplification(page, all);
}

/// Writes everything that is counted for endpoints.
pub(super) fn write_endpoints(page: &mut Page, all: &[Counted]) {
    each(page, &table::ATTEMPTS, all, |family, upstream, endpoint, sums| {
        for (reason, count) in sums.started.iter() {
            family.count(&labels3(upstream, endpoint, ("reason", reason.code())), count);
        }
    });
    each(page, &table::ATTEMPT_RESULTS, all, |family, upstream, endpoint, sums| {
        for (result, count) in [
            ("answered", sums.answered.count()),
            ("broke", sums.breaks.total()),
            ("outrun", sums.outrun),
        ] {
            family.count(&labels3(upstream, endpoint, ("result", result)), count);
        }
    });
    each(page, &table::ATTEMPT_DURATION, all, |family, upstream, endpoint, sums| {
        let labels = [("upstream", upstream), ("endpoint", endpoint)];
        family.histogram(&labels, &sums.answered, &[None; BUCKETS]);
    });
    each(page, &table::BREAKS, all, |family, upstream, endpoint, sums| {
        for (kind, count) in sums.breaks.seen() {
            let [upstream, endpoint, kind_label] =
                labels3(upstream, endpoint, ("kind", kind.code()));
            let phase = ("phase", kind.phase().code());
            let example = sums.examples.get(&kind.place());
            family.count_like(&[upstream, endpoint, kind_label, phase], count, example);
        }
    });
    each(page, &table::BODY_FAILURES, all, |family, upstream, endpoint, sums| {
        for (kind, count) in sums.bodies.seen() {
            family.count(&labels3(upstream, endpoint, ("kind", kind.code())), count);
        }
    });
    each(page, &table::BODIES_RESUMED, all, |family, upstream, endpoint, sums| {
        family.count(&[("upstream", upstream), ("endpoint", endpoint)], sums.resumed);
    });
    each(page, &table::UPLOADS_RESUMED, all, |family, upstream, endpoint, sums| {
        family.count(&[("upstream", upstream), ("endpoint", endpoint)], sums.uploads_resumed);
    });
    write_changes(page, all);
}

/// Writes what became of endpoints.
fn write_changes(page: &mut Page, all: &[Counted]) {
    each(page, &table::BREAKER_TRANSITIONS, all, |family, upstream, endpoint, sums| {
        let half_open = sums.changes.of(Change::HalfOpened);
        let closed = sums.changes.of(Change::Closed);
        for (to, count) in
            [("open", sums.opens.total()), ("half_open", half_open), ("closed", closed)]
        {
            family.count(&labels3(upstream, endpoint, ("to", to)), count);
        }
    });
    each(page, &table::BREAKER_OPENS, all, |family, upstream, endpoint, sums| {
        for (cause, count) in sums.opens.seen() {
            family.count(&labels3(upstream, endpoint, ("cause", cause.code())), count);
        }
    });
    each(page, &table::EJECTIONS, all, |family, upstream, endpoint, sums| {
        for (cause, count) in sums.ejects.seen() {
            family.count(&labels3(upstream, endpoint, ("cause", cause.code())), count);
        }
    });
    per_endpoint(page, &table::EJECTIONS_ENDED, all, Change::Returned);
    each(page, &table::CHECKS, all, |family, upstream, endpoint, sums| {
        family.count(&labels3(upstream, endpoint, ("result", PASSED)), sums.checks_passed);
        for (kind, count) in sums.checks_failed.seen() {
            family.count(&labels3(upstream, endpoint, ("result", kind.code())), count);
        }
    });
    each(page, &table::HEALTH_CHANGES, all, |family, upstream, endpoint, sums| {
        for (to, change) in [("healthy", Change::Healthy), ("unhealthy", Change::Unhealthy)] {
            family.count(&labels3(upstream, endpoint, ("to", to)), sums.changes.of(change));
        }
    });
    per_endpoint(page, &table::THROTTLES, all, Change::Throttled);
    per_endpoint(page, &table::FAILED_OPEN, all, Change::FailedOpen);
    per_endpoint(page, &table::ADDRESSES_CHANGED, all, Change::AddressesChanged);
    per_endpoint(page, &table::ADDRESSES_KEPT, all, Change::AddressesKept);
    per_endpoint(page, &table::CERTIFICATE_WARNINGS, all, Change::CertificateExpiring);
}

fn write_failures(page: &mut Page, all: &[Counted]) {
    let mut family = page.family(&table::CALL_FAILURES);
    for sums in all.iter().map(|counted| &counted.sums) {
        for (certainty, kinds) in mainstay_core::Certainty::ALL.iter().zip(&sums.failures) {
            for (kind, count) in kinds.seen() {
                let example = sums.examples.failures.get(&(certainty.place(), kind.place()));
                let kind = ("kind", kind.code());
                let certainty = ("certainty", Label::code(*certainty));
                family.count_like(&[("upstream", &sums.name), kind, certainty], count, example);
            }
        }
    }
}

fn write_amplification(page: &mut Page, all: &[Counted]) {
    let mut family = page.family(&table::AMPLIFICATION);
    for Counted { sums, recent_amplification, .. } in all {
        let total = ratio(sums.attempts, sums.started);
        for (window, ratio) in [("60s", *recent_amplification), ("total", total)] {
            if let Some(ratio) = ratio {
                family.gauge(&[("upstream", &sums.name), ("window", window)], ratio);
            }
        }
    }
}

fn outcomes(all: &[Counted]) -> impl Iterator<Item = (&str, Outcome, &HistogramSums)> {
    all.iter().flat_map(|Counted { sums, .. }| {
        by_outcome(sums).map(|(outcome, durations)| (&*sums.name, outcome, durations))
    })
}

/// In the order of their places.
const fn by_outcome(sums: &UpstreamSums) -> [(Outcome, &HistogramSums); 3] {
    [
        (Outcome::Delivered, &sums.delivered),
        (Outcome::AsIs, &sums.as_is),
        (Outcome::Failed, &sums.failed),
    ]
}

fn per_upstream(
    page: &mut Page,
    metric: &'static Metric,
    all: &[Counted],
    count: impl Fn(&UpstreamSums) -> u64,
) {
    let mut family = page.family(metric);
    for Counted { sums, .. } in all {
        family.count(&[("upstream", &sums.name)], count(sums));
    }
}

fn by_label<L: Label>(
    page: &mut Page,
    metric: &'static Metric,
    label: &'static str,
    all: &[Counted],
    counts: impl Fn(&UpstreamSums) -> Vec<(L, u64)>,
) {
    let mut family = page.family(metric);
    for Counted { sums, .. } in all {
        for (value, count) in counts(sums) {
            family.count(&[("upstream", &sums.name), (label, value.code())], count);
        }
    }
}

fn per_endpoint(page: &mut Page, metric: &'static Metric, all: &[Counted], change: Change) {
    each(page, metric, all, |family, upstream, endpoint, sums| {
        family.count(&[("upstream", upstream), ("endpoint", endpoint)], sums.changes.of(change));
    });
}

fn each(
    page: &mut Page,
    metric: &'static Metric,
    all: &[Counted],
    mut write: impl FnMut(&mut Family<'_>, &str, &str, &EndpointSums),
) {
    let mut family = page.family(metric);
    for Counted { sums, .. } in all {
        for (endpoint, endpoint_sums) in &sums.endpoints {
            write(&mut family, &sums.name, Arc::as_ref(endpoint), endpoint_sums);
        }
    }
}

const fn labels3<'a>(
    upstream: &'a str,
    endpoint: &'a str,
    third: (&'static str, &'a str),
) -> [(&'static str, &'a str); 3] {
    [("upstream", upstream), ("endpoint", endpoint), third]
}
