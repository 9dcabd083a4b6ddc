//! Stored writes: listed, shown, and what a person may order about them.

mod lanes;

use http::request::Parts;
use http::{Method, Response, StatusCode};
use hyper::body::Incoming;
use mainstay_outbox::{DeliveryId, Filter, Page, State, StoreError, Totals};
use mainstay_record::{Order, StoredSnapshot, WrongFilter};
use serde_json::{Value, json};

use super::Reply;
use super::guard::Orderer;
use super::paths::{self, answered, json as document};
use crate::outbox::Outbox;
use crate::problem::{Problem, Refusal};
use crate::proxy::Control;
use crate::shared::Shared;

/// `GET /outbox`, `GET /outbox/ID`, `POST /outbox/ID/retry`, `drop` and `settle`, `GET /outbox/lanes`, `POST /outbox/lanes/release`.
pub(super) async fn answer(
    control: &Control,
    orderer: &Orderer,
    head: &Parts,
    segments: &[&str],
    body: Incoming,
) -> Result<Response<Reply>, Refusal> {
    let outbox = control.shared.outbox.get().ok_or(Refusal::NotFound)?;
    let (method, query) = (&head.method, head.uri.query());
    match *segments {
        [] => {
            reads(method)?;
            Ok(match asked(query) {
                Ok((filter, page)) => list(outbox, filter, page).await?,
                Err(wrong) => answered(&Problem::of_filter(&wrong)),
            })
        }
        ["lanes"] => {
            reads(method)?;
            lanes::list(outbox).await
        }
        ["lanes", "release"] => {
            writes(method)?;
            lanes::release(control, outbox, orderer, body).await
        }
        [id] => {
            reads(method)?;
            let detail = outbox.store().detail(known(id)?).await.map_err(refusal)?;
            let head = match &detail.request {
                Ok(Some((head, _))) => json!(head.clone().redacted()),
                _ => Value::Null,
            };
            let mut delivery = json!(detail.summary);
            delivery["history"] = json!(detail.history);
            delivery["request"] = head;
            Ok(document(StatusCode::OK, &json!({ "version": 1, "delivery": delivery })))
        }
        [id, order] => {
            writes(method)?;
            let id = known(id)?;
            let order = Fate::of(order).ok_or(Refusal::NotFound)?;
            if let Err(wanted) = orderer.confirms(order.word(), &[&id.to_string()]) {
                return Ok(answered(&Problem::of_unconfirmed(&wanted)));
            }
            order.carry_out(control, outbox, orderer, id).await?;
            Ok(document(StatusCode::OK, &json!({ "delivery": id, "order": order.word() })))
        }
        _ => Err(Refusal::NotFound),
    }
}

/// What a person decides about a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Retry,
    Drop,
    Settle,
}

impl Fate {
    fn of(word: &str) -> Option<Self> {
        [Self::Retry, Self::Drop, Self::Settle].into_iter().find(|fate| fate.word() == word)
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Drop => "drop",
            Self::Settle => "settle",
        }
    }

    async fn carry_out(
        self,
        control: &Control,
        outbox: &Outbox,
        orderer: &Orderer,
        id: DeliveryId,
    ) -> Result<(), Refusal> {
        let filter = Filter { ids: vec![id], ..Filter::default() };
        let (store, now) = (outbox.store(), outbox.store().now());
        let count = match self {
            Self::Retry => store.retry(filter, None, now).await,
            Self::Drop => store.drop_those(filter, now).await,
            Self::Settle => store.settle(filter, now).await,
        };
        if count.map_err(refusal)? == 0 {
            return Err(Refusal::BadOrder(
                "The delivery isn't in a state in which that can be done.",
            ));
        }
        let (who, order) = (&orderer.who, self.word());
        tracing::info!(delivery = %id, order, %who, "a stored write was ordered");
        control.shared.recorder.note_order(Order {
            who: who.clone(),
            order: order.to_owned(),
            what: Some(format!("delivery {id}")),
            ..Order::default()
        });
        Ok(())
    }
}

