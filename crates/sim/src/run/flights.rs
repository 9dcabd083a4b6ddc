//! What is on its way: a request from a proxy to an endpoint and back, for a call or for a check.
//!
//! A flight has two ends, and lives as long as either cares: the proxy waits for news, the server has work. A proxy
//! that gives up is forgotten by nobody but itself; the server works on.

use std::time::Duration;

use mainstay_core::call::Connection;
use mainstay_core::event::AttemptId;
use mainstay_core::{Break, BreakKind, Certainty, EndpointId, Timestamp};

use super::pool::{Known, Taken};
use super::{Happening, Simulation};
use crate::roads::{DATA_AGAIN, SYN_AGAIN};
use crate::server::Offer;
use crate::slab::Key;
use crate::spread::Spread;
use crate::trouble::{Body, Door, Fate, Meeting, closed_while_idle};
use crate::world::Zone;

/// A request on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flight {
    pub(super) purpose: Purpose,
    pub(super) proxy: u16,
    pub(super) endpoint: EndpointId,
    is_write: bool,
    /// When its connection was made.
    made_at: Timestamp,
    /// Whether that is a kept one.
    reused: bool,
    /// What ends it as it arrives, if the connection's close crosses it.
    crossed: Option<Break>,
    /// Whether anything of it was sent.
    was_sent: bool,
    /// Whether the proxy still waits.
    waits: bool,
    /// Whether a server has it, or will.
    at_server: bool,
    /// Whether it has arrived there.
    has_reached: bool,
    /// Which life of the server has it.
    life: u32,
    fate: Fate,
}

/// What a flight is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Attempt(Key, AttemptId),
    Check,
}

impl Purpose {
    pub(super) const fn call(self) -> Option<Key> {
        match self {
            Self::Attempt(call, _) => Some(call),
            Self::Check => None,
        }
    }
}

/// The head of an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) hint: Option<Duration>,
    pub(super) body: Body,
    pub(super) endpoint: EndpointId,
    pub(super) made_at: Timestamp,
}

impl Simulation {
    /// An attempt starts: over a kept connection, or by making one.
    pub(super) fn take_off(&mut self, purpose: Purpose, to: EndpointId, connection: Connection) {
        let Purpose::Attempt(call, attempt) = purpose else { return };
        let Some(running) = self.calls.get(call) else { return };
        let (proxy, is_write) = (running.proxy, running.is_write);
        let taken = (connection == Connection::Any).then(|| self.kept(proxy, to)).flatten();
        let flight = self.fly(purpose, (proxy, to), is_write, taken);
        if let Some(running) = self.calls.get_mut(call) {
            running.live.push((attempt, flight));
        }
        match taken {
            Some(_) => self.send(flight),
            None => self.connect(flight),
        }
    }

    /// A flight that hasn't left.
    pub(super) fn fly(
        &mut self,
        purpose: Purpose,
        (proxy, endpoint): (u16, EndpointId),
        is_write: bool,
        taken: Option<Taken>,
    ) -> Key {
        let crossed = taken
            .and_then(|taken| taken.crossed)
            .map(|with| Break::new(BreakKind::ClosedWhileIdle, closed_while_idle(with)));
        self.flights.add(Flight {
            purpose,
            proxy,
            endpoint,
            is_write,
            made_at: taken.map_or(self.now, |taken| taken.made_at),
            reused: taken.is_some(),
            crossed,
            was_sent: false,
            waits: true,
            at_server: false,
            has_reached: false,
            life: 0,
            fate: Fate::Silence,
        })
    }

    fn kept(&mut self, proxy: u16, endpoint: EndpointId) -> Option<Taken> {
        let known = Known {
            now: self.now,
            closed_before: self.servers.get(usize::from(endpoint.0))?.closed_before,
            latency: self.latency(proxy, endpoint),
            idle_timeout: self.policy.connect.pool.idle_timeout,
            max_age: self.policy.connect.pool.max_age,
        };
        let proxy = self.proxies.get_mut(usize::from(proxy))?;
        proxy.pools.get_mut(usize::from(endpoint.0))?.take(known)
    }

    // ---- to the server ----------------------------------------------------------------------------------------

