//! One server's door: open or shut, and the connections behind it.
//!
//! ```text
//!              rule refuses: close, reset all connections, hold the port
//!   Listening ----------------------------------------------------------> Held
//!             <----------------------------------------------------------
//!              rule accepts again: listen on the held socket
//! ```
//!
//! A bound socket that doesn't listen refuses connects just as an absent one does, and nobody else gets the port
//! meanwhile.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;

use crate::h1::{self, Connection, Idle};
use crate::h2;
use crate::site::Site;
use crate::wire::{ResetOnDrop, Wire};

/// A server before it runs.
pub(crate) struct Listener {
    pub(crate) site: Arc<Site>,
    pub(crate) addr: SocketAddr,
    door: Door,
    tls: Option<TlsAcceptor>,
}

enum Door {
    Listening(TcpListener),
    /// The port is ours, or was taken in the moment between; then we try again.
    Held(Option<Socket>),
}

impl Listener {
    /// Opens the door at this port of the loopback; 0 for any.
    pub(crate) fn open(site: Arc<Site>, port: u16, tls: Option<TlsAcceptor>) -> io::Result<Self> {
        let listener = listen(bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?)?;
        let addr = listener.local_addr()?;
        Ok(Self { site, addr, door: Door::Listening(listener), tls })
    }

    /// Accepts, and follows the rule, until it is told to stop.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut rules = self.site.rules.subscribe();
        let mut connections = JoinSet::new();
        let (kill, _) = watch::channel(());
        loop {
            let active = rules.borrow_and_update().clone();
            let now = Instant::now();
            self.follow(active.is_listening(now), &kill, &mut connections).await;
            self.site.applied.send_replace(active.version);
            let turn_at = active.next_turn_at(now);
            let is_full = connections.len() >= CONNECTIONS_LIMIT;
            tokio::select! {
                biased;
                _ = stop.changed() => break,
                changed = rules.changed() => if changed.is_err() { break },
                () = wait_until(turn_at) => {}
                _ = connections.join_next(), if !connections.is_empty() => {}
                accepted = self.door.accept(), if !is_full => match accepted {
                    Ok(stream) => {
                        self.site.oracle.connected(&self.site.name);
                        let (site, tls) = (self.site.clone(), self.tls.clone());
                        connections.spawn(connection(stream, site, tls, kill.subscribe()));
                    }
                    // Out of file descriptors, or the peer was faster: a moment later it may go.
                    Err(_) => sleep(ACCEPT_AGAIN_AFTER).await,
                },
            }
        }
        end_all(&kill, &mut connections).await;
    }

    async fn follow(
        &mut self,
        should_listen: bool,
        kill: &watch::Sender<()>,
        connections: &mut JoinSet<()>,
    ) {
        match &mut self.door {
            Door::Listening(_) if !should_listen => {
                self.door = Door::Held(None);
                self.door = Door::Held(bind(self.addr).ok());
                end_all(kill, connections).await;
            }
            Door::Held(socket) if should_listen => {
                let mut opened = socket.take().map(listen);
                let mut tries = 0;
                while !matches!(opened, Some(Ok(_))) && tries < REOPEN_TRIES {
                    sleep(ACCEPT_AGAIN_AFTER).await;
                    opened = Some(bind(self.addr).and_then(listen));
                    tries += 1;
                }
                if let Some(Ok(listener)) = opened {
                    self.door = Door::Listening(listener);
                }
            }
            Door::Listening(_) | Door::Held(_) => {}
        }
        self.site.note_listening(matches!(self.door, Door::Listening(_)));
    }
}

impl Door {
    async fn accept(&self) -> io::Result<TcpStream> {
        match self {
            Self::Listening(listener) => listener.accept().await.map(|(stream, _)| stream),
            Self::Held(_) => std::future::pending().await,
        }
    }
}

fn bind(addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    // Connections of before may still be waiting out their end at this port.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    Ok(socket)
}

fn listen(socket: Socket) -> io::Result<TcpListener> {
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

async fn wait_until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Resets all connections and waits until they are gone.
async fn end_all(kill: &watch::Sender<()>, connections: &mut JoinSet<()>) {
    kill.send_replace(());
    let gone = async { while connections.join_next().await.is_some() {} };
    if timeout(END_FOR, gone).await.is_err() {
        connections.shutdown().await;
    }
}

/// One connection from its first byte to its last, unless it is killed.
async fn connection(
    stream: TcpStream,
    site: Arc<Site>,
    tls: Option<TlsAcceptor>,
    mut kill: watch::Receiver<()>,
) {
    // Small pieces have to leave when they are written, or a break happens before its byte.
    let _ = stream.set_nodelay(true);
    let reset_on_drop = ResetOnDrop::default();
    let serve = pin!(serve(stream, site, tls, reset_on_drop.clone()));
    tokio::select! {
        () = serve => {}
        _ = kill.changed() => reset_on_drop.arm(),
    }
}

async fn serve(
    stream: TcpStream,
    site: Arc<Site>,
    tls: Option<TlsAcceptor>,
    reset_on_drop: ResetOnDrop,
) {
    let Some(acceptor) = tls else {
        let mut connection = Connection::new(Wire::plain(stream, reset_on_drop));
        match connection.idle(&site).await {
            Idle::Bytes => {}
            Idle::Over => return connection.finish().await,
            Idle::Gone => return,
        }
        return if site.h2 && connection.begins_with(h2::PREFACE).await {
            h2::serve(connection.into_wire(), site).await;
        } else {
            h1::serve(connection, &site).await;
        };
    };
    let Ok(Ok(stream)) = timeout(HANDSHAKE_FOR, acceptor.accept(stream)).await else { return };
    let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let wire = Wire::tls(stream, reset_on_drop);
    if is_h2 { h2::serve(wire, site).await } else { h1::serve(Connection::new(wire), &site).await }
}

/// As the kernel's own default: a burst of connects isn't refused by accident.
const BACKLOG: i32 = 4096;

/// Twice what a test with ten thousand idle connections needs; the rest waits in the backlog.
const CONNECTIONS_LIMIT: usize = 20_000;

const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// A second in all, then the port is somebody else's.
const REOPEN_TRIES: u32 = 50;

/// Connections end at once when they are told; one that doesn't is dropped.
const END_FOR: Duration = Duration::from_secs(1);

const HANDSHAKE_FOR: Duration = Duration::from_secs(10);
