//! What a route says about uploads.

use core::time::Duration;

use super::Protocol;
use crate::check::{Check, Problems};

/// How uploads that break are continued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadSettings {
    /// What the upstream speaks.
    pub protocol: Protocol,
    /// How long an upload that broke may be without progress before it is given up. 100 ms to 1 h, default 30 s. Too low: a
    /// restart of the upstream is not outlived; too high: the application waits for what won't come.
    pub within: Duration,
}

impl Default for UploadSettings {
    fn default() -> Self {
        let protocol = Protocol::Ietf { interop_version: Protocol::INTEROP_VERSION };
        Self { protocol, within: Duration::from_secs(30) }
    }
}

impl Check for UploadSettings {
    fn check(&self, problems: &mut Problems) {
        let range = Duration::from_millis(100)..=Duration::from_secs(3600);
        problems.require(range.contains(&self.within), "within", self.within, "100ms to 1h");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Checked;

    #[test]
    fn the_time_has_bounds() {
        assert!(Checked::new(UploadSettings::default()).is_ok());
        let short = UploadSettings { within: Duration::ZERO, ..UploadSettings::default() };
        assert!(Checked::new(short).is_err());
    }
}
