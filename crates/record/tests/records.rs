//! Records, the log and the feed: what they tell of a call, and what they must never tell.

mod common;

use common::*;
use mainstay_core::breaks::safety::Verdict;
use mainstay_core::event::{AttemptId, AttemptReason, Saved};
use mainstay_core::{BreakKind, Event};
use mainstay_record::{
    AttemptFacts, AttemptRecord, CallId, CallRecord, CallTrace, Circumstances, Feed, FeedItem,
    FeedNews, LogCalls, LogFormat, Step, StepName, StepOutcome,
};
use serde_json::Value;

#[test]
fn a_saved_call_has_a_record_of_what_broke_and_what_was_done() {
    let recorder = recorder();
    let api = api(&recorder);
    tell(&api, &healthy());
    let id = tell(&api, &failed_over());
    assert_eq!(recorder.recent().len(), 1);
    let record = recorder.find(id).unwrap();
    assert_eq!((&*record.route, &*record.upstream), ("main", "api"));
    assert_eq!((&*record.method, &*record.path), ("GET", "/v1/charges"));
    // The break came 1002 ms after the start, and the wall clock was asked then.
    assert_eq!(record.started_unix_ms, WALL_MS - 1002);
    assert_eq!(
        (&*record.outcome, record.status, record.took_ms),
        ("delivered", Some(200), Some(1034.0))
    );
    assert_eq!(record.saved.as_deref(), Some("failover"));
    let [first, second] = record.attempts.as_slice() else { panic!("{:?}", record.attempts) };
    assert_eq!((&*first.endpoint, &*first.reason, &*first.result), ("a", "first", "broke"));
    assert_eq!(first.code.as_deref(), Some("response-timeout"));
    assert_eq!(first.phase.as_deref(), Some("wait"));
    assert_eq!(first.certainty.as_deref(), Some("maybe-processed"));
    assert_eq!(first.took_ms, Some(1002.0));
    assert_eq!(first.detail.as_deref(), Some("tcp: timed out"));
    assert_eq!(first.decision.as_deref(), Some("failover"));
    assert_eq!((first.delay_ms, first.delayed_by.as_deref()), (Some(30.0), Some("backoff")));
    assert_eq!((&*second.endpoint, &*second.result, second.status), ("b", "answered", Some(200)));
    assert_eq!(second.started_ms, 1032.0);
    assert_eq!((&*record.notes[0].event, &*record.notes[0].endpoint), ("breaker-opened", "a"));
}

#[test]
fn a_failed_call_says_why_nothing_more_was_tried_and_whether_it_was_perhaps_done() {
    let recorder = recorder();
    let id = tell(&api(&recorder), &given_up());
    let record = recorder.find(id).unwrap();
    assert_eq!((&*record.outcome, record.status), ("failed", None));
    assert_eq!(record.code.as_deref(), Some("reset-before-head"));
    assert_eq!(record.certainty.as_deref(), Some("maybe-processed"));
    assert_eq!(record.stopped.as_deref(), Some("outcome-unknown"));
    assert_eq!(record.attempts[0].decision.as_deref(), Some("outcome-unknown"));
    assert!(record.body_unrepeatable);
}

#[test]
fn what_was_seen_of_an_attempt_is_told_with_times_since_the_call_began() {
    let recorder = recorder();
    let api = api(&recorder);
    let mut trace = CallTrace::default();
    let tls = StepOutcome::Broke(BreakKind::TlsTimeout, Some("silence".into()));
    let facts = AttemptFacts {
        connection: Some(connection()),
        steps: vec![
            Step::done(StepName::Connect(([10, 0, 0, 1], 443).into()), at(102), at(105)),
            Step { name: StepName::Tls, started_at: at(105), took: ms(900), outcome: tls },
        ],
        evidence: Some("the peer had ended the stream".into()),
        verdict: Some(Verdict::AgainFree),
        circumstances: Some(Circumstances {
            breaker: "closed",
            budget_tokens: 490,
            budget_extra: 2,
            budget_calls: 100,
        }),
        ..AttemptFacts::default()
    };
    trace.add_facts(AttemptId(1), facts);
    for (millis, event) in failed_over() {
        api.on_call_event(&mut trace, at(millis), event);
    }
    let tag = tag(CallId::next(3));
    api.on_call_over(&tag, trace);
    let record = recorder.find(tag.id).unwrap();
    let json = serde_json::to_value(&record.attempts[0]).unwrap();
    assert_eq!(
        json["connection"],
        serde_json::json!({
            "id": 7, "peer": "127.0.0.1:8081", "protocol": "http/1.1", "secure": false,
            "reused": true, "age_ms": 60000.0, "idle_ms": 1500.0, "requests_before": 10,
        })
    );
    assert_eq!(
        json["steps"],
        serde_json::json!([
            {"step": "connect", "address": "10.0.0.1:443", "started_ms": 2.0, "took_ms": 3.0,
             "outcome": "done"},
            {"step": "tls", "started_ms": 5.0, "took_ms": 900.0, "outcome": "broke",
             "code": "tls-timeout", "text": "silence"},
        ])
    );
    assert_eq!(json["evidence"], "the peer had ended the stream");
    assert_eq!(json["verdict"], "again-free");
    assert_eq!(json["circumstances"]["breaker"], "closed");
    assert_eq!(json["circumstances"]["budget_tokens"], 490);
    assert_eq!(serde_json::from_value::<AttemptRecord>(json).unwrap(), record.attempts[0]);
}

