//! What must come of a run, said in a word, so that a change of a policy can be guarded: `success>=99.9`.

use std::fmt;
use std::str::FromStr;

use mainstay_lab::parse_duration;

use super::{Report, report};

/// A measure, a comparison and a number.
#[derive(Clone, Debug, PartialEq)]
pub struct Assertion {
    text: String,
    measure: Measure,
    comparison: Comparison,
    limit: f64,
}

/// What can be asserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Measure {
    Success,
    P50,
    P99,
    P999,
    Amplification,
    Duplicates,
    Mask,
    Recover,
    Metastable,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    AtLeast,
    AtMost,
    Above,
    Below,
    Equal,
}

/// A text that asserts nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoAssertion(String);

impl Assertion {
    /// Whether it holds, and what was found.
    #[must_use]
    pub fn check(&self, report: &Report) -> (bool, String) {
        let Some(found) = self.measure.of(report) else {
            // Never is later than any time.
            let holds = matches!(self.comparison, Comparison::AtLeast | Comparison::Above);
            return (holds, "never".to_owned());
        };
        let holds = match self.comparison {
            Comparison::AtLeast => found >= self.limit,
            Comparison::AtMost => found <= self.limit,
            Comparison::Above => found > self.limit,
            Comparison::Below => found < self.limit,
            Comparison::Equal => found == self.limit,
        };
        (holds, self.measure.show(found))
    }
}

impl Measure {
    const ALL: [(&'static str, Self); 9] = [
        ("success", Self::Success),
        ("p50", Self::P50),
        ("p99", Self::P99),
        ("p99.9", Self::P999),
        ("amplification", Self::Amplification),
        ("duplicates", Self::Duplicates),
        ("mask", Self::Mask),
        ("recover", Self::Recover),
        ("metastable", Self::Metastable),
    ];

    /// In percent, milliseconds, or as a plain number; `None` for never.
    fn of(self, report: &Report) -> Option<f64> {
        Some(match self {
            Self::Success => report.success_percent(),
            Self::P50 => report::millis(report.latency.p50),
            Self::P99 => report::millis(report.latency.p99),
            Self::P999 => report::millis(report.latency.p999),
            Self::Amplification => report.amplification(),
            Self::Duplicates => report.duplicates as f64,
            Self::Mask => report::millis(report.time_to_mask()?),
            Self::Recover => report::millis(report.time_to_recover()?),
            Self::Metastable => f64::from(u8::from(report.verdict.is_metastable)),
        })
    }

    fn is_time(self) -> bool {
        matches!(self, Self::P50 | Self::P99 | Self::P999 | Self::Mask | Self::Recover)
    }

    /// The number behind the comparison.
    fn read(self, text: &str) -> Option<f64> {
        if self.is_time() {
            return parse_duration(text).map(report::millis);
        }
        match (self, text) {
            (Self::Metastable, "true" | "yes") => Some(1.0),
            (Self::Metastable, "false" | "no") => Some(0.0),
            (Self::Metastable, _) => None,
            _ => text.trim_end_matches('%').parse().ok().filter(|number: &f64| number.is_finite()),
        }
    }

    fn show(self, found: f64) -> String {
        match self {
            Self::Success => format!("{found:.3} %"),
            Self::Amplification => format!("{found:.3}"),
            Self::Metastable => if found > 0.0 { "true" } else { "false" }.to_owned(),
            Self::Duplicates => format!("{found}"),
            _ => format!("{found} ms"),
        }
    }
}

impl FromStr for Assertion {
    type Err = NoAssertion;

    fn from_str(text: &str) -> Result<Self, NoAssertion> {
        let wrong = || NoAssertion(text.to_owned());
        let at = text.find(['<', '>', '=']).ok_or_else(wrong)?;
        let (name, rest) = text.split_at(at);
        let signs = [
            (">=", Comparison::AtLeast),
            ("<=", Comparison::AtMost),
            ("==", Comparison::Equal),
            (">", Comparison::Above),
            ("<", Comparison::Below),
            ("=", Comparison::Equal),
        ];
        let (sign, comparison) =
            signs.into_iter().find(|(sign, _)| rest.starts_with(sign)).ok_or_else(wrong)?;
        let known = Measure::ALL.into_iter().find(|(known, _)| *known == name.trim());
        let (_, measure) = known.ok_or_else(wrong)?;
        let limit = measure.read(rest[sign.len()..].trim()).ok_or_else(wrong)?;
        Ok(Self { text: text.to_owned(), measure, comparison, limit })
    }
}

impl fmt::Display for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for NoAssertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Measure::ALL.map(|(name, _)| name).join(", ");
        write!(
            f,
            "the assertion is `{}`, allowed: one of {names}, then >=, <=, >, < or =, then a number (success in percent), a time \
             such as 250ms, or true or false for metastable",
            self.0
        )
    }
}

impl std::error::Error for NoAssertion {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assertion_is_a_measure_a_comparison_and_a_number() {
        for right in [
            "success>=99.9",
            "success >= 99.9%",
            "p99<250ms",
            "p99.9 <= 2s",
            "duplicates=0",
            "metastable=false",
            "recover<30s",
        ] {
            assert_eq!(right.parse::<Assertion>().map(|it| it.to_string()), Ok(right.to_owned()));
        }
        for wrong in
            ["", "success", "happy>3", "p99<fast", "success>=nan", "metastable=0.5", "mask<3d"]
        {
            assert!(wrong.parse::<Assertion>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_assertion_holds_or_says_what_was_found() {
        let world = "[world]\nduration = \"10s\"\n[load]\narrivals = \"constant\"\nrate = 10\n[[endpoint]]\nname = \"a\"\nservice = \"10ms\"\n[[fault]]\nat = \"9s\"\nendpoint = \"a\"\nwhat = \"refuse\"";
        let world = crate::World::parse(world, None).unwrap();
        let policy = crate::Policy::defaults(&world).unwrap();
        let report = crate::Simulation::new(&world, &policy, crate::Checks::EachStep).run();
        let check = |text: &str| text.parse::<Assertion>().unwrap().check(&report);
        assert_eq!(check("success>=80"), (true, format!("{:.3} %", report.success_percent())));
        assert!(!check("success>95").0);
        assert_eq!(check("mask<20s"), (false, "never".to_owned()));
        assert!(check("p50<20ms").0);
        assert_eq!(check("duplicates=0"), (true, "0".to_owned()));
    }
}
