//! Sockets that applications connect to: for each address one per worker, between which the kernel shares out
//! connections (`SO_REUSEPORT`).

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, Socket, TcpKeepalive, Type};

/// An address that couldn't be bound.
#[derive(Debug)]
pub struct BindError {
    /// Which.
    pub address: SocketAddr,
    /// Why.
    pub source: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "can't listen on {}", self.address)
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// `count` sockets on one address. With port 0 the system chooses a port for the first, and the others share it.
pub(crate) fn bind(address: SocketAddr, count: usize) -> Result<Vec<TcpListener>, BindError> {
    let wrap = |source| BindError { address, source };
    // Sharing is for our own workers. Another process of the same user, such as a second proxy started by mistake,
    // could share too, and each would get a part of the connections without a word. This socket, which doesn't
    // share, finds that out; it never listens, so nothing can connect to it.
    drop(bound(address, Sharing::Alone).map_err(wrap)?);
    let first = bind_one(address, Sharing::Workers).map_err(wrap)?;
    let chosen = first.local_addr().map_err(wrap)?;
    let mut sockets = vec![first];
    for _ in 1..count {
        sockets.push(bind_one(chosen, Sharing::Workers).map_err(wrap)?);
    }
    Ok(sockets)
}

/// Sockets of an address that another process has given, some of them several times, so that each worker has one. A further socket would be
/// given connections by the kernel at once, while it isn't certain yet that anybody will accept them.
pub(crate) fn complete(
    address: SocketAddr,
    mut sockets: Vec<TcpListener>,
    count: usize,
) -> Result<Vec<TcpListener>, BindError> {
    let given = sockets.len();
    for place in given..count {
        let again = sockets[place % given.max(1)].try_clone();
        sockets.push(again.map_err(|source| BindError { address, source })?);
    }
    Ok(sockets)
}

/// The one socket of an address that isn't shared out.
pub(crate) fn bind_alone(address: SocketAddr) -> Result<TcpListener, BindError> {
    bind_one(address, Sharing::Alone).map_err(|source| BindError { address, source })
}

/// Who else may be bound to the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sharing {
    Alone,
    Workers,
}

fn bind_one(address: SocketAddr, sharing: Sharing) -> io::Result<TcpListener> {
    let socket = bound(address, sharing)?;
    // Accepted sockets inherit both, which saves two system calls for each.
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE))?;
    socket.set_nonblocking(true)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn bound(address: SocketAddr, sharing: Sharing) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the connections of the last run to be forgotten.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(sharing == Sharing::Workers)?;
    socket.bind(&SockAddr::from(address))?;
    Ok(socket)
}

/// Applications that vanished without a word are noticed after some minutes.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// As many as the system allows: it cuts this to its own limit.
const BACKLOG: i32 = 65_535;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_sockets_of_an_address_have_the_port_that_was_chosen_for_the_first() {
        let sockets = bind(SocketAddr::from(([127, 0, 0, 1], 0)), 3).unwrap();
        let ports: Vec<u16> =
            sockets.iter().map(|socket| socket.local_addr().unwrap().port()).collect();
        assert!(ports[0] != 0 && ports.iter().all(|port| *port == ports[0]), "{ports:?}");
    }

    #[test]
    fn a_second_proxy_cant_share_the_address_of_the_first() {
        let first = bind(SocketAddr::from(([127, 0, 0, 1], 0)), 2).unwrap();
        let address = first[0].local_addr().unwrap();
        assert_eq!(bind(address, 2).unwrap_err().source.kind(), io::ErrorKind::AddrInUse);
        assert_eq!(bind_alone(address).unwrap_err().source.kind(), io::ErrorKind::AddrInUse);
        drop(first);
        let alone = bind_alone(address).unwrap();
        assert_eq!(bind(address, 2).unwrap_err().source.kind(), io::ErrorKind::AddrInUse);
        drop(alone);
        assert!(bind(address, 2).is_ok());
    }

    #[test]
    fn an_address_in_use_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let error = bind(address, 2).unwrap_err();
        assert_eq!(error.to_string(), format!("can't listen on {address}"));
        assert_eq!(error.source.kind(), io::ErrorKind::AddrInUse);
    }
}
