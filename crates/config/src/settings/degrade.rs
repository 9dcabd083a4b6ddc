//! What the application gets when its call brought nothing good.

use std::path::PathBuf;

use mainstay_core::degrade::{FallbackSettings, StaleSettings};

/// Good answers are kept, and given once more when none comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stale {
    /// Whether and when.
    pub policy: StaleSettings,
    /// Bytes of an answer's body that is kept. 1 KiB to 16 MiB, default 256 KiB.
    pub answer_bytes: usize,
}

impl Default for Stale {
    fn default() -> Self {
        Self { policy: StaleSettings::default(), answer_bytes: 256 * 1024 }
    }
}

/// Of the room for kept answers, one part in so many is for those that are just arriving: what doesn't fit there is never kept.
pub const STALE_ARRIVING_SHARE: usize = 4;

/// A fixed answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// When it is given.
    pub policy: FallbackSettings,
    /// Its status. 200 to 599, default 200.
    pub status: u16,
    /// What its body is. Default `application/json`.
    pub content_type: Option<String>,
    /// Further fields: names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// Its body; `None` for an empty one, or that of the file.
    pub body: Option<String>,
    /// The file that is its body. Read when the settings come into use.
    pub file: Option<PathBuf>,
}

impl Default for Fallback {
    fn default() -> Self {
        Self {
            policy: FallbackSettings::default(),
            status: 200,
            content_type: Some("application/json".into()),
            headers: Vec::new(),
            body: None,
            file: None,
        }
    }
}
