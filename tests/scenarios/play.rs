//! Runs a scenario, line by line.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use mainstay_lab::Rule;
use mainstay_lab::load::{Events, Load, Summary};
use mainstay_record::CallRecord;
use serde_json::Value as Json;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::script::{Operator, Script, Step, Value};
use crate::stage::{Driver, PATIENCE, Stage, text};

struct Play {
    stage: Stage,
    driver: Driver,
    running: BTreeMap<String, Running>,
    done: BTreeMap<String, Done>,
}

struct Running {
    results: watch::Receiver<usize>,
    task: JoinHandle<Done>,
}

#[derive(Default)]
struct Done {
    summary: Summary,
    ended: Vec<EndedCall>,
}

impl Done {
    /// What came of each event stream.
    fn events(&self) -> impl Iterator<Item = Events> {
        self.ended.iter().filter_map(|call| call.events)
    }
}

/// A call that is over, as its application knows it.
pub(crate) struct EndedCall {
    pub(crate) id: Option<String>,
    pub(crate) attempts: u32,
    events: Option<Events>,
}

/// What came of a scenario, for whoever asks further.
pub(crate) struct Played {
    /// The calls of each load.
    pub(crate) calls: BTreeMap<String, Vec<EndedCall>>,
    /// The proxy's records of those in which something broke.
    pub(crate) records: Vec<CallRecord>,
}

pub(crate) async fn play(script: &Script, driver: Driver) -> Result<Played, String> {
    let stage = Stage::set(script, driver).await?;
    let mut play = Play { stage, driver, running: BTreeMap::new(), done: BTreeMap::new() };
    for (line, step) in &script.steps {
        play.step(step).await.map_err(|why| format!("line {line}: {why}"))?;
    }
    let records = play.broken_calls().await?;
    play.stage.lab.shutdown().await;
    let calls = play.done.into_iter().map(|(name, done)| (name, done.ended)).collect();
    Ok(Played { calls, records })
}

