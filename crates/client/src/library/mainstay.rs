//! The client itself.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, Uri, header};
use mainstay_config::settings::{HostRewrite, Limits};
use mainstay_core::{CallPolicy, Checked};
use mainstay_record::{Counts, Recorder};

use super::observe::{Hears, Observer};
use super::places::{Places, Way};
use super::request::Destination;
use super::upstream::Station;
use super::{BuildError, Builder, Error, Request, RequestBuilder, Response, Upstream};
use crate::body::Source;
use crate::driver::{Answer, Client, Unanswered};
use crate::service::{Plan, Service};
use crate::wishes::{AttemptLog, Wishes};

/// A client for HTTP that survives broken connections: it tries again where that is safe, within a budget, elsewhere if need be;
/// leaves alone what is down; and says what broke and how far a request got.
///
/// Cheap to clone; clones share everything. It needs a tokio runtime with time and I/O enabled, of either flavour, and starts one
/// task per upstream in use, which ends with the last clone.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let client = mainstay::Mainstay::new();
/// let response = client.get("https://api.example/orders/7").send().await?;
/// println!("{} after {} attempts", response.status(), response.attempts().len());
/// println!("{}", response.text().await?);
/// # Ok(()) }
/// ```
///
/// What reqwest does and this doesn't: follow redirects, keep cookies, decompress, use a system's proxy.
#[derive(Clone, Debug)]
pub struct Mainstay(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) places: Places,
    pub(super) client: Client,
    pub(super) recorder: Arc<Recorder>,
    headers: HeaderMap,
    pub(super) observer: Option<Arc<dyn Observer>>,
    #[cfg(feature = "testing")]
    pub(super) script: Option<crate::testing::Script>,
    #[cfg(feature = "courier")]
    pub(super) outbox: mainstay_config::settings::Outbox,
}

impl Inner {
    pub(super) fn new(
        places: Places,
        limits: &Limits,
        recorder: Arc<Recorder>,
        headers: HeaderMap,
    ) -> Self {
        let dir = limits.spill_dir.clone().unwrap_or_else(std::env::temp_dir);
        let client = Client::new(limits.replay_bytes_total)
            .holding(limits.hold_bytes_total)
            .keeping_streams(limits.rings, limits.ring_bytes_total)
            .with_disk(dir, limits.spill_bytes_total);
        Self {
            places,
            client,
            recorder,
            headers,
            observer: None,
            #[cfg(feature = "testing")]
            script: None,
            #[cfg(feature = "courier")]
            outbox: mainstay_config::settings::Outbox::default(),
        }
    }
}

impl Inner {
    /// Those that each request has, where it doesn't say them itself.
    fn add_default_headers(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.headers {
            if !headers.contains_key(name) {
                headers.insert(name.clone(), value.clone());
            }
        }
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").field("places", &self.places).finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.client.close_streams();
    }
}

impl Default for Mainstay {
    fn default() -> Self {
        Self::new()
    }
}

impl Mainstay {
    /// A client without a policy of its own: each host gets an upstream by the defaults.
    #[must_use]
    pub fn new() -> Self {
        let recorder = Recorder::new();
        // Without upstreams there is nothing that could be wrong.
        let template = super::UpstreamBuilder::new("other");
        let places = Places::none(template, &recorder);
        Self::of(Inner::new(places, &Limits::default(), recorder, HeaderMap::new()))
    }

    /// Says what the client is to know before it is made.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// A client by a policy file, the very one that `mainstay run` takes; what that says about listeners, the admin address, log
    /// and outbox is left aside.
    ///
    /// # Errors
    ///
    /// [`BuildError`] with everything that is wrong with the file, each with its line.
    pub fn from_config(path: impl AsRef<Path>) -> Result<Self, BuildError> {
        Self::builder().config_file(path.as_ref()).build()
    }

    /// A client by a text in the form of a policy file.
    ///
    /// ```
    /// let client = mainstay::Mainstay::from_config_text(
    ///     "[upstream.orders]\nendpoints = [\"https://a.example\", \"https://b.example\"]",
    /// )?;
    /// assert_eq!(client.upstream("orders").unwrap().endpoints().count(), 2);
    /// # Ok::<(), mainstay::BuildError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As with [`Mainstay::from_config`].
    pub fn from_config_text(text: &str) -> Result<Self, BuildError> {
        Self::builder().config_text(text, "config").build()
    }

    pub(super) fn of(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// A GET of `url`. What is wrong with the URL is told when the request is sent.
    pub fn get(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::GET, url)
    }

