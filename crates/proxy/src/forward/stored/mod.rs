//! A write of a route with an outbox: stored first, or tried directly and stored if it can't be delivered now.
//!
//! The application gets 202 only when the write is on the disk. Everything else it gets as without an outbox: an answer of the
//! upstream, whatever it says; a break of a write that may have been done; a refusal before anything was accepted.

mod callback;
mod page;
mod prefer;
mod row;

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderName};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use mainstay::stored::{Direct, Storable, Stores, Tried};
use mainstay::{Answer, BodyRoom, Clock, Plan, Source, Unanswered, fresh_chance};
use mainstay_config::settings::OutboxMode;
use mainstay_core::outbox::{DeadReason, Next, Standing, WallTime, after_call};
use mainstay_outbox::store::{Accepted, Full};
use mainstay_outbox::{DeliveryId, State, StoreError};
use mainstay_record::Origin;
use mainstay_record::rfc3339;
use serde_json::json;
use tokio::time::timeout;

use super::reply::Inner;
use super::{Refused, answer};
use crate::connection::Link;
use crate::outbox::{Outbox, TriedNow, Turn};
use crate::problem::{PROXY_STATUS, Problem, Refusal};
use crate::route::Route;
use crate::worker::Local;
pub(super) use callback::CALLBACK;
pub(super) use page::page;
use prefer::Preferences;
pub(crate) use row::of_row;

/// Whether a request is one that may be stored.
pub(super) fn wanted(route: &Route, head: &Parts, upgrades: bool) -> bool {
    let Some(stores) = &route.outbox else { return false };
    let only_reads =
        matches!(head.method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE);
    // A tunnel is a conversation, and so is gRPC.
    let converses = upgrades || mainstay::is_grpc(&head.headers);
    let is_asked_for = stores.settings.mode != OutboxMode::OnRequest
        || Preferences::of(&head.headers).respond_async;
    !only_reads && !converses && is_asked_for
}

/// Takes a write through the outbox.
pub(super) async fn enter(
    local: &Local,
    outbox: &Arc<Outbox>,
    route: &Arc<Route>,
    link: &Arc<Link>,
    mut head: Parts,
    body: Incoming,
) -> Result<Response<Inner>, Refused> {
    let Some(stores) = &route.outbox else { return Err(Refusal::NoRoute.into()) };
    let prefers = Preferences::of(&head.headers);
    let callback = callback::take_out(&mut head.headers, stores)?;
    let first = prefers.respond_async || stores.settings.mode == OutboxMode::Always;
    let room = local.client.body_room();
    let is_bound = first || stores.settings.lane.is_some();
    let (body, room) = match whole(body, room, stores.settings.body_bytes, &route.plan).await? {
        Read::Whole(body, room) => (body, room),
        // What is stored first can't be, and what has an order would lose it.
        Read::TooLarge(_) if is_bound => return Err(Refusal::TooLargeToStore.into()),
        Read::NoRoom(_) if is_bound => {
            let why = "Bodies of other requests take all of the memory that limits.replay_total allows; later there may be room.";
            return Err(Refusal::OutboxFull(why).into());
        }
        // That it can't be stored is no reason not to try.
        Read::TooLarge(source) | Read::NoRoom(source) => {
            return match local.client.call_from(link.origin(), &route.plan, head, source).await {
                Ok(answer) => Ok(answer::of_answer(answer, route, link, None)),
                Err(unanswered) => Err(refused(&unanswered)),
            };
        }
    };
    // What is asked of us is answered here; what is asked of the API goes on.
    Preferences::take_out(&mut head.headers);
    let id = DeliveryId::fresh().map_err(|_| Refusal::OutboxDown)?;
    let it = Storable::new(id, (&route.plan, stores), head, body, outbox.store().now());
    let it = Storable { callback, ..it };
    let write = Write { origin: link.origin(), route, stores, it, _room: room };
    let became = write.take_its_turn(local, outbox, first).await?;
    // Whoever waits for the end doesn't hold up the others of its lane.
    match became {
        Became::Stored(Accepted::New) => write.accepted(outbox, prefers).await,
        Became::Stored(Accepted::Known(id)) => known(outbox, id, prefers).await,
        Became::Tried(outcome) => match *outcome {
            Ok(answer) => Ok(answer::of_answer(answer, route, link, None)),
            Err(unanswered) => Err(refused(&unanswered)),
        },
        Became::Unsure(error) => Err(cant(outbox)(error)),
    }
}

