//! Starts the proxy, changes its settings, ends it.

mod listeners;
mod threads;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mainstay_config::Settings;
use mainstay_config::settings::{
    AccessFormat as ConfiguredFormat, AccessLog, Outbox as OutboxSettings, RecordedCalls, Records,
};
use mainstay_core::Checked;
use mainstay_record::{
    AccessFormat, AccessOptions, LogOptions, RecordCalls, RecordFile, Recorder, RecorderOptions,
    RecordsOptions, WriterSink,
};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::time::timeout;

use crate::error::{ReloadError, StartError};
use crate::export::Exporter;
use crate::forward::TUNNELS_PART_WITHIN;
use crate::generation::Generation;
use crate::heritage::Heritage;
use crate::journal::{Journal, Keeper};
use crate::messages::Messages;
use crate::outbox::{self, Outbox, OutboxError};
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
    /// What the process says about itself, to be changed by the admin address. Default: it can't be.
    pub messages: Option<Arc<dyn Messages>>,
    /// The file that the admin address reads again when told to. Default none.
    pub config: Option<PathBuf>,
    /// How long a connection must be quiet before its buffers are given back. Default 1 s.
    pub park_after: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            recorder: None,
            log: true,
            messages: None,
            config: None,
            park_after: Duration::from_secs(1),
        }
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
            log = Some(LogOptions::new(Arc::new(WriterSink::stdout()?)));
        }
        let recorder = Recorder::with(RecorderOptions { log, ..RecorderOptions::default() });
        recorder.set_log(admin::log::by(settings));
        recorder.keep_records(&records(&settings.records))?;
        Ok(recorder)
    }
}

/// A running proxy. It stops when this is dropped.
#[derive(Debug)]
pub struct Proxy {
    control: Arc<Control>,
    admin: Option<admin::Server>,
    journal: Option<Keeper>,
}

/// What the proxy and its admin address steer.
#[derive(Debug)]
pub(crate) struct Control {
    pub(crate) shared: Arc<Shared>,
    pub(crate) journal: Journal,
    threads: Threads,
    listeners: Mutex<Listeners>,
    exporter: Mutex<Option<Exporter>>,
    messages: Option<Arc<dyn Messages>>,
    file: Option<PathBuf>,
}

impl Proxy {
    /// Binds all addresses, then starts the workers. When this returns, connections are taken in.
    ///
    /// # Errors
    ///
    /// [`StartError`]; nothing runs then.
    pub fn start(settings: Settings, options: Options) -> Result<Self, StartError> {
        Self::succeed(settings, options, Heritage::default())
    }

    /// As [`start`](Self::start), with the sockets that another process listens on, which goes on until it is told that this one is
    /// [ready](Heritage::tell_ready). Addresses that aren't among them are bound. An outbox's file is shared until the other one has
    /// let go of it: writes are stored at once, and delivered from then on.
    ///
    /// # Errors
    ///
    /// [`StartError`]; nothing runs then, and the other process has noticed nothing.
    pub fn succeed(
        settings: Settings,
        options: Options,
        mut heritage: Heritage,
    ) -> Result<Self, StartError> {
        let workers = settings.threads.unwrap_or_else(cores);
        let admin_socket = settings.admin.as_ref();
        let admin_socket =
            admin_socket.map(|admin| admin::bind(admin, &mut heritage)).transpose()?;
        let listeners = Listeners::default();
        let change = listeners.prepare(&settings, workers, &mut heritage)?;
        let recorder = options.recorder(&settings).map_err(StartError::Thread)?;
        let access = access(&settings.access_log);
        let generation = Arc::new(Generation::new(settings, &recorder, None)?);
        // Before workers are made, which take it with them.
        recorder.log_requests(access).map_err(StartError::Thread)?;
        // Another process may be delivering from it.
        let open = if heritage.is_given() { Outbox::inherit } else { Outbox::open };
        let outbox = open_outbox(&generation.settings, open)?;
        let shared = Shared::new(recorder, Arc::clone(&generation), options.park_after);
        set_incidents(&shared, &generation.settings);
        if let Some(outbox) = &outbox {
            make_known(&shared, outbox);
        }
        let exporter = Exporter::start(&generation.settings, &shared);
        let exporter = exporter.map_err(StartError::Export)?;
        let threads = Threads::start(&shared, workers).map_err(StartError::Thread)?;
        threads.watch(&generation.services);
        let control = Arc::new(Control {
            shared,
            journal: Journal::new(),
            threads,
            listeners: Mutex::new(listeners),
            exporter: Mutex::new(exporter),
            messages: options.messages,
            file: options.config,
        });
        let admin = admin_socket
            .map(|socket| admin::Server::start(socket, Arc::clone(&control)))
            .transpose()
            .map_err(StartError::Thread)?;
        let journal = Keeper::start(&control).map_err(StartError::Thread)?;
        let proxy = Self { control, admin, journal: Some(journal) };
        // Last: where anything else fails, nothing is delivered.
        if let Some(outbox) = outbox {
            outbox.start(&proxy.control.shared)?;
        }
        // And nothing is accepted, which at inherited sockets would be taken from the other process. This doesn't fail.
        proxy.control.listeners.lock().apply(change, &proxy.control.threads);
        Ok(proxy)
    }

