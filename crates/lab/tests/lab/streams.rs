//! Event streams in all their shapes, and the answers of language models.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::raw::{End, Raw, lab};

/// Asks by HTTP/1.0, whose answers have no chunks: the head, the text, and how it ended.
async fn call(addr: SocketAddr, line: &str, fields: &str, body: &str) -> (String, String, End) {
    let mut raw = Raw::to(addr).await;
    let length = body.len();
    raw.send(format!("{line} HTTP/1.0\r\n{fields}content-length: {length}\r\n\r\n{body}")).await;
    let head = raw.head().await;
    let (bytes, end) = raw.rest().await;
    (head, String::from_utf8(bytes).unwrap(), end)
}

/// The text of an event stream.
async fn events(query: &str, fields: &str) -> String {
    let (_lab, addr) = lab("healthy").await;
    call(addr, &format!("GET /events?every=0&{query}"), fields, "").await.1
}

#[tokio::test]
async fn a_stream_has_the_same_end_for_all_who_go_on() {
    assert_eq!(events("last=3", "").await.matches("\n\n").count(), 3);
    let text = events("last=3", "last-event-id: 2\r\n").await;
    assert!(text.starts_with("id: 3\n") && text.matches("\n\n").count() == 1, "{text}");
    assert_eq!(events("last=3", "last-event-id: 3\r\n").await, "");
}

#[tokio::test]
async fn a_server_may_ignore_where_a_client_was() {
    let text = events("count=2&ignore-last-id", "last-event-id: 7\r\n").await;
    assert!(text.starts_with("id: 1\n"), "{text}");
}

#[tokio::test]
async fn a_stream_without_ids_begins_anew() {
    let text = events("count=2&ids=none", "last-event-id: 7\r\n").await;
    assert!(!text.contains("id:") && text.contains("\"n\":1}"), "{text}");
}

#[tokio::test]
async fn an_opaque_id_is_understood_by_its_server() {
    let text = events("count=2&ids=opaque", "").await;
    let id = text.lines().rev().find_map(|line| line.strip_prefix("id: ")).unwrap();
    assert!(id.parse::<u64>().is_err());
    let text = events("count=1&ids=opaque", &format!("last-event-id: {id}\r\n")).await;
    assert!(text.contains("\"n\":3}"), "{text}");
}

#[tokio::test]
async fn the_shape_of_events_is_as_asked() {
    let text = events("count=2&retry=150&comments&lines&size=200", "").await;
    let blocks: Vec<_> = text.split_terminator("\n\n").collect();
    assert_eq!(blocks[0], "retry: 150");
    assert_eq!(blocks.len(), 3);
    for (block, number) in blocks[1..].iter().zip(1..) {
        assert!(block.starts_with(&format!(": still here\nid: {number}\nevent: tick\n")));
        let lines: Vec<_> = block.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        assert_eq!(lines.len(), 3);
        let data = lines.join("\n");
        assert_eq!(data.len(), 200);
        assert_eq!(serde_json::from_str::<Value>(&data).unwrap()["n"], number);
    }
}

#[tokio::test]
async fn a_chat_is_streamed_if_its_body_says_so() {
    let (lab, addr) = lab("healthy").await;
    let ask = json!({ "messages": [], "model": "m", "max_tokens": 3, "stream": true }).to_string();
    let (head, text, _) = call(addr, "POST /v1/chat/completions?every=0", "", &ask).await;
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("text/event-stream"), "{head}");
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    let chunks = text.lines().filter_map(|line| line.strip_prefix("data: {"));
    let chunks: Vec<Value> =
        chunks.map(|rest| serde_json::from_str(&format!("{{{rest}")).unwrap()).collect();
    assert!(chunks.iter().all(|chunk| chunk["model"] == "m" && chunk["id"] == chunks[0]["id"]));
    let said: String =
        chunks.iter().filter_map(|it| it["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(said, "t1 t2 t3");

    let (_, text, _) = call(addr, "POST /v1/chat/completions", "", r#"{"max_tokens":3}"#).await;
    let whole: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(whole["object"], "chat.completion");
    assert_eq!(whole["choices"][0]["message"]["content"], "t1 t2 t3");
    assert_eq!(lab.oracle().totals("a").executed, 2);
}

#[tokio::test]
async fn a_message_is_streamed_as_named_events() {
    let (_lab, addr) = lab("healthy").await;
    let ask = r#"{"max_tokens":2,"stream":true}"#;
    let (_, text, _) = call(addr, "POST /v1/messages?every=0", "", ask).await;
    assert!(text.starts_with("event: message_start\ndata: {"), "{text}");
    assert!(text.contains("\"text\":\" t2\""), "{text}");
    assert!(text.ends_with("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"), "{text}");
}

#[tokio::test]
async fn a_stream_of_tokens_breaks_within_one() {
    let (_lab, addr) = lab("truncate at=in-event").await;
    let (_, text, end) = call(addr, "GET /llm/chat?every=0", "", "").await;
    assert_eq!(end, End::Fin);
    assert_eq!(text.matches("\n\n").count(), 1, "{text:?}");
    assert!(text.contains("\n\ndata: {\"choices\""), "{text:?}");
}

#[tokio::test]
async fn a_body_that_is_no_json_is_refused() {
    let (_lab, addr) = lab("healthy").await;
    let (head, text, _) = call(addr, "POST /v1/messages", "", "hello").await;
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
    assert!(text.contains("invalid_request_error"), "{text}");
}
