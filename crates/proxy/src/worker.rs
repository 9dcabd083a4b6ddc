//! One thread per core, each with a runtime, listening sockets and connections of its own.
//!
//! Nothing moves between workers: the kernel shares out connections as they come, and a connection's whole life,
//! calls included, is on the worker that accepted it. What a request needs of the current generation is compiled
//! per worker ([`Local`]), so that not even a reference count is shared.

use std::collections::HashMap;
use std::net::TcpListener as StdListener;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use mainstay::{Client, Service};
use mainstay_config::settings::Limits;
use parking_lot::Mutex;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::connection::{self, Link, Order, Rhythm};
use crate::forward::Access;
use crate::outbox::Outbox;
use crate::route::Table;
use crate::shared::{Accepting, Shared};

/// A worker's state.
#[derive(Debug)]
pub(crate) struct Worker {
    shared: Arc<Shared>,
    local: Mutex<Arc<Local>>,
    links: Mutex<Vec<Weak<Link>>>,
    calls: AtomicUsize,
    parked: AtomicUsize,
    started: Instant,
    now_ms: AtomicU64,
}

/// One generation, compiled for one worker.
#[derive(Debug)]
pub(crate) struct Local {
    number: u64,
    pub(crate) table: Table,
    pub(crate) client: Client,
    pub(crate) limits: Limits,
    pub(crate) outbox: Option<Arc<Outbox>>,
    pub(crate) access: Option<Arc<Access>>,
    pub(crate) http1: http1::Builder,
    pub(crate) http2: http2::Builder<TokioExecutor>,
    rhythm: Rhythm,
}

/// A listener's certificate, if it has one. A reload puts another there.
#[derive(Debug)]
pub(crate) struct TlsSlot(Mutex<Option<Arc<ServerConfig>>>);

