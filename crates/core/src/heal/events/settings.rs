//! What a route says about its event streams.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use super::ring::RingSettings;
use super::terminal::Terminal;
use crate::check::{Check, Problems};

/// How event streams are watched and continued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventSettings {
    /// What the end of a stream means that the server ends in good order. Default [`EndRule::AsItIs`].
    pub end: EndRule,
    /// Bytes of a block that isn't whole which are kept back. 1 KiB to 64 MiB, default 1 MiB. Too low: streams with long events
    /// can't be continued; too high: memory, for each stream whose server ends no block.
    pub block_bytes: usize,
    /// Events that are remembered of a stream, to recognise what comes again; 48 bytes each. 16 to 1,000,000, default
    /// 4,096. Too low: long streams whose ids are in no order can't be continued; too high: memory, for each stream.
    pub remembered: usize,
    /// Types of events that mean nothing when they are missing or come twice, such as `ping`. They are passed on as they come, if
    /// they have no id. Default none, up to 32.
    pub volatile: Vec<String>,
    /// While a stream is being continued, the application gets a comment each so often. 100 ms to 5 min, default 5 s. Too low:
    /// bytes; too high: the application's own timeout fires.
    pub heartbeat: Duration,
    /// A stream in which nothing at all comes for so long, not even a comment, is dead. 1 s to 24 h, default 45 s: servers are
    /// told to send a comment each 15 s (WHATWG HTML, section 9.2.7). Too low: a quiet stream is taken for a dead one; too
    /// high: a dead one is found late.
    pub dead_after: Duration,
    /// The most that a server's `retry` makes a reconnect wait. 0 to 1 h, default 30 s. Too low: a server that asks for rest
    /// doesn't get it; too high: a stream may be away for long.
    pub retry_most: Duration,
    /// The type of the event that tells a break which can't be healed; `None`: there is none, and only the abnormal end tells.
    /// One line of up to 64 bytes, default `error`.
    pub error_event: Option<String>,
    /// Whether streams without ids get some of ours, and are kept for applications that reconnect. Needs an `error_event`, by which
    /// a gap is told. Default no.
    pub ring: Option<RingSettings>,
}

/// What it means when a server ends a stream in good order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndRule {
    /// It is passed on as the end that it is. An `EventSource` reconnects by itself, and whoever reads to the end of an answer
    /// has come to it: nothing is broken, and nothing says that the server wants to be asked again.
    AsItIs,
    /// The stream is continued, if that can be proved to be right; else it is passed on.
    Reconnect,
    /// It is a break, unless a terminal event came before.
    Terminal(Terminal),
}

impl Default for EventSettings {
    fn default() -> Self {
        Self {
            end: EndRule::AsItIs,
            block_bytes: 1024 * 1024,
            remembered: 4096,
            volatile: Vec::new(),
            heartbeat: Duration::from_secs(5),
            dead_after: Duration::from_secs(45),
            retry_most: Duration::from_secs(30),
            error_event: Some("error".to_string()),
            ring: None,
        }
    }
}

impl EventSettings {
    /// For the APIs of language models: their streams end with a terminal event or are broken, and a model may think for long before it
    /// says anything.
    #[must_use]
    pub fn llm_stream() -> Self {
        Self {
            end: EndRule::Terminal(Terminal::default()),
            volatile: alloc::vec!["ping".to_string()],
            block_bytes: 16 * 1024 * 1024,
            dead_after: Duration::from_secs(120),
            ..Self::default()
        }
    }
}

