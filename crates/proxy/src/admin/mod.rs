//! The admin address: what people and their tools ask of the proxy, and order it to do.
//!
//! It runs on a thread of its own, so that it answers while the workers are busy, and it never touches a call. Who
//! may ask what is in `guard`; the paths are in `paths`.

mod calls;
mod connections;
mod events;
mod guard;
mod order;
mod paths;
mod status;
mod stored;

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
use tokio::runtime;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::error::StartError;
use crate::listen;
use crate::proxy::Control;

/// The admin address, served until this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
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

/// Binds it.
///
/// # Errors
///
/// As [`check`], or when the address can't be bound.
pub(crate) fn bind(admin: &Admin) -> Result<TcpListener, StartError> {
    check(admin)?;
    Ok(listen::bind_alone(admin.address)?)
}

impl Server {
    pub(crate) fn start(socket: TcpListener, control: Arc<Control>) -> io::Result<Self> {
        let address = socket.local_addr()?;
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let running = thread::Builder::new().name("mainstay-admin".into()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    ended = accept(socket, address, control) => {
                        if let Err(error) = ended {
                            tracing::error!(%error, "the admin address isn't served any more");
                        }
                    }
                    // Told, or the proxy is gone.
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Self { address, stop: Some(stop), running: Some(running) })
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
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

async fn accept(socket: TcpListener, address: SocketAddr, control: Arc<Control>) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(socket)?;
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut engine = http1::Builder::new();
    engine.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(MOST_HEAD_BYTES);
    loop {
        let tcp = match listener.accept().await {
            Ok((tcp, _)) => tcp,
            Err(error) => {
                tracing::warn!(%error, "an admin connection couldn't be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Beyond the limit it is closed at once: waiting would let one who holds all places lock everybody out quietly.
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let control = Arc::clone(&control);
        let service = service_fn(move |request| {
            let control = Arc::clone(&control);
            async move { Ok::<_, Infallible>(paths::answer(&control, address, request).await) }
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
