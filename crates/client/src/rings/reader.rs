//! The task that reads a stream which is kept, whether or not an application is there.

use std::future::pending;
use std::sync::Arc;

use http_body_util::BodyExt;
use mainstay_core::heal::events::Duty;
use mainstay_core::{Break, BreakKind, Certainty, Timestamp};
use tokio::time::sleep_until;

use super::{Desk, Rings};
use crate::Clock;
use crate::driver::DeliveredBody;

/// Reads a stream until core says that nobody is waited for any longer.
pub(super) fn start(rings: Arc<Rings>, desk: Arc<Desk>, body: DeliveredBody) {
    let reading = Reading { rings, desk, body: Some(body) };
    tokio::spawn(reading.run());
}

struct Reading {
    rings: Arc<Rings>,
    desk: Arc<Desk>,
    /// The stream, with the call that it belongs to, until it has ended.
    body: Option<DeliveredBody>,
}

impl Reading {
    async fn run(mut self) {
        loop {
            match self.desk.duty() {
                Duty::Leave => return,
                Duty::Read { until } => self.read(until).await,
                Duty::Rest { until } => {
                    // What nobody can come back for is given up, and its call with it.
                    if self.body.is_some() && !self.desk.is_followed() {
                        self.give_up(Some(Break::new(BreakKind::ClientGone, Certainty::Processed)));
                    }
                    self.rest(until).await;
                }
            }
        }
    }

    async fn read(&mut self, until: Option<Timestamp>) {
        let Some(body) = &mut self.body else { return self.rest(until).await };
        let frame = tokio::select! {
            biased;
            () = self.desk.changed() => return,
            () = over(until) => return,
            frame = body.frame() => frame,
        };
        let broke = match frame {
            Some(Ok(frame)) => {
                // Trailers are of no use to a stream that may go on in other answers.
                if let Ok(piece) = frame.into_data() {
                    self.desk.take(&piece);
                }
                return;
            }
            Some(Err(error)) => Some(error.what),
            None => None,
        };
        self.give_up(broke);
    }

    fn give_up(&mut self, broke: Option<Break>) {
        self.body = None;
        self.desk.end(broke);
    }

    async fn rest(&mut self, until: Option<Timestamp>) {
        tokio::select! {
            biased;
            () = self.desk.changed() => {}
            () = over(until) => {}
        }
    }
}

async fn over(until: Option<Timestamp>) {
    match until {
        Some(at) => sleep_until(Clock::instant(at)).await,
        None => pending().await,
    }
}

/// However it ends, its runtime's end among that.
impl Drop for Reading {
    fn drop(&mut self) {
        self.rings.forget(&self.desk);
        self.desk.end(Some(Break::new(BreakKind::ClientGone, Certainty::Processed)));
    }
}
