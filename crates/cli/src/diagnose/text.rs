//! A diagnosis for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use mainstay::diagnose::{Class, Diagnosis, Finding, NamesSeen, StepSeen, TlsSeen};
use serde::Serialize;

/// The times of one step over several walks, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Times {
    min_ms: f64,
    median_ms: f64,
    max_ms: f64,
}

/// All walks to one endpoint: the last in full, or the first that broke, and the times of all.
pub(super) fn told(walks: &[Diagnosis]) -> String {
    let broke = walks.iter().filter(|walk| walk.class != Class::Fine).count();
    let shown = walks.iter().find(|walk| walk.class != Class::Fine).or(walks.last());
    let mut out = shown.map(one).unwrap_or_default();
    if walks.len() > 1 {
        let _ = writeln!(out, "\n{} walks, {broke} broke; min / median / max:", walks.len());
        for (step, times) in times(walks) {
            let Times { min_ms, median_ms, max_ms } = times;
            let _ = writeln!(out, "  {step:<11}{min_ms:>9.1} {median_ms:>9.1} {max_ms:>9.1} ms");
        }
    }
    out
}

/// For each step that was done, its least, middle and greatest time.
pub(super) fn times(walks: &[Diagnosis]) -> BTreeMap<&'static str, Times> {
    let mut all: BTreeMap<_, Vec<f64>> = BTreeMap::new();
    for step in walks.iter().flat_map(|walk| &walk.steps).filter(|step| step.outcome == "done") {
        all.entry(step.step).or_default().push(step.took_ms);
    }
    let of = |mut took: Vec<f64>| {
        took.sort_by(f64::total_cmp);
        let at = |index: usize| took.get(index).copied().unwrap_or_default();
        Times { min_ms: at(0), median_ms: at(took.len() / 2), max_ms: at(took.len() - 1) }
    };
    all.into_iter().map(|(step, took)| (step, of(took))).collect()
}

fn one(walk: &Diagnosis) -> String {
    let mut out = format!("{}\n", walk.url);
    for step in &walk.steps {
        out.push_str(&line(step));
        if let ("resolve", Some(names)) = (step.step, &walk.names) {
            lookups(&mut out, names);
        }
    }
    let told: Vec<_> = walk.steps.iter().filter(|step| step.outcome != "given-up").collect();
    for other in &walk.addresses {
        if told.iter().any(|step| step.address == Some(other.address)) {
            continue;
        }
        let said = match (other.code, &other.error) {
            (Some(code), Some(error)) => format!("{code}: {error}"),
            _ => "takes connections".to_owned(),
        };
        let _ = writeln!(out, "  also       {:>9.1} ms  {}: {said}", other.took_ms, other.address);
    }
    if let Some(tls) = &walk.tls {
        certificates(&mut out, tls);
    }
    if let Some(head) = &walk.head {
        let _ = write!(out, "  answer     {} {}", head.version, head.status);
        let fields = [("server", &head.server), ("keep-alive", &head.keep_alive)];
        for (name, value) in fields {
            if let Some(value) = value {
                let _ = write!(out, ", {name}: {value}");
            }
        }
        out.push('\n');
    }
    if let Some(reuse) = &walk.reuse {
        let how = match (reuse.reused, walk.body_whole) {
            (true, _) => "the same connection",
            (false, Some(false)) => "a new one: the first answer wasn't read to its end",
            (false, _) => "a new one: it wasn't kept",
        };
        let broke = reuse.code.map(|code| format!(", BROKE: {code}")).unwrap_or_default();
        let _ = writeln!(out, "  reuse      {:>9.1} ms  {how}{broke}", reuse.took_ms);
    }
    if let Some(idle) = &walk.idle {
        let _ = match idle.closed_after_ms {
            Some(after) => writeln!(out, "  idle       the peer closed after {:.1} s", after / 1e3),
            None => writeln!(out, "  idle       still open after {:.1} s", idle.watched_ms / 1e3),
        };
    }
    match &walk.finding {
        Some(finding) => explain(&mut out, finding),
        None => out.push_str("nothing broke\n"),
    }
    out
}

