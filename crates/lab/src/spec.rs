//! What a lab is made of: servers, a seed, a timeline.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use crate::dns::DnsSpec;
use crate::fault::TlsTrouble;
use crate::problem::{Invalid, Problem};
use crate::timeline::Timeline;

/// A lab to start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spec {
    /// Where chance begins; the same seed draws the same numbers.
    pub seed: u64,
    /// At least one, at most [`SERVERS_LIMIT`].
    pub servers: Vec<ServerSpec>,
    /// What happens when; may be empty.
    pub timeline: Timeline,
    /// The port of the control address, 0 for any; none: no control address.
    pub control: Option<u16>,
    /// A DNS server, if there shall be one.
    pub dns: Option<DnsSpec>,
    /// Where the certificate of the lab's authority is written, if a server speaks TLS.
    pub ca_file: Option<PathBuf>,
}

/// One server of a lab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSpec {
    /// Letters, digits, `-` and `_`, at most 40; unlike all others.
    pub name: String,
    /// An address of the loopback: 127.x.x.x or ::1.
    pub address: IpAddr,
    /// The port; 0 for any.
    pub port: u16,
    /// The name of an earlier server, of another address, whose port is taken instead: the two are then one server with
    /// two addresses.
    pub port_of: Option<String>,
    /// Whether it speaks TLS, with a certificate of the lab's own authority.
    pub tls: bool,
    /// What is wrong with its TLS while the rule says nothing about it.
    pub trouble: Option<TlsTrouble>,
    /// Whether it speaks HTTP/2 too (by ALPN, or by prior knowledge without TLS).
    pub h2: bool,
}

impl Spec {
    /// Healthy plain servers of these names, each at any port, without a timeline.
    pub fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self { servers: names.into_iter().map(ServerSpec::named).collect(), ..Self::default() }
    }

    /// Reads a lab file; see [`crate::file`] for its shape.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its line.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        crate::file::parse(text)
    }

    pub(crate) fn check(&self) -> Result<(), Invalid> {
        let mut problems = Vec::new();
        if self.servers.is_empty() || self.servers.len() > SERVERS_LIMIT {
            let allowed = format!("1 to {SERVERS_LIMIT}");
            problems.push(Problem::new(
                "the number of servers",
                self.servers.len().to_string(),
                allowed,
            ));
        }
        let names: Vec<_> = self.servers.iter().map(|server| server.name.as_str()).collect();
        for (index, name) in names.iter().enumerate() {
            if let Some(problem) = name_problem(name, &names[..index]) {
                problems.push(problem);
            }
        }
        for (index, server) in self.servers.iter().enumerate() {
            problems.extend(server_problems(server, &names[..index]));
        }
        let dns = self.dns.as_ref().map_or(&[][..], |dns| &dns.names);
        let dns: Vec<_> = dns.iter().map(|name| name.name.as_str()).collect();
        for (index, name) in dns.iter().enumerate() {
            problems.extend(dns_name_problem(name, &dns[..index]));
        }
        self.timeline.check_names(&names, &dns, &mut problems);
        Invalid::check(problems)
    }
}

impl ServerSpec {
    /// A plain server that speaks HTTP/1.1 and HTTP/2, at any port.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 0,
            port_of: None,
            tls: false,
            trouble: None,
            h2: true,
        }
    }
}

pub(crate) fn name_problem(name: &str, earlier: &[&str]) -> Option<Problem> {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if name.is_empty() || name.len() > 40 || !name.bytes().all(is_plain) {
        return Some(Problem::new("the name", name, "1 to 40 letters, digits, - and _"));
    }
    earlier
        .contains(&name)
        .then(|| Problem::new("the name", name, "a name that no other server has"))
}

/// What is wrong with a server's address and the port it shares.
pub(crate) fn server_problems(server: &ServerSpec, earlier: &[&str]) -> Vec<Problem> {
    let mut problems = Vec::new();
    if !server.address.is_loopback() {
        let allowed = "an address of the loopback, 127.x.x.x or ::1";
        problems.push(Problem::new("the address", server.address.to_string(), allowed));
    }
    if let Some(other) = server.port_of.as_deref().filter(|other| !earlier.contains(other)) {
        problems.push(Problem::new(
            "the port",
            other,
            "a number, or the name of an earlier server",
        ));
    }
    problems
}

pub(crate) fn dns_name_problem(name: &str, earlier: &[&str]) -> Option<Problem> {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    if name.len() > 253 || !name.contains('.') || !name.split('.').all(is_label) {
        let allowed = "a name in lower case with a dot in it, such as api.lab";
        return Some(Problem::new("the name", name, allowed));
    }
    if earlier.len() >= SERVERS_LIMIT {
        return Some(Problem::new("the name", name, format!("at most {SERVERS_LIMIT} names")));
    }
    earlier.contains(&name).then(|| Problem::new("the name", name, "a name that no other has"))
}

/// Each server costs a socket and a task; nobody's API has more endpoints than this in a test.
pub const SERVERS_LIMIT: usize = 64;
