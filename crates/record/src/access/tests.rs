//! What lines look like, from a request and its answer.

use super::*;

const fn options(format: AccessFormat) -> AccessOptions {
    AccessOptions { file: None, format, headers: true }
}

fn request() -> AccessRequest<'static> {
    AccessRequest {
        client: "::1".parse().unwrap(),
        secure: true,
        method: "GET",
        path: "/a\"b",
        version: http::Version::HTTP_2,
        began_unix_ms: 1_709_164_799_999,
        referer: Some(b"https://a.test/b?token=s3cret"),
        agent: Some(b"curl/8 \"x\"\n\x1b\xe9"),
    }
}

fn answer() -> AccessAnswer {
    AccessAnswer {
        status: 200,
        bytes: 0,
        took: Duration::from_micros(1_500),
        call: Some("dc590237fc156eeb".parse().unwrap()),
        attempts: Some(2),
    }
}

#[track_caller]
fn written(options: &AccessOptions, request: &AccessRequest<'_>, answer: &AccessAnswer) -> String {
    // As one that was used before.
    let mut line = AccessLine { text: b"what was before".to_vec(), middle: 3 };
    options.begin(&mut line, request);
    let mut out = Vec::new();
    options.end(&line, answer, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn combined_is_what_apache_writes() {
    let combined = options(AccessFormat::Combined);
    assert_eq!(
        written(&combined, &request(), &answer()),
        r#"::1 - - [28/Feb/2024:23:59:59 +0000] "GET /a\"b HTTP/2.0" 200 - "https://a.test/b" "curl/8 \"x\"\x0a\x1b\xe9""#
    );
    let bare = AccessRequest { referer: None, agent: None, path: "/", ..request() };
    let wanted = r#"::1 - - [28/Feb/2024:23:59:59 +0000] "GET / HTTP/2.0" 200 12 "-" "-""#;
    assert_eq!(written(&combined, &bare, &AccessAnswer { bytes: 12, ..answer() }), wanted);
}

#[test]
fn json_is_read_as_what_was_written() {
    let line = written(&options(AccessFormat::Json), &request(), &answer());
    let read: serde_json::Value = serde_json::from_str(&line).unwrap();
    let wanted = serde_json::json!({
        "time": "2024-02-28T23:59:59.999Z", "client": "::1", "tls": true, "method": "GET", "path": "/a\"b",
        "protocol": "HTTP/2.0", "status": 200, "bytes": 0, "took_ms": 1.5, "call": "dc590237fc156eeb", "attempts": 2,
        "referer": "https://a.test/b", "user_agent": "curl/8 \"x\"\n\u{1b}\u{fffd}",
    });
    assert_eq!(read, wanted);
    assert!(!line.contains(['\n', '\u{1b}']), "{line}");
    let none = AccessAnswer { call: None, attempts: None, ..answer() };
    let read: serde_json::Value =
        serde_json::from_str(&written(&options(AccessFormat::Json), &request(), &none)).unwrap();
    assert!(read.get("call").is_none() && read.get("attempts").is_none(), "{read}");
}

#[test]
fn fields_that_are_not_asked_for_are_not_written() {
    for format in [AccessFormat::Combined, AccessFormat::Json] {
        let line =
            written(&AccessOptions { headers: false, ..options(format) }, &request(), &answer());
        assert!(!line.contains("a.test") && !line.contains("curl"), "{line}");
    }
}
