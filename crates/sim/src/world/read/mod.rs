//! A world's text → [`World`].

mod faults;
mod load;
mod places;

use std::path::Path;
use std::time::Duration;

use mainstay_lab::Invalid;
use toml::de::DeTable;

use super::tree::{Reader, Table};
use super::{Load, Network, World, Zone};

pub(super) fn parse(text: &str, folder: Option<&Path>) -> Result<World, Invalid> {
    let mut reader = Reader { text, problems: Vec::new() };
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let at = error.span().map_or(0, |span| span.start);
        reader.wrong(at, "the text", error.message(), "TOML");
    }
    Invalid::check(std::mem::take(&mut reader.problems))?;
    let world = world(root.get_ref(), folder, &mut reader);
    reader.problems.sort_by_key(|problem| problem.line);
    Invalid::check(reader.problems)?;
    Ok(world)
}

fn world(root: &DeTable<'_>, folder: Option<&Path>, reader: &mut Reader<'_>) -> World {
    let mut root = Table::new(root, "the file", 0);
    let mut zones = Zones(Vec::new());
    let mut world = World {
        name: String::new(),
        about: String::new(),
        seed: 0,
        duration: SHORTEST,
        load: Load::none(),
        endpoints: Vec::new(),
        network: Network::default(),
        zones: Vec::new(),
        faults: Vec::new(),
    };
    let head = root.need("world", "[world] with a duration", reader);
    if let Some(head) = head.and_then(|value| reader.table("world", value)) {
        read_head(head, &mut world, reader);
    }
    // Endpoints before the rest: who names no zone is where the first endpoint is.
    let endpoints = root.take("endpoint");
    world.endpoints = places::endpoints(endpoints, &mut zones, reader);
    if let Some(network) = root.take("network").and_then(|value| reader.table("network", value)) {
        world.network = places::network(network, &mut zones, reader);
    }
    let load = root.need("load", "[load] with arrivals", reader);
    if let Some(load) = load.and_then(|value| reader.table("load", value)) {
        world.load = load::load(load, folder, &mut zones, reader);
    }
    let faults = root.take("fault");
    world.faults = faults::faults(faults, &world.endpoints, &zones, reader);
    if zones.0.is_empty() {
        zones.0.push(HERE.to_owned());
    }
    world.zones = zones.0;
    root.end(reader);
    world
}

fn read_head(mut head: Table<'_, '_>, world: &mut World, reader: &mut Reader<'_>) {
    if let Some(name) = head.take("name") {
        world.name = reader.text("world.name", name);
    }
    if let Some(about) = head.take("about") {
        world.about = reader.text("world.about", about);
    }
    world.seed = reader.whole("world.seed", head.take("seed"), (0, i64::MAX as u64), 1);
    if let Some(duration) = head.need("duration", "a time, such as \"60s\"", reader) {
        world.duration = reader.time("world.duration", duration, (SHORTEST, LONGEST));
    }
    head.end(reader);
}

/// The zones that were named so far.
struct Zones(Vec<String>);

impl Zones {
    /// The zone of this name, which may be new.
    fn named(&mut self, name: &str) -> Zone {
        self.known(name).unwrap_or_else(|| {
            self.0.push(name.to_owned());
            self.0.len() - 1
        })
    }

    fn known(&self, name: &str) -> Option<Zone> {
        self.0.iter().position(|zone| zone == name)
    }

    fn list(&self) -> String {
        self.0.join(", ")
    }
}

/// Calls begin for so long at least: less than a tenth of a second shows nothing.
const SHORTEST: Duration = Duration::from_millis(100);

/// A day, as in the lab.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Any length that something within a world may have.
const ANY: (Duration, Duration) = (Duration::ZERO, LONGEST);

/// What the zone is called where none is named.
const HERE: &str = "here";

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let error = parse(text, None).unwrap_err();
        error.problems().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn everything_wrong_is_named_at_once_with_line_value_and_what_is_allowed() {
        let text = "\
[world]
duration = \"1ms\"
sed = 3
[load]
arrivals = \"sometimes\"
[[endpoint]]
name = \"a\"
workers = 0
service = \"quick\"
[[fault]]
at = \"1s\"
endpoint = \"b\"
what = \"explode\"
";
        let found = problems(text);
        for part in [
            "line 2: world.duration is `\"1ms\"`, allowed: a time from 100ms to 86400s",
            "line 3: a key of world is `sed`, allowed: name, about, seed, duration",
            "line 5: load.arrivals is `\"sometimes\"`, allowed: constant, poisson, bursts, closed, trace",
            "line 8: endpoint.workers is `0`, allowed: a whole number from 1 to 100000",
            "line 9: endpoint.service is `\"quick\"`, allowed: \"20ms\"",
            "line 12: fault.endpoint is `b`, allowed: *, a",
            "line 13: the fault is `explode`, allowed: healthy, refuse",
        ] {
            assert!(found.iter().any(|line| line.starts_with(part)), "{part}: {found:#?}");
        }
        assert_eq!(found.len(), 7, "{found:#?}");
    }

    #[test]
    fn a_fault_that_has_no_meaning_in_a_world_is_refused() {
        let world = |what: &str| {
            format!(
                "[world]\nduration = \"1s\"\n[load]\narrivals = \"constant\"\nrate = 1\n\
                [[endpoint]]\nname = \"a\"\n[[fault]]\nat = \"0s\"\nendpoint = \"a\"\nwhat = \"{what}\"\n"
            )
        };
        for (what, why) in [
            ("hang path=/x", "no path"),
            ("hang range=true", "no range"),
            ("hang times=1", "no times"),
            ("hang ratio=0.5; reset-before", "one rule"),
            ("reset-in-body every=300KB", "a fault that the simulator follows"),
            ("range-lies", "a fault that the simulator follows"),
        ] {
            let found = problems(&world(what));
            let expected = format!("line 11: fault.what is `\"{what}\"`, allowed: {why}");
            assert!(found.len() == 1 && found[0].starts_with(&expected), "{found:?}");
        }
        assert!(parse(&world("hang ratio=0.5"), None).is_ok());
    }

    #[test]
    fn what_is_not_toml_is_named_with_its_line() {
        assert!(problems("[world]\nseed = = 3")[0].starts_with("line 2: the text is"));
    }

    #[test]
    fn what_has_to_be_there_is_asked_for() {
        let found = problems("");
        assert_eq!(found.len(), 3, "{found:#?}");
    }
}
