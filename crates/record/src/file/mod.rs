//! Records on disk, one JSON object a line, for whoever asks days later.
//!
//! A thread of its own writes them: a slow or full disk never holds up a call. What can't be written is counted, told
//! once, and tried again with the lines that come later. The size on disk is bounded by rotation (`rotation`), and a
//! line that a crash cut short is ended when the file is opened again, so that every later line can be read.

mod rotation;
mod writer;

use std::path::PathBuf;

pub use rotation::rotated;
pub(crate) use rotation::{Appended, append};
pub(crate) use writer::RecordWriter;

/// Which broken calls are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RecordCalls {
    /// All in which something broke. Default.
    #[default]
    Broken,
    /// Those only of which the application felt it: no answer, a broken one, a broken body.
    Failed,
}

/// Where records go, and how much of the disk they may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordFile {
    /// The file that is appended to.
    pub path: PathBuf,
    /// How large it may become before it is rotated. Default 64 MiB.
    pub size_bytes: u64,
    /// How many rotated ones are kept. Default 4.
    pub files: u32,
    /// Which calls are written. Default all broken ones.
    pub calls: RecordCalls,
}

/// What is kept of broken calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordsOptions {
    /// Broken calls that are kept in memory, and as many failed ones. Default 1000, about two megabytes.
    pub memory: usize,
    /// The file, if there is to be one. Default none.
    pub file: Option<RecordFile>,
}

/// How writing goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordsStatus {
    /// The file.
    pub path: PathBuf,
    /// Records written by this process, with these settings.
    pub written: u64,
    /// Records that couldn't be.
    pub dropped: u64,
    /// Why the last one couldn't, while that is so.
    pub error: Option<String>,
}

impl Default for RecordsOptions {
    fn default() -> Self {
        Self { memory: 1_000, file: None }
    }
}
