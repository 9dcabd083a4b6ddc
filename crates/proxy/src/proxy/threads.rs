//! The workers' threads.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::{self, JoinHandle};

use mainstay::Service;
use parking_lot::Mutex;
use tokio::runtime;
use tokio::sync::mpsc;

use crate::shared::Shared;
use crate::worker::{Command, Worker};

/// All workers.
#[derive(Debug)]
pub(super) struct Threads(Vec<Thread>);

#[derive(Debug)]
struct Thread {
    worker: Arc<Worker>,
    commands: mpsc::UnboundedSender<Command>,
    running: Mutex<Option<JoinHandle<()>>>,
}

impl Threads {
    /// Starts `count` workers, with nothing to accept yet.
    pub(super) fn start(shared: &Arc<Shared>, count: usize) -> io::Result<Self> {
        let mut threads = Self(Vec::with_capacity(count));
        for place in 0..count.max(1) {
            match Thread::start(shared, place) {
                Ok(thread) => threads.0.push(thread),
                Err(error) => {
                    threads.stop();
                    return Err(error);
                }
            }
        }
        Ok(threads)
    }

    pub(super) const fn count(&self) -> usize {
        self.0.len()
    }

    /// Calls going on.
    pub(super) fn calls(&self) -> usize {
        self.0.iter().map(|thread| thread.worker.calls().load(Relaxed)).sum()
    }

    /// Connections that are parked.
    pub(super) fn parked(&self) -> usize {
        self.0.iter().map(|thread| thread.worker.parked().load(Relaxed)).sum()
    }

    /// Watches over these services, and over no others. Each is watched by one worker.
    pub(super) fn watch(&self, services: &[Arc<Service>]) {
        for (place, thread) in self.0.iter().enumerate() {
            let mine = services.iter().skip(place).step_by(self.0.len()).cloned().collect();
            thread.tell(Command::Watch(mine));
        }
    }

    /// Tells each worker the next of `commands`, and begins again with the first where there are more of them.
    pub(super) fn tell_each(&self, commands: impl IntoIterator<Item = Command>) {
        for (thread, command) in self.0.iter().cycle().zip(commands) {
            thread.tell(command);
        }
    }

    pub(super) fn tell_all(&self, command: impl Fn() -> Command) {
        self.0.iter().for_each(|thread| thread.tell(command()));
    }

    /// Stops all of them and waits until they have.
    pub(super) fn stop(&self) {
        self.tell_all(|| Command::Stop);
        for thread in &self.0 {
            if let Some(running) = thread.running.lock().take()
                && running.join().is_err()
            {
                tracing::error!("a worker panicked");
            }
        }
    }
}

impl Thread {
    fn start(shared: &Arc<Shared>, place: usize) -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let worker = Worker::new(Arc::clone(shared));
        let (commands, told) = mpsc::unbounded_channel();
        let run = Arc::clone(&worker).run(told);
        let running = thread::Builder::new()
            .name(format!("mainstay-{place}"))
            .spawn(move || runtime.block_on(run))?;
        Ok(Self { worker, commands, running: Mutex::new(Some(running)) })
    }

    fn tell(&self, command: Command) {
        // A worker that has stopped needs to be told nothing.
        if self.commands.send(command).is_err() {
            tracing::trace!("a worker has stopped");
        }
    }
}
