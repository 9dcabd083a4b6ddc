//! One scenario against one proxy: a lab of its own, the proxy in front of it, the loads, the timeline, and what came of it.
//!
//! All proxies of a scenario run at the same time, each with a thread, a lab and a load to itself, so that they meet the same noise of the
//! machine. They start their loads together.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mainstay_core::breaks::BreakKind;
use mainstay_lab::load::{CallResult, Load};
use mainstay_lab::{Lab, Snapshot};
use serde_json::Value;
use tokio::sync::Barrier;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::equality;
use crate::figures::Figures;
use crate::proxies::{Proxy, Running, System, told};
use crate::scenario::{LoadPlan, Scenario};
use crate::support::{PATIENCE, get, text};

/// What came of a scenario, for one proxy.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It can't take part, and why.
    LeftOut(String),
    /// It didn't get so far as to be measured.
    Failed(String),
    Ran(Box<Figures>),
}

/// Calls of a load, as they ended.
pub(crate) struct Ended {
    pub(crate) plan: LoadPlan,
    pub(crate) calls: Vec<CallResult>,
}

/// Runs scenarios against Mainstay, each by itself, all at the same time.
pub(crate) fn alone(scenarios: &[Scenario], keep: Option<&Path>) -> Vec<Outcome> {
    std::thread::scope(|threads| {
        let started = scenarios.iter().map(|scenario| {
            threads.spawn(move || one(scenario, System::MAINSTAY, &Barrier::new(1), keep))
        });
        let started: Vec<_> = started.collect();
        let ended = started.into_iter().map(|thread| {
            thread.join().unwrap_or_else(|_| Outcome::Failed("it panicked".to_owned()))
        });
        ended.collect()
    })
}

/// Runs a scenario against all of these side by side. What the proxies wrote and were told is kept in a folder, if there is one.
pub(crate) fn side_by_side(
    scenario: &Scenario,
    systems: &[System],
    keep: Option<&Path>,
) -> Vec<(System, Outcome)> {
    let takes_part = |system: &&System| scenario.without(system.proxy.name()).is_none();
    let together = Arc::new(Barrier::new(systems.iter().filter(takes_part).count()));
    std::thread::scope(|threads| {
        let started: Vec<_> = systems
            .iter()
            .map(|system| {
                let together = Arc::clone(&together);
                threads.spawn(move || one(scenario, *system, &together, keep))
            })
            .collect();
        let ended = started.into_iter().zip(systems).map(|(thread, system)| {
            let outcome = thread.join().unwrap_or_else(|_| Outcome::Failed("it panicked".into()));
            (*system, outcome)
        });
        ended.collect()
    })
}

