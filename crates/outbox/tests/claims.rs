//! Claims, lanes and a person's hand in them, where they meet.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod stage;

use std::time::Duration;

use mainstay_core::outbox::{Assurance, DeadReason, Next, StoppedReason, WallTime};
use mainstay_outbox::store::Fault;
use mainstay_outbox::{DeliveryId, Filter, Limits, Offer, State, Store, StoreError};
use stage::{NOW, Stage, finish, new, with_each_kind};

with_each_kind! {
    of_a_lane_nothing_goes_while_one_that_was_dropped_is_still_on_its_way,
    one_that_was_dropped_and_retried_while_on_its_way_is_offered_once_it_is_back,
    one_that_must_not_be_sent_twice_and_was_dropped_while_on_its_way_is_known_as_maybe_done,
    a_claim_that_nobody_waits_for_any_more_is_given_back,
    one_that_is_forgotten_while_on_its_way_takes_its_claim_along,
    a_visitor_claims_nothing,
    what_is_counted_wrongly_is_offered_all_the_same,
    a_bulk_retry_spreads_all_of_them_once,
    who_waits_for_an_end_hears_of_one_that_another_process_wrote_however_busy_it_is,
    a_job_that_fails_takes_no_other_along,
    a_lane_is_bounded_by_what_is_open_in_it,
    what_is_sealed_with_a_key_that_is_not_there_waits_for_it,
}

async fn offers(store: &Store) -> Vec<Offer> {
    store.claim("api", NOW, 100).await.unwrap().offers
}

