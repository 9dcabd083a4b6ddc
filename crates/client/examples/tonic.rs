//! tonic's client over a service with Mainstay around it: a server, `a`, that says GOAWAY, or that it won't serve for much longer; and one, `b`, that
//! is well.

#[path = "shared/stage.rs"]
mod stage;

use std::convert::Infallible;
use std::fmt::Write;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use mainstay::tower::{AttemptBody, Connector, MainstayLayer};
use mainstay::{Mainstay, UpstreamBuilder};
use stage::{Failure, Stage};
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Code, Status};
use tower::ServiceBuilder;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    print!("{}", run().await?);
    Ok(())
}

/// What the example prints.
pub async fn run() -> Result<String, Failure> {
    let stage = Stage::with_http2(["a"]).await?;
    let api = UpstreamBuilder::new("greeter")
        .endpoint_in_tier(stage.url("a"), 0)
        .endpoint_in_tier(greeter().await?, 1)
        .set("connect.http2", "always")
        .set("health.kind", "grpc")
        .set("health.interval", "100ms")
        .set("health.interval_down", "100ms")
        .set("health.fall", 1);
    let client = Mainstay::builder().upstream(api).build()?;
    let api = client.upstream("greeter").ok_or("it was just given")?;
    let inner: Client<_, AttemptBody> =
        Client::builder(TokioExecutor::new()).http2_only(true).build(Connector::of(&api));
    let service = ServiceBuilder::new().layer(MainstayLayer::new(&api)).service(inner);
    let mut greeter = tonic::client::Grpc::new(service);
    let mut out = String::new();

    writeln!(out, "healthy: {}", greet(&mut greeter, "/greeter/Greet").await?)?;
    for fault in ["h2-goaway", "h2-refuse-stream"] {
        stage.set("a", fault).await?;
        writeln!(out, "{fault}: {}", greet(&mut greeter, "/greeter/Greet").await?)?;
    }
    // It answers each call as ever, and says to those who ask that it won't for much longer.
    for (rule, wanted) in [("not-serving", "b"), ("healthy", "a")] {
        stage.set("a", rule).await?;
        let failed = failed_until(&mut greeter, wanted).await?;
        writeln!(out, "{rule}: {wanted}, with {failed} failed calls until then")?;
    }
    // An outcome that no retry would change is the caller's.
    stage.set("a", "not-serving").await?;
    failed_until(&mut greeter, "b").await?;
    let status =
        greet(&mut greeter, "/greeter/Missing").await.err().ok_or("there is no such method")?;
    writeln!(out, "missing: {:?}", status.code() == Code::Unimplemented)?;
    Ok(out)
}

async fn greet<S>(
    greeter: &mut tonic::client::Grpc<S>,
    path: &'static str,
) -> Result<String, Status>
where
    S: tonic::client::GrpcService<tonic::body::Body>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S::ResponseBody: http_body::Body<Data = Bytes> + Send + 'static,
    <S::ResponseBody as http_body::Body>::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    greeter.ready().await.map_err(|error| Status::unavailable(error.into().to_string()))?;
    let request = tonic::Request::new("world".to_owned());
    let answer = greeter.unary(request, PathAndQuery::from_static(path), Text).await?.into_inner();
    // A server of the lab says what it got, as JSON, and who it is.
    let name = answer.split_once("\"server\":\"").and_then(|(_, rest)| rest.split('"').next());
    Ok(name.unwrap_or(&answer).to_owned())
}

/// Calls until this server answers; how many of them failed.
async fn failed_until<S>(
    greeter: &mut tonic::client::Grpc<S>,
    wanted: &str,
) -> Result<usize, Failure>
where
    S: tonic::client::GrpcService<tonic::body::Body>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S::ResponseBody: http_body::Body<Data = Bytes> + Send + 'static,
    <S::ResponseBody as http_body::Body>::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut failed = 0;
    let calling = async {
        loop {
            match greet(greeter, "/greeter/Greet").await {
                Ok(by) if by == wanted => return,
                Ok(_) => {}
                Err(_) => failed += 1,
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, calling).await?;
    Ok(failed)
}

/// A server that greets.
async fn greeter() -> Result<String, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(connection.serve_connection(TokioIo::new(stream), service_fn(answer)));
        }
    });
    Ok(url)
}

async fn answer(
    request: Request<hyper::body::Incoming>,
) -> Result<Response<http_body_util::combinators::BoxBody<Bytes, Infallible>>, Infallible> {
    let (status, message): (_, &[u8]) = match request.uri().path() {
        "/greeter/Greet" => ("0", b"b"),
        // Its field 1 says SERVING.
        "/grpc.health.v1.Health/Check" => ("0", &[8, 1]),
        _ => ("12", b""),
    };
    let mut frame = BytesMut::new();
    if !message.is_empty() {
        frame.put_u8(0);
        frame.put_u32(message.len() as u32);
        frame.put_slice(message);
    }
    let trailers = HeaderMap::from_iter(
        [("grpc-status".parse(), HeaderValue::from_static(status))]
            .into_iter()
            .filter_map(|(name, value)| Some((name.ok()?, value))),
    );
    let body = Full::new(frame.freeze()).with_trailers(std::future::ready(Some(Ok(trailers))));
    let mut response = Response::new(body.boxed());
    let kind = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    Ok(response)
}

/// Messages that are plain text, so that the example needs no generated code.
#[derive(Clone, Copy)]
struct Text;

impl Codec for Text {
    type Encode = String;
    type Decode = String;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Text {
    type Item = String;
    type Error = Status;

    fn encode(&mut self, item: String, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put_slice(item.as_bytes());
        Ok(())
    }
}

impl Decoder for Text {
    type Item = String;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<String>, Status> {
        let bytes = from.copy_to_bytes(from.remaining());
        String::from_utf8(bytes.to_vec()).map(Some).map_err(|_| Status::internal("not text"))
    }
}

/// Checks are made each tenth of a second.
const PATIENCE: Duration = Duration::from_secs(20);
