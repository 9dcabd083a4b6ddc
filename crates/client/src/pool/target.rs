//! One endpoint: leases connections to it, kept or new.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use http::HeaderMap;
use mainstay_config::settings::{ConnectSettings, Endpoint, Http2, PoolSettings, Scheme};
use mainstay_core::{BreakKind, Certainty, Timestamp};
use mainstay_record::{Step, StepName, StepOutcome};
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::timeout;

use super::hub::Hub;
use super::lease::Lease;
use super::lifetime::Lifetime;
use super::multi::Multi;
use super::registry::{ConnectionView, Registry};
use super::rest::Rest;
use super::shelf::{Found, Shelf};
use super::single::Single;
use super::{Broken, Connection};
use crate::Clock;
use crate::chance::with_chance;
#[cfg(feature = "tower")]
use crate::connect::Transport;
use crate::connect::{Addresses, Connector, Place, Shown, TargetError};
use crate::underway::Underway;

/// One endpoint: its connector and its kept connections.
#[derive(Debug)]
pub struct Target {
    endpoint: Endpoint,
    connector: Connector,
    shelf: Shelf,
    hub: Hub,
    registry: Registry,
    /// How often the name's addresses had changed when idle connections were last looked at for that.
    drained_at: AtomicU64,
    /// Told when a kept connection was taken, where spares are kept.
    taken: Notify,
    rest: Rest,
    /// Connections that another client's pool keeps, and that carry nothing.
    #[cfg(feature = "tower")]
    pub(super) lent_idle: AtomicU64,
    /// What the endpoint speaks, as far as is known: one of the constants below.
    speaks: AtomicU8,
    settings: ConnectSettings,
}

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
    /// Closes by the peer that a request ran into, ever.
    pub stale_met: u64,
    /// Used no more because the peer would soon have closed them, ever.
    pub stale_avoided: u64,
    /// The age at which the peer closes idle ones, as far as is known.
    pub idle_limit: Option<Duration>,
}

impl Target {
    /// A target without connections.
    ///
    /// # Errors
    ///
    /// [`TargetError`] when a certificate or key can't be read.
    pub fn new(endpoint: &Endpoint, settings: &ConnectSettings) -> Result<Arc<Self>, TargetError> {
        let connector = Connector::new(endpoint, settings)?;
        let shelf = Shelf::new(usize::try_from(settings.pool.max_idle).unwrap_or(usize::MAX));
        let hub = Hub::new(shelf.divisions(), settings.pings);
        let rest = Rest::new(settings.pool.idle_timeout, settings.pool.learn_idle);
        let speaks = match (settings.http2, endpoint.scheme) {
            (Http2::Always, _) => HTTP2,
            (Http2::Never, _) | (Http2::Auto, Scheme::Http) => HTTP1,
            (Http2::Auto, Scheme::Https) => UNKNOWN,
        };
        let (endpoint, settings) = (endpoint.clone(), settings.clone());
        Ok(Arc::new(Self {
            endpoint,
            connector,
            shelf,
            hub,
            registry: Registry::default(),
            drained_at: AtomicU64::new(0),
            taken: Notify::new(),
            rest,
            #[cfg(feature = "tower")]
            lent_idle: AtomicU64::new(0),
            speaks: AtomicU8::new(speaks),
            settings,
        }))
    }

    /// The endpoint.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// A kept connection that can take a request at once. Waits for nothing.
    pub(crate) fn lease_ready(self: &Arc<Self>) -> Option<Lease> {
        let now = Clock::now();
        let connection = match self.found(now) {
            Found::Ready(single) => Connection::Single(single),
            Found::Nothing | Found::Soon if self.speaks() == HTTP1 => return None,
            Found::Nothing | Found::Soon => {
                Connection::Stream(Box::new(self.hub.take(self.shelf.own(), now, &self.rest)?))
            }
        };
        self.note_taken();
        Some(Lease::new(Some(Arc::clone(self)), connection, now))
    }

    /// A connection: a kept one unless `fresh`, else a new one.
    ///
    /// # Errors
    ///
    /// A break of the phases resolve, connect or TLS, or `limit-reached`; nothing was sent.
    pub async fn lease(self: &Arc<Self>, fresh: bool) -> Result<Lease, Broken> {
        let mut steps = Vec::new();
        match self.lease_telling(fresh, &mut steps).await {
            Ok(lease) => Ok(lease.established_by(steps)),
            Err(broken) => Err(Broken { steps, ..broken }),
        }
    }

