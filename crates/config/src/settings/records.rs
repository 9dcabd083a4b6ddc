//! What is kept of calls in which something broke.

use std::path::PathBuf;

/// The records of broken calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Records {
    /// Broken calls that are kept in memory, and as many failed ones. 1 to 100,000, default 1,000.
    pub memory: usize,
    /// The file that records are appended to, a JSON object a line. Default none.
    pub file: Option<PathBuf>,
    /// Bytes of the file before it is rotated. Default 64 MiB.
    pub file_bytes: u64,
    /// Rotated files that are kept. Default 4.
    pub files: u32,
    /// Which calls are written.
    pub calls: RecordedCalls,
}

/// Which calls are written to the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordedCalls {
    /// All in which something broke. Default.
    Broken,
    /// Those only of which the application felt it.
    Failed,
}

impl Default for Records {
    fn default() -> Self {
        Self {
            memory: 1_000,
            file: None,
            file_bytes: 64 << 20,
            files: 4,
            calls: RecordedCalls::Broken,
        }
    }
}
