//! Numbers, times and codes as a person reads them: the same words as on the dashboard.

use mainstay_record::rfc3339;

use super::told::{Change, Counts};
pub(crate) use crate::explain::words::milliseconds;

/// 1,284.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// "1 call", "2 calls".
pub(crate) fn of(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// A number with few letters: 950, 12.3 k, 3.4 M.
pub(crate) fn short(number: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let value = number as f64;
    match number {
        0..10_000 => count(number),
        10_000..1_000_000 => format!("{:.1} k", value / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} M", value / 1e6),
        _ => format!("{:.1} G", value / 1e9),
    }
}

pub(crate) fn rate(number: u64) -> String {
    format!("{}/s", short(number))
}

/// A length of time for a sentence: 12 s, 4 min, 1 h 20 min.
pub(crate) fn span(millis: u64) -> String {
    let seconds = millis.saturating_add(500) / 1000;
    if seconds < 100 {
        return format!("{seconds} s");
    }
    let minutes = (seconds + 30) / 60;
    if minutes < 60 {
        return format!("{minutes} min");
    }
    let hours = minutes / 60;
    match minutes % 60 {
        _ if hours >= 48 => format!("{} days", (hours + 12) / 24),
        0 => format!("{hours} h"),
        minutes => format!("{hours} h {minutes} min"),
    }
}

/// What is left of a time, counting down.
pub(crate) fn left(until: u64, now: u64) -> String {
    let millis = until.saturating_sub(now);
    if millis >= 10_000 {
        return span(millis);
    }
    let tenths = millis.div_ceil(100);
    format!("{}.{} s", tenths / 10, tenths % 10)
}

/// A share, with as many digits as tell that not all is well: 99.98 %.
pub(crate) fn percent(share: Option<f64>) -> String {
    let Some(share) = share.filter(|share| share.is_finite()) else { return "–".to_owned() };
    match share * 100.0 {
        value if value >= 100.0 => "100 %".to_owned(),
        value if value <= 0.0 => "0 %".to_owned(),
        // Rounding must not turn a failure into none.
        value if value > 99.99 => "> 99.99 %".to_owned(),
        value if value > 99.0 => format!("{:.2} %", (value * 100.0).floor() / 100.0),
        value if value >= 10.0 => format!("{value:.1} %"),
        value => format!("{value:.2} %"),
    }
}

pub(crate) fn ms(millis: Option<f64>) -> String {
    millis.map_or_else(|| "–".to_owned(), milliseconds)
}

#[expect(clippy::cast_precision_loss, reason = "one digit is shown")]
pub(crate) fn bytes(number: u64) -> String {
    let mut size = number as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if size < 1024.0 {
            return if unit == "B" { format!("{number} B") } else { format!("{size:.1} {unit}") };
        }
        size /= 1024.0;
    }
    format!("{size:.1} TiB")
}

/// The time of day, UTC, as in the log: 03:02.
pub(crate) fn clock(unix_ms: u64) -> String {
    rfc3339(unix_ms).get(11..16).unwrap_or_default().to_owned()
}

/// The same to the second.
pub(crate) fn seconds(unix_ms: u64) -> String {
    rfc3339(unix_ms).get(11..19).unwrap_or_default().to_owned()
}

/// Since when, for a sentence: to the second, as in the log; of another day with its date.
pub(crate) fn since(unix_ms: u64, now: u64) -> String {
    match now.saturating_sub(unix_ms) > SAME_DAY_MS {
        true => {
            let date = rfc3339(unix_ms).get(..10).unwrap_or_default().to_owned();
            format!("{date} {}", seconds(unix_ms))
        }
        false => seconds(unix_ms),
    }
}

/// What is longer ago isn't of this day.
const SAME_DAY_MS: u64 = 20 * 3_600_000;

