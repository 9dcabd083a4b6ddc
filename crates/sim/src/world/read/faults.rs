//! `[[fault]]`: what breaks, where and when.

use std::time::Duration;

use mainstay_lab::{Fault as Misdeed, Rule};

use super::{ANY, Zones};
use crate::trouble;
use crate::world::tree::{Reader, Table, Value};
use crate::world::{Endpoint, Fault, Target};

pub(super) fn faults(
    value: Option<&Value<'_>>,
    endpoints: &[Endpoint],
    zones: &Zones,
    reader: &mut Reader<'_>,
) -> Vec<Fault> {
    let tables = reader.tables("fault", value);
    tables.into_iter().filter_map(|table| fault(table, endpoints, zones, reader)).collect()
}

fn fault(
    mut table: Table<'_, '_>,
    endpoints: &[Endpoint],
    zones: &Zones,
    reader: &mut Reader<'_>,
) -> Option<Fault> {
    let at = table.need("at", "a time, such as \"10s\"", reader);
    let at = at.map_or(Duration::ZERO, |value| reader.time("fault.at", value, ANY));
    let lasting = table.take("for").map(|value| reader.time("fault.for", value, ANY));
    let places = [table.take("endpoint"), table.take("zone"), table.take("between")];
    let what = table.need("what", "a fault in the lab's words, such as \"refuse\"", reader);
    let target = match places {
        [Some(names), None, None] => at_endpoints(names, endpoints, reader),
        [None, Some(names), None] => in_zones(names, endpoints, zones, reader),
        [None, None, Some(names)] => between(names, zones, reader),
        _ => {
            let one = "exactly one of endpoint, zone, between";
            let at = what.map_or(0, |value| value.span().start);
            reader.wrong(at, "the place of a fault", "none, or several", one);
            None
        }
    };
    table.end(reader);
    let rule = what.and_then(|value| rule(value, target.as_ref(), reader));
    Some(Fault { at, lasting, target: target?, rule: rule? })
}

fn rule(value: &Value<'_>, target: Option<&Target>, reader: &mut Reader<'_>) -> Option<Rule> {
    let text = reader.text("fault.what", value);
    let line = reader.line_of(value.span().start);
    let rule = match text.parse::<Rule>() {
        Ok(rule) => rule,
        Err(error) => {
            let problems = error.problems().iter().map(|it| it.clone().on_line(line));
            reader.problems.extend(problems);
            return None;
        }
    };
    let on_the_way = matches!(rule.fault, Misdeed::Blackhole | Misdeed::Slow(_));
    let allowed = match target {
        Some(Target::Between(..)) if !on_the_way => "blackhole or slow, between two zones",
        _ if rule.scope.range.is_some() => "no range: calls of a world ask for no part of anything",
        _ if rule.scope.times.is_some() => "no times: a fault of a world has a time",
        _ if !rule.others.is_empty() => "one rule; each further one is a fault of its own",
        _ if !rule.scope.path.is_empty() => "no path: all calls of a world have the same",
        _ if !trouble::is_followed(&rule.fault) => trouble::NOT_FOLLOWED,
        _ => return Some(rule),
    };
    reader.refuse("fault.what", value, allowed);
    None
}

fn at_endpoints(
    value: &Value<'_>,
    endpoints: &[Endpoint],
    reader: &mut Reader<'_>,
) -> Option<Target> {
    let mut places = Vec::new();
    for name in reader.texts("fault.endpoint", value) {
        match endpoints.iter().position(|endpoint| endpoint.name == name) {
            _ if name == "*" => places.extend(0..endpoints.len()),
            Some(place) => places.push(place),
            None => {
                let names = endpoints.iter().map(|endpoint| endpoint.name.as_str());
                let allowed: Vec<&str> = std::iter::once("*").chain(names).collect();
                let allowed = allowed.join(", ");
                reader.wrong(value.span().start, "fault.endpoint", name, allowed);
                return None;
            }
        }
    }
    places.sort_unstable();
    places.dedup();
    Some(Target::Endpoints(places))
}

fn in_zones(
    value: &Value<'_>,
    endpoints: &[Endpoint],
    zones: &Zones,
    reader: &mut Reader<'_>,
) -> Option<Target> {
    let mut places = Vec::new();
    for name in reader.texts("fault.zone", value) {
        let Some(zone) = zones.known(name) else {
            reader.wrong(value.span().start, "fault.zone", name, zones.list());
            return None;
        };
        let all = endpoints.iter().enumerate().filter(|(_, endpoint)| endpoint.zone == zone);
        places.extend(all.map(|(place, _)| place));
    }
    Some(Target::Endpoints(places))
}

fn between(value: &Value<'_>, zones: &Zones, reader: &mut Reader<'_>) -> Option<Target> {
    match reader.texts("fault.between", value)[..] {
        [a, b] if zones.known(a).is_some() && zones.known(b).is_some() => {
            Some(Target::Between(zones.known(a)?, zones.known(b)?))
        }
        _ => {
            reader.refuse("fault.between", value, format!("two of {}", zones.list()));
            None
        }
    }
}