/// What became of a write at first.
enum Became {
    /// It is on the disk, or the very same one was.
    Stored(Accepted),
    /// It was tried, and this came of it.
    Tried(Box<Result<Answer, Unanswered>>),
    /// It may be stored.
    Unsure(StoreError),
}

/// A write that may be stored.
struct Write<'a> {
    origin: Origin,
    route: &'a Arc<Route>,
    stores: &'a Stores,
    it: Storable<'a>,
    /// What its body takes of the memory for bodies.
    _room: BodyRoom,
}

impl Write<'_> {
    /// Whether others of its lane wait: tried directly it would overtake them. While the process before this one still delivers, it may be
    /// trying some that nobody can see, with this key or of this lane.
    async fn is_behind(&self, outbox: &Outbox) -> Result<bool, Refused> {
        if !outbox.store().is_serving() && (self.it.lane.is_some() || self.it.scope.is_some()) {
            return Ok(true);
        }
        let Some(lane) = &self.it.lane else { return Ok(false) };
        let items = outbox.store().lane_items(self.route.plan.service.name(), lane).await;
        items.map(|items| items > 0).map_err(cant(outbox))
    }

    /// Stores it or tries it, when those before it in its lane have been stored or tried.
    async fn take_its_turn(
        &self,
        local: &Local,
        outbox: &Arc<Outbox>,
        first: bool,
    ) -> Result<Became, Refused> {
        let _turn = match &self.it.lane {
            Some(lane) => Some(Turn::of(outbox, self.route.plan.service.name(), lane).await),
            None => None,
        };
        let _tried_now = match self.it.scope {
            Some(scope) => Some(TriedNow::begin(outbox, scope).ok_or(Refusal::KeyInUse)?),
            None => None,
        };
        if let Some(scope) = self.it.scope {
            match outbox.store().known(scope, self.it.print).await {
                Ok(Some(id)) => return Ok(Became::Stored(Accepted::Known(id))),
                Ok(None) => {}
                Err(error @ StoreError::OtherRequest(_)) => return Err(cant(outbox)(error)),
                // A store that can't be asked is no reason not to try what has no order.
                Err(error) if first || self.it.lane.is_some() => return Err(cant(outbox)(error)),
                Err(error) => {
                    if let Some(count) = outbox.unstored.happened(Clock::now()) {
                        tracing::warn!(%error, count, "the outbox can't be asked");
                    }
                }
            }
        }
        if first || self.is_behind(outbox).await? {
            let stored = self.store(outbox, None, self.it.accepted_at).await;
            return stored.map(Became::Stored).map_err(cant(outbox));
        }
        Ok(self.try_directly(local, outbox).await)
    }

    /// Tries it, and stores it if that is right and it can't be delivered now.
    async fn try_directly(&self, local: &Local, outbox: &Arc<Outbox>) -> Became {
        let source = if self.it.body.is_empty() {
            Source::Empty
        } else {
            Source::Full(self.it.body.clone())
        };
        let plan = self.route.plan_of(self.it.assurance);
        let calling = local.client.call_from(self.origin, plan, self.it.head.clone(), source);
        let outcome = Box::new(calling.await);
        let tried = match &*outcome {
            Ok(answer) => Tried::of_head(answer),
            Err(unanswered) if unanswered.request_error.is_some() => return Became::Tried(outcome),
            Err(unanswered) => Tried::of_unanswered(unanswered),
        };
        let standing = Standing {
            calls: 1,
            maybe_done: false,
            expires_at: self.it.expires_at(),
            assurance: self.it.assurance,
        };
        let (schedule, now) = (&self.stores.settings.schedule, outbox.store().now());
        let next = after_call(schedule, &standing, tried.end, now, &mut fresh_chance());
        let Next::Again { at, .. } = next else { return Became::Tried(outcome) };
        let took = now.since(self.it.accepted_at);
        let tried = Direct {
            note: next.counts().then(|| tried.note(self.it.accepted_at, took)),
            maybe_done: tried.end.may_have_done_it(),
            hold_until: next.asked_hold(),
        };
        match self.store(outbox, Some(tried), at).await {
            Ok(stored) => Became::Stored(stored),
            Err(error @ StoreError::Unsure(_)) => Became::Unsure(error),
            // It wasn't accepted: the application gets what it would have got without an outbox.
            Err(error) => {
                if let Some(count) = outbox.unstored.happened(Clock::now()) {
                    tracing::warn!(%error, count, "a write that can't be delivered now can't be stored");
                }
                Became::Tried(outcome)
            }
        }
    }

    /// Stores it. `tried`: the direct call, if one was made.
    async fn store(
        &self,
        outbox: &Outbox,
        tried: Option<Direct>,
        due_at: WallTime,
    ) -> Result<Accepted, StoreError> {
        outbox.store().accept(self.it.delivery(tried, due_at)).await
    }

    /// The answer now that it is on the disk.
    async fn accepted(
        &self,
        outbox: &Outbox,
        prefers: Preferences,
    ) -> Result<Response<Inner>, Refused> {
        if let Some(patience) = prefers.wait {
            match outbox.settled(self.it.id, patience).await {
                Ok(summary) if has_answer(summary.state) => {
                    return page::answer_of(outbox, self.it.id).await;
                }
                Ok(_) => {}
                // It is accepted, whatever can't be read now.
                Err(error) => tracing::warn!(%error, "a stored write can't be waited for"),
            }
        }
        let receipt = Receipt {
            id: self.it.id,
            state: State::Waiting,
            key: &self.it.key,
            accepted_at: self.it.accepted_at,
            expires_at: self.it.expires_at(),
        };
        Ok(receipt.answer(outbox, prefers))
    }
}

