//! New settings under load, by signal and by order, right and wrong.

use std::net::SocketAddr;
use std::time::Duration;

use mainstay_lab::load::{Load, Summary};
use mainstay_lab::{Lab, Spec};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::binary::{Binary, PATIENCE};
use crate::{Outcome, hold, text};

#[tokio::test]
async fn reloads_under_load_drop_no_call_and_forget_nothing() -> Outcome {
    let lab = Lab::start(Spec::of(["a", "b"])).await.map_err(text)?;
    let endpoints: Vec<(&str, SocketAddr)> =
        lab.servers().iter().map(|server| (server.name(), server.addr())).collect();
    let binary = Binary::start(&endpoints).await?;
    let ordered = binary.ask("POST", "/upstreams/api/endpoints/b/breaker", "open").await?;
    hold(ordered.status == 200, format!("{ordered:?}"))?;
    let mut traffic = Traffic::start(binary.proxy);

    traffic.goes_on().await?;
    binary.configure(&endpoints, "retry.max_attempts = 2\n")?;
    binary.signal("HUP")?;
    binary.until("/generation", json!(2)).await?;

    traffic.goes_on().await?;
    binary.configure(&endpoints, "retry.max_attempts = 200\nretri = 1\n")?;
    binary.signal("HUP")?;
    binary.says("isn't taken, the settings stay as they are").await?;
    binary.says("did you mean `retry`?").await?;
    let refused = binary.ask("POST", "/reload", "").await?;
    let names_both = ["retry.max_attempts", "retri"].iter().all(|name| refused.body.contains(name));
    hold(refused.status == 422 && names_both, format!("{refused:?}"))?;
    hold(binary.status().await?["generation"] == 2, "a wrong file is in use")?;

    // The order of the endpoints changes: state goes by name.
    traffic.goes_on().await?;
    let turned: Vec<_> = endpoints.iter().rev().copied().collect();
    binary.configure(&turned, "total_timeout = \"20s\"\n")?;
    let reloaded = binary.ask("POST", "/reload", "").await?;
    hold(reloaded.body.trim() == "{\"generation\":3}", format!("{reloaded:?}"))?;

    let summary = traffic.end().await?;
    hold(summary.calls == CALLS as u64 && summary.bad() == 0, format!("{summary:?}"))?;
    binary.until("/counts/calls/records", json!(CALLS)).await?;
    let status = binary.status().await?;
    let of_b = &status["upstreams"][0]["endpoints"][0];
    hold(of_b["name"] == "b" && of_b["ordered"] == "open", format!("b: {of_b}"))?;
    hold(of_b["breaker"]["state"] == "open", format!("b: {of_b}"))?;
    let counts = &status["counts"]["calls"];
    let right = counts["started"] == CALLS && counts["delivered"] == CALLS;
    hold(right && counts["attempts"] == CALLS, format!("{counts}"))?;
    let (a, b) = (lab.oracle().totals("a"), lab.oracle().totals("b"));
    hold((a.received, b.received) == (CALLS as u64, 0), format!("a: {a:?}, b: {b:?}"))?;
    // Its kept connections go on too: an endpoint that is the same isn't connected to anew.
    let of_a = &status["upstreams"][0]["endpoints"][1]["connections"];
    hold(of_a["reused"].as_u64() > of_a["opened"].as_u64(), format!("a: {of_a}"))?;
    lab.shutdown().await;
    Ok(())
}

/// Calls at a steady pace, while something is done to the proxy.
struct Traffic {
    results: watch::Receiver<usize>,
    running: JoinHandle<Summary>,
}

impl Traffic {
    fn start(to: SocketAddr) -> Self {
        let load = Load { timeout: PATIENCE, ..Load::gets(to, CALLS, RATE) };
        let (count, results) = watch::channel(0);
        let running =
            tokio::spawn(async move { load.run(|_| count.send_modify(|count| *count += 1)).await });
        Self { results, running }
    }

    /// Waits for further calls to end.
    async fn goes_on(&mut self) -> Outcome {
        let wanted = CALLS.min(*self.results.borrow() + CALLS / 10);
        let more = self.results.wait_for(|count| *count >= wanted);
        timeout(PATIENCE, more).await.map_err(|_| "the traffic stands still")?.map_err(text)?;
        Ok(())
    }

    async fn end(self) -> Result<Summary, String> {
        timeout(PATIENCE + Duration::from_secs(10), self.running).await.map_err(text)?.map_err(text)
    }
}

const CALLS: usize = 1000;

/// Enough that each reload happens in the middle of calls, little enough for a busy machine.
const RATE: f64 = 400.0;