fn one(scenario: &Scenario, system: System, together: &Barrier, keep: Option<&Path>) -> Outcome {
    if let Some(why) = scenario.without(system.proxy.name()) {
        return Outcome::LeftOut(why.to_owned());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ran = runtime.map_err(text).and_then(|runtime| {
        runtime.block_on(async {
            let stage = Stage::set(scenario, system).await;
            // Who failed to start mustn't keep the others waiting.
            together.wait().await;
            stage?.play(scenario, keep).await
        })
    });
    match ran {
        Ok(figures) => Outcome::Ran(Box::new(figures)),
        Err(why) => Outcome::Failed(why),
    }
}

struct Stage {
    lab: Lab,
    running: Running,
    /// What Mainstay had counted before.
    before: Value,
}

impl Stage {
    async fn set(scenario: &Scenario, system: System) -> Result<Self, String> {
        let lab = Lab::start(scenario.lab()).await.map_err(text)?;
        let running = system.start(scenario, &lab).await?;
        warm(&running).await?;
        lab.oracle().reset();
        let before = settled(&running).await?;
        Ok(Self { lab, running, before })
    }

    async fn play(self, scenario: &Scenario, keep: Option<&Path>) -> Result<Figures, String> {
        let Self { lab, running, before } = self;
        let begun = Instant::now();
        let loads = scenario.loads.iter().map(|plan| {
            let to = if plan.http2 { running.listen_http2 } else { running.listen };
            tokio::spawn(load(plan.clone(), to))
        });
        let loads: Vec<_> = loads.collect();
        let timeline = async {
            let mut busiest = None;
            for change in &scenario.timeline {
                sleep_until(begun + change.at).await;
                match change.server.as_str() {
                    "*" => lab.set_all(change.rule.clone()).await,
                    BUSIEST => {
                        let name = busiest.get_or_insert_with(|| asked_most(&lab));
                        lab.set(name, change.rule.clone()).await.map_err(text)?;
                    }
                    name => lab.set(name, change.rule.clone()).await.map_err(text)?,
                }
            }
            // The loads end it.
            std::future::pending::<Result<(), String>>().await
        };
        let all = async {
            let mut ended = Vec::new();
            for load in loads {
                ended.push(load.await.map_err(text)?);
            }
            Ok::<_, String>(ended)
        };
        let ended = tokio::select! {
            ended = all => ended?,
            failed = timeline => return Err(failed.err().unwrap_or_default()),
        };
        let books = lab.oracle().snapshot();
        let mut figures = Figures::of(scenario, &ended, &books);
        tell(&mut figures, scenario, &running, &ended, &books, &before).await?;
        if let Some(folder) = keep {
            running.keep(&folder.join(&scenario.name)).map_err(text)?;
        }
        running.end().await;
        lab.shutdown().await;
        Ok(figures)
    }
}

/// The server that was asked most so far.
fn asked_most(lab: &Lab) -> String {
    let received = |name: &str| lab.oracle().totals(name).received;
    let most = lab.servers().iter().max_by_key(|server| received(server.name()));
    most.map(|server| server.name().to_owned()).unwrap_or_default()
}

/// In a timeline: the server that the proxy at hand asked most before the first such line. So nobody is spared because its balancing happened
/// to prefer the others.
const BUSIEST: &str = "busiest";

/// What the proxy itself says of it.
async fn tell(
    figures: &mut Figures,
    scenario: &Scenario,
    running: &Running,
    ended: &[Ended],
    books: &Snapshot,
    before: &Value,
) -> Result<(), String> {
    if running.system.proxy == Proxy::Mainstay {
        let status = settled(running).await?;
        let records = admin(running, "/calls?limit=10000").await?;
        figures.problems = equality::problems(ended, books, before, &status, &records);
        figures.census = serde_json::from_value(status["census"].clone()).map_err(text)?;
    }
    // A log is written when its proxy gets to it.
    sleep(Duration::from_millis(100)).await;
    let told = told::Told::by(running).await;
    figures.explained = named(figures, scenario, |breaks| told.names(running.system.proxy, breaks));
    Ok(())
}

/// Whether the break is told. One that no call felt and no server saw anything of needn't be.
fn named(
    figures: &Figures,
    scenario: &Scenario,
    is_told: impl Fn(&[BreakKind]) -> bool,
) -> Option<bool> {
    if scenario.tells.is_empty() {
        return None;
    }
    let was_felt = figures.good < figures.calls || figures.amplification > 1.0;
    Some(is_told(&scenario.tells)).filter(|is_told| *is_told || was_felt)
}

async fn load(plan: LoadPlan, to: SocketAddr) -> Ended {
    let mut calls = Vec::new();
    let load = Load {
        methods: plan.methods.clone(),
        path: plan.path.clone(),
        body: Bytes::from(vec![b'x'; plan.body_bytes]),
        headers: plan.headers.clone(),
        timeout: plan.timeout,
        id_prefix: plan.name.clone(),
        http2: plan.http2,
        ..Load::gets(to, plan.count, plan.rate)
    };
    load.run(|result| calls.push(result.clone())).await;
    Ended { plan, calls }
}

/// Asks until it answers steadily: checks have passed, names are known, workers are there.
async fn warm(running: &Running) -> Result<(), String> {
    let asking = async {
        loop {
            let load = Load { id_prefix: "warm".into(), ..Load::gets(running.listen, 5, 100.0) };
            if load.run(|_| {}).await.good == 5 {
                return;
            }
        }
    };
    timeout(PATIENCE, asking)
        .await
        .map_err(|_| format!("{} never answers:\n{}", running.system, running.log()))
}

/// Mainstay's status when the last call has been booked.
async fn settled(running: &Running) -> Result<Value, String> {
    if running.system.proxy != Proxy::Mainstay {
        return Ok(Value::Null);
    }
    let counting = async {
        loop {
            let status = admin(running, "/status").await?;
            let calls = &status["counts"]["calls"];
            if calls["in_progress"] == 0 && calls["started"] == calls["records"] {
                return Ok::<_, String>(status);
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, counting).await.map_err(|_| "calls and records never come to agree")?
}

async fn admin(running: &Running, path: &str) -> Result<Value, String> {
    serde_json::from_str(&get(running.admin, path).await?).map_err(text)
}
