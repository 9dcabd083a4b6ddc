//! What the model wants to be asked at the admin address, and what comes of it.

use mainstay_record::CallRecord;
use serde::Deserialize;

use super::order::Order;
use crate::top::asked::{Connection, Delivery, IncidentPage, Lane, Timeline};

/// A question, or an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// The record of a call.
    Call(String),
    Incident(String),
    /// The last hour of an endpoint.
    History {
        upstream: String,
        endpoint: String,
    },
    /// The last hour of an upstream and the states of its endpoints.
    Past(String),
    /// Lanes that are held, and stored writes.
    Stored,
    Delivery(String),
    Connections,
    Order(Order),
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Call(Box<CallRecord>),
    Incident(Box<IncidentPage>),
    Timeline(Box<Timeline>),
    Stored(Box<Stored>),
    Delivery(Box<DeliveryPage>),
    Connections(Vec<Connection>),
    /// The order is carried out.
    Done,
}

/// Stored writes, of each state the oldest.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Stored {
    pub(crate) lanes: Vec<Lane>,
    pub(crate) stopped: Listed,
    pub(crate) dead: Listed,
    pub(crate) waiting: Listed,
}

/// As many as are listed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Listed {
    pub(crate) those: Vec<Delivery>,
    /// Whether there are more.
    pub(crate) is_cut: bool,
}

/// `/outbox/ID`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
pub(crate) struct DeliveryPage {
    #[serde(flatten)]
    pub(crate) delivery: Delivery,
    #[serde(default)]
    pub(crate) history: Vec<Note>,
}

/// A call that was made for a delivery.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct Note {
    pub(crate) at: u64,
    pub(crate) took_ms: f64,
    pub(crate) call: String,
    pub(crate) attempts: u64,
    pub(crate) status: Option<u16>,
    pub(crate) code: Option<String>,
    pub(crate) certainty: Option<String>,
}

/// What was asked for, and how far that is.
#[derive(Clone, Debug)]
pub(crate) struct Fetched<T> {
    pub(crate) value: Option<T>,
    /// Why the last question had no answer.
    pub(crate) failed: Option<String>,
    /// When it was last asked, by our clock.
    asked_at: Option<u64>,
    is_out: bool,
}

impl<T> Default for Fetched<T> {
    fn default() -> Self {
        Self { value: None, failed: None, asked_at: None, is_out: false }
    }
}

impl<T> Fetched<T> {
    /// Whether it should be asked now: the last time is this long ago and isn't still out.
    pub(crate) fn is_due(&self, at: u64, every_ms: u64) -> bool {
        !self.is_out && self.asked_at.is_none_or(|asked| at >= asked + every_ms)
    }

    pub(crate) const fn ask(&mut self, at: u64) {
        self.asked_at = Some(at);
        self.is_out = true;
    }

    /// Asks again as soon as it can.
    pub(crate) const fn stale(&mut self) {
        self.asked_at = None;
    }

    pub(crate) fn answered(&mut self, answer: Result<T, String>) {
        self.is_out = false;
        match answer {
            Ok(value) => {
                self.value = Some(value);
                self.failed = None;
            }
            Err(why) => self.failed = Some(why),
        }
    }
}
