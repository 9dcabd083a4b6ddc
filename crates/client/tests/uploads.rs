//! Resumable uploads to peers that break off, lose, lie and refuse: what goes on does so from where the peer has it, to the byte,
//! and what can't go on is for the table of retry safety.

mod peer;

use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http::request::Parts;
use http_body_util::BodyExt;
use mainstay::{Client, Plan, Source};
use mainstay_core::event::StopReason;
use mainstay_record::Recorder;
use peer::plan::plan;
use peer::{Conversation, Peer};

const SIZE: usize = 100_000;

const IETF: &str = "resumable_upload = true\nretry.backoff.base = \"1ms\"";
const TUS: &str = "resumable_upload.protocol = \"tus\"\nretry.backoff.base = \"1ms\"";

/// What a server of the draft says first.
const OFFER: &str = "HTTP/1.1 104 Upload Resumption Supported\r\nupload-draft-interop-version: 8\r\nlocation: /u/1\r\n\r\n";

const DONE: &str = "HTTP/1.1 201 Created\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";

fn file() -> Bytes {
    (0..SIZE).map(|at| (at * 7 / 5 + at / 256) as u8).collect()
}

fn head(method: &str) -> Parts {
    let request = Request::builder()
        .method(method)
        .uri("/files?to=shelf")
        .header("authorization", "Bearer x")
        .header("x-api-key", "y")
        .header("content-type", "text/plain")
        .header("content-length", SIZE.to_string());
    request.body(()).expect("a request").into_parts().0
}

/// What the application gets: status, `Location` and body; or why it has none.
#[derive(Debug, PartialEq, Eq)]
enum Got {
    Answer(u16, Option<String>, Bytes),
    Nothing(StopReason),
}

impl Got {
    fn created() -> Self {
        Self::Answer(201, None, "ok".into())
    }
}

async fn upload(plan: &Plan, method: &str) -> Got {
    let client = Client::new(1 << 24);
    match client.call(plan, head(method), Source::Full(file())).await {
        Ok(answer) => {
            let (head, body) = answer.response.into_parts();
            let location = head.headers.get("location");
            let location = location.map(|value| value.to_str().expect("a place").to_owned());
            let body = body.collect().await.expect("a whole answer").to_bytes();
            Got::Answer(head.status.as_u16(), location, body)
        }
        Err(unanswered) => Got::Nothing(unanswered.gave_up.stop),
    }
}

/// One request after the other, each over a connection of its own.
struct Server {
    peer: Peer,
}

impl Server {
    async fn begin(config: &str) -> (Self, Plan, Arc<Recorder>) {
        let peer = Peer::listen().await;
        let (plan, recorder) = plan(&[&peer], config);
        (Self { peer }, plan, recorder)
    }

    /// The next request, which has this line and these fields.
    async fn next(&self, line: &str, fields: &[&str]) -> (Conversation, String) {
        let mut conversation = self.peer.accept().await;
        let head = conversation.head().await;
        assert!(head.starts_with(&format!("{line} HTTP/1.1\r\n")), "{head}");
        for field in fields {
            assert!(head.contains(&format!("\r\n{field}\r\n")), "{field}: {head}");
        }
        assert!(head.contains("\r\nauthorization: Bearer x\r\n"), "{head}");
        assert!(head.contains("\r\nx-api-key: y\r\n"), "{head}");
        (conversation, head)
    }

    /// The application's own request, up to so many bytes of its body.
    async fn first(&self, method: &str, offer: &str, bytes: usize) -> Conversation {
        let fields =
            ["upload-complete: ?1", "upload-draft-interop-version: 8", "content-type: text/plain"];
        let (mut conversation, _) = self.next(&format!("{method} /files?to=shelf"), &fields).await;
        conversation.say(offer).await;
        assert_eq!(conversation.body(bytes).await, file()[..bytes]);
        conversation
    }

