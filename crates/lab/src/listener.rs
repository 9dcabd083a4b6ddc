//! One server's door: open or shut, and the connections behind it.
//!
//! ```text
//!              rule refuses: close, reset all connections, hold the port
//!   Listening ----------------------------------------------------------> Held
//!             <----------------------------------------------------------
//!              rule accepts again: listen on the held socket
//! ```
//!
//! A black hole is a third state: a socket listens with a queue that is full, and the system drops each SYN.
//!
//! A bound socket that doesn't listen refuses connects just as an absent one does, and nobody else gets the port
//! meanwhile.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::fault::TlsTrouble;
use crate::h1::{self, Connection, Idle};
use crate::h2;
use crate::site::Site;
use crate::tls::{Tls, Welcome};
use crate::wire::{HOLD_FOR, ResetOnDrop, Wire};

/// A server before it runs.
pub(crate) struct Listener {
    pub(crate) site: Arc<Site>,
    pub(crate) addr: SocketAddr,
    door: Door,
    security: Option<Security>,
}

/// How a server speaks TLS.
#[derive(Clone)]
pub(crate) struct Security {
    pub(crate) tls: Arc<Tls>,
    /// What is wrong with it while the rule says nothing of TLS.
    pub(crate) trouble: Option<TlsTrouble>,
}

enum Door {
    Listening(TcpListener),
    /// The port is ours, or was taken in the moment between; then we try again.
    Held(Option<Socket>),
    /// Listens with a queue that is full, so that the system drops each SYN.
    Blackhole(Option<FullQueue>),
}

/// A listening socket, and what fills its queue.
struct FullQueue {
    _listening: Socket,
    _filling: Vec<Socket>,
}

impl Listener {
    /// Opens the door at this address of the loopback; port 0 for any.
    pub(crate) fn open(
        site: Arc<Site>,
        addr: SocketAddr,
        security: Option<Security>,
    ) -> io::Result<Self> {
        let listener = listen(bind(addr)?)?;
        let addr = listener.local_addr()?;
        Ok(Self { site, addr, door: Door::Listening(listener), security })
    }

    /// Accepts, and follows the rule, until it is told to stop.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut rules = self.site.rules.subscribe();
        let mut connections = JoinSet::new();
        let (kill, _) = watch::channel(());
        loop {
            let active = rules.borrow_and_update().clone();
            let now = Instant::now();
            if active.is_blackhole(now) {
                self.swallow().await;
            } else {
                self.follow(active.is_listening(now), &kill, &mut connections).await;
            }
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
                        let (site, security) = (self.site.clone(), self.security.clone());
                        connections.spawn(connection(stream, site, security, kill.subscribe()));
                    }
                    // Out of file descriptors, or the peer was faster: a moment later it may go.
                    Err(_) => sleep(ACCEPT_AGAIN_AFTER).await,
                },
            }
        }
        end_all(&kill, &mut connections).await;
    }

    /// Lets no connect through any more.
    async fn swallow(&mut self) {
        if matches!(self.door, Door::Blackhole(_)) {
            return;
        }
        self.door = Door::Held(None);
        let mut filled = fill_queue(self.addr).await;
        for _ in 0..REOPEN_TRIES {
            if filled.is_ok() {
                break;
            }
            sleep(ACCEPT_AGAIN_AFTER).await;
            filled = fill_queue(self.addr).await;
        }
        self.door = Door::Blackhole(filled.ok());
        self.site.note_listening(false);
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
            Door::Blackhole(_) if !should_listen => {
                self.door = Door::Held(None);
                self.door = Door::Held(bind(self.addr).ok());
            }
            Door::Held(_) | Door::Blackhole(_) if should_listen => {
                let before = std::mem::replace(&mut self.door, Door::Held(None));
                let mut opened = match before {
                    Door::Held(socket) => socket.map(listen),
                    Door::Blackhole(full) => {
                        // The port is free once these are gone, and not before.
                        drop(full);
                        None
                    }
                    Door::Listening(_) => None,
                };
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
            Door::Listening(_) | Door::Held(_) | Door::Blackhole(_) => {}
        }
        self.site.note_listening(matches!(self.door, Door::Listening(_)));
    }
}

impl Door {
    async fn accept(&self) -> io::Result<TcpStream> {
        match self {
            Self::Listening(listener) => listener.accept().await.map(|(stream, _)| stream),
            Self::Held(_) | Self::Blackhole(_) => std::future::pending().await,
        }
    }
}