#[test]
fn a_line_of_an_older_version_without_the_steps_is_still_read() {
    let recorder = recorder();
    let id = tell(&api(&recorder), &failed_over());
    let json = serde_json::to_value(recorder.find(id).unwrap()).unwrap();
    let first = json["attempts"][0].as_object().unwrap();
    assert!(!first.contains_key("steps") && !first.contains_key("connection"));
    let read: CallRecord = serde_json::from_value(json).unwrap();
    assert_eq!((read.v, read.attempts[0].steps.len()), (1, 0));
}

#[test]
fn a_body_that_broke_makes_a_record_although_the_head_was_good() {
    let recorder = recorder();
    let mut events = healthy().to_vec();
    events.push((50, Event::BodyFailed { endpoint: A, kind: BreakKind::BodyTruncated }));
    let id = tell(&api(&recorder), &events);
    let record = recorder.find(id).unwrap();
    assert_eq!(record.outcome, "delivered");
    assert_eq!(record.body_broke.as_deref(), Some("body-truncated"));
    assert_eq!(record.started_unix_ms, WALL_MS - 50);
}

#[test]
fn a_record_can_be_sent_as_json_and_read_back() {
    let recorder = recorder();
    let id = tell(&api(&recorder), &everything());
    let record = recorder.find(id).unwrap();
    let json = serde_json::to_string(&record).unwrap();
    assert_eq!(serde_json::from_str::<CallRecord>(&json).unwrap(), record);
}

#[test]
fn the_last_thousand_broken_calls_are_kept_the_newest_first() {
    let recorder = recorder();
    let api = api(&recorder);
    let ids: Vec<_> = (0..1_200).map(|_| tell(&api, &given_up())).collect();
    let recent: Vec<_> = recorder.recent().iter().map(|record| record.id).collect();
    let expected: Vec<_> = ids[200..].iter().rev().copied().collect();
    assert_eq!(recent, expected);
    assert_eq!(recorder.find(ids[199]), None);
    assert_eq!(recorder.counts().calls.broken, 1_200);
}

#[test]
fn a_broken_call_is_one_line_and_a_healthy_one_none() {
    let (recorder, lines) = logging(LogCalls::Broken, LogFormat::Text);
    let api = api(&recorder);
    tell(&api, &healthy());
    assert_eq!(lines.take(), [""; 0]);
    let id = tell(&api, &failed_over());
    let time = "time=2025-12-31T23:59:59.000Z level=warn";
    assert_eq!(
        lines.take(),
        [
            format!(
                "{time} event=breaker-opened upstream=api endpoint=a cause=consecutive-failures \
                 for=5000ms call={id}"
            ),
            format!(
                "{time} call={id} route=main upstream=api method=GET path=/v1/charges \
                 outcome=delivered status=200 attempts=2 saved=failover \
                 breaks=\"a:response-timeout(maybe-processed) 1002ms\" took=1034ms"
            ),
        ]
    );
    tell(&api, &given_up());
    let line = lines.take().concat();
    assert!(line.contains(" level=error "), "{line}");
    assert!(line.contains(" outcome=failed attempts=1 code=reset-before-head "), "{line}");
    assert!(line.contains(" stopped=outcome-unknown "), "{line}");
}

#[test]
fn every_call_is_a_line_when_the_setting_says_so() {
    let (recorder, lines) = logging(LogCalls::Every, LogFormat::Text);
    tell(&api(&recorder), &healthy());
    let line = lines.take().concat();
    assert!(line.contains(" level=info ") && line.ends_with(" attempts=1 took=3ms"), "{line}");
    assert_eq!(recorder.recent(), []);
}

#[test]
fn a_line_of_json_holds_the_record() {
    let (recorder, lines) = logging(LogCalls::Broken, LogFormat::Json);
    let id = tell(&api(&recorder), &failed_over());
    let lines: Vec<Value> =
        lines.take().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["event"], "breaker-opened");
    assert_eq!(lines[1]["event"], "call-over");
    assert_eq!(lines[1]["level"], "warn");
    assert_eq!(lines[1]["time"], "2025-12-31T23:59:59.000Z");
    assert_eq!(lines[1]["id"], id.to_string());
    assert_eq!(lines[1]["attempts"][0]["code"], "response-timeout");
}

