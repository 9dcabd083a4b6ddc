//! The layer around other clients: a dialogue with a mock, and real clients against servers that break.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use mainstay::tower::{AttemptBody, Connector, MainstayLayer, MainstayService};
use mainstay::{BreakKind, Certainty, ErrorKind, Failure, Mainstay, Upstream, UpstreamBuilder};
use mainstay_lab::{Lab, Rule, ServerSpec, Spec};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tower_layer::Layer;
use tower_service::Service;
use tower_test::mock::{Handle, Mock, pair};

/// How long anything may take that should happen at once.
const PATIENCE: Duration = Duration::from_secs(30);

type Asked = Request<AttemptBody>;
type Answered = Response<Full<Bytes>>;

fn upstream(urls: &[&str]) -> Upstream {
    let mut api = UpstreamBuilder::new("api").set("retry.backoff.base", "1ms").set("health", false);
    for (tier, url) in (0..).zip(urls) {
        api = api.endpoint_in_tier(url, tier);
    }
    Mainstay::builder().upstream(api).build().unwrap().upstream("api").unwrap()
}

fn refused() -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::ConnectionRefused, "nobody listens")
}

/// A layer that takes a refused connect for what it is, around a mock.
fn mocked(
    urls: &[&str],
) -> (MainstayService<Mock<Asked, Answered>>, Handle<Asked, Answered>, Upstream) {
    let (mock, mut handle) = pair::<Asked, Answered>();
    handle.allow(100);
    let upstream = upstream(urls);
    let layer = MainstayLayer::new(&upstream).classify_by(|error| {
        let io = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        match io {
            Some(std::io::ErrorKind::ConnectionRefused) => {
                Failure::not_sent(BreakKind::ConnectRefused)
            }
            Some(_) | None => Failure::unknown(),
        }
    });
    (layer.layer(mock), handle, upstream)
}

fn post(body: &'static str) -> Request<Full<Bytes>> {
    let request = Request::post("http://any.example/orders?x=1").header("x-a", "1");
    request.body(Full::new(Bytes::from_static(body.as_bytes()))).unwrap()
}

fn ok(body: &'static str) -> Answered {
    Response::new(Full::new(Bytes::from_static(body.as_bytes())))
}

#[tokio::test]
async fn what_wasnt_sent_is_asked_of_the_next_endpoint_byte_by_byte() {
    let (mut service, mut handle, upstream) =
        mocked(&["https://a.example/v1", "https://b.example"]);
    poll_fn(|cx| <_ as Service<Request<Full<Bytes>>>>::poll_ready(&mut service, cx)).await.unwrap();
    let call = service.call(post("text"));
    let server = async {
        let (first, reply) = handle.next_request().await.unwrap();
        assert_eq!(first.uri(), "https://a.example/v1/orders?x=1");
        reply.send_error(refused());
        let (second, reply) = handle.next_request().await.unwrap();
        assert_eq!(second.uri(), "https://b.example/orders?x=1");
        assert_eq!(second.headers()["x-a"], "1");
        assert_eq!(second.into_body().collect().await.unwrap().to_bytes(), "text");
        reply.send_response(ok("done"));
    };
    let (answer, ()) = tokio::join!(call, server);
    let answer = answer.unwrap();
    assert_eq!(upstream.in_flight(), 1, "until its body has been read");
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "done");
    assert_eq!(upstream.in_flight(), 0);
}

#[tokio::test]
async fn an_error_keeps_the_inner_one_as_its_source_and_says_how_far_the_request_got() {
    let (mut service, mut handle, upstream) = mocked(&["https://a.example", "https://b.example"]);
    let server = async {
        let (_, reply) = handle.next_request().await.unwrap();
        reply.send_error("it broke");
    };
    poll_fn(|cx| <_ as Service<Request<Full<Bytes>>>>::poll_ready(&mut service, cx)).await.unwrap();
    let (answer, ()) = tokio::join!(service.call(post("text")), server);
    let error = answer.map(|_| ()).unwrap_err();
    assert_eq!(
        (error.kind(), error.certainty()),
        (ErrorKind::Unanswered, Certainty::MaybeProcessed)
    );
    assert_eq!(error.attempts().len(), 1, "a POST isn't repeated");
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "it broke");
    assert_eq!(upstream.in_flight(), 0);
}

