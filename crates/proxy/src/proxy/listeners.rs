//! Which addresses are bound, and how a change of settings changes that.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use mainstay_config::Settings;
use rustls::ServerConfig;

use super::listen;
use super::threads::Threads;
use crate::error::StartError;
use crate::heritage::Heritage;
use crate::tls;
use crate::worker::{Command, TlsSlot};

/// The addresses that are bound.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    bound: Vec<Bound>,
    last_place: u64,
}

#[derive(Debug)]
struct Bound {
    /// Names it towards the workers.
    place: u64,
    /// As configured: port 0 stays 0.
    wanted: SocketAddr,
    address: SocketAddr,
    tls: Arc<TlsSlot>,
    /// What the workers accept from, once more: for a successor. Closed when nothing is accepted any more, or the kernel would
    /// go on taking connections in for nobody.
    sockets: Vec<TcpListener>,
}

/// A change that can't fail any more.
pub(super) struct Change {
    next: Vec<Next>,
}

enum Next {
    /// The one at this place in `bound`, with this certificate from now on.
    Kept(usize, Option<Arc<ServerConfig>>),
    New {
        wanted: SocketAddr,
        address: SocketAddr,
        sockets: Vec<TcpListener>,
        tls: Option<Arc<ServerConfig>>,
    },
}

impl Listeners {
    /// Binds what is new and wasn't inherited, and reads all certificates again. Nothing that runs is touched.
    ///
    /// # Errors
    ///
    /// The first address that can't be bound, or certificate that can't be used.
    pub(super) fn prepare(
        &self,
        settings: &Settings,
        workers: usize,
        heritage: &mut Heritage,
    ) -> Result<Change, StartError> {
        let mut next: Vec<Next> = Vec::new();
        for (place, listener) in settings.listeners.iter().enumerate() {
            let before = settings.listeners[..place].iter().map(|one| one.address);
            let tls = listener.tls.as_ref().map(tls::server).transpose()?;
            let free = |place: &usize| {
                !next.iter().any(|next| matches!(next, Next::Kept(kept, _) if kept == place))
            };
            let known = (0..self.bound.len())
                .find(|place| self.bound[*place].wanted == listener.address && free(place));
            next.push(match known {
                Some(place) => Next::Kept(place, tls),
                None => {
                    let given = heritage.take(named(before, listener.address));
                    let sockets = if given.is_empty() {
                        listen::bind(listener.address, workers)?
                    } else {
                        listen::complete(listener.address, given, workers)?
                    };
                    let address = sockets.first().and_then(|socket| socket.local_addr().ok());
                    let address = address.unwrap_or(listener.address);
                    Next::New { wanted: listener.address, address, sockets, tls }
                }
            });
        }
        Ok(Change { next })
    }

    /// Starts and stops what the change asks for.
    pub(super) fn apply(&mut self, change: Change, threads: &Threads) {
        let mut before: Vec<Option<Bound>> =
            std::mem::take(&mut self.bound).into_iter().map(Some).collect();
        // What the start listens at is told by whoever starts it.
        let is_change = !before.is_empty();
        for next in change.next {
            match next {
                Next::Kept(place, tls) => {
                    if let Some(bound) = before.get_mut(place).and_then(Option::take) {
                        bound.tls.set(tls);
                        self.bound.push(bound);
                    }
                }
                Next::New { wanted, address, sockets, tls } => {
                    self.last_place += 1;
                    let again: io::Result<Vec<_>> =
                        sockets.iter().map(TcpListener::try_clone).collect();
                    // No descriptors to spare: connections are taken in all the same.
                    let again = again.unwrap_or_else(|error| {
                        tracing::warn!(%error, %address, "it can't be handed to a successor");
                        Vec::new()
                    });
                    let (place, tls) = (self.last_place, TlsSlot::new(tls));
                    let listen = |socket| Command::Listen { place, socket, tls: Arc::clone(&tls) };
                    threads.tell_each(sockets.into_iter().map(listen));
                    if is_change {
                        tracing::info!(%address, "listening");
                    }
                    self.bound.push(Bound { place, wanted, address, tls, sockets: again });
                }
            }
        }
        for gone in before.into_iter().flatten() {
            threads.tell_all(|| Command::Unlisten { place: gone.place });
            tracing::info!(address = %gone.address, "listening no more");
        }
    }

    /// All of it for a successor.
    pub(super) fn bequeath(&self, heritage: &mut Heritage) -> io::Result<()> {
        for (place, bound) in self.bound.iter().enumerate() {
            let wanted = named(self.bound[..place].iter().map(|one| one.wanted), bound.wanted);
            for socket in &bound.sockets {
                heritage.add(wanted, socket.try_clone()?);
            }
        }
        Ok(())
    }

    /// For when the workers have stopped accepting.
    pub(super) fn close(&mut self) {
        self.bound.iter_mut().for_each(|bound| bound.sockets.clear());
    }

    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.bound.iter().map(|bound| bound.address).collect()
    }
}

/// A listener as a process and its successor name it, after these addresses.
fn named(before: impl Iterator<Item = SocketAddr>, address: SocketAddr) -> (SocketAddr, usize) {
    (address, before.filter(|one| *one == address).count())
}
