//! One endpoint: leases connections to it, kept or new.

use std::sync::Arc;

use mainstay_config::settings::{ConnectSettings, Endpoint, PoolSettings};
use mainstay_core::{Break, BreakKind, Certainty, Timestamp};
use tokio::task::yield_now;

use super::lease::Lease;
use super::shelf::{Found, Shelf};
use super::single::Single;
use super::{Broken, Connection};
use crate::Clock;
use crate::chance::with_chance;
use crate::connect::{Connector, Place};

/// One endpoint: its connector and its kept connections.
#[derive(Debug)]
pub struct Target {
    connector: Connector,
    shelf: Shelf,
    settings: PoolSettings,
}

/// Why a target can't be made: settings that name files which can't be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum TargetError {}

/// A target's connections, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Idle now.
    pub idle: u64,
    /// In use now, or being established or closed.
    pub in_use: u64,
    /// Established, ever.
    pub opened: u64,
    /// Times that a kept one was used again, ever.
    pub reused: u64,
    /// Found closed by the peer while they were idle, ever.
    pub closed_stale: u64,
}

impl Target {
    /// A target without connections.
    ///
    /// # Errors
    ///
    /// [`TargetError`] when a certificate or key can't be read.
    pub fn new(endpoint: &Endpoint, settings: &ConnectSettings) -> Result<Arc<Self>, TargetError> {
        let connector = Connector::new(endpoint, settings);
        let max_idle = usize::try_from(settings.pool.max_idle).unwrap_or(usize::MAX);
        let settings = settings.pool.clone();
        Ok(Arc::new(Self { connector, shelf: Shelf::new(max_idle), settings }))
    }

    /// A connection: a kept one unless `fresh`, else a new one.
    ///
    /// # Errors
    ///
    /// A break of the phases resolve, connect or TLS, or `limit-reached`; nothing was sent.
    pub async fn lease(self: &Arc<Self>, fresh: bool) -> Result<Lease, Broken> {
        let kept = if fresh { None } else { self.kept().await };
        let single = match kept {
            Some(single) => single,
            None => self.open().await?,
        };
        Ok(Lease::new(Arc::clone(self), Connection::Single(single)))
    }

    /// Closes idle connections whose time is over. Call it about each second.
    pub fn sweep(&self, now: Timestamp) {
        self.shelf.sweep(now);
    }

    /// Its connections, counted.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let places = self.connector.places();
        let open = u64::from(places.taken());
        // One whose socket is closed lies on the shelf until somebody looks at it.
        let idle = open.min(self.shelf.idle() as u64);
        Counts {
            idle,
            in_use: open - idle,
            opened: places.opened(),
            reused: self.shelf.reused(),
            closed_stale: self.shelf.stale(),
        }
    }

    async fn kept(&self) -> Option<Single> {
        let now = Clock::now();
        match self.shelf.take(now) {
            Found::Ready(single) => Some(single),
            Found::Nothing => None,
            Found::Soon => {
                yield_now().await;
                match self.shelf.take(now) {
                    Found::Ready(single) => Some(single),
                    Found::Soon | Found::Nothing => None,
                }
            }
        }
    }

    async fn open(&self) -> Result<Single, Broken> {
        let division = self.shelf.own();
        let transport = self.connector.connect(self.place().await?).await?;
        let jitter = with_chance(|chance| chance.up_to(self.settings.max_age / MAX_AGE_JITTER));
        Single::start(transport, division, Clock::now() + (self.settings.max_age - jitter)).await
    }

    /// A place for one more connection, an idle one's if there is no other.
    async fn place(&self) -> Result<Place, Broken> {
        let places = self.connector.places();
        let mut place = places.take();
        if place.is_none() && self.shelf.close_one() {
            // The place is free when the connection's task has let go of its socket, at its next turn.
            for _ in 0..CLOSING_TURNS {
                yield_now().await;
                place = places.take();
                if place.is_some() {
                    break;
                }
            }
        }
        place.ok_or_else(|| Broken {
            what: Break::new(BreakKind::LimitReached, Certainty::NotSent),
            details: Some(format!("all {} connections are in use", places.limit())),
        })
    }

    /// Takes back a connection whose exchange is over.
    pub(super) fn give_back(&self, connection: Connection) {
        match connection {
            Connection::Single(single) => {
                let now = Clock::now();
                if !single.is_closed() && now < single.expires_at {
                    let until = single.expires_at.min(now + self.settings.idle_timeout);
                    self.shelf.put(single, now, until);
                }
            }
        }
    }
}

/// The part of the greatest age by which connections differ at most, so that those which were opened together
/// aren't closed together: a tenth.
const MAX_AGE_JITTER: u32 = 10;

/// How many turns of the runtime a closing connection is given. It needs one, on its own thread.
const CLOSING_TURNS: u32 = 8;
