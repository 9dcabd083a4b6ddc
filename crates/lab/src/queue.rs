//! A server of limited capacity: so many at once, so many waiting, the rest turned away.
//!
//! Work goes on for a client that has given up, as in most real servers. With `collapse` the service time grows
//! with the queue; together with clients that retry, this is the metastable failure (Bronson et al., HotOS 2021).

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::fault::LONGEST;

#[derive(Debug)]
pub(crate) struct Queue {
    places: Semaphore,
    concurrency: u32,
    waiting: AtomicU32,
    bound: u32,
    service: Duration,
    collapse: bool,
}

/// The queue was full.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Queue {
    pub(crate) fn new(concurrency: u32, service: Duration, bound: u32, collapse: bool) -> Self {
        // A fault made in code may hold anything; nothing may hang or overflow for it.
        let (concurrency, service) = (concurrency.max(1), service.min(LONGEST));
        let places = Semaphore::new(concurrency as usize);
        Self { places, concurrency, waiting: AtomicU32::new(0), bound, service, collapse }
    }

    /// Waits for a place, then for as long as the work takes.
    pub(crate) async fn serve(&self) -> Result<(), Full> {
        let place = match self.places.try_acquire() {
            Ok(place) => Ok(place),
            Err(_) => {
                let _waiting = self.wait()?;
                self.places.acquire().await
            }
        };
        let slower = if self.collapse { self.waiting.load(Ordering::Relaxed) } else { 0 };
        let factor = 1.0 + f64::from(slower) / f64::from(self.concurrency);
        tokio::time::sleep(self.service.mul_f64(factor)).await;
        drop(place);
        Ok(())
    }

    fn wait(&self) -> Result<Waiting<'_>, Full> {
        self.waiting
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| {
                (n < self.bound).then_some(n + 1)
            })
            .map_err(|_| Full)?;
        Ok(Waiting(&self.waiting))
    }
}

/// One that waits; gives its place in the queue back whatever happens.
struct Waiting<'a>(&'a AtomicU32);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
