//! `Expect: 100-continue`: the body waits until the upstream asks for it (RFC 9110, section 10.1.1).

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;

/// How long a body waits for a 100 before it is sent all the same: servers older than HTTP/1.1 never say it.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// Holds a body back until opened.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    open: bool,
    waker: Option<Waker>,
}

impl Gate {
    /// Lets the body through.
    pub fn open(&self) {
        let waker = {
            let mut state = self.0.lock();
            state.open = true;
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(super) fn poll_open(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        if state.open {
            return Poll::Ready(());
        }
        if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            state.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}
