//! Hearing what happens to calls, as it happens.

use std::fmt;
use std::sync::Arc;

use mainstay_core::{EndpointId, Event};
use mainstay_record::CallId;

use crate::service::Service;

/// Hears each event of each call of a client: attempts with their reasons, breaks with their certainty, waits, what saved the call, breakers
/// that a call opened. It decides nothing.
///
/// It is told in the middle of a call, on the thread that runs it, so that it is to be quick and mustn't block.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use mainstay::{CallEvent, Mainstay, Observed, Observer};
///
/// #[derive(Default)]
/// struct Breaks(AtomicU64);
///
/// impl Observer for Breaks {
///     fn on_event(&self, _call: &Observed<'_>, event: &CallEvent) {
///         if let CallEvent::AttemptFailed { .. } = event {
///             self.0.fetch_add(1, Ordering::Relaxed);
///         }
///     }
/// }
///
/// let client = Mainstay::builder().observer(Breaks::default()).build()?;
/// # Ok::<(), mainstay::BuildError>(())
/// ```
pub trait Observer: Send + Sync + 'static {
    /// Something happened to a call.
    fn on_event(&self, call: &Observed<'_>, event: &Event);
}

/// The call that an event is of.
#[derive(Debug)]
pub struct Observed<'a> {
    pub(crate) id: CallId,
    pub(crate) service: &'a Service,
}

impl Observed<'_> {
    /// Its id, as in records.
    #[must_use]
    pub const fn call_id(&self) -> CallId {
        self.id
    }

    /// The name of its upstream.
    #[must_use]
    pub fn upstream(&self) -> &str {
        self.service.name()
    }

    /// The name of an endpoint that an event speaks of.
    #[must_use]
    pub fn endpoint(&self, endpoint: EndpointId) -> &str {
        self.service.upstream().endpoint_name(endpoint)
    }
}

/// An observer, and the service whose endpoints it is told of.
#[derive(Clone)]
pub(crate) struct Hears {
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) service: Arc<Service>,
}

impl fmt::Debug for Hears {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hears").field("service", self.service.name()).finish_non_exhaustive()
    }
}

/// Tells events by the crate `tracing`, with the target `mainstay`: breaks, and calls without an answer, at the level of warnings;
/// waits, further attempts and what saved a call as information; everything else for debugging.
#[cfg(feature = "tracing")]
#[derive(Clone, Copy, Debug, Default)]
pub struct TracingObserver;

#[cfg(feature = "tracing")]
impl Observer for TracingObserver {
    fn on_event(&self, call: &Observed<'_>, event: &Event) {
        use mainstay_core::event::Saved;
        let (id, upstream) = (call.call_id(), call.upstream());
        match *event {
            Event::AttemptFailed { attempt, endpoint, what, took } => tracing::warn!(
                target: "mainstay", call = %id, upstream, attempt = attempt.0, endpoint = call.endpoint(endpoint),
                code = what.kind.code(), certainty = what.certainty.code(), ?took, "attempt broke"
            ),
            Event::CallFailed { kind, certainty, attempts, took } => tracing::warn!(
                target: "mainstay", call = %id, upstream, code = kind.code(), certainty = certainty.code(), attempts, ?took,
                "call without an answer"
            ),
            Event::BodyFailed { endpoint, kind } => tracing::warn!(
                target: "mainstay", call = %id, upstream, endpoint = call.endpoint(endpoint), code = kind.code(), "body broke"
            ),
            Event::BreakerOpened { endpoint, open_for, .. } => tracing::warn!(
                target: "mainstay", call = %id, upstream, endpoint = call.endpoint(endpoint), ?open_for, "breaker opened"
            ),
            Event::RetryScheduled { delay, hinted } => tracing::info!(
                target: "mainstay", call = %id, upstream, ?delay, hinted, "another attempt is due"
            ),
            Event::CallDelivered { status, attempts, saved, took, .. }
                if saved != Saved::NotNeeded =>
            {
                tracing::info!(
                    target: "mainstay", call = %id, upstream, status, attempts, ?saved, ?took, "call saved"
                )
            }
            other => {
                tracing::debug!(target: "mainstay", call = %id, upstream, event = other.code(), "{other:?}")
            }
        }
    }
}