#[test]
fn queries_and_control_characters_are_never_shown() {
    for format in [LogFormat::Text, LogFormat::Json] {
        let (recorder, lines) = logging(LogCalls::Broken, format);
        let api = api(&recorder);
        let mut trace = CallTrace::default();
        for (millis, event) in given_up() {
            add_detail(&mut trace, AttemptId(1), "bad\r\nlevel=info forged=yes");
            api.on_call_event(&mut trace, at(millis), event);
        }
        let mut tag = tag(CallId::next(1));
        tag.path = "/a\r\nlevel=info\u{1b}[2J\u{9b}?token=secret".into();
        tag.route = "r\n\u{9b}x".into();
        api.on_call_over(&tag, trace);
        for line in lines.take() {
            assert!(!line.contains("secret"), "{line}");
            assert!(!line.contains(char::is_control), "{line:?}");
        }
        let record = recorder.find(tag.id).unwrap();
        assert_eq!(record.path, "/a%0D%0Alevel=info%1B[2J%C2%9B");
    }
}

#[test]
fn the_feed_tells_breaks_and_decisions_and_nothing_of_healthy_calls() {
    let recorder = recorder();
    let api = api(&recorder);
    tell(&api, &given_up());
    let mut feed = recorder.subscribe();
    tell(&api, &healthy());
    let id = tell(&api, &failed_over());
    let items = drain(&mut feed);
    let told: Vec<_> = items
        .iter()
        .map(|item| (&*item.event, item.decision.as_deref(), item.why.as_deref()))
        .collect();
    assert_eq!(
        told,
        [
            ("attempt-failed", None, None),
            ("breaker-opened", None, Some("consecutive-failures")),
            ("retry-scheduled", Some("wait"), Some("backoff")),
            ("attempt-started", Some("failover"), None),
            ("call-delivered", Some("deliver"), Some("failover")),
        ]
    );
    assert!(items.iter().all(|item| item.v == 1 && item.call == Some(id)));
    let json = serde_json::to_value(&items[0]).unwrap();
    let expected = serde_json::json!({
        "v": 1, "at_unix_ms": WALL_MS, "event": "attempt-failed", "upstream": "api",
        "call": id.to_string(), "endpoint": "a", "attempt": 1, "code": "response-timeout",
        "phase": "wait", "certainty": "maybe-processed", "took_ms": 1002.0,
    });
    assert_eq!(json, expected);
    assert_eq!(serde_json::from_value::<FeedItem>(json).unwrap(), *items[0]);
}

#[test]
fn what_the_error_of_a_check_said_is_in_the_log_and_the_feed() {
    let (recorder, lines) = logging(LogCalls::Broken, LogFormat::Text);
    let api = api(&recorder);
    let mut feed = recorder.subscribe();
    let event = Event::EndpointUnhealthy { endpoint: A, kind: BreakKind::ServerError };
    api.on_upstream_event_with(at(3000), event, Some(&"it is\nNOT_SERVING".into()));
    let line = lines.take().concat();
    let said = r#"event=endpoint-unhealthy upstream=api endpoint=a code=server-error details="it is\nNOT_SERVING""#;
    assert!(line.contains(said), "{line}");
    let items = drain(&mut feed);
    assert_eq!(items[0].details.as_deref(), Some("it is\nNOT_SERVING"));
    api.on_upstream_event(at(3000), Event::EndpointHealthy { endpoint: A });
    assert_eq!(drain(&mut feed)[0].details, None);
}

#[test]
fn every_event_but_those_of_a_healthy_call_is_news() {
    let recorder = recorder();
    let mut feed = recorder.subscribe();
    let api = api(&recorder);
    let quiet = ["call-started", "attempt-succeeded"];
    for (_, event) in everything() {
        api.on_upstream_event(at(3000), event);
        let first = matches!(event, Event::AttemptStarted { reason: AttemptReason::First, .. });
        let expected = usize::from(!first && !quiet.contains(&event.code()));
        let items = drain(&mut feed);
        assert_eq!(items.len(), expected, "{event:?}");
        assert!(items.iter().all(|item| item.event == event.code() && item.call.is_none()));
    }
}

#[test]
fn an_answer_delivered_as_it_is_is_news() {
    let recorder = recorder();
    let mut feed = recorder.subscribe();
    tell(&api(&recorder), &[(5, delivered(3, Saved::NotNeeded, true, 5))]);
    assert_eq!(drain(&mut feed)[0].decision.as_deref(), Some("deliver-as-is"));
}

fn drain(feed: &mut Feed) -> Vec<std::sync::Arc<FeedItem>> {
    let mut items = Vec::new();
    while let Some(news) = feed.try_next() {
        match news {
            FeedNews::Item(item) => items.push(item),
            FeedNews::Lost(lost) => panic!("{lost} lost"),
        }
    }
    items
}
