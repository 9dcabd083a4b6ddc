//! A collector, and one export to it.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::BodyExt as _;
use mainstay::{Answer, Client, Degrade, DeliveredBody, Plan, Service, Source};
use mainstay_config::settings::{Collector as Settings, OtlpProtocol};
use mainstay_core::retry::rate_limit::Hint;
use mainstay_record::{Recorder, partial_success};

use super::{ExportError, headers};
use crate::route::Route;

/// Where exports go.
#[derive(Debug)]
pub(super) struct Collector {
    protocol: OtlpProtocol,
    fields: HeaderMap,
    plan: Plan,
    client: Client,
}

/// What is exported, each by a path of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    Traces,
    Metrics,
}

/// Why a collector didn't take what it was sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotTaken {
    /// Whether it may take it later; at the earliest after so long, if it said that.
    pub(super) later: Option<Duration>,
    pub(super) why: String,
}

impl Collector {
    /// `None` where the settings name none. `section`: where they stand in the config.
    pub(super) fn new(
        settings: &Settings,
        section: &'static str,
    ) -> Result<Option<Self>, ExportError> {
        let Some((upstream, route)) = settings.settings() else { return Ok(None) };
        let fields = headers::read(settings, section)?;
        // Its own recorder, which nobody reads: what is to be known of exports is counted by them.
        let service = Service::new(&upstream, &Recorder::new(), None);
        let service = service.map_err(|error| ExportError::Target(section, error))?;
        let plan = Route::new(&route, &service, None, &Degrade::default()).plan;
        let client = Client::new(REPLAY_BYTES).on_runtimes_that_keep_their_thread();
        Ok(Some(Self { protocol: settings.protocol, fields, plan, client }))
    }

    pub(super) const fn service(&self) -> &Arc<Service> {
        &self.plan.service
    }

    /// Sends one message. Gives how many items of it the collector refused, with its reason, when it took the others.
    ///
    /// # Errors
    ///
    /// It took nothing.
    pub(super) async fn export(
        &self,
        signal: Signal,
        message: Vec<u8>,
    ) -> Result<Option<(u64, String)>, NotTaken> {
        let body = match self.protocol {
            OtlpProtocol::Grpc => prefixed(&message),
            OtlpProtocol::Http => Bytes::from(message),
        };
        let called = self.client.call(&self.plan, self.head(signal), Source::Full(body)).await;
        let answer = called.map_err(|unanswered| NotTaken {
            later: Some(unanswered.gave_up.retry_after.unwrap_or_default()),
            why: unanswered.gave_up.kind.code().to_owned(),
        })?;
        match self.protocol {
            OtlpProtocol::Grpc => of_grpc(answer).await,
            OtlpProtocol::Http => of_http(answer).await,
        }
    }

    fn head(&self, signal: Signal) -> Parts {
        let (path, content_type) = match (self.protocol, signal) {
            (OtlpProtocol::Grpc, Signal::Traces) => {
                ("/opentelemetry.proto.collector.trace.v1.TraceService/Export", "application/grpc")
            }
            (OtlpProtocol::Grpc, Signal::Metrics) => (
                "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
                "application/grpc",
            ),
            (OtlpProtocol::Http, Signal::Traces) => ("/v1/traces", "application/x-protobuf"),
            (OtlpProtocol::Http, Signal::Metrics) => ("/v1/metrics", "application/x-protobuf"),
        };
        let mut head = Request::new(()).into_parts().0;
        head.method = Method::POST;
        head.uri = Uri::from_static(path);
        head.headers = self.fields.clone();
        head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        head.headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        if self.protocol == OtlpProtocol::Grpc {
            head.headers.insert(header::TE, HeaderValue::from_static("trailers"));
        }
        head
    }
}

/// A message as gRPC sends it: a flag that it isn't compressed, its length, and itself.
fn prefixed(message: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(PREFIX + message.len());
    bytes.put_u8(0);
    // A batch has less than a megabyte.
    bytes.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    bytes.put_slice(message);
    bytes.freeze()
}

async fn of_http(answer: Answer) -> Result<Option<(u64, String)>, NotTaken> {
    let (head, body) = answer.response.into_parts();
    if head.status.is_success() {
        let (bytes, _) = read(body).await?;
        return Ok(partial_success(&bytes));
    }
    // Those that OTLP names; a collector that says anything else won't take the same message later either.
    let passes = matches!(
        head.status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    );
    let said = head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let hint = Hint::of_refusal(said, head.status.as_u16(), mainstay::Clock::unix_millis());
    let later = passes.then(|| hint.map(|hint| hint.wait).unwrap_or_default());
    Err(NotTaken { later, why: format!("status {}", head.status.as_u16()) })
}

async fn of_grpc(answer: Answer) -> Result<Option<(u64, String)>, NotTaken> {
    let (head, body) = answer.response.into_parts();
    if head.status != StatusCode::OK {
        return Err(NotTaken {
            later: head.status.is_server_error().then_some(Duration::ZERO),
            why: format!("status {} in place of a gRPC answer", head.status.as_u16()),
        });
    }
    let (bytes, trailers) = read(body).await?;
    let said = trailers.as_ref().unwrap_or(&head.headers);
    let text = |name: &str| said.get(name).and_then(|value| value.to_str().ok());
    match text("grpc-status").and_then(|status| status.parse::<u8>().ok()) {
        Some(0) => Ok(partial_success(bytes.get(PREFIX..).unwrap_or_default())),
        Some(status) => Err(NotTaken {
            later: PASSING.contains(&status).then_some(Duration::ZERO),
            why: format!("gRPC status {status} {}", text("grpc-message").unwrap_or_default()),
        }),
        None => Err(NotTaken { later: None, why: "no gRPC status: is that a collector?".into() }),
    }
}

/// The body of an answer, and its trailers.
async fn read(body: DeliveredBody) -> Result<(Bytes, Option<HeaderMap>), NotTaken> {
    let mut body = pin!(body);
    let (mut bytes, mut trailers) = (BytesMut::new(), None);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| NotTaken {
            later: Some(Duration::ZERO),
            why: error.what.kind.code().to_owned(),
        })?;
        match frame.into_data() {
            Ok(data) if bytes.len() + data.len() <= ANSWER_MOST_BYTES => {
                bytes.extend_from_slice(&data);
            }
            Ok(_) => {
                return Err(NotTaken {
                    later: None,
                    why: "the answer is too long: is that a collector?".into(),
                });
            }
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    Ok((bytes.freeze(), trailers))
}

/// What is sent of all messages together is kept, to be sent again; one is below a megabyte.
const REPLAY_BYTES: usize = 64 << 20;

/// An answer is a few bytes, and a reason in words.
const ANSWER_MOST_BYTES: usize = 64 << 10;

/// gRPC's flag and length.
const PREFIX: usize = 5;

/// Statuses after which OTLP has a client try again: cancelled, deadline exceeded, resource exhausted, aborted, out of range,
/// unavailable, data loss.
const PASSING: [u8; 7] = [1, 4, 8, 10, 11, 14, 15];

const USER_AGENT: &str = concat!("OTel-OTLP-Exporter-Mainstay/", env!("CARGO_PKG_VERSION"));
