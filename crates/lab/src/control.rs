//! The control address of a lab that runs by itself: look at the oracle, change a fault, begin anew.
//!
//! | request | answer |
//! |---|---|
//! | GET `/oracle` | the [`crate::Snapshot`], with its duplicates, as JSON |
//! | GET `/servers` | name, URL, rule and whether it listens, of each; of names of the DNS server the questions too |
//! | GET `/faults` | the list of faults, for people |
//! | POST `/servers/NAME/fault` | the body is a rule; NAME may be `*`; 400 says what is wrong |
//! | POST `/reset` | all servers healthy, the oracle forgets |
//!
//! It listens at the loopback only, and refuses what a browser sends for a foreign page (`Origin`).

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::{StatusCode, header};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::api::{Reply, Request};
use crate::exchange::Manner;
use crate::fault::{Fault, KINDS, Rule};
use crate::h1::{Connection, Unreadable, Version};
use crate::lab::Shared;
use crate::wire::{ResetOnDrop, Wire};

pub(crate) async fn open(port: u16) -> std::io::Result<TcpListener> {
    TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await
}

/// Answers until it is told to stop.
pub(crate) async fn run(
    listener: TcpListener,
    shared: Arc<Shared>,
    mut stop: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        let is_full = connections.len() >= CONNECTIONS_LIMIT;
        tokio::select! {
            _ = stop.changed() => return,
            _ = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if !is_full => match accepted {
                Ok((stream, _)) => {
                    let wire = Wire::plain(stream, ResetOnDrop::default());
                    let shared = shared.clone();
                    connections.spawn(async move {
                        let _ = timeout(CONNECTION_FOR, serve(Connection::new(wire), &shared)).await;
                    });
                }
                Err(_) => sleep(ACCEPT_AGAIN_AFTER).await,
            },
        }
    }
}

/// One request a connection: it is for people and scripts, and so a stop never has to wait.
async fn serve(mut connection: Connection, shared: &Shared) {
    let reply = match read(&mut connection).await {
        Ok((request, text)) => {
            let mut reply = answer(shared, &request, &text).await;
            reply.is_to_head = request.method == http::Method::HEAD;
            reply
        }
        Err(Unreadable::Gone) => return,
        Err(Unreadable::Refused(status, why)) => Reply::error(status, why),
    };
    if connection.send(reply, Manner::Whole, Version::closing(), &mut 0).await.is_ok() {
        connection.finish().await;
    }
}

async fn read(connection: &mut Connection) -> Result<(Request, String), Unreadable> {
    let head = connection.read_head().await?;
    let text = connection.read_text(head.framing, TEXT_LIMIT_BYTES).await?;
    Ok((head.request, text))
}

async fn answer(shared: &Shared, request: &Request, text: &str) -> Reply {
    if request.headers.contains_key(header::ORIGIN) {
        return Reply::error(StatusCode::FORBIDDEN, "no page of a browser may do this");
    }
    let path: Vec<_> = request.path.trim_matches('/').split('/').collect();
    match (request.method.as_str(), path.as_slice()) {
        ("GET" | "HEAD", ["oracle"]) => ok(&oracle(shared)),
        ("GET" | "HEAD", ["servers"]) => ok(&servers(shared)),
        ("GET" | "HEAD", ["faults"]) => ok(&faults()),
        ("POST", ["servers", name, "fault"]) => set(shared, name, text).await,
        ("POST", ["reset"]) => {
            let _ = set(shared, "*", Fault::Healthy.word()).await;
            shared.oracle.reset();
            ok(&servers(shared))
        }
        (_, ["oracle" | "servers" | "faults" | "reset"] | ["servers", _, "fault"]) => Reply::error(
            StatusCode::METHOD_NOT_ALLOWED,
            "GET /oracle, /servers, /faults; POST the others",
        ),
        _ => Reply::error(
            StatusCode::NOT_FOUND,
            "GET /oracle, GET /servers, GET /faults, POST /servers/NAME/fault or POST /reset",
        ),
    }
}

async fn set(shared: &Shared, name: &str, text: &str) -> Reply {
    let rule = match text.parse::<Rule>() {
        Ok(rule) => rule,
        Err(error) => return Reply::error(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    if name == "*" {
        shared.set_all(&rule).await;
    } else if let Err(error) = shared.set(name, rule).await {
        return Reply::error(StatusCode::NOT_FOUND, &error.to_string());
    }
    ok(&servers(shared))
}

fn oracle(shared: &Shared) -> Value {
    let snapshot = shared.oracle.snapshot();
    let mut body = json!(snapshot);
    body["duplicates"] = json!(snapshot.duplicates());
    body
}

fn servers(shared: &Shared) -> Value {
    let servers = shared.servers.iter().map(|server| {
        json!({
            "name": server.name(),
            "url": server.url(),
            "fault": server.rule().to_string(),
            "listening": server.is_listening(),
        })
    });
    let names = shared.names.iter().map(|name| {
        json!({
            "name": name.name(),
            "fault": name.rule().to_string(),
            "questions": name.questions(),
        })
    });
    servers.chain(names).collect()
}

fn faults() -> Value {
    let kinds = KINDS.iter().map(|kind| {
        let syntax = format!("{} {}", kind.word, kind.parameters);
        json!({ "fault": syntax.trim(), "meaning": kind.meaning })
    });
    kinds.collect()
}

fn ok(body: &Value) -> Reply {
    Reply::json(StatusCode::OK, body)
}

/// A rule is one line.
const TEXT_LIMIT_BYTES: usize = 4 * 1024;

/// A person, a script, a dashboard.
const CONNECTIONS_LIMIT: usize = 32;

const CONNECTION_FOR: Duration = Duration::from_secs(30);

const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(20);
