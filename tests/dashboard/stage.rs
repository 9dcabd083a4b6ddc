//! The lab, the real binary in front of it, traffic through both, and a wire between browser and admin address that can be cut.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mainstay_lab::{Lab, Spec};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::browser::Browser;
use crate::support::{Binary, text};

/// The admin token of all stages.
pub(crate) const TOKEN: &str = "tests/+%&#=?~";

/// Everything that a page is about. All of it ends when this is dropped.
pub(crate) struct Stage {
    pub(crate) lab: Lab,
    pub(crate) binary: Binary,
    pub(crate) wire: Wire,
    traffic: JoinHandle<()>,
    _store: tempfile::TempDir,
}

impl Stage {
    /// With traffic to `payments` from the start.
    pub(crate) async fn set() -> Result<Self, String> {
        let lab = Lab::start(Spec::of(["a", "b", "standby", "orders"])).await.map_err(text)?;
        let store = tempfile::tempdir().map_err(text)?;
        let binary = Binary::run_guarded(&config(&lab, store.path())?, TOKEN).await?;
        let wire = Wire::lay(binary.admin).await?;
        let traffic = tokio::spawn(traffic(binary.proxy));
        Ok(Self { lab, binary, wire, traffic, _store: store })
    }

    /// The address of the page, at a view.
    pub(crate) fn url(&self, hash: &str) -> String {
        format!("http://{}/{hash}", self.wire.address)
    }

    /// A browser that has the page open, with the token.
    pub(crate) async fn browser(&self) -> Result<Browser, String> {
        let browser = Browser::start().await?;
        browser.window((1280, 900), false).await?;
        browser.open(&self.url(&format!("#token={}", percent(TOKEN)))).await?;
        browser.until("document.querySelector('#headline')").await?;
        Ok(browser)
    }

    /// What a server does from now on; `*` is all of them.
    pub(crate) async fn fault(&self, server: &str, fault: &str) -> Result<(), String> {
        let rule: mainstay_lab::Rule = fault.parse().map_err(text)?;
        if server == "*" {
            self.lab.set_all(rule).await;
            return Ok(());
        }
        self.lab.set(server, rule).await.map_err(text)
    }

    /// So many reads of `orders`, one after the other. It has one endpoint, so what breaks there stays broken.
    pub(crate) async fn read_orders(&self, count: u32) -> Result<(), String> {
        for _ in 0..count {
            let request = "GET /orders HTTP/1.1\r\nhost: orders\r\nconnection: close\r\n\r\n";
            ask(self.binary.proxy, request).await?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// One write to `orders`, in a lane.
    pub(crate) async fn order(&self, lane: &str) -> Result<(), String> {
        let request = format!(
            "POST /orders HTTP/1.1\r\nhost: orders\r\nx-lane: {lane}\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}"
        );
        ask(self.binary.proxy, &request).await.map(drop)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.traffic.abort();
    }
}

fn config(lab: &Lab, store: &std::path::Path) -> Result<String, String> {
    let endpoint = |name: &str, tier: u8| {
        let server = lab.server(name).ok_or_else(|| format!("no server {name}"))?;
        Ok::<_, String>(format!(
            "{{ url = \"{}\", name = \"{name}\", tier = {tier} }}",
            server.url()
        ))
    };
    Ok(format!(
        "[outbox]
         path = \"{}/outbox.db\"
         reserve = 0
         [upstream.payments]
         endpoints = [{}, {}, {}]
         attempt_timeout = \"500ms\"
         [upstream.orders]
         endpoints = [{}]
         breaker.mode = \"off\"
         health = false
         [upstream.orders.outbox]
         mode = \"always\"
         lane = \"header:x-lane\"
         base = \"100ms\"
         cap = \"200ms\"
         [[route]]
         path = \"/orders\"
         upstream = \"orders\"
         [[route]]
         upstream = \"payments\"",
        store.display(),
        endpoint("a", 0)?,
        endpoint("b", 0)?,
        endpoint("standby", 1)?,
        endpoint("orders", 0)?,
    ))
}

/// Reads until it is ended, some at the same time, so that each endpoint gets its share.
async fn traffic(proxy: SocketAddr) {
    let one = || reads(proxy);
    tokio::join!(one(), one(), one(), one());
}

async fn reads(proxy: SocketAddr) {
    loop {
        let request = "GET /charges/7 HTTP/1.1\r\nhost: payments\r\nconnection: close\r\n\r\n";
        // What breaks here is what the page is to show.
        let _ = ask(proxy, request).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn ask(address: SocketAddr, request: &str) -> Result<Vec<u8>, String> {
    let mut stream = TcpStream::connect(address).await.map_err(text)?;
    stream.write_all(request.as_bytes()).await.map_err(text)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.map_err(text)?;
    Ok(answer)
}

/// For an address; what isn't a letter or digit is encoded.
pub(crate) fn percent(words: &str) -> String {
    words
        .bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

/// A relay of bytes. While it is cut, what is open ends, and nothing new gets through.
pub(crate) struct Wire {
    pub(crate) address: SocketAddr,
    is_cut: Arc<watch::Sender<bool>>,
    task: JoinHandle<()>,
}

impl Wire {
    async fn lay(to: SocketAddr) -> Result<Self, String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(text)?;
        let address = listener.local_addr().map_err(text)?;
        let is_cut = Arc::new(watch::Sender::new(false));
        let cut = Arc::clone(&is_cut);
        let task = tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut cut = cut.subscribe();
                if *cut.borrow() {
                    continue;
                }
                tokio::spawn(async move {
                    let Ok(mut far) = TcpStream::connect(to).await else { return };
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                        _ = cut.wait_for(|cut| *cut) => {}
                    }
                });
            }
        });
        Ok(Self { address, is_cut, task })
    }

    pub(crate) fn cut(&self) {
        self.is_cut.send_replace(true);
    }

    pub(crate) fn mend(&self) {
        self.is_cut.send_replace(false);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}
