//! Progress: when what continues an answer was worth its price.

/// Counts what an answer brings, from its head on or since it was continued.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    least: u64,
    /// What came so far; none once that was enough, and was told.
    came: Option<u64>,
}

impl Progress {
    /// Of a download: so much of it that a peer doesn't just send it before each break.
    #[must_use]
    pub const fn of_download() -> Self {
        Self { least: PROGRESS_BYTES, came: Some(0) }
    }

    /// Of an event stream: each event is worth its reconnect.
    #[must_use]
    pub const fn of_events() -> Self {
        Self { least: 1, came: Some(0) }
    }

    /// So many bytes go to the application. True when that makes progress of what came; told once.
    pub fn on_bytes(&mut self, bytes: u64) -> bool {
        let Some(came) = &mut self.came else { return false };
        *came = came.saturating_add(bytes);
        let enough = *came >= self.least;
        if enough {
            self.came = None;
        }
        enough
    }

    /// The answer is continued by another one.
    pub fn begin(&mut self) {
        self.came = Some(0);
    }
}

/// Less may be what a peer sends before each break.
const PROGRESS_BYTES: u64 = 4 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_told_once_for_each_answer() {
        let mut progress = Progress::of_download();
        assert!(!progress.on_bytes(PROGRESS_BYTES - 1));
        assert!(progress.on_bytes(1));
        assert!(!progress.on_bytes(1_000_000));
        progress.begin();
        assert!(progress.on_bytes(PROGRESS_BYTES));
    }

    #[test]
    fn each_event_is_some() {
        let mut progress = Progress::of_events();
        assert!(!progress.on_bytes(0));
        assert!(progress.on_bytes(1));
    }
}
