//! Starts the proxy, changes its settings, ends it.

mod listeners;
mod threads;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mainstay_config::Settings;
use mainstay_config::settings::{RecordedCalls, Records};
use mainstay_record::{
    LogCalls, LogOptions, RecordCalls, RecordFile, Recorder, RecorderOptions, RecordsOptions,
    WriterSink,
};
use parking_lot::Mutex;
use tokio::time::timeout;

use crate::error::{ReloadError, StartError};
use crate::forward::TUNNELS_PART_WITHIN;
use crate::generation::Generation;
use crate::outbox::{self, Outbox};
use crate::shared::Shared;
use crate::worker::Command;
use crate::{admin, listen};
use listeners::Listeners;
use threads::Threads;

/// What isn't in the settings.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where everything that happens is recorded. Default: a recorder of the proxy's own.
    pub recorder: Option<Arc<Recorder>>,
    /// Whether the proxy's own recorder writes a log, to the standard output. Default true.
    pub log: bool,
    /// The file that the admin address reads again when told to. Default none.
    pub config: Option<PathBuf>,
    /// How long a connection must be quiet before its buffers are given back. Default 1 s.
    pub park_after: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { recorder: None, log: true, config: None, park_after: Duration::from_secs(1) }
    }
}

impl Options {
    /// Without a log: for tests, and for programs with a terminal to themselves.
    #[must_use]
    pub fn quiet() -> Self {
        Self { log: false, ..Self::default() }
    }

    fn recorder(&self, settings: &Settings) -> io::Result<Arc<Recorder>> {
        if let Some(recorder) = &self.recorder {
            return Ok(Arc::clone(recorder));
        }
        let mut log = None;
        if self.log {
            let calls = if settings.log_calls { LogCalls::Every } else { LogCalls::Broken };
            log = Some(LogOptions { calls, ..LogOptions::new(Arc::new(WriterSink::stdout()?)) });
        }
        let recorder = Recorder::with(RecorderOptions { log, ..RecorderOptions::default() });
        recorder.keep_records(&records(&settings.records))?;
        Ok(recorder)
    }
}

/// A running proxy. It stops when this is dropped.
#[derive(Debug)]
pub struct Proxy {
    control: Arc<Control>,
    admin: Option<admin::Server>,
}

/// What the proxy and its admin address steer.
#[derive(Debug)]
pub(crate) struct Control {
    pub(crate) shared: Arc<Shared>,
    threads: Threads,
    listeners: Mutex<Listeners>,
    file: Option<PathBuf>,
}

impl Proxy {
    /// Binds all addresses, then starts the workers. When this returns, connections are taken in.
    ///
    /// # Errors
    ///
    /// [`StartError`]; nothing runs then.
    pub fn start(settings: Settings, options: Options) -> Result<Self, StartError> {
        let workers = settings.threads.unwrap_or_else(cores);
        let admin_socket = settings.admin.as_ref().map(admin::bind).transpose()?;
        let mut listeners = Listeners::default();
        let change = listeners.prepare(&settings, workers)?;
        let recorder = options.recorder(&settings).map_err(StartError::Thread)?;
        let generation = Arc::new(Generation::new(settings, &recorder, None)?);
        let outbox = open_outbox(&generation.settings)?;
        let shared = Shared::new(recorder, Arc::clone(&generation), options.park_after);
        if let Some(outbox) = &outbox {
            make_known(&shared, outbox);
        }
        let threads = Threads::start(&shared, workers).map_err(StartError::Thread)?;
        listeners.apply(change, &threads);
        threads.watch(&generation.services);
        let control = Arc::new(Control {
            shared,
            threads,
            listeners: Mutex::new(listeners),
            file: options.config,
        });
        let admin = admin_socket
            .map(|socket| admin::Server::start(socket, Arc::clone(&control)))
            .transpose()
            .map_err(StartError::Thread)?;
        let proxy = Self { control, admin };
        // Last: where anything else fails, nothing is delivered.
        if let Some(outbox) = outbox {
            outbox.start(&proxy.control.shared)?;
        }
        Ok(proxy)
    }

