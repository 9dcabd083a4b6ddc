//! A proxy in front of two servers of the lab, and an application that asks it all the time.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use mainstay_lab::{Lab, Rule, Spec};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::Outcome;
use crate::support::{self, Binary, PATIENCE, text};

pub(crate) struct Stage {
    pub(crate) lab: Lab,
    pub(crate) proxy: Binary,
    asking: JoinHandle<()>,
}

impl Stage {
    pub(crate) async fn set() -> Result<Self, String> {
        let lab = Lab::start(Spec::of(["alpha", "beta"])).await.map_err(text)?;
        let proxy = Binary::run(&config(&lab)).await?;
        let asking = tokio::spawn(ask(proxy.proxy));
        Ok(Self { lab, proxy, asking })
    }

    /// One server, and a proxy that stores every write to it, in lanes; nobody asks.
    pub(crate) async fn storing(folder: &Path) -> Result<Self, String> {
        let lab = Lab::start(Spec::of(["alpha"])).await.map_err(text)?;
        let config = format!(
            "[outbox]\npath = \"{}/outbox.db\"\nreserve = 0\n{}breaker.mode = \"off\"\n[upstream.api.outbox]\nmode = \"always\"\nlane = \"header:x-lane\"\n",
            folder.display(),
            config(&lab)
        );
        let proxy = Binary::run(&config).await?;
        Ok(Self { lab, proxy, asking: tokio::spawn(async {}) })
    }

    /// An application's write, which is stored.
    pub(crate) async fn write(&self, lane: &str) -> Outcome {
        let request = format!(
            "POST /orders HTTP/1.1\r\nhost: api\r\nconnection: close\r\nx-lane: {lane}\r\ncontent-length: 2\r\n\r\n{{}}"
        );
        let mut stream = TcpStream::connect(self.proxy.proxy).await.map_err(text)?;
        stream.write_all(request.as_bytes()).await.map_err(text)?;
        let mut answer = String::new();
        let reading = stream.read_to_string(&mut answer);
        timeout(PATIENCE, reading).await.map_err(text)?.map_err(text)?;
        if answer.starts_with("HTTP/1.1 202") { Ok(()) } else { Err(answer) }
    }

    /// The admin address, as an argument.
    pub(crate) fn admin(&self) -> String {
        self.proxy.admin.to_string()
    }

    /// What a server does from now on.
    pub(crate) async fn fault(&self, server: &str, rule: &str) -> Outcome {
        let rule: Rule = rule.parse().map_err(text)?;
        self.lab.set(server, rule).await.map_err(text)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.asking.abort();
    }
}

/// All calls go to the first server while it is well. The breaker waits long before it probes, so that what is seen of it stays.
pub(crate) fn config(lab: &Lab) -> String {
    let servers = lab.servers().iter().enumerate();
    let endpoints: Vec<_> = servers
        .map(|(tier, server)| {
            let (url, name) = (server.url(), server.name());
            format!("{{ url = \"{url}\", name = \"{name}\", tier = {tier} }}")
        })
        .collect();
    format!(
        "[upstream.api]\nendpoints = [{}]\nhealth = false\nbreaker.open_for = \"60s\"\n",
        endpoints.join(", ")
    )
}

/// Asks until it is aborted. What comes of it is the proxy's to tell.
async fn ask(proxy: SocketAddr) {
    loop {
        let _ = support::get(proxy, "/x").await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
