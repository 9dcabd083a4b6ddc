//! What keeps time for what is looked at: the history of the last hour, incidents, and the state as it is shown live.
//!
//! A thread of its own looks at all upstreams once a second, whether or not anybody watches: calls know nothing of it. While
//! somebody does, what has changed since the second before is written down once, for all readers; the rest of the
//! time nothing is.
//!
//! ```text
//!   each second ─▶ look at upstreams ─▶ history, incidents                    always
//!                        └────────────▶ what changed ─▶ readers of `/live`    while there are any
//!   four times a second ─▶ sample of broken calls ────▶                       while there are any
//! ```

mod json;
mod look;
mod state;
mod webhook;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use mainstay::Clock;
use parking_lot::Mutex;
use serde_json::json;
use tokio::runtime;
use tokio::sync::{Notify, broadcast, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::proxy::Control;
use look::Look;
use state::Shown;
pub(crate) use state::outbox;

/// What readers share.
#[derive(Debug)]
pub(crate) struct Journal {
    /// This process: what has its number from another isn't continued.
    boot: String,
    started_unix_ms: u64,
    readers: AtomicUsize,
    frames: broadcast::Sender<Frame>,
    /// A first reader has come.
    wake: Notify,
    shown: Mutex<Shown>,
}

/// What all readers get.
#[derive(Clone, Debug)]
pub(crate) enum Frame {
    /// What changed in the last second.
    State(Bytes),
    /// Broken calls.
    Calls(Bytes),
    /// There are changes of state, or incidents have changed: each reader asks for those that it hasn't had.
    News,
}

/// One who watches, until dropped.
#[derive(Debug)]
pub(crate) struct Watcher {
    control: Arc<Control>,
    pub(crate) frames: broadcast::Receiver<Frame>,
}

impl Watcher {
    pub(crate) fn new(control: &Arc<Control>) -> Self {
        let journal = &control.journal;
        let frames = journal.frames.subscribe();
        let before = journal.readers.fetch_add(1, SeqCst);
        control.shared.recorder.watch_calls(before + 1);
        if before == 0 {
            journal.wake.notify_one();
        }
        Self { control: Arc::clone(control), frames }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let before = self.control.journal.readers.fetch_sub(1, SeqCst);
        self.control.shared.recorder.watch_calls(before.saturating_sub(1));
    }
}

impl Journal {
    pub(crate) fn new() -> Self {
        let now = Clock::unix_millis();
        Self {
            boot: format!("{now:x}"),
            started_unix_ms: now,
            readers: AtomicUsize::new(0),
            frames: broadcast::Sender::new(FRAMES),
            wake: Notify::new(),
            shown: Mutex::default(),
        }
    }

    /// Names this process.
    pub(crate) fn boot(&self) -> &str {
        &self.boot
    }

    /// When the process began, in milliseconds since 1970.
    pub(crate) const fn started_unix_ms(&self) -> u64 {
        self.started_unix_ms
    }

    fn has_readers(&self) -> bool {
        self.readers.load(SeqCst) > 0
    }
}

/// Everything there is to show now, for one who has just come.
pub(crate) fn whole(control: &Control, outbox: &serde_json::Value) -> Bytes {
    let mut shown = control.journal.shown.lock();
    let look = Look::at(control);
    shown.whole(control, &look, outbox)
}

/// Keeps time, until this is dropped.
#[derive(Debug)]
pub(crate) struct Keeper {
    stop: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<()>>,
}

impl Keeper {
    pub(crate) fn start(control: &Arc<Control>) -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let control = Arc::clone(control);
        let running = thread::Builder::new().name("mainstay-journal".into()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = keep(&control) => {}
                    // Told, or the proxy is gone.
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Self { stop: Some(stop), running: Some(running) })
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.stop.take());
        if self.running.take().is_some_and(|running| running.join().is_err()) {
            tracing::error!("the journal's thread panicked");
        }
    }
}

async fn keep(control: &Arc<Control>) {
    let mut seconds = interval(SECOND);
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = 0;
    let hook = webhook::start(control);
    loop {
        tokio::select! {
            _ = seconds.tick() => {
                second(control).await;
                for turn in control.shared.recorder.take_incident_turns() {
                    if hook.try_send(turn).is_err() {
                        tracing::error!("the webhook is too slow: an incident isn't told");
                    }
                }
            }
            () = quarter(control) => told = tell(control, told),
        }
    }
}

/// Waits for the next quarter of a second if anybody watches, else for the first who does.
async fn quarter(control: &Control) {
    if !control.journal.has_readers() {
        control.journal.wake.notified().await;
    }
    sleep_until(Instant::now() + QUARTER).await;
}

/// Looks at everything; writes down what changed if anybody wants to know.
async fn second(control: &Arc<Control>) {
    let wanted = control.journal.has_readers();
    let outbox = if wanted { outbox(control).await } else { serde_json::Value::Null };
    let mut shown = control.journal.shown.lock();
    let look = Look::at(control);
    look.note(control, wanted);
    if wanted {
        let changed = shown.changed(control, &look, &outbox);
        drop(shown);
        send(control, Frame::State(changed));
    } else {
        shown.forget(&look);
    }
}

/// Tells of broken calls and of changes. Gives the number of the last change that it told of.
fn tell(control: &Control, told: u64) -> u64 {
    let recorder = &control.shared.recorder;
    let (calls, left_out) = recorder.take_calls();
    if !calls.is_empty() || left_out > 0 {
        let text = json!({ "v": 1, "left_out": left_out, "calls": calls }).to_string();
        send(control, Frame::Calls(text.into()));
    }
    let last = recorder.last_change();
    if last > told {
        send(control, Frame::News);
    }
    last
}

fn send(control: &Control, frame: Frame) {
    // Fails only when the last reader has just left.
    let _ = control.journal.frames.send(frame);
}

const SECOND: Duration = Duration::from_secs(1);

const QUARTER: Duration = Duration::from_millis(250);

/// Frames that a reader may be behind: some ten seconds. Behind that it is told, and gets everything anew.
const FRAMES: usize = 64;
