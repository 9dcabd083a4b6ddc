//! Open-loop traffic: calls start when their time has come, whatever became of the earlier ones.
//!
//! A closed loop (the next call when the last one is over) slows down just when the server does, and so hides what
//! its users would have seen. Here the times of all calls are fixed beforehand, each call has a connection to itself while it
//! lasts, and what it took is counted from when it should have started.
//!
//! The client is as plain as an application's: kept connections, one timeout, no retry of any kind. What it does
//! about breaks is nothing, so that what is measured is the other side.

mod call;
mod content;
mod events;
mod summary;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

pub use call::{CallResult, Ended};
pub use events::Events;
pub use summary::{Percentiles, Summary};

use call::Connections;

/// What kind of calls, how many, how fast.
#[derive(Clone, Debug)]
pub struct Load {
    /// Where they go; with several addresses, to one after the other.
    pub to: Vec<SocketAddr>,
    /// How many calls. At most [`CALLS_LIMIT`].
    pub count: usize,
    /// Calls a second.
    pub rate: f64,
    /// Methods, used one after the other.
    pub methods: Vec<Method>,
    /// Path and query.
    pub path: String,
    /// Body of the requests that have one (POST, PUT, PATCH).
    pub body: bytes::Bytes,
    /// Fields that each request carries.
    pub headers: Vec<(http::HeaderName, http::HeaderValue)>,
    /// How long an application waits for a whole answer.
    pub timeout: Duration,
    /// Put before each request's id.
    pub id_prefix: String,
    /// Whether HTTP/2 is spoken, in the clear by prior knowledge, all calls over one connection.
    pub http2: bool,
}

/// Most calls of one load: their results are kept in memory.
pub const CALLS_LIMIT: usize = 1_000_000;

impl Load {
    /// `count` GETs of `/`, at `rate` calls a second.
    #[must_use]
    pub fn gets(to: SocketAddr, count: usize, rate: f64) -> Self {
        Self {
            to: vec![to],
            count,
            rate,
            methods: vec![Method::GET],
            path: "/".into(),
            body: bytes::Bytes::new(),
            headers: Vec::new(),
            timeout: Duration::from_secs(60),
            id_prefix: "load".into(),
            http2: false,
        }
    }

    /// Runs it to its end, telling each result as it comes.
    ///
    /// The order of results is the order in which the calls ended. Bounded by `count / rate` + `timeout`.
    pub async fn run(self, mut each: impl FnMut(&CallResult)) -> Summary {
        let count = self.count.min(CALLS_LIMIT);
        let gap = Duration::from_secs_f64(1.0 / self.rate.clamp(0.001, 1_000_000.0));
        // As many results as calls can ever wait here, so no sender waits.
        let (results, mut ended) = mpsc::channel(count.max(1));
        let begun = Instant::now();
        let starter = tokio::spawn(start_calls(Arc::new(self), count, gap, begun, results));
        let mut summary = Summary::default();
        while let Some(result) = ended.recv().await {
            summary.add(&result);
            each(&result);
        }
        starter.abort();
        summary
    }
}

async fn start_calls(
    load: Arc<Load>,
    count: usize,
    gap: Duration,
    begun: Instant,
    results: mpsc::Sender<CallResult>,
) {
    let connections = Arc::new(Connections::new(load.to.len()));
    for number in 0..count {
        let due = begun + gap.saturating_mul(u32::try_from(number).unwrap_or(u32::MAX));
        sleep_until(due).await;
        let (load, connections, results) =
            (Arc::clone(&load), Arc::clone(&connections), results.clone());
        tokio::spawn(async move {
            let result = call::make(&load, number, due, &connections).await;
            // Nobody listens any more: the load was given up.
            let _ = results.send(CallResult { due_after: due - begun, ..result }).await;
        });
    }
}
