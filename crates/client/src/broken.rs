//! What comes back instead of a connection or an answer.

use std::borrow::Cow;

use mainstay_core::{Break, BreakKind, Certainty};
use mainstay_record::Step;

/// A step that broke: connecting, or an exchange.
#[derive(Debug)]
pub struct Broken {
    /// What broke, and how far the request got.
    pub what: Break,
    /// Details for the record, never for decisions.
    pub details: Option<String>,
    /// The steps that led there, for the record.
    pub steps: Vec<Step>,
    /// Why the certainty is what it is, where more speaks for it than the step in which it broke.
    pub evidence: Option<Cow<'static, str>>,
}

impl Broken {
    /// A broken step of which only this is known.
    #[must_use]
    pub fn new(kind: BreakKind, certainty: Certainty) -> Self {
        Break::new(kind, certainty).into()
    }

    /// With what an error said.
    #[must_use]
    pub fn details(self, details: impl Into<String>) -> Self {
        Self { details: Some(details.into()), ..self }
    }
}

impl From<Break> for Broken {
    fn from(what: Break) -> Self {
        Self { what, details: None, steps: Vec::new(), evidence: None }
    }
}
