//! A table laid over a draft, by the description of its keys.

use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::places::join;
use super::{Entry, Reader, entries};
use crate::keys::{self, Key, Kind, Value, Wrong, find};
use crate::mistake::MistakeKind;
use crate::text;

impl Reader<'_> {
    /// Lays `table` over `draft`. `prefix` is the table's own path in the file.
    pub(super) fn apply<T>(
        &mut self,
        keys: &[Key<T>],
        table: &DeTable<'_>,
        draft: &mut T,
        prefix: &str,
    ) {
        self.walk(keys, table, draft, prefix, "");
    }

    fn walk<T>(
        &mut self,
        keys: &[Key<T>],
        table: &DeTable<'_>,
        draft: &mut T,
        prefix: &str,
        section: &str,
    ) {
        for (name, value) in entries(table) {
            let path = join(section, name.get_ref());
            self.places.note(join(prefix, &path), name.span());
            match find(keys, &path) {
                Some(key) => self.fill(key, keys, value, draft, prefix),
                None => self.unknown(keys, (name, value), prefix, section),
            }
        }
    }

    fn fill<T>(
        &mut self,
        key: &Key<T>,
        keys: &[Key<T>],
        value: &Spanned<DeValue<'_>>,
        draft: &mut T,
        prefix: &str,
    ) {
        let set = |draft: &mut T, value: Value| {
            let taken = key.field.as_ref().is_none_or(|field| field.set(draft, value));
            debug_assert!(taken, "the kind of `{}` doesn't fit its field", key.path);
        };
        match (value.get_ref(), &key.kind) {
            (DeValue::Boolean(false), _) if key.off => set(draft, Value::Off),
            (DeValue::Boolean(true), Kind::Section) if key.off => set(draft, Value::Flag(true)),
            (DeValue::Table(table), Kind::Section) => {
                set(draft, Value::Flag(true));
                self.walk(keys, table, draft, prefix, &key.path);
            }
            (_, Kind::Section) => {
                let advice = format!("it is {}", key.allowed());
                self.wrong(key, value, &Wrong::new(MistakeKind::WrongType, advice));
            }
            _ if key.field.is_some() => match self.value(key, value) {
                Ok(value) => set(draft, value),
                Err(wrong) => {
                    self.faulty.insert(join(prefix, &key.path));
                    self.wrong(key, value, &wrong);
                }
            },
            // Read by a function of its own.
            _ => {}
        }
    }

    /// Reads a value; files are moved to where they are relative to, and looked for.
    pub(super) fn value<T>(
        &mut self,
        key: &Key<T>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<Value, Wrong> {
        let read = key.kind.read(value.get_ref())?;
        match (&key.kind, self.base, read) {
            (Kind::File, Some(base), Value::Text(file)) => existing(base, &file),
            (_, _, read) => Ok(read),
        }
    }

    /// Tells why `value` can't stand at `key`.
    pub(super) fn wrong<T>(&mut self, key: &Key<T>, value: &Spanned<DeValue<'_>>, wrong: &Wrong) {
        let path = &key.path;
        let message = match wrong.kind {
            MistakeKind::WrongType => match (value.get_ref(), wrong.item) {
                (DeValue::Array(items), Some(index)) => {
                    let item = items.get(index).map_or("that", |item| type_of(item.get_ref()));
                    format!("`{path}` can't hold {item}")
                }
                (value, _) => format!("`{path}` can't be {}", type_of(value)),
            },
            MistakeKind::OutOfRange => format!("`{path}` is out of range"),
            MistakeKind::UnknownName => format!("`{path}` knows no such word"),
            MistakeKind::Taken => format!("`{path}` names something twice"),
            MistakeKind::Unreadable => format!("`{path}` can't be read"),
            _ => format!("`{path}` isn't {}", key.kind.form()),
        };
        self.mistake(wrong.kind, &item_span(value, wrong.item), message, wrong.advice.clone());
    }

    fn unknown<T>(
        &mut self,
        keys: &[Key<T>],
        (name, _): Entry<'_, '_>,
        prefix: &str,
        section: &str,
    ) {
        if self.is_full() {
            return;
        }
        let word = name.get_ref().as_ref();
        let beside: Vec<&str> =
            keys.iter().filter(|key| key.section() == section).map(Key::name).collect();
        let advice = match text::nearest(word, beside.iter().copied()) {
            None => match homes(word, keys, prefix).as_slice() {
                [] => text::suggest(word, beside),
                homes => format!("it belongs in {}", homes.join(" or ")),
            },
            Some(_) => text::suggest(word, beside),
        };
        self.mistake(
            MistakeKind::UnknownKey,
            &name.span(),
            format!("unknown key `{}`", text::key(word)),
            advice,
        );
    }
}

/// The tables that have a key of this name: those of this table, else of the others.
fn homes<T>(word: &str, keys: &[Key<T>], prefix: &str) -> Vec<String> {
    let near = tables_with(word, keys, &table_name(prefix));
    if !near.is_empty() {
        return near;
    }
    let far = [
        tables_with(word, &keys::top(), ""),
        tables_with(word, &keys::upstream(), "upstream.NAME"),
        tables_with(word, &keys::route(), "route"),
    ];
    far.concat()
}

fn tables_with<T>(word: &str, keys: &[Key<T>], table: &str) -> Vec<String> {
    let found = keys.iter().filter(|key| key.name() == word);
    let name = |key: &Key<T>| match join(table, key.section()).as_str() {
        "" => "the top of the file, before the first table".to_owned(),
        "route" => "[[route]]".to_owned(),
        name => format!("[{name}]"),
    };
    found.map(name).collect()
}

/// How a table is written: `route[3]` is `route` there.
fn table_name(prefix: &str) -> String {
    let parts = prefix.split('[').enumerate();
    let parts = parts.map(|(index, part)| {
        if index == 0 { part } else { part.split_once(']').map_or("", |(_, rest)| rest) }
    });
    parts.collect()
}

fn item_span(value: &Spanned<DeValue<'_>>, item: Option<usize>) -> Range<usize> {
    match (value.get_ref(), item) {
        (DeValue::Array(items), Some(index)) => {
            items.get(index).map_or(value.span(), Spanned::span)
        }
        _ => value.span(),
    }
}

fn existing(base: &Path, file: &str) -> Result<Value, Wrong> {
    let path = base.join(file);
    match std::fs::metadata(&path) {
        Ok(found) if found.is_file() => Ok(Value::Text(path.to_string_lossy().into_owned())),
        Ok(_) => Err(Wrong::new(MistakeKind::Unreadable, "that isn't a file".into())),
        Err(error) => {
            Err(Wrong::new(MistakeKind::Unreadable, format!("{}: {error}", path.display())))
        }
    }
}

fn type_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a point",
        DeValue::Boolean(true) => "true",
        DeValue::Boolean(false) => "false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
