//! A write of a route with an outbox: stored first, or tried directly and stored if it can't be delivered now.
//!
//! The application gets 202 only when the write is on the disk. Everything else it gets as without an outbox: an answer of the
//! upstream, whatever it says; a break of a write that may have been done; a refusal before anything was accepted.

mod page;
mod prefer;

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderName};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use mainstay::{Answer, Plan, Source, Unanswered, fresh_chance};
use mainstay_config::settings::{LaneBy, MaybeDone, OutboxMode};
use mainstay_core::breaks::safety::Ground;
use mainstay_core::call::Layer;
use mainstay_core::outbox::{Assurance, DeadReason, Next, Standing, WallTime, after_call};
use mainstay_outbox::store::{Accepted, Full};
use mainstay_outbox::{
    CallNote, DeliveryId, NewDelivery, State, StoreError, StoredHead, fingerprint, is_secret,
};
use mainstay_record::rfc3339;
use serde_json::json;
use tokio::time::timeout;

use super::reply::Inner;
use super::{Refused, answer};
use crate::connection::Link;
use crate::outbox::{Outbox, Tried, TriedNow, Turn, now};
use crate::problem::{PROXY_STATUS, Problem, Refusal};
use crate::route::{Route, RouteStores};
use crate::worker::Local;
pub(super) use page::page;
use prefer::Preferences;

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
    let first = prefers.respond_async || stores.settings.mode == OutboxMode::Always;
    let body = match whole(body, stores.settings.body_bytes, &route.plan).await? {
        Ok(body) => body,
        // What is stored first can't be, and what has an order would lose it.
        Err(_) if first || stores.settings.lane.is_some() => {
            return Err(Refusal::TooLargeToStore.into());
        }
        // Too large to be stored is no reason not to try.
        Err(source) => {
            return match local.client.call(&route.plan, head, source).await {
                Ok(answer) => Ok(answer::of_answer(answer, route, link, None)),
                Err(unanswered) => Err(refused(&unanswered)),
            };
        }
    };
    // What is asked of us is answered here; what is asked of the API goes on.
    Preferences::take_out(&mut head.headers);
    let write = Write::new(route, stores, head, body)?;
    let became = write.take_its_turn(local, outbox, first).await?;
    // Whoever waits for the end doesn't hold up the others of its lane.
    match became {
        Became::Stored(Accepted::New) => write.accepted(outbox, prefers).await,
        Became::Stored(Accepted::Known(id)) => known(outbox, id, prefers).await,
        Became::Tried(outcome) => match *outcome {
            Ok(answer) => Ok(answer::of_answer(answer, route, link, None)),
            Err(unanswered) => Err(refused(&unanswered)),
        },
    }
}

/// What became of a write at first.
enum Became {
    /// It is on the disk, or the very same one was.
    Stored(Accepted),
    /// It was tried, and this came of it.
    Tried(Box<Result<Answer, Unanswered>>),
}

/// A write that may be stored.
struct Write<'a> {
    id: DeliveryId,
    route: &'a Arc<Route>,
    stores: &'a RouteStores,
    head: Parts,
    body: Bytes,
    key: String,
    lane: Option<String>,
    scope: Option<[u8; 32]>,
    print: [u8; 32],
    assurance: Assurance,
    accepted_at: WallTime,
}

impl<'a> Write<'a> {
    fn new(
        route: &'a Arc<Route>,
        stores: &'a RouteStores,
        mut head: Parts,
        body: Bytes,
    ) -> Result<Self, Refused> {
        let id = DeliveryId::fresh().map_err(|_| Refusal::OutboxDown)?;
        let names = &route.plan.idempotency_headers;
        let own = names.iter().find_map(|name| head.headers.get(name));
        let own = own.filter(|key| !key.is_empty()).cloned();
        let ground = Ground::of(head.method.as_str(), own.is_some(), route.plan.policy.idempotent);
        let keys_count = stores.settings.maybe_done == MaybeDone::Again;
        let target = head.uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let print = fingerprint(&[head.method.as_str().as_bytes(), target.as_bytes(), &body]);
        let (key, scope) = match own {
            Some(key) => {
                let scope = scope(route.plan.service.name(), &key, &head.headers);
                (String::from_utf8_lossy(key.as_bytes()).into_owned(), Some(scope))
            }
            None => {
                // A structured field's string, as the draft has it (draft-ietf-httpapi-idempotency-key-header).
                let minted = format!("\"{id}\"");
                let name = names.first().cloned().unwrap_or(IDEMPOTENCY_KEY);
                // Where no field counts as a key, the application's own stays as it is.
                let is_free = !names.is_empty() || !head.headers.contains_key(&name);
                if is_free && let Ok(value) = HeaderValue::try_from(minted.as_str()) {
                    head.headers.insert(name, value);
                }
                (minted, None)
            }
        };
        Ok(Self {
            id,
            lane: stores.settings.lane.as_ref().and_then(|by| lane_of(by, &head, &body)),
            route,
            stores,
            head,
            body,
            key,
            scope,
            print,
            assurance: Assurance::of(ground.repetition(), keys_count),
            accepted_at: now(),
        })
    }

