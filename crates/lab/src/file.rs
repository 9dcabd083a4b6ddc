//! A lab as a file.
//!
//! ```toml
//! seed = 7                 # 0
//! control = 9900           # the control address's port; 0 for any; left out: any
//!
//! [[server]]
//! name = "a"
//! address = "127.0.0.1"    # or another of the loopback
//! port = 8081              # 0: any; "b": that of server b, at another address
//! tls = false              # true, or what is wrong with it: "expired" …
//! h2 = true
//!
//! [dns]                    # a DNS server of its own, over UDP and TCP
//! port = 5353              # 0: any
//! [[dns.name]]
//! name = "api.lab"
//! a = ["127.0.0.1"]
//! aaaa = ["::1"]
//! ttl = "2s"
//!
//! [timeline]               # or timeline = """..."""
//! text = """
//! 0s   a  healthy
//! 10s  *  refuse
//! """
//! ```
//!
//! It is read by hand from TOML's own tree, not by derive, because derive stops at the first problem and a person
//! wants all of them.

use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::dns::{DnsSpec, NameSpec};
use crate::fault::{TlsTrouble, parse_duration};
use crate::problem::{Invalid, Problem};
use crate::spec::{ServerSpec, Spec, dns_name_problem, name_problem, server_problems};
use crate::timeline::Timeline;

pub(crate) fn parse(text: &str) -> Result<Spec, Invalid> {
    let mut reader = Reader { text, problems: Vec::new() };
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let line = error.span().map_or(1, |span| reader.line_of(span.start));
        reader.problems.push(Problem::new("the text", error.message(), "TOML").on_line(line));
    }
    Invalid::check(std::mem::take(&mut reader.problems))?;
    let spec = reader.spec(root.get_ref());
    reader.problems.sort_by_key(|problem| problem.line);
    Invalid::check(reader.problems)?;
    Ok(spec)
}

struct Reader<'t> {
    text: &'t str,
    problems: Vec<Problem>,
}

type Value<'i> = Spanned<DeValue<'i>>;

