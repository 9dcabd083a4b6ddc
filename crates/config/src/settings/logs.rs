//! The log of calls, and that of requests.

use std::path::PathBuf;

/// How lines of the log look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// `key=value` pairs, for people. Default.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// How lines of the access log look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccessFormat {
    /// As Apache and nginx have it. Default.
    #[default]
    Combined,
    /// One JSON object a line.
    Json,
}

/// The access log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLog {
    /// The file that lines are appended to; `-` is standard output. Default none: no access log.
    pub file: Option<PathBuf>,
    /// How lines look.
    pub format: AccessFormat,
    /// Whether `Referer`, without its query, and `User-Agent` are in them. Default false.
    pub headers: bool,
    /// Bytes of the file before it is rotated. Default 64 MiB.
    pub file_bytes: u64,
    /// Rotated files that are kept. Default 4.
    pub files: u32,
}

impl Default for AccessLog {
    fn default() -> Self {
        Self {
            file: None,
            format: AccessFormat::default(),
            headers: false,
            file_bytes: 64 << 20,
            files: 4,
        }
    }
}
