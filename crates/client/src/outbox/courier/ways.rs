//! How stored writes go out: by the client's routes.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderValue;
use http::header::HOST;
use http::request::Parts;
use mainstay_core::outbox::{Next, StoppedReason, WallTime};
use mainstay_outbox::store::{Full, Intake, IntakeRow};
use mainstay_outbox::{Deliver, Delivered, NewDelivery, Offer, Store, StoreError, fingerprint};
use parking_lot::Mutex;

use super::intake::{Found, Lane};
use crate::body::Source;
use crate::library::places::StoredWay;
use crate::stored::{IDEMPOTENCY_KEY, Storable, Tried, bounded, request, stopped};
use crate::{Clock, Mainstay, fresh_chance};

/// Makes the calls.
#[derive(Debug)]
pub(super) struct Ways {
    pub(super) client: Mainstay,
    pub(super) store: Store,
    pub(super) in_flight: u16,
    pub(super) troubles: Arc<Troubles>,
}

/// What is wrong at this moment.
#[derive(Debug, Default)]
pub(super) struct Troubles(Mutex<Wrong>);

#[derive(Debug, Default)]
struct Wrong {
    /// With the table, or the store when it was looked after last.
    looking: Option<String>,
    /// With deliveries, and when that was said. Nobody says when it is over; while it isn't, it is said again.
    delivering: Option<(String, Instant)>,
}

impl Wrong {
    fn delivering(&self) -> Option<&String> {
        let said = self.delivering.as_ref().filter(|(_, at)| at.elapsed() < SAID_AGAIN_WITHIN);
        said.map(|(error, _)| error)
    }
}

impl Troubles {
    /// What the last look found, or that it found nothing.
    pub(super) fn looking(&self, now: Option<String>) {
        let mut wrong = self.0.lock();
        if let Some(error) = now.as_ref().filter(|now| wrong.looking.as_ref() != Some(*now)) {
            log(error);
        }
        wrong.looking = now;
    }

    /// What the dispatcher met.
    pub(super) fn delivering(&self, error: String) {
        let mut wrong = self.0.lock();
        if wrong.delivering() != Some(&error) {
            log(&error);
        }
        wrong.delivering = Some((error, Instant::now()));
    }

    pub(super) fn now(&self) -> Option<String> {
        let wrong = self.0.lock();
        let both: Vec<&str> = [wrong.looking.as_ref(), wrong.delivering()]
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect();
        (!both.is_empty()).then(|| both.join("; "))
    }
}

fn log(error: &str) {
    #[cfg(feature = "tracing")]
    tracing::error!(target: "mainstay", error, "the outbox is in trouble");
    // Whoever asks is told.
    #[cfg(not(feature = "tracing"))]
    let _ = error;
}

impl Ways {
    /// Stores a row, unless its lane is one of those that are full, or is found to be. What is no request, and what no route takes, waits for a
    /// person.
    pub(super) async fn store(
        &self,
        found: &Found,
        full: &mut HashSet<Lane>,
    ) -> Result<bool, StoreError> {
        let (row, now) = (&found.row, self.store.now());
        // By this it is known if it comes a second time; its key is the API's business.
        let scope = Some(fingerprint(&[b"intake", row.id.as_bytes()]));
        let print = fingerprint(&[row.id.as_bytes()]);
        let Some(new) = self.routed(row, now).filter(|_| found.is_readable) else {
            let new = NewDelivery { scope, print, ..stopped(row, now) };
            return self.store.set_aside(new, StoppedReason::NoRoute).await.map(|_| true);
        };
        let lane = new.lane.clone().map(|lane| (new.upstream.clone(), lane));
        if lane.as_ref().is_some_and(|lane| full.contains(lane)) {
            return Ok(false);
        }
        match self.store.accept(NewDelivery { scope, print, ..new }).await {
            Err(StoreError::Full(Full::Lane)) => {
                full.extend(lane);
                Ok(false)
            }
            accepted => accepted.map(|_| true),
        }
    }

    /// What becomes of a row in the store's own database.
    pub(super) fn intake(&self, row: &IntakeRow, now: WallTime) -> Intake {
        match self.routed(row, now) {
            Some(new) => Intake::Goes(Box::new(new)),
            None => Intake::Stops(Box::new(stopped(row, now))),
        }
    }

