//! What comes back instead of a connection or an answer.

use mainstay_core::Break;

/// A step that broke: connecting, or an exchange.
#[derive(Debug)]
pub struct Broken {
    /// What broke, and how far the request got.
    pub what: Break,
    /// Details for the record, never for decisions.
    pub details: Option<String>,
}
