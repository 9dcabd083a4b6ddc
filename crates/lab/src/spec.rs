//! What a lab is made of: servers, a seed, a timeline.

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
}

/// One server of a lab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSpec {
    /// Letters, digits, `-` and `_`, at most 40; unlike all others.
    pub name: String,
    /// The port at 127.0.0.1; 0 for any.
    pub port: u16,
    /// Whether it speaks TLS, with a certificate of the lab's own authority.
    pub tls: bool,
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
        self.timeline.check_servers(&names, &mut problems);
        Invalid::check(problems)
    }
}

impl ServerSpec {
    /// A plain server that speaks HTTP/1.1 and HTTP/2, at any port.
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), port: 0, tls: false, h2: true }
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

/// Each server costs a socket and a task; nobody's API has more endpoints than this in a test.
pub const SERVERS_LIMIT: usize = 64;