/// All of them are refused for good.
async fn fail(store: &Store, offers: Vec<Offer>) {
    let tasks = offers.into_iter().map(|offer| {
        let store = store.clone();
        let next = finish(Next::Dead(DeadReason::Rejected));
        tokio::spawn(async move { store.finish(&offer, next, NOW).await })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap().unwrap();
    }
}

fn only(id: DeliveryId) -> Filter {
    Filter { ids: vec![id], ..Filter::default() }
}

async fn of_a_lane_nothing_goes_while_one_that_was_dropped_is_still_on_its_way(stage: Stage) {
    let store = stage.open();
    for body in ["1", "2"] {
        store.accept(new("api", Some("a"), body)).await.unwrap();
    }
    let first = offers(&store).await.remove(0);
    assert_eq!(store.drop_those(only(first.id), NOW).await.unwrap(), 1);
    let claimed = store.claim("api", NOW, 100).await.unwrap();
    assert_eq!((claimed.offers.len(), claimed.next_due), (0, None));
    let again = Next::Again { at: NOW, counts: true, hold_until: None };
    store.finish(&first, finish(again), NOW).await.unwrap();
    assert_eq!(offers(&store).await[0].body, "2");
    assert_eq!(store.summary(first.id).await.unwrap().reason, Some("dropped"));
}

async fn one_that_was_dropped_and_retried_while_on_its_way_is_offered_once_it_is_back(
    stage: Stage,
) {
    let store = stage.open();
    store.accept(new("api", Some("a"), "1")).await.unwrap();
    let first = offers(&store).await.remove(0);
    store.drop_those(only(first.id), NOW).await.unwrap();
    assert_eq!(store.retry(only(first.id), None, NOW).await.unwrap(), 1);
    assert!(offers(&store).await.is_empty());
    let again = Next::Again { at: NOW, counts: true, hold_until: None };
    store.finish(&first, finish(again), NOW).await.unwrap();
    assert_eq!(offers(&store).await.len(), 1);
    assert_eq!(store.check().await.unwrap(), []);
}

async fn one_that_must_not_be_sent_twice_and_was_dropped_while_on_its_way_is_known_as_maybe_done(
    stage: Stage,
) {
    let store = stage.open();
    let mut once = new("api", None, "1");
    once.assurance = Assurance::None;
    store.accept(once.clone()).await.unwrap();
    assert_eq!(offers(&store).await.len(), 1);
    store.drop_those(only(once.id), NOW).await.unwrap();
    drop(store);
    stage.leases_end();
    let store = stage.open();
    store.stop_interrupted().await.unwrap();
    let summary = store.summary(once.id).await.unwrap();
    assert_eq!((summary.reason, summary.maybe_done), (Some("dropped"), true));
}

async fn a_claim_that_nobody_waits_for_any_more_is_given_back(stage: Stage) {
    let store = stage.open();
    let mut once = new("api", None, "1");
    once.assurance = Assurance::None;
    store.accept(once).await.unwrap();
    let mut changes = store.changes();
    for turn in 0..20 {
        // Polled once or twice and dropped, before or after it was found.
        let claim = store.claim("api", NOW, 100);
        let _ = tokio::time::timeout(Duration::from_micros(turn * 20), claim).await.map(|got| {
            // It came after all.
            let (store, offer) = (store.clone(), got.unwrap().offers);
            tokio::spawn(async move {
                for offer in offer {
                    let next = Next::Again { at: NOW, counts: true, hold_until: None };
                    store.finish(&offer, finish(next), NOW).await.unwrap();
                }
            })
        });
    }
    loop {
        changes.mark_unchanged();
        if !offers(&store).await.is_empty() {
            break;
        }
        changes.changed().await.unwrap();
    }
}

async fn one_that_is_forgotten_while_on_its_way_takes_its_claim_along(stage: Stage) {
    let store = stage.open();
    store.accept(new("api", Some("a"), "1")).await.unwrap();
    let first = offers(&store).await.remove(0);
    store.drop_those(only(first.id), NOW).await.unwrap();
    store.drop_those(only(first.id), NOW).await.unwrap();
    store.accept(new("api", None, "other")).await.unwrap();
    assert_eq!(offers(&store).await.len(), 1, "another one isn't taken for it");
    store.accept(new("api", Some("a"), "2")).await.unwrap();
    assert!(offers(&store).await.is_empty(), "its lane is held until it is back");
    let error = store.finish(&first, finish(Next::Delivered), NOW).await.unwrap_err();
    assert!(matches!(error, StoreError::Unknown));
    assert_eq!(offers(&store).await[0].body, "2");
}

async fn a_visitor_claims_nothing(stage: Stage) {
    let store = stage.open();
    store.accept(new("api", None, "1")).await.unwrap();
    let visitor = stage.visit();
    assert!(matches!(visitor.claim("api", NOW, 1).await, Err(StoreError::Visitor)));
}

/// What can be wrong in a row stops this delivery, is told, and is in nobody's way.
#[tokio::test]
async fn a_damaged_row_is_stopped_and_in_nobodys_way() {
    let wrongs = [
        "key = 'other'",
        "route = CAST(x'ff' AS TEXT)",
        "key = CAST(x'61ff' AS TEXT)",
        "print = x'00'",
        "id = x'0102'",
        "history = '{'",
        "assurance = 0",
        "expires_at = expires_at + 1",
        "calls = 70000",
        "sum = x''",
    ];
    for wrong in wrongs {
        let stage = Stage::new();
        let store = stage.open();
        let first = new("api", Some("a"), "1");
        store.accept(first.clone()).await.unwrap();
        store.accept(new("api", Some("a"), "2")).await.unwrap();
        store.accept(new("api", None, "3")).await.unwrap();
        stage.sql(&format!("UPDATE delivery SET {wrong} WHERE seq = 1"));
        let claimed = store.claim("api", NOW, 1).await.unwrap();
        assert_eq!((claimed.offers.len(), claimed.stopped.len()), (0, 1), "{wrong}");
        let claimed = store.claim("api", NOW, 100).await.unwrap();
        let bodies: Vec<_> = claimed.offers.iter().map(|offer| &offer.body[..]).collect();
        assert_eq!((bodies, claimed.stopped.len()), (vec![&b"3"[..]], 0), "{wrong}");
        let faults = store.check().await.unwrap();
        assert!(faults.iter().any(|fault| matches!(fault, Fault::Row(_))), "{wrong}: {faults:?}");
        // It isn't sent as it is, whoever says so.
        assert_eq!(store.retry(Filter::default(), None, NOW).await.unwrap(), 0, "{wrong}");
        let stopped = Filter { states: vec!["stopped"], ..Filter::default() };
        let page = mainstay_outbox::Page { after: None, most: 10 };
        let listed = store.list(stopped.clone(), page).await.unwrap();
        assert_eq!((listed.len(), listed[0].reason), (1, Some("damaged")), "{wrong}");
        // Given up, it is in its lane's way no more.
        assert_eq!(store.drop_those(stopped, NOW).await.unwrap(), 1, "{wrong}");
        assert_eq!(offers(&store).await[0].body, "2", "{wrong}");
    }
}

#[tokio::test]
async fn damaged_content_is_stopped_and_in_nobodys_way() {
    let makers: [fn() -> Stage; 2] = [Stage::new, Stage::postgres];
    for (make, wrong) in makers.into_iter().flat_map(|make| (0..3).map(move |wrong| (make, wrong)))
    {
        let stage = make();
        let wrong = match wrong {
            0 => format!("body = {}", stage.bytes("78")),
            1 => "head = NULL".to_owned(),
            _ => format!("body = {}", stage.bytes("")),
        };
        let store = stage.open();
        let first = new("api", None, "1");
        store.accept(first.clone()).await.unwrap();
        store.accept(new("api", None, "2")).await.unwrap();
        let which = "id = (SELECT id FROM delivery WHERE seq = 1)";
        stage.sql(&format!("UPDATE content SET {wrong} WHERE {which}"));
        let claimed = store.claim("api", NOW, 100).await.unwrap();
        assert_eq!(claimed.stopped.len(), 1, "{wrong}");
        assert_eq!(claimed.offers[0].body, "2", "{wrong}");
        assert_ne!(store.check().await.unwrap(), [], "{wrong}");
    }
}

#[tokio::test]
async fn what_is_missing_or_miscounted_is_a_fault() {
    let check_in = async |stage: Stage, wrong: &str, wanted: fn(&Fault) -> bool| {
        let store = stage.open();
        for body in ["1", "2"] {
            store.accept(new("api", Some("a"), body)).await.unwrap();
        }
        stage.sql(wrong);
        let faults = store.check().await.unwrap();
        assert!(faults.iter().any(wanted), "{wrong}: {faults:?}");
        assert!(faults.iter().all(|fault| !fault.to_string().is_empty()));
    };
    let check = async |wrong: &str, wanted: fn(&Fault) -> bool| {
        check_in(Stage::new(), wrong, wanted).await;
        check_in(Stage::postgres(), wrong, wanted).await;
    };
    let one = "id = (SELECT id FROM delivery WHERE seq = 1)";
    check(&format!("DELETE FROM content WHERE {one}"), |fault| matches!(fault, Fault::Missing(_)))
        .await;
    check("DELETE FROM delivery WHERE seq = 1", |fault| matches!(fault, Fault::Orphan(_))).await;
    check("DELETE FROM delivery WHERE seq = 1", |fault| matches!(fault, Fault::Turn(_))).await;
    check("DELETE FROM totals", |fault| *fault == Fault::Totals).await;
    check("UPDATE totals SET items = 3", |fault| *fault == Fault::Totals).await;
    check("UPDATE lane SET items = 3", |fault| *fault == Fault::Totals).await;
}

async fn what_is_counted_wrongly_is_offered_all_the_same(stage: Stage) {
    let store = stage.open();
    store.accept(new("api", None, "1")).await.unwrap();
    stage.sql("DELETE FROM totals");
    assert_eq!(store.destinations().await.unwrap(), ["api"]);
    assert_eq!(offers(&store).await.len(), 1);
    assert!(store.check().await.unwrap().contains(&Fault::Totals));
}

async fn a_bulk_retry_spreads_all_of_them_once(stage: Stage) {
    let store = stage.open();
    let tasks = (0..1201_u32).map(|number| {
        let store = store.clone();
        tokio::spawn(async move { store.accept(new("api", None, &number.to_string())).await })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap().unwrap();
    }
    fail(&store, store.claim("api", NOW, 2000).await.unwrap().offers).await;
    // Somebody fails them as fast as they are retried.
    let failing = {
        let store = store.clone();
        let mut changes = store.changes();
        tokio::spawn(async move {
            let mut failed = 0_u64;
            while failed < 1201 {
                let late = WallTime(NOW.0 + 3_600_000);
                let offers = store.claim("api", late, 100).await.unwrap().offers;
                failed += offers.len() as u64;
                fail(&store, offers).await;
                if failed < 1201 {
                    changes.changed().await.unwrap();
                }
            }
        })
    };
    let dead = Filter { states: vec!["dead"], ..Filter::default() };
    assert_eq!(store.retry(dead, None, NOW).await.unwrap(), 1201);
    failing.await.unwrap();
    assert_eq!(store.retry(Filter::default(), Some(100), NOW).await.unwrap(), 1201);
    let page = mainstay_outbox::Page { after: None, most: 2000 };
    let mut due: Vec<_> =
        store.list(Filter::default(), page).await.unwrap().iter().map(|one| one.due_at.0).collect();
    due.sort_unstable();
    let wanted: Vec<_> = (0..1201).map(|place| NOW.0 + place * 10).collect();
    assert_eq!(due, wanted);
    assert_eq!(store.check().await.unwrap(), []);
}

async fn who_waits_for_an_end_hears_of_one_that_another_process_wrote_however_busy_it_is(
    stage: Stage,
) {
    let store = stage.open();
    let one = new("api", None, "1");
    store.accept(one.clone()).await.unwrap();
    let busy = {
        let store = store.clone();
        tokio::spawn(async move {
            loop {
                let asked = store.destinations().await;
                tokio::task::yield_now().await;
                asked.unwrap();
            }
        })
    };
    let settled = {
        let store = store.clone();
        tokio::spawn(async move { store.settled(one.id, Duration::from_secs(100)).await })
    };
    let visitor = stage.visit();
    visitor.drop_those(only(one.id), NOW).await.unwrap();
    let told = tokio::time::timeout(Duration::from_secs(20), settled).await;
    assert_eq!(told.unwrap().unwrap().unwrap().reason, Some("dropped"));
    busy.abort();
}

async fn a_job_that_fails_takes_no_other_along(stage: Stage) {
    let store = stage.open();
    let one = new("api", None, "twice");
    store.accept(one.clone()).await.unwrap();
    // The same id again breaks the rule that ids differ, and with it the commit of all of them.
    let writes = (0..40).map(|number| match number {
        7 | 23 => one.clone(),
        _ => new("api", Some("a"), &number.to_string()),
    });
    let tasks: Vec<_> = writes
        .map(|new| {
            let store = store.clone();
            tokio::spawn(async move { store.accept(new).await.is_ok() })
        })
        .collect();
    let mut accepted = 0;
    for task in tasks {
        accepted += usize::from(task.await.unwrap());
    }
    assert_eq!(accepted, 38);
    let page = mainstay_outbox::Page { after: None, most: 100 };
    assert_eq!(store.list(Filter::default(), page).await.unwrap().len(), 39);
    assert_eq!(store.check().await.unwrap(), []);
}

async fn a_lane_is_bounded_by_what_is_open_in_it(stage: Stage) {
    let store = stage.open_with(Limits { lane_items: 2, reserve_bytes: 0, ..Limits::default() });
    let accept = async |body| store.accept(new("api", Some("a"), body)).await;
    accept("1").await.unwrap();
    accept("2").await.unwrap();
    accept("3").await.unwrap_err();
    let first = offers(&store).await.remove(0);
    store.finish(&first, finish(Next::Dead(DeadReason::Rejected)), NOW).await.unwrap();
    accept("4").await.unwrap();
    accept("5").await.unwrap_err();
    let second = offers(&store).await.remove(0);
    let stopped = finish(Next::Stopped(StoppedReason::NoRoute));
    store.finish(&second, stopped, NOW).await.unwrap();
    accept("6").await.unwrap_err();
    store.drop_those(Filter::default(), NOW).await.unwrap();
    accept("7").await.unwrap();
    assert_eq!(store.check().await.unwrap(), []);
}

async fn what_is_sealed_with_a_key_that_is_not_there_waits_for_it(stage: Stage) {
    let store = stage.open_sealed();
    let (one, other) = (new("api", Some("a"), "1"), new("api", None, "2"));
    for new in [&one, &other] {
        store.accept(new.clone()).await.unwrap();
    }
    drop(store);
    let store = stage.open();
    for _ in 0..2 {
        let claimed = store.claim("api", NOW, 10).await.unwrap();
        assert!(claimed.offers.is_empty() && claimed.stopped.is_empty());
        // The first digits of the key's SHA-256, as a person finds them.
        assert_eq!(claimed.missing_key.map(u32::from_be_bytes), Some(0x4bb06f8e));
    }
    assert_eq!(store.summary(one.id).await.unwrap().state, State::Waiting);
    drop(store);
    let offers = offers(&stage.open_sealed()).await;
    assert_eq!(offers.iter().map(|offer| offer.id).collect::<Vec<_>>(), [one.id, other.id]);
}