/// What a worker is told.
pub(crate) enum Command {
    /// Accept from this socket. `place` names it.
    Listen { place: u64, socket: StdListener, tls: Arc<TlsSlot> },
    /// Accept there no more.
    Unlisten { place: u64 },
    /// Watch over a service, until told to watch over others.
    Watch(Vec<Arc<Service>>),
    /// Accept nothing more, finish what is going on. Connections between two requests may bring one more for so long.
    Drain(Duration),
    /// Drop everything.
    Stop,
}

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>) -> Arc<Self> {
        let local = Arc::new(Local::new(&shared));
        Arc::new(Self {
            shared,
            local: Mutex::new(local),
            links: Mutex::new(Vec::new()),
            calls: AtomicUsize::new(0),
            parked: AtomicUsize::new(0),
            started: Instant::now(),
            now_ms: AtomicU64::new(1),
        })
    }

    pub(crate) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Calls going on.
    pub(crate) const fn calls(&self) -> &AtomicUsize {
        &self.calls
    }

    /// Connections that are parked.
    pub(crate) const fn parked(&self) -> &AtomicUsize {
        &self.parked
    }

    /// Milliseconds since the worker began, as of the last sweep. Never 0.
    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ms.load(Relaxed)
    }

    /// The current generation, compiled.
    pub(crate) fn local(&self) -> Arc<Local> {
        let mut local = self.local.lock();
        if local.number != self.shared.number() {
            *local = Arc::new(Local::new(&self.shared));
        }
        Arc::clone(&local)
    }

    pub(crate) fn register(&self, link: &Arc<Link>) {
        self.links.lock().push(Arc::downgrade(link));
    }

    /// Works until told to stop.
    pub(crate) async fn run(self: Arc<Self>, mut commands: mpsc::UnboundedReceiver<Command>) {
        let mut accepting: HashMap<u64, Vec<AbortHandle>> = HashMap::new();
        let mut watching: Vec<AbortHandle> = Vec::new();
        let mut sweeps = interval(self.local().tick());
        sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let command = tokio::select! {
                command = commands.recv() => command,
                _ = sweeps.tick() => {
                    self.sweep();
                    continue;
                }
            };
            match command {
                Some(Command::Listen { place, socket, tls }) => {
                    let accepts = Accepting::new(Arc::clone(&self.shared));
                    let task = tokio::spawn(Arc::clone(&self).accept(socket, tls, accepts));
                    accepting.entry(place).or_default().push(task.abort_handle());
                }
                Some(Command::Unlisten { place }) => {
                    accepting.remove(&place).iter().flatten().for_each(AbortHandle::abort)
                }
                Some(Command::Watch(services)) => {
                    watching.drain(..).for_each(|task| task.abort());
                    watching.extend(
                        services
                            .into_iter()
                            .map(|service| tokio::spawn(service.watch()).abort_handle()),
                    );
                    // The generation is another, and perhaps its timeouts.
                    sweeps = interval(self.local().tick());
                }
                Some(Command::Drain(quiet_for)) => {
                    accepting.drain().flat_map(|(_, tasks)| tasks).for_each(|task| task.abort());
                    // A request that is on its way would meet a closed connection, and its application couldn't know whether it was
                    // done. HTTP/2 can say which streams it takes; on HTTP/1.1 the next answer says that it is the last.
                    let goes = |link: &Arc<Link>| {
                        link.is_http2() || (quiet_for.is_zero() && link.has_had_calls())
                    };
                    self.live().filter(goes).for_each(|link| link.order(Order::Drain));
                    let worker = Arc::clone(&self);
                    tokio::spawn(async move {
                        sleep(quiet_for.max(FIRST_REQUEST_WITHIN)).await;
                        worker.live().for_each(|link| link.order(Order::Drain));
                    });
                }
                Some(Command::Stop) | None => return,
            }
        }
    }

    fn sweep(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        self.now_ms.store(now, Relaxed);
        let rhythm = self.local().rhythm;
        for link in self.live() {
            if let Some(order) = link.due(now, &rhythm) {
                link.order(order);
            }
        }
    }

    /// The connections that are open; those that are closed are forgotten.
    fn live(&self) -> impl Iterator<Item = Arc<Link>> {
        let mut live = Vec::new();
        self.links.lock().retain(|link| link.upgrade().map(|link| live.push(link)).is_some());
        live.into_iter()
    }

    async fn accept(
        self: Arc<Self>,
        socket: StdListener,
        tls: Arc<TlsSlot>,
        _until_dropped: Accepting,
    ) {
        let listener = match TcpListener::from_std(socket) {
            Ok(listener) => listener,
            Err(error) => return tracing::error!(%error, "a listening socket can't be used"),
        };
        loop {
            match listener.accept().await {
                Ok((tcp, peer)) => {
                    if self.shared.admit(self.local().limits.connections) {
                        tokio::spawn(connection::serve(
                            Arc::clone(&self),
                            tcp,
                            peer,
                            tls.current(),
                        ));
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection couldn't be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

impl TlsSlot {
    pub(crate) fn new(config: Option<Arc<ServerConfig>>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(config)))
    }

    pub(crate) fn set(&self, config: Option<Arc<ServerConfig>>) {
        *self.0.lock() = config;
    }

    fn current(&self) -> Option<Arc<ServerConfig>> {
        self.0.lock().clone()
    }
}

impl Local {
    fn new(shared: &Shared) -> Self {
        let (generation, park_after) = (&*shared.current(), shared.park_after);
        let limits = generation.settings.limits.clone();
        let rhythm = Rhythm {
            park_after,
            head_timeout: limits.head_timeout,
            idle_timeout: limits.idle_timeout,
        };
        Self {
            number: generation.number,
            table: Table::new(generation),
            client: generation.client.clone(),
            outbox: shared.outbox.get().cloned(),
            access: shared.recorder.access_log().map(Access::new),
            http1: http1_engine(&limits),
            http2: http2_engine(&limits),
            limits,
            rhythm,
        }
    }

    /// How often connections are looked at: often enough to be no more than a quarter late with anything.
    fn tick(&self) -> Duration {
        let shortest =
            self.rhythm.park_after.min(self.rhythm.head_timeout).min(self.rhythm.idle_timeout);
        (shortest / 4).clamp(SWEEP_OFTEN, SWEEP_SELDOM)
    }
}

fn http1_engine(limits: &Limits) -> http1::Builder {
    let mut engine = http1::Builder::new();
    // Slow heads are the sweep's: a timer for each head would cost a microsecond a request.
    engine.header_read_timeout(None);
    engine.max_header_size(limits.head_bytes);
    engine.max_buf_size(limits.head_bytes.max(SMALLEST_BUFFER));
    // Told to hyper only where it isn't its own: then it keeps the fields on the stack.
    if limits.header_count != HYPERS_FIELDS {
        engine.max_headers(limits.header_count);
    }
    engine
}

fn http2_engine(limits: &Limits) -> http2::Builder<TokioExecutor> {
    let mut engine = http2::Builder::new(TokioExecutor::new());
    engine.timer(TokioTimer::new());
    engine.max_concurrent_streams(limits.http2_streams);
    engine.max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX));
    engine.adaptive_window(true);
    // Rapid reset (CVE-2023-44487) and its kin: a client that keeps resetting streams loses its connection.
    engine.max_pending_accept_reset_streams(RESET_STREAMS);
    engine.max_local_error_reset_streams(LOCAL_RESETS);
    engine.keep_alive_interval(PING_EVERY);
    engine
}

/// The bounds of the sweep's rhythm: seldom enough to cost nothing, often enough for short timeouts.
const SWEEP_SELDOM: Duration = Duration::from_secs(1);
const SWEEP_OFTEN: Duration = Duration::from_millis(10);

/// Whoever has just connected is about to say something.
const FIRST_REQUEST_WITHIN: Duration = Duration::from_secs(1);

/// After a failure to accept, which as a rule is a lack of descriptors: some calls may end meanwhile.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The smallest buffer that hyper takes.
const SMALLEST_BUFFER: usize = 8192;

/// How many fields hyper reads without being told a number.
const HYPERS_FIELDS: usize = 100;

/// h2's own default: streams reset by the client before they were taken up.
const RESET_STREAMS: usize = 20;

/// Streams that we had to reset for errors of the client, over the life of a connection.
const LOCAL_RESETS: usize = 256;

/// Applications are near; a connection that doesn't answer this is gone.
const PING_EVERY: Duration = Duration::from_secs(30);
