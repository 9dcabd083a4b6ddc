//! Benchmarks beside other programs.

/// CPU per request, latency and memory beside HAProxy and nginx.
pub(crate) fn proxy(_options: &[&str]) -> Result<(), String> {
    crate::setup::packages(&["haproxy", "nginx", "wrk"])
}
