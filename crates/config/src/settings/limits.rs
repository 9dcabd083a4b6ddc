//! What bounds the applications' side, so that no client can exhaust the proxy.

use std::path::PathBuf;
use std::time::Duration;

/// Bounds of the applications' side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request's head (request line and fields); 431 beyond. 1 KiB to 1 MiB, default 64 KiB.
    pub head_bytes: usize,
    /// Fields in a request's head; 431 beyond. 1 to 1,000, default 100.
    pub header_count: usize,
    /// Bytes of a request's body; 413 beyond. Default none.
    pub body_bytes: Option<u64>,
    /// From a request's first byte to the end of its head; 408 and close beyond. Default 10 s.
    pub head_timeout: Duration,
    /// How long a connection may be quiet between requests. Default 75 s.
    pub idle_timeout: Duration,
    /// Connections of applications at a time. 1 to 1,000,000, default 10,000.
    pub connections: usize,
    /// Bytes of request bodies kept for replay, all calls together. Default 256 MiB.
    pub replay_bytes_total: usize,
    /// Bytes of request bodies in files, all calls together. Default 8 GiB.
    pub spill_bytes_total: u64,
    /// Where those files are. Default the system's directory for temporary files.
    pub spill_dir: Option<PathBuf>,
    /// Bytes of answers that are held back before they are delivered, all calls together. Default 64 MiB.
    pub hold_bytes_total: u64,
    /// Event streams that are kept for applications that come back. 0 to 100,000, default 1,000.
    pub rings: usize,
    /// Bytes of their events. 64 KiB to 64 GiB, default 64 MiB.
    pub ring_bytes_total: u64,
    /// Bytes of answers that are kept for when an upstream fails, all routes together. 64 KiB to 64 GiB, default 8 MiB.
    pub stale_bytes_total: usize,
    /// Bytes of an upstream's answer head. Default 64 KiB.
    pub answer_head_bytes: usize,
    /// Streams at a time on one HTTP/2 connection. Default 100.
    pub http2_streams: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 64 * 1024,
            header_count: 100,
            body_bytes: None,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            connections: 10_000,
            replay_bytes_total: 256 * 1024 * 1024,
            spill_bytes_total: 8 * 1024 * 1024 * 1024,
            spill_dir: None,
            hold_bytes_total: 64 * 1024 * 1024,
            rings: 1000,
            ring_bytes_total: 64 * 1024 * 1024,
            stale_bytes_total: 8 * 1024 * 1024,
            answer_head_bytes: 64 * 1024,
            http2_streams: 100,
        }
    }
}