    /// The same. What is done for it is told in `steps` as it ends, and so is known even when this is dropped.
    pub(crate) async fn lease_telling(
        self: &Arc<Self>,
        fresh: bool,
        steps: &mut Vec<Step>,
    ) -> Result<Lease, Broken> {
        let kept = if fresh { None } else { self.kept().await };
        let connection = match kept {
            Some(connection) => {
                self.note_taken();
                connection
            }
            None if fresh || self.speaks() == HTTP1 => self.open(true, steps).await?,
            None => self.open_for_many(steps).await?,
        };
        Ok(Lease::new(Some(Arc::clone(self)), connection, Clock::now()))
    }

    /// A new connection that isn't kept after its use.
    pub(crate) async fn lease_once(&self) -> Result<Lease, Broken> {
        let connection = self.open(false, &mut Vec::new()).await?;
        Ok(Lease::new(None, connection, Clock::now()))
    }

    /// Opens a connection that is kept for whoever comes. False when there is no place for one more.
    ///
    /// # Errors
    ///
    /// As with [`Target::lease`].
    pub(crate) async fn open_spare(self: &Arc<Self>) -> Result<bool, Broken> {
        let Some(place) = self.connector.places().take() else { return Ok(false) };
        let connection = self.establish(place, true, &mut Vec::new()).await?;
        self.give_back(connection);
        Ok(true)
    }

    /// Connections that could take a request now.
    pub(crate) fn ready(&self) -> u32 {
        u32::try_from(self.shelf.idle() + self.hub.idle()).unwrap_or(u32::MAX)
    }

    /// Ends when a kept connection is taken.
    pub(crate) async fn taken(&self) {
        self.taken.notified().await;
    }

    fn note_taken(&self) {
        if self.pool().spares > 0 {
            self.taken.notify_one();
        }
    }

    /// Closes idle connections whose time is over. Call it about each second.
    pub fn sweep(&self, now: Timestamp) {
        self.connector.refresh(now);
        self.drain();
        self.shelf.sweep(now, &self.rest);
        self.hub.sweep(now, &self.rest);
    }

    /// Closes idle connections: streams and requests under way go on.
    pub fn close_idle(&self) {
        self.shelf.drain(|_| true);
        self.hub.drain(|_| true);
    }

    /// Lets go of idle connections whose address has left the name's answer.
    fn drain(&self) {
        let Some(resolution) = self.connector.resolution() else { return };
        let changes = resolution.changes();
        if self.drained_at.swap(changes, Ordering::Relaxed) != changes {
            let is_gone =
                |peer: Option<SocketAddr>| peer.is_some_and(|peer| !resolution.contains(peer.ip()));
            self.shelf.drain(is_gone);
            self.hub.drain(is_gone);
        }
    }

    /// How often the name's addresses have changed.
    pub(crate) fn changes(&self) -> u64 {
        self.connector.resolution().map_or(0, |resolution| resolution.changes())
    }

    /// Whether the endpoint's name still leads to where a connection does that was made after so many changes of its addresses.
    pub(super) fn leads_to(&self, changes: u64, peer: Option<SocketAddr>) -> bool {
        let Some(resolution) = self.connector.resolution() else { return true };
        changes == resolution.changes() || peer.is_none_or(|peer| resolution.contains(peer.ip()))
    }

    /// What is known of its name's addresses; nothing where its host is an address itself.
    #[must_use]
    pub fn addresses(&self, now: Timestamp) -> Option<Addresses> {
        self.connector.resolution().map(|resolution| resolution.view(now))
    }

    /// When the certificate that the endpoint last showed ends, in seconds since 1970; nothing before a TLS handshake.
    #[must_use]
    pub fn certificate_ends_at(&self) -> Option<u64> {
        self.connector.certificate_ends_at()
    }

    /// How long before a certificate's end it is warned of.
    pub(crate) fn expiry_warning(&self) -> Duration {
        self.settings.tls.expiry_warning
    }