    fn routed(&self, row: &IntakeRow, now: WallTime) -> Option<NewDelivery> {
        let mut head = request(row)?;
        for name in OF_A_CONNECTION {
            head.headers.remove(name);
        }
        let StoredWay { plan, stores, below, .. } = self.client.stored_ways().storing(&head)?;
        head.uri = below.unwrap_or(head.uri);
        bare_of_default_port(&mut head);
        if let Some(key) = &row.key {
            let name = plan.idempotency_headers.first().cloned().unwrap_or(IDEMPOTENCY_KEY);
            head.headers.insert(name, HeaderValue::try_from(key).ok()?);
        }
        let it = Storable::new(row.id, (&plan, &stores), head, row.body.clone(), now);
        let lane = row.lane.clone().and_then(bounded).or(it.lane.clone());
        Some(Storable { lane, ..it }.delivery(None, now))
    }

    /// By the route that stored it; by what matches, where that is gone.
    fn way(&self, offer: &Offer, head: &Parts) -> Option<StoredWay> {
        let ways = self.client.stored_ways();
        // One that no route took at first is as the program has put it into the table.
        if offer.upstream.is_empty() {
            return ways.storing(head);
        }
        let named = ways.stored(&offer.upstream, &offer.route);
        named.or_else(|| ways.storing_within(&offer.upstream, head))
    }
}

impl Deliver for Ways {
    async fn deliver(&self, offer: &Offer) -> Option<Delivered> {
        let mut head = offer.head.to_request().ok()?;
        let StoredWay { station, stores, below, .. } = self.way(offer, &head)?;
        head.uri = below.unwrap_or(head.uri);
        bare_of_default_port(&mut head);
        // Without a runtime nobody would be here.
        let _ = station.watch();
        let body: Bytes = offer.body.clone();
        let source = if body.is_empty() { Source::Empty } else { Source::Full(body) };
        let (at, began) = (self.store.now(), Clock::now());
        let calling = self.client.deliver(stores.plan_of(offer.assurance), head, source);
        let tried = Tried::of(calling.await).await;
        let took = Clock::now().since(began);
        let note = (!tried.end.is_own_refusal()).then(|| tried.note(at, took));
        Some(Delivered {
            end: tried.end,
            note,
            answer: tried.answer,
            schedule: stores.settings.schedule.clone(),
            seed: fresh_chance().next_u64(),
        })
    }

    fn most_in_flight(&self, _: &str) -> u16 {
        self.in_flight
    }

    fn became(&self, offer: &Offer, next: Next) {
        #[cfg(feature = "tracing")]
        {
            let (id, upstream) = (offer.id, offer.upstream.as_str());
            match next {
                Next::Delivered => {
                    tracing::debug!(target: "mainstay", %id, upstream, "a stored write was delivered");
                }
                Next::Again { .. } => {
                    tracing::debug!(target: "mainstay", %id, upstream, "a stored write is tried again");
                }
                Next::Stopped(why) => {
                    let reason = why.code();
                    tracing::warn!(target: "mainstay", %id, upstream, reason, "a stored write waits for a person");
                }
                Next::Dead(why) => {
                    let reason = why.code();
                    tracing::warn!(target: "mainstay", %id, upstream, reason, "a stored write was given up");
                }
            }
        }
        // The store has it, for whoever asks.
        #[cfg(not(feature = "tracing"))]
        let _ = (offer, next);
    }

    fn trouble(&self, error: &StoreError) {
        self.troubles.delivering(error.to_string());
    }
}

/// A port in the table tells https from http; a server that is sent the host as it is knows it without ([`Delivery`](crate::outbox::Delivery)).
fn bare_of_default_port(head: &mut Parts) {
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok());
    let bare = host.and_then(|host| host.strip_suffix(":443").or(host.strip_suffix(":80")));
    if let Some(Ok(bare)) = bare.map(HeaderValue::try_from) {
        head.headers.insert(HOST, bare);
    }
}

/// A store that fails is asked again each second, what is held for want of a key twice a minute.
const SAID_AGAIN_WITHIN: Duration = Duration::from_secs(60);

/// Fields that speak of a connection (RFC 9110, section 7.6.1), and none that a request can be stored with.
const OF_A_CONNECTION: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_that_finds_nothing_does_not_hide_what_is_wrong_with_deliveries() {
        let troubles = Troubles::default();
        troubles.delivering("the database failed".to_owned());
        troubles.looking(None);
        assert_eq!(troubles.now().as_deref(), Some("the database failed"));
        troubles.looking(Some("the table is gone".to_owned()));
        assert_eq!(troubles.now().as_deref(), Some("the table is gone; the database failed"));
    }
}