    /// Where applications connect, in the order of the settings.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.control.listeners.lock().addresses()
    }

    /// The admin address, if there is one.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(admin::Server::address)
    }

    /// Where everything that happens is recorded.
    #[must_use]
    pub fn recorder(&self) -> &Arc<Recorder> {
        &self.control.shared.recorder
    }

    /// Connections of applications that are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.control.shared.connections()
    }

    /// Connections among them that are quiet and have given their buffers back.
    #[must_use]
    pub fn parked(&self) -> usize {
        self.control.parked()
    }

    /// Changes to other settings. Calls in progress keep theirs; endpoints that remain keep their state.
    ///
    /// # Errors
    ///
    /// [`ReloadError`]; then nothing has changed.
    pub fn reload(&self, settings: Settings) -> Result<(), ReloadError> {
        self.control.reload(settings)
    }

    /// Reads a file and changes to its settings.
    ///
    /// # Errors
    ///
    /// [`ReloadError`], with everything that is wrong with the file; then nothing has changed.
    pub fn reload_from(&self, path: impl AsRef<Path>) -> Result<(), ReloadError> {
        self.control.reload_from(path.as_ref())
    }

    /// Takes nothing new and waits for calls to finish, for so long at most. Connections are told to close as they
    /// finish; the admin address says that the proxy isn't ready. Tunnels that are left then are told to end. Gives the number of calls that weren't over in
    /// time, and are cut when the proxy stops.
    pub async fn drain(&self, limit: Duration) -> usize {
        let control = &self.control;
        control.shared.set_draining();
        control.threads.tell_all(|| Command::Drain);
        control.shared.current().client.close_streams();
        // Calls of stored writes come to their end beside those of applications.
        let outbox = control.shared.outbox.get();
        if let Some(outbox) = outbox {
            outbox.drain();
        }
        let emptied = async {
            control.shared.emptied().await;
            if let Some(outbox) = outbox {
                outbox.drained().await;
            }
        };
        match timeout(limit, emptied).await {
            Ok(()) => 0,
            Err(_) => {
                // Tunnels have no end of their own to be waited for, but they can be told.
                if timeout(TUNNELS_PART_WITHIN, control.shared.part()).await.is_err() {
                    tracing::debug!("some tunnels didn't end in time");
                }
                control.threads.calls()
            }
        }
    }

    /// Stops at once. What is going on is cut; drain first.
    pub fn shutdown(self) {
        // Dropping does it.
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.admin.take());
        self.control.threads.stop();
        if let Some(outbox) = self.control.shared.outbox.get() {
            outbox.stop();
        }
    }
}

impl Control {
    /// Whether it takes requests.
    pub(crate) fn is_ready(&self) -> bool {
        !self.shared.is_draining()
    }

    /// Calls going on.
    pub(crate) fn calls(&self) -> usize {
        self.threads.calls()
    }

    /// Connections that are quiet and have given their buffers back.
    pub(crate) fn parked(&self) -> usize {
        self.threads.parked()
    }

    pub(crate) fn reload(&self, settings: Settings) -> Result<(), ReloadError> {
        // Held to the end: one reload after the other.
        let mut listeners = self.listeners.lock();
        if self.shared.is_draining() {
            return Err(ReloadError::Stopping);
        }
        let current = self.shared.current();
        let address = |settings: &Settings| settings.admin.as_ref().map(|admin| admin.address);
        if address(&settings) != address(&current.settings) {
            return Err(ReloadError::NeedsRestart("admin.address"));
        }
        if let Some(admin) = &settings.admin {
            admin::check(admin)?;
        }
        if settings.threads != current.settings.threads {
            return Err(ReloadError::NeedsRestart("threads"));
        }
        if let Some(outbox) = self.shared.outbox.get()
            && !outbox::is_same_store(outbox.settings(), &settings.outbox)
        {
            return Err(ReloadError::NeedsRestart("[outbox]"));
        }
        let change = listeners.prepare(&settings, self.threads.count())?;
        let next = Generation::new(settings, &self.shared.recorder, Some(&current))?;
        let outbox = match self.shared.outbox.get() {
            Some(_) => None,
            None => open_outbox(&next.settings)?,
        };
        let records = records(&next.settings.records);
        self.shared.recorder.keep_records(&records).map_err(StartError::Thread)?;
        let next = Arc::new(next);
        if let Some(outbox) = &outbox {
            make_known(&self.shared, outbox);
        }
        self.shared.swap(Arc::clone(&next));
        if let Some(outbox) = outbox {
            outbox.start(&self.shared).map_err(StartError::Outbox)?;
        }
        // Nobody can come back to streams that another client keeps.
        if !next.client.keeps_the_streams_of(&current.client) {
            current.client.close_streams();
        }
        listeners.apply(change, &self.threads);
        self.threads.watch(&next.services);
        tracing::info!(generation = next.number, "the new settings are in use");
        Ok(())
    }

    pub(crate) fn reload_from_file(&self) -> Result<(), ReloadError> {
        self.reload_from(self.file.as_deref().ok_or(ReloadError::NoFile)?)
    }

    fn reload_from(&self, path: &Path) -> Result<(), ReloadError> {
        let reloaded = mainstay_config::load(path)
            .map_err(ReloadError::File)
            .and_then(|loaded| self.reload(loaded.settings));
        if let Err(error) = &reloaded {
            tracing::error!(
                "{} isn't taken, the settings stay as they are:\n{error}",
                path.display()
            );
        }
        reloaded
    }
}

/// The outbox, if a route wants one.
fn open_outbox(settings: &Settings) -> Result<Option<Arc<Outbox>>, StartError> {
    let is_wanted = outbox::is_wanted(settings);
    Ok(is_wanted.then(|| Outbox::open(&settings.outbox)).transpose()?)
}

/// Makes an outbox known. It delivers when it is started.
fn make_known(shared: &Shared, outbox: &Arc<Outbox>) {
    // Set once: reloads are made one after the other.
    let _ = shared.outbox.set(Arc::clone(outbox));
}

/// The recorder's words for what the settings say of records.
fn records(settings: &Records) -> RecordsOptions {
    let calls = match settings.calls {
        RecordedCalls::Broken => RecordCalls::Broken,
        RecordedCalls::Failed => RecordCalls::Failed,
    };
    RecordsOptions {
        memory: settings.memory,
        file: settings.file.clone().map(|path| RecordFile {
            path,
            size_bytes: settings.file_bytes,
            files: settings.files,
            calls,
        }),
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