    /// Where applications connect, in the order of the settings.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.control.listeners.lock().addresses()
    }

    /// The sockets that applications and the admin's visitors connect to, for a successor.
    ///
    /// # Errors
    ///
    /// There are no descriptors to spare.
    pub fn heritage(&self) -> io::Result<Heritage> {
        let mut heritage = Heritage::default();
        self.control.listeners.lock().bequeath(&mut heritage)?;
        let current = self.control.shared.current();
        if let (Some(server), Some(admin)) = (&self.admin, &current.settings.admin) {
            heritage.add_admin(admin.address, server.socket()?);
        }
        Ok(heritage)
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
        self.empty(limit, Duration::ZERO).await
    }

    /// [Drains](Self::drain) for a successor that takes everything in now, the admin address too. Since nobody waits for this, connections that
    /// are quiet are told to close by their next answer, and are closed without one only after some seconds.
    pub async fn retire(&mut self, limit: Duration) -> usize {
        self.control.shared.set_succeeded();
        let admin = self.admin.take();
        let left =
            tokio::task::spawn_blocking(|| admin.map(|admin| admin.leave(ADMIN_LEAVES_WITHIN)));
        let (cut, left) = tokio::join!(self.empty(limit, QUIET_FOR.min(limit / 2)), left);
        if let Err(error) = left {
            tracing::error!(%error, "the admin address");
        }
        cut
    }

    async fn empty(&self, limit: Duration, quiet_for: Duration) -> usize {
        let control = &self.control;
        control.shared.set_draining();
        control.threads.tell_all(|| Command::Drain(quiet_for));
        control.listeners.lock().close();
        control.shared.current().client.close_streams();
        // Calls of stored writes come to their end beside those of applications.
        let outbox = control.shared.outbox.get();
        if let Some(outbox) = outbox {
            outbox.drain();
        }
        let left = async {
            if let Some(outbox) = outbox {
                outbox.drained().await;
                outbox.untried().await;
                // A successor needn't wait for the last download here.
                outbox.store().hand_over();
            }
        };
        let emptied = async { tokio::join!(control.shared.emptied(), left) };
        match timeout(limit, emptied).await {
            Ok(_) => 0,
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
        drop(self.journal.take());
        self.control.threads.stop();
        if let Some(outbox) = self.control.shared.outbox.get() {
            outbox.stop();
        }
        // Last, so that it tells of calls that were cut.
        if let Some(exporter) = self.control.exporter.lock().take() {
            exporter.stop();
        }
    }
}

