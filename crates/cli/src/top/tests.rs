//! The whole without sockets: what was told, the keys that are pressed, and what is to be seen.
//!
//! `told.jsonl` is what an admin address told; `seen/` is what is to be seen of it. `MAINSTAY_BLESS=1` writes the latter anew.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::Color;
use serde::Deserialize;
use serde_json::{Value, json};

use super::asked::{Connections, Delivery, IncidentPage, Lane, Timeline};
use super::draw;
use super::follow;
use super::model::known::Link;
use super::model::order::{EndpointOrder, Order};
use super::model::page::What;
use super::model::wish::{Answer, DeliveryPage, Listed, Stored, Wish};
use super::model::{Dialog, Leave, Model, View, typed};
use super::plain::Plain;
use super::told::Told;
use crate::admin::live::Block;
use crate::paper::Paper;

const ASCII: Paper = Paper { columns: 80, unicode: false, colour: false };
const COLOURS: Paper = Paper { columns: 120, unicode: true, colour: true };

#[derive(Deserialize)]
struct Line {
    event: String,
    data: Value,
}

/// What was told.
fn told() -> Vec<Told> {
    let read = |line| {
        let Line { event, data } = serde_json::from_str(line).expect("an event");
        let block = Block { event, data: data.to_string() };
        follow::read(&block).expect("understood").expect("a known event")
    };
    include_str!("told.jsonl").lines().map(read).collect()
}

/// A model that was told it, and whose questions are answered.
fn model(paper: Paper) -> Model {
    let mut model = Model::new(paper, "127.0.0.1:9900".to_owned());
    model.on_time(1000);
    told().into_iter().for_each(|told| model.on_told(told));
    answer(&mut model);
    model
}

/// Answers what is asked; orders are refused for `open`, else carried out.
fn answer(model: &mut Model) -> Vec<Wish> {
    let mut asked = Vec::new();
    while let Some(wish) = model.next_wish() {
        let answer = match &wish {
            Wish::Call(_) => {
                let record = include_str!("../explain/record.json");
                Ok(Answer::Call(serde_json::from_str(record).expect("a record")))
            }
            Wish::Incident(id) => {
                let Some(incident) = model.known.incidents.get(id).cloned() else { continue };
                let changes = model.known.changes.iter().take(1).cloned().collect();
                let calls = model.known.feed.iter().map(|row| row.call.clone()).collect();
                let page = IncidentPage { incident, group: Vec::new(), changes, calls };
                Ok(Answer::Incident(Box::new(page)))
            }
            Wish::History { .. } => Ok(Answer::Timeline(Box::new(timeline("payments")))),
            Wish::Past(upstream) => Ok(Answer::Timeline(Box::new(timeline(upstream)))),
            Wish::Stored => Ok(Answer::Stored(Box::new(stored()))),
            Wish::Delivery(_) => Ok(Answer::Delivery(Box::new(delivery_page()))),
            Wish::Connections => Ok(Answer::Connections(connections().connections)),
            Wish::Order(Order::Endpoint { what: EndpointOrder::Open, .. }) => {
                Err("the endpoint can't be opened while it drains".to_owned())
            }
            Wish::Order(_) => Ok(Answer::Done),
        };
        model.on_answer(&wish, answer);
        asked.push(wish);
    }
    asked
}

fn timeline(upstream: &str) -> Timeline {
    let wave = |bucket: u64| (bucket * 7 % 50) + 300;
    let attempts: Vec<_> = (0..360).map(wave).collect();
    let latency: Vec<_> = (0..360).map(|bucket| (bucket < 354).then(|| bucket % 30 + 10)).collect();
    let broke: Vec<_> = (0..360).map(|bucket| if bucket < 355 { 0 } else { 190 }).collect();
    let state = format!("{}{}", "u".repeat(354), "ooppoo");
    let endpoint = json!({"name": if upstream == "search" { "s1" } else { "a" }, "attempts": attempts, "broke": broke,
        "p50_ms": latency, "p99_ms": latency, "in_flight": attempts, "state": state});
    let document = json!({"bucket_ms": 10_000, "from_unix_ms": 1_795_739_400_000_u64, "to_unix_ms": 1_795_743_000_000_u64,
        "upstreams": [{"name": upstream, "calls": attempts, "failed": broke, "saved": {}, "endpoints": [endpoint]}]});
    serde_json::from_value(document).expect("a timeline")
}

