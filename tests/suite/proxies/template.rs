//! How a config is filled in: names between `@`, and lines that are there under conditions.
//!
//! ```text
//! listen @listen@;                     @listen@, @listen_http2@, @admin@, @folder@, @ca@, @dns@, @name@, @port@
//! [tls] proxy_ssl_verify on;           only if the servers speak TLS; also http2, named, tuned, census
//! [!named] upstream api {              only if not
//! [each !tls] server @address@;        once for each server, with its @server@, @address@, @ip@, @server_port@
//! ```

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use mainstay_lab::Lab;

use super::{Proxy, System};
use crate::scenario::Scenario;
use crate::support::text;

/// What a config depends on.
pub(super) struct Facts<'a> {
    pub(super) system: System,
    pub(super) scenario: &'a Scenario,
    pub(super) lab: &'a Lab,
    pub(super) folder: &'a Path,
}

impl Facts<'_> {
    pub(super) fn fill(
        &self,
        template: &str,
        [listen, listen_http2, admin]: [SocketAddr; 3],
    ) -> Result<String, String> {
        let ca = self.folder.join("ca.pem");
        if let Some(pem) = self.lab.ca_pem() {
            std::fs::write(&ca, pem).map_err(text)?;
        }
        let name = self.scenario.named.as_ref().map_or("", |(name, _)| name);
        let port = self.lab.servers().first().map_or(0, |server| server.addr().port());
        let more = if self.system.proxy == Proxy::Mainstay { &self.scenario.config } else { "" };
        let names = [
            // First, for it may have names in it.
            ("@more@", more.to_owned()),
            ("@listen@", listen.to_string()),
            ("@listen_port@", listen.port().to_string()),
            ("@listen_http2@", listen_http2.to_string()),
            ("@listen_http2_port@", listen_http2.port().to_string()),
            ("@admin@", admin.to_string()),
            ("@admin_port@", admin.port().to_string()),
            ("@folder@", self.folder.display().to_string()),
            ("@ca@", ca.display().to_string()),
            ("@dns@", self.lab.dns_addr().map_or(String::new(), |address| address.to_string())),
            ("@dns_port@", self.lab.dns_addr().map_or(0, |address| address.port()).to_string()),
            ("@name@", name.to_owned()),
            ("@port@", port.to_string()),
        ];
        let mut config = String::new();
        for line in template.lines() {
            for line in self.lines(line)? {
                let line = names.iter().fold(line, |line, (name, value)| line.replace(name, value));
                writeln!(config, "{line}").map_err(text)?;
            }
        }
        Ok(config)
    }

    /// What becomes of a line: none, itself, or one for each server.
    fn lines(&self, line: &str) -> Result<Vec<String>, String> {
        let indent: String = line.chars().take_while(|c| *c == ' ').collect();
        let conditions = line.trim_start().strip_prefix('[').and_then(|rest| rest.split_once("] "));
        let Some((conditions, rest)) = conditions else { return Ok(vec![line.to_owned()]) };
        // A section of TOML has no conditions.
        let line = format!("{indent}{rest}");
        let mut each = false;
        for condition in conditions.split(' ') {
            let (wanted, word) = match condition.strip_prefix('!') {
                Some(word) => (false, word),
                None => (true, condition),
            };
            let holds = match word {
                "each" => {
                    each = true;
                    true
                }
                "tls" => self.scenario.speaks.tls,
                "http2" => self.scenario.speaks.http2,
                "named" => self.scenario.is_named(),
                "tuned" => self.system.tuned,
                "census" => self.scenario.is_of_census(),
                other => return Err(format!("a template can't ask for `{other}`")),
            };
            if holds != wanted {
                return Ok(Vec::new());
            }
        }
        if !each {
            return Ok(vec![line]);
        }
        let filled = self.lab.servers().iter().map(|server| {
            line.replace("@server@", server.name())
                .replace("@address@", &server.addr().to_string())
                .replace("@ip@", &server.addr().ip().to_string())
                .replace("@server_port@", &server.addr().port().to_string())
        });
        Ok(filled.collect())
    }
}
