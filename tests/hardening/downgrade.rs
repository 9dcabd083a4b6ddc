//! Requests of HTTP/2 that become requests of HTTP/1.1: what is a mere value there is syntax here.

use crate::Outcome;
use crate::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, End, Frame, HEADERS, Http2, block,
};
use crate::stage::{Recorder, in_front_of, probe};

type Field<'a> = (&'a [u8], &'a [u8]);

/// A case: fields that come instead of or beside those of a plain request, and its body, if it has one.
struct Case {
    title: &'static str,
    frames: Vec<Frame>,
    fate: Fate,
}

/// Method, target and body.
type Heard = (&'static str, &'static str, &'static [u8]);

/// What becomes of a case.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// The upstream hears this.
    Passes(Heard),
    /// It hears nothing.
    Refused,
    /// The application gets nothing good. What was whole before it turned out to be wrong may have gone on, as this; when it
    /// arrives nobody can say, so that it has a target of its own, [`CUT`].
    Cut(Heard),
}

const CUT: &str = "/cut";

const PLAIN: [Field<'static>; 4] =
    [(b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/x")];

/// A plain POST with these fields behind its own.
fn with(more: &[Field<'_>], body: Option<&[u8]>) -> Vec<Frame> {
    let fields: Vec<Field<'_>> = PLAIN.iter().copied().chain(more.iter().copied()).collect();
    whole(&fields, body)
}

/// A plain POST in which a pseudo-header field has another value.
fn other(name: &[u8], value: &[u8]) -> Vec<Frame> {
    let fields: Vec<Field<'_>> = PLAIN
        .iter()
        .map(|(known, plain)| (*known, if *known == name { value } else { plain }))
        .collect();
    whole(&fields, None)
}

fn whole(fields: &[Field<'_>], body: Option<&[u8]>) -> Vec<Frame> {
    match body {
        None => vec![Frame::head(1, fields, true)],
        Some(body) => vec![Frame::head(1, fields, false), Frame::new(DATA, END_STREAM, 1, body)],
    }
}

fn trailers(fields: &[Field<'_>]) -> Vec<Frame> {
    vec![
        Frame::head(1, &PLAIN, false),
        Frame::new(DATA, 0, 1, *b"abc"),
        Frame::head(1, fields, true),
    ]
}

fn passing() -> Vec<Case> {
    let case = |title, frames, passes| Case { title, frames, fate: Fate::Passes(passes) };
    let split: Vec<u8> = block(&PLAIN);
    vec![
        case("no body", with(&[], None), ("POST", "/x", b"")),
        case("a body without a length", with(&[], Some(b"abc")), ("POST", "/x", b"abc")),
        case(
            "a body with its length",
            with(&[(b"content-length", b"3")], Some(b"abc")),
            ("POST", "/x", b"abc"),
        ),
        case(
            "a body that is a request",
            with(&[], Some(b"GET /admin HTTP/1.1\r\nHost: a\r\n\r\n")),
            ("POST", "/x", b"GET /admin HTTP/1.1\r\nHost: a\r\n\r\n"),
        ),
        case(
            "a body that is the last chunk",
            with(&[], Some(b"0\r\n\r\nGET /admin HTTP/1.1\r\n\r\n")),
            ("POST", "/x", b"0\r\n\r\nGET /admin HTTP/1.1\r\n\r\n"),
        ),
        case(
            "cookies in crumbs",
            with(&[(b"cookie", b"a=1"), (b"cookie", b"b=2")], None),
            ("POST", "/x", b""),
        ),
        case(
            "trailers that are asked for",
            with(&[(b"te", b"trailers")], None),
            ("POST", "/x", b""),
        ),
        case("a value with blanks around", with(&[(b"x", b" a ")], None), ("POST", "/x", b"")),
        case(
            "trailers that frame and route",
            trailers(&[(b"content-length", b"5"), (b"host", b"b"), (b"x", b"1")]),
            ("POST", "/x", b"abc"),
        ),
        // Malformed (RFC 9113, section 8.1), but h2 drops it, and so nothing of it goes on.
        case(
            "a pseudo-header field in trailers",
            trailers(&[(b":path", b"/admin")]),
            ("POST", "/x", b"abc"),
        ),
        case(
            "a head in three frames",
            vec![
                Frame::new(HEADERS, END_STREAM, 1, &split[..7]),
                Frame::new(CONTINUATION, 0, 1, &split[7..20]),
                Frame::new(CONTINUATION, END_HEADERS, 1, &split[20..]),
            ],
            ("POST", "/x", b""),
        ),
    ]
}

fn refused() -> Vec<Case> {
    let case = |title, frames| Case { title, frames, fate: Fate::Refused };
    let plain = |skip: &[u8]| -> Vec<Field<'static>> {
        PLAIN.into_iter().filter(|(name, _)| *name != skip).collect()
    };
    let again = |name: &'static [u8], value: &'static [u8]| {
        let mut fields = PLAIN.to_vec();
        fields.insert(0, (name, value));
        whole(&fields, None)
    };
    let mut cut = plain(b":path");
    cut.extend([(&b":path"[..], CUT.as_bytes()), (&b"content-length"[..], &b"0"[..])]);
    let mut late = plain(b":path");
    late.extend([(&b"x"[..], &b"1"[..]), (b":path", b"/x")]);
    vec![
        case("a name in capitals", with(&[(b"X-A", b"1")], None)),
        case("a name with a colon", with(&[(b"x:y", b"1")], None)),
        case("a name with a blank", with(&[(b"x y", b"1")], None)),
        case("a name with a line's end", with(&[(b"x: 1\r\ny", b"1")], None)),
        case("a name with a NUL", with(&[(b"x\0", b"1")], None)),
        case("no name", with(&[(b"", b"1")], None)),
        case(
            "a value with a line's end",
            with(&[(b"x", b"1\r\nTransfer-Encoding: chunked")], None),
        ),
        case(
            "a value with a request",
            with(&[(b"x", b"1\r\n\r\nGET /admin HTTP/1.1\r\nHost: a")], None),
        ),
        case("a value with a LF", with(&[(b"x", b"1\nhost: b")], None)),
        case("a value with a CR", with(&[(b"x", b"1\rhost: b")], None)),
        case("a value with a NUL", with(&[(b"x", b"1\0")], None)),
        case("connection", with(&[(b"connection", b"x-internal")], None)),
        case(
            "transfer-encoding",
            with(
                &[(b"transfer-encoding", b"chunked")],
                Some(b"0\r\n\r\nGET /admin HTTP/1.1\r\n\r\n"),
            ),
        ),
        case("upgrade", with(&[(b"upgrade", b"websocket")], None)),
        case("keep-alive", with(&[(b"keep-alive", b"1")], None)),
        case("proxy-connection", with(&[(b"proxy-connection", b"close")], None)),
        case("te that asks for more than trailers", with(&[(b"te", b"trailers, chunked")], None)),
        Case {
            title: "a length that is shorter than the body",
            frames: whole(&cut, Some(b"GET /admin HTTP/1.1\r\n\r\n")),
            fate: Fate::Cut(("POST", CUT, b"")),
        },
        case(
            "a length that is longer than the body",
            with(&[(b"content-length", b"100")], Some(b"abc")),
        ),
        case("a length without a body", with(&[(b"content-length", b"5")], None)),
        case(
            "two lengths",
            with(&[(b"content-length", b"3"), (b"content-length", b"4")], Some(b"abc")),
        ),
        case(
            "two lengths that agree",
            with(&[(b"content-length", b"3"), (b"content-length", b"3")], Some(b"abc")),
        ),
        case("a length with a plus", with(&[(b"content-length", b"+3")], Some(b"abc"))),
        case("an empty length", with(&[(b"content-length", b"")], Some(b"abc"))),
        case("an empty length without a body", with(&[(b"content-length", b"")], None)),
        case("a length that is no number", with(&[(b"content-length", b"3\t4")], Some(b"abc"))),
        case("no path", whole(&plain(b":path"), None)),
        case("neither scheme nor path", whole(&[(b":method", b"POST"), (b"host", b"a")], None)),
        case(
            "neither scheme nor path, and an authority",
            whole(&[(b":method", b"POST"), (b":authority", b"a")], None),
        ),
        case("no method", whole(&plain(b":method"), None)),
        case("no scheme", whole(&plain(b":scheme"), None)),
        case("an empty path", other(b":path", b"")),
        case("a path with a blank", other(b":path", b"/x HTTP/1.1")),
        case("a path with a line's end", other(b":path", b"/x HTTP/1.1\r\nHost: b\r\n\r\n")),
        case("a path that is none", other(b":path", b"admin")),
        case("a path beyond ASCII", other(b":path", b"/\xc3\xa4")),
        case("a path that is a star", other(b":path", b"*")),
        case("a method with a blank", other(b":method", b"GET /admin HTTP/1.1")),
        case("a method with a line's end", other(b":method", b"GET / HTTP/1.1\r\nX: y\r\nPOST")),
        case("an empty method", other(b":method", b"")),
        case("a tunnel", other(b":method", b"CONNECT")),
        case("a scheme that is more than one", other(b":scheme", b"http://b/?")),
        case("an authority with a line's end", other(b":authority", b"a\r\nx: y")),
        case("an authority with a path", other(b":authority", b"a/../admin")),
        case("an authority with a user", other(b":authority", b"b@a")),
        case("an authority with a blank", other(b":authority", b"a b")),
        case("an authority and another host", with(&[(b"host", b"b")], None)),
        case("two hosts", with(&[(b"host", b"a"), (b"host", b"a")], None)),
        case("two methods", again(b":method", b"GET")),
        case("two paths", again(b":path", b"/y")),
        case("a pseudo-header field that isn't known", again(b":x", b"y")),
        case("a pseudo-header field of answers", again(b":status", b"200")),
        case("a pseudo-header field behind others", whole(&late, None)),
        case("a trailer with a line's end", trailers(&[(b"x", b"1\r\n\r\nGET /admin HTTP/1.1")])),
        case("a trailer in capitals", trailers(&[(b"X", b"1")])),
    ]
}

#[tokio::test]
async fn what_is_a_value_in_http2_never_becomes_syntax_in_http1() -> Outcome {
    let recorder = Recorder::start().await?;
    let binary = in_front_of(recorder.address, "").await?;
    let (mut expected, mut perhaps, mut failures) = (Vec::new(), Vec::new(), Vec::new());
    let mut before = 0;
    for (number, case) in passing().into_iter().chain(refused()).enumerate() {
        let mut connection = Http2::open(binary.proxy).await?;
        connection.send(&case.frames).await;
        let end = connection.end_of(1).await?;
        if (end == End::Good) != matches!(case.fate, Fate::Passes(_)) {
            failures.push(format!("{}: {end:?}", case.title));
        }
        let target = format!("/probe/{number}");
        if let Err(why) = probe(&binary, &target).await {
            failures.push(format!("behind {}: {why}", case.title));
        }
        expected.push(("GET".into(), target, Vec::new()));
        // By whom one too many was said is known now only.
        let heard = recorder.count_but_for(CUT) - before - 1;
        match (case.fate, heard) {
            (Fate::Passes(one), 1) => expected.push(owned(one)),
            (Fate::Cut(one), 0) => perhaps.push(owned(one)),
            (Fate::Refused, 0) => {}
            (fate, heard) => failures
                .push(format!("{}: {fate:?}, and the upstream heard {heard} requests", case.title)),
        }
        before += heard + 1;
    }
    let mut heard: Vec<_> = recorder
        .agreed()
        .await?
        .into_iter()
        .map(|message| {
            let [method, target, _] = message.start;
            (method, target, message.body)
        })
        .collect();
    for one in perhaps {
        // Once at most: a second one is strange.
        if let Some(place) = heard.iter().position(|found| *found == one) {
            heard.swap_remove(place);
        }
    }
    heard.sort();
    expected.sort();
    if heard != expected {
        let strange: Vec<_> = heard.iter().filter(|one| !expected.contains(one)).collect();
        failures.push(format!(
            "the upstream heard {} requests and not {}; strange: {strange:?}",
            heard.len(),
            expected.len()
        ));
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
}

fn owned((method, target, body): Heard) -> (String, String, Vec<u8>) {
    (method.to_owned(), target.to_owned(), body.to_vec())
}
