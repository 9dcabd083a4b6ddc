//! One upstream, as the program knows it; and what runs for it in the background.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::Method;
use mainstay_config::settings::Upstream as Settings;
use mainstay_record::Recorder;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::{BuildError, Mainstay, RequestBuilder};
use crate::service::Service;

/// A handle to one upstream: requests by path alone, and calls of other kinds.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use mainstay::{Mainstay, UpstreamBuilder};
///
/// let orders = UpstreamBuilder::new("orders")
///     .endpoint("https://a.example/v1")
///     .endpoint("https://b.example/v1");
/// let client = Mainstay::builder().upstream(orders).build()?;
/// let orders = client.upstream("orders").expect("it was just given");
/// let response = orders.get("/orders/7").send().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Upstream {
    pub(crate) client: Mainstay,
    pub(crate) station: Arc<Station>,
}

impl Upstream {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.station.service.name()
    }

    /// What it is made of.
    #[doc(hidden)]
    #[must_use]
    pub fn service(&self) -> &Arc<Service> {
        &self.station.service
    }

    /// The names of its endpoints, in the order of the settings.
    pub fn endpoints(&self) -> impl Iterator<Item = &str> {
        self.station.service.settings().endpoints.iter().map(|endpoint| endpoint.name.as_str())
    }

    /// A GET of `path`, which begins with a slash and may have a query. The endpoint's own path, if it has one, goes before it.
    pub fn get(&self, path: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    /// A POST to `path`.
    pub fn post(&self, path: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::POST, path)
    }

    /// A request for `path`.
    pub fn request(&self, method: Method, path: impl AsRef<str>) -> RequestBuilder {
        RequestBuilder::within(self, method, path.as_ref())
    }

    /// How many attempts are out at it now.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        let view = self.station.service.upstream().view(crate::Clock::now());
        view.iter().map(|endpoint| endpoint.in_flight).sum()
    }
}

/// An upstream's service, watched over while it is in use.
#[derive(Debug)]
pub(crate) struct Station {
    pub(crate) service: Arc<Service>,
    watched: Arc<AtomicBool>,
    watch: Mutex<Option<AbortHandle>>,
}

/// There is no tokio runtime here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoRuntime;

impl Station {
    pub(super) fn new(
        settings: &Settings,
        recorder: &Arc<Recorder>,
    ) -> Result<Arc<Self>, BuildError> {
        let service = Service::new(settings, recorder, None)
            .map_err(|source| BuildError::of_target(&settings.name, source))?;
        Ok(Arc::new(Self { service, watched: Arc::default(), watch: Mutex::default() }))
    }

    /// Watches over the service, from the first call on: checks, statistics, connections that have had their time. A runtime that
    /// ends takes its task along, and the next call, on another one, begins anew.
    pub(crate) fn watch(&self) -> Result<(), NoRuntime> {
        if self.watched.load(Ordering::Relaxed) {
            return Ok(());
        }
        let runtime = Handle::try_current().map_err(|_| NoRuntime)?;
        if !self.watched.swap(true, Ordering::AcqRel) {
            let ends = Ends(Arc::clone(&self.watched));
            let watching = Arc::clone(&self.service).watch();
            let task = runtime.spawn(async move {
                let _ends = ends;
                watching.await;
            });
            *self.watch.lock() = Some(task.abort_handle());
        }
        Ok(())
    }
}

impl Drop for Station {
    fn drop(&mut self) {
        if let Some(task) = self.watch.get_mut() {
            task.abort();
        }
    }
}

/// Says that the task has ended, however it did.
struct Ends(Arc<AtomicBool>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}
