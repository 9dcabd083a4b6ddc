//! Makes the calls for stored writes, each as any other call of its route: with its breaker, its failover, its budget.

use std::sync::{Arc, Weak};

use http::request::Parts;
use http::{HeaderName, HeaderValue};
use mainstay::stored::{Tried, without_port};
use mainstay::{Client, Clock, Plan, Source, fresh_chance};
use mainstay_core::outbox::{Assurance, Next, ScheduleSettings};
use mainstay_outbox::{
    Deliver, Delivered, Offer, Secrets, Store, StoreError, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP,
};
use mainstay_record::Origin;
use parking_lot::Mutex;

use super::Seldom;
use crate::route::{Route, Table};
use crate::shared::Shared;

/// Makes calls by the current generation's routes.
#[derive(Debug)]
pub(super) struct Courier {
    /// Weak: the shared state holds the outbox.
    shared: Weak<Shared>,
    store: Store,
    compiled: Mutex<Option<Arc<Compiled>>>,
    troubles: Seldom,
}

/// One generation, compiled for this thread.
#[derive(Debug)]
pub(super) struct Compiled {
    number: u64,
    pub(super) table: Table,
    client: Client,
    secrets: Option<Arc<Secrets>>,
}

impl Courier {
    pub(super) fn new(shared: &Arc<Shared>, store: Store) -> Self {
        Self {
            shared: Arc::downgrade(shared),
            store,
            compiled: Mutex::new(None),
            troubles: Seldom::default(),
        }
    }

    /// The current generation's routes.
    pub(super) fn compiled(&self) -> Option<Arc<Compiled>> {
        let current = self.shared.upgrade()?.current();
        let mut compiled = self.compiled.lock();
        if compiled.as_ref().is_none_or(|compiled| compiled.number != current.number) {
            *compiled = Some(Arc::new(Compiled {
                number: current.number,
                table: Table::new(&current),
                client: current.client.clone(),
                secrets: current.secrets.clone(),
            }));
        }
        compiled.clone()
    }
}

impl Compiled {
    /// How a stored write goes out; `None`: no route takes it any more.
    fn write(&self, offer: &Offer) -> Option<(Parts, Arc<Route>, ScheduleSettings)> {
        let head = offer.head.to_request().ok()?;
        let host = head.headers.get(http::header::HOST).and_then(|host| host.to_str().ok());
        let host = host.map_or("", without_port);
        // By its name, since the stored head isn't just what was routed; by what matches, where the name is gone.
        // One that was taken in when no route took it goes nowhere yet.
        let stores = |route: &&Arc<Route>| {
            route.outbox.is_some()
                && (offer.upstream.is_empty() || **route.plan.service.name() == *offer.upstream)
        };
        let named = self.table.named(&offer.route).filter(stores);
        let route = Arc::clone(named.or_else(|| self.table.find(&head, host).filter(stores))?);
        let schedule = route.outbox.as_ref()?.settings.schedule.clone();
        Some((head, route, schedule))
    }

    /// How a callback goes out: signed now, and by the schedule of the write that it tells of. `None`: nobody is told there any more.
    fn callback(&self, offer: &Offer) -> Option<(Parts, Arc<Route>, ScheduleSettings)> {
        let mut head = offer.head.to_request().ok()?;
        let route = Arc::clone(self.table.callback(&offer.upstream)?);
        let of_write = self.table.named(&offer.route).and_then(|route| route.outbox.as_ref());
        let schedule = of_write.or(route.outbox.as_ref())?.settings.schedule.clone();
        let at = Clock::unix_millis() / 1000;
        let signature = self.secrets.as_ref()?.sign(offer.id, at, &offer.body);
        let signature = HeaderValue::try_from(signature).ok()?;
        head.headers.insert(HeaderName::from_static(WEBHOOK_TIMESTAMP), at.into());
        head.headers.insert(HeaderName::from_static(WEBHOOK_SIGNATURE), signature);
        Some((head, route, schedule))
    }
}

impl Deliver for Courier {
    async fn deliver(&self, offer: &Offer) -> Option<Delivered> {
        let compiled = self.compiled()?;
        let (head, route, schedule) = match offer.about {
            None => compiled.write(offer)?,
            Some(_) => compiled.callback(offer)?,
        };
        let plan = route.plan_of(offer.assurance);
        let (at, began) = (self.store.now(), Clock::now());
        let source =
            if offer.body.is_empty() { Source::Empty } else { Source::Full(offer.body.clone()) };
        let tried =
            Tried::of(compiled.client.call_from(Origin::Outbox, plan, head, source).await).await;
        let took = Clock::now().since(began);
        let note = (!tried.end.is_own_refusal()).then(|| tried.note(at, took));
        let seed = fresh_chance().next_u64();
        Some(Delivered { end: tried.end, note, answer: tried.answer, schedule, seed })
    }

    fn most_in_flight(&self, _: &str) -> u16 {
        let current = self.shared.upgrade().map(|shared| shared.current());
        current.map_or(1, |current| current.settings.outbox.in_flight)
    }

    fn became(&self, offer: &Offer, next: Next) {
        let (id, upstream) = (offer.id, &offer.upstream);
        match next {
            Next::Delivered => tracing::debug!(%id, upstream, "a stored write was delivered"),
            Next::Again { at, .. } => {
                tracing::debug!(%id, upstream, at = at.0, "a stored write is tried again");
            }
            Next::Stopped(why) => {
                tracing::warn!(%id, upstream, reason = why.code(), "a stored write waits for a person");
            }
            Next::Dead(why) => {
                tracing::warn!(%id, upstream, reason = why.code(), "a stored write was given up");
            }
        }
    }

    fn trouble(&self, error: &StoreError) {
        // What can't be written is tried again and again, for all that is on its way.
        if let Some(count) = self.troubles.happened(Clock::now()) {
            tracing::error!(%error, count, "the outbox is in trouble");
        }
    }
}

impl Route {
    /// The plan for a write with this assurance: a key that was minted is no proof where nobody says that the API heeds it.
    pub(crate) fn plan_of(&self, assurance: Assurance) -> &Plan {
        self.outbox.as_ref().map_or(&self.plan, |stores| stores.plan_of(assurance))
    }
}
