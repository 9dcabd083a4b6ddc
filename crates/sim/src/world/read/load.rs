//! `[load]`: who calls.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mainstay_lab::{Problem, Ratio, parse_duration};

use super::{ANY, LONGEST, Zones};
use crate::spread::Spread;
use crate::world::tree::{Reader, Table, Value};
use crate::world::{Arrivals, Load, Recorded, Surge};

impl Load {
    /// Nobody calls.
    pub(super) fn none() -> Self {
        Self {
            arrivals: Arrivals::Constant { rate_milli: 1000 },
            proxies: 1,
            zones: Vec::new(),
            writes: Ratio::from_millionths(0),
            keyed: Ratio::from_millionths(0),
            patience: None,
            surges: Vec::new(),
        }
    }
}

pub(super) fn load(
    mut table: Table<'_, '_>,
    folder: Option<&Path>,
    zones: &mut Zones,
    reader: &mut Reader<'_>,
) -> Load {
    let mut load = Load::none();
    if let Some(value) = table.need("arrivals", WORDS, reader) {
        let word = value.get_ref().as_str().unwrap_or_default().to_owned();
        match arrivals(&word, &mut table, folder, reader) {
            Some(arrivals) => load.arrivals = arrivals,
            None => reader.refuse("load.arrivals", value, WORDS),
        }
    }
    load.proxies = reader.whole("load.proxies", table.take("proxies"), (1, 1000), 1) as u16;
    load.writes = reader.share("load.writes", table.take("writes"));
    load.keyed = reader.share("load.keyed", table.take("keyed"));
    if let Some(patience) = table.take("patience") {
        load.patience = Some(reader.time("load.patience", patience, (MILLISECOND, LONGEST)));
    }
    if let Some(value) = table.take("zones") {
        load.zones =
            reader.texts("load.zones", value).into_iter().map(|it| zones.named(it)).collect();
    }
    if load.zones.is_empty() {
        load.zones.push(0);
    }
    for surge in reader.tables("surge", table.take("surge")) {
        load.surges.push(read_surge(surge, reader));
    }
    table.end(reader);
    load
}

/// The arrivals that a word stands for, with the keys that belong to it; `None` for another word.
fn arrivals(
    word: &str,
    table: &mut Table<'_, '_>,
    folder: Option<&Path>,
    reader: &mut Reader<'_>,
) -> Option<Arrivals> {
    Some(match word {
        "constant" => Arrivals::Constant { rate_milli: rate(table, reader) },
        "poisson" => Arrivals::Poisson { rate_milli: rate(table, reader) },
        "bursts" => {
            let size = table.need("burst", "calls at a time", reader);
            let every = table.need("every", "a time, such as \"1s\"", reader);
            Arrivals::Bursts {
                size: reader.whole("load.burst", size, (1, 100_000), 1) as u32,
                every: every.map_or(MILLISECOND, |value| {
                    reader.time("load.every", value, (MILLISECOND, LONGEST))
                }),
            }
        }
        "closed" => {
            let clients = table.need("clients", "a whole number of clients", reader);
            Arrivals::Closed {
                clients: reader.whole("load.clients", clients, (1, 1_000_000), 1) as u32,
                think: spread("load.think", table.take("think"), MILLISECOND * 1000, reader),
            }
        }
        "trace" => {
            let file = table.need("file", "a file of lines such as `12.5ms GET`", reader);
            Arrivals::Trace(file.map_or_else(|| [].into(), |file| trace(file, folder, reader)))
        }
        _ => return None,
    })
}

fn rate(table: &mut Table<'_, '_>, reader: &mut Reader<'_>) -> u64 {
    let value = table.need("rate", "calls a second", reader);
    value.map_or(1000, |value| reader.scaled("load.rate", value, 1000, (0, 1_000_000)))
}

/// A spread that is left out is `default`, always.
pub(super) fn spread(
    place: &str,
    value: Option<&Value<'_>>,
    default: Duration,
    reader: &mut Reader<'_>,
) -> Spread {
    let Some(value) = value else { return Spread::Fixed(default) };
    let read = value.get_ref().as_str().and_then(Spread::parse);
    read.unwrap_or_else(|| {
        reader.refuse(place, value, Spread::FORMS);
        Spread::Fixed(default)
    })
}

fn read_surge(mut table: Table<'_, '_>, reader: &mut Reader<'_>) -> Surge {
    let mut time = |key, table: &mut Table<'_, '_>| {
        let value = table.need(key, "a time, such as \"10s\"", reader);
        value.map_or(Duration::ZERO, |value| reader.time(&format!("surge.{key}"), value, ANY))
    };
    let (at, lasting) = (time("at", &mut table), time("for", &mut table));
    let factor = table.need("times", "a number, such as 3", reader);
    let percent = factor.map_or(100, |value| reader.scaled("surge.times", value, 100, (0, 1000)));
    table.end(reader);
    Surge { at, lasting, percent: percent as u32 }
}

/// The calls of a file: a time since its start and `GET` or `POST`, one a line; `#` begins a comment.
fn trace(file: &Value<'_>, folder: Option<&Path>, reader: &mut Reader<'_>) -> Arc<[Recorded]> {
    let name = reader.text("load.file", file);
    let path = folder.map_or_else(|| Path::new(&name).to_owned(), |folder| folder.join(&name));
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => {
            let found = format!("{}: {error}", path.display());
            reader.wrong(file.span().start, "load.file", found, "a text file that can be read");
            return [].into();
        }
    };
    let mut calls: Vec<Recorded> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let words = line.split('#').next().unwrap_or_default().trim();
        if words.is_empty() {
            continue;
        }
        match recorded(words) {
            Some(call) if calls.last().is_none_or(|last| last.at <= call.at) => calls.push(call),
            _ => {
                let place = format!("line {number} of {name}");
                let wrong =
                    Problem::new(&place, words, "a time, not before the last, and GET or POST");
                reader.problems.push(wrong);
                break;
            }
        }
    }
    calls.into()
}

fn recorded(words: &str) -> Option<Recorded> {
    let (at, method) = words.split_once(char::is_whitespace).unwrap_or((words, "GET"));
    let is_write = match method.trim() {
        "GET" => false,
        "POST" => true,
        _ => return None,
    };
    parse_duration(at).map(|at| Recorded { at, is_write, has_key: None })
}

const WORDS: &str = "constant, poisson, bursts, closed, trace";

const MILLISECOND: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_trace_is_a_time_and_a_method() {
        let call = |at, is_write| {
            Some(Recorded { at: Duration::from_micros(at), is_write, has_key: None })
        };
        assert_eq!(recorded("12.5ms POST"), call(12_500, true));
        assert_eq!(recorded("3s"), call(3_000_000, false));
        assert_eq!(recorded("soon GET"), None);
        assert_eq!(recorded("3s EAT"), None);
    }
}
