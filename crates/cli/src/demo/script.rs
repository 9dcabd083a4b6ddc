//! What breaks when.

use std::time::Duration;

use mainstay_config::Settings;
use mainstay_lab::{Lab, Timeline};

use crate::exit::{Failure, text};

/// The demo's servers.
pub(super) const SERVERS: [&str; 3] = ["a", "b", "c"];

/// One act: from its share of the time on, a server does this.
struct Act {
    /// Thousandths of the whole.
    from: u32,
    server: &'static str,
    fault: &'static str,
    says: &'static str,
}

const fn act(from: u32, server: &'static str, fault: &'static str, says: &'static str) -> Act {
    Act { from, server, fault, says }
}

/// The acts of a break end where the next begins. The outage is short and comes late, so that what is learned before it
/// can be seen.
const ACTS: [Act; 24] = [
    act(0, "*", "healthy", "all is well"),
    act(70, "b", "refuse", "b is down: connections are refused"),
    act(140, "b", "healthy", "b is back"),
    act(160, "a", "reset-before ratio=0.5", "a resets half of its connections"),
    act(230, "a", "healthy", "a is well again"),
    act(250, "c", "hang", "c accepts and never answers"),
    act(330, "c", "healthy", "c is well again"),
    act(350, "b", "status code=500 ratio=0.6", "b answers 500 to most"),
    act(420, "b", "healthy", "b is well again"),
    act(440, "a", "close-on-reuse ratio=0.5", "a closes kept connections as they are used"),
    act(510, "a", "healthy", "a is well again"),
    act(530, "b", "throttle code=503 retry-after=1", "b asks to be left alone"),
    act(600, "b", "healthy", "b is well again"),
    act(620, "c", "garbage", "c answers with garbage"),
    act(680, "c", "healthy", "c is well again"),
    act(690, "a", "slow fixed=400ms", "a is slow"),
    act(750, "a", "healthy", "a is well again"),
    act(
        760,
        "a",
        "reset-after-execute ratio=0.3",
        "a does what it was asked and dies before it answers",
    ),
    act(820, "a", "healthy", "a is well again"),
    act(830, "*", "outage", "everything is down"),
    act(870, "*", "healthy", "everything is back"),
    act(910, "c", "flap up=300ms down=300ms refuse", "c comes and goes"),
    act(960, "c", "healthy", "all is well"),
    act(1000, "*", "healthy", "over"),
];

/// The acts, stretched over a time.
pub(super) struct Script {
    lasting: Duration,
}

impl Script {
    pub(super) const fn lasting(lasting: Duration) -> Self {
        Self { lasting }
    }

    pub(super) const fn length(&self) -> Duration {
        self.lasting
    }

    fn at(&self, act: &Act) -> Duration {
        self.lasting * act.from / 1000
    }

    /// How many breaks there are.
    pub(super) fn breaks(&self) -> usize {
        ACTS.iter().filter(|act| act.fault != "healthy").count()
    }

    /// What is going on.
    pub(super) fn now(&self, at: Duration) -> &'static str {
        ACTS.iter().rev().find(|act| self.at(act) <= at).map_or("", |act| act.says)
    }

    pub(super) fn timeline(&self) -> Result<Timeline, Failure> {
        let lines: Vec<String> = ACTS
            .iter()
            .map(|act| format!("{}ms {} {}", self.at(act).as_millis(), act.server, act.fault))
            .collect();
        lines.join("\n").parse().map_err(text)
    }

    /// The proxy's config: three endpoints, and timeouts that fit a demo. Everything else is the default.
    pub(super) fn settings(
        &self,
        lab: &Lab,
        admin: &str,
        token: &str,
    ) -> Result<Settings, Failure> {
        let endpoints: Vec<String> = lab
            .servers()
            .iter()
            .map(|server| {
                format!("{{ name = \"{}\", url = \"http://{}\" }}", server.name(), server.addr())
            })
            .collect();
        let config = format!(
            "listen = \"127.0.0.1:0\"\nadmin = {{ address = {admin:?}, token = {token:?} }}\n\n[upstream.demo]\nendpoints = [{}]\n\
             attempt_timeout = \"500ms\"\ntotal_timeout = \"5s\"\n",
            endpoints.join(", ")
        );
        Ok(mainstay_config::parse(&config, "the demo's config").map_err(text)?.settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_at_least_eight_breaks_and_the_lab_understands_them() {
        let script = Script::lasting(Duration::from_secs(60));
        assert!(script.breaks() >= 8);
        assert_eq!(script.timeline().map(|timeline| timeline.steps().len()).ok(), Some(ACTS.len()));
        assert_eq!(script.now(Duration::from_secs(5)), "b is down: connections are refused");
    }
}