/// A body that was to be read as a whole.
enum Read {
    /// It is here, and takes this room.
    Whole(Bytes, BodyRoom),
    /// It is larger than is stored: a source of all of it.
    TooLarge(Source),
    /// There is no memory for it now.
    NoRoom(Source),
}

/// Reads a body of up to `most` bytes.
async fn whole(
    mut body: Incoming,
    mut room: BodyRoom,
    most: usize,
    plan: &Plan,
) -> Result<Read, Refused> {
    if body.is_end_stream() {
        return Ok(Read::Whole(Bytes::new(), room));
    }
    if body.size_hint().lower() > most as u64 {
        return Ok(Read::TooLarge(Source::Incoming(body)));
    }
    let mut here = BytesMut::new();
    loop {
        let frame = timeout(plan.body_idle_timeout, body.frame()).await;
        let Some(frame) = frame.map_err(|_| Refusal::BodyTooSlow)? else { break };
        let frame = frame.map_err(|_| Refusal::BadRequest("The request's body broke off."))?;
        let Some(data) = frame.data_ref() else { continue };
        here.extend_from_slice(data);
        if plan.body_bytes.is_some_and(|limit| here.len() as u64 > limit) {
            return Err(Refusal::BodyTooLarge.into());
        }
        if here.len() > most {
            return Ok(Read::TooLarge(Source::Begun(here.freeze(), body)));
        }
        if !room.take(data.len()) {
            return Ok(Read::NoRoom(Source::Begun(here.freeze(), body)));
        }
    }
    Ok(Read::Whole(here.freeze(), room))
}