#[tokio::test]
async fn it_is_ready_when_the_inner_service_is_and_uses_the_one_that_was() {
    let (mock, mut handle) = pair::<Asked, Answered>();
    handle.allow(0);
    let mut service = MainstayLayer::new(&upstream(&["https://a.example"])).layer(mock);
    let poll = async |service: &mut MainstayService<Mock<Asked, Answered>>| {
        poll_fn(|cx| {
            let ready = <_ as Service<Request<Full<Bytes>>>>::poll_ready(service, cx);
            Poll::Ready(matches!(ready, Poll::Ready(Ok(()))))
        })
        .await
    };
    assert!(!poll(&mut service).await);
    handle.allow(1);
    assert!(poll(&mut service).await);
    let server = async {
        let (_, reply) = handle.next_request().await.unwrap();
        reply.send_response(ok("done"));
    };
    // The mock panics when a service is called that wasn't ready.
    let (answer, ()) = tokio::join!(service.call(post("")), server);
    assert!(answer.is_ok());
    assert!(!poll(&mut service).await, "what was ready is used up");
    handle.send_error("gone");
    let error =
        poll_fn(|cx| <_ as Service<Request<Full<Bytes>>>>::poll_ready(&mut service, cx)).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Setup);
}

#[tokio::test]
async fn a_call_that_leaves_at_any_poll_leaves_nothing_behind() {
    let (service, mut handle, upstream) = mocked(&["https://a.example", "https://b.example"]);
    let server = tokio::spawn(async move {
        while let Some((_, reply)) = handle.next_request().await {
            reply.send_error(refused());
        }
    });
    let mut ended = 0;
    // The last one may be polled as often as a call is that waits for an open breaker until it is refused.
    for polls in (0..30).chain([usize::MAX]) {
        let mut service = service.clone();
        poll_fn(|cx| <_ as Service<Request<Full<Bytes>>>>::poll_ready(&mut service, cx))
            .await
            .unwrap();
        {
            let mut call = pin!(service.call(post("text")));
            let mut polled = 0;
            ended += usize::from(
                poll_fn(|cx| {
                    if polled == polls {
                        return Poll::Ready(false);
                    }
                    polled += 1;
                    call.as_mut().poll(cx).map(|_| true)
                })
                .await,
            );
        }
        assert_eq!(upstream.in_flight(), 0, "after {polls} polls");
    }
    assert!(ended > 0, "the longest one got to its end");
    server.abort();
}

async fn lab(h2: bool) -> Lab {
    let mut spec = Spec::of(["a", "b"]);
    spec.servers = spec.servers.into_iter().map(|server| ServerSpec { h2, ..server }).collect();
    Lab::start(spec).await.unwrap()
}

fn of_lab(lab: &Lab) -> Upstream {
    let urls: Vec<String> = lab.servers().iter().map(|server| server.url()).collect();
    upstream(&urls.iter().map(String::as_str).collect::<Vec<_>>())
}

async fn text<S, B>(
    service: &mut MainstayService<S>,
    request: Request<Full<Bytes>>,
) -> Result<String, mainstay::Error>
where
    S: Service<Asked, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S::Future: Send,
    B: http_body::Body<Error: std::fmt::Debug> + Send + 'static,
{
    poll_fn(|cx| <_ as Service<Request<Full<Bytes>>>>::poll_ready(service, cx)).await?;
    let body = service.call(request).await?.into_body().collect().await.unwrap().to_bytes();
    Ok(String::from_utf8(body.to_vec()).unwrap())
}

async fn set(lab: &Lab, server: &str, rule: &str) {
    lab.set(server, rule.parse::<Rule>().unwrap()).await.unwrap();
}

#[tokio::test]
async fn hyper_utils_client_with_the_connector_survives_a_closed_port_and_a_reset() {
    let lab = lab(false).await;
    let upstream = of_lab(&lab);
    let inner: Client<_, AttemptBody> =
        Client::builder(TokioExecutor::new()).build(Connector::new());
    let mut service = MainstayLayer::new(&upstream).layer(inner);
    set(&lab, "a", "refuse").await;
    // Nothing was sent, and that is known: a POST goes on elsewhere.
    assert!(text(&mut service, post("text")).await.unwrap().contains("\"server\":\"b\""));
    set(&lab, "a", "reset-after-execute").await;
    let error = text(&mut service, post("text")).await.unwrap_err();
    assert_eq!(error.certainty(), Certainty::MaybeProcessed);
    let get = Request::get("http://any.example/").body(Full::default()).unwrap();
    assert!(text(&mut service, get).await.unwrap().contains("\"server\":\"b\""));
    assert_eq!(upstream.in_flight(), 0);
    lab.shutdown().await;
}

