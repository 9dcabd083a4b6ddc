//! Listening sockets that go from one process to its successor, so that an upgrade refuses nobody.
//!
//! ```text
//!   the process that runs                          its successor
//!   starts it ───────────────────────────────────▶ reads its settings
//!   gives it the sockets, by SCM_RIGHTS ─────────▶ starts with them
//!   drains, and ends        ◀───────────── ready ─ takes connections in
//! ```
//!
//! A socket that is handed over is never closed in between: what the kernel has queued for it waits for whoever accepts next. Where
//! the successor doesn't get ready, the process that runs goes on as if nothing had been.
//!
//! What isn't handed over: connections, which the old process keeps until they end, and what the old one had learned.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};

/// Sockets that another process listens on.
#[derive(Debug, Default)]
pub struct Heritage {
    listeners: Vec<(Wanted, TcpListener)>,
    admin: Option<(SocketAddr, TcpListener)>,
    is_given: bool,
}

/// A listener, as the settings name it: its address, where port 0 stays 0, and how many with this address stand before it.
type Wanted = (SocketAddr, usize);

/// Why sockets aren't handed over.
#[derive(Debug)]
#[non_exhaustive]
pub enum HeritageError {
    /// The channel between the two processes broke, or nothing came in time.
    Channel(io::Error),
    /// What came isn't what was agreed on.
    Nonsense(String),
    /// The successor ended, or gave up, before it was ready.
    NotReady,
}

impl fmt::Display for HeritageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Channel(_) => f.write_str("sockets can't be handed over"),
            Self::Nonsense(what) => write!(f, "sockets aren't handed over as agreed on: {what}"),
            Self::NotReady => f.write_str("the successor ended before it was ready"),
        }
    }
}

impl std::error::Error for HeritageError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Channel(error) => Some(error),
            Self::Nonsense(_) | Self::NotReady => None,
        }
    }
}

/// What is said before the sockets come: which they are, in their order.
#[derive(Debug, Deserialize, Serialize)]
struct Announced {
    version: u32,
    listeners: Vec<Wanted>,
    admin: Option<SocketAddr>,
}

impl Heritage {
    pub(crate) fn add(&mut self, wanted: Wanted, socket: TcpListener) {
        self.listeners.push((wanted, socket));
    }

    pub(crate) fn add_admin(&mut self, wanted: SocketAddr, socket: TcpListener) {
        self.admin = Some((wanted, socket));
    }

    /// Whether another process gave it, which serves until this one does.
    pub(crate) const fn is_given(&self) -> bool {
        self.is_given
    }

    /// All sockets of a listener of the settings.
    pub(crate) fn take(&mut self, wanted: Wanted) -> Vec<TcpListener> {
        let (mine, others) = std::mem::take(&mut self.listeners)
            .into_iter()
            .partition(|(listener, _)| *listener == wanted);
        self.listeners = others;
        mine.into_iter().map(|(_, socket): (_, TcpListener)| socket).collect()
    }

    pub(crate) fn take_admin(&mut self, wanted: SocketAddr) -> Option<TcpListener> {
        self.admin.take_if(|(address, _)| *address == wanted).map(|(_, socket)| socket)
    }

    /// Gives all of them to the process at the other end, and waits until it is ready, for at most `patience` in silence.
    ///
    /// # Errors
    ///
    /// [`HeritageError`]: the other one isn't ready, and won't take connections in.
    pub fn give(&self, channel: &UnixStream, patience: Duration) -> Result<(), HeritageError> {
        let told = Announced {
            version: VERSION,
            listeners: self.listeners.iter().map(|(wanted, _)| *wanted).collect(),
            admin: self.admin.as_ref().map(|(wanted, _)| *wanted),
        };
        let text = serde_json::to_vec(&told).map_err(io::Error::other)?;
        let length = u32::try_from(text.len()).map_err(io::Error::other)?;
        channel.set_write_timeout(Some(patience))?;
        channel.set_read_timeout(Some(patience))?;
        let mut channel = channel;
        channel.write_all(&length.to_be_bytes())?;
        channel.write_all(&text)?;
        let listeners = self.listeners.iter().map(|(_, socket)| socket);
        for socket in listeners.chain(self.admin.iter().map(|(_, socket)| socket)) {
            undisturbed(|| give_one(channel, socket))?;
        }
        let mut word = [0];
        match undisturbed(|| channel.read(&mut word))? {
            0 => Err(HeritageError::NotReady),
            _ if word == READY => Ok(()),
            _ => Err(HeritageError::Nonsense(format!("{word:?} instead of \"ready\""))),
        }
    }

    /// Takes what the process at the other end gives.
    ///
    /// # Errors
    ///
    /// [`HeritageError`]
    pub fn receive(channel: &UnixStream, patience: Duration) -> Result<Self, HeritageError> {
        channel.set_read_timeout(Some(patience))?;
        let mut stream = channel;
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length);
        if length > MOST_ANNOUNCED_BYTES {
            return Err(HeritageError::Nonsense(format!("{length} bytes of addresses")));
        }
        let mut text = vec![0; length as usize];
        stream.read_exact(&mut text)?;
        let told: Announced = serde_json::from_slice(&text)
            .map_err(|error| HeritageError::Nonsense(error.to_string()))?;
        if told.version != VERSION {
            return Err(HeritageError::Nonsense(format!(
                "version {}, and this one knows {VERSION}",
                told.version
            )));
        }
        let mut heritage = Self { is_given: true, ..Self::default() };
        for wanted in told.listeners {
            heritage.add(wanted, receive_one(channel)?);
        }
        if let Some(wanted) = told.admin {
            heritage.add_admin(wanted, receive_one(channel)?);
        }
        Ok(heritage)
    }

    /// Tells the process that gave the sockets that this one takes connections in: that one drains now.
    ///
    /// # Errors
    ///
    /// The other one is gone, which is no harm.
    pub fn tell_ready(channel: &UnixStream) -> io::Result<()> {
        let mut channel = channel;
        channel.write_all(&READY)
    }
}

