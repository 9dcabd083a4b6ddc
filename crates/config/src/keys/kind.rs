//! What may stand at a key: how it is read, said, written and described to editors.

use std::collections::BTreeSet;
use std::time::Duration;

use mainstay_core::Ratio;
use mainstay_core::upstream::Percentile;
use serde_json::{Value as Json, json};
use toml::de::DeValue;

use super::{Rule, Value, Word};
use crate::mistake::MistakeKind;
use crate::text;

/// What may stand at a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Length {
        min: Duration,
        max: Duration,
    },
    Size {
        min: u64,
        max: u64,
    },
    Number {
        min: u64,
        max: u64,
    },
    /// From 0 to 1, or above 0, or below 1.
    Share {
        above_zero: bool,
        below_one: bool,
    },
    /// A factor, bounds in hundredths.
    Factor {
        min: u64,
        max: u64,
    },
    /// A percentile of latency, this one or higher, or a length of time.
    Percentile {
        least: Percentile,
        min: Duration,
        max: Duration,
    },
    Flag,
    Choice(Vec<&'static str>),
    Text(Rule),
    /// The path of a file.
    File,
    /// A list, or a single one.
    Texts(Rule),
    Statuses {
        min: u16,
        max: u16,
    },
    /// A table of further keys.
    Section,
    /// A list of URLs or tables.
    Endpoints,
    /// A table of names and values that have to be there.
    Matches,
    /// A table, an address, or false.
    Admin,
    /// A list of tables, each read by keys of its own.
    Tables,
    /// A table of tables by name.
    Named,
}

/// Why a value can't be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) kind: MistakeKind,
    /// "a length of time, such as ..." and the like; empty when it follows from the kind.
    pub(crate) advice: String,
    /// The item of a list that is meant.
    pub(crate) item: Option<usize>,
}

impl Kind {
    /// A choice among the words of `W`.
    pub(crate) fn choice<W: Word>() -> Self {
        Self::Choice(W::WORDS.iter().map(|(word, _)| *word).collect())
    }