    /// The creation of tus.
    async fn create(&self) {
        let fields = ["content-length: 0", "upload-length: 100000", "tus-resumable: 1.0.0"];
        let (mut conversation, head) = self.next("POST /files?to=shelf", &fields).await;
        assert!(!head.contains("content-type"), "{head}");
        let created = "HTTP/1.1 201 Created\r\nlocation: /u/1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        conversation.say(created).await;
    }

    /// The request for the offset, and its answer.
    async fn asked(&self, answer: &str) {
        let (mut conversation, head) = self.next("HEAD /u/1", &[]).await;
        assert!(!head.contains("content-"), "{head}");
        conversation.say(&format!("HTTP/1.1 {answer}\r\nconnection: close\r\n\r\n")).await;
    }

    /// The request with the rest, up to so many bytes of it.
    async fn rest(&self, kind: &str, from: usize, bytes: usize) -> Conversation {
        let (offset, length) =
            (format!("upload-offset: {from}"), format!("content-length: {}", SIZE - from));
        let fields = [offset.as_str(), length.as_str(), kind];
        let (mut conversation, _) = self.next("PATCH /u/1", &fields).await;
        assert_eq!(conversation.body(bytes).await, file()[from..from + bytes]);
        conversation
    }

    async fn rest_of_draft(&self, from: usize, bytes: usize) -> Conversation {
        self.rest("content-type: application/partial-upload", from, bytes).await
    }

    async fn rest_of_tus(&self, from: usize, bytes: usize) -> Conversation {
        self.rest("content-type: application/offset+octet-stream", from, bytes).await
    }

    /// Nobody asks any more.
    fn is_left_alone(&self) {
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(self.peer.listener.poll_accept(&mut cx).is_pending());
    }
}

/// Why the attempts of the only broken call were made, how often its upload went on, and why it didn't.
fn record(recorder: &Recorder) -> (Vec<String>, Option<u16>, Option<String>) {
    let record = recorder.recent().remove(0);
    let reasons = record.attempts.iter().map(|attempt| attempt.reason.to_string()).collect();
    (reasons, record.upload_resumed, record.upload_not_resumed.map(|why| why.to_string()))
}

fn reasons(list: &[&str]) -> Vec<String> {
    list.iter().map(|reason| (*reason).to_owned()).collect()
}

fn has(offset: usize) -> String {
    format!("204 No Content\r\nupload-offset: {offset}\r\nupload-complete: ?0")
}

#[tokio::test]
async fn a_post_that_breaks_in_the_middle_goes_on_from_where_the_server_has_it() {
    let (server, plan, recorder) = Server::begin(IETF).await;
    let (got, ()) = tokio::join!(upload(&plan, "POST"), async {
        server.first("POST", OFFER, 40_000).await.reset();
        // Less than what was read, and more than what an upstream has, if it keeps what it gets in blocks.
        server.asked(&has(30_000)).await;
        server.rest_of_draft(30_000, 20_000).await.reset();
        server.asked(&has(50_000)).await;
        server.rest_of_draft(50_000, 50_000).await.say(DONE).await;
    });
    assert_eq!(got, Got::created());
    let wanted = reasons(&["first", "resume", "resume", "resume", "resume"]);
    assert_eq!(record(&recorder), (wanted, Some(2), None));
    let attempt = recorder.recent().remove(0).attempts.remove(0);
    assert_eq!(attempt.verdict.as_deref(), Some("continue-upload"));
    server.is_left_alone();
}

/// A server that has a part, and says so as if all had gone well.
fn taken(fields: &str) -> String {
    format!("HTTP/1.1 201 Created\r\n{fields}content-length: 0\r\nconnection: close\r\n\r\n")
}

