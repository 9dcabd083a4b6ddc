//! Who is told what became of a delivery, and that it is in the same commit.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod stage;

use bytes::Bytes;
use mainstay_core::outbox::{Assurance, DeadReason, Next, StoppedReason, WallTime};
use mainstay_outbox::store::Page;
use mainstay_outbox::{
    Callback, DeliveryId, Field, Filter, Finish, Limits, NewDelivery, Offer, State, Store,
    StoreError, StoredHead, Summary,
};
use serde_json::Value;
use stage::{NOW, Stage, finish, new, with_each_kind};

with_each_kind! {
    what_goes_again_and_what_nobody_asked_for_is_told_to_nobody,
    what_a_person_does_is_told_behind_what_was_told_before,
    one_that_stops_again_after_a_retry_is_told_again,
    the_answer_is_told_without_its_credentials,
    a_full_store_takes_every_ending_and_nothing_new,
    what_was_on_its_way_at_a_crash_is_told_as_stopped,
    a_callback_whose_target_is_damaged_is_there_for_all_to_see,
}

const LATER: WallTime = WallTime(NOW.0 + 60_000);

/// A delivery of which `app` is told.
fn told(body: &str) -> NewDelivery {
    let callback = Callback { upstream: "app".into(), target: "/hooks?token=s3cret".into() };
    NewDelivery { callback: Some(callback), ..new("api", None, body) }
}

async fn accepted(store: &Store, new: NewDelivery) -> DeliveryId {
    let id = new.id;
    store.accept(new).await.unwrap();
    id
}

async fn claimed(store: &Store, upstream: &str) -> Vec<Offer> {
    store.claim(upstream, LATER, 100).await.unwrap().offers
}

/// The next callback, and what it tells.
async fn callback(store: &Store) -> (Offer, Value) {
    let offer = claimed(store, "app").await.remove(0);
    let body = serde_json::from_slice(&offer.body).unwrap();
    (offer, body)
}

async fn all(store: &Store) -> Vec<Summary> {
    store.list(Filter::default(), Page { after: None, most: 100 }).await.unwrap()
}

async fn check_told(stage: Stage, next: Next, kind: &str, reason: Option<&str>) {
    let store = stage.open();
    let id = accepted(&store, told("1")).await;
    let offer = claimed(&store, "api").await.remove(0);
    store.finish(&offer, finish(next), LATER).await.unwrap();
    // As a process leaves it that is killed at this moment.
    let copy = stage.as_a_crash_leaves_it();
    let store = copy.open();
    let (callback, body) = callback(&store).await;
    assert_eq!((callback.about, callback.assurance), (Some(id), Assurance::Repeatable));
    assert_eq!(callback.head.target.as_deref(), Some("/hooks?token=s3cret"));
    assert_eq!((&body["type"], &body["data"]["id"]), (&kind.into(), &id.to_string().into()));
    assert_eq!(body["data"]["reason"].as_str(), reason);
    assert_eq!(body["data"]["calls"], 1);
    store.finish(&callback, finish(Next::Delivered), LATER).await.unwrap();
    // It was told once, and nobody is told of that.
    assert_eq!(all(&store).await.len(), 2);
    assert_eq!(store.check().await.unwrap(), []);
}

#[tokio::test]
async fn every_end_and_every_stop_is_told() {
    let makers: [fn() -> Stage; 2] = [Stage::new, Stage::postgres];
    for make in makers {
        check_told(make(), Next::Delivered, "delivery.delivered", None).await;
        for why in DeadReason::ALL {
            check_told(make(), Next::Dead(why), "delivery.dead", Some(why.code())).await;
        }
        for why in StoppedReason::ALL {
            check_told(make(), Next::Stopped(why), "delivery.stopped", Some(why.code())).await;
        }
    }
}

async fn what_goes_again_and_what_nobody_asked_for_is_told_to_nobody(stage: Stage) {
    let store = stage.open();
    accepted(&store, told("1")).await;
    accepted(&store, new("api", None, "2")).await;
    for offer in claimed(&store, "api").await {
        let again = Next::Again { at: LATER, counts: true, hold_until: None };
        let next = if offer.body == "1" { again } else { Next::Delivered };
        store.finish(&offer, finish(next), LATER).await.unwrap();
    }
    assert_eq!(all(&store).await.len(), 2);
}