fn line(step: &StepSeen) -> String {
    let address = step.address.map(|address| format!("{address} ")).unwrap_or_default();
    let said = match (step.outcome, step.code) {
        ("broke", Some(code)) => format!("BROKE: {code}"),
        ("given-up", _) => "given up, another address had won".to_owned(),
        _ => String::new(),
    };
    let text = step.text.as_deref().unwrap_or_default();
    let rest = [address.trim(), &said, text].map(str::to_owned);
    let rest: Vec<_> = rest.into_iter().filter(|part| !part.is_empty()).collect();
    format!("  {:<11}{:>9.1} ms  {}\n", step.step, step.took_ms, rest.join(", "))
        .replace("  \n", "\n")
}

/// Which name servers were asked, and what came of each family.
fn lookups(out: &mut String, names: &NamesSeen) {
    let servers: Vec<String> = names.servers.iter().map(ToString::to_string).collect();
    let hosts = if names.by_system { "/etc/hosts, then " } else { "" };
    let _ = writeln!(out, "             asked {hosts}{}", servers.join(", "));
    for family in &names.families {
        let said = match (family.code, &family.error, family.ttl_s) {
            (Some(code), Some(error), _) => format!("{code}: {error}"),
            (_, _, Some(ttl)) => {
                format!("{}, TTL {ttl} s", counted(family.addresses, "address", "addresses"))
            }
            _ => String::new(),
        };
        let _ = writeln!(out, "  {:>9}  {:>9.1} ms  {said}", family.record, family.took_ms);
    }
}

/// How long a certificate is still good, or since when it isn't: in days, and within a day in hours, within an hour in minutes. What is left
/// and what is over are both rounded down.
fn left(seconds: i64) -> String {
    let (length, past) = (seconds.unsigned_abs(), seconds < 0);
    let length = match length {
        ..HOUR => counted(length / 60, "minute", "minutes"),
        HOUR..DAY => counted(length / HOUR, "hour", "hours"),
        _ => counted(length / DAY, "day", "days"),
    };
    if past { format!("EXPIRED {length} ago") } else { format!("{length} left") }
}

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

fn counted(number: impl std::fmt::Display, one: &str, several: &str) -> String {
    let number = number.to_string();
    let noun = if number == "1" { one } else { several };
    format!("{number} {noun}")
}

fn certificates(out: &mut String, tls: &TlsSeen) {
    let agreed = tls.agreed.as_deref().unwrap_or("nothing");
    let offered = tls.offered.join(", ");
    let _ = writeln!(
        out,
        "  TLS        {}, {}; ALPN: offered {offered}, agreed on {agreed}",
        tls.version, tls.cipher
    );
    for certificate in &tls.chain {
        let left = left(certificate.seconds_left);
        let own = if certificate.self_signed { ", signed by itself" } else { "" };
        let _ = writeln!(
            out,
            "             {} by {}, {left}{own}{}",
            certificate.subject,
            certificate.issuer,
            match certificate.names.as_slice() {
                [] => String::new(),
                names => format!(", for {}", names.join(" ")),
            }
        );
    }
}

fn explain(out: &mut String, finding: &Finding) {
    let _ = writeln!(out, "\nbroke in {} ({}): {}", finding.step, finding.layer, finding.code);
    let _ = writeln!(out, "  the peer: {}", finding.peer);
    if let Some(detail) = &finding.detail {
        let _ = writeln!(out, "  it said: {detail}");
    }
    out.push_str("  most likely:\n");
    for cause in finding.causes {
        let _ = writeln!(out, "    - {cause}");
    }
    out.push_str("  try:\n");
    for hint in finding.try_next {
        let _ = writeln!(out, "    - {hint}");
    }
    let _ = writeln!(out, "  more: {}", finding.manual);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_certificate_is_told_in_the_unit_that_fits() {
        let check = |seconds: i64, told: &str| assert_eq!(left(seconds), told, "{seconds}");
        check(90 * 86_400 + 5, "90 days left");
        check(86_400, "1 day left");
        check(86_399, "23 hours left");
        check(59, "0 minutes left");
        check(-1, "EXPIRED 0 minutes ago");
        check(-5_400, "EXPIRED 1 hour ago");
        check(-86_399, "EXPIRED 23 hours ago");
        check(-86_400, "EXPIRED 1 day ago");
        check(-40 * 86_400 - 80_000, "EXPIRED 40 days ago");
    }
}