    /// What it is, with an article.
    pub(crate) fn noun(&self) -> &'static str {
        match self {
            Self::Length { .. } => "a length of time",
            Self::Size { .. } => "a size",
            Self::Number { .. } => "a whole number",
            Self::Share { .. } => "a share",
            Self::Factor { .. } => "a factor",
            Self::Percentile { .. } => "a percentile or a length of time",
            Self::Flag => "true or false",
            Self::Choice(_) => "one of a few words",
            Self::Text(_) => "a text",
            Self::File => "the path of a file",
            Self::Texts(_) => "a text or a list of them",
            Self::Statuses { .. } => "a list of statuses",
            Self::Section | Self::Matches | Self::Named => "a table",
            Self::Endpoints => "a list of URLs or tables",
            Self::Admin => "an address, a table or false",
            Self::Tables => "a list of tables",
        }
    }

    /// What one item of it is.
    pub(crate) fn form(&self) -> &'static str {
        match self {
            Self::Text(rule) | Self::Texts(rule) => rule.noun(),
            kind => kind.noun(),
        }
    }

    /// What is allowed, in words.
    pub(crate) fn allowed(&self) -> String {
        match self {
            Self::Length { min, max } => {
                format!("{} to {}", text::show_length(*min), text::show_length(*max))
            }
            Self::Size { min, max } => match *max {
                u64::MAX => format!("{} or more", text::show_size(*min)),
                max => format!("{} to {}", text::show_size(*min), text::show_size(max)),
            },
            Self::Number { min, max } => format!("{min} to {max}"),
            Self::Share { above_zero, below_one } => {
                let least = if *above_zero { "above 0%" } else { "0%" };
                let most = if *below_one { "below 100%" } else { "100%" };
                format!("{least} to {most}")
            }
            Self::Factor { min, max } => format!("{} to {}", factor(*min), factor(*max)),
            Self::Percentile { least, min, max } => {
                let length = Self::Length { min: *min, max: *max }.allowed();
                format!("{}, or {length}", percentiles(*least).allowed())
            }
            Self::Flag => "true or false".into(),
            Self::Choice(words) => {
                let words: Vec<String> = words.iter().map(|word| text::quoted(word)).collect();
                words.join(", ")
            }
            Self::Text(rule) => rule.noun().into(),
            Self::File => "a file; relative to the directory of this one".into(),
            Self::Texts(rule) => format!("{}, or a list of them", rule.noun()),
            Self::Statuses { min, max } => {
                format!("statuses {min} to {max}: numbers, \"500-599\", \"5xx\", \"!501\"")
            }
            Self::Section | Self::Named => "a table".into(),
            Self::Endpoints => "URLs, or tables { url, name, tier, weight }".into(),
            Self::Matches => {
                "a table such as { name = \"value\", other = true }; true: any value".into()
            }
            Self::Admin => "an address, a table, or false to switch it off".into(),
            Self::Tables => "a list of tables".into(),
        }
    }

    /// Reads a value.
    pub(crate) fn read(&self, value: &DeValue<'_>) -> Result<Value, Wrong> {
        match self {
            Self::Length { min, max } => self.read_length(value, *min..=*max),
            Self::Size { min, max } => {
                let bytes = match value {
                    DeValue::String(text) => text::size(text).map_err(Wrong::form)?,
                    DeValue::Integer(_) if whole(value) == Some(0) => 0,
                    DeValue::Integer(number) => {
                        return Err(Wrong::form(
                            text::size(&number.to_string()).err().unwrap_or_default(),
                        ));
                    }
                    _ => return Err(Wrong::type_of(self)),
                };
                self.within((*min..=*max).contains(&bytes), Value::Number(bytes))
            }
            Self::Number { min, max } => {
                let DeValue::Integer(_) = value else { return Err(Wrong::type_of(self)) };
                let number = whole(value);
                let holds = number.is_some_and(|number| (*min..=*max).contains(&number));
                self.within(holds, Value::Number(number.unwrap_or_default()))
            }
            Self::Share { .. } => self.read_share(value),
            Self::Factor { min, max } => self.read_factor(value, *min..=*max),
            Self::Percentile { least, min, max } => match value {
                DeValue::String(text) if text.starts_with('p') => percentiles(*least).read(value),
                _ => self.read_length(value, *min..=*max),
            },
            Self::Flag => match value {
                DeValue::Boolean(flag) => Ok(Value::Flag(*flag)),
                _ => Err(Wrong::type_of(self)),
            },
            Self::Choice(words) => {
                let DeValue::String(word) = value else { return Err(Wrong::type_of(self)) };
                if words.contains(&word.as_ref()) {
                    return Ok(Value::Text(word.to_string()));
                }
                Err(Wrong::new(
                    MistakeKind::UnknownName,
                    text::suggest(word, words.iter().copied()),
                ))
            }
            Self::Text(rule) => match value {
                DeValue::String(text) => rule.read(text).map(Value::Text).map_err(Wrong::form),
                _ => Err(Wrong::type_of(self)),
            },
            Self::File => match value {
                DeValue::String(path) if !path.is_empty() => Ok(Value::Text(path.to_string())),
                _ => Err(Wrong::type_of(self)),
            },
            Self::Texts(rule) => self.read_texts(value, *rule),
            Self::Statuses { min, max } => self.read_statuses(value, *min, *max),
            Self::Section
            | Self::Endpoints
            | Self::Matches
            | Self::Admin
            | Self::Tables
            | Self::Named => Err(Wrong::type_of(self)),
        }
    }

    fn read_length(
        &self,
        value: &DeValue<'_>,
        range: std::ops::RangeInclusive<Duration>,
    ) -> Result<Value, Wrong> {
        let length = match value {
            DeValue::String(text) => text::length(text).map_err(Wrong::form)?,
            DeValue::Integer(_) if whole(value) == Some(0) => Duration::ZERO,
            DeValue::Integer(number) => {
                return Err(Wrong::form(
                    text::length(&number.to_string()).err().unwrap_or_default(),
                ));
            }
            DeValue::Float(number) => {
                return Err(Wrong::form(text::length(number.as_str()).err().unwrap_or_default()));
            }
            _ => return Err(Wrong::type_of(self)),
        };
        self.within(range.contains(&length), Value::Length(length))
    }

    fn read_share(&self, value: &DeValue<'_>) -> Result<Value, Wrong> {
        let share = match value {
            DeValue::String(text) => text::share(text).map_err(Wrong::form)?,
            DeValue::Float(number) => {
                let share = number.as_str().parse().ok().and_then(Ratio::from_share);
                share.ok_or_else(|| {
                    Wrong::new(MistakeKind::OutOfRange, format!("allowed: {}", self.allowed()))
                })?
            }
            DeValue::Integer(_) if whole(value) == Some(0) => Ratio::ZERO,
            DeValue::Integer(number) => {
                return Err(Wrong::form(format!("the unit is missing: \"{number}%\"?")));
            }
            _ => return Err(Wrong::type_of(self)),
        };
        let Self::Share { above_zero, below_one } = self else { return Err(Wrong::type_of(self)) };
        let holds = (!above_zero || share > Ratio::ZERO) && (!below_one || share < Ratio::ONE);
        self.within(holds, Value::Share(share))
    }

    fn read_factor(
        &self,
        value: &DeValue<'_>,
        range: std::ops::RangeInclusive<u64>,
    ) -> Result<Value, Wrong> {
        let number = match value {
            DeValue::Integer(number) => number.to_string(),
            DeValue::Float(number) => number.as_str().to_owned(),
            _ => return Err(Wrong::type_of(self)),
        };
        let hundredths = text::amount(&number).filter(|amount| amount.unit.is_empty());
        let hundredths = hundredths.and_then(|amount| amount.scaled(100));
        let holds = hundredths.is_some_and(|hundredths| range.contains(&hundredths));
        self.within(holds, Value::Number(hundredths.unwrap_or_default()))
    }

    fn read_texts(&self, value: &DeValue<'_>, rule: Rule) -> Result<Value, Wrong> {
        let items = match value {
            DeValue::String(text) => {
                return Ok(Value::List(vec![rule.read(text).map_err(Wrong::form)?]));
            }
            DeValue::Array(items) => items,
            _ => return Err(Wrong::type_of(self)),
        };
        let mut list = Vec::new();
        let mut seen = BTreeSet::new();
        for (index, item) in items.iter().enumerate() {
            let DeValue::String(text) = item.get_ref() else {
                return Err(Wrong::type_of(self).at(index));
            };
            let text = rule.read(text).map_err(|advice| Wrong::form(advice).at(index))?;
            if !seen.insert(text.clone()) {
                return Err(
                    Wrong::new(MistakeKind::Taken, "it is in the list already".into()).at(index)
                );
            }
            list.push(text);
        }
        Ok(Value::List(list))
    }

    fn read_statuses(&self, value: &DeValue<'_>, min: u16, max: u16) -> Result<Value, Wrong> {
        let mut items = Vec::new();
        let mut push = |value: &DeValue<'_>| match value {
            DeValue::String(text) => {
                items.push(text.to_string());
                true
            }
            DeValue::Integer(number) => {
                items.push(number.to_string());
                true
            }
            _ => false,
        };
        match value {
            DeValue::Array(list) => {
                for (index, item) in list.iter().enumerate() {
                    if !push(item.get_ref()) {
                        return Err(Wrong::type_of(self).at(index));
                    }
                }
            }
            single => {
                if !push(single) {
                    return Err(Wrong::type_of(self));
                }
            }
        }
        let ranges = text::read_statuses(&items, min, max);
        ranges.map(Value::Statuses).map_err(|(index, advice)| Wrong::form(advice).at(index))
    }

    fn within(&self, holds: bool, value: Value) -> Result<Value, Wrong> {
        if holds {
            Ok(value)
        } else {
            Err(Wrong::new(MistakeKind::OutOfRange, format!("allowed: {}", self.allowed())))
        }
    }

    /// Writes a value; `None` for what isn't there and can't be switched off.
    pub(crate) fn show(&self, value: &Value) -> Option<String> {
        Some(match (self, value) {
            (_, Value::Off) => return None,
            (Self::Size { .. }, Value::Number(bytes)) => text::quoted(&text::show_size(*bytes)),
            (Self::Factor { .. }, Value::Number(hundredths)) => factor(*hundredths),
            (_, Value::Number(number)) => number.to_string(),
            (_, Value::Flag(flag)) => flag.to_string(),
            (_, Value::Length(length)) => text::quoted(&text::show_length(*length)),
            (_, Value::Share(share)) => text::quoted(&text::show_share(*share)),
            (_, Value::Text(text)) => text::quoted(text),
            (_, Value::List(list)) => {
                let items: Vec<String> = list.iter().map(|item| text::quoted(item)).collect();
                format!("[{}]", items.join(", "))
            }
            (_, Value::Statuses(ranges)) => text::show_statuses(ranges),
        })
    }

    /// The JSON Schema of what may stand there, without the tables, which their own keys describe.
    pub(crate) fn schema(&self) -> Json {
        match self {
            Self::Length { .. } => {
                json!({ "type": "string", "pattern": "^[0-9]+(\\.[0-9]+)? ?(ms|s|m|h|d)$" })
            }
            Self::Size { .. } => {
                json!({ "type": "string", "pattern": "^[0-9]+(\\.[0-9]+)? ?(B|kB|KB|MB|GB|KiB|MiB|GiB)$" })
            }
            Self::Number { min, max } => {
                json!({ "type": "integer", "minimum": min, "maximum": max })
            }
            Self::Share { .. } => json!({ "anyOf": [
                { "type": "string", "pattern": "^[0-9]+(\\.[0-9]+)? ?%$" },
                { "type": "number", "minimum": 0, "maximum": 1 },
            ] }),
            Self::Factor { min, max } => {
                json!({ "type": "number", "minimum": *min as f64 / 100.0, "maximum": *max as f64 / 100.0 })
            }
            Self::Percentile { least, min, max } => {
                let length = Self::Length { min: *min, max: *max };
                json!({ "anyOf": [percentiles(*least).schema(), length.schema()] })
            }
            Self::Flag => json!({ "type": "boolean" }),
            Self::Choice(words) => json!({ "enum": words }),
            Self::Text(_) | Self::File => json!({ "type": "string", "minLength": 1 }),
            Self::Texts(_) => one_or_list(&json!({ "type": "string" })),
            Self::Statuses { .. } => one_or_list(&json!({ "type": ["string", "integer"] })),
            Self::Matches => json!({
                "type": "object",
                "additionalProperties": { "anyOf": [{ "type": "string" }, { "const": true }] },
            }),
            Self::Section | Self::Named => json!({ "type": "object" }),
            Self::Endpoints | Self::Tables => json!({ "type": "array" }),
            Self::Admin => json!({}),
        }
    }
}

