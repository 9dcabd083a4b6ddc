//! What spans say of a request, beside what records say.

use mainstay_core::Timestamp;

/// Made when the call is over, of a call that is told as spans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestFacts {
    /// Who asked for it.
    pub origin: Origin,
    /// Host and port that were asked for.
    pub host: Option<String>,
    /// The protocol in which it came.
    pub version: http::Version,
    /// Its `tracestate`.
    pub state: Option<String>,
    /// When the call was over, its body included.
    pub ended_at: Timestamp,
}

/// Where a call comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// An application, over a listener.
    Listener {
        /// Whether over TLS.
        secure: bool,
    },
    /// The outbox: nobody waits for it.
    Outbox,
    /// The program itself, which uses the client as a library.
    #[default]
    Program,
}