    /// Makes a connection: TCP, then TLS where the endpoint speaks it, a round trip each.
    pub(super) fn connect(&mut self, key: Key) {
        let Some(flight) = self.flights.get(key).copied() else { return };
        let zones = self.zones(flight.proxy, flight.endpoint);
        let Some(server) = self.servers.get(usize::from(flight.endpoint.0)) else { return };
        let (door, speaks_tls) = (server.door(self.now), server.place.tls);
        let settings = &self.policy.connect;
        let tcp_timeout = settings.tcp_timeout.min(settings.connect_timeout);
        let there = self.roads.travel(zones, SYN_AGAIN, self.now);
        let back = self.roads.travel(zones, SYN_AGAIN, self.now);
        let tcp = there.zip(back).map(|(there, back)| there + back);
        let tcp = tcp.filter(|takes| *takes < tcp_timeout && door != Door::Silent);
        let broke = |kind| Break::new(kind, Certainty::NotSent);
        let (takes, outcome) = match (tcp, door) {
            (None, _) => (tcp_timeout, Some(broke(BreakKind::ConnectTimeout))),
            (Some(tcp), Door::Closed) => (tcp, Some(broke(BreakKind::ConnectRefused))),
            (Some(tcp), Door::Tls(kind)) => (tcp * 2, Some(broke(kind))),
            (Some(tcp), Door::TlsSilent) => {
                (tcp + settings.tls_timeout, Some(broke(BreakKind::TlsTimeout)))
            }
            (Some(tcp), Door::Open | Door::Silent) => {
                (if speaks_tls { tcp * 2 } else { tcp }, None)
            }
        };
        let what = match outcome {
            Some(broke) => Happening::NotConnected(key, broke),
            None => Happening::Connected(key),
        };
        self.agenda.put(self.now + takes, what);
    }

    pub(super) fn on_connected(&mut self, key: Key) {
        let Some(flight) = self.flights.get_mut(key) else { return };
        let place = usize::from(flight.endpoint.0);
        let door = self.servers.get(place).map_or(Door::Closed, |server| server.door(self.now));
        if matches!(door, Door::Closed | Door::Silent) {
            // It fell while the handshake was on its way.
            let what = Break::new(BreakKind::ConnectRefused, Certainty::NotSent);
            return self.on_not_connected(key, what);
        }
        flight.made_at = self.now;
        if flight.purpose == Purpose::Check && !self.asks_by_request() {
            return self.on_check_over(key, Ok(()));
        }
        self.send(key);
    }

    pub(super) fn on_not_connected(&mut self, key: Key, what: Break) {
        let Some(flight) = self.flights.get(key).copied() else { return };
        self.flights.remove(key);
        self.report(flight, Err(what));
    }

    fn send(&mut self, key: Key) {
        let Some(flight) = self.flights.get(key) else { return };
        let zones = self.zones(flight.proxy, flight.endpoint);
        let call = flight.purpose.call();
        let takes = self.roads.travel(zones, DATA_AGAIN, self.now);
        if let Some(flight) = self.flights.get_mut(key) {
            flight.was_sent = true;
            flight.at_server = takes.is_some();
        }
        let Some(takes) = takes else { return };
        if let Some(running) = call.and_then(|call| self.calls.get_mut(call)) {
            running.at_servers += 1;
        }
        self.agenda.put(self.now + takes, Happening::Reaches(key));
    }

    // ---- at the server ----------------------------------------------------------------------------------------

    pub(super) fn on_reached(&mut self, key: Key) {
        let now = self.now;
        let Some(flight) = self.flights.get_mut(key) else { return };
        let Some(server) = self.servers.get_mut(usize::from(flight.endpoint.0)) else { return };
        (flight.life, flight.has_reached) = (server.life, true);
        let door = server.door(now);
        if flight.made_at < server.silent_before || door == Door::Silent {
            return self.leave_server(key, None);
        }
        if door == Door::Closed || flight.made_at < server.closed_before {
            return self.leave_server(key, Some(RESET));
        }
        if let Some(what) = flight.crossed {
            return self.leave_server(key, Some(Fate::Break(what.kind, what.certainty)));
        }
        match server.meet(flight.is_write, flight.reused, now) {
            Meeting::Instead { executed, fate } => {
                if executed {
                    let call = flight.purpose.call();
                    self.execute(call);
                }
                self.leave_server(key, Some(fate));
            }
            Meeting::Served(fate) => {
                flight.fate = fate;
                match server.offer(key, now) {
                    Offer::Serves(takes) => {
                        let life = server.life;
                        self.agenda.put(now + takes, Happening::Served { flight: key, life });
                    }
                    Offer::Waits => {
                        let waiting = self.servers.iter().map(crate::server::Server::waiting).sum();
                        self.outcome.waiting(waiting, now);
                    }
                    Offer::Full => self.leave_server(key, Some(Fate::answer(503, None))),
                }
            }
        }
    }

    pub(super) fn on_served(&mut self, key: Key, life: u32) {
        let Some(flight) = self.flights.get(key).copied() else { return };
        let Some(server) = self.servers.get_mut(usize::from(flight.endpoint.0)) else { return };
        if server.life != life {
            return;
        }
        if let Some((next, takes)) = server.done(self.now) {
            let what = Happening::Served { flight: next, life };
            self.agenda.put(self.now + takes, what);
        }
        let is_silent = flight.made_at < server.silent_before;
        self.execute(flight.purpose.call());
        self.leave_server(key, (!is_silent).then_some(flight.fate));
    }

