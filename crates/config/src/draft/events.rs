//! The draft of what is said about event streams.

use std::time::Duration;

use mainstay_core::Checked;
use mainstay_core::heal::events::{EndRule, EventSettings, RingSettings, Terminal, TerminalOf};

/// `[heal.events]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EventsDraft {
    pub(crate) end: EndWord,
    pub(crate) terminal_data: Vec<String>,
    pub(crate) terminal_events: Vec<String>,
    pub(crate) block: usize,
    pub(crate) remembered: usize,
    pub(crate) volatile: Vec<String>,
    pub(crate) heartbeat: Duration,
    pub(crate) dead_after: Duration,
    pub(crate) retry_most: Duration,
    pub(crate) error_event: Option<String>,
    pub(crate) ring: Option<RingSettings>,
}

/// What it means when a server ends a stream in good order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndWord {
    AsItIs,
    Reconnect,
    Terminal,
    TerminalAlways,
}

impl EventsDraft {
    pub(super) fn of(events: &EventSettings) -> Self {
        let (end, terminal) = match &events.end {
            EndRule::AsItIs => (EndWord::AsItIs, Terminal::default()),
            EndRule::Reconnect => (EndWord::Reconnect, Terminal::default()),
            EndRule::Terminal(terminal) if terminal.of == TerminalOf::All => {
                (EndWord::TerminalAlways, terminal.clone())
            }
            EndRule::Terminal(terminal) => (EndWord::Terminal, terminal.clone()),
        };
        Self {
            end,
            terminal_data: terminal.data,
            terminal_events: terminal.events,
            block: events.block_bytes,
            remembered: events.remembered,
            volatile: events.volatile.clone(),
            heartbeat: events.heartbeat,
            dead_after: events.dead_after,
            retry_most: events.retry_most,
            error_event: events.error_event.clone(),
            ring: events.ring,
        }
    }

    /// The engine's settings, not checked yet.
    pub(crate) fn settings(&self) -> EventSettings {
        let terminal = |of| {
            let (data, events) = (self.terminal_data.clone(), self.terminal_events.clone());
            EndRule::Terminal(Terminal { data, events, of })
        };
        EventSettings {
            end: match self.end {
                EndWord::AsItIs => EndRule::AsItIs,
                EndWord::Reconnect => EndRule::Reconnect,
                EndWord::Terminal => terminal(Terminal::default().of),
                EndWord::TerminalAlways => terminal(TerminalOf::All),
            },
            block_bytes: self.block,
            remembered: self.remembered,
            volatile: self.volatile.clone(),
            heartbeat: self.heartbeat,
            dead_after: self.dead_after,
            retry_most: self.retry_most,
            error_event: self.error_event.clone(),
            ring: self.ring,
        }
    }

    /// The engine's settings. The reader has told what is wrong with those that break its rules.
    pub(super) fn checked(&self) -> Checked<EventSettings> {
        Checked::new(self.settings()).unwrap_or_default()
    }
}