impl Play {
    async fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Load { name, methods, path, options } => self.load(name, methods, path, options),
            Step::After { name, results } => self.after(name, *results).await,
            Step::Join { name } => self.join(name).await,
            Step::At { .. } => Err("goes by the clock: it belongs to the break suite".into()),
            Step::Fault { server, text: words } => {
                let rule: Rule = words.parse().map_err(text)?;
                match server.as_str() {
                    "*" => {
                        self.stage.lab.set_all(rule).await;
                        Ok(())
                    }
                    _ => self.stage.lab.set(server, rule).await.map_err(text),
                }
            }
            Step::Until { endpoint, field, value, within } => {
                self.until(endpoint, field, value, within.unwrap_or(PATIENCE)).await
            }
            Step::UntilCount { of, operator, value } => {
                self.until_count(of, *operator, *value).await
            }
            Step::Expect { of, operator, value } => self.expect(of, *operator, *value).await,
        }
    }

    fn load(
        &mut self,
        name: &str,
        methods: &[http::Method],
        path: &str,
        options: &[(String, String)],
    ) -> Result<(), String> {
        let mut load = Load::gets(self.stage.proxy, 1, 100.0);
        load.methods = methods.to_vec();
        load.path = path.to_owned();
        load.id_prefix = name.to_owned();
        load.body = bytes::Bytes::from_static(b"{\"amount\": 1}");
        load.timeout = Duration::from_secs(15);
        for (key, value) in options {
            match key.as_str() {
                "count" => load.count = value.parse().map_err(text)?,
                "rate" => load.rate = value.parse().map_err(text)?,
                "body" => load.body = vec![b'x'; value.parse().map_err(text)?].into(),
                "header" => {
                    let (name, value) = value.split_once(':').ok_or("header=NAME:VALUE")?;
                    let name: HeaderName = name.parse().map_err(text)?;
                    load.headers.push((name, HeaderValue::try_from(value).map_err(text)?));
                }
                _ => return Err(format!("unknown option {key}")),
            }
        }
        let (count, results) = watch::channel(0);
        let task = tokio::spawn(async move {
            let mut ended = Vec::new();
            let summary = load
                .run(|result| {
                    let attempts = result.attempts.unwrap_or(0);
                    let (id, events) = (result.call_id.clone(), result.events);
                    ended.push(EndedCall { id, attempts, events });
                    count.send_replace(ended.len());
                })
                .await;
            Done { summary, ended }
        });
        self.running.insert(name.to_owned(), Running { results, task });
        Ok(())
    }

    async fn after(&mut self, name: &str, results: usize) -> Result<(), String> {
        let running = self.running.get_mut(name).ok_or("no such load")?;
        let enough = running.results.wait_for(|count| *count >= results);
        tokio::time::timeout(PATIENCE, enough)
            .await
            .map_err(|_| "not so many results")?
            .map_err(text)?;
        Ok(())
    }

    async fn join(&mut self, name: &str) -> Result<(), String> {
        let running = self.running.remove(name).ok_or("no such load")?;
        let done =
            tokio::time::timeout(3 * PATIENCE, running.task).await.map_err(text)?.map_err(text)?;
        self.done.insert(name.to_owned(), done);
        Ok(())
    }

    /// Asks the admin address until it says so; bounded.
    async fn until(
        &self,
        endpoint: &str,
        field: &str,
        value: &str,
        within: Duration,
    ) -> Result<(), String> {
        let waiting = async {
            loop {
                let status = self.stage.admin("/status").await?;
                if endpoint_field(&status, endpoint, field).as_deref() == Some(value) {
                    return Ok::<(), String>(());
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let late = |_| format!("{field} didn't become {value} within {within:?}");
        tokio::time::timeout(within, waiting).await.map_err(late)?
    }

    /// Measures until it is so; bounded.
    async fn until_count(
        &self,
        of: &[String],
        operator: Operator,
        value: Value,
    ) -> Result<(), String> {
        let words: Vec<&str> = of.iter().map(String::as_str).collect();
        let waiting = async {
            while !operator.holds(self.measure(&words, value).await?, number_of(value)) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok::<(), String>(())
        };
        tokio::time::timeout(PATIENCE, waiting)
            .await
            .map_err(|_| format!("{} never became so", words.join(" ")))?
    }

    async fn expect(&self, of: &[String], operator: Operator, value: Value) -> Result<(), String> {
        let words: Vec<&str> = of.iter().map(String::as_str).collect();
        // Calls, servers and library share one process that isn't optimised: how long something takes is the binary's to show.
        if self.driver == Driver::Library && matches!(words.last(), Some(&("p50" | "p99" | "max")))
        {
            return Ok(());
        }
        let found = self.measure(&words, value).await?;
        let wanted = number_of(value);
        if operator.holds(found, wanted) {
            return Ok(());
        }
        let calls =
            self.stage.admin("/calls").await.map(|calls| calls.to_string()).unwrap_or_default();
        let calls: String = calls.chars().take(2_000).collect();
        let summaries: Vec<String> = self
            .done
            .iter()
            .map(|(name, done)| format!("{name}: {:?}", shown(&done.summary)))
            .collect();
        Err(format!(
            "{} is {found}, wanted {operator:?} {value:?}\n{}\nrecent broken calls: {calls}",
            words.join(" "),
            summaries.join("\n")
        ))
    }

    async fn measure(&self, words: &[&str], value: Value) -> Result<f64, String> {
        if let [name, what @ ..] = words
            && let Some(done) = self.done.get(*name)
        {
            return of_load(done, what, value);
        }
        let oracle = self.stage.lab.oracle();
        match words {
            ["duplicates"] => Ok(oracle.duplicates().len() as f64),
            ["executed", id] => Ok(oracle.executions(id) as f64),
            ["amplification"] => {
                let calls: u64 = self.done.values().map(|done| done.summary.calls).sum();
                let received: u64 = self
                    .stage
                    .lab
                    .servers()
                    .iter()
                    .map(|server| oracle.totals(server.name()).received)
                    .sum();
                Ok(received as f64 / calls as f64)
            }
            ["calls", field] => {
                number(&self.stage.admin("/status").await?, &["counts", "calls", field])
            }
            ["records"] => self.records().await,
            ["break", code] => {
                let status = self.stage.admin("/status").await?;
                Ok(endpoint_counts(&status, "breaks", Some(code))
                    + endpoint_counts(&status, "body_failures", Some(code)))
            }
            ["breaker-openings"] => {
                Ok(endpoint_counts(&self.stage.admin("/status").await?, "breaker_opens", None))
            }
            _ => Err(format!("don't know how to measure `{}`", words.join(" "))),
        }
    }

    /// By how much the records differ from the calls that were made.
    async fn records(&self) -> Result<f64, String> {
        let calls: u64 = self.done.values().map(|done| done.summary.calls).sum();
        let status = self.settled().await?;
        let count = |field| number(&status, &["counts", "calls", field]);
        let (records, ended) = (count("records")?, count("delivered")? + count("failed")?);
        Ok(records - calls as f64 + (ended - records).abs())
    }

    /// The status once the last body has been booked.
    async fn settled(&self) -> Result<Json, String> {
        let counting = async {
            loop {
                let status = self.stage.admin("/status").await?;
                let count = |field| number(&status, &["counts", "calls", field]);
                if count("in_progress")? == 0.0 && count("started")? == count("records")? {
                    return Ok::<Json, String>(status);
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, counting)
            .await
            .map_err(|_| "records and calls never came to agree")?
    }

    /// The records of all calls in which something broke.
    async fn broken_calls(&self) -> Result<Vec<CallRecord>, String> {
        self.settled().await?;
        let mut answer = self.stage.admin("/calls").await?;
        serde_json::from_value(answer["calls"].take()).map_err(text)
    }
}

fn number_of(value: Value) -> f64 {
    match value {
        Value::Percent(share) => share,
        Value::Count(count) => count,
        Value::Time(time) => time.as_secs_f64(),
    }
}

fn of_load(done: &Done, what: &[&str], value: Value) -> Result<f64, String> {
    let summary = &done.summary;
    let count = match what {
        ["good"] => summary.good,
        ["bad"] => summary.bad(),
        ["calls"] => summary.calls,
        ["attempts"] => done.ended.iter().map(|call| u64::from(call.attempts)).sum(),
        ["events"] => done.events().map(|events| events.count).sum(),
        ["misplaced-events"] => done.events().map(|events| events.misplaced).sum(),
        ["error-events"] => done.events().map(|events| events.errors).sum(),
        ["without-answer"] => summary.without_answer.values().sum(),
        [end @ ("not-connected" | "broken" | "incomplete" | "timed-out")] => {
            summary.without_answer.get(end).copied().unwrap_or_default()
        }
        ["status", status] => *summary.by_status.get(&status.parse().map_err(text)?).unwrap_or(&0),
        ["problem", code] => summary
            .problems
            .iter()
            .filter(|(key, _)| key.starts_with(code))
            .map(|(_, count)| count)
            .sum(),
        ["p50"] => return Ok(summary.percentiles().p50.as_secs_f64()),
        ["p99"] => return Ok(summary.percentiles().p99.as_secs_f64()),
        ["max"] => return Ok(summary.percentiles().max.as_secs_f64()),
        _ => return Err(format!("don't know `{}` of a load", what.join(" "))),
    };
    match value {
        Value::Percent(_) => Ok(100.0 * count as f64 / summary.calls as f64),
        Value::Count(_) | Value::Time(_) => Ok(count as f64),
    }
}

fn shown(summary: &Summary) -> String {
    serde_json::to_string(summary).unwrap_or_default()
}

fn number(json: &Json, path: &[&str]) -> Result<f64, String> {
    let found = path.iter().try_fold(json, |at, key| at.get(key));
    found.and_then(Json::as_f64).ok_or_else(|| format!("no number at {}", path.join(".")))
}

/// A field of an endpoint in `/status`, as text.
fn endpoint_field(status: &Json, endpoint: &str, field: &str) -> Option<String> {
    let upstreams = status.get("upstreams")?.as_array()?;
    let endpoints =
        upstreams.iter().filter_map(|upstream| upstream.get("endpoints")?.as_array()).flatten();
    let found = endpoints
        .into_iter()
        .find(|one| one.get("name").and_then(Json::as_str) == Some(endpoint))?;
    let value = field.split('.').try_fold(found, |at, key| at.get(key))?;
    Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

/// A count of all endpoints, by code; all codes together without one.
fn endpoint_counts(status: &Json, field: &str, code: Option<&str>) -> f64 {
    let upstreams =
        status.pointer("/counts/upstreams").and_then(Json::as_array).into_iter().flatten();
    let endpoints =
        upstreams.filter_map(|upstream| upstream.get("endpoints")?.as_array()).flatten();
    let counts = endpoints.filter_map(|endpoint| endpoint.get(field)?.as_object()).flatten();
    counts
        .filter(|(found, _)| code.is_none_or(|code| code == *found))
        .filter_map(|(_, count)| count.as_f64())
        .sum()
}
