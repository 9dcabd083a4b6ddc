//! A value between text and settings.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use mainstay_core::Ratio;
use mainstay_core::breaks::StatusSet;
use mainstay_core::call::HedgeAfter;
use mainstay_core::retry::MaxAttempts;
use mainstay_core::upstream::Percentile;

use crate::settings::LaneBy;

/// What a key was read as, or is to be written as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// Switched off, or not there.
    Off,
    Flag(bool),
    /// Counts, bytes, and factors in hundredths.
    Number(u64),
    Length(Duration),
    Share(Ratio),
    Text(String),
    List(Vec<String>),
    /// Inclusive ranges, sorted.
    Statuses(Vec<(u16, u16)>),
}

/// A type of settings that a [`Value`] can be made into and from.
pub(crate) trait Plain: Sized {
    fn to_value(&self) -> Value;
    /// `None` when the value is of another type, which the kind of each key rules out.
    fn from_value(value: Value) -> Option<Self>;
}

/// An enum whose variants have a word each.
pub(crate) trait Word: Copy + PartialEq + 'static {
    const WORDS: &'static [(&'static str, Self)];
}

impl<W: Word> Plain for W {
    fn to_value(&self) -> Value {
        let found = W::WORDS.iter().find(|(_, variant)| variant == self);
        found.map_or(Value::Off, |(word, _)| Value::Text((*word).into()))
    }

    fn from_value(value: Value) -> Option<Self> {
        let Value::Text(text) = value else { return None };
        W::WORDS.iter().find(|(word, _)| *word == text).map(|(_, variant)| *variant)
    }
}

impl<V: Plain> Plain for Option<V> {
    fn to_value(&self) -> Value {
        self.as_ref().map_or(Value::Off, V::to_value)
    }

    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Off => Some(None),
            value => V::from_value(value).map(Some),
        }
    }
}

impl Plain for bool {
    fn to_value(&self) -> Value {
        Value::Flag(*self)
    }

    fn from_value(value: Value) -> Option<Self> {
        if let Value::Flag(flag) = value { Some(flag) } else { None }
    }
}

impl Plain for Duration {
    fn to_value(&self) -> Value {
        Value::Length(*self)
    }

    fn from_value(value: Value) -> Option<Self> {
        if let Value::Length(length) = value { Some(length) } else { None }
    }
}

impl Plain for Ratio {
    fn to_value(&self) -> Value {
        Value::Share(*self)
    }

    fn from_value(value: Value) -> Option<Self> {
        if let Value::Share(share) = value { Some(share) } else { None }
    }
}

impl Plain for String {
    fn to_value(&self) -> Value {
        Value::Text(self.clone())
    }

    fn from_value(value: Value) -> Option<Self> {
        if let Value::Text(text) = value { Some(text) } else { None }
    }
}

impl Plain for LaneBy {
    fn to_value(&self) -> Value {
        Value::Text(self.to_string())
    }

    fn from_value(value: Value) -> Option<Self> {
        if let Value::Text(text) = value { Self::parse(&text) } else { None }
    }
}

impl Plain for PathBuf {
    fn to_value(&self) -> Value {
        Value::Text(self.to_string_lossy().into_owned())
    }

    fn from_value(value: Value) -> Option<Self> {
        String::from_value(value).map(Self::from)
    }
}

impl Plain for Vec<String> {
    fn to_value(&self) -> Value {
        Value::List(self.clone())
    }

    fn from_value(value: Value) -> Option<Self> {
        if let Value::List(list) = value { Some(list) } else { None }
    }
}

/// Header fields, as `name: value`.
impl Plain for Vec<(String, String)> {
    fn to_value(&self) -> Value {
        Value::List(self.iter().map(|(name, value)| format!("{name}: {value}")).collect())
    }

    fn from_value(value: Value) -> Option<Self> {
        let Value::List(list) = value else { return None };
        let split = |item: &String| {
            item.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()))
        };
        list.iter().map(split).collect()
    }
}

impl Plain for Vec<SocketAddr> {
    fn to_value(&self) -> Value {
        Value::List(self.iter().map(SocketAddr::to_string).collect())
    }

    fn from_value(value: Value) -> Option<Self> {
        let Value::List(list) = value else { return None };
        list.iter().map(|item| item.parse().ok()).collect()
    }
}

impl Plain for Vec<(u16, u16)> {
    fn to_value(&self) -> Value {
        Value::Statuses(self.clone())
    }

    fn from_value(value: Value) -> Option<Self> {
        if let Value::Statuses(ranges) = value { Some(ranges) } else { None }
    }
}

impl Plain for StatusSet {
    fn to_value(&self) -> Value {
        let mut ranges: Vec<(u16, u16)> = Vec::new();
        for status in self.iter() {
            match ranges.last_mut() {
                Some((_, to)) if *to + 1 == status => *to = status,
                _ => ranges.push((status, status)),
            }
        }
        Value::Statuses(ranges)
    }

    fn from_value(value: Value) -> Option<Self> {
        let Value::Statuses(ranges) = value else { return None };
        let all = ranges.into_iter().flat_map(|(from, to)| from..=to);
        Some(all.fold(Self::NONE, Self::with))
    }
}

impl Plain for MaxAttempts {
    fn to_value(&self) -> Value {
        Value::Number(u64::from(self.count()))
    }

    fn from_value(value: Value) -> Option<Self> {
        u8::from_value(value).and_then(Self::new)
    }
}

impl Plain for HedgeAfter {
    fn to_value(&self) -> Value {
        match self {
            Self::Fixed(length) => length.to_value(),
            Self::Percentile(percentile) => percentile.to_value(),
        }
    }

    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Length(length) => Some(Self::Fixed(length)),
            value => Percentile::from_value(value).map(Self::Percentile),
        }
    }
}

impl Plain for u8 {
    fn to_value(&self) -> Value {
        Value::Number(u64::from(*self))
    }

    fn from_value(value: Value) -> Option<Self> {
        u64::from_value(value)?.try_into().ok()
    }
}

impl Plain for u16 {
    fn to_value(&self) -> Value {
        Value::Number(u64::from(*self))
    }

    fn from_value(value: Value) -> Option<Self> {
        u64::from_value(value)?.try_into().ok()
    }
}

impl Plain for u32 {
    fn to_value(&self) -> Value {
        Value::Number(u64::from(*self))
    }

    fn from_value(value: Value) -> Option<Self> {
        u64::from_value(value)?.try_into().ok()
    }
}

impl Plain for usize {
    fn to_value(&self) -> Value {
        Value::Number(u64::try_from(*self).unwrap_or(u64::MAX))
    }

    fn from_value(value: Value) -> Option<Self> {
        u64::from_value(value)?.try_into().ok()
    }
}

impl Plain for u64 {
    fn to_value(&self) -> Value {
        Value::Number(*self)
    }

    fn from_value(value: Value) -> Option<Self> {
        if let Value::Number(number) = value { Some(number) } else { None }
    }
}
