//! A request that may be stored: what its delivery is.

use std::fmt;

use bytes::Bytes;
use http::header::{self, HeaderName};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue};
use mainstay_config::settings::{LaneBy, MaybeDone};
use mainstay_core::breaks::safety::Ground;
use mainstay_core::call::Layer;
use mainstay_core::outbox::{Assurance, WallTime};
use mainstay_outbox::{
    CallNote, Callback, DeliveryId, NewDelivery, StoredHead, fingerprint, is_secret,
};

use super::Stores;
use crate::service::Plan;
use crate::shown::{Length, Names, Url};

/// A write that may be stored.
pub struct Storable<'a> {
    /// Its delivery's id.
    pub id: DeliveryId,
    /// The plan of its route.
    pub plan: &'a Plan,
    /// What its route stores.
    pub stores: &'a Stores,
    /// Its head, with its key in it.
    pub head: Parts,
    /// Its body.
    pub body: Bytes,
    /// Its key, its own or one that was made for it.
    pub key: String,
    /// What its order is kept by.
    pub lane: Option<String>,
    /// What is the same for requests that are meant to be the same.
    pub scope: Option<[u8; 32]>,
    /// What tells it from another with the same key.
    pub print: [u8; 32],
    /// Whether it may be done twice.
    pub assurance: Assurance,
    /// When it came.
    pub accepted_at: WallTime,
    /// Who is told what becomes of it.
    pub callback: Option<Callback>,
}

impl fmt::Debug for Storable<'_> {
    /// Without what the request carries: values of fields, a query, the body.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, plan, head, body, key, lane, assurance, accepted_at, callback, .. } = self;
        let mut shown = f.debug_struct("Storable");
        shown.field("id", id).field("upstream", plan.service.name()).field("route", &plan.route);
        shown.field("method", &head.method).field("url", &Url(&head.uri));
        shown.field("headers", &Names(&head.headers)).field("body", &Length(body.len()));
        shown.field("key", key).field("lane", lane).field("assurance", assurance);
        shown.field("accepted_at", accepted_at).field("callback", callback);
        shown.finish_non_exhaustive()
    }
}

/// What is known of a call that was made directly, before a write was stored.
#[derive(Debug, Default)]
pub struct Direct {
    /// It, if it counts.
    pub note: Option<CallNote>,
    /// Whether it may have carried the write out.
    pub maybe_done: bool,
    /// Until when the upstream asked to be left alone.
    pub hold_until: Option<WallTime>,
}

impl<'a> Storable<'a> {
    /// A write of the route that has this plan and stores this.
    #[must_use]
    pub fn new(
        id: DeliveryId,
        (plan, stores): (&'a Plan, &'a Stores),
        mut head: Parts,
        body: Bytes,
        accepted_at: WallTime,
    ) -> Self {
        let names = &plan.idempotency_headers;
        let own = names.iter().find_map(|name| head.headers.get(name));
        let own = own.filter(|key| !key.is_empty()).cloned();
        let ground = Ground::of(head.method.as_str(), own.is_some(), plan.policy.idempotent);
        let keys_count = stores.settings.maybe_done == MaybeDone::Again;
        let target = head.uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let print = fingerprint(&[head.method.as_str().as_bytes(), target.as_bytes(), &body]);
        let (key, scope) = match own {
            Some(key) => {
                let scope = scope(plan.service.name(), &key, &head.headers);
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
        Self {
            id,
            lane: stores.settings.lane.as_ref().and_then(|by| lane_of(by, &head, &body)),
            plan,
            stores,
            head,
            body,
            key,
            scope,
            print,
            assurance: Assurance::of(ground.repetition(), keys_count),
            accepted_at,
            callback: None,
        }
    }

    /// When it is given up.
    #[must_use]
    pub fn expires_at(&self) -> WallTime {
        self.accepted_at.after(self.stores.settings.schedule.max_age)
    }

    /// What is stored, and is due at that time.
    #[must_use]
    pub fn delivery(&self, tried: Option<Direct>, due_at: WallTime) -> NewDelivery {
        let Direct { note, maybe_done, hold_until } = tried.unwrap_or_default();
        let mut head = StoredHead::of_request(&self.head);
        // They speak of this very moment: of how long the application waits, and of its own attempts.
        let deadline = self.plan.fields.deadline.as_ref().map(HeaderName::as_str);
        let is_of_now = |name: &str| Some(name) == deadline || name == Layer::FIELD;
        head.fields.retain(|field| !is_of_now(field.name()));
        NewDelivery {
            id: self.id,
            upstream: self.plan.service.name().to_string(),
            route: self.plan.route.to_string(),
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
            callback: self.callback.clone(),
            about: None,
        }
    }
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
    bounded(lane)
}

/// A lane's name as it is stored. A longer one is cut to what still tells it from others: an index isn't for texts.
#[must_use]
pub fn bounded(lane: String) -> Option<String> {
    let lane = match lane.len() <= LANE_MOST_BYTES {
        true => lane,
        false => fingerprint(&[lane.as_bytes()]).iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    Some(lane).filter(|lane| !lane.is_empty())
}

/// The field that carries a key where the settings name none.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

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
