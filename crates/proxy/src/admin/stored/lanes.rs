//! Lanes that a stopped delivery holds, and how they are let go.

use http::{Response, StatusCode};
use hyper::body::Incoming;
use mainstay_outbox::{Filter, Page, Summary};
use serde::Deserialize;
use serde_json::json;

use super::{Fate, refusal};
use crate::admin::Reply;
use crate::admin::guard::Orderer;
use crate::admin::order::text;
use crate::admin::paths::{answered, json as document};
use crate::outbox::Outbox;
use crate::problem::{Problem, Refusal};
use crate::proxy::Control;

/// `{"upstream":"api","lane":"customer-7","stopped":"retry"}`: which lane, and what becomes of the delivery that holds it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Release {
    upstream: String,
    lane: String,
    stopped: String,
}

/// `GET /outbox/lanes`: each held lane, by whom, and how many wait behind it.
pub(super) async fn list(outbox: &Outbox) -> Result<Response<Reply>, Refusal> {
    let mut lanes = Vec::new();
    for holder in holders(outbox, Filter::default()).await?.into_iter().take(MOST_LANES) {
        let lane = holder.lane.as_deref().unwrap_or_default();
        let items = outbox.store().lane_items(&holder.upstream, lane).await.map_err(refusal)?;
        let behind = items.saturating_sub(1);
        lanes.push(json!({
            "upstream": holder.upstream, "lane": holder.lane, "held_by": holder, "behind": behind,
        }));
    }
    Ok(document(StatusCode::OK, &json!({ "version": 1, "lanes": lanes })))
}

/// `POST /outbox/lanes/release`.
pub(super) async fn release(
    control: &Control,
    outbox: &Outbox,
    orderer: &Orderer,
    body: Incoming,
) -> Result<Response<Reply>, Refusal> {
    let body = text(body).await?;
    let wrong = Refusal::BadOrder(
        "The body has to be {\"upstream\":NAME, \"lane\":NAME, \"stopped\":\"retry\", \"settle\" or \"drop\"} and nothing else.",
    );
    let Release { upstream, lane, stopped } = serde_json::from_str(&body).map_err(|_| wrong)?;
    let fate = Fate::of(&stopped).ok_or(wrong)?;
    if let Err(wanted) = orderer.confirms(fate.word(), &[&upstream, &lane]) {
        return Ok(answered(&Problem::of_unconfirmed(&wanted)));
    }
    let filter =
        Filter { upstream: Some(upstream.clone()), lane: Some(lane.clone()), ..Filter::default() };
    let holder = holders(outbox, filter).await?.into_iter().next().ok_or(Refusal::NoSuchLane)?;
    fate.carry_out(control, outbox, orderer, holder.id).await?;
    Ok(document(
        StatusCode::OK,
        &json!({ "upstream": upstream, "lane": lane, "released": holder.id, "stopped": fate.word() }),
    ))
}

/// Stopped deliveries that are the first of their lane.
async fn holders(outbox: &Outbox, filter: Filter) -> Result<Vec<Summary>, Refusal> {
    let filter = Filter { states: vec!["stopped"], ..filter };
    let page = Page { after: None, most: MOST_STOPPED };
    let mut stopped = outbox.store().list(filter, page).await.map_err(refusal)?;
    stopped.retain(|one| one.lane.is_some() && !one.behind);
    Ok(stopped)
}

/// Lanes that are listed.
const MOST_LANES: usize = 100;

/// Stopped deliveries that are looked through.
const MOST_STOPPED: u32 = 1000;
