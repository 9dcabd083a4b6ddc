//! The clients. Each sends a GET and reads the whole answer, as its users would.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use mainstay::tower::{AttemptBody, MainstayLayer};
use mainstay::{Mainstay, UpstreamBuilder};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};
use reqwest_retry::RetryTransientMiddleware;
use reqwest_retry::policies::ExponentialBackoff;
use tokio::runtime::Runtime;
use tokio::task::LocalSet;
use tower::retry::backoff::{Backoff, ExponentialBackoffMaker, MakeBackoff};
use tower::retry::budget::{Budget, TpsBudget};
use tower::util::rng::HasherRng;
use tower::{BoxError, Layer, Service, ServiceBuilder, ServiceExt};
use tower_resilience::circuitbreaker::CircuitBreakerLayer;
use tower_resilience::retry::RetryLayer;
use tower_resilience::timelimiter::TimeLimiterLayer;

/// A client, and how so many calls are made by it, so many at once.
pub(crate) struct Named {
    pub(crate) name: &'static str,
    pub(crate) run: Box<dyn Fn(&Runtime, usize, usize)>,
}

type Body = Full<Bytes>;
type Hyper = Client<HttpConnector, Body>;

/// All of them. Made on a runtime, which some want.
pub(crate) fn all(origin: SocketAddr) -> Vec<Named> {
    let url: Rc<str> = format!("http://{origin}/").into();
    vec![
        named("hyper-util", &url, hyper(), |client, url| async move {
            let response = client.request(get(&url)).await.expect("an answer");
            whole(response).await
        }),
        named("hyper-util, tower: retry, budget, timeout", &url, with_tower(), |client, url| async move {
            let response = client.oneshot(get(&url)).await.expect("an answer");
            whole(response).await
        }),
        named("hyper-util, tower-resilience: retry, breaker, time limit", &url, with_resilience(), |client, url| async move {
            let response = client.oneshot(get(&url)).await.ok().expect("an answer");
            whole(response).await
        }),
        named("reqwest", &url, reqwest::Client::new(), |client, url| async move {
            let response = client.get(&*url).send().await.expect("an answer");
            response.bytes().await.expect("a body").len()
        }),
        named("reqwest, reqwest-retry", &url, with_middleware(), |client, url| async move {
            let response = client.get(&*url).send().await.expect("an answer");
            response.bytes().await.expect("a body").len()
        }),
        named("mainstay", &url, mainstay(&url), |client, url| async move {
            let response = client.get(&*url).send().await.expect("an answer");
            response.bytes().await.expect("a body").len()
        }),
        named("hyper-util, mainstay's layer", &url, with_layer(&url), |client, url| async move {
            let response = client.oneshot(get(&url)).await.ok().expect("an answer");
            response.into_body().collect().await.ok().expect("a body").to_bytes().len()
        }),
    ]
}

fn named<C, F>(name: &'static str, url: &Rc<str>, client: C, call: fn(C, Rc<str>) -> F) -> Named
where
    C: Clone + 'static,
    F: Future<Output = usize> + 'static,
{
    let url = Rc::clone(url);
    let run = move |runtime: &Runtime, calls: usize, at_once: usize| {
        let local = LocalSet::new();
        for place in 0..at_once {
            let (client, url) = (client.clone(), Rc::clone(&url));
            let mine = calls / at_once + usize::from(place < calls % at_once);
            local.spawn_local(async move {
                for _ in 0..mine {
                    assert_eq!(call(client.clone(), Rc::clone(&url)).await, 100);
                }
            });
        }
        runtime.block_on(local);
    };
    Named { name, run: Box::new(run) }
}

fn get(url: &str) -> Request<Body> {
    Request::get(url).body(Body::default()).expect("a request")
}

async fn whole(response: Response<Incoming>) -> usize {
    response.into_body().collect().await.expect("a body").to_bytes().len()
}

/// As its users set it up, with a timer for idle connections.
fn hyper() -> Hyper {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector)
}

/// tower's own pieces: a timeout for each attempt, three attempts with backoff, within a budget.
fn with_tower() -> impl Service<Request<Body>, Response = Response<Incoming>, Error = BoxError, Future: 'static> + Clone
{
    let backoff = ExponentialBackoffMaker::new(
        Duration::from_millis(50),
        Duration::from_secs(20),
        0.99,
        HasherRng::default(),
    );
    let policy = Again {
        left: 2,
        budget: std::sync::Arc::new(TpsBudget::default()),
        backoff: backoff.expect("a backoff").make_backoff(),
    };
    ServiceBuilder::new().retry(policy).timeout(Duration::from_secs(10)).service(hyper())
}

/// Retries what broke, and server errors.
#[derive(Clone)]
struct Again<B> {
    left: u8,
    budget: std::sync::Arc<TpsBudget>,
    backoff: B,
}

impl<B: Backoff> tower::retry::Policy<Request<Body>, Response<Incoming>, BoxError> for Again<B> {
    type Future = B::Future;

    fn retry(
        &mut self,
        _: &mut Request<Body>,
        result: &mut Result<Response<Incoming>, BoxError>,
    ) -> Option<B::Future> {
        match result {
            Ok(response) if !response.status().is_server_error() => {
                self.budget.deposit();
                None
            }
            _ if self.left > 0 && self.budget.withdraw() => {
                self.left -= 1;
                Some(self.backoff.next_backoff())
            }
            _ => None,
        }
    }

    fn clone_request(&mut self, request: &Request<Body>) -> Option<Request<Body>> {
        Some(request.clone())
    }
}

/// tower-resilience's: a time limit, a breaker, and three attempts with backoff.
fn with_resilience() -> impl Service<Request<Body>, Response = Response<Incoming>, Future: 'static> + Clone {
    let limit = TimeLimiterLayer::builder().timeout_duration(Duration::from_secs(10)).build();
    let breaker = CircuitBreakerLayer::builder().failure_rate_threshold(0.5).build();
    let again = RetryLayer::builder().max_attempts(3).exponential_backoff(Duration::from_millis(50));
    let service = breaker.expect("a breaker").layer(limit.layer(hyper()));
    again.build().layer(service)
}

fn with_middleware() -> ClientWithMiddleware {
    let policy = ExponentialBackoff::builder().build_with_max_retries(2);
    let again = RetryTransientMiddleware::new_with_policy(policy);
    ClientBuilder::new(reqwest::Client::new()).with(again).build()
}

/// Its defaults: everything is on.
fn mainstay(url: &str) -> Mainstay {
    let api = UpstreamBuilder::new("api").endpoint(url);
    Mainstay::builder().upstream(api).build().expect("the settings are right")
}

fn with_layer(url: &str) -> impl Service<Request<Body>, Response = Response<impl http_body::Body + use<>>, Future: 'static> + Clone + use<>
{
    let api = mainstay(url).upstream("api").expect("it was just given");
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let inner: Client<_, AttemptBody> =
        Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector);
    MainstayLayer::new(&api).layer(inner)
}
