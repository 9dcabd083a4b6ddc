//! What a store promises, whatever it is made of.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod stage;

use mainstay_core::outbox::{Assurance, DeadReason, Next, StoppedReason, WallTime};
use mainstay_outbox::store::{Accepted, Access, Full, Keep, OpenError};
use mainstay_outbox::{Filter, Keys, Limits, Page, Store, StoreError};
use stage::{NOW, Stage, finish, new, with_each_kind};
use std::time::Duration;

with_each_kind! {
    what_was_accepted_is_offered_and_its_end_is_known,
    nothing_is_offered_twice_at_a_time_nor_before_it_is_due,
    of_a_lane_one_is_offered_at_a_time_and_in_order,
    a_stopped_one_holds_its_lane_and_a_dead_one_does_not,
    the_same_request_is_the_same_delivery_and_another_one_is_refused,
    what_has_no_room_is_refused_before_it_is_stored,
    what_must_not_be_sent_twice_and_was_underway_is_stopped_at_the_next_start,
    finished_ones_are_kept_as_long_as_they_should_be,
}

async fn what_was_accepted_is_offered_and_its_end_is_known(stage: Stage) {
    let store = stage.open();
    let first = new("api", None, "a");
    assert_eq!(store.accept(first.clone()).await.unwrap(), Accepted::New);
    let claimed = store.claim("api", NOW, 10).await.unwrap();
    let offer = &claimed.offers[0];
    assert_eq!((offer.id, &offer.body[..], claimed.offers.len()), (first.id, &b"a"[..], 1));
    assert_eq!(offer.head, first.head);
    store.finish(offer, finish(Next::Delivered), NOW).await.unwrap();
    let summary = store.summary(first.id).await.unwrap();
    assert_eq!((summary.state.name(), summary.calls), ("delivered", 1));
    assert!(store.claim("api", NOW, 10).await.unwrap().offers.is_empty());
}

async fn nothing_is_offered_twice_at_a_time_nor_before_it_is_due(stage: Stage) {
    let store = stage.open();
    store.accept(new("api", None, "a")).await.unwrap();
    let claimed = store.claim("api", NOW, 10).await.unwrap();
    let again = store.claim("api", NOW, 10).await.unwrap();
    assert_eq!((again.offers.len(), again.next_due), (0, None));
    let later = WallTime(NOW.0 + 5000);
    let next = Next::Again { at: later, counts: true, hold_until: None };
    store.finish(&claimed.offers[0], finish(next), NOW).await.unwrap();
    let early = store.claim("api", NOW, 10).await.unwrap();
    assert_eq!((early.offers.len(), early.next_due), (0, Some(later)));
    assert_eq!(store.claim("api", later, 10).await.unwrap().offers[0].calls, 1);
}

async fn of_a_lane_one_is_offered_at_a_time_and_in_order(stage: Stage) {
    let store = stage.open();
    for body in ["a1", "b1", "a2", "a3", "b2"] {
        store.accept(new("api", Some(&body[..1]), body)).await.unwrap();
    }
    let mut seen = Vec::new();
    loop {
        let offers = store.claim("api", NOW, 10).await.unwrap().offers;
        let bodies: Vec<_> = offers.iter().map(|offer| offer.body.clone()).collect();
        if bodies.is_empty() {
            break;
        }
        for offer in &offers {
            store.finish(offer, finish(Next::Delivered), NOW).await.unwrap();
        }
        seen.push(bodies);
    }
    assert_eq!(seen, [vec!["a1", "b1"], vec!["a2", "b2"], vec!["a3"]]);
}

async fn a_stopped_one_holds_its_lane_and_a_dead_one_does_not(stage: Stage) {
    let store = stage.open();
    for body in ["1", "2"] {
        store.accept(new("api", Some("a"), body)).await.unwrap();
    }
    let first = &store.claim("api", NOW, 10).await.unwrap().offers[0];
    let stopped = finish(Next::Stopped(StoppedReason::MaybeDone));
    store.finish(first, stopped, NOW).await.unwrap();
    assert!(store.claim("api", NOW, 10).await.unwrap().offers.is_empty());
    let filter = Filter { ids: vec![first.id], ..Filter::default() };
    assert_eq!(store.retry(filter, None, NOW).await.unwrap(), 1);
    let again = &store.claim("api", NOW, 10).await.unwrap().offers[0];
    assert_eq!((again.id, again.calls), (first.id, 0));
    store.finish(again, finish(Next::Dead(DeadReason::Rejected)), NOW).await.unwrap();
    assert_eq!(store.claim("api", NOW, 10).await.unwrap().offers[0].body, "2");
}

