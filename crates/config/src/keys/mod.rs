//! The keys of the file: one description that the reader, the printer, the suggestions, the JSON Schema and the
//! manual page are all driven by.
//!
//! A [`Key`] names a place in the file, says what may stand there ([`Kind`]), what too low and too high cost, and
//! leads to the field that it fills: one function from the draft to the field gives reading and writing both, so
//! that the two can't differ. Defaults are not part of the description; they are read from the settings' own.

mod admin;
mod breaker;
mod budget;
mod call;
mod connect;
mod degrade;
mod ejection;
mod endpoint;
mod heal;
mod health;
mod incidents;
mod kind;
mod limits;
mod load;
mod logs;
mod outbox;
mod records;
mod route;
mod rule;
mod top;
mod traces;
mod upstream;
mod value;
mod words;

use std::time::Duration;

pub(crate) use admin::{admin, listener};
pub(crate) use call::call;
pub(crate) use endpoint::endpoint;
pub(crate) use kind::{Kind, Wrong};
pub(crate) use route::route;
pub(crate) use rule::Rule;
pub(crate) use top::top;
pub(crate) use upstream::upstream;
pub(crate) use value::{Plain, Value, Word};

/// One key of a table that is read into a `T`.
pub(crate) struct Key<T> {
    /// Where it stands in its table: `breaker.window`.
    pub(crate) path: String,
    pub(crate) kind: Kind,
    /// Whether `false` switches it off.
    pub(crate) off: bool,
    /// What it does.
    pub(crate) text: &'static str,
    /// What too low costs.
    pub(crate) low: &'static str,
    /// What too high costs.
    pub(crate) high: &'static str,
    /// The default in words, where the draft's own value doesn't say it.
    pub(crate) default: Option<&'static str>,
    /// The field that it fills; `None` when it is read by a function of its own.
    pub(crate) field: Option<Box<dyn Field<T>>>,
}

/// A way to a field of `T`.
pub(crate) trait Field<T> {
    /// The field's value. It takes `&mut` because the same way is used to write.
    fn get(&self, from: &mut T) -> Value;
    /// Writes the field; `false` when the value is of another type.
    fn set(&self, into: &mut T, value: Value) -> bool;
}

/// A key that fills the field to which `way` leads.
fn key<T: 'static, V: Plain + 'static>(
    path: &str,
    kind: Kind,
    way: fn(&mut T) -> &mut V,
) -> Key<T> {
    Key { field: Some(Box::new(Way(way))), ..own(path, kind) }
}

/// A key that is read by a function of its own.
fn own<T>(path: &str, kind: Kind) -> Key<T> {
    let (path, text) = (path.to_owned(), "");
    Key { path, kind, off: false, text, low: "", high: "", default: None, field: None }
}

/// A table of keys inside a table.
fn section<T: 'static, S: 'static>(
    path: &str,
    text: &'static str,
    inner: Vec<Key<S>>,
    way: fn(&mut T) -> &mut S,
) -> Vec<Key<T>> {
    let head = own(path, Kind::Section).says(text);
    std::iter::once(head).chain(within(path, inner, way)).collect()
}

/// A table of keys inside a table, which `false` switches off.
fn switched_section<T: 'static, S: Default + 'static>(
    path: &str,
    text: &'static str,
    inner: Vec<Key<S>>,
    way: fn(&mut T) -> &mut Option<S>,
) -> Vec<Key<T>> {
    let field: Box<dyn Field<T>> = Box::new(Switch(way));
    let head = Key { field: Some(field), off: true, ..own(path, Kind::Section) }.says(text);
    let inner = inner
        .into_iter()
        .map(|key| key.inside(path, |field| Box::new(InsideOption { way, field })));
    std::iter::once(head).chain(inner).collect()
}

/// The keys of `inner` as keys of the table around it; an empty `path` puts them beside its own.
fn within<T: 'static, S: 'static>(
    path: &str,
    inner: Vec<Key<S>>,
    way: fn(&mut T) -> &mut S,
) -> Vec<Key<T>> {
    inner.into_iter().map(|key| key.inside(path, |field| Box::new(Inside { way, field }))).collect()
}