async fn list(outbox: &Outbox, filter: Filter, page: Page) -> Result<Response<Reply>, Refusal> {
    let list = outbox.store().list(filter, page).await.map_err(refusal)?;
    // A full page may have another behind it; where it begins is the last one's place.
    let is_full = list.len() == page.most as usize;
    let next = list.last().filter(|_| is_full).map(|last| last.seq);
    Ok(document(StatusCode::OK, &json!({ "version": 1, "deliveries": list, "after": next })))
}

/// What a query asks for.
fn asked(query: Option<&str>) -> Result<(Filter, Page), WrongFilter> {
    let (mut filter, mut page) = (Filter::default(), Page { after: None, most: 100 });
    for (name, value) in paths::parameters(query) {
        let wrong = |why, allowed: &str| WrongFilter::new(&name, &value, why, allowed);
        match name.as_str() {
            "state" => {
                let known = State::NAMES.into_iter().find(|known| *known == value);
                let known = known
                    .ok_or_else(|| wrong("there is no such state", &State::NAMES.join(", ")))?;
                filter.states.push(known);
            }
            "reason" => filter.reason = Some(value),
            "upstream" => filter.upstream = Some(value),
            "lane" => filter.lane = Some(value),
            "after" => {
                let place = value.parse().map_err(|_| wrong("it is no number", "a place"))?;
                page.after = Some(place);
            }
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=1000).contains(limit));
                page.most = limit.ok_or_else(|| wrong("it is out of range", "1 to 1000"))?;
            }
            _ => {
                let allowed = "state, reason, upstream, lane, after, limit";
                return Err(wrong("there is no such parameter", allowed));
            }
        }
    }
    Ok((filter, page))
}

/// How many there are; `None` where there is no outbox, or it can't be asked.
pub(crate) async fn totals(shared: &Shared) -> Option<Vec<Totals>> {
    let outbox = shared.outbox.get()?;
    let totals = outbox.store().totals().await;
    shared.recorder.note_outbox(totals.is_ok() && outbox.store().trouble().is_none());
    totals.inspect_err(|error| tracing::warn!(%error, "the outbox can't be counted")).ok()
}

/// The same for metrics of one upstream.
pub(super) fn snapshots(
    shared: &Shared,
    totals: Option<&[Totals]>,
    upstream: &str,
) -> Vec<StoredSnapshot> {
    let (Some(outbox), Some(totals)) = (shared.outbox.get(), totals) else { return Vec::new() };
    mainstay::stored::snapshots(outbox.store(), totals, upstream)
}

/// The part of `/status`; null where there is no outbox, and its deliveries where it can't be asked.
pub(super) fn status(control: &Control, totals: Option<&[Totals]>) -> Value {
    match control.shared.outbox.get() {
        None => Value::Null,
        Some(outbox) => json!({
            "path": outbox.store().place(),
            "damage": outbox.store().damage(),
            "trouble": outbox.store().trouble(),
            "deliveries": totals,
        }),
    }
}

fn reads(method: &Method) -> Result<(), Refusal> {
    match *method {
        Method::GET | Method::HEAD => Ok(()),
        _ => Err(Refusal::MethodNotAllowed("GET, HEAD")),
    }
}

fn writes(method: &Method) -> Result<(), Refusal> {
    match *method {
        Method::POST => Ok(()),
        _ => Err(Refusal::MethodNotAllowed("POST")),
    }
}

fn known(id: &str) -> Result<DeliveryId, Refusal> {
    id.parse().map_err(|_| Refusal::NoDelivery)
}

fn refusal(error: StoreError) -> Refusal {
    match error {
        StoreError::Unknown => Refusal::NoDelivery,
        error => {
            tracing::error!(%error, "the outbox can't be asked");
            Refusal::OutboxDown
        }
    }
}