fn stored() -> Stored {
    let delivery = |id: &str, reason: Option<&str>| Delivery {
        id: id.to_owned(),
        reason: reason.map(str::to_owned),
        upstream: "payments".to_owned(),
        lane: Some("customer-7".to_owned()),
        calls: 3,
        size: 1234,
        accepted_at: 1_795_742_900_000,
        due_at: 1_795_743_005_000,
        ..Delivery::default()
    };
    let held_by = delivery("0192f3c1a2b34", Some("outcome-unknown"));
    let lane = Lane {
        upstream: "payments".into(),
        lane: "customer-7".into(),
        behind: 12,
        held_by: held_by.clone(),
    };
    let some = |those| Listed { those, is_cut: false };
    Stored {
        lanes: vec![lane],
        stopped: some(vec![held_by]),
        dead: some(vec![delivery("0192f3c1a2b35", Some("rejected"))]),
        waiting: some(vec![delivery("0192f3c1a2b36", None)]),
    }
}

fn delivery_page() -> DeliveryPage {
    let document = json!({"id": "0192f3c1a2b34", "state": "stopped", "reason": "outcome-unknown", "upstream": "payments", "route": "api",
        "lane": "customer-7", "key": "order-81", "accepted_at": 1_795_742_900_000_u64, "due_at": 1, "expires_at": 1_795_829_300_000_u64,
        "calls": 3, "maybe_done": true, "behind": false, "size": 1234, "history": [{"at": 1_795_742_950_000_u64, "took_ms": 30,
        "call": "dc590237fc156eeb", "attempts": 2, "code": "reset-before-head", "certainty": "maybe-processed"}]});
    serde_json::from_value(document).expect("a delivery")
}

fn connections() -> Connections {
    let one = |id: u64| {
        json!({"id": id, "upstream": "payments", "endpoint": "b", "peer": "127.0.0.1:8082", "protocol": "http/1.1",
        "tls": null, "state": "idle", "age_ms": 5310.2, "idle_ms": 812.9, "streams": 0, "requests": 17, "bytes_sent": 2754,
        "bytes_received": 350_200, "rtt_ms": 0.043, "retransmits": 0})
    };
    let list: Vec<_> = (3..6).map(one).collect();
    serde_json::from_value(json!({ "connections": list })).expect("connections")
}

/// What is to be seen in a terminal of this size.
fn seen(model: &mut Model, columns: u16, rows: u16) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).expect("a terminal");
    let drawn = terminal.draw(|frame| {
        draw::fit(model, frame.area());
        draw::draw(model, frame);
    });
    drawn.expect("drawn").buffer.clone()
}

/// The same as lines.
fn lines(model: &mut Model, columns: u16, rows: u16) -> String {
    let buffer = seen(model, columns, rows);
    let rows = buffer.content().chunks(usize::from(columns));
    let line = |cells: &[ratatui::buffer::Cell]| -> String {
        let line: String = cells.iter().map(|cell| cell.symbol()).collect();
        format!("{}\n", line.trim_end())
    };
    rows.map(line).collect()
}

