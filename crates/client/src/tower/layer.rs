//! The layer: what it is told, and what it makes.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use tower_layer::Layer;

use super::MainstayService;
use super::classify::classify;
use crate::library::{Failure, Upstream};

/// Puts Mainstay around a service: retries, budget, breaker, limits, deadlines and hedges, by the policy of an upstream.
///
/// The inner service takes requests with an [`AttemptBody`](super::AttemptBody); one that wants a body of its own gets it by tower's `map_request`:
///
/// ```no_run
/// # use std::convert::Infallible;
/// # use http_body_util::Full;
/// use hyper_util::client::legacy::Client;
/// use hyper_util::rt::TokioExecutor;
/// use mainstay::tower::{AttemptBody, Connector, MainstayLayer};
/// use mainstay::{Mainstay, UpstreamBuilder};
/// use tower_layer::Layer;
///
/// # fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let api = UpstreamBuilder::new("api").endpoint("https://a.example").endpoint("https://b.example");
/// let api = Mainstay::builder().upstream(api).build()?.upstream("api").expect("it was just given");
/// let inner: Client<_, AttemptBody> = Client::builder(TokioExecutor::new()).build(Connector::new());
/// let service = MainstayLayer::new(&api).layer(inner);
/// # Ok(()) }
/// ```
///
/// Each attempt's URI is made out to the endpoint that core has picked, unless the inner service itself knows where it goes
/// ([`MainstayLayer::keep_uri`]).
#[derive(Clone)]
pub struct MainstayLayer {
    pub(super) upstream: Upstream,
    pub(super) keeps_uri: bool,
    pub(super) classify: Classify,
}

pub(super) type Classify = Arc<dyn Fn(&(dyn StdError + 'static)) -> Failure + Send + Sync>;

impl MainstayLayer {
    /// A layer by the policy of this upstream. Clones, and all services that it makes, share its state.
    #[must_use]
    pub fn new(upstream: &Upstream) -> Self {
        Self { upstream: upstream.clone(), keeps_uri: false, classify: Arc::new(classify) }
    }

    /// Leaves URIs as they are: for a service that is bound to its server, as a tonic channel is. The upstream is then to have one
    /// endpoint, which stands for that server.
    #[must_use]
    pub fn keep_uri(self) -> Self {
        Self { keeps_uri: true, ..self }
    }

    /// Reads the inner service's errors in place of [`classify`].
    #[must_use]
    pub fn classify_by(
        self,
        classify: impl Fn(&(dyn StdError + 'static)) -> Failure + Send + Sync + 'static,
    ) -> Self {
        Self { classify: Arc::new(classify), ..self }
    }
}

impl<S> Layer<S> for MainstayLayer {
    type Service = MainstayService<S>;

    fn layer(&self, inner: S) -> MainstayService<S> {
        MainstayService::new(inner, self.clone())
    }
}

impl fmt::Debug for MainstayLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MainstayLayer")
            .field("upstream", &self.upstream.name())
            .field("keeps_uri", &self.keeps_uri)
            .finish_non_exhaustive()
    }
}