    /// Its connections, counted.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let places = self.connector.places();
        let open = u64::from(places.taken());
        // One whose socket is closed is still kept until somebody looks at it.
        let idle = (self.shelf.idle() + self.hub.idle()) as u64;
        #[cfg(feature = "tower")]
        let idle = idle + self.lent_idle.load(Ordering::Relaxed);
        let idle = open.min(idle);
        Counts {
            idle,
            in_use: open - idle,
            opened: places.opened(),
            reused: self.shelf.reused() + self.hub.reused(),
            closed_stale: self.rest.seen(),
            stale_met: self.rest.met(),
            stale_avoided: self.rest.avoided(),
            idle_limit: self.rest.limit(),
        }
    }

    /// Its open connections, each as it is at `now`.
    #[must_use]
    pub fn connections(&self, now: Timestamp) -> Vec<ConnectionView> {
        let mut kept = BTreeMap::new();
        let mut note = |id, state| {
            kept.insert(id, state);
        };
        self.shelf.states(now, &mut note);
        self.hub.states(now, &mut note);
        self.registry.view(now, &kept)
    }

    /// How its connections are made, for whoever wants to know more than a call does.
    pub(crate) fn connector(&self) -> &Connector {
        &self.connector
    }

    /// How its connections are made, as settings.
    pub(crate) fn settings(&self) -> &ConnectSettings {
        &self.settings
    }

    /// What its TLS server shows at `peer`, trusted or not.
    pub(crate) async fn shown(&self, peer: SocketAddr) -> Option<Shown> {
        let place = self.connector.places().take()?;
        self.connector.shown(&self.endpoint, &self.settings, peer, place).await
    }

    fn pool(&self) -> &PoolSettings {
        &self.settings.pool
    }

    fn speaks(&self) -> u8 {
        self.speaks.load(Ordering::Relaxed)
    }

    async fn kept(&self) -> Option<Connection> {
        let now = Clock::now();
        match self.found(now) {
            Found::Ready(single) => return Some(Connection::Single(single)),
            Found::Nothing => {}
            Found::Soon => {
                yield_now().await;
                if let Found::Ready(single) = self.shelf.take(now, &self.rest) {
                    return Some(Connection::Single(single));
                }
            }
        }
        if self.speaks() == HTTP1 {
            None
        } else {
            self.hub
                .take(self.shelf.own(), now, &self.rest)
                .map(|stream| Connection::Stream(Box::new(stream)))
        }
    }

    /// What the shelf has, unless this peer's connections end as they are used again.
    fn found(&self, now: Timestamp) -> Found {
        if self.rest.reuses(now) { self.shelf.take(now, &self.rest) } else { Found::Nothing }
    }

    /// Opens a connection that others may wait for: over HTTP/2 one does for all of them.
    async fn open_for_many(&self, steps: &mut Vec<Step>) -> Result<Connection, Broken> {
        let own = self.shelf.own();
        let mut waiting = pin!(timeout(self.settings.connect_timeout, async {
            let opening = self.hub.opening(own).await;
            // How many may share it is known when its peer has said so.
            self.hub.settled(own).await;
            opening
        }));
        // As a rule there is nobody to wait for, and no step to tell of.
        let waited = match poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx))).await {
            Poll::Ready(opening) => opening,
            Poll::Pending => {
                let step = Underway::begin(steps, StepName::Queue);
                let waited = waiting.await;
                step.end(match &waited {
                    Ok(_) => StepOutcome::Done(None),
                    Err(_) => StepOutcome::Broke(BreakKind::ConnectTimeout, None),
                });
                waited
            }
        };
        let opening = waited.map_err(|_| {
            Broken::new(BreakKind::ConnectTimeout, Certainty::NotSent).details(
                "another call's connection, which this one would have used, wasn't established"
                    .to_owned(),
            )
        })?;
        if self.speaks() == HTTP1 {
            drop(opening);
        } else if let Some(stream) = self.hub.take(own, Clock::now(), &self.rest) {
            return Ok(Connection::Stream(Box::new(stream)));
        }
        self.open(true, steps).await
    }

    /// Opens a connection, and tells the steps that it takes.
    async fn open(&self, keep: bool, steps: &mut Vec<Step>) -> Result<Connection, Broken> {
        if let Some(place) = self.place().await {
            return self.establish(place, keep, steps).await;
        }
        if let Some(stream) = self.hub.take_any(Clock::now(), &self.rest) {
            return Ok(Connection::Stream(Box::new(stream)));
        }
        let step = Underway::begin(steps, StepName::Queue);
        match self.queue().await {
            Ok(room) => {
                step.end(StepOutcome::Done(None));
                match room {
                    Room::Kept(connection) => Ok(connection),
                    Room::Place(place) => self.establish(place, keep, steps).await,
                }
            }
            Err(why) => {
                let kind = BreakKind::LimitReached;
                step.end(StepOutcome::Broke(kind, None));
                Err(Broken::new(kind, Certainty::NotSent).details(why.to_string()))
            }
        }
    }

    /// Waits until a connection is given back or a place is free, in turn, and not for too long.
    async fn queue(&self) -> Result<Room, Full> {
        let pool = self.pool();
        let places = self.connector.places();
        let full = |waited| Full { connections: places.limit(), waited };
        let turn = places.line_up(pool.queue).ok_or_else(|| full(None))?;
        let found = async {
            loop {
                let room = turn.room();
                if let Some(found) = self.look_for_room().await {
                    return found;
                }
                room.await;
            }
        };
        timeout(pool.queue_timeout, found).await.map_err(|_| full(Some(pool.queue_timeout)))
    }

    async fn look_for_room(&self) -> Option<Room> {
        for _ in 0..CLOSING_TURNS {
            match self.shelf.take(Clock::now(), &self.rest) {
                Found::Ready(single) => return Some(Room::Kept(Connection::Single(single))),
                // One that was given back a moment ago is ready when its task has had its turn.
                Found::Soon => yield_now().await,
                Found::Nothing => break,
            }
        }
        self.connector.places().take().map(Room::Place)
    }

    /// Makes a connection in `place`. One over HTTP/2 is kept for others too, if it is to be kept.
    async fn establish(
        &self,
        place: Place,
        keep: bool,
        steps: &mut Vec<Step>,
    ) -> Result<Connection, Broken> {
        let (own, changes) = (self.shelf.own(), self.changes());
        let transport = self.connector.connect(place, steps).await?;
        let lifetime =
            with_chance(|chance| Lifetime::of(self.pool(), changes, Clock::now(), chance));
        if self.settings.http2 != Http2::Always && !transport.agreed_on_http2() {
            self.speaks.store(HTTP1, Ordering::Relaxed);
            self.registry.enter(&transport, "http/1.1");
            let single = Box::new(Single::start(transport, own, lifetime).await?);
            return Ok(Connection::Single(single));
        }
        self.speaks.store(HTTP2, Ordering::Relaxed);
        self.registry.enter(&transport, "h2");
        let multi = Multi::start(transport, lifetime, self.hub.pings()).await?;
        let stream = multi.first_stream();
        if keep {
            self.hub.put(multi, own);
        }
        Ok(Connection::Stream(Box::new(stream)))
    }

    /// A place for one more connection, an idle one's if there is no other.
    pub(super) async fn place(&self) -> Option<Place> {
        let places = self.connector.places();
        let mut place = places.take();
        if place.is_none() && (self.shelf.close_one() || self.hub.close_one()) {
            // The place is free when the connection's task has let go of its socket, at its next turn.
            for _ in 0..CLOSING_TURNS {
                yield_now().await;
                place = places.take();
                if place.is_some() {
                    break;
                }
            }
        }
        place
    }

    /// Enters a connection that goes to another client's pool, and says how long it may live.
    #[cfg(feature = "tower")]
    pub(super) fn enter(&self, transport: &Transport, changes: u64) -> Lifetime {
        let is_http2 = self.settings.http2 == Http2::Always || transport.agreed_on_http2();
        self.registry.enter(transport, if is_http2 { "h2" } else { "http/1.1" });
        with_chance(|chance| Lifetime::of(self.pool(), changes, Clock::now(), chance))
    }

    /// What is known of resting here.
    #[cfg(feature = "tower")]
    pub(super) const fn rest(&self) -> &Rest {
        &self.rest
    }

    /// Takes back a connection whose exchange is over.
    pub(super) fn give_back(&self, connection: Connection) {
        let single = match connection {
            Connection::Single(single) => single,
            // The connection itself never left the hub.
            Connection::Stream(_) => return,
        };
        let now = Clock::now();
        let is_kept =
            self.rest.reuses(now) && self.leads_to(single.changes(), single.meter().peer());
        if let Some(until) = single.usable_until(now).filter(|_| is_kept) {
            self.shelf.put(single, self.rest.terms(now, until));
            self.connector.places().note_room();
        }
    }

    /// A request met the peer's close of a connection that had rested for so long, if that is known.
    pub(super) fn note_met(&self, rested: Option<Duration>) {
        self.rest.note_met(rested, Clock::now());
    }

    /// An answer may say how long its connection is kept.
    pub(super) fn note_hint(&self, fields: &HeaderMap) {
        self.rest.note_hint(fields);
    }
}

/// What somebody in the queue got.
enum Room {
    /// A kept connection.
    Kept(Connection),
    /// A place for a new one.
    Place(Place),
}

/// Why nobody could be let in.
#[derive(Debug)]
struct Full {
    connections: u32,
    /// How long somebody waited; nothing if the queue was full too.
    waited: Option<Duration>,
}

impl std::fmt::Display for Full {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "all {} connections are in use", self.connections)?;
        match self.waited {
            Some(waited) => write!(f, ", and none came free within {waited:?}"),
            None => f.write_str(", and the queue for them is full"),
        }
    }
}

const UNKNOWN: u8 = 0;
const HTTP1: u8 = 1;
const HTTP2: u8 = 2;

/// How many turns of the runtime a closing connection is given. It needs one, on its own thread.
const CLOSING_TURNS: u32 = 8;
