//! The demo's traffic: mostly reads, some writes, at a steady rate.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use http::Method;
use mainstay_lab::load::{CallResult, Load, Summary};

/// How much of it.
#[derive(Clone, Copy)]
pub(super) struct Traffic {
    pub(super) rate: f64,
    pub(super) lasting: Duration,
}

/// What one side saw: each call's result.
#[derive(Default)]
pub(super) struct Side(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    counts: Counts,
    results: Vec<CallResult>,
}

/// Calls so far.
#[derive(Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) calls: u64,
    pub(super) good: u64,
}

impl Counts {
    pub(super) const fn bad(&self) -> u64 {
        self.calls - self.good
    }
}

impl Traffic {
    /// Runs it to its end.
    pub(super) async fn run(self, to: Vec<SocketAddr>, side: &Side) -> Summary {
        let Some(&first) = to.first() else { return Summary::default() };
        let count = (self.rate * self.lasting.as_secs_f64()) as usize;
        let mut load = Load::gets(first, count, self.rate);
        load.to = to;
        load.path = "/things".into();
        load.methods = vec![Method::GET, Method::GET, Method::POST, Method::GET, Method::GET];
        load.body = bytes_of_a_write();
        load.timeout = Duration::from_secs(10);
        load.id_prefix = "demo".into();
        load.run(|result| side.add(result)).await
    }
}

fn bytes_of_a_write() -> bytes::Bytes {
    bytes::Bytes::from_static(b"{\"amount\": 1}")
}

impl Side {
    fn add(&self, result: &CallResult) {
        let mut seen = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        seen.counts.calls += 1;
        seen.counts.good += u64::from(result.ended.is_good());
        seen.results.push(result.clone());
    }

    pub(super) fn counts(&self) -> Counts {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).counts
    }

    /// Reads the results.
    pub(super) fn read<T>(&self, read: impl FnOnce(&[CallResult]) -> T) -> T {
        read(&self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).results)
    }
}
