//! Each break of a connection, provoked by the lab: what the proxy's record says, and what `mainstay diagnose` says.
//!
//! The two must say the same, and the manual's page repeats it (`docs/diagnose.md`, written by this test).

mod asked;
mod certificates;
mod diagnosis;
mod families;
mod holds;
mod names;
mod records;
mod streams;
#[path = "../support/mod.rs"]
mod support;
mod table;

use std::io::Write as _;

use mainstay_lab::{Lab, Rule, Spec};
use support::text;

type Outcome = Result<(), String>;

/// A lab, and its authority's certificate in a file where it has one.
struct Stage {
    lab: Lab,
    ca: Option<tempfile::NamedTempFile>,
}

impl Stage {
    async fn set(spec: &str) -> Result<Self, String> {
        let lab = Lab::start(Spec::parse(spec).map_err(text)?).await.map_err(text)?;
        let ca = match lab.ca_pem() {
            None => None,
            Some(pem) => {
                let mut file = tempfile::NamedTempFile::new().map_err(text)?;
                file.write_all(pem.as_bytes()).map_err(text)?;
                Some(file)
            }
        };
        Ok(Self { lab, ca })
    }

    async fn fault(&self, name: &str, rule: &str) -> Outcome {
        let rule: Rule = rule.parse().map_err(text)?;
        self.lab.set(name, rule).await.map_err(text)
    }

    /// The config of an upstream with this endpoint: the lab's name server and authority, and what else is given.
    fn config(&self, endpoint: &str, more: &str) -> String {
        let mut config = format!(
            "[upstream.api]\nendpoints = [\"{endpoint}\"]\nhealth = false\nattempt_timeout = \"1s\"\nbody_idle_timeout = \"1s\"\n"
        );
        if let Some(ca) = &self.ca {
            config.push_str(&format!("tls.ca = \"{}\"\n", ca.path().display()));
        }
        if let Some(server) = self.lab.dns_addr() {
            config.push_str(&format!("connect.dns.servers = [\"{server}\"]\n"));
        }
        config.push_str(more);
        config
    }

    fn port(&self, server: &str) -> Result<u16, String> {
        Ok(self.lab.server(server).ok_or("no such server")?.addr().port())
    }
}
