//! TOML's tree, walked by hand: each value with its line, and every problem collected.
//!
//! By hand, because a derived reader stops at the first problem and a person wants all of them at once.

use std::time::Duration;

use mainstay_lab::{Problem, Ratio, parse_duration};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub(super) type Value<'i> = Spanned<DeValue<'i>>;

/// Reads values and collects what is wrong with them.
pub(super) struct Reader<'t> {
    pub(super) text: &'t str,
    pub(super) problems: Vec<Problem>,
}

/// A table whose keys are taken one by one; what is left over is a problem.
pub(super) struct Table<'a, 'i> {
    table: &'a DeTable<'i>,
    name: &'static str,
    at: usize,
    known: Vec<&'static str>,
}

impl<'a, 'i> Table<'a, 'i> {
    pub(super) fn new(table: &'a DeTable<'i>, name: &'static str, at: usize) -> Self {
        Self { table, name, at, known: Vec::new() }
    }

    pub(super) fn take(&mut self, key: &'static str) -> Option<&'a Value<'i>> {
        self.known.push(key);
        self.table.get(key)
    }

    /// The value of a key that has to be there.
    pub(super) fn need(
        &mut self,
        key: &'static str,
        allowed: &str,
        reader: &mut Reader<'_>,
    ) -> Option<&'a Value<'i>> {
        let value = self.take(key);
        if value.is_none() {
            reader.wrong(self.at, format!("{}.{key}", self.name), "missing", allowed);
        }
        value
    }

    /// Names each key that nobody took.
    pub(super) fn end(self, reader: &mut Reader<'_>) {
        for (key, _) in self.table {
            let word = key.get_ref().as_ref();
            if !self.known.contains(&word) {
                let place = format!("a key of {}", self.name);
                reader.wrong(key.span().start, place, word, self.known.join(", "));
            }
        }
    }
}

impl Reader<'_> {
    pub(super) fn line_of(&self, at: usize) -> usize {
        self.text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
    }

    pub(super) fn wrong(
        &mut self,
        at: usize,
        place: impl Into<String>,
        value: impl Into<String>,
        allowed: impl Into<String>,
    ) {
        let line = self.line_of(at);
        self.problems.push(Problem::new(place, value, allowed).on_line(line));
    }

    /// A value as it stands in the text is wrong.
    pub(super) fn refuse(&mut self, place: &str, value: &Value<'_>, allowed: impl Into<String>) {
        let text = self.text.get(value.span()).unwrap_or_default().to_owned();
        self.wrong(value.span().start, place, text, allowed);
    }

    /// The tables of `[[name]]`.
    pub(super) fn tables<'a, 'i>(
        &mut self,
        name: &'static str,
        value: Option<&'a Value<'i>>,
    ) -> Vec<Table<'a, 'i>> {
        let Some(value) = value else { return Vec::new() };
        let DeValue::Array(items) = value.get_ref() else {
            self.refuse(name, value, format!("[[{name}]] tables"));
            return Vec::new();
        };
        items.iter().filter_map(|item| self.table(name, item)).collect()
    }

    pub(super) fn table<'a, 'i>(
        &mut self,
        name: &'static str,
        value: &'a Value<'i>,
    ) -> Option<Table<'a, 'i>> {
        match value.get_ref() {
            DeValue::Table(table) => Some(Table::new(table, name, value.span().start)),
            _ => {
                self.refuse(name, value, "a table");
                None
            }
        }
    }

    pub(super) fn text(&mut self, place: &str, value: &Value<'_>) -> String {
        let text = value.get_ref().as_str().map(str::to_owned);
        if text.is_none() {
            self.refuse(place, value, "a text");
        }
        text.unwrap_or_default()
    }

    /// A list of texts; one text stands for itself.
    pub(super) fn texts<'i>(&mut self, place: &str, value: &'i Value<'_>) -> Vec<&'i str> {
        let found: Option<Vec<&str>> = match value.get_ref() {
            DeValue::String(text) => Some(vec![text]),
            DeValue::Array(items) => items.iter().map(|item| item.get_ref().as_str()).collect(),
            _ => None,
        };
        if found.is_none() {
            self.refuse(place, value, "a text, or a list of them");
        }
        found.unwrap_or_default()
    }

    pub(super) fn truth(&mut self, place: &str, value: Option<&Value<'_>>, default: bool) -> bool {
        match value.map(|value| (value, value.get_ref())) {
            None => default,
            Some((_, DeValue::Boolean(truth))) => *truth,
            Some((value, _)) => {
                self.refuse(place, value, "true or false");
                default
            }
        }
    }

    /// A whole number.
    pub(super) fn whole(
        &mut self,
        place: &str,
        value: Option<&Value<'_>>,
        (low, high): (u64, u64),
        default: u64,
    ) -> u64 {
        let Some(value) = value else { return default };
        let read = match value.get_ref() {
            DeValue::Integer(number) => {
                number.as_str().parse::<u64>().ok().filter(|n| (low..=high).contains(n))
            }
            _ => None,
        };
        read.unwrap_or_else(|| {
            self.refuse(place, value, format!("a whole number from {low} to {high}"));
            default
        })
    }

    /// A number with a fraction, times `scale`, rounded; from `low` to `high` before that.
    pub(super) fn scaled(
        &mut self,
        place: &str,
        value: &Value<'_>,
        scale: u32,
        (low, high): (u32, u32),
    ) -> u64 {
        let number = match value.get_ref() {
            DeValue::Integer(number) => number.as_str().parse::<f64>().ok(),
            DeValue::Float(number) => number.as_str().parse::<f64>().ok(),
            _ => None,
        };
        let scaled = number.map(|number| (number * f64::from(scale)).round());
        let least = (f64::from(low) * f64::from(scale)).max(1.0);
        match scaled.filter(|n| (least..=f64::from(high) * f64::from(scale)).contains(n)) {
            Some(scaled) => scaled as u64,
            None => {
                let from = if low == 0 { "above 0".to_owned() } else { format!("from {low}") };
                self.refuse(place, value, format!("a number {from} to {high}"));
                least as u64
            }
        }
    }

    /// A share, written as a number from 0 to 1.
    pub(super) fn share(&mut self, place: &str, value: Option<&Value<'_>>) -> Ratio {
        let Some(value) = value else { return Ratio::from_millionths(0) };
        let read = match value.get_ref() {
            DeValue::Integer(number) => Ratio::parse(number.as_str()),
            DeValue::Float(number) => Ratio::parse(number.as_str()),
            _ => None,
        };
        read.unwrap_or_else(|| {
            self.refuse(place, value, "a number from 0 to 1");
            Ratio::from_millionths(0)
        })
    }

    /// A length of time within bounds.
    pub(super) fn time(
        &mut self,
        place: &str,
        value: &Value<'_>,
        (low, high): (Duration, Duration),
    ) -> Duration {
        let read = value.get_ref().as_str().and_then(parse_duration);
        read.filter(|length| (low..=high).contains(length)).unwrap_or_else(|| {
            let allowed = format!("a time from {low:?} to {high:?}, such as \"250ms\" or \"10s\"");
            self.refuse(place, value, allowed);
            low
        })
    }
}
