//! Writes that are stored until they are delivered.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use mainstay_config::Settings;
use mainstay_config::settings::{LaneBy, MaybeDone, Outbox, OutboxMode, RouteOutbox};
use mainstay_core::outbox::ScheduleSettings;
use mainstay_proxy::{Options, Proxy, StartError};

use crate::live::Reader;
use crate::support::{App, Got, Origin, read_request, settings, start, until};

/// Settings with an outbox in `dir`, whose waits are short.
fn stored(dir: &tempfile::TempDir, origin: SocketAddr, mode: OutboxMode) -> Settings {
    let mut settings = settings(&[origin]);
    settings.outbox =
        Outbox { path: dir.path().join("outbox.db"), reserve_bytes: 0, ..Outbox::default() };
    let base = Duration::from_millis(100);
    let schedule = ScheduleSettings { base, cap: base, ..ScheduleSettings::default() };
    settings.routes[0].outbox = Some(RouteOutbox { mode, schedule, ..RouteOutbox::default() });
    settings
}

fn dir() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn post(app: &mut App, path: &str, fields: &str, body: &str) -> Got {
    let length = body.len();
    app.send(format!(
        "POST {path} HTTP/1.1\r\nHost: app.test\r\nContent-Length: {length}\r\n{fields}\r\n{body}"
    ))
    .answer()
}

/// Waits until a delivery's state is this one.
#[track_caller]
fn until_state(proxy: &Proxy, place: &str, state: &str) -> Got {
    until(|| App::of(proxy).get(place).member("state") == state);
    App::of(proxy).get(place)
}