/// A list for a sentence: a, b and c.
pub(crate) fn list(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// "1,280 by failover, 4 by retry": of those that aren't none, the largest first.
pub(crate) fn saved_by(by: &Counts) -> Vec<(&str, u64)> {
    let mut some: Vec<_> = by
        .iter()
        .filter(|(_, number)| **number > 0)
        .map(|(cause, number)| (if cause == "heal" { "healing" } else { cause.as_str() }, *number))
        .collect();
    some.sort_by_key(|(_, number)| std::cmp::Reverse(*number));
    some
}

/// "1,284 calls saved by failover, 0 failed".
pub(crate) fn costs(saved: u64, by: &Counts, failed: u64) -> String {
    let how = match &*saved_by(by) {
        [] => String::new(),
        [(cause, _)] => format!(" by {cause}"),
        more => {
            let each: Vec<_> = more
                .iter()
                .map(|(cause, number)| format!("{} by {cause}", count(*number)))
                .collect();
            format!(" ({})", each.join(", "))
        }
    };
    format!("{} saved{how}, {} failed", of(saved, "call", "calls"), count(failed))
}

/// What a state is for whoever looks: its kind, the word for it, and whether calls are sent there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Bad,
    Probing,
    Warn,
    Off,
    Good,
}

pub(crate) fn state(name: &str) -> (Kind, &str, bool) {
    match name {
        "up" => (Kind::Good, "up", true),
        "warming" => (Kind::Warn, "warming up", true),
        "throttled" => (Kind::Warn, "throttled", false),
        "probing" => (Kind::Probing, "probing", true),
        "open" => (Kind::Bad, "breaker open", false),
        "ejected" => (Kind::Bad, "ejected", false),
        "unhealthy" => (Kind::Bad, "unhealthy", false),
        "drained" => (Kind::Off, "drained", false),
        "forced-open" => (Kind::Off, "forced open", false),
        "forced-closed" => (Kind::Warn, "forced closed", true),
        "degraded" => (Kind::Warn, "degraded", true),
        "down" => (Kind::Bad, "down", false),
        other => (Kind::Off, other, false),
    }
}

/// The state that a letter of a timeline stands for.
pub(crate) const fn letter(letter: char) -> Option<&'static str> {
    Some(match letter {
        'u' => "up",
        't' => "throttled",
        'w' => "warming",
        'p' => "probing",
        'o' => "open",
        'e' => "ejected",
        'x' => "unhealthy",
        'd' => "drained",
        'f' => "forced-open",
        'c' => "forced-closed",
        _ => return None,
    })
}

/// A change of state in a few words, and how it is meant.
pub(crate) fn change(event: &str) -> (Kind, &str) {
    match event {
        "breaker-opened" => (Kind::Bad, "breaker opened"),
        "breaker-half-opened" => (Kind::Probing, "breaker lets probes through"),
        "breaker-closed" => (Kind::Good, "breaker closed"),
        "endpoint-ejected" => (Kind::Bad, "ejected"),
        "endpoint-returned" => (Kind::Good, "taken back after its ejection"),
        "endpoint-unhealthy" => (Kind::Bad, "health check failed"),
        "endpoint-healthy" => (Kind::Good, "health check passes again"),
        "endpoint-throttled" => (Kind::Warn, "asked to be left alone"),
        "failed-open" => (Kind::Bad, "every endpoint is out: asked all the same"),
        "addresses-changed" => (Kind::Off, "addresses changed"),
        "addresses-kept" => (Kind::Bad, "name no longer resolves: old addresses kept"),
        "certificate-expiring" => (Kind::Warn, "certificate ends soon"),
        "ordered" => (Kind::Off, "order"),
        "reloaded" => (Kind::Off, "settings read again"),
        "incident-began" => (Kind::Bad, "incident began"),
        "incident-ended" => (Kind::Good, "incident ended"),
        other => (Kind::Warn, other),
    }
}

/// The change in a line, without its time: where, what, why.
pub(crate) fn change_line(change: &Change) -> String {
    let mut line = place(change.upstream.as_deref(), change.endpoint.as_deref());
    if !line.is_empty() {
        line.push(' ');
    }
    line.push_str(self::change(&change.event).1);
    let what = change.what.as_ref().map(|what| match what {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    });
    let why = change.code.clone().or_else(|| change.why.clone());
    let reasons: Vec<_> = [why, change.details.clone(), what].into_iter().flatten().collect();
    if !reasons.is_empty() {
        line.push_str(&format!(": {}", reasons.join(", ")));
    }
    if let Some(for_ms) = change.for_ms {
        line.push_str(&format!(", for {}", milliseconds(for_ms)));
    }
    if let Some(who) = &change.who {
        line.push_str(&format!(" (from {who})"));
    }
    line
}

