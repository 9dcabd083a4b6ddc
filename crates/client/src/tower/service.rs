//! The service that the layer makes.

use std::error::Error as StdError;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::uri::{Authority, PathAndQuery, Scheme as UriScheme};
use http::{HeaderMap, Request, Response, StatusCode, Uri, header, request::Parts};
use http_body::Body;
use mainstay_config::settings::{Endpoint, Scheme};
use mainstay_core::retry::rate_limit::Hint;
use tower_service::Service;

use super::layer::{Classify, MainstayLayer};
use super::{AttemptBody, LayerBody, kept};
use crate::Clock;
use crate::body::{BoxedSource, Replay, ReplayLimits, Source, SourceError};
use crate::driver::{facts, grpc, is_grpc};
use crate::library::drive::{Drive, Landed, Start};
use crate::library::{Error, Upstream};
use crate::service::Plan;
use crate::wishes::{AttemptLog, Wishes};

/// A service with Mainstay around it; see [`MainstayLayer`].
#[derive(Clone, Debug)]
pub struct MainstayService<S> {
    inner: S,
    layer: MainstayLayer,
}

/// What is under way. Dropping it drops the attempts that are out, and gives back whatever the call had taken.
pub type ResponseFuture<B> =
    Pin<Box<dyn Future<Output = Result<Response<LayerBody<B>>, Error>> + Send>>;

impl<S> MainstayService<S> {
    pub(super) const fn new(inner: S, layer: MainstayLayer) -> Self {
        Self { inner, layer }
    }

    /// The service within.
    #[must_use]
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S, B, R> Service<Request<B>> for MainstayService<S>
where
    S: Service<Request<AttemptBody>, Response = Response<R>> + Clone + Send + 'static,
    S::Error: Into<Box<dyn StdError + Send + Sync>>,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
    R: Body + Send + 'static,
{
    type Response = Response<LayerBody<R>>;
    type Error = Error;
    type Future = ResponseFuture<R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx).map_err(|error| Error::not_ready(error.into()))
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture<R> {
        // The one that is ready is used, and the clone that isn't stays behind.
        let next = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, next);
        Box::pin(run(ready, self.layer.clone(), request))
    }
}

async fn run<S, B, R>(
    ready: S,
    layer: MainstayLayer,
    request: Request<B>,
) -> Result<Response<LayerBody<R>>, Error>
where
    S: Service<Request<AttemptBody>, Response = Response<R>> + Clone,
    S::Error: Into<Box<dyn StdError + Send + Sync>>,
    B: Body + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
    R: Body,
{
    let MainstayLayer { upstream, keeps_uri, classify } = layer;
    let (head, body) = request.into_parts();
    let plan = plan_of(&upstream, &head)?;
    if !upstream.client.is_scripted() && upstream.station.watch().is_err() {
        return Err(Error::no_runtime());
    }
    let (body, broken_body) = replay(&upstream, &plan, body);
    let is_grpc = is_grpc(&head.headers);
    let log = Arc::new(AttemptLog::heard_by(upstream.client.hears(&upstream.station.service)));
    let wishes = Wishes { log: Some(Arc::clone(&log)), ..Wishes::default() };
    let shown = (head.method.clone(), head.uri.path().to_owned());
    let facts = facts(&plan, &head, body.is_some());
    let mut drive = Box::new(Drive::new(&plan, facts, &wishes, body, shown));
    let (clone, mut ready) = (ready.clone(), Some(ready));
    let client = upstream.client.clone();
    let answered = drive
        .run(move |drive, start| {
            let name = drive.service().upstream().endpoint_name(start.endpoint);
            let staged = client.staged(name);
            let made = staged.breaks.is_none().then(|| {
                let service = ready.take();
                let is_ready = service.is_some();
                let request = attempt(drive, &head, start, keeps_uri);
                let service = service.unwrap_or_else(|| clone.clone());
                land(service, is_ready, request, is_grpc, Arc::clone(&classify))
            });
            staged.play(made, || "a script's break".into())
        })
        .await;
    match answered {
        Ok(response) => {
            let awaits_outcome = is_grpc
                && response.status() == StatusCode::OK
                && grpc::outcome(response.headers()).is_none();
            Ok(kept(response).map(|inner| LayerBody::new(inner, drive, awaits_outcome)))
        }
        Err(failed) => {
            let broken_body = broken_body.and_then(|error| error.lock().take());
            Err(Error::of_layer(&drive, failed, &log, broken_body))
        }
    }
}