    /// A HEAD of `url`.
    pub fn head(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::HEAD, url)
    }

    /// A POST to `url`. It is made once, unless it provably didn't arrive, or is [declared](RequestBuilder::idempotency_key) to be
    /// safe to repeat.
    pub fn post(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::POST, url)
    }

    /// A PUT to `url`.
    pub fn put(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::PUT, url)
    }

    /// A PATCH of `url`, of which holds what holds of a [POST](Mainstay::post).
    pub fn patch(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::PATCH, url)
    }

    /// A DELETE of `url`.
    pub fn delete(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::DELETE, url)
    }

    /// A request to `url`.
    pub fn request(&self, method: Method, url: impl AsRef<str>) -> RequestBuilder {
        RequestBuilder::to(self.clone(), method, url.as_ref())
    }

    /// The upstream of this name.
    #[must_use]
    pub fn upstream(&self, name: &str) -> Option<Upstream> {
        let mut stations = self.0.places.stations.iter();
        let station = stations.find(|station| **station.service.name() == *name)?;
        Some(Upstream { client: self.clone(), station: Arc::clone(station) })
    }

    /// Sends a request, and gives the head of its answer; the body comes as it is read.
    ///
    /// Dropping the future cancels the call: whatever it had taken (a place among those in flight, of the budget, in a line) is
    /// given back at once.
    ///
    /// # Errors
    ///
    /// [`Error`] when there is no answer: it says what broke and how far the request got, and gives the request back if it was not
    /// sent. An answer with a status of failure is an answer.
    pub async fn execute(&self, request: Request) -> Result<Response, Error> {
        let Request { method, destination, mut headers, body, timeout, key, idempotent } = request;
        let inner = &*self.0;
        let found = match &destination {
            Destination::Url(url) => inner.places.find(&method, url, &headers),
            Destination::Path(upstream, path) => {
                inner.places.within(&upstream.station, &method, path, &headers)
            }
        };
        let way = match found {
            Ok(way) => way,
            Err(nowhere) => {
                let request =
                    Request { method, destination, headers, body, timeout, key, idempotent };
                return Err(Error::nowhere(nowhere, request));
            }
        };
        if !self.is_scripted() && way.station.watch().is_err() {
            let request = Request { method, destination, headers, body, timeout, key, idempotent };
            return Err(Error::no_runtime().giving_back(request));
        }
        let plan = in_time(&way.plan, timeout);
        inner.add_default_headers(&mut headers);
        let url = destination.url();
        let Way { station, below, .. } = way;
        if plan.host == HostRewrite::Keep && !headers.contains_key(header::HOST) {
            set_host(&mut headers, url);
        }
        if let Some(key) = &key {
            let name = plan.idempotency_headers.first().cloned();
            headers.insert(name.unwrap_or(IDEMPOTENCY_KEY), key.clone());
        }
        let mut head = http::Request::new(()).into_parts().0;
        (head.method, head.uri, head.headers) =
            (method, below.unwrap_or_else(|| url.clone()), headers);
        let (source, again, broken_body) = body.split();
        let log = Arc::new(AttemptLog::heard_by(self.hears(&station.service)));
        let wishes = Wishes {
            log: Some(Arc::clone(&log)),
            time: timeout,
            idempotent: idempotent || key.is_some(),
        };
        let answered = self.make(&plan, head, source, wishes).await;
        match answered {
            Ok(answer) => Ok(Response::new(answer, log, Arc::clone(&station.service))),
            Err(unanswered) => {
                let returned = log.take_back().zip(again).map(|(head, body)| Request {
                    method: head.method,
                    destination,
                    headers: head.headers,
                    body,
                    timeout,
                    key,
                    idempotent,
                });
                let broken_body = broken_body.and_then(|error| error.lock().take());
                Err(Error::unanswered(&station.service, unanswered, &log, returned, broken_body))
            }
        }
    }

    /// Makes the call, or plays it.
    async fn make(
        &self,
        plan: &Plan,
        head: http::request::Parts,
        source: Source,
        wishes: Wishes,
    ) -> Result<Answer, Unanswered> {
        #[cfg(feature = "tracing")]
        {
            use tracing::Instrument;
            let upstream: &str = plan.service.name();
            let span = tracing::info_span!(target: "mainstay", "call", upstream, method = %head.method, path = head.uri.path());
            return self.make_unseen(plan, head, source, wishes).instrument(span).await;
        }
        #[cfg(not(feature = "tracing"))]
        self.make_unseen(plan, head, source, wishes).await
    }

    async fn make_unseen(
        &self,
        plan: &Plan,
        head: http::request::Parts,
        source: Source,
        wishes: Wishes,
    ) -> Result<Answer, Unanswered> {
        let inner = &*self.0;
        #[cfg(feature = "testing")]
        if let Some(script) = &inner.script {
            return crate::testing::run(script, inner.client.store(), plan, head, source, wishes)
                .await;
        }
        inner.client.wishing(wishes).call(plan, head, source).await
    }

    /// Who hears of the calls of a service.
    pub(crate) fn hears(&self, service: &Arc<Service>) -> Option<Hears> {
        let observer = self.0.observer.as_ref().map(Arc::clone)?;
        Some(Hears { observer, service: Arc::clone(service) })
    }

    /// What a script has for an attempt at this endpoint that the program makes itself.
    pub(crate) fn staged(&self, endpoint: &str) -> super::drive::Staged {
        #[cfg(feature = "testing")]
        if let Some(script) = &self.0.script {
            return script.staged(endpoint);
        }
        let _ = endpoint;
        super::drive::Staged::nothing()
    }

    /// Whether a script takes the place of the network: then there is nothing to watch over.
    pub(crate) fn is_scripted(&self) -> bool {
        #[cfg(feature = "testing")]
        return self.0.script.is_some();
        #[cfg(not(feature = "testing"))]
        false
    }

    /// What the policy file says of its outbox.
    #[cfg(feature = "courier")]
    pub(crate) fn outbox_settings(&self) -> &mainstay_config::settings::Outbox {
        &self.0.outbox
    }

    /// Which way stored writes go.
    #[cfg(feature = "courier")]
    pub(crate) fn stored_ways(&self) -> &Places {
        &self.0.places
    }

    /// Makes the call for a stored write. The client's own fields join it here, so that what is secret in them isn't stored.
    #[cfg(feature = "courier")]
    pub(crate) async fn deliver(
        &self,
        plan: &Plan,
        mut head: http::request::Parts,
        source: Source,
    ) -> Result<Answer, Unanswered> {
        let inner = &*self.0;
        inner.add_default_headers(&mut head.headers);
        #[cfg(feature = "testing")]
        if let Some(script) = &inner.script {
            let (store, wishes) = (inner.client.store(), Wishes::default());
            return crate::testing::run(script, store, plan, head, source, wishes).await;
        }
        inner.client.call_from(mainstay_record::Origin::Outbox, plan, head, source).await
    }

    /// The plan for calls of an upstream that aren't HTTP: that of its first route.
    pub(super) fn any_plan(&self, station: &Arc<Station>) -> Option<Arc<Plan>> {
        self.0.places.any(station)
    }

    /// The plan for a request of an upstream, whatever made it.
    #[cfg(feature = "tower")]
    pub(crate) fn plan_within(
        &self,
        upstream: &Upstream,
        head: &http::request::Parts,
    ) -> Option<Arc<Plan>> {
        let places = &self.0.places;
        let way = places.within(&upstream.station, &head.method, &head.uri, &head.headers);
        way.ok().map(|way| way.plan)
    }

    /// Where bodies of requests are kept.
    #[cfg(feature = "tower")]
    pub(crate) fn store(&self) -> &crate::body::Store {
        self.0.client.store()
    }

    /// What hears of its calls.
    #[doc(hidden)]
    #[must_use]
    pub fn recorder(&self) -> &Arc<Recorder> {
        &self.0.recorder
    }

    /// What was counted of all calls until now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.0.recorder.counts()
    }
}

/// The plan, with more time where more is wanted than it gives. Less is told to the driver.
fn in_time(plan: &Arc<Plan>, timeout: Option<Duration>) -> Arc<Plan> {
    let Some(longer) = timeout.filter(|timeout| *timeout > plan.policy.total_timeout) else {
        return Arc::clone(plan);
    };
    let policy = CallPolicy { total_timeout: longer.min(LONGEST), ..(**plan.policy).clone() };
    match Checked::new(policy) {
        Ok(policy) => Arc::new(Plan { policy: Arc::new(policy), ..(**plan).clone() }),
        // More time breaks no rule.
        Err(_) => Arc::clone(plan),
    }
}

fn set_host(headers: &mut HeaderMap, url: &Uri) {
    let host = url.authority().and_then(|host| HeaderValue::try_from(host.as_str()).ok());
    if let Some(host) = host {
        headers.insert(header::HOST, host);
    }
}

/// What a call may take at most, by the rules of the settings.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// The field that carries a key where the settings name none.
const IDEMPOTENCY_KEY: header::HeaderName = header::HeaderName::from_static("idempotency-key");
