//! Stored writes: listed, shown, and what a person may order about them.

use std::time::Duration;

use http::{Method, Response, StatusCode};
use mainstay_outbox::{DeliveryId, Filter, Page, State, StoreError, Totals};
use mainstay_record::{StoredSnapshot, WrongFilter};
use serde_json::{Value, json};

use super::Reply;
use super::paths::{self, answered, json as document};
use crate::outbox::{Outbox, now};
use crate::problem::{Problem, Refusal};
use crate::proxy::Control;

/// `GET /outbox`, `GET /outbox/ID`, `POST /outbox/ID/retry`, `drop` and `settle`.
pub(super) async fn answer(
    control: &Control,
    method: &Method,
    segments: &[&str],
    query: Option<&str>,
) -> Result<Response<Reply>, Refusal> {
    let outbox = control.shared.outbox.get().ok_or(Refusal::NotFound)?;
    match *segments {
        [] => {
            reads(method)?;
            Ok(match asked(query) {
                Ok((filter, page)) => list(outbox, filter, page).await?,
                Err(wrong) => answered(&Problem::of_filter(&wrong)),
            })
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
            if method != Method::POST {
                return Err(Refusal::MethodNotAllowed("POST"));
            }
            let id = known(id)?;
            let filter = Filter { ids: vec![id], ..Filter::default() };
            let store = outbox.store();
            let count = match order {
                "retry" => store.retry(filter, None, now()).await,
                "drop" => store.drop_those(filter, now()).await,
                "settle" => store.settle(filter, now()).await,
                _ => return Err(Refusal::NotFound),
            };
            match count.map_err(refusal)? {
                0 => Err(Refusal::BadOrder(
                    "The delivery isn't in a state in which that can be done.",
                )),
                _ => {
                    tracing::info!(delivery = %id, order, "a stored write was ordered");
                    Ok(document(StatusCode::OK, &json!({ "delivery": id, "order": order })))
                }
            }
        }
        _ => Err(Refusal::NotFound),
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
        let wrong = |why, allowed: &str| WrongFilter {
            parameter: name.clone(),
            value: value.clone(),
            why,
            allowed: allowed.to_owned(),
        };
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

/// How many there are; nothing where there is no outbox, or it can't be asked.
pub(super) async fn totals(control: &Control) -> Vec<Totals> {
    let Some(outbox) = control.shared.outbox.get() else { return Vec::new() };
    outbox.store().totals().await.unwrap_or_else(|error| {
        tracing::warn!(%error, "the outbox can't be counted");
        Vec::new()
    })
}

/// The same for metrics of one upstream: each state, whether or not there are any.
pub(super) fn snapshots(
    control: &Control,
    totals: &[Totals],
    upstream: &str,
) -> Vec<StoredSnapshot> {
    if control.shared.outbox.get().is_none() {
        return Vec::new();
    }
    let now = now().0;
    let of = |state: &'static str| {
        let total = totals.iter().find(|total| total.upstream == upstream && total.state == state);
        let (items, bytes) = total.map_or((0, 0), |total| (total.items, total.bytes));
        let since = total.and_then(|total| total.oldest).unwrap_or(now);
        StoredSnapshot {
            state,
            items,
            bytes,
            oldest: Duration::from_millis(now.saturating_sub(since)),
        }
    };
    State::NAMES.into_iter().map(of).collect()
}

/// The part of `/status`; null where there is no outbox.
pub(super) fn status(control: &Control, totals: &[Totals]) -> Value {
    match control.shared.outbox.get() {
        None => Value::Null,
        Some(outbox) => json!({
            "path": outbox.settings().path.display().to_string(),
            "damage": outbox.store().damage(),
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
