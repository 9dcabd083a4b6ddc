//! `Expect: 100-continue`: the body waits until the upstream asks for it (RFC 9110, section 10.1.1).

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;

/// How long a body waits for a 100, at most, before it is sent all the same: servers older than HTTP/1.1 never say it.
const LONGEST: Duration = Duration::from_secs(1);

/// Holds a body back until opened, or until its patience is over.
#[derive(Clone, Debug)]
pub struct Gate {
    state: Arc<Mutex<State>>,
    patience: Duration,
}

#[derive(Debug, Default)]
struct State {
    open: bool,
    waker: Option<Waker>,
}

impl Default for Gate {
    fn default() -> Self {
        Self { state: Arc::default(), patience: LONGEST }
    }
}

impl Gate {
    /// For an attempt that may take so long: at most a quarter of it is waited, or the wait would use the attempt up.
    #[must_use]
    pub fn within(attempt_timeout: Duration) -> Self {
        Self { patience: LONGEST.min(attempt_timeout / 4), ..Self::default() }
    }

    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    /// Lets the body through.
    pub fn open(&self) {
        let waker = {
            let mut state = self.state.lock();
            state.open = true;
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(super) fn poll_open(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        if state.open {
            return Poll::Ready(());
        }
        if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            state.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}