fn bind(addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of before may still be waiting out their end at this port.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    if addr.is_ipv6() {
        // Another server may have the same port of the other family.
        socket.set_only_v6(true)?;
    }
    socket.bind(&addr.into())?;
    Ok(socket)
}

fn listen(socket: Socket) -> io::Result<TcpListener> {
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Listens with the shortest queue there is and fills it. The system drops a SYN that finds the queue full, and the
/// client sends it again, and again: as if nobody were there.
async fn fill_queue(addr: SocketAddr) -> io::Result<FullQueue> {
    let listening = bind(addr)?;
    listening.listen(0)?;
    let mut filling = Vec::new();
    for _ in 0..FILLING_CONNECTIONS {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        // It is under way, or waits for ever: both are what is wanted.
        let _ = socket.connect(&addr.into());
        filling.push(socket);
    }
    // Over the loopback a handshake is done when `connect` returns; a busy system may need a moment.
    sleep(FILLED_AFTER).await;
    Ok(FullQueue { _listening: listening, _filling: filling })
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

/// One connection from its first byte to its last, unless it is killed, or silenced: then it is kept open and
/// nobody looks at it any more.
async fn connection(
    stream: TcpStream,
    site: Arc<Site>,
    security: Option<Security>,
    mut kill: watch::Receiver<()>,
) {
    // Small pieces have to leave when they are written, or a break happens before its byte.
    let _ = stream.set_nodelay(true);
    let reset_on_drop = ResetOnDrop::default();
    let mut rules = site.rules.subscribe();
    let born = rules.borrow_and_update().version;
    let mut serve = pin!(serve(stream, site, security, reset_on_drop.clone()));
    let silenced = async {
        loop {
            let found = rules.wait_for(|active| active.version > born).await;
            match found.map(|active| {
                (active.silences(Instant::now()), active.next_turn_at(Instant::now()))
            }) {
                Ok((true, _)) => return,
                Ok((false, turn_at)) => tokio::select! {
                    changed = rules.changed() => if changed.is_err() { return std::future::pending().await },
                    () = wait_until(turn_at) => {}
                },
                Err(_) => return std::future::pending().await,
            }
        }
    };
    tokio::select! {
        biased;
        _ = kill.changed() => reset_on_drop.arm(),
        () = silenced => {
            let _ = timeout(HOLD_FOR, kill.changed()).await;
            reset_on_drop.arm();
        }
        () = &mut serve => {}
    }
}

async fn serve(
    stream: TcpStream,
    site: Arc<Site>,
    security: Option<Security>,
    reset_on_drop: ResetOnDrop,
) {
    let Some(Security { tls, trouble }) = security else {
        let mut connection = Connection::new(Wire::plain(stream, reset_on_drop));
        match connection.idle(&site).await {
            Idle::Bytes => {}
            Idle::Over => return connection.end(site.ending_of_idle()).await,
            Idle::Gone => return,
        }
        return if site.h2 && connection.begins_with(h2::PREFACE).await {
            h2::serve(connection.into_wire(), site).await;
        } else {
            h1::serve(connection, &site).await;
        };
    };
    match tls.welcome(site.tls_trouble().or(trouble), site.h2) {
        Welcome::Silence => Wire::plain(stream, reset_on_drop).hold().await,
        Welcome::Bytes(bytes) => {
            let mut wire = Wire::plain(stream, reset_on_drop);
            // The ClientHello first: its beginning says that it is under way.
            if wire.read_u8().await.is_ok() && wire.write_all(bytes).await.is_ok() {
                wire.finish().await;
            }
        }
        Welcome::Handshake(acceptor) => {
            let accepting = timeout(HANDSHAKE_FOR, acceptor.accept(stream));
            let Ok(Ok(stream)) = accepting.await else { return };
            let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let wire = Wire::tls(stream, reset_on_drop);
            if is_h2 {
                h2::serve(wire, site).await;
            } else {
                h1::serve(Connection::new(wire), &site).await;
            }
        }
    }
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

/// One is taken in, the next is told that the queue is full; the others are for a system that counts otherwise.
const FILLING_CONNECTIONS: usize = 3;

const FILLED_AFTER: Duration = Duration::from_millis(20);

const HANDSHAKE_FOR: Duration = Duration::from_secs(10);