    /// Whether others of its lane wait: tried directly it would overtake them.
    async fn is_behind(&self, outbox: &Outbox) -> Result<bool, Refused> {
        let Some(lane) = &self.lane else { return Ok(false) };
        outbox.store().is_lane_open(self.route.plan.service.name(), lane).await.map_err(cant)
    }

    /// Stores it or tries it, when those before it in its lane have been stored or tried.
    async fn take_its_turn(
        &self,
        local: &Local,
        outbox: &Arc<Outbox>,
        first: bool,
    ) -> Result<Became, Refused> {
        let _turn = match &self.lane {
            Some(lane) => Some(Turn::of(outbox, self.route.plan.service.name(), lane).await),
            None => None,
        };
        let _tried_now = match self.scope {
            Some(scope) => Some(TriedNow::begin(outbox, scope).ok_or(Refusal::KeyInUse)?),
            None => None,
        };
        if let Some(scope) = self.scope {
            match outbox.store().known(scope, self.print).await {
                Ok(Some(id)) => return Ok(Became::Stored(Accepted::Known(id))),
                Ok(None) => {}
                Err(error @ StoreError::OtherRequest(_)) => return Err(cant(error)),
                // A store that can't be asked is no reason not to try what has no order.
                Err(error) if first || self.lane.is_some() => return Err(cant(error)),
                Err(error) => tracing::warn!(%error, "the outbox can't be asked"),
            }
        }
        if first || self.is_behind(outbox).await? {
            let stored = self.store(outbox, None, self.accepted_at).await;
            return stored.map(Became::Stored).map_err(cant);
        }
        Ok(self.try_directly(local, outbox).await)
    }

    /// Tries it, and stores it if that is right and it can't be delivered now.
    async fn try_directly(&self, local: &Local, outbox: &Arc<Outbox>) -> Became {
        let source =
            if self.body.is_empty() { Source::Empty } else { Source::Full(self.body.clone()) };
        let plan = self.route.plan_of(self.assurance);
        let outcome = Box::new(local.client.call(plan, self.head.clone(), source).await);
        let tried = match &*outcome {
            Ok(answer) => Tried::of_head(answer),
            Err(unanswered) if unanswered.request_error.is_some() => return Became::Tried(outcome),
            Err(unanswered) => Tried::of_unanswered(unanswered),
        };
        let standing = Standing {
            calls: 1,
            maybe_done: false,
            expires_at: self.expires_at(),
            assurance: self.assurance,
        };
        let schedule = &self.stores.settings.schedule;
        let next = after_call(schedule, &standing, tried.end, now(), &mut fresh_chance());
        let Next::Again { at, counts, hold_until } = next else { return Became::Tried(outcome) };
        let took = now().since(self.accepted_at);
        let tried = Direct {
            note: counts.then(|| tried.note(self.accepted_at, took)),
            maybe_done: tried.end.may_have_done_it(),
            hold_until: hold_until.filter(|_| counts),
        };
        match self.store(outbox, Some(tried), at).await {
            Ok(stored) => Became::Stored(stored),
            // It wasn't accepted: the application gets what it would have got without an outbox.
            Err(error) => {
                tracing::warn!(%error, "a write that can't be delivered now can't be stored");
                Became::Tried(outcome)
            }
        }
    }

    fn expires_at(&self) -> WallTime {
        self.accepted_at.after(self.stores.settings.schedule.max_age)
    }

    /// Stores it. `tried`: the direct call, if one was made.
    async fn store(
        &self,
        outbox: &Outbox,
        tried: Option<Direct>,
        due_at: WallTime,
    ) -> Result<Accepted, StoreError> {
        let Direct { note, maybe_done, hold_until } = tried.unwrap_or_default();
        let mut head = StoredHead::of_request(&self.head);
        // They speak of this very moment: of how long the application waits, and of its own attempts.
        let deadline = self.route.plan.fields.deadline.as_ref().map(HeaderName::as_str);
        let is_of_now = |name: &str| Some(name) == deadline || name == Layer::FIELD;
        head.fields.retain(|field| !is_of_now(field.name()));
        let new = NewDelivery {
            id: self.id,
            upstream: self.route.plan.service.name().to_string(),
            route: self.route.plan.route.to_string(),
            lane: self.lane.clone(),
            key: self.key.clone(),
            scope: self.scope,
            print: self.print,
            assurance: self.assurance,
            head,
            body: self.body.clone(),
            accepted_at: self.accepted_at,
            due_at,
            expires_at: self.expires_at(),
            tried: note,
            maybe_done,
            hold_until,
        };
        outbox.store().accept(new).await
    }