async fn what_a_person_does_is_told_behind_what_was_told_before(stage: Stage) {
    let store = stage.open();
    let (settled, dropped) = (accepted(&store, told("1")).await, accepted(&store, told("2")).await);
    for offer in claimed(&store, "api").await {
        let stop = Next::Stopped(StoppedReason::MaybeDone);
        store.finish(&offer, finish(stop), NOW).await.unwrap();
    }
    let only = |id| Filter { ids: vec![id], ..Filter::default() };
    store.settle(only(settled), LATER).await.unwrap();
    store.drop_those(only(dropped), LATER).await.unwrap();
    // Of each the stop first; its end when that is told.
    for kinds in [["delivery.stopped"; 2], ["delivery.delivered", "delivery.dead"]] {
        let offers = claimed(&store, "app").await;
        let mut found: Vec<(DeliveryId, String)> = Vec::new();
        for offer in &offers {
            let body: Value = serde_json::from_slice(&offer.body).unwrap();
            found.push((offer.about.unwrap(), body["type"].as_str().unwrap().to_owned()));
            store.finish(offer, finish(Next::Delivered), LATER).await.unwrap();
        }
        found.sort();
        let mut wanted = vec![(settled, kinds[0].to_owned()), (dropped, kinds[1].to_owned())];
        wanted.sort();
        assert_eq!(found, wanted);
    }
    assert_eq!(store.check().await.unwrap(), []);
}

async fn one_that_stops_again_after_a_retry_is_told_again(stage: Stage) {
    let store = stage.open();
    let id = accepted(&store, told("1")).await;
    for _ in 0..2 {
        let offer = claimed(&store, "api").await.remove(0);
        let stop = Next::Stopped(StoppedReason::MaybeDone);
        store.finish(&offer, finish(stop), NOW).await.unwrap();
        let only = Filter { ids: vec![id], ..Filter::default() };
        store.retry(only, None, NOW).await.unwrap();
    }
    let callbacks = all(&store).await.into_iter().filter(|one| one.about == Some(id));
    assert_eq!(callbacks.count(), 2);
}

async fn the_answer_is_told_without_its_credentials(stage: Stage) {
    let store = stage.open();
    accepted(&store, told("1")).await;
    let offer = claimed(&store, "api").await.remove(0);
    let fields = vec![
        Field::Text("set-cookie".into(), "s3cret".into()),
        Field::Text("etag".into(), "\"x\"".into()),
    ];
    let head = StoredHead { status: Some(201), fields, ..StoredHead::default() };
    let answer = Some((head, Bytes::from_static(b"made")));
    let finish = Finish { answer, ..finish(Next::Delivered) };
    store.finish(&offer, finish, LATER).await.unwrap();
    let (callback, body) = callback(&store).await;
    assert!(!callback.body.windows(6).any(|part| part == b"s3cret"));
    let answer = &body["data"]["answer"];
    assert_eq!((&body["data"]["status"], &answer["body"]), (&201.into(), &"made".into()));
}

async fn a_full_store_takes_every_ending_and_nothing_new(stage: Stage) {
    let limits = Limits { items: 2, lane_items: 1, reserve_bytes: 0, ..Limits::default() };
    let store = stage.open_with(limits);
    for body in ["1", "2"] {
        accepted(&store, told(body)).await;
    }
    for offer in claimed(&store, "api").await {
        let dead = Next::Dead(DeadReason::Rejected);
        store.finish(&offer, finish(dead), NOW).await.unwrap();
    }
    assert_eq!(all(&store).await.len(), 4);
    assert!(matches!(store.accept(told("3")).await, Err(StoreError::Full(_))));
}

async fn what_was_on_its_way_at_a_crash_is_told_as_stopped(stage: Stage) {
    let store = stage.open();
    accepted(&store, NewDelivery { assurance: Assurance::None, ..told("1") }).await;
    claimed(&store, "api").await;
    let copy = stage.as_a_crash_leaves_it();
    drop(store);
    copy.leases_end();
    let store = copy.open();
    assert_eq!(store.stop_interrupted().await.unwrap(), 1);
    // By the machine's clock, which is behind the test's.
    let offer = claimed(&store, "app").await.remove(0);
    let body: Value = serde_json::from_slice(&offer.body).unwrap();
    assert_eq!(
        (&body["type"], &body["data"]["reason"]),
        (&"delivery.stopped".into(), &"maybe-done".into())
    );
}