/// A signal that comes meanwhile is somebody else's: with a time limit, the system doesn't go on by itself.
fn undisturbed<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match attempt() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

fn give_one(channel: &UnixStream, socket: &TcpListener) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut along = SendAncillaryBuffer::new(&mut space);
    let fds = [socket.as_fd()];
    if !along.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(io::Error::other("no room for a socket in its message"));
    }
    // A socket doesn't travel without a byte.
    sendmsg(channel, &[IoSlice::new(&[0])], &mut along, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn receive_one(channel: &UnixStream) -> Result<TcpListener, HeritageError> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut along = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received = undisturbed(|| {
        let into = &mut [IoSliceMut::new(&mut byte)];
        Ok(recvmsg(channel, into, &mut along, flags)?)
    });
    if received?.bytes == 0 {
        return Err(HeritageError::Channel(io::ErrorKind::UnexpectedEof.into()));
    }
    let fd: Option<OwnedFd> = along.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    fd.map(TcpListener::from)
        .ok_or_else(|| HeritageError::Nonsense("a message without its socket".into()))
}

impl From<io::Error> for HeritageError {
    fn from(error: io::Error) -> Self {
        Self::Channel(error)
    }
}

/// Of what the two processes say to each other. Another Mainstay that knows another one is told so, and nothing changes.
const VERSION: u32 = 1;

const READY: [u8; 1] = *b"R";

/// Some thousand addresses.
const MOST_ANNOUNCED_BYTES: u32 = 1 << 20;

#[cfg(test)]
mod tests {
    use std::net::TcpStream;
    use std::thread;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn listening() -> (SocketAddr, TcpListener) {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        (socket.local_addr().unwrap(), socket)
    }

    #[test]
    fn who_connected_before_is_accepted_after() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let ((first, first_socket), (second, second_socket)) = (listening(), listening());
        let (admin, admin_socket) = listening();
        let _waiting = TcpStream::connect(second).unwrap();
        let mut heritage = Heritage::default();
        heritage.add((first, 0), first_socket);
        heritage.add((first, 1), second_socket);
        heritage.add_admin(admin, admin_socket);
        let successor = thread::spawn(move || {
            let mut heritage = Heritage::receive(&theirs, PATIENCE).unwrap();
            Heritage::tell_ready(&theirs).unwrap();
            assert!(heritage.is_given() && heritage.take((admin, 0)).is_empty());
            let sockets = heritage.take((first, 1));
            assert_eq!(sockets.len(), 1);
            assert_eq!(heritage.take((first, 0))[0].local_addr().unwrap(), first);
            assert_eq!(heritage.take_admin(admin).unwrap().local_addr().unwrap(), admin);
            sockets[0].accept().unwrap();
        });
        heritage.give(&ours, PATIENCE).unwrap();
        drop(heritage);
        successor.join().unwrap();
    }

    #[test]
    fn a_successor_that_ends_or_says_something_else_isnt_ready() {
        for says in [&b""[..], b"?"] {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let successor = thread::spawn(move || {
                Heritage::receive(&theirs, PATIENCE).unwrap();
                (&theirs).write_all(says).unwrap();
            });
            let given = Heritage::default().give(&ours, PATIENCE);
            match says {
                b"" => assert!(matches!(given, Err(HeritageError::NotReady)), "{given:?}"),
                _ => assert!(matches!(given, Err(HeritageError::Nonsense(_))), "{given:?}"),
            }
            successor.join().unwrap();
        }
    }

    #[test]
    fn nonsense_is_named_and_nothing_is_taken() {
        let other = br#"{"version":2,"listeners":[],"admin":null}"#;
        let cases: [(&[u8], u32, &str); 3] = [
            (other, 41, "version 2"),
            (b"no json", 7, "expected"),
            (b"", u32::MAX, "4294967295 bytes"),
        ];
        for (text, length, wanted) in cases {
            let (ours, theirs) = UnixStream::pair().unwrap();
            (&ours).write_all(&length.to_be_bytes()).unwrap();
            (&ours).write_all(text).unwrap();
            let error = Heritage::receive(&theirs, PATIENCE).unwrap_err();
            assert!(error.to_string().contains(wanted), "{error}");
        }
        let (ours, theirs) = UnixStream::pair().unwrap();
        (&ours).write_all(&41_u32.to_be_bytes()).unwrap();
        (&ours).write_all(br#"{"version":1,"listeners":[["1.1.1.1:1",0"#).unwrap();
        drop(ours);
        assert!(matches!(Heritage::receive(&theirs, PATIENCE), Err(HeritageError::Channel(_))));
    }
}