#[tokio::test]
async fn a_success_that_says_that_something_is_missing_is_not_delivered() {
    let named = taken("upload-complete: ?0\r\nlocation: /u/1\r\n");
    for (offer, answer) in [(OFFER, taken("upload-complete: ?0\r\n")), ("", named)] {
        let (server, plan, _) = Server::begin(IETF).await;
        let (got, ()) = tokio::join!(upload(&plan, "POST"), async {
            server.first("POST", offer, SIZE).await.say(&answer).await;
            server.asked(&has(60_000)).await;
            server.rest_of_draft(60_000, 40_000).await.say(DONE).await;
        });
        assert_eq!(got, Got::created());
        server.is_left_alone();
    }
    let (server, plan, recorder) = Server::begin(IETF).await;
    let (got, ()) = tokio::join!(upload(&plan, "POST"), async {
        let nowhere = taken("upload-complete: ?0\r\n");
        server.first("POST", "", SIZE).await.say(&nowhere).await;
    });
    assert_eq!(got, Got::Nothing(StopReason::OutcomeUnknown));
    server.is_left_alone();
    assert_eq!(record(&recorder).2.as_deref(), Some("not-offered"));
}

#[tokio::test]
async fn nothing_is_appended_out_of_a_body_that_is_not_kept() {
    for config in [IETF, TUS] {
        let (server, plan, recorder) =
            Server::begin(&format!("replay = \"50KiB\"\n{config}")).await;
        let (got, ()) = tokio::join!(upload(&plan, "POST"), async {
            let (mut part, answer) = if config == TUS {
                server.create().await;
                (server.rest_of_tus(0, SIZE).await, taken("upload-offset: 60000\r\n"))
            } else {
                (server.first("POST", OFFER, SIZE).await, taken("upload-complete: ?0\r\n"))
            };
            part.say(&answer).await;
        });
        assert_eq!(got, Got::Nothing(StopReason::OutcomeUnknown), "{config}");
        server.is_left_alone();
        assert_eq!(record(&recorder).2.as_deref(), Some("body-unrepeatable"), "{config}");
    }
}

#[tokio::test]
async fn a_server_that_breaks_and_says_so_is_asked_how_much_it_has() {
    let (server, plan, _) = Server::begin(IETF).await;
    let busy = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let (got, ()) = tokio::join!(upload(&plan, "POST"), async {
        server.first("POST", OFFER, 40_000).await.say(busy).await;
        server.asked(&has(40_000)).await;
        server.rest_of_draft(40_000, 60_000).await.say(busy).await;
        server.asked(&has(100_000)).await;
        server.rest_of_draft(100_000, 0).await.say(DONE).await;
    });
    assert_eq!(got, Got::created());
}

#[tokio::test]
async fn a_server_that_has_another_offset_than_it_told_is_asked_once_more() {
    let (server, plan, _) = Server::begin(IETF).await;
    let conflict = "HTTP/1.1 409 Conflict\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let (got, ()) = tokio::join!(upload(&plan, "PUT"), async {
        server.first("PUT", OFFER, 40_000).await.reset();
        server.asked(&has(30_000)).await;
        server.rest_of_draft(30_000, 0).await.say(conflict).await;
        server.asked(&has(40_000)).await;
        server.rest_of_draft(40_000, 60_000).await.say(DONE).await;
    });
    assert_eq!(got, Got::created());
}

#[tokio::test]
async fn without_an_offer_a_post_that_may_have_been_done_is_not_begun_again() {
    let other_version = "HTTP/1.1 104 Upload Resumption Supported\r\nupload-draft-interop-version: 6\r\nlocation: /u/1\r\n\r\n";
    let elsewhere = "HTTP/1.1 104 Upload Resumption Supported\r\nupload-draft-interop-version: 8\r\nlocation: http://b.example/u/1\r\n\r\n";
    let no_uri = OFFER.replace("/u/1", "/u/<1>");
    for offer in ["", other_version, elsewhere, &no_uri] {
        let (server, plan, recorder) = Server::begin(IETF).await;
        let (got, ()) = tokio::join!(upload(&plan, "POST"), async {
            server.first("POST", offer, 40_000).await.reset();
        });
        assert_eq!(got, Got::Nothing(StopReason::OutcomeUnknown), "{offer}");
        assert_eq!(record(&recorder), (reasons(&["first"]), None, None));
        server.is_left_alone();
    }
}

