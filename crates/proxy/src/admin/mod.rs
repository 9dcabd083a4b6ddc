//! The admin address: what people and their tools ask of the proxy, and order it to do.
//!
//! It runs on a thread of its own, so that it answers while the workers are busy, and it never touches a call. Who
//! may ask what is in `guard`; the paths are in `paths`.

mod calls;
mod connections;
mod events;
mod guard;
mod incidents;
mod live;
pub(crate) mod log;
mod manual;
mod order;
mod page;
mod paths;
mod status;
mod stored;

pub(crate) use order::decoded as percent_decoded;

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use mainstay_config::settings::Admin;
use mainstay_record::UpstreamSnapshot;
use tokio::runtime;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use crate::error::StartError;
use crate::heritage::Heritage;
use crate::listen;
use crate::proxy::Control;
use crate::shared::Shared;

/// States and levels for metrics, now.
pub(crate) async fn snapshots(shared: &Shared) -> Vec<UpstreamSnapshot> {
    status::snapshots(shared, stored::totals(shared).await.as_deref())
}

pub(crate) use stored::totals as outbox_totals;

/// The admin address, served until this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    /// What is accepted from, once more: for a successor.
    socket: TcpListener,
    /// Takes how long those who have asked something may still be answered.
    stop: Option<oneshot::Sender<Duration>>,
    running: Option<JoinHandle<()>>,
}

/// Who can reach it from outside needs a token.
///
/// # Errors
///
/// If there is none.
pub(crate) fn check(admin: &Admin) -> Result<(), StartError> {
    if admin.token.is_none() && !admin.address.ip().to_canonical().is_loopback() {
        return Err(StartError::AdminWithoutToken(admin.address));
    }
    Ok(())
}

/// Binds it, if it isn't inherited.
///
/// # Errors
///
/// As [`check`], or when the address can't be bound.
pub(crate) fn bind(admin: &Admin, heritage: &mut Heritage) -> Result<TcpListener, StartError> {
    check(admin)?;
    match heritage.take_admin(admin.address) {
        Some(socket) => Ok(socket),
        None => Ok(listen::bind_alone(admin.address)?),
    }
}

impl Server {
    pub(crate) fn start(socket: TcpListener, control: Arc<Control>) -> io::Result<Self> {
        let address = socket.local_addr()?;
        let again = socket.try_clone()?;
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let running = thread::Builder::new().name("mainstay-admin".into()).spawn(move || {
            runtime.block_on(async {
                let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
                let patience = tokio::select! {
                    ended = accept(socket, address, control, &places) => {
                        if let Err(error) = ended {
                            tracing::error!(%error, "the admin address isn't served any more");
                        }
                        return;
                    }
                    // Told, or the proxy is gone.
                    told = stopped => told.unwrap_or_default(),
                };
                let all = u32::try_from(MOST_CONNECTIONS).unwrap_or(u32::MAX);
                // Streams don't end; whoever reads them comes back.
                if timeout(patience, places.acquire_many(all)).await.is_err() {
                    tracing::debug!("some connections to the admin address are cut");
                }
            });
        })?;
        Ok(Self { address, socket: again, stop: Some(stop), running: Some(running) })
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts nothing more, and answers those who have asked, for at most `patience`. It blocks meanwhile.
    pub(crate) fn leave(mut self, patience: Duration) {
        if let Some(stop) = self.stop.take() {
            // It may have ended by itself.
            let _ = stop.send(patience);
        }
    }

    /// What is accepted from, for a successor.
    pub(crate) fn socket(&self) -> io::Result<TcpListener> {
        self.socket.try_clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if self.running.take().is_some_and(|running| running.join().is_err()) {
            tracing::error!("the admin thread panicked");
        }
    }
}

async fn accept(
    socket: TcpListener,
    address: SocketAddr,
    control: Arc<Control>,
    places: &Arc<Semaphore>,
) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(socket)?;
    let mut engine = http1::Builder::new();
    engine.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(MOST_HEAD_BYTES);
    loop {
        let (tcp, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "an admin connection couldn't be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Beyond the limit it is closed at once: waiting would let one who holds all places lock everybody out quietly.
        let Ok(place) = Arc::clone(places).try_acquire_owned() else { continue };
        let control = Arc::clone(&control);
        let service = service_fn(move |request| {
            let control = Arc::clone(&control);
            async move { Ok::<_, Infallible>(paths::answer(&control, (address, peer), request).await) }
        });
        let connection = engine.serve_connection(TokioIo::new(tcp), service);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an admin connection broke");
            }
            drop(place);
        });
    }
}

/// What is answered with.
#[derive(Debug)]
pub(super) enum Reply {
    Whole(Bytes),
    /// Goes on until one side leaves.
    Stream(mpsc::Receiver<Bytes>),
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = match &mut *self {
            Self::Whole(bytes) => Some(std::mem::take(bytes)).filter(|bytes| !bytes.is_empty()),
            Self::Stream(pieces) => ready!(pieces.poll_recv(cx)),
        };
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}

/// People, a scraper and some dashboards: a handful, with room.
const MOST_CONNECTIONS: usize = 128;

const MOST_HEAD_BYTES: usize = 16 * 1024;

const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// As for applications: after a lack of descriptors, some may be free again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
