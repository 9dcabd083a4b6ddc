//! Asks the admin address for what the model wishes.

use mainstay_record::CallRecord;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::asked::{Connections, Deliveries, Lanes};
use super::model::wish::{Answer, DeliveryPage, Listed, Stored, Wish};
use crate::admin::{self, Place, query};

/// Stored writes of a state that are listed.
const MOST_DELIVERIES: usize = 200;

/// Calls of an incident that are listed.
const MOST_CALLS: usize = 200;

/// Points of an upstream's past: the states and latencies of a thousand endpoints are about two megabytes.
const PAST_FIELDS: &str = "p99_ms,state";

#[derive(Deserialize)]
struct OneCall {
    call: Box<CallRecord>,
}

#[derive(Deserialize)]
struct OneDelivery {
    delivery: Box<DeliveryPage>,
}

/// The answer, or why there is none, in a sentence.
pub(crate) fn answer(place: &Place, wish: &Wish) -> Result<Answer, String> {
    match wish {
        Wish::Call(id) => {
            let path = format!("/calls/{}", admin::encoded(id));
            document::<OneCall>(place, &path, "it isn't kept any more")
                .map(|one| Answer::Call(one.call))
        }
        Wish::Incident(id) => {
            let path = format!("/incidents/{}?calls={MOST_CALLS}", admin::encoded(id));
            document(place, &path, "it isn't kept any more").map(Answer::Incident)
        }
        Wish::History { upstream, endpoint } => {
            let of = [("upstream", upstream.clone()), ("endpoint", endpoint.clone())];
            let path = format!("/timeline?{}", query(&of));
            document(place, &path, NO_TIMELINE).map(Answer::Timeline)
        }
        Wish::Past(upstream) => {
            let of = [("upstream", upstream.clone()), ("fields", PAST_FIELDS.to_owned())];
            let path = format!("/timeline?{}", query(&of));
            document(place, &path, NO_TIMELINE).map(Answer::Timeline)
        }
        Wish::Stored => stored(place),
        Wish::Delivery(id) => {
            let path = format!("/outbox/{}", admin::encoded(id));
            document::<OneDelivery>(place, &path, "it isn't there any more")
                .map(|one| Answer::Delivery(one.delivery))
        }
        Wish::Connections => document::<Connections>(place, "/connections", NOT_KNOWN)
            .map(|list| Answer::Connections(list.connections)),
        Wish::Order(order) => {
            let (path, body) = order.request();
            let answer = place.ask(&path, Some(&body))?;
            match answer.status {
                200..=299 => Ok(Answer::Done),
                401 => Err(admin::refused(place, &answer)),
                _ => Err(admin::detail(&answer)),
            }
        }
    }
}

/// What a 404 means where everybody has such a path.
const NOT_KNOWN: &str = "this Mainstay doesn't tell";
const NO_TIMELINE: &str = "there is no history of it";

fn stored(place: &Place) -> Result<Answer, String> {
    const NONE: &str = "there is no outbox";
    let some = |state: &str| -> Result<Listed, String> {
        let of = [("state", state.to_owned()), ("limit", MOST_DELIVERIES.to_string())];
        let path = format!("/outbox?{}", query(&of));
        let list: Deliveries = document(place, &path, NONE)?;
        Ok(Listed { those: list.deliveries, is_cut: list.after.is_some() })
    };
    let lanes: Lanes = document(place, "/outbox/lanes", NONE)?;
    Ok(Answer::Stored(Box::new(Stored {
        lanes: lanes.lanes,
        stopped: some("stopped")?,
        dead: some("dead")?,
        waiting: some("waiting")?,
    })))
}

fn document<T: DeserializeOwned>(place: &Place, path: &str, missing: &str) -> Result<T, String> {
    let answer = place.ask(path, None)?;
    match answer.status {
        200 => serde_json::from_slice(&answer.body)
            .map_err(|error| format!("{path} tells what isn't understood: {error}")),
        401 | 403 => Err(admin::refused(place, &answer)),
        404 => Err(missing.to_owned()),
        status => Err(format!("the admin address answered {status}: {}", admin::detail(&answer))),
    }
}