/// Compares with what was to be seen.
fn check(name: &str, shown: &str) {
    let path = format!("{}/src/top/seen/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("MAINSTAY_BLESS").is_some() {
        std::fs::write(&path, shown).expect("written");
        return;
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    assert!(
        wanted == shown,
        "{name}: MAINSTAY_BLESS=1 writes it anew. Shown is:\n{shown}\nwanted was:\n{wanted}"
    );
}

/// Everything that can be shown: a name, and the keys that lead there.
const SHOWN: [(&str, &str); 15] = [
    ("now", "1"),
    ("feed", "2"),
    ("timeline", "3"),
    ("incidents", "4"),
    ("outbox", "5"),
    ("connections", "6"),
    ("endpoint", "1j\n"),
    ("call", "2\n"),
    ("incident", "4\n"),
    ("delivery", "5jjj\n"),
    ("help", "?"),
    ("menu", "1ja"),
    ("confirm", "1jad"),
    ("refused", "1jaoy"),
    ("filter", "1/pay"),
];

/// Presses keys as a person does: each is drawn and answered before the next.
fn press(model: &mut Model, keys: &str, (columns, rows): (u16, u16)) {
    for key in keys.chars() {
        seen(model, columns, rows);
        typed(model, &key.to_string());
        answer(model);
    }
}

#[test]
fn each_view_is_seen_as_it_was() {
    for (name, keys) in SHOWN {
        for (paper, size, of) in [(ASCII, (80, 24), "80x24"), (COLOURS, (130, 40), "130x40")] {
            let mut model = model(paper);
            press(&mut model, keys, size);
            check(&format!("{name}.{of}"), &lines(&mut model, size.0, size.1));
        }
    }
}

#[test]
fn every_size_can_be_drawn_and_what_fits_stays_in_it() {
    let sizes = [1, 2, 3, 5, 8, 13, 20, 40, 60, 79, 100, 200];
    for (_, keys) in SHOWN {
        let mut model = model(COLOURS);
        press(&mut model, keys, (80, 24));
        for columns in sizes {
            for rows in [1, 2, 3, 4, 6, 10, 24, 60] {
                seen(&mut model, columns, rows);
            }
        }
        model.on_link(Link::Lost { since: 0, why: "the stream ended".to_owned() });
        sizes.iter().for_each(|columns| drop(seen(&mut model, *columns, 5)));
    }
}

#[test]
fn without_utf8_all_is_ascii_and_without_colours_there_are_none() {
    for (name, keys) in SHOWN {
        let mut model = model(ASCII);
        press(&mut model, keys, (110, 60));
        for cell in seen(&mut model, 110, 60).content() {
            assert!(cell.symbol().is_ascii(), "{name}: {}", cell.symbol());
            assert_eq!(
                (cell.fg, cell.bg),
                (Color::Reset, Color::Reset),
                "{name}: {}",
                cell.symbol()
            );
        }
    }
    let mut model = model(COLOURS);
    let buffer = seen(&mut model, 110, 60);
    assert!(buffer.content().iter().any(|cell| cell.fg == Color::Red));
}

#[test]
fn an_order_is_given_only_after_it_was_confirmed() {
    let mut model = model(COLOURS);
    press(&mut model, "j", (80, 24));
    typed(&mut model, "ad");
    assert!(
        matches!(&model.dialog, Some(Dialog::Confirm(order)) if order.title() == "drain payments/a")
    );
    // Enter isn't yes, nor is a letter that was typed too fast.
    typed(&mut model, "\nxd");
    assert_eq!(model.next_wish(), None);
    typed(&mut model, "n");
    assert_eq!((model.dialog.clone(), model.next_wish()), (None, None));
    typed(&mut model, "ady");
    let asked = answer(&mut model);
    assert!(matches!(&asked[..], [Wish::Order(order)] if order.title() == "drain payments/a"));
    assert_eq!(model.dialog, None);
    assert!(lines(&mut model, 80, 24).contains("done: drain payments/a"));
}

#[test]
fn a_refused_order_shows_why() {
    let mut model = model(COLOURS);
    press(&mut model, "jaoy", (80, 24));
    assert!(lines(&mut model, 80, 24).contains("the endpoint can't be opened while it drains"));
    typed(&mut model, "q");
    assert_eq!((model.dialog.clone(), model.leave), (None, None));
}

#[test]
fn the_cursor_stays_on_its_call_while_others_come() {
    let mut model = model(COLOURS);
    press(&mut model, "2jj", (80, 24));
    let more = |model: &mut Model, id: &str| {
        let call = json!({"calls": [{"id": id, "upstream": "payments"}]}).to_string();
        model.on_told(Told::read("calls", &call).expect("calls").expect("known"));
        seen(model, 80, 24);
    };
    (0..40).for_each(|number| more(&mut model, &format!("new{number}")));
    press(&mut model, "\n", (80, 24));
    assert_eq!(model.pages[0].what, What::Call("dc590237fc156eeb".into()));
    // At the top it follows what is new.
    press(&mut model, "\x1bg", (80, 24));
    more(&mut model, "newest");
    press(&mut model, "\n", (80, 24));
    assert_eq!(model.pages[0].what, What::Call("newest".into()));
}

#[test]
fn a_paused_feed_stands_still_and_says_what_it_misses() {
    let mut model = model(COLOURS);
    press(&mut model, "2p", (80, 24));
    let before = model.feed().len();
    let calls = json!({"calls": [{"id": "1"}, {"id": "2"}]}).to_string();
    model.on_told(Told::read("calls", &calls).expect("calls").expect("known"));
    assert_eq!(model.feed().len(), before);
    assert!(lines(&mut model, 120, 24).contains("Paused: 2 new."));
    press(&mut model, "p", (80, 24));
    assert_eq!(model.feed().len(), before + 2);
}

#[test]
fn filters_belong_to_their_view_and_are_dropped_by_escape() {
    let mut model = model(COLOURS);
    press(&mut model, "2/refunds\n", (80, 24));
    seen(&mut model, 80, 24);
    assert_eq!((model.items.len(), model.filter()), (1, "refunds"));
    press(&mut model, "1", (80, 24));
    assert_eq!(model.filter(), "");
    press(&mut model, "2\x1b", (80, 24));
    seen(&mut model, 80, 24);
    assert_eq!(model.items.len(), 3);
    press(&mut model, "1w", (80, 24));
    seen(&mut model, 80, 24);
    // Payments, and the four of its endpoints that aren't up.
    assert_eq!(model.items.len(), 5);
}

#[test]
fn what_is_told_while_disconnected_says_since_when() {
    let mut model = model(COLOURS);
    model.on_link(Link::Lost { since: 1000, why: "nothing came for 5 s".to_owned() });
    model.on_time(9000);
    model.on_link(Link::Lost { since: 9000, why: "connection refused".to_owned() });
    model.on_time(13_000);
    let shown = lines(&mut model, 120, 24);
    assert!(
        shown.contains(
            "disconnected since 12 s; what is shown is the last that was told: connection refused"
        ),
        "{shown}"
    );
    told().into_iter().take(2).for_each(|told| model.on_told(told));
    assert!(!lines(&mut model, 120, 24).contains("disconnected"));
}

#[test]
fn keys_lead_everywhere_and_back() {
    let mut model = model(COLOURS);
    for view in View::ALL {
        assert_eq!(model.view, view);
        press(&mut model, "\t", (80, 24));
    }
    assert_eq!(model.view, View::Now);
    press(&mut model, "4\n", (80, 40));
    assert_eq!(model.pages.len(), 1);
    // From the incident to its first call, to an endpoint of it, to an incident of that, and so on: bounded.
    for _ in 0..20 {
        press(&mut model, "\njjjj", (80, 40));
    }
    assert!((2..=8).contains(&model.pages.len()), "{}", model.pages.len());
    press(&mut model, &"\x1b".repeat(9), (80, 40));
    assert_eq!((model.pages.len(), model.view), (0, View::Incidents));
    model.on_key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL));
    assert_eq!(model.leave, Some(Leave::Quit));
}