impl Wrong {
    pub(crate) fn new(kind: MistakeKind, advice: String) -> Self {
        Self { kind, advice, item: None }
    }

    fn form(advice: String) -> Self {
        Self::new(MistakeKind::WrongForm, advice)
    }

    fn type_of(kind: &Kind) -> Self {
        let advice = match kind {
            Kind::Length { .. }
            | Kind::Size { .. }
            | Kind::Number { .. }
            | Kind::Share { .. }
            | Kind::Factor { .. }
            | Kind::Percentile { .. } => {
                format!("{} belongs here: {}", kind.noun(), kind.allowed())
            }
            kind => format!("allowed: {}", kind.allowed()),
        };
        Self::new(MistakeKind::WrongType, advice)
    }

    fn at(self, item: usize) -> Self {
        Self { item: Some(item), ..self }
    }
}

/// A choice among the percentiles from `least` on.
pub(super) fn percentiles(least: Percentile) -> Kind {
    let all = Percentile::ALL.into_iter().filter(|percentile| *percentile >= least);
    Kind::Choice(all.map(Percentile::code).collect())
}

/// A whole number that isn't negative and fits.
fn whole(value: &DeValue<'_>) -> Option<u64> {
    let DeValue::Integer(number) = value else { return None };
    u64::from_str_radix(number.as_str(), number.radix()).ok()
}

fn factor(hundredths: u64) -> String {
    match (hundredths / 100, hundredths % 100) {
        (whole, part) if part % 10 == 0 => format!("{whole}.{}", part / 10),
        (whole, part) => format!("{whole}.{part:02}"),
    }
}

fn one_or_list(item: &Json) -> Json {
    json!({ "anyOf": [item, { "type": "array", "items": item }] })
}
