//! Event streams that break: the application gets each event whole, once and in order, or is told.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod peer;

use http_body_util::BodyExt;
use mainstay::{Client, DeliveredBody, Source};
use mainstay_core::BreakKind;
use mainstay_record::Recorder;
use peer::plan::plan;
use peer::told::request;
use peer::{Conversation, Peer};

const HEAD: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";

fn event(id: u32) -> String {
    format!("id: {id}\ndata: number {id}\n\n")
}

/// What came without our signs of life.
fn events_of(text: &str) -> String {
    text.split_inclusive("\n\n").filter(|block| !block.starts_with(':')).collect()
}

/// What came, and what broke it in the end.
async fn read(mut body: DeliveredBody) -> (String, Option<BreakKind>) {
    let mut text = String::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => {
                let data = frame.into_data().unwrap();
                text.push_str(std::str::from_utf8(&data).unwrap());
            }
            Err(error) => return (text, Some(error.what.kind)),
        }
    }
    (text, None)
}

/// Calls a peer that plays `story`, and gives what the application got of it.
async fn called<F: Future<Output = ()>>(
    method: &str,
    config: &str,
    story: impl FnOnce(Peer) -> F,
) -> (String, Option<BreakKind>, std::sync::Arc<Recorder>) {
    let peer = Peer::listen().await;
    let (plan, recorder) = plan(&[&peer], config);
    let client = Client::new(1 << 20);
    let calling = async {
        let answer = client.call(&plan, request(method), Source::Empty).await.unwrap();
        read(answer.response.into_body()).await
    };
    let ((text, broke), ()) = tokio::join!(calling, story(peer));
    (text, broke, recorder)
}

async fn next(peer: &Peer) -> (Conversation, String) {
    let mut conversation = peer.accept().await;
    let head = conversation.head().await;
    (conversation, head)
}

#[tokio::test]
async fn a_stream_that_broke_goes_on_behind_its_last_whole_event() {
    let (text, broke, recorder) = called("GET", "", async |peer: Peer| {
        let (mut first, head) = next(&peer).await;
        assert!(!head.contains("last-event-id"), "{head}");
        first.say(HEAD).await;
        first.say(&format!("{}{}id: 3\ndata: num", event(1), event(2))).await;
        first.reset();
        let (mut second, head) = next(&peer).await;
        assert!(head.contains("last-event-id: 2\r\n"), "{head}");
        second.say(HEAD).await;
        second.say(&format!("{}{}", event(3), event(4))).await;
    })
    .await;
    assert_eq!(events_of(&text), (1..=4).map(event).collect::<String>());
    assert_eq!(broke, None);
    let counts = recorder.counts().calls;
    assert_eq!((counts.healed, counts.cut), (1, 0));
}

#[tokio::test]
async fn a_server_that_begins_again_gives_nothing_twice() {
    let (text, broke, _) = called("GET", "", async |peer: Peer| {
        let (mut first, _) = next(&peer).await;
        first.say(&format!("{HEAD}{}{}", event(1), event(2))).await;
        first.reset();
        let (mut second, _) = next(&peer).await;
        second.say(&format!("{HEAD}{}", (1..=3).map(event).collect::<String>())).await;
    })
    .await;
    assert_eq!(events_of(&text), (1..=3).map(event).collect::<String>());
    assert_eq!(broke, None);
}

#[tokio::test]
async fn a_stream_without_ids_ends_in_words_and_then_as_broken() {
    let (text, broke, recorder) = called("GET", "", async |peer: Peer| {
        let (mut first, _) = next(&peer).await;
        first.say(&format!("{HEAD}data: one\n\ndata: tw")).await;
        first.reset();
    })
    .await;
    assert!(text.starts_with("data: one\n\nevent: error\ndata: {"), "{text}");
    assert!(text.contains("\"body-reset\"") && text.contains("no-event-ids"), "{text}");
    assert!(text.ends_with("\n\n") && !text.contains("tw\n"), "{text}");
    assert_eq!(broke, Some(BreakKind::BodyReset));
    assert_eq!(recorder.recent()[0].cut.as_deref(), Some("no-event-ids"));
}

#[tokio::test]
async fn a_stream_of_a_language_model_that_ends_without_its_last_event_is_broken() {
    let config = "heal.events = { end = \"terminal\" }";
    let chunk = "data: {\"choices\":[{\"delta\":{\"content\":\"t1\"}}]}\n\n";
    let (text, broke, _) = called("POST", config, async |peer: Peer| {
        let (mut first, _) = next(&peer).await;
        first.say(&format!("{HEAD}{chunk}")).await;
    })
    .await;
    assert!(text.starts_with(chunk) && text.contains("event: error"), "{text}");
    assert_eq!(broke, Some(BreakKind::BodyTruncated));

    let (text, broke, _) = called("POST", config, async |peer: Peer| {
        let (mut first, _) = next(&peer).await;
        first.say(&format!("{HEAD}{chunk}data: [DONE]\n\n")).await;
        // All was said: what breaks now takes nothing away.
        first.reset();
    })
    .await;
    assert_eq!((text, broke), (format!("{chunk}data: [DONE]\n\n"), None));
}