#[test]
fn lines_tell_what_happens_and_only_once() {
    let mut plain = Plain::new(COLOURS, "127.0.0.1:9900".to_owned());
    let first: String = told().into_iter().map(|told| plain.on_told(told, 0)).collect();
    check("lines", &first);
    let incident = |state: &str, ended: Option<u64>| {
        let incident = json!({"id": "i7", "upstream": "payments", "endpoint": "a", "cause": "connect-refused", "state": state,
            "began_unix_ms": 1_795_742_959_000_u64, "ended_unix_ms": ended, "ended_by": ended.map(|_| "breaker-closed"),
            "calls": {"met": 1300, "saved": 1300, "failed": 0}, "saved_by": {"failover": 1300}});
        Told::read("incidents", &json!({ "incidents": [incident] }).to_string())
            .expect("incidents")
            .expect("known")
    };
    assert_eq!(plain.on_told(incident("open", None), 1000), "");
    assert_eq!(
        plain.on_told(incident("ended", Some(1_795_743_010_000)), 2000),
        "01:30:10 incident ended after 51 s: payments/a connect-refused; its breaker closed again; 1,300 calls met it, 1,300 \
         calls saved by failover, 0 failed\n"
    );
    assert_eq!(plain.on_told(incident("ended", Some(1_795_743_010_000)), 3000), "");
    let changes =
        told().into_iter().find(|told| matches!(told, Told::Changes(_))).expect("changes");
    assert_eq!(plain.on_told(changes, 4000), "");
    let change = json!({"changes": [{"seq": 30, "at_unix_ms": 1_795_743_011_000_u64, "event": "breaker-closed", "upstream": "payments",
        "endpoint": "a\u{1b}[2J"}]});
    let change = Told::read("changes", &change.to_string()).expect("changes").expect("known");
    assert_eq!(plain.on_told(change, 5000), "01:30:11 payments/a?[2J breaker closed\n");
    assert_eq!(
        plain.on_lost("the stream ended", 6000),
        "01:30:06 disconnected: the stream ended\n"
    );
    assert_eq!(plain.on_lost("connection refused", 7000), "");
    assert_eq!(plain.on_time(60_000), "");
    let hello = told().remove(0);
    assert_eq!(plain.on_told(hello, 61_000), "01:30:00 connected again\n");
    assert!(plain.on_time(72_000).contains(" payments degraded: 100/s"));
}

#[test]
fn once_is_a_block_in_the_words_of_the_first_view() {
    let mut plain = Plain::new(ASCII, String::new());
    told().into_iter().for_each(|told| drop(plain.on_told(told, 0)));
    check("once", &plain.block());
}

#[test]
fn a_thousand_endpoints_are_listed_and_only_those_that_are_seen_are_drawn() {
    let endpoint = |number: u32| json!({"name": format!("e{number}"), "state": if number == 700 { "open" } else { "up" }});
    let endpoints: Vec<_> = (0..1000).map(endpoint).collect();
    let state = json!({"full": true, "now_unix_ms": 1_795_743_000_000_u64, "upstreams": [{"name": "many", "state": "degraded", "endpoints": endpoints}]});
    let mut model = Model::new(COLOURS, String::new());
    model.on_told(Told::read("state", &state.to_string()).expect("a state").expect("known"));
    let first = lines(&mut model, 80, 24);
    // What is broken comes first.
    let at = |name: &str| first.lines().position(|line| line.contains(name));
    assert!(at("e700 ").is_some_and(|line| Some(line) < at("e0 ")), "{first}");
    press(&mut model, "G", (80, 24));
    assert!(lines(&mut model, 80, 24).contains("e999 "));
    assert_eq!(model.items.len(), 1001);
}