#[tokio::test]
async fn what_a_server_cannot_have_is_not_followed() {
    let cases = [
        (has(SIZE + 1), "beyond-sent"),
        ("404 Not Found".to_owned(), "gone"),
        ("410 Gone".to_owned(), "gone"),
        ("204 No Content\r\nupload-complete: ?0".to_owned(), "no-offset"),
        (format!("{}\r\nupload-length: 99", has(10)), "other-length"),
        (format!("204 No Content\r\nupload-offset: {SIZE}\r\nupload-complete: ?1"), "answer-lost"),
        ("403 Forbidden".to_owned(), "refused"),
    ];
    for (answer, why) in cases {
        let (server, plan, recorder) = Server::begin(IETF).await;
        let (got, ()) = tokio::join!(upload(&plan, "POST"), async {
            server.first("POST", OFFER, 40_000).await.reset();
            server.asked(&answer).await;
        });
        assert_eq!(got, Got::Nothing(StopReason::OutcomeUnknown), "{why}");
        assert_eq!(record(&recorder), (reasons(&["first", "resume"]), None, Some(why.to_owned())));
        server.is_left_alone();
    }
}

#[tokio::test]
async fn a_put_whose_upload_is_lost_begins_again() {
    let (server, plan, recorder) = Server::begin(IETF).await;
    let (got, ()) = tokio::join!(upload(&plan, "PUT"), async {
        server.first("PUT", OFFER, 40_000).await.reset();
        server.asked("404 Not Found").await;
        let mut whole = server.first("PUT", OFFER, SIZE).await;
        whole.say(DONE).await;
    });
    assert_eq!(got, Got::created());
    let wanted = (reasons(&["first", "resume", "retry"]), None, Some("gone".to_owned()));
    assert_eq!(record(&recorder), wanted);
}

#[tokio::test]
async fn tus_creates_then_uploads_and_goes_on() {
    let (server, plan, recorder) = Server::begin(TUS).await;
    let (got, ()) = tokio::join!(upload(&plan, "POST"), async {
        server.create().await;
        server.rest_of_tus(0, 40_000).await.reset();
        server.asked("200 OK\r\nupload-offset: 30000\r\nupload-length: 100000").await;
        let mut part = server.rest_of_tus(30_000, 70_000).await;
        // It may take a part, and say so.
        let taken = |offset| {
            format!(
                "HTTP/1.1 204 No Content\r\nupload-offset: {offset}\r\nconnection: close\r\n\r\n"
            )
        };
        part.say(&taken(60_000)).await;
        server.rest_of_tus(60_000, 40_000).await.say(&taken(SIZE)).await;
    });
    assert_eq!(got, Got::Answer(204, Some("/u/1".to_owned()), Bytes::new()));
    let wanted = reasons(&["first", "resume", "resume", "resume", "resume"]);
    assert_eq!(record(&recorder), (wanted, Some(1), None));
}

#[tokio::test]
async fn tus_that_has_everything_is_complete_although_its_answer_was_lost() {
    let (server, plan, _) = Server::begin(TUS).await;
    let (got, ()) = tokio::join!(upload(&plan, "POST"), async {
        server.create().await;
        server.rest_of_tus(0, SIZE).await.reset();
        let all = "200 OK\r\nupload-offset: 100000\r\nupload-length: 100000\r\ncontent-length: 77";
        server.asked(all).await;
    });
    assert_eq!(got, Got::Answer(204, Some("/u/1".to_owned()), Bytes::new()));
    server.is_left_alone();
}

#[tokio::test]
async fn a_creation_of_nothing_is_not_passed_off_as_an_upload() {
    let (server, plan, recorder) = Server::begin(TUS).await;
    let (got, ()) = tokio::join!(upload(&plan, "POST"), async {
        let (mut conversation, _) = server.next("POST /files?to=shelf", &[]).await;
        conversation.say(DONE).await;
    });
    assert_eq!(got, Got::Nothing(StopReason::OutcomeUnknown));
    server.is_left_alone();
    assert_eq!(recorder.recent().remove(0).upload_not_resumed.as_deref(), Some("not-offered"));
}