#[tokio::test]
async fn a_stream_that_is_refused_over_http2_goes_on_elsewhere_whatever_its_method() {
    let lab = lab(true).await;
    let upstream = of_lab(&lab);
    let inner: Client<_, AttemptBody> =
        Client::builder(TokioExecutor::new()).http2_only(true).build(Connector::new());
    let mut service = MainstayLayer::new(&upstream).layer(inner);
    set(&lab, "a", "h2-refuse-stream").await;
    let mut request = post("text");
    *request.version_mut() = Version::HTTP_2;
    assert!(text(&mut service, request).await.unwrap().contains("\"server\":\"b\""));
    lab.shutdown().await;
}

/// A server that ends each connection that was idle for so long, and tells for each who ended it: it itself, or the other side.
async fn server_with_a_limit(
    limit: Duration,
) -> (String, mpsc::UnboundedReceiver<EndedBy>, AbortOnDrop) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, ends) = mpsc::unbounded_channel();
    let serving = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let sender = sender.clone();
            tokio::spawn(async move {
                let mut bytes = [0; 4096];
                let by = loop {
                    match timeout(limit, stream.read(&mut bytes)).await {
                        // Where the machine stood still both sides' times are over at once, and what the client did comes a turn later.
                        Err(_) => match timeout(TURN, stream.read(&mut bytes)).await {
                            Ok(Ok(0) | Err(_)) => break EndedBy::Client,
                            Ok(Ok(_)) | Err(_) => break EndedBy::Server,
                        },
                        Ok(Ok(0) | Err(_)) => break EndedBy::Client,
                        // A request without a body is one piece on the loopback.
                        Ok(Ok(_)) => {
                            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                            stream.write_all(answer).await.unwrap();
                        }
                    }
                };
                drop(stream);
                let _ = sender.send(by);
            });
        }
    });
    (url, ends, AbortOnDrop(serving.abort_handle()))
}

const TURN: Duration = Duration::from_millis(20);

#[derive(Debug, PartialEq)]
enum EndedBy {
    Server,
    Client,
}

struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[tokio::test]
async fn hyper_utils_pool_is_left_no_connection_that_its_server_is_about_to_end() {
    let limit = Duration::from_millis(400);
    let (url, mut ends, _server) = server_with_a_limit(limit).await;
    let upstream = upstream(&[&url]);
    let inner: Client<_, AttemptBody> =
        Client::builder(TokioExecutor::new()).build(Connector::of(&upstream));
    let mut service = MainstayLayer::new(&upstream).layer(inner);
    let get = || Request::get("http://any.example/").body(Full::default()).unwrap();
    let stale = || upstream.service().targets().next().unwrap().counts();
    let learning = async {
        while stale().idle_limit.is_none() {
            assert_eq!(text(&mut service, get()).await.unwrap(), "ok");
            assert_eq!(ends.recv().await, Some(EndedBy::Server));
            // Until our side has seen it.
            while stale().in_use + stale().idle > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    };
    timeout(PATIENCE, learning).await.unwrap();
    let learned = stale();
    assert_eq!((learned.stale_avoided, learned.opened), (0, learned.closed_stale), "{learned:?}");
    // From now on it is always we who end it; and one that is used in time is kept.
    for _ in 0..3 {
        assert_eq!(text(&mut service, get()).await.unwrap(), "ok");
        assert_eq!(text(&mut service, get()).await.unwrap(), "ok");
        assert_eq!(timeout(PATIENCE, ends.recv()).await.unwrap(), Some(EndedBy::Client));
    }
    let after = stale();
    assert_eq!((after.stale_avoided, after.opened), (3, learned.opened + 3), "{after:?}");
    assert_eq!((after.stale_met, after.in_use), (0, 0), "{after:?}");
}
