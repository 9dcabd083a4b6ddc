//! A request's line in the access log, written when its answer has been sent or nobody waits for it any more.

use std::cell::RefCell;
use std::sync::Arc;

use http::request::Parts;
use http::{HeaderName, HeaderValue, Response, header};
use mainstay::Clock;
use mainstay_core::Timestamp;
use mainstay_record::{AccessAnswer, AccessFormat, AccessLine, AccessLog, AccessRequest};

use super::answer::{ATTEMPTS, CALL_ID};
use crate::connection::Link;

/// The access log as one worker has it: what each request counts up and down is the worker's own.
#[derive(Debug)]
pub(crate) struct Access(Arc<AccessLog>);

/// A request that is being answered. Its line is written when this is dropped.
#[derive(Debug)]
pub(super) struct Line {
    access: Arc<Access>,
    began: Timestamp,
    answer: AccessAnswer,
    text: AccessLine,
}

impl Access {
    pub(crate) fn new(log: Arc<AccessLog>) -> Arc<Self> {
        Arc::new(Self(log))
    }
}

impl Line {
    /// Begins with a request's head.
    pub(super) fn of(access: &Arc<Access>, link: &Link, head: &Parts) -> Box<Self> {
        let field = |name| head.headers.get(name).map(HeaderValue::as_bytes);
        let headers = access.0.options().headers;
        let began = Clock::now();
        let mut text = room();
        let request = AccessRequest {
            client: link.peer(),
            secure: link.is_secure(),
            method: head.method.as_str(),
            path: head.uri.path(),
            version: head.version,
            began_unix_ms: Clock::unix_millis_at(began),
            referer: headers.then(|| field(header::REFERER)).flatten(),
            agent: headers.then(|| field(header::USER_AGENT)).flatten(),
        };
        access.0.begin(&mut text, &request);
        let answer = AccessAnswer { status: CLIENT_LEFT, ..AccessAnswer::default() };
        Box::new(Self { access: Arc::clone(access), began, answer, text })
    }

    /// The answer is known.
    pub(super) fn answered<B>(&mut self, response: &Response<B>) {
        self.answer.status = response.status().as_u16();
        if self.access.0.options().format == AccessFormat::Json {
            let text = |name: HeaderName| response.headers().get(name)?.to_str().ok();
            self.answer.call = text(CALL_ID).and_then(|call| call.parse().ok());
            self.answer.attempts = text(ATTEMPTS).and_then(|attempts| attempts.parse().ok());
        }
    }

    /// So many bytes of its body were handed on.
    pub(super) const fn sent(&mut self, bytes: usize) {
        self.answer.bytes += bytes as u64;
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // Only there it is told, and a look at the clock is a tenth of what a line costs.
        if self.access.0.options().format == AccessFormat::Json {
            self.answer.took = Clock::now().since(self.began);
        }
        self.access.0.end(&self.text, &self.answer);
        give_back(std::mem::take(&mut self.text));
    }
}

thread_local! {
    /// Room of lines that were written, for those that come.
    static ROOMS: RefCell<Vec<AccessLine>> = const { RefCell::new(Vec::new()) };
}

fn room() -> AccessLine {
    ROOMS.with_borrow_mut(Vec::pop).unwrap_or_default()
}

fn give_back(line: AccessLine) {
    // At the thread's end there may be none any more, and nobody needs it.
    let _ended = ROOMS.try_with(|rooms| {
        let mut rooms = rooms.borrow_mut();
        if rooms.len() < MOST_ROOMS && line.room() <= MOST_ROOM_BYTES {
            rooms.push(line);
        }
    });
}

/// As many as requests are going on at once on a busy worker.
const MOST_ROOMS: usize = 64;

/// Nearly all lines are shorter. With all of them at this, a worker holds 64 KiB.
const MOST_ROOM_BYTES: usize = 1024;

/// What nginx logs where the client left before there was an answer.
const CLIENT_LEFT: u16 = 499;