/// Probes that failed one after the other, in a line.
pub(crate) fn probes_line(first: &Change, last: &Change, probes: u32) -> String {
    let place = place(last.upstream.as_deref(), last.endpoint.as_deref());
    match probes {
        1 => {
            let long = last.for_ms.map(|for_ms| format!(" for {}", milliseconds(for_ms)));
            format!("{place} probed once, opened again{}", long.unwrap_or_default())
        }
        many => {
            let since = seconds(first.at_unix_ms);
            format!("{place} probed {many} times since {since}, opened again each time")
        }
    }
}

/// `upstream/endpoint`, as far as it is known.
pub(crate) fn place(upstream: Option<&str>, endpoint: Option<&str>) -> String {
    [upstream, endpoint].into_iter().flatten().collect::<Vec<_>>().join("/")
}

/// What ended an incident.
pub(crate) fn ended(by: &str) -> &str {
    match by {
        "breaker-closed" => "its breaker closed again",
        "check-passed" => "its health check passed again",
        "answers" => "it answered again",
        "quiet" => "nothing broke there any more",
        "removed" => "it left the settings",
        other => other,
    }
}

/// What an incident was noticed by.
pub(crate) fn began(by: &str) -> &str {
    match by {
        "breaks" => "several breaks in a short time",
        "breaker-opened" => "its breaker opened",
        "check-failed" => "its health check failed",
        other => other,
    }
}

/// What was decided after a break.
pub(crate) fn decided(decision: &str) -> &str {
    match decision {
        "failover" => "on to another endpoint",
        "retry" => "another attempt",
        "resume" => "continued",
        "outcome-unknown" => "not repeated: it may have been done",
        "not-declared-idempotent" => "not repeated: not declared idempotent",
        "body-unrepeatable" => "not repeated: its body can't be sent again",
        "attempts-used" => "given up: attempts used",
        "budget-empty" => "given up: budget empty",
        "deadline-too-close" => "given up: too little time left",
        "deadline-passed" => "given up: out of time",
        "no-endpoint" => "given up: no endpoint may be asked",
        "reply-started" => "cut: the answer was on its way",
        "breaker-open" => "given up: breakers are open",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_that_matter() {
        assert_eq!([0, 999, 1284, 1_000_000].map(count), ["0", "999", "1,284", "1,000,000"]);
        assert_eq!([950, 12_345, 3_400_000].map(short), ["950", "12.3 k", "3.4 M"]);
        let shares = [1.0, 0.999_999, 0.998_76, 0.5, 0.001, 0.0];
        let shown = shares.map(|share| percent(Some(share)));
        assert_eq!(shown, ["100 %", "> 99.99 %", "99.87 %", "50.0 %", "0.10 %", "0 %"]);
        assert_eq!(percent(None), "–");
        assert_eq!([512, 2048, 5 << 30].map(bytes), ["512 B", "2.0 KiB", "5.0 GiB"]);
    }

    #[test]
    fn times_are_told_in_words() {
        let hour = 3_600_000;
        let shown = [400, 99_000, 240_000, hour, hour + 1_200_000, 72 * hour].map(span);
        assert_eq!(shown, ["0 s", "99 s", "4 min", "1 h", "1 h 20 min", "3 days"]);
        assert_eq!([left(1000, 0), left(12_000, 0), left(0, 5)], ["1.0 s", "12 s", "0.0 s"]);
        assert_eq!(clock(1_795_743_000_000), "01:30");
        assert_eq!(seconds(1_795_743_007_000), "01:30:07");
        let ago = |hours: u64| since(1_795_743_007_000, 1_795_743_007_000 + hours * 3_600_000);
        assert_eq!([ago(1), ago(48)], ["01:30:07", "2026-11-27 01:30:07"]);
    }

    #[test]
    fn what_it_cost_names_what_saved() {
        let by = |pairs: &[(&str, u64)]| -> Counts {
            pairs.iter().map(|(name, number)| ((*name).to_owned(), *number)).collect()
        };
        assert_eq!(
            costs(1284, &by(&[("failover", 1284), ("retry", 0)]), 0),
            "1,284 calls saved by failover, 0 failed"
        );
        assert_eq!(
            costs(5, &by(&[("failover", 2), ("heal", 3)]), 1),
            "5 calls saved (3 by healing, 2 by failover), 1 failed"
        );
        assert_eq!(list(&["a", "b", "c"]), "a, b and c");
    }
}