/// The answer to a request that was stored before.
async fn known(
    outbox: &Outbox,
    id: DeliveryId,
    prefers: Preferences,
) -> Result<Response<Inner>, Refused> {
    let patience = prefers.wait.unwrap_or(Duration::ZERO);
    let summary = if patience.is_zero() {
        outbox.store().summary(id).await
    } else {
        outbox.settled(id, patience).await
    }
    .map_err(cant(outbox))?;
    match summary.state {
        // It won't arrive, so it isn't accepted either: what the API said, if that was why.
        State::Dead(DeadReason::Rejected) => return page::answer_of(outbox, id).await,
        State::Dead(_) => return Err(Refusal::GivenUp.into()),
        State::Delivered if !patience.is_zero() => return page::answer_of(outbox, id).await,
        State::Delivered | State::Waiting | State::Stopped(_) => {}
    }
    let receipt = Receipt {
        id,
        state: summary.state,
        key: &summary.key,
        accepted_at: summary.accepted_at,
        expires_at: summary.expires_at,
    };
    Ok(receipt.answer(outbox, prefers))
}

/// Whether a delivery in this state has the API's last word.
const fn has_answer(state: State) -> bool {
    matches!(state, State::Delivered | State::Dead(DeadReason::Rejected))
}

/// Where a delivery can be asked after.
fn place(outbox: &Outbox, id: DeliveryId) -> String {
    format!("{}/{id}", outbox.settings().status_path)
}

/// What an application learns of a write that is on the disk.
struct Receipt<'a> {
    id: DeliveryId,
    state: State,
    key: &'a str,
    accepted_at: WallTime,
    expires_at: WallTime,
}

impl Receipt<'_> {
    /// 202.
    fn answer(&self, outbox: &Outbox, prefers: Preferences) -> Response<Inner> {
        let place = place(outbox, self.id);
        let document = json!({
            "id": self.id,
            "state": self.state.name(),
            "status": place,
            "key": self.key,
            "accepted_at": rfc3339(self.accepted_at.0),
            "gives_up_at": rfc3339(self.expires_at.0),
        });
        let mut response = Response::new(Inner::Whole(document.to_string().into()));
        *response.status_mut() = StatusCode::ACCEPTED;
        let headers = response.headers_mut();
        if let Ok(place) = HeaderValue::try_from(place) {
            headers.insert(header::LOCATION, place);
        }
        if prefers.respond_async {
            headers.insert(PREFERENCE_APPLIED, HeaderValue::from_static("respond-async"));
        }
        headers.insert(PROXY_STATUS, HeaderValue::from_static("mainstay; details=\"stored\""));
        mark(headers, self.id);
        response
    }
}

/// The fields of all answers about a delivery.
fn mark(headers: &mut HeaderMap, id: DeliveryId) {
    headers.entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(id) = HeaderValue::try_from(id.to_string()) {
        headers.insert(DELIVERY, id);
    }
}

fn refused(unanswered: &Unanswered) -> Refused {
    Refused {
        problem: Box::new(Problem::of_call(unanswered)),
        close: unanswered.request_error.is_some(),
    }
}

/// Why a write isn't stored.
fn cant(outbox: &Outbox) -> impl Fn(StoreError) -> Refused {
    |error| {
        let refusal = match error {
            StoreError::Full(Full::Items) => {
                Refusal::OutboxFull("The outbox holds as many writes as outbox.items allows.")
            }
            StoreError::Full(Full::Bytes) => {
                Refusal::OutboxFull("The outbox holds as many bytes as outbox.size allows.")
            }
            StoreError::Full(Full::Lane) => {
                Refusal::OutboxFull("The write's lane holds as many as outbox.lane_items allows.")
            }
            StoreError::Full(Full::Disk) => Refusal::OutboxFull("The outbox's disk is full."),
            StoreError::OtherRequest(_) => Refusal::KeyReused,
            StoreError::Unknown => Refusal::NoDelivery,
            StoreError::Unsure(id) => {
                tracing::error!(%error, "a write may be stored");
                let problem = Problem::of_refusal(Refusal::OutboxUnsure).about(id.to_string());
                return Refused { problem: Box::new(problem), close: false };
            }
            error => {
                if let Some(count) = outbox.unstored.happened(Clock::now()) {
                    tracing::error!(%error, count, "a write can't be stored");
                }
                Refusal::OutboxDown
            }
        };
        refusal.into()
    }
}

const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
const DELIVERY: HeaderName = HeaderName::from_static("mainstay-delivery");