#[tokio::test]
async fn a_stream_with_a_length_is_broken_without_its_last_event_too() {
    let config = "heal.events = { end = \"terminal\" }";
    let chunk = "data: {\"choices\":[{\"delta\":{\"content\":\"t1\"}}]}\n\n";
    for method in ["GET", "POST"] {
        let peer = Peer::listen().await;
        let (plan, _) = plan(&[&peer], &format!("{config}\nretry.max_attempts = 1"));
        let client = Client::new(1 << 20);
        let head = HEAD.replace("connection: close", &format!("content-length: {}", chunk.len()));
        let answering = async {
            let (mut first, _) = next(&peer).await;
            first.say(&format!("{head}{chunk}")).await;
            first
        };
        let calling = async {
            let answer = client.call(&plan, request(method), Source::Empty).await.unwrap();
            assert!(!answer.response.headers().contains_key("content-length"));
            read(answer.response.into_body()).await
        };
        let ((text, broke), _first) = tokio::join!(calling, answering);
        assert!(text.starts_with(chunk) && text.contains("event: error"), "{method}: {text}");
        assert_eq!(broke, Some(BreakKind::BodyTruncated), "{method}");
    }
}

#[tokio::test]
async fn a_stream_that_breaks_before_its_first_event_is_asked_for_again_unseen() {
    let (text, broke, recorder) = called("GET", "", async |peer: Peer| {
        let (mut first, _) = next(&peer).await;
        first.say(&format!("{HEAD}: hello\n\nid: 1\nda")).await;
        first.reset();
        let (mut second, _) = next(&peer).await;
        second.say(&format!("{HEAD}{}", event(1))).await;
    })
    .await;
    assert_eq!((text, broke), (event(1), None));
    assert_eq!(recorder.counts().calls.saved_by_retry, 1);
}

#[tokio::test]
async fn a_server_that_wants_no_more_ends_the_stream_cleanly() {
    let (text, broke, _) = called("GET", "", async |peer: Peer| {
        let (mut first, _) = next(&peer).await;
        first.say(&format!("{HEAD}{}", event(1))).await;
        first.reset();
        let (mut second, _) = next(&peer).await;
        second.say("HTTP/1.1 204 No Content\r\n\r\n").await;
    })
    .await;
    assert_eq!((events_of(&text), broke), (event(1), None));
}

// Time stands still while anything at all happens, and leaps when nothing does.
#[tokio::test(start_paused = true)]
async fn the_application_hears_of_us_while_a_stream_is_away_and_a_dead_one_is_found() {
    let config =
        "heal.events = { heartbeat = \"1s\", dead_after = \"5s\" }\nattempt_timeout = \"20s\"";
    let (text, broke, recorder) = called("GET", config, async |peer: Peer| {
        let (mut first, _) = next(&peer).await;
        first.say(&format!("{HEAD}{}", event(1))).await;
        // It says nothing more, and is dead after five seconds.
        let (mut second, _) = next(&peer).await;
        tokio::time::sleep(std::time::Duration::from_secs(4)).await;
        second.say(&format!("{HEAD}{}", event(2))).await;
        drop(first);
    })
    .await;
    let beats = text.lines().filter(|line| line.starts_with(':')).count();
    assert!(beats >= 3, "{text}");
    assert_eq!((events_of(&text), broke), (event(1) + &event(2), None));
    assert_eq!(recorder.recent()[0].body_broke.as_deref(), Some("body-stalled"));
}

#[tokio::test(start_paused = true)]
async fn an_application_that_takes_its_time_makes_no_dead_stream() {
    let peer = Peer::listen().await;
    let (plan, recorder) = plan(&[&peer], "heal.events = { dead_after = \"5s\" }");
    let client = Client::new(1 << 20);
    let calling = async {
        let answer = client.call(&plan, request("GET"), Source::Empty).await.unwrap();
        let mut body = answer.response.into_body();
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(first, event(1));
        tokio::time::sleep(std::time::Duration::from_secs(10)).await;
        read(body).await
    };
    let story = async {
        let (mut first, _) = next(&peer).await;
        first.say(&format!("{HEAD}{}", event(1))).await;
        tokio::time::sleep(std::time::Duration::from_secs(12)).await;
        first.say(&event(2)).await;
    };
    let ((text, broke), ()) = tokio::join!(calling, story);
    assert_eq!((text, broke), (event(2), None));
    assert_eq!(recorder.counts().calls.broken, 0);
}