    /// The answer now that it is on the disk.
    async fn accepted(
        &self,
        outbox: &Outbox,
        prefers: Preferences,
    ) -> Result<Response<Inner>, Refused> {
        if let Some(patience) = prefers.wait {
            match outbox.store().settled(self.id, patience).await {
                Ok(summary) if has_answer(summary.state) => {
                    return page::answer_of(outbox, self.id).await;
                }
                Ok(_) => {}
                // It is accepted, whatever can't be read now.
                Err(error) => tracing::warn!(%error, "a stored write can't be waited for"),
            }
        }
        let receipt = Receipt {
            id: self.id,
            state: State::Waiting,
            key: &self.key,
            accepted_at: self.accepted_at,
            expires_at: self.expires_at(),
        };
        Ok(receipt.answer(outbox, prefers))
    }
}

/// What is known of the direct call.
#[derive(Default)]
struct Direct {
    /// It, if it counts.
    note: Option<CallNote>,
    /// Whether it may have carried the write out.
    maybe_done: bool,
    /// Until when the upstream asked to be left alone.
    hold_until: Option<WallTime>,
}

/// Whose request with this key it is: the same key of somebody else, or at another host, is another request's. Who somebody is, is
/// said by whatever credentials the request has.
fn scope(upstream: &str, key: &HeaderValue, headers: &HeaderMap) -> [u8; 32] {
    let mut parts: Vec<&[u8]> = vec![upstream.as_bytes(), key.as_bytes()];
    let says_who = |name: &&HeaderName| *name == header::HOST || is_secret(name.as_str());
    let mut names: Vec<&HeaderName> = headers.keys().filter(says_who).collect();
    names.sort_unstable_by_key(|name| name.as_str());
    for name in names {
        parts.push(name.as_str().as_bytes());
        parts.extend(headers.get_all(name).iter().map(HeaderValue::as_bytes));
    }
    fingerprint(&parts)
}

/// What the order of this write is kept by; `None` if it doesn't say.
fn lane_of(by: &LaneBy, head: &Parts, body: &Bytes) -> Option<String> {
    let lane = match by {
        LaneBy::Header(name) => {
            let value = head.headers.get(name)?;
            String::from_utf8_lossy(value.as_bytes()).into_owned()
        }
        LaneBy::Segment(number) => head.uri.path().split('/').nth(*number)?.to_owned(),
        LaneBy::Pointer(pointer) => {
            let document: serde_json::Value = serde_json::from_slice(body).ok()?;
            match document.pointer(pointer)? {
                serde_json::Value::Null => return None,
                serde_json::Value::String(text) => text.clone(),
                other => other.to_string(),
            }
        }
    };
    // A longer one is cut to what still tells it from others: an index isn't for texts.
    Some(if lane.len() <= LANE_MOST_BYTES {
        lane
    } else {
        fingerprint(&[lane.as_bytes()]).iter().map(|byte| format!("{byte:02x}")).collect()
    })
    .filter(|lane| !lane.is_empty())
}

/// All of a body, or, if it is larger than `most`, a source of all of it.
async fn whole(
    mut body: Incoming,
    most: usize,
    plan: &Plan,
) -> Result<Result<Bytes, Source>, Refused> {
    if body.is_end_stream() {
        return Ok(Ok(Bytes::new()));
    }
    if body.size_hint().lower() > most as u64 {
        return Ok(Err(Source::Incoming(body)));
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
            return Ok(Err(Source::Begun(here.freeze(), body)));
        }
    }
    Ok(Ok(here.freeze()))
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
        outbox.store().settled(id, patience).await
    }
    .map_err(cant)?;
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
fn cant(error: StoreError) -> Refused {
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
        error => {
            tracing::error!(%error, "a write can't be stored");
            Refusal::OutboxDown
        }
    };
    refusal.into()
}

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
const DELIVERY: HeaderName = HeaderName::from_static("mainstay-delivery");

/// Customers, accounts and orders have shorter names.
const LANE_MOST_BYTES: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(by: &str, wanted: Option<&str>) {
        let request = http::Request::post("/customers/7/orders").header("x-customer", "a");
        let head = request.body(()).unwrap().into_parts().0;
        let body = Bytes::from_static(br#"{"customer":{"id":12,"name":"x","none":null}}"#);
        let by = LaneBy::parse(by).unwrap();
        assert_eq!(lane_of(&by, &head, &body).as_deref(), wanted, "{by}");
    }

    #[test]
    fn lanes_come_from_fields_paths_and_bodies() {
        check("header:x-customer", Some("a"));
        check("header:x-other", None);
        check("path:1", Some("customers"));
        check("path:2", Some("7"));
        check("path:9", None);
        check("json:/customer/id", Some("12"));
        check("json:/customer/name", Some("x"));
        check("json:/customer/none", None);
        check("json:/other", None);
    }
}
