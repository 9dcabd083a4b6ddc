//! The lab, the page's server, the real binary in front of both, and a window onto its admin address.

use std::time::Duration;

use mainstay_lab::{Lab, Spec};
use serde_json::Value;

use crate::page::Page;
use crate::support::Binary;
pub(crate) use crate::support::{PATIENCE, text};

/// What one attempt may take, and so the most that a hanging server may cost a read.
pub(crate) const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(1);

/// Everything that a client meets. The binary is killed when this is dropped.
pub(crate) struct Stage {
    pub(crate) lab: Lab,
    pub(crate) page: Page,
    binary: Binary,
}

impl Stage {
    pub(crate) async fn set() -> Result<Self, String> {
        let lab = Lab::start(Spec::of(["a", "b", "c"])).await.map_err(text)?;
        let page = Page::serve().await?;
        let binary = Binary::run(&config_text(&lab, &page)).await?;
        Ok(Self { lab, page, binary })
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.proxy())
    }

    pub(crate) fn proxy(&self) -> std::net::SocketAddr {
        self.binary.proxy
    }

    /// What the admin address says of one endpoint: its state now, and what it did so far.
    pub(crate) async fn endpoint(&self, name: &str) -> Result<(Value, Value), String> {
        let status = self.binary.admin("/status").await?;
        let named = |list: &Value, name: &str| -> Option<Value> {
            list.as_array()?.iter().find(|item| item["name"] == name).cloned()
        };
        let find = |list: &Value| named(&named(list, "api")?["endpoints"], name);
        find(&status["upstreams"])
            .zip(find(&status["counts"]["upstreams"]))
            .ok_or_else(|| format!("/status doesn't know {name}: {status}"))
    }

    /// The records of the calls that took longest, for whoever has to find out why.
    pub(crate) async fn slow_calls(&self) -> Result<Vec<Value>, String> {
        let all = self.binary.admin("/calls").await?;
        let is_slow = |call: &&Value| {
            call["upstream"] == "api"
                && call["took_ms"].as_f64() > Some(1.5e3 * ATTEMPT_TIMEOUT.as_secs_f64())
        };
        Ok(all["calls"].as_array().into_iter().flatten().filter(is_slow).cloned().collect())
    }

    /// A read waits for a hanging server once: the next attempt goes elsewhere. As the records of calls have it.
    pub(crate) async fn no_read_waited_twice(&self) -> Result<(), String> {
        let all = self.binary.admin("/calls").await?;
        let reads = all["calls"].as_array().into_iter().flatten();
        for call in reads.filter(|call| call["upstream"] == "api" && call["method"] == "GET") {
            let attempts = call["attempts"].as_array().into_iter().flatten();
            let hung = attempts.filter(|one| one["code"] == "response-timeout");
            let mut servers: Vec<_> = hung.map(|one| one["endpoint"].to_string()).collect();
            let waits = servers.len();
            servers.sort();
            servers.dedup();
            if servers.len() < waits {
                return Err(format!("waited twice for the same server: {call}"));
            }
        }
        Ok(())
    }
}

/// The lab's servers, as a list of endpoints has them.
pub(crate) fn endpoints(lab: &Lab) -> String {
    let servers = lab.servers().iter();
    let each = servers
        .map(|server| format!("{{ url = \"{}\", name = \"{}\" }}", server.url(), server.name()));
    each.collect::<Vec<_>>().join(", ")
}

fn config_text(lab: &Lab, page: &Page) -> String {
    let endpoints = endpoints(lab);
    format!(
        "[upstream.api]
         endpoints = [{endpoints}]
         attempt_timeout = \"{}ms\"
         heal.events.dead_after = \"1s\"
         [upstream.page]
         endpoints = [\"http://{}\"]
         total_timeout = \"1m\"
         attempt_timeout = \"1m\"
         [[route]]
         path = \"/page\"
         upstream = \"page\"
         [[route]]
         upstream = \"api\"",
        ATTEMPT_TIMEOUT.as_millis(),
        page.address,
    )
}
