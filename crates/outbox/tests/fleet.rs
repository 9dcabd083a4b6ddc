//! What only a store that several have has: leases that end, late news, one clock, a database that goes and comes back.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod stage;

use std::time::{Duration, Instant};

use mainstay_core::outbox::{Assurance, Next, WallTime};
use mainstay_outbox::store::{Accepted, Access, OpenError, PostgresAddress, PostgresSettings};
use mainstay_outbox::{
    DeliveryId, Filter, Keys, Limits, NewDelivery, Offer, Page, Store, StoreError,
};
use stage::postgres::Cluster;
use stage::{NOW, Stage, finish, new};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(40);

async fn offers(store: &Store) -> Vec<Offer> {
    store.claim("api", NOW, 100).await.unwrap().offers
}

/// The offers of the first look that finds some.
async fn next_offers(store: &Store) -> Vec<Offer> {
    let until = Instant::now() + PATIENCE;
    loop {
        let found = offers(store).await;
        if !found.is_empty() {
            return found;
        }
        assert!(Instant::now() < until, "nothing is offered");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until a delivery isn't waiting any more.
async fn reason(store: &Store, id: DeliveryId) -> Option<&'static str> {
    store.settled(id, PATIENCE).await.unwrap().reason
}

fn again() -> Next {
    Next::Again { at: NOW, counts: true, hold_until: None }
}

fn once(body: &str) -> NewDelivery {
    NewDelivery { assurance: Assurance::None, ..new("api", None, body) }
}

/// A worker whose leases end soon.
fn open_with_lease(stage: &Stage, lease: Duration) -> Store {
    let settings = PostgresSettings { lease, ..stage.settings() };
    Store::open_postgres(settings, Keys::default(), Limits::default(), Access::Serve).unwrap()
}

/// A worker that goes on, but can't renew anything: what it wrote of itself is gone.
fn cut_off(stage: &Stage) {
    stage.sql("UPDATE lease SET worker = gen_random_uuid(), until = '-infinity'");
}

#[tokio::test]
async fn two_workers_never_have_the_same_one_nor_two_of_a_lane() {
    let stage = Stage::postgres();
    let workers = [stage.open(), stage.open(), stage.open()];
    for number in 0..90 {
        let lane = (number % 3 > 0).then(|| (number % 7).to_string());
        workers[number % 3].accept(new("api", lane.as_deref(), &number.to_string())).await.unwrap();
    }
    let mut order: Vec<Vec<i64>> = vec![Vec::new(); 7];
    let mut seen = std::collections::HashSet::new();
    while seen.len() < 90 {
        let claims = workers.each_ref().map(|worker| {
            let worker = worker.clone();
            tokio::spawn(async move { worker.claim("api", NOW, 5).await.unwrap().offers })
        });
        let mut all = Vec::new();
        for (worker, claim) in claims.into_iter().enumerate() {
            all.extend(claim.await.unwrap().into_iter().map(|offer| (worker, offer)));
        }
        let mut lanes = std::collections::HashSet::new();
        for (worker, offer) in all {
            let number: i64 = std::str::from_utf8(&offer.body).unwrap().parse().unwrap();
            assert!(seen.insert(number), "{number} was offered twice");
            if number % 3 > 0 {
                assert!(lanes.insert(number % 7), "two of a lane at a time");
                order[(number % 7) as usize].push(number);
            }
            workers[worker].finish(&offer, finish(Next::Delivered), NOW).await.unwrap();
        }
    }
    assert!(order.iter().all(|lane| lane.is_sorted()), "{order:?}");
    assert_eq!(workers[0].check().await.unwrap(), []);
}

#[tokio::test]
async fn what_a_dead_worker_had_is_offered_again_or_stopped() {
    let stage = Stage::postgres();
    let (dead, other) = (open_with_lease(&stage, Duration::from_secs(2)), stage.open());
    let (twice, one) = (new("api", None, "twice"), once("once"));
    for new in [&twice, &one] {
        dead.accept(new.clone()).await.unwrap();
    }
    let held = offers(&dead).await;
    assert_eq!(held.len(), 2);
    // It renews as long as it lives.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(offers(&other).await.is_empty());
    drop((held, dead));
    assert_eq!(reason(&other, one.id).await, Some("maybe-done"));
    let again = next_offers(&other).await;
    // Whoever had it may have sent it.
    assert_eq!((again[0].id, again[0].maybe_done), (twice.id, true));
}

#[tokio::test]
async fn what_a_worker_let_go_of_is_offered_again_though_the_worker_lives() {
    let stage = Stage::postgres();
    let (alive, other) = (open_with_lease(&stage, Duration::from_secs(1)), stage.open());
    let twice = new("api", None, "twice");
    alive.accept(twice.clone()).await.unwrap();
    // Its call was cut: nobody has the lease any more, and nobody renews it.
    drop(offers(&alive).await);
    assert_eq!(next_offers(&other).await[0].id, twice.id);
}

#[tokio::test]
async fn late_news_undo_no_persons_decision() {
    let stage = Stage::postgres();
    let (slow, other) = (open_with_lease(&stage, Duration::from_secs(1)), stage.open());
    let one = once("1");
    slow.accept(one.clone()).await.unwrap();
    let late = offers(&slow).await.remove(0);
    cut_off(&stage);
    assert_eq!(reason(&other, one.id).await, Some("maybe-done"));
    let filter = Filter { ids: vec![one.id], ..Filter::default() };
    assert_eq!(other.retry(filter, None, NOW).await.unwrap(), 1);
    let dead = Next::Dead(mainstay_core::outbox::DeadReason::Exhausted);
    let told = slow.finish(&late, finish(dead), NOW).await;
    assert!(matches!(told, Err(StoreError::Late(_))), "{told:?}");
    assert_eq!(other.summary(one.id).await.unwrap().state.name(), "waiting");
}

#[tokio::test]
async fn a_worker_that_lost_its_lease_knows_that_and_late_news_overwrite_nothing() {
    let stage = Stage::postgres();
    let (slow, other) = (open_with_lease(&stage, Duration::from_secs(2)), stage.open());
    let one = new("api", Some("a"), "1");
    slow.accept(one.clone()).await.unwrap();
    let late = offers(&slow).await.remove(0);
    assert!(!late.lease.as_ref().unwrap().is_over());
    cut_off(&stage);
    let mine = next_offers(&other).await.remove(0);
    other.finish(&mine, finish(again()), NOW).await.unwrap();
    // By its own clock, though nobody has told it.
    while !late.lease.as_ref().unwrap().is_over() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let told = slow.finish(&late, finish(Next::Delivered), NOW).await;
    assert!(matches!(told, Err(StoreError::Late(id)) if id == one.id));
    let detail = other.detail(one.id).await.unwrap();
    assert_eq!(detail.summary.state.name(), "waiting");
    assert!(detail.summary.maybe_done && detail.history.len() == 2, "it is noted");
    // While another has it just now, it is the same.
    let mine = next_offers(&other).await.remove(0);
    assert!(slow.finish(&late, finish(Next::Delivered), NOW).await.is_err());
    other.finish(&mine, finish(Next::Delivered), NOW).await.unwrap();
    assert_eq!(other.check().await.unwrap(), []);
}

#[tokio::test]
async fn late_news_count_where_nobody_has_had_it_since() {
    for (next, state) in [(Next::Delivered, "delivered"), (again(), "waiting")] {
        let stage = Stage::postgres();
        let (slow, other) = (open_with_lease(&stage, Duration::from_secs(2)), stage.open());
        let one = once("1");
        slow.accept(one.clone()).await.unwrap();
        let late = offers(&slow).await.remove(0);
        cut_off(&stage);
        assert_eq!(reason(&other, one.id).await, Some("maybe-done"));
        slow.finish(&late, finish(next), NOW).await.unwrap();
        assert_eq!(other.summary(one.id).await.unwrap().state.name(), state);
        // Told once more, as after an answer that was lost, it is the same.
        slow.finish(&late, finish(next), NOW).await.unwrap();
        assert_eq!(other.summary(one.id).await.unwrap().calls, 1);
    }
}

#[tokio::test]
async fn a_hold_is_for_all_workers() {
    let stage = Stage::postgres();
    let (one, other) = (stage.open(), stage.open());
    one.accept(new("api", None, "1")).await.unwrap();
    one.accept(new("api", None, "2")).await.unwrap();
    let offer = one.claim("api", NOW, 1).await.unwrap().offers.remove(0);
    let until = WallTime(NOW.0 + 5_000);
    let next = Next::Again { at: until, counts: true, hold_until: Some(until) };
    one.finish(&offer, finish(next), NOW).await.unwrap();
    let claimed = other.claim("api", NOW, 10).await.unwrap();
    assert_eq!((claimed.offers.len(), claimed.next_due), (0, Some(until)));
    assert_eq!(other.claim("api", until, 10).await.unwrap().offers.len(), 2);
}

#[tokio::test]
async fn who_waits_for_an_end_hears_of_it_from_another_worker_by_a_notification() {
    let stage = Stage::postgres();
    let (one, other) = (stage.open(), stage.open());
    let mut quickest = PATIENCE;
    // The look that each has every second would tell as well; it can't be that fast five times.
    for _ in 0..5 {
        let new = new("api", None, "1");
        one.accept(new.clone()).await.unwrap();
        let offer = next_offers(&other).await.remove(0);
        let waiter = one.clone();
        let settled = tokio::spawn(async move { waiter.settled(new.id, PATIENCE).await });
        tokio::time::sleep(Duration::from_millis(20)).await;
        let begun = Instant::now();
        other.finish(&offer, finish(Next::Delivered), NOW).await.unwrap();
        assert_eq!(settled.await.unwrap().unwrap().state.name(), "delivered");
        quickest = quickest.min(begun.elapsed());
    }
    assert!(quickest < Duration::from_millis(500), "{quickest:?}");
}

#[tokio::test]
async fn the_same_request_by_several_workers_at_once_is_one_delivery() {
    let stage = Stage::postgres();
    let workers = [stage.open(), stage.open()];
    for round in 0..20_u8 {
        let tasks: Vec<_> = (0..6)
            .map(|number| {
                let worker = workers[number % 2].clone();
                let new = NewDelivery { scope: Some([round; 32]), ..new("api", Some("a"), "1") };
                tokio::spawn(async move { worker.accept(new).await.unwrap() })
            })
            .collect();
        let mut fresh = 0;
        for task in tasks {
            fresh += usize::from(task.await.unwrap() == Accepted::New);
        }
        assert_eq!(fresh, 1);
    }
    let page = Page { after: None, most: 100 };
    assert_eq!(workers[0].list(Filter::default(), page).await.unwrap().len(), 20);
    assert_eq!(workers[0].check().await.unwrap(), []);
}

#[tokio::test]
async fn many_start_at_once_and_a_newer_version_is_refused() {
    let stage = Stage::postgres();
    let starts: Vec<_> = (0..6)
        .map(|_| {
            let settings = stage.settings();
            std::thread::spawn(move || {
                Store::open_postgres(settings, Keys::default(), Limits::default(), Access::Serve)
            })
        })
        .collect();
    for start in starts {
        start.join().unwrap().unwrap();
    }
    stage.sql("UPDATE meta SET version = 99");
    for access in [Access::Serve, Access::Visit] {
        let error = stage.try_open(Limits::default(), access).unwrap_err().to_string();
        assert!(error.contains("version 99, made by a newer Mainstay"), "{error}");
    }
}

#[tokio::test]
async fn a_visitor_says_that_there_is_none_and_makes_none() {
    let stage = Stage::postgres();
    for _ in 0..2 {
        let error = stage.try_open(Limits::default(), Access::Visit).unwrap_err();
        assert!(matches!(error, OpenError::NoSchema(..)), "{error}");
    }
}

#[tokio::test]
async fn a_wrong_place_is_refused_and_no_password_is_told() {
    let stage = Stage::postgres();
    let url = Cluster::shared().url().replace("/postgres", "/nowhere").replace('@', ":s3cret@");
    let address = PostgresAddress::parse(&url).unwrap();
    let settings = PostgresSettings { address, ..stage.settings() };
    let error = Store::open_postgres(settings, Keys::default(), Limits::default(), Access::Serve)
        .unwrap_err();
    let said = format!("{error} {error:?}");
    assert!(said.contains("\"nowhere\" does not exist"), "{said}");
    assert!(!said.contains("s3cret"), "{said}");
}

#[tokio::test]
async fn time_is_the_databases() {
    let stage = Stage::postgres();
    let store = stage.open();
    let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
    let before: u64 = Cluster::shared().sql(sql).parse().unwrap();
    let now = store.now().0;
    let after: u64 = Cluster::shared().sql(sql).parse().unwrap();
    assert!(before.saturating_sub(200) <= now && now <= after + 200, "{before} {now} {after}");
}

#[tokio::test]
async fn a_transaction_that_is_left_open_holds_its_lane_for_some_seconds_at_most() {
    let stage = Stage::postgres();
    let store = stage.open();
    store.accept(new("api", Some("a"), "1")).await.unwrap();
    // As of a worker that was frozen in the middle of one.
    let settings = stage.settings();
    let schema = settings.schema.replace('"', "\"\"");
    let frozen = std::thread::spawn(move || {
        Cluster::shared().frozen(&format!(
            "SET search_path = \"{schema}\"; SET idle_in_transaction_session_timeout = '5s'; \
             BEGIN; SELECT FROM lane FOR UPDATE;"
        ))
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    let begun = Instant::now();
    loop {
        match store.accept(new("api", Some("a"), "2")).await {
            Ok(_) => break,
            Err(error) => assert!(begun.elapsed() < PATIENCE, "{error}"),
        }
    }
    frozen.join().unwrap();
}

/// Writes until it is told to end. What was accepted, and what nobody could say.
async fn write_all(
    store: Store,
    worker: usize,
    end: tokio::sync::watch::Receiver<bool>,
) -> Written {
    let mut written = Written::default();
    let mut number = 0_usize;
    while !*end.borrow() {
        let lane = format!("{worker}");
        let new = new("api", Some(&lane), &format!("{worker}-{number}"));
        let id = new.id;
        match store.accept(new).await {
            Ok(_) => written.accepted.push(id),
            Err(StoreError::Unsure(_)) => written.unsure += 1,
            Err(_) => {
                written.refused.push(id);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        number += 1;
    }
    written
}

#[derive(Default)]
struct Written {
    accepted: Vec<DeliveryId>,
    refused: Vec<DeliveryId>,
    unsure: usize,
}

/// What is done to the database while it is written to.
async fn disturbed(name: &str, disturb: impl Fn(&Cluster) + Send + 'static) {
    let cluster = std::sync::Arc::new(Cluster::own(name));
    let address = PostgresAddress::parse(&cluster.url()).unwrap();
    let settings =
        PostgresSettings { address, schema: "mainstay".into(), lease: Duration::from_secs(30) };
    let open = |settings| {
        Store::open_postgres(settings, Keys::default(), Limits::default(), Access::Serve).unwrap()
    };
    let workers = [open(settings.clone()), open(settings.clone())];
    let (end, ends) = tokio::sync::watch::channel(false);
    let tasks: Vec<_> = (0..6)
        .map(|at| tokio::spawn(write_all(workers[at % 2].clone(), at, ends.clone())))
        .collect();
    let disturbing = std::sync::Arc::clone(&cluster);
    tokio::task::spawn_blocking(move || {
        for _ in 0..3 {
            std::thread::sleep(Duration::from_millis(400));
            disturb(&disturbing);
        }
        std::thread::sleep(Duration::from_millis(400));
    })
    .await
    .unwrap();
    // It goes on by itself: one more write each.
    for worker in &workers {
        worker.accept(new("api", None, "after")).await.unwrap();
    }
    end.send(true).unwrap();
    let (mut accepted, mut refused, mut unsure) = (Vec::new(), Vec::new(), 0);
    for task in tasks {
        let written = task.await.unwrap();
        assert!(!written.accepted.is_empty());
        accepted.extend(written.accepted);
        refused.extend(written.refused);
        unsure += written.unsure;
    }
    let mut there = std::collections::HashSet::new();
    let mut after = None;
    loop {
        let page = Page { after, most: 1000 };
        let list = workers[0].list(Filter::default(), page).await.unwrap();
        let Some(last) = list.last() else { break };
        after = Some(last.seq);
        there.extend(list.iter().map(|one| one.id));
    }
    let lost = accepted.iter().filter(|id| !there.contains(id)).count();
    let stray = refused.iter().filter(|id| there.contains(id)).count();
    println!("{name}: {} accepted, {} refused, {unsure} unsure", accepted.len(), refused.len());
    assert_eq!((lost, stray), (0, 0), "accepted and not there, refused and there");
    assert_eq!(workers[0].check().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_accepted_is_there_and_what_was_refused_is_not_when_the_server_crashes() {
    disturbed("crash", |cluster| {
        cluster.crash();
        cluster.start();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_accepted_is_there_and_what_was_refused_is_not_when_connections_are_cut() {
    disturbed("cut", |cluster| {
        for _ in 0..4 {
            cluster.sql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'mainstay'");
            std::thread::sleep(Duration::from_millis(50));
        }
    })
    .await;
}

#[tokio::test]
async fn a_proxy_that_starts_before_its_database_stores_when_it_is_there() {
    let cluster = Cluster::own("late");
    cluster.crash();
    let address = PostgresAddress::parse(&cluster.url()).unwrap();
    let settings =
        PostgresSettings { address, schema: "mainstay".into(), lease: Duration::from_secs(30) };
    let open =
        |access| Store::open_postgres(settings.clone(), Keys::default(), Limits::default(), access);
    assert!(open(Access::Visit).is_err(), "a visitor has nothing to wait for");
    let store = open(Access::Serve).unwrap();
    assert!(matches!(store.accept(new("api", None, "1")).await, Err(StoreError::Database(_))));
    assert!(store.trouble().is_some());
    cluster.start();
    let until = Instant::now() + PATIENCE;
    while let Err(error) = store.accept(new("api", None, "1")).await {
        assert!(Instant::now() < until, "{error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(store.trouble(), None);
}

#[tokio::test]
async fn a_server_is_verified_as_its_url_says() {
    let cluster = Cluster::own("tls");
    let made = |names: &[&str]| {
        let names = names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        rcgen::generate_simple_self_signed(names).unwrap()
    };
    let (own, other) = (made(&["localhost"]), made(&["localhost"]));
    let port = cluster.listen(&own.cert.pem(), &own.signing_key.serialize_pem());
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: String| {
        let file = dir.path().join(name);
        std::fs::write(&file, text).unwrap();
        file.display().to_string()
    };
    let (own, other) = (file("own.pem", own.cert.pem()), file("other.pem", other.cert.pem()));
    let open = |host: &str, rest: &str| {
        let url = format!("postgresql://postgres@{host}:{port}/postgres?{rest}");
        let address = PostgresAddress::parse(&url).unwrap();
        let settings =
            PostgresSettings { address, schema: "mainstay".into(), lease: Duration::from_secs(30) };
        // A visitor is told of each refusal, where a proxy would wait for a better time.
        let opened =
            Store::open_postgres(settings, Keys::default(), Limits::default(), Access::Visit);
        match opened {
            Err(OpenError::NoSchema(..)) => Ok(()),
            Err(error) => Err(error.to_string()),
            Ok(_) => panic!("there is a schema"),
        }
    };
    let by_name = |mode: &str| open("localhost", mode);
    let by_address = |mode: &str| open("127.0.0.1", mode);
    by_name(&format!("sslmode=verify-full&sslrootcert={own}")).unwrap();
    by_name("sslmode=require").unwrap();
    by_name("").unwrap();
    by_address(&format!("sslmode=verify-ca&sslrootcert={own}")).unwrap();
    for mode in ["verify-full", "verify-ca", "require"] {
        let refused = by_name(&format!("sslmode={mode}&sslrootcert={other}")).unwrap_err();
        assert!(refused.contains("certificate"), "{mode}: {refused}");
    }
    let refused = by_name("sslmode=verify-full").unwrap_err();
    assert!(refused.contains("certificate"), "the system's authorities: {refused}");
    let refused = by_address(&format!("sslmode=verify-full&sslrootcert={own}")).unwrap_err();
    assert!(refused.contains("certificate"), "another name: {refused}");
}