impl Control {
    /// Whether requests are taken in at its addresses.
    pub(crate) fn is_ready(&self) -> bool {
        self.shared.is_ready()
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
        let nothing = &mut Heritage::default();
        let change = listeners.prepare(&settings, self.threads.count(), nothing)?;
        let next = Generation::new(settings, &self.shared.recorder, Some(&current))?;
        let outbox = match self.shared.outbox.get() {
            Some(_) => None,
            None => open_outbox(&next.settings, Outbox::open)?,
        };
        self.export_by(&next.settings)?;
        let records = records(&next.settings.records);
        let recorder = &self.shared.recorder;
        recorder.keep_records(&records).map_err(StartError::Thread)?;
        recorder.log_requests(access(&next.settings.access_log)).map_err(StartError::Thread)?;
        // What a person has changed meanwhile stays, unless the file says something new.
        if admin::log::by(&next.settings) != admin::log::by(&current.settings) {
            recorder.set_log(admin::log::by(&next.settings));
        }
        let next = Arc::new(next);
        if let Some(outbox) = &outbox {
            make_known(&self.shared, outbox);
        }
        set_incidents(&self.shared, &next.settings);
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

    /// What the process says about itself.
    pub(crate) const fn messages(&self) -> Option<&Arc<dyn Messages>> {
        self.messages.as_ref()
    }

    /// How the exports fare, of spans and of metrics; nothing for what isn't exported.
    pub(crate) fn export_status(&self) -> (Value, Value) {
        let exporter = self.exporter.lock();
        exporter.as_ref().map_or((Value::Null, Value::Null), |exporter| {
            (exporter.traces_status(), exporter.metrics_status())
        })
    }

    /// Exports by these settings from now on. What waits goes by them too.
    fn export_by(&self, settings: &Settings) -> Result<(), StartError> {
        let mut exporter = self.exporter.lock();
        if exporter.as_ref().is_some_and(|exporter| exporter.is_by(settings)) {
            return Ok(());
        }
        *exporter = Exporter::start(settings, &self.shared).map_err(StartError::Export)?;
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
fn open_outbox(
    settings: &Settings,
    open: fn(&OutboxSettings) -> Result<Arc<Outbox>, OutboxError>,
) -> Result<Option<Arc<Outbox>>, StartError> {
    let is_wanted = outbox::is_wanted(settings);
    Ok(is_wanted.then(|| open(&settings.outbox)).transpose()?)
}

/// Makes an outbox known. It delivers when it is started.
fn make_known(shared: &Shared, outbox: &Arc<Outbox>) {
    // Set once: reloads are made one after the other.
    let _ = shared.outbox.set(Arc::clone(outbox));
}

/// The recorder's words for what the settings say of the access log.
fn access(settings: &AccessLog) -> Option<AccessOptions> {
    let file = settings.file.clone()?;
    let is_stdout = file.as_os_str() == "-";
    let file = (!is_stdout).then(|| RecordFile {
        path: file,
        size_bytes: settings.file_bytes,
        files: settings.files,
        calls: RecordCalls::default(),
    });
    let format = match settings.format {
        ConfiguredFormat::Combined => AccessFormat::Combined,
        ConfiguredFormat::Json => AccessFormat::Json,
    };
    Some(AccessOptions { file, format, headers: settings.headers })
}

/// When incidents begin and end, from now on.
fn set_incidents(shared: &Shared, settings: &Settings) {
    match Checked::new(settings.incidents.rules()) {
        Ok(rules) => {
            shared.recorder.set_incidents(rules, settings.incidents.webhook.is_some());
        }
        // The file's own bounds are the same; settings that a program made may be others.
        Err(problems) => tracing::error!(?problems, "the settings of incidents aren't used"),
    }
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

/// Answers of the admin address take milliseconds; its streams never end.
const ADMIN_LEAVES_WITHIN: Duration = Duration::from_secs(1);

/// How long a connection may be quiet before it is closed without an answer that says so. Applications that make a call every few seconds
/// are told by an answer.
const QUIET_FOR: Duration = Duration::from_secs(5);

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