impl Reader<'_> {
    fn spec(&mut self, root: &DeTable<'_>) -> Spec {
        // Alone, a lab is of little use without its control address, so a file has one unless it is in process.
        let mut spec = Spec { control: Some(0), ..Spec::default() };
        for (key, value) in root {
            match key.get_ref().as_ref() {
                "seed" => spec.seed = self.whole("seed", value, 0, i64::MAX) as u64,
                "control" => spec.control = Some(self.port("control", value)),
                "server" => spec.servers = self.servers(value),
                "timeline" => spec.timeline = self.timeline(value),
                "dns" => spec.dns = Some(self.dns(value)),
                "ca_file" => spec.ca_file = Some(self.string("ca_file", value).into()),
                other => {
                    let allowed = "seed, control, server, dns, ca_file, timeline";
                    self.wrong(key.span().start, "a key", other, allowed)
                }
            }
        }
        let names: Vec<_> = spec.servers.iter().map(|server| server.name.as_str()).collect();
        for (index, name) in names.iter().enumerate() {
            if names[..index].contains(name)
                && let Some(problem) = name_problem(name, &names[..index])
            {
                self.problems.push(problem);
            }
        }
        if root.get("server").is_none() {
            self.wrong(0, "server", "missing", "at least one [[server]] with a name");
        } else if names.len() > crate::spec::SERVERS_LIMIT {
            let allowed = format!("at most {} servers", crate::spec::SERVERS_LIMIT);
            self.wrong(0, "server", &names.len().to_string(), &allowed);
        }
        for (index, server) in spec.servers.iter().enumerate() {
            self.problems.extend(server_problems(server, &names[..index]));
        }
        let dns = spec.dns.as_ref().map_or(&[][..], |dns| &dns.names);
        let dns: Vec<_> = dns.iter().map(|name| name.name.as_str()).collect();
        for (index, name) in dns.iter().enumerate() {
            self.problems.extend(dns_name_problem(name, &dns[..index]));
        }
        spec.timeline.check_names(&names, &dns, &mut self.problems);
        spec
    }

    fn servers(&mut self, value: &Value<'_>) -> Vec<ServerSpec> {
        let DeValue::Array(tables) = value.get_ref() else {
            self.mistyped("server", value, "[[server]] tables");
            return Vec::new();
        };
        tables.iter().map(|table| self.server(table)).collect()
    }

    fn server(&mut self, value: &Value<'_>) -> ServerSpec {
        let mut server = ServerSpec::named("");
        let DeValue::Table(table) = value.get_ref() else {
            self.mistyped("server", value, "a table with a name");
            return server;
        };
        let mut named = false;
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "name" => {
                    named = true;
                    server.name = self.name(value);
                }
                "address" => {
                    server.address =
                        self.parsed("address", value, "127.0.0.1 or ::1", server.address);
                }
                "port" => match value.get_ref() {
                    DeValue::String(other) => server.port_of = Some(other.clone().into_owned()),
                    _ => server.port = self.port("port", value),
                },
                "tls" => (server.tls, server.trouble) = self.security(value),
                "h2" => server.h2 = self.truth("h2", value),
                other => {
                    self.wrong(key.span().start, "a key", other, "name, address, port, tls, h2")
                }
            }
        }
        if !named {
            self.wrong(value.span().start, "name", "missing", "a name, such as \"a\"");
        }
        server
    }

    /// `true`, `false`, or what is wrong with it.
    fn security(&mut self, value: &Value<'_>) -> (bool, Option<TlsTrouble>) {
        match value.get_ref() {
            DeValue::Boolean(truth) => return (*truth, None),
            DeValue::String(word) if !word.starts_with("tls-") => {
                if let Some(trouble) = TlsTrouble::of_word(word) {
                    return (true, Some(trouble));
                }
            }
            _ => {}
        }
        let words = TlsTrouble::ALL.map(|trouble| &trouble.word()["tls-".len()..]);
        self.mistyped("tls", value, &format!("true or false, or {}", words.join(", ")));
        (false, None)
    }

    fn dns(&mut self, value: &Value<'_>) -> DnsSpec {
        let mut dns = DnsSpec::default();
        let DeValue::Table(table) = value.get_ref() else {
            self.mistyped("dns", value, "a table with a port and names");
            return dns;
        };
        for (key, value) in table {
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("port", _) => dns.port = self.port("port", value),
                ("name", DeValue::Array(tables)) => {
                    dns.names = tables.iter().map(|table| self.dns_name(table)).collect();
                }
                (other, _) => {
                    self.wrong(key.span().start, "a key", other, "port, and [[dns.name]] tables");
                }
            }
        }
        dns
    }

    fn dns_name(&mut self, value: &Value<'_>) -> NameSpec {
        let mut name = NameSpec { a: Vec::new(), ..NameSpec::named("") };
        let DeValue::Table(table) = value.get_ref() else {
            self.mistyped("name", value, "a table with a name and its addresses");
            return name;
        };
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "name" => name.name = self.string("name", value),
                "a" => name.a = self.addresses("a", value),
                "aaaa" => name.aaaa = self.addresses("aaaa", value),
                "ttl" => {
                    let text = self.string("ttl", value);
                    match parse_duration(&text).filter(|ttl| ttl.subsec_nanos() == 0) {
                        Some(ttl) => name.ttl = ttl,
                        None => self.mistyped("ttl", value, "whole seconds, such as \"2s\""),
                    }
                }
                other => self.wrong(key.span().start, "a key", other, "name, a, aaaa, ttl"),
            }
        }
        name
    }

    fn addresses<A: FromStr>(&mut self, place: &str, value: &Value<'_>) -> Vec<A> {
        if let DeValue::Array(items) = value.get_ref() {
            let read: Option<Vec<A>> =
                items.iter().map(|item| item.get_ref().as_str()?.parse().ok()).collect();
            if let Some(read) = read {
                return read;
            }
        }
        self.mistyped(place, value, "a list of addresses of this family");
        Vec::new()
    }

    fn parsed<T: FromStr>(
        &mut self,
        place: &str,
        value: &Value<'_>,
        allowed: &str,
        default: T,
    ) -> T {
        let read = value.get_ref().as_str().and_then(|text| text.parse().ok());
        if read.is_none() {
            self.mistyped(place, value, allowed);
        }
        read.unwrap_or(default)
    }

    fn string(&mut self, place: &str, value: &Value<'_>) -> String {
        match value.get_ref().as_str() {
            Some(text) => text.to_owned(),
            None => {
                self.mistyped(place, value, "a string");
                String::new()
            }
        }
    }

    fn timeline(&mut self, value: &Value<'_>) -> Timeline {
        match value.get_ref() {
            DeValue::String(text) => {
                // The first line of a multi-line string may stand below the quotes that open it.
                let raw = self.text.get(value.span().start..).unwrap_or_default();
                let below = ["\"\"\"\n", "'''\n", "\"\"\"\r\n", "'''\r\n"]
                    .iter()
                    .any(|quote| raw.starts_with(quote));
                let first_line = self.line_of(value.span().start) + usize::from(below);
                Timeline::parse(text, first_line, &mut self.problems)
            }
            DeValue::Table(table) => {
                let mut timeline = Timeline::default();
                for (key, value) in table {
                    match (key.get_ref().as_ref(), value.get_ref()) {
                        ("text", DeValue::String(_)) => timeline = self.timeline(value),
                        (other, _) => {
                            self.wrong(key.span().start, "a key", other, "text, a string of steps")
                        }
                    }
                }
                timeline
            }
            _ => {
                self.mistyped("timeline", value, "a string of steps");
                Timeline::default()
            }
        }
    }

    fn name(&mut self, value: &Value<'_>) -> String {
        let DeValue::String(name) = value.get_ref() else {
            self.mistyped("name", value, "a string");
            return String::new();
        };
        if let Some(problem) = name_problem(name, &[]) {
            let line = self.line_of(value.span().start);
            self.problems.push(problem.on_line(line));
        }
        name.clone().into_owned()
    }

    fn port(&mut self, place: &str, value: &Value<'_>) -> u16 {
        self.whole(place, value, 0, 65_535) as u16
    }

    fn truth(&mut self, place: &str, value: &Value<'_>) -> bool {
        if let DeValue::Boolean(truth) = value.get_ref() {
            return *truth;
        }
        self.mistyped(place, value, "true or false");
        false
    }

    fn whole(&mut self, place: &str, value: &Value<'_>, low: i64, high: i64) -> i64 {
        if let DeValue::Integer(number) = value.get_ref()
            && let Ok(number) = i64::from_str_radix(number.as_str(), number.radix())
            && (low..=high).contains(&number)
        {
            return number;
        }
        self.mistyped(place, value, &format!("a whole number from {low} to {high}"));
        low
    }

    fn mistyped(&mut self, place: &str, value: &Value<'_>, allowed: &str) {
        let found = self
            .text
            .get(value.span())
            .unwrap_or_default()
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned();
        self.wrong(value.span().start, place, &found, allowed);
    }

    fn wrong(&mut self, offset: usize, place: &str, value: &str, allowed: &str) {
        let line = self.line_of(offset);
        self.problems.push(Problem::new(place, value, allowed).on_line(line));
    }

    fn line_of(&self, offset: usize) -> usize {
        1 + self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_whole() {
        let spec = parse(
            "seed = 7\ncontrol = 9900\ntimeline = \"\"\"\n0s a healthy\n10s * refuse\n\"\"\"\n\
             [[server]]\nname = \"a\"\nport = 8081\ntls = true\nh2 = false\n[[server]]\nname = \"b\"\n",
        )
        .unwrap();
        assert_eq!((spec.seed, spec.control), (7, Some(9900)));
        let a = ServerSpec {
            name: "a".into(),
            port: 8081,
            tls: true,
            h2: false,
            ..ServerSpec::named("a")
        };
        assert_eq!(spec.servers, [a, ServerSpec::named("b")]);
        assert_eq!(spec.timeline.steps().iter().map(|step| step.line).collect::<Vec<_>>(), [4, 5]);
    }

    #[test]
    fn everything_wrong_is_named_with_its_line_at_once() {
        let error = parse(
            "seed = -1\ncolour = \"red\"\n[[server]]\nname = \"a b\"\nport = 70000\n[[server]]\ntls = \"yes\"\n\
             [timeline]\ntext = \"\"\"\n0s c explode\n1s c refuse\n\"\"\"\n",
        )
        .unwrap_err();
        let text = error.to_string();
        for part in [
            "line 1: seed is `-1`",
            "line 2: a key is `colour`, allowed: seed, control, server, dns, ca_file, timeline",
            "line 4: the name is `a b`",
            "line 5: port is `70000`, allowed: a whole number from 0 to 65535",
            "line 6: name is `missing`",
            "line 7: tls is `\"yes\"`, allowed: true or false, or expired",
            "line 10: the fault is `explode`",
            "line 11: the server is `c`",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn a_text_that_is_not_toml_names_the_line() {
        let error = parse("seed = 1\nserver = [[\n").unwrap_err();
        assert!(error.problems()[0].line.is_some_and(|line| line >= 2), "{error}");
        assert!(parse("").unwrap_err().to_string().contains("server is `missing`"));
    }

    #[test]
    fn two_servers_of_one_name_are_refused() {
        let error = parse("[[server]]\nname = \"a\"\n[[server]]\nname = \"a\"\n").unwrap_err();
        assert!(error.to_string().contains("a name that no other server has"), "{error}");
    }
}