impl<S: 'static> Key<S> {
    fn inside<T>(
        self,
        path: &str,
        wrap: impl FnOnce(Box<dyn Field<S>>) -> Box<dyn Field<T>>,
    ) -> Key<T> {
        let path = if path.is_empty() { self.path } else { format!("{path}.{}", self.path) };
        let Self { kind, off, text, low, high, default, field, .. } = self;
        Key { path, kind, off, text, low, high, default, field: field.map(wrap) }
    }
}

impl<T> Key<T> {
    fn says(self, text: &'static str) -> Self {
        Self { text, ..self }
    }

    fn low(self, low: &'static str) -> Self {
        Self { low, ..self }
    }

    fn high(self, high: &'static str) -> Self {
        Self { high, ..self }
    }

    fn or_off(self) -> Self {
        Self { off: true, ..self }
    }

    fn default_is(self, default: &'static str) -> Self {
        Self { default: Some(default), ..self }
    }

    /// What stands behind the last dot.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('.').next().unwrap_or(&self.path)
    }

    /// The section that it stands in; empty for the table itself.
    pub(crate) fn section(&self) -> &str {
        self.path.rsplit_once('.').map_or("", |(section, _)| section)
    }

    /// What is allowed there, in words.
    pub(crate) fn allowed(&self) -> String {
        let allowed = self.kind.allowed();
        if self.off { format!("{allowed}, or false to switch it off") } else { allowed }
    }
}

struct Way<T, V>(fn(&mut T) -> &mut V);

impl<T, V: Plain> Field<T> for Way<T, V> {
    fn get(&self, from: &mut T) -> Value {
        (self.0)(from).to_value()
    }

    fn set(&self, into: &mut T, value: Value) -> bool {
        let value = V::from_value(value);
        let known = value.is_some();
        if let Some(value) = value {
            *(self.0)(into) = value;
        }
        known
    }
}

/// Whether an optional part is there.
struct Switch<T, S>(fn(&mut T) -> &mut Option<S>);

impl<T, S: Default> Field<T> for Switch<T, S> {
    fn get(&self, from: &mut T) -> Value {
        if (self.0)(from).is_some() { Value::Flag(true) } else { Value::Off }
    }

    fn set(&self, into: &mut T, value: Value) -> bool {
        let part = (self.0)(into);
        match value {
            Value::Off => *part = None,
            _ => *part = Some(part.take().unwrap_or_default()),
        }
        true
    }
}

struct Inside<T, S> {
    way: fn(&mut T) -> &mut S,
    field: Box<dyn Field<S>>,
}

impl<T, S> Field<T> for Inside<T, S> {
    fn get(&self, from: &mut T) -> Value {
        self.field.get((self.way)(from))
    }

    fn set(&self, into: &mut T, value: Value) -> bool {
        self.field.set((self.way)(into), value)
    }
}

struct InsideOption<T, S> {
    way: fn(&mut T) -> &mut Option<S>,
    field: Box<dyn Field<S>>,
}

impl<T, S: Default> Field<T> for InsideOption<T, S> {
    fn get(&self, from: &mut T) -> Value {
        (self.way)(from).as_mut().map_or(Value::Off, |part| self.field.get(part))
    }

    fn set(&self, into: &mut T, value: Value) -> bool {
        self.field.set((self.way)(into).get_or_insert_with(S::default), value)
    }
}

/// A key whose name is `path`.
pub(crate) fn find<'k, T>(keys: &'k [Key<T>], path: &str) -> Option<&'k Key<T>> {
    keys.iter().find(|key| key.path == path)
}

const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

const fn secs(count: u64) -> Duration {
    Duration::from_secs(count)
}

const fn minutes(count: u64) -> Duration {
    secs(60 * count)
}

const fn hours(count: u64) -> Duration {
    minutes(60 * count)
}

const fn length(min: Duration, max: Duration) -> Kind {
    Kind::Length { min, max }
}

const fn number(min: u64, max: u64) -> Kind {
    Kind::Number { min, max }
}

const fn size(min: u64, max: u64) -> Kind {
    Kind::Size { min, max }
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