impl Check for EventSettings {
    fn check(&self, problems: &mut Problems) {
        if let EndRule::Terminal(terminal) = &self.end {
            problems.within("terminal", terminal);
        }
        let bytes = 1024..=64 * 1024 * 1024;
        let holds = bytes.contains(&self.block_bytes);
        problems.require(holds, "block_bytes", self.block_bytes, "1 KiB to 64 MiB");
        let remembered = (16..=1_000_000).contains(&self.remembered);
        problems.require(remembered, "remembered", self.remembered, "16 to 1000000");
        let volatile = self.volatile.len() <= 32 && self.volatile.iter().all(|name| is_name(name));
        problems.require(volatile, "volatile", &self.volatile, NAMES);
        let heartbeat = Duration::from_millis(100)..=Duration::from_secs(300);
        let holds = heartbeat.contains(&self.heartbeat);
        problems.require(holds, "heartbeat", self.heartbeat, "100ms to 5m");
        let dead = Duration::from_secs(1)..=Duration::from_secs(24 * 3600);
        problems.require(
            dead.contains(&self.dead_after),
            "dead_after",
            self.dead_after,
            "1s to 24h",
        );
        let retry = self.retry_most <= Duration::from_secs(3600);
        problems.require(retry, "retry_most", self.retry_most, "0s to 1h");
        if let Some(name) = &self.error_event {
            problems.require(is_name(name), "error_event", name, "one line of 1 to 64 bytes");
        }
        if let Some(ring) = &self.ring {
            let can_tell = self.error_event.is_some();
            let allowed = "off without an `error_event`: a gap could be told to nobody";
            problems.require(can_tell, "ring", "on", allowed);
            problems.within("ring", ring);
        }
    }
}

/// Whether it can be the type of an event, as it is.
fn is_name(name: &str) -> bool {
    let is_plain = !name.contains(char::is_control) && !name.starts_with(' ');
    is_plain && (1..=64).contains(&name.len())
}

const NAMES: &str = "up to 32 lines of 1 to 64 bytes";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Checked;

    fn places(settings: EventSettings) -> Vec<String> {
        let problems = Checked::new(settings).err().unwrap_or_default();
        problems.into_iter().map(|problem| problem.place).collect()
    }

    #[test]
    fn the_defaults_and_those_of_the_profile_keep_their_own_rules() {
        assert_eq!(places(EventSettings::default()), [""; 0]);
        assert_eq!(places(EventSettings::llm_stream()), [""; 0]);
    }

    #[test]
    fn each_broken_rule_is_named() {
        let none = Terminal { data: Vec::new(), events: Vec::new(), ..Terminal::default() };
        let settings = EventSettings {
            end: EndRule::Terminal(none),
            block_bytes: 1023,
            remembered: 15,
            volatile: alloc::vec!["a\nb".to_string()],
            heartbeat: Duration::from_millis(99),
            dead_after: Duration::from_millis(999),
            retry_most: Duration::from_secs(3601),
            error_event: Some(String::new()),
            ring: Some(RingSettings { keep: Duration::ZERO, events: 0, bytes: 0 }),
        };
        let wanted = [
            "terminal.data",
            "block_bytes",
            "remembered",
            "volatile",
            "heartbeat",
            "dead_after",
            "retry_most",
            "error_event",
            "ring.keep",
            "ring.events",
            "ring.bytes",
        ];
        assert_eq!(places(settings), wanted);
        let ring = Some(RingSettings::default());
        assert_eq!(
            places(EventSettings { error_event: None, ring, ..EventSettings::default() }),
            ["ring"]
        );
        let most = EventSettings {
            block_bytes: 64 * 1024 * 1024 + 1,
            remembered: 1_000_001,
            heartbeat: Duration::from_secs(301),
            dead_after: Duration::from_secs(24 * 3600 + 1),
            ..EventSettings::default()
        };
        assert_eq!(places(most), ["block_bytes", "remembered", "heartbeat", "dead_after"]);
    }

    #[test]
    fn a_name_that_would_break_its_line_or_be_read_differently_is_refused() {
        for (name, holds) in [("error", true), ("x y", true), (" x", false), ("a\rb", false)] {
            assert_eq!(is_name(name), holds, "{name}");
        }
        assert!(!is_name(&"x".repeat(65)) && is_name(&"x".repeat(64)));
    }
}