#[tokio::test]
async fn a_refused_creation_is_the_answer() {
    let (server, plan, _) = Server::begin(TUS).await;
    let (got, ()) = tokio::join!(upload(&plan, "POST"), async {
        let (mut conversation, _) = server.next("POST /files?to=shelf", &[]).await;
        conversation.say("HTTP/1.1 413 Content Too Large\r\ncontent-length: 2\r\n\r\nno").await;
    });
    assert_eq!(got, Got::Answer(413, None, "no".into()));
}

#[tokio::test]
async fn a_route_that_says_nothing_of_it_asks_as_ever() {
    let (server, plan, _) = Server::begin("retry.backoff.base = \"1ms\"").await;
    let (got, ()) = tokio::join!(upload(&plan, "POST"), async {
        let (mut conversation, head) = server.next("POST /files?to=shelf", &[]).await;
        assert!(!head.contains("upload-"), "{head}");
        conversation.say(OFFER).await;
        conversation.reset();
    });
    assert_eq!(got, Got::Nothing(StopReason::OutcomeUnknown));
    server.is_left_alone();
}

mod http2 {
    //! The offer comes over HTTP/2 as well.

    use h2::server::{Builder, Connection};
    use h2::{Reason, RecvStream};
    use http::{Method, Response, StatusCode};
    use tokio::net::TcpStream;

    use super::*;

    type Streams = Connection<TcpStream, Bytes>;
    type Incoming = (Request<RecvStream>, h2::server::SendResponse<Bytes>);

    async fn next(streams: &mut Streams) -> Incoming {
        streams.accept().await.expect("a stream").expect("a request")
    }

    /// Reads so many bytes, while the connection goes on.
    async fn read(streams: &mut Streams, body: &mut RecvStream, bytes: usize) -> Vec<u8> {
        let mut came = Vec::new();
        while came.len() < bytes {
            let piece = tokio::select! {
                piece = body.data() => piece.expect("more").expect("more"),
                other = streams.accept() => panic!("{other:?}"),
            };
            body.flow_control().release_capacity(piece.len()).expect("what came");
            came.extend_from_slice(&piece);
        }
        came
    }

    #[tokio::test]
    async fn an_upload_over_http2_goes_on_too() {
        let (server, plan, recorder) =
            Server::begin(&format!("connect.http2 = \"always\"\n{IETF}")).await;
        let serving = async {
            let stream = server.peer.accept().await.stream;
            let mut streams: Streams = Builder::new().handshake(stream).await.expect("HTTP/2");
            let (request, mut respond) = next(&mut streams).await;
            let offer = Response::builder()
                .status(104)
                .header("upload-draft-interop-version", "8")
                .header("location", format!("http://{}/u/1", server.peer.address));
            respond.send_informational(offer.body(()).expect("a head")).expect("sent");
            let came = read(&mut streams, &mut request.into_body(), 40_000).await;
            assert_eq!(came, file()[..came.len()]);
            respond.send_reset(Reason::INTERNAL_ERROR);

            let (request, mut respond) = next(&mut streams).await;
            assert_eq!((request.method(), request.uri().path()), (&Method::HEAD, "/u/1"));
            let has = Response::builder()
                .status(204)
                .header("upload-offset", "40000")
                .header("upload-complete", "?0");
            respond.send_response(has.body(()).expect("a head"), true).expect("sent");

            let (request, mut respond) = next(&mut streams).await;
            assert_eq!(request.method(), Method::PATCH);
            assert_eq!(request.headers()["upload-offset"], "40000");
            let rest = read(&mut streams, &mut request.into_body(), 60_000).await;
            assert_eq!(rest, file()[40_000..]);
            let mut done = Response::new(());
            *done.status_mut() = StatusCode::CREATED;
            let mut body = respond.send_response(done, false).expect("sent");
            body.send_data(Bytes::from_static(b"ok"), true).expect("sent");
            while streams.accept().await.is_some() {}
        };
        tokio::select! {
            got = upload(&plan, "POST") => assert_eq!(got, Got::created()),
            () = serving => panic!("the connection ended"),
        }
        assert_eq!(record(&recorder).1, Some(1));
    }
}