/// An upstream that is down until it is told otherwise: it asks to be left alone.
fn down_at_first() -> (Origin, Arc<AtomicBool>) {
    let is_up = Arc::new(AtomicBool::new(false));
    let up = Arc::clone(&is_up);
    let origin = Origin::with(move |mut tcp, heard| {
        while let Some(request) = read_request(&mut tcp) {
            let answer = if up.load(SeqCst) {
                let _ = heard.send(request);
                "HTTP/1.1 201 Created\r\ncontent-length: 4\r\nx-order: 7\r\n\r\ndone"
            } else {
                "HTTP/1.1 503 Service Unavailable\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n"
            };
            if tcp.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    });
    (origin, is_up)
}

#[test]
fn a_write_is_stored_first_and_its_answer_can_be_fetched() {
    let (dir, origin) = (
        dir(),
        Origin::answering(
            "HTTP/1.1 201 Created\r\ncontent-length: 4\r\nx-order: 7\r\n\r\ndone",
            false,
        ),
    );
    let proxy = start(stored(&dir, origin.address, OutboxMode::Always));
    let got = post(&mut App::of(&proxy), "/orders", "", "one");
    assert_eq!(got.status, 202, "{got:?}");
    let place = got.field("location").unwrap().to_owned();
    assert_eq!(got.member("status"), place);
    let heard = origin.hear();
    let key = got.member("key").as_str().unwrap().to_owned();
    assert!(heard.starts_with("POST /orders ") && heard.ends_with("one"), "{heard}");
    assert!(heard.contains(&format!("idempotency-key: {key}\r\n")), "{heard}");
    let told = until_state(&proxy, &place, "delivered");
    assert_eq!(told.member("calls"), 1);
    let answer = App::of(&proxy).get(&format!("{place}/answer"));
    assert_eq!((answer.status, &*answer.body), (201, "done"));
    assert_eq!(answer.field("x-order"), Some("7"));
}

#[test]
fn what_can_be_delivered_at_once_is_and_is_not_stored() {
    let (dir, origin) = (dir(), Origin::good());
    let proxy = start(stored(&dir, origin.address, OutboxMode::Fallback));
    let got = post(&mut App::of(&proxy), "/orders", "", "one");
    assert_eq!((got.status, &*got.body), (200, "ok"));
    assert_eq!(App::of(&proxy).get("/orders").status, 200);
    assert_eq!(origin.heard().len(), 2);
}

#[test]
fn what_is_turned_away_is_stored_and_delivered_when_the_api_is_back() {
    let (dir, (origin, is_up)) = (dir(), down_at_first());
    let proxy = start(stored(&dir, origin.address, OutboxMode::Fallback));
    let got = post(&mut App::of(&proxy), "/orders", "", "one");
    assert_eq!(got.status, 202, "{got:?}");
    is_up.store(true, SeqCst);
    let told = until_state(&proxy, got.field("location").unwrap(), "delivered");
    assert!(told.member("calls").as_u64() > Some(1), "{told:?}");
    assert_eq!(told.member("history")[0]["status"], 503);
    let heard = origin.hear();
    let key = got.member("key");
    assert!(heard.contains(&format!("idempotency-key: {}\r\n", key.as_str().unwrap())));
    assert!(origin.heard().is_empty(), "it was delivered twice");
}

#[test]
fn what_may_have_been_done_is_answered_honestly_unless_it_may_be_done_twice() {
    let is_up = Arc::new(AtomicBool::new(false));
    let up = Arc::clone(&is_up);
    let origin = Origin::with(move |mut tcp, heard| {
        while let Some(request) = read_request(&mut tcp) {
            let _ = heard.send(request);
            if !up.load(SeqCst) {
                return;
            }
            let _ = tcp.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        }
    });
    let dir = dir();
    let proxy = start(stored(&dir, origin.address, OutboxMode::Fallback));
    let got = post(&mut App::of(&proxy), "/orders", "", "one");
    assert_eq!((got.status, got.member("was_done")), (502, "unknown".into()));
    assert_eq!(origin.heard().len(), 1);
    let got = post(&mut App::of(&proxy), "/orders", "Idempotency-Key: k\r\n", "one");
    assert_eq!((got.status, got.member("key")), (202, "k".into()));
    is_up.store(true, SeqCst);
    until_state(&proxy, got.field("location").unwrap(), "delivered");
}

#[test]
fn a_stored_write_that_may_have_been_done_stops_for_a_person_or_goes_on_as_the_route_says() {
    for (maybe_done, state) in [(MaybeDone::Stop, "stopped"), (MaybeDone::Again, "delivered")] {
        let first = AtomicBool::new(true);
        let origin = Origin::with(move |mut tcp, heard| {
            while let Some(request) = read_request(&mut tcp) {
                let _ = heard.send(request);
                if first.swap(false, SeqCst) {
                    return;
                }
                let _ = tcp.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
            }
        });
        let dir = dir();
        let mut settings = stored(&dir, origin.address, OutboxMode::Always);
        settings.routes[0].outbox.as_mut().unwrap().maybe_done = maybe_done;
        let proxy = start(settings);
        let got = post(&mut App::of(&proxy), "/orders", "", "one");
        let told = until_state(&proxy, got.field("location").unwrap(), state);
        let reason = if state == "stopped" { "maybe-done".into() } else { serde_json::Value::Null };
        assert_eq!(told.member("reason"), reason);
    }
}

#[test]
fn the_same_request_is_one_delivery_and_another_with_its_key_is_refused() {
    let (dir, (origin, _)) = (dir(), down_at_first());
    let proxy = start(stored(&dir, origin.address, OutboxMode::Always));
    let key = "Idempotency-Key: k\r\n";
    let first = post(&mut App::of(&proxy), "/orders", key, "one");
    let again = post(&mut App::of(&proxy), "/orders", key, "one");
    assert_eq!((again.status, again.field("location")), (202, first.field("location")));
    let other = post(&mut App::of(&proxy), "/orders", key, "two");
    assert_eq!((other.status, other.member("code")), (422, "idempotency-key-reused".into()));
    let elses = format!("{key}Authorization: Bearer other\r\n");
    let elses = post(&mut App::of(&proxy), "/orders", &elses, "two");
    assert_eq!(elses.status, 202);
}

#[test]
fn whose_key_it_is_depends_on_every_credential_and_the_host() {
    let (dir, (origin, _)) = (dir(), down_at_first());
    let proxy = start(stored(&dir, origin.address, OutboxMode::Always));
    let mut places = std::collections::BTreeSet::new();
    for who in ["", "X-Api-Key: a\r\n", "X-Api-Key: b\r\n", "Cookie: c=1\r\n"] {
        let got = post(&mut App::of(&proxy), "/", &format!("Idempotency-Key: k\r\n{who}"), "one");
        places.insert(got.field("location").unwrap().to_owned());
    }
    let mut app = App::of(&proxy);
    app.send(
        "POST / HTTP/1.1\r\nHost: other.test\r\nIdempotency-Key: k\r\nContent-Length: 3\r\n\r\none",
    );
    places.insert(app.answer().field("location").unwrap().to_owned());
    assert_eq!(places.len(), 5);
}

#[test]
fn the_repetition_of_a_write_that_was_given_up_is_told_so() {
    let dir = dir();
    let origin =
        Origin::answering("HTTP/1.1 422 Unprocessable\r\ncontent-length: 3\r\n\r\nbad", false);
    let proxy = start(stored(&dir, origin.address, OutboxMode::Always));
    let key = "Idempotency-Key: k\r\n";
    let first = post(&mut App::of(&proxy), "/", key, "one");
    let place = first.field("location").unwrap().to_owned();
    assert_eq!(until_state(&proxy, &place, "dead").member("reason"), "rejected");
    let again = post(&mut App::of(&proxy), "/", key, "one");
    assert_eq!((again.status, &*again.body), (422, "bad"));
    let prefer = "Prefer: wait=10\r\n";
    let waited = post(&mut App::of(&proxy), "/", prefer, "two");
    assert_eq!((waited.status, &*waited.body), (422, "bad"));
}

#[test]
fn what_stands_in_for_an_answer_delivers_nothing() {
    let (dir, (origin, is_up)) = (dir(), down_at_first());
    let mut settings = stored(&dir, origin.address, OutboxMode::Fallback);
    let mut fallback = mainstay_config::settings::Fallback::default();
    fallback.policy.any_method = true;
    fallback.policy.instead_of_errors = true;
    settings.routes[0].fallback = Some(fallback);
    let proxy = start(settings);
    let got = post(&mut App::of(&proxy), "/", "", "one");
    assert_eq!(got.status, 202, "{got:?}");
    is_up.store(true, SeqCst);
    until_state(&proxy, got.field("location").unwrap(), "delivered");
    assert!(origin.hear().ends_with("one"));
}

#[test]
fn an_answer_that_broke_is_told_as_one_that_is_not_here() {
    let dir = dir();
    let origin = Origin::answering("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", true);
    let mut settings = stored(&dir, origin.address, OutboxMode::Always);
    settings.routes[0].outbox.as_mut().unwrap().maybe_done = MaybeDone::Again;
    let proxy = start(settings);
    let got = post(&mut App::of(&proxy), "/", "", "one");
    let place = got.field("location").unwrap().to_owned();
    until(|| {
        App::of(&proxy).get(&place).member("state") != "waiting"
            || App::of(&proxy).get(&place).member("calls") != 0
    });
    let answer = App::of(&proxy).get(&format!("{place}/answer"));
    assert_ne!(answer.status, 200, "{answer:?}");
}

#[test]
fn a_rate_limit_outlives_the_process() {
    let dir = dir();
    let origin = Origin::answering(
        "HTTP/1.1 429 Too Many Requests\r\nretry-after: 60\r\ncontent-length: 0\r\n\r\n",
        false,
    );
    let proxy = start(stored(&dir, origin.address, OutboxMode::Always));
    let got = post(&mut App::of(&proxy), "/", "Idempotency-Key: a\r\n", "one");
    let place = got.field("location").unwrap().to_owned();
    until(|| App::of(&proxy).get(&place).member("calls") == 1);
    drop(proxy);
    origin.heard();
    let proxy = start(stored(&dir, origin.address, OutboxMode::Always));
    let got = post(&mut App::of(&proxy), "/", "Idempotency-Key: b\r\n", "two");
    // Its turn would have been at once, before any of these.
    (0..50).for_each(|_| drop(App::of(&proxy).get("/after")));
    let heard: Vec<_> =
        origin.heard().into_iter().filter(|heard| heard.starts_with("POST")).collect();
    assert_eq!(heard, Vec::<String>::new());
    assert_eq!(App::of(&proxy).get(got.field("location").unwrap()).member("calls"), 0);
}

#[test]
fn a_deadline_of_the_direct_call_is_none_of_the_deliverys() {
    let (dir, (origin, is_up)) = (dir(), down_at_first());
    let mut settings = stored(&dir, origin.address, OutboxMode::Always);
    settings.routes[0].fields.deadline = Some("x-deadline".into());
    let proxy = start(settings);
    is_up.store(true, SeqCst);
    post(&mut App::of(&proxy), "/", "X-Deadline: 7777777\r\nMainstay-Attempt: 3/3\r\n", "one");
    let heard = origin.hear();
    assert!(!heard.contains("7777777") && !heard.contains("3/3"), "{heard}");
}

#[test]
fn while_the_first_is_tried_its_repetition_is_refused() {
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let gone = std::sync::Mutex::new(gone);
    let origin = Origin::with(move |mut tcp, heard| {
        while let Some(request) = read_request(&mut tcp) {
            let _ = heard.send(request);
            gone.lock().unwrap().recv().unwrap();
            let _ = tcp.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        }
    });
    let dir = dir();
    let proxy = start(stored(&dir, origin.address, OutboxMode::Fallback));
    let mut first = App::of(&proxy);
    first.send(
        "POST / HTTP/1.1\r\nHost: app.test\r\nIdempotency-Key: k\r\nContent-Length: 3\r\n\r\none",
    );
    origin.hear();
    let second = post(&mut App::of(&proxy), "/", "Idempotency-Key: k\r\n", "one");
    assert_eq!((second.status, second.member("code")), (409, "idempotency-key-in-use".into()));
    go.send(()).unwrap();
    assert_eq!(first.answer().status, 200);
}

#[test]
fn whoever_would_rather_wait_gets_the_answer_itself() {
    let (dir, (origin, is_up)) = (dir(), down_at_first());
    let proxy = start(stored(&dir, origin.address, OutboxMode::OnRequest));
    let got = post(&mut App::of(&proxy), "/orders", "", "direct");
    assert_eq!(got.status, 503);
    let got = post(&mut App::of(&proxy), "/orders", "Prefer: respond-async\r\n", "one");
    assert_eq!((got.status, got.field("preference-applied")), (202, Some("respond-async")));
    is_up.store(true, SeqCst);
    let prefer = "Prefer: respond-async, wait=10\r\n";
    let got = post(&mut App::of(&proxy), "/orders", prefer, "two");
    assert_eq!((got.status, &*got.body), (201, "done"));
    assert!(got.field("mainstay-delivery").is_some());
    assert!(!origin.hear().contains("prefer"));
}

#[test]
fn writes_of_a_lane_arrive_in_their_order() {
    let (dir, (origin, is_up)) = (dir(), down_at_first());
    let mut settings = stored(&dir, origin.address, OutboxMode::Always);
    settings.routes[0].outbox.as_mut().unwrap().lane = LaneBy::parse("json:/customer");
    let proxy = start(settings);
    let mut app = App::of(&proxy);
    let mut last = String::new();
    for number in 0..40 {
        let body = format!("{{\"customer\":{},\"number\":\"{number:02}\"}}", number % 2);
        last = post(&mut app, "/orders", "", &body).field("location").unwrap().to_owned();
    }
    is_up.store(true, SeqCst);
    until_state(&proxy, &last, "delivered");
    let mut heard = Vec::new();
    while heard.len() < 40 {
        let request = origin.hear();
        let body = request.split_once("\r\n\r\n").unwrap().1.to_owned();
        heard.push(body);
    }
    for customer in ["0", "1"] {
        let of = format!("{{\"customer\":{customer},");
        let numbers: Vec<_> = heard.iter().filter(|body| body.starts_with(&of)).collect();
        assert_eq!(numbers.len(), 20);
        assert!(numbers.is_sorted(), "{numbers:?}");
    }
}

#[test]
fn whoever_waits_for_the_end_does_not_hold_up_its_lane() {
    let (dir, (origin, is_up)) = (dir(), down_at_first());
    let mut settings = stored(&dir, origin.address, OutboxMode::Always);
    settings.routes[0].outbox.as_mut().unwrap().lane = LaneBy::parse("header:x-customer");
    let proxy = start(settings);
    let mut patient = App::of(&proxy);
    let body = "Prefer: wait=60\r\nContent-Length: 3\r\n\r\none";
    patient.send(format!("POST / HTTP/1.1\r\nHost: app.test\r\nX-Customer: a\r\n{body}"));
    let second = post(&mut App::of(&proxy), "/", "X-Customer: a\r\n", "two");
    assert_eq!(second.status, 202);
    is_up.store(true, SeqCst);
    assert_eq!(patient.answer().status, 201);
}

#[test]
fn a_write_does_not_overtake_those_of_its_lane_that_wait() {
    let (dir, (origin, is_up)) = (dir(), down_at_first());
    let mut settings = stored(&dir, origin.address, OutboxMode::Fallback);
    let outbox = settings.routes[0].outbox.as_mut().unwrap();
    outbox.lane = LaneBy::parse("header:x-customer");
    outbox.schedule.base = Duration::from_secs(1);
    outbox.schedule.cap = Duration::from_secs(1);
    let proxy = start(settings);
    let lane = |name: &str| format!("X-Customer: {name}\r\n");
    assert_eq!(post(&mut App::of(&proxy), "/", &lane("a"), "one").status, 202);
    is_up.store(true, SeqCst);
    assert_eq!(post(&mut App::of(&proxy), "/", &lane("a"), "two").status, 202);
    let other = post(&mut App::of(&proxy), "/", &lane("b"), "three");
    assert_eq!(other.status, 201, "another lane has nothing to wait for");
    let heard: Vec<_> = (0..3).map(|_| origin.hear()).collect();
    let bodies: Vec<_> = heard.iter().map(|heard| heard.rsplit("\r\n").next().unwrap()).collect();
    assert_eq!(bodies, ["three", "one", "two"]);
}

#[test]
fn what_was_accepted_is_delivered_by_the_next_process() {
    let (dir, (origin, is_up)) = (dir(), down_at_first());
    let proxy = start(stored(&dir, origin.address, OutboxMode::Always));
    let got = post(&mut App::of(&proxy), "/orders", "Idempotency-Key: k\r\n", "one");
    drop(proxy);
    is_up.store(true, SeqCst);
    let proxy = start(stored(&dir, origin.address, OutboxMode::Always));
    assert!(origin.hear().ends_with("one"));
    until_state(&proxy, got.field("location").unwrap(), "delivered");
}

#[test]
fn two_proxies_cannot_have_the_same_store() {
    let (dir, origin) = (dir(), Origin::good());
    let _first = start(stored(&dir, origin.address, OutboxMode::Always));
    let second = stored(&dir, origin.address, OutboxMode::Always);
    let refused = Proxy::start(second, Options::quiet()).unwrap_err();
    assert!(matches!(refused, StartError::Outbox(_)), "{refused}");
    assert!(refused.to_string().contains("in use by another mainstay"), "{refused}");
}

#[test]
fn what_has_no_room_is_refused_before_it_is_accepted() {
    let (dir, (origin, _)) = (dir(), down_at_first());
    let mut settings = stored(&dir, origin.address, OutboxMode::Always);
    settings.outbox.items = 1;
    settings.routes[0].outbox.as_mut().unwrap().body_bytes = 10;
    let proxy = start(settings);
    assert_eq!(post(&mut App::of(&proxy), "/", "", "one").status, 202);
    let full = post(&mut App::of(&proxy), "/", "", "two");
    assert_eq!((full.status, full.member("code")), (507, "outbox-full".into()));
    let large = post(&mut App::of(&proxy), "/", "", "more than ten");
    assert_eq!((large.status, large.member("code")), (413, "too-large-to-store".into()));
}

#[test]
fn what_is_too_large_to_be_stored_is_tried_all_the_same() {
    let (dir, origin) = (dir(), Origin::good());
    let mut settings = stored(&dir, origin.address, OutboxMode::Fallback);
    settings.routes[0].outbox.as_mut().unwrap().body_bytes = 10;
    let proxy = start(settings);
    assert_eq!(post(&mut App::of(&proxy), "/", "", "more than ten").status, 200);
    assert!(origin.hear().ends_with("more than ten"));
    let chunks = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut app = App::of(&proxy);
    app.send(chunks).send("8\r\n12345678\r\n").send("8\r\nabcdefgh\r\n0\r\n\r\n");
    assert_eq!(app.answer().status, 200);
    let heard = origin.hear();
    let body = heard.split_once("\r\n\r\n").unwrap().1;
    assert!(body.contains("12345678") && body.contains("abcdefgh"), "{heard}");
}

#[test]
fn a_reload_may_bring_an_outbox_and_may_not_move_it() {
    let (dir, origin) = (dir(), Origin::good());
    let proxy = start(settings(&[origin.address]));
    assert_eq!(post(&mut App::of(&proxy), "/", "", "one").status, 200);
    let with = stored(&dir, origin.address, OutboxMode::Always);
    proxy.reload(with.clone()).unwrap();
    assert_eq!(post(&mut App::of(&proxy), "/", "", "two").status, 202);
    let mut moved = with;
    moved.outbox.path = dir.path().join("other.db");
    let refused = proxy.reload(moved).unwrap_err();
    assert_eq!(refused.to_string(), "[outbox] can't change while the proxy runs");
}

#[test]
fn nobody_learns_of_a_delivery_whose_id_they_do_not_know() {
    let (dir, origin) = (dir(), Origin::good());
    let proxy = start(stored(&dir, origin.address, OutboxMode::Always));
    for id in
        ["", "/", "/x", "/00000000000000000000000000000000", "/0000000000000000000000000000000g"]
    {
        let got = App::of(&proxy).get(&format!("/.well-known/mainstay/deliveries{id}"));
        assert_eq!((got.status, got.member("code")), (404, "no-such-delivery".into()), "{id}");
    }
    assert!(origin.heard().is_empty());
}

/// An order to the admin address.
fn order(proxy: &Proxy, path: &str) -> Got {
    let mut admin = App::at(proxy.admin_address().unwrap());
    admin.send(format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"));
    admin.answer()
}

fn look(proxy: &Proxy, path: &str) -> Got {
    let mut admin = App::at(proxy.admin_address().unwrap());
    admin.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).answer()
}

#[test]
fn whoever_is_on_call_sees_what_is_stored_and_decides_about_it() {
    let (dir, (origin, is_up)) = (dir(), down_at_first());
    let mut settings = stored(&dir, origin.address, OutboxMode::Always);
    settings.admin = Some(mainstay_config::settings::Admin {
        address: "127.0.0.1:0".parse().unwrap(),
        token: None,
    });
    settings.routes[0].outbox.as_mut().unwrap().schedule.max_calls = 1;
    let proxy = start(settings);
    let fields = "Authorization: Bearer secret\r\n";
    let place =
        post(&mut App::of(&proxy), "/orders", fields, "one").field("location").unwrap().to_owned();
    let told = until_state(&proxy, &place, "dead");
    assert_eq!(told.member("reason"), "exhausted");
    let list = look(&proxy, "/outbox?state=dead&limit=1");
    let id = list.member("deliveries")[0]["id"].as_str().unwrap().to_owned();
    assert!(place.ends_with(&id));
    let after = list.member("after");
    assert_eq!(
        look(&proxy, &format!("/outbox?after={after}")).member("deliveries"),
        serde_json::json!([])
    );
    let shown = look(&proxy, &format!("/outbox/{id}"));
    assert!(shown.body.contains("[redacted]") && !shown.body.contains("secret"), "{shown:?}");
    let metrics = look(&proxy, "/metrics").body;
    let line = "mainstay_outbox_items{upstream=\"api\",state=\"dead\"} 1";
    assert!(metrics.lines().any(|found| found == line), "{metrics}");
    assert_eq!(look(&proxy, "/status").member("outbox")["deliveries"][0]["state"], "dead");
    assert_eq!(look(&proxy, "/outbox?state=lost").member("parameter"), "state");
    is_up.store(true, SeqCst);
    assert_eq!(order(&proxy, &format!("/outbox/{id}/retry")).status, 200);
    until_state(&proxy, &place, "delivered");
    assert_eq!(order(&proxy, &format!("/outbox/{id}/retry")).status, 400);
}

#[test]
fn an_outbox_that_cannot_be_counted_is_not_shown_as_an_empty_one() {
    let (dir, (origin, _is_up)) = (dir(), down_at_first());
    let mut settings = stored(&dir, origin.address, OutboxMode::Always);
    settings.admin = Some(mainstay_config::settings::Admin {
        address: "127.0.0.1:0".parse().unwrap(),
        token: None,
    });
    let proxy = start(settings);
    post(&mut App::of(&proxy), "/orders", "", "one");
    let says = |line: &str| look(&proxy, "/metrics").body.lines().any(|found| found == line);
    let waiting = "mainstay_outbox_items{upstream=\"api\",state=\"waiting\"} 1";
    assert!(says(waiting));
    let mut live = Reader::of(&proxy, None);
    live.find("state", |state| state["outbox"]["waiting"] == 1);

    let file = rusqlite::Connection::open(dir.path().join("outbox.db")).unwrap();
    file.busy_timeout(Duration::from_secs(60)).unwrap();
    file.execute_batch("ALTER TABLE totals RENAME TO elsewhere").unwrap();
    let metrics = look(&proxy, "/metrics").body;
    assert!(metrics.lines().any(|line| line == "mainstay_outbox_reachable 0"), "{metrics}");
    let shown = metrics.lines().find(|line| line.starts_with("mainstay_outbox_items"));
    assert_eq!(shown, None);
    assert!(look(&proxy, "/status").member("outbox")["deliveries"].is_null());
    live.find("state", |state| state["outbox"].is_object() && state["outbox"]["waiting"].is_null());

    file.execute_batch("ALTER TABLE elsewhere RENAME TO totals").unwrap();
    assert!(says(waiting));
}

#[test]
fn who_waits_for_an_end_is_answered_when_the_proxy_drains() {
    let (dir, (origin, _)) = (dir(), down_at_first());
    let proxy = start(stored(&dir, origin.address, OutboxMode::Always));
    let got = post(&mut App::of(&proxy), "/orders", "", "one");
    let place = got.field("location").unwrap();
    let (mut writer, mut reader) = (App::of(&proxy), App::of(&proxy));
    writer.send(
        "POST /orders HTTP/1.1\r\nHost: a.test\r\nPrefer: wait=300\r\nContent-Length: 3\r\n\r\ntwo",
    );
    reader.send(format!("GET {place} HTTP/1.1\r\nHost: a.test\r\nPrefer: wait=300\r\n\r\n"));
    // Both wait by then: the second write is known to the store.
    until(|| stored_count(dir.path()) == 2);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert_eq!(runtime.block_on(proxy.drain(Duration::from_secs(10))), 0);
    assert_eq!(writer.answer().status, 202);
    let told = reader.answer();
    assert_eq!((told.status, told.member("state")), (200, "waiting".into()));
}

/// How many deliveries there are, as another process sees it.
fn stored_count(dir: &std::path::Path) -> u64 {
    use mainstay_outbox::store::{Access, Limits};
    use mainstay_outbox::{Keys, Store};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let path = dir.join("outbox.db");
    let store = Store::open(&path, Keys::default(), Limits::default(), Access::Visit).unwrap();
    runtime.block_on(store.totals()).unwrap().iter().map(|total| total.items).sum()
}

#[test]
fn a_lane_that_a_stopped_write_holds_is_let_go_by_a_person() {
    let first = AtomicBool::new(true);
    let origin = Origin::with(move |mut tcp, heard| {
        while let Some(request) = read_request(&mut tcp) {
            let _ = heard.send(request);
            if first.swap(false, SeqCst) {
                return;
            }
            let _ = tcp.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        }
    });
    let dir = dir();
    let mut settings = stored(&dir, origin.address, OutboxMode::Always);
    settings.admin = Some(mainstay_config::settings::Admin {
        address: "127.0.0.1:0".parse().unwrap(),
        token: None,
    });
    let outbox = settings.routes[0].outbox.as_mut().unwrap();
    (outbox.maybe_done, outbox.lane) = (MaybeDone::Stop, LaneBy::parse("header:x-customer"));
    let proxy = start(settings);
    let mut app = App::of(&proxy);
    let write = |app: &mut App, body: &str| {
        post(app, "/orders", "X-Customer: 7\r\n", body).field("location").unwrap().to_owned()
    };
    let stopped = write(&mut app, "one");
    until_state(&proxy, &stopped, "stopped");
    let behind = write(&mut app, "two");
    let lanes = look(&proxy, "/outbox/lanes").member("lanes");
    assert_eq!((&lanes[0]["lane"], &lanes[0]["behind"]), (&"7".into(), &1.into()));
    assert_eq!(lanes[0]["held_by"]["reason"], "maybe-done");
    let release = |body: &str| {
        let length = body.len();
        let mut admin = App::at(proxy.admin_address().unwrap());
        admin.send(format!(
            "POST /outbox/lanes/release HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
        admin.answer()
    };
    assert_eq!(release("settle").status, 400);
    assert_eq!(release(r#"{"upstream":"api","lane":"7","stopped":"burn"}"#).status, 400);
    assert_eq!(release(r#"{"upstream":"api","lane":"8","stopped":"settle"}"#).status, 404);
    let got = release(r#"{"upstream":"api","lane":"7","stopped":"settle"}"#);
    assert_eq!((got.status, got.member("released")), (200, lanes[0]["held_by"]["id"].clone()));
    until_state(&proxy, &behind, "delivered");
    assert_eq!(until_state(&proxy, &stopped, "delivered").status, 200);
    assert_eq!(look(&proxy, "/outbox/lanes").member("lanes"), serde_json::json!([]));
}

#[test]
fn bodies_that_are_read_to_be_stored_count_in_the_memory_for_bodies() {
    for (mode, wanted) in [(OutboxMode::Always, 507), (OutboxMode::Fallback, 200)] {
        let (dir, origin) = (dir(), Origin::good());
        let mut settings = stored(&dir, origin.address, mode);
        settings.limits.replay_bytes_total = 1000;
        let proxy = start(settings);
        let got = post(&mut App::of(&proxy), "/orders", "", &"x".repeat(1001));
        assert_eq!(got.status, wanted, "{got:?}");
        if wanted == 507 {
            assert!(got.body.contains("outbox-full") && got.body.contains("replay_total"));
        }
        // What one had is there for the next.
        for _ in 0..3 {
            let got = post(&mut App::of(&proxy), "/orders", "", &"x".repeat(900));
            assert_eq!(got.status, if mode == OutboxMode::Always { 202 } else { 200 }, "{got:?}");
        }
    }
}