    /// A server is done with a request; what came of it goes back, if anything does.
    pub(super) fn leave_server(&mut self, key: Key, fate: Option<Fate>) {
        let Some(flight) = self.flights.get_mut(key) else { return };
        let was_there = std::mem::replace(&mut flight.at_server, false);
        let speaks_h2 =
            self.servers.get(usize::from(flight.endpoint.0)).is_some_and(|it| it.place.h2);
        flight.fate = match fate.unwrap_or(Fate::Silence) {
            // What ends a kept connection in silence is taken for its idle limit, as `client::pool::classify` does.
            Fate::Break(BreakKind::ResetBeforeHead, certainty) if flight.reused && !speaks_h2 => {
                Fate::Break(BreakKind::ClosedWhileIdle, certainty)
            }
            fate => fate,
        };
        let flight = *flight;
        if let Some(call) = flight.purpose.call().filter(|_| was_there) {
            if let Some(running) = self.calls.get_mut(call) {
                running.at_servers -= 1;
            }
            self.forget_when_done(call);
        }
        if !flight.waits {
            self.flights.remove(key);
            return;
        }
        let place = usize::from(flight.endpoint.0);
        let later = match flight.fate {
            Fate::Silence => return,
            Fate::Answer { later: Some(delay), .. } => match self.servers.get_mut(place) {
                Some(server) => Spread::from(delay).draw(&mut server.chance),
                None => Duration::ZERO,
            },
            Fate::Answer { .. } | Fate::Break(..) => Duration::ZERO,
        };
        let zones = self.zones(flight.proxy, flight.endpoint);
        if let Some(takes) = self.roads.travel(zones, DATA_AGAIN, self.now) {
            self.agenda.put(self.now + later + takes, Happening::Returns(key));
        }
    }

    /// All requests that a server has are cut off as it falls. Those still on their way will find it fallen.
    pub(super) fn lose_flights(&mut self, endpoint: usize) {
        let lost = |flight: &Flight| {
            usize::from(flight.endpoint.0) == endpoint && flight.at_server && flight.has_reached
        };
        let keys: Vec<Key> =
            self.flights.iter().filter(|(_, it)| lost(it)).map(|(key, _)| key).collect();
        keys.into_iter().for_each(|key| self.leave_server(key, Some(RESET)));
    }

    // ---- back at the proxy ------------------------------------------------------------------------------------

    pub(super) fn on_returned(&mut self, key: Key) {
        let Some(flight) = self.flights.remove(key) else { return };
        let news = match flight.fate {
            Fate::Answer { status, hint, body, .. } => {
                Ok(Head { status, hint, body, endpoint: flight.endpoint, made_at: flight.made_at })
            }
            Fate::Break(kind, certainty) => Err(Break::new(kind, certainty)),
            Fate::Silence => return,
        };
        self.report(flight, news);
    }

    fn report(&mut self, flight: Flight, news: Result<Head, Break>) {
        match (flight.purpose, news) {
            (Purpose::Attempt(call, attempt), Ok(head)) => self.on_answer(call, attempt, head),
            (Purpose::Attempt(call, attempt), Err(what)) => {
                self.on_attempt_broke(call, attempt, what);
            }
            (Purpose::Check, Ok(head)) => {
                let passed = if head.status < 400 { Ok(()) } else { Err(BreakKind::ServerError) };
                self.check_answered(flight.proxy, flight.endpoint, passed);
            }
            (Purpose::Check, Err(what)) => {
                self.check_answered(flight.proxy, flight.endpoint, Err(what.kind));
            }
        }
    }

    /// Nobody waits for this one any more. Gives what is known of it then.
    pub(super) fn drop_flight(&mut self, key: Key) -> Option<Break> {
        let flight = self.flights.get_mut(key)?;
        flight.waits = false;
        let what = if flight.was_sent {
            Break::new(BreakKind::ResponseTimeout, Certainty::MaybeProcessed)
        } else {
            Break::new(BreakKind::ConnectTimeout, Certainty::NotSent)
        };
        if !flight.at_server {
            self.flights.remove(key);
        }
        Some(what)
    }

    pub(super) fn zones(&self, proxy: u16, endpoint: EndpointId) -> (Zone, Zone) {
        let from = self.proxies.get(usize::from(proxy)).map_or(0, |proxy| proxy.zone);
        let to = self.servers.get(usize::from(endpoint.0)).map_or(0, |server| server.place.zone);
        (from, to)
    }
}

/// What a server's connections see of its fall.
const RESET: Fate = Fate::Break(BreakKind::ResetBeforeHead, Certainty::MaybeProcessed);