#[tokio::test]
async fn damaged_content_is_told_as_stopped_and_a_damaged_row_is_told_to_nobody() {
    for (sql, told_of_it) in [
        ("UPDATE content SET body = X'0000'", true),
        ("UPDATE delivery SET callback = 'elsewhere'", false),
    ] {
        let stage = Stage::new();
        let store = stage.open();
        accepted(&store, told("1")).await;
        stage.sql(sql);
        assert_eq!(store.claim("api", LATER, 10).await.unwrap().stopped.len(), 1);
        let callbacks = all(&store).await.into_iter().filter(|one| one.about.is_some());
        assert_eq!(callbacks.count(), usize::from(told_of_it), "{sql}");
        assert!(claimed(&store, "elsewhere").await.is_empty());
    }
}

async fn a_callback_whose_target_is_damaged_is_there_for_all_to_see(stage: Stage) {
    let store = stage.open();
    accepted(&store, told("1")).await;
    let offer = claimed(&store, "api").await.remove(0);
    stage.sql(&format!("UPDATE content SET callback = {}", stage.bytes("0000")));
    assert_eq!(store.check().await.unwrap().len(), 1);
    store.finish(&offer, finish(Next::Delivered), LATER).await.unwrap();
    let (callback, _) = callback(&store).await;
    assert!(callback.head.to_request().is_err());
}

#[tokio::test]
async fn where_it_is_told_is_not_in_the_clear_where_there_is_a_key() {
    let stage = Stage::new();
    let store = stage.open_sealed();
    accepted(&store, told("1")).await;
    let offer = claimed(&store, "api").await.remove(0);
    store.finish(&offer, finish(Next::Delivered), LATER).await.unwrap();
    assert_eq!(callback(&store).await.0.head.target.as_deref(), Some("/hooks?token=s3cret"));
    drop(store);
    for file in std::fs::read_dir(stage.dir()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(6).any(|part| part == b"s3cret"));
    }
}

/// `fixtures/version-1.db` was made by the last program of that version: 1 and 3 delivered with an answer, 2 ready since 1 of its lane is
/// over, 4 dead, 5 stopped, 6 on its way, 7 waiting, and a hold.
#[tokio::test]
async fn a_store_of_the_first_version_goes_on_in_this_one() {
    let stage = Stage::new();
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/version-1.db");
    std::fs::copy(fixture, stage.path()).unwrap();
    let store = stage.open();
    assert_eq!(store.check().await.unwrap(), []);
    let states: Vec<State> = all(&store).await.iter().map(|one| one.state).collect();
    let wanted = [
        State::Delivered,
        State::Waiting,
        State::Delivered,
        State::Dead(DeadReason::Rejected),
        State::Stopped(StoppedReason::MaybeDone),
        State::Waiting,
        State::Waiting,
    ];
    assert_eq!(states, wanted);
    let id =
        |number: u8| DeliveryId::of_bytes([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, number]);
    let detail = store.detail(id(3)).await.unwrap();
    assert_eq!(detail.answer.unwrap().unwrap().1, "made");
    assert_eq!(store.known([7; 32], [0; 32]).await.unwrap(), Some(id(7)));
    assert_eq!(store.stop_interrupted().await.unwrap(), 1);
    assert!(store.claim("api", NOW, 10).await.unwrap().offers.is_empty(), "it is held");
    let offers = claimed(&store, "api").await;
    let bodies: Vec<_> = offers.iter().map(|offer| offer.body.as_ref()).collect();
    assert_eq!(bodies, [b"body 2", b"body 7"]);
    for offer in &offers {
        store.finish(offer, finish(Next::Delivered), LATER).await.unwrap();
    }
    // What is new in this version works there.
    let told_of = accepted(&store, told("8")).await;
    let offer = claimed(&store, "api").await.remove(0);
    store.finish(&offer, finish(Next::Delivered), LATER).await.unwrap();
    assert_eq!(callback(&store).await.0.about, Some(told_of));
    drop(store);
    assert_eq!(stage.open().check().await.unwrap(), []);
}