fn plan_of(upstream: &Upstream, head: &Parts) -> Result<Arc<Plan>, Error> {
    upstream
        .client
        .plan_within(upstream, head)
        .ok_or_else(|| Error::no_route(&head.method, &head.uri))
}

/// The program's body, to be sent as often as the policy allows.
fn replay<B>(upstream: &Upstream, plan: &Plan, body: B) -> (Replay, Option<SourceError>)
where
    B: Body + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    if body.is_end_stream() {
        return (Replay::default(), None);
    }
    let (source, error) = BoxedSource::new(body);
    let limits = ReplayLimits {
        kept_bytes: plan.replay_bytes,
        spilled_bytes: plan.spill_bytes,
        body_bytes: plan.body_bytes,
    };
    let store = upstream.client.store();
    (Replay::new(Source::Stream(source), limits, store), Some(error))
}

/// The request of one attempt.
fn attempt(drive: &Drive, head: &Parts, start: Start, keeps_uri: bool) -> Request<AttemptBody> {
    let mut request = Request::new(AttemptBody(drive.body().outgoing(None)));
    *request.method_mut() = head.method.clone();
    *request.version_mut() = head.version;
    *request.headers_mut() = head.headers.clone();
    *request.extensions_mut() = head.extensions.clone();
    let place = usize::from(start.endpoint.0);
    let endpoint = drive.service().settings().endpoints.get(place);
    *request.uri_mut() = match endpoint.filter(|_| !keeps_uri) {
        Some(endpoint) => {
            request.headers_mut().remove(header::HOST);
            made_out(&head.uri, endpoint)
        }
        None => head.uri.clone(),
    };
    request
}

/// The URI at an endpoint: its scheme, its authority, its own path before the request's.
fn made_out(uri: &Uri, endpoint: &Endpoint) -> Uri {
    let target = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(match endpoint.scheme {
        Scheme::Http => UriScheme::HTTP,
        Scheme::Https => UriScheme::HTTPS,
    });
    parts.authority = Authority::try_from(endpoint.authority()).ok();
    parts.path_and_query = PathAndQuery::try_from(format!("{}{target}", endpoint.base_path)).ok();
    // Settings are checked for this, and the request's own target was one before.
    Uri::from_parts(parts).unwrap_or_else(|_| uri.clone())
}

/// Makes one attempt.
async fn land<S, R>(
    mut service: S,
    is_ready: bool,
    request: Request<AttemptBody>,
    is_grpc: bool,
    classify: Classify,
) -> Landed<Response<R>, Box<dyn StdError + Send + Sync>>
where
    S: Service<Request<AttemptBody>, Response = Response<R>>,
    S::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    if !is_ready && let Err(error) = poll_fn(|cx| service.poll_ready(cx)).await {
        return broke(error.into(), &classify);
    }
    match service.call(request).await {
        Ok(response) => {
            let (status, headers) = (response.status(), response.headers());
            let retry_after = hint(status, headers);
            let told = is_grpc && status == StatusCode::OK;
            let grpc = if told { grpc::outcome(headers) } else { None };
            Landed::Answer { status: status.as_u16(), retry_after, grpc, value: response }
        }
        Err(error) => broke(error.into(), &classify),
    }
}

fn broke<T>(
    error: Box<dyn StdError + Send + Sync>,
    classify: &Classify,
) -> Landed<T, Box<dyn StdError + Send + Sync>> {
    // A service has no error that is an answer: whatever it is, there is no response.
    let what = classify(&*error).what().unwrap_or(UNKNOWN);
    let details = Some(error.to_string());
    Landed::Broke { error, what, details }
}

/// How long the answer asks us to stay away, if it turns the call away.
fn hint(status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
    if !Hint::is_refusal(status.as_u16()) {
        return None;
    }
    let fields = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    Hint::of_refusal(fields, status.as_u16(), Clock::unix_millis()).map(|hint| hint.wait)
}

const UNKNOWN: mainstay_core::Break = mainstay_core::Break::new(
    mainstay_core::BreakKind::ResetBeforeHead,
    mainstay_core::Certainty::MaybeProcessed,
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_is_made_out_to_its_endpoint() {
        let endpoint = Endpoint {
            name: "b".into(),
            scheme: Scheme::Https,
            host: "::1".into(),
            port: 8443,
            base_path: "/v1".into(),
        };
        let check = |uri: &'static str| made_out(&Uri::from_static(uri), &endpoint).to_string();
        assert_eq!(check("http://a.example/orders?x=1"), "https://[::1]:8443/v1/orders?x=1");
        assert_eq!(check("/orders"), "https://[::1]:8443/v1/orders");
    }
}