async fn the_same_request_is_the_same_delivery_and_another_one_is_refused(stage: Stage) {
    let store = stage.open();
    let mut one = new("api", None, "a");
    one.scope = Some([1; 32]);
    store.accept(one.clone()).await.unwrap();
    let mut same = new("api", None, "a");
    (same.scope, same.print) = (one.scope, one.print);
    assert_eq!(store.accept(same.clone()).await.unwrap(), Accepted::Known(one.id));
    same.print = [9; 32];
    let refused = store.accept(same).await.unwrap_err();
    assert!(matches!(refused, StoreError::OtherRequest(id) if id == one.id));
}

async fn what_has_no_room_is_refused_before_it_is_stored(stage: Stage) {
    let limits = Limits { items: 3, bytes: 1000, lane_items: 1, reserve_bytes: 0 };
    let store = stage.open_with(limits);
    let full = |error: StoreError| match error {
        StoreError::Full(what) => what,
        other => panic!("{other}"),
    };
    store.accept(new("api", Some("a"), "1")).await.unwrap();
    let error = store.accept(new("api", Some("a"), "2")).await.unwrap_err();
    assert_eq!(full(error), Full::Lane);
    let error = store.accept(new("api", None, &"x".repeat(1000))).await.unwrap_err();
    assert_eq!(full(error), Full::Bytes);
    store.accept(new("api", None, "3")).await.unwrap();
    store.accept(new("other", None, "4")).await.unwrap();
    assert_eq!(full(store.accept(new("api", None, "5")).await.unwrap_err()), Full::Items);
    assert_eq!(
        store.list(Filter::default(), Page { after: None, most: 10 }).await.unwrap().len(),
        3
    );
}

#[tokio::test]
async fn a_second_proxy_is_refused_and_a_visitor_is_not() {
    let stage = Stage::new();
    let store = stage.open();
    let one = new("api", None, "a");
    store.accept(one.clone()).await.unwrap();
    let open = |access| Store::open(&stage.path(), Keys::default(), Limits::default(), access);
    assert!(matches!(open(Access::Serve), Err(OpenError::InUse(_))));
    let visitor = open(Access::Visit).unwrap();
    assert_eq!(visitor.summary(one.id).await.unwrap().id, one.id);
    let mut changes = store.changes();
    changes.mark_unchanged();
    let filter = Filter { ids: vec![one.id], ..Filter::default() };
    assert_eq!(visitor.drop_those(filter, NOW).await.unwrap(), 1);
    changes.changed().await.unwrap();
    assert_eq!(store.summary(one.id).await.unwrap().reason, Some("dropped"));
}

async fn what_must_not_be_sent_twice_and_was_underway_is_stopped_at_the_next_start(stage: Stage) {
    let (mut once, twice) = (new("api", None, "once"), new("api", None, "twice"));
    once.assurance = Assurance::None;
    let store = stage.open();
    for one in [&once, &twice] {
        store.accept(one.clone()).await.unwrap();
    }
    assert_eq!(store.claim("api", NOW, 10).await.unwrap().offers.len(), 2);
    drop(store);
    stage.leases_end();
    let store = stage.open();
    assert_eq!(store.stop_interrupted().await.unwrap(), 1);
    let offers = store.claim("api", NOW, 10).await.unwrap().offers;
    assert_eq!(offers.iter().map(|offer| offer.id).collect::<Vec<_>>(), [twice.id]);
    let summary = store.summary(once.id).await.unwrap();
    assert_eq!((summary.reason, summary.maybe_done), (Some("maybe-done"), true));
}

async fn finished_ones_are_kept_as_long_as_they_should_be(stage: Stage) {
    let store = stage.open();
    let one = new("api", None, "a");
    store.accept(one.clone()).await.unwrap();
    let offer = &store.claim("api", NOW, 1).await.unwrap().offers[0];
    store.finish(offer, finish(Next::Delivered), NOW).await.unwrap();
    let keep = Keep { delivered: Duration::from_secs(10), dead: Duration::from_secs(10) };
    store.tend(keep, WallTime(NOW.0 + 10_000)).await.unwrap();
    assert!(store.summary(one.id).await.is_ok());
    store.tend(keep, WallTime(NOW.0 + 10_001)).await.unwrap();
    assert!(matches!(store.summary(one.id).await, Err(StoreError::Unknown)));
    assert_eq!(store.totals().await.unwrap(), []);
    assert_eq!(store.check().await.unwrap(), []);
}
