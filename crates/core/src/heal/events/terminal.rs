//! Streams that end with a word of their own: those of language models.
//!
//! Such a stream is whole when its last event has come (`data: [DONE]`, `event: message_stop`), and broken when it ends without,
//! however clean the connection's end looks. An event that tells an error is an honest end too.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::block::Block;
use crate::check::{Check, Problems};

/// Which events end a stream, and which streams have to end so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terminal {
    /// Data of a last event, without the blanks around it. Up to 32 of up to 256 bytes.
    pub data: Vec<String>,
    /// Types of a last event. Up to 32 of up to 256 bytes.
    pub events: Vec<String>,
    /// Which streams have to end so.
    pub of: TerminalOf,
}

/// Which streams have to end with a terminal event. One that ends before its first event isn't known to be another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TerminalOf {
    /// All of them.
    All,
    /// Those whose first event shows what they are.
    Begun {
        /// Its type is one of these.
        events: Vec<String>,
        /// Or a line of its data has one of these in it.
        data_parts: Vec<String>,
    },
}

impl Default for Terminal {
    /// What the APIs of language models use: chat completions as first made by OpenAI, Anthropic's messages, and OpenAI's
    /// responses.
    fn default() -> Self {
        let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
        Self {
            data: texts(&["[DONE]"]),
            events: texts(&[
                "message_stop",
                "response.completed",
                "response.failed",
                "response.incomplete",
                "error",
            ]),
            of: TerminalOf::Begun {
                events: texts(&["message_start", "response.created"]),
                data_parts: texts(&["\"choices\""]),
            },
        }
    }
}

impl Terminal {
    /// Whether `block` ends its stream.
    pub(super) fn is_ended_by(&self, block: &Block<'_>) -> bool {
        let is_data = |line| is_one_of(line, &self.data);
        block.has_data
            && (is_one_of(block.event, &self.events) || block.data_line().is_some_and(is_data))
    }

    /// Whether a stream that begins with `block` has to end so.
    pub(super) fn is_due_after(&self, block: &Block<'_>) -> bool {
        match &self.of {
            TerminalOf::All => true,
            TerminalOf::Begun { events, data_parts } => {
                let has_part = |line: &[u8]| data_parts.iter().any(|part| contains(line, part));
                is_one_of(block.event, events) || block.data().any(has_part)
            }
        }
    }
}

fn is_one_of(name: &[u8], names: &[String]) -> bool {
    names.iter().any(|known| known.as_bytes() == name)
}

fn contains(line: &[u8], part: &str) -> bool {
    line.windows(part.len()).any(|window| window == part.as_bytes())
}

impl Check for Terminal {
    fn check(&self, problems: &mut Problems) {
        check_texts(problems, "data", &self.data);
        check_texts(problems, "events", &self.events);
        let some = !(self.data.is_empty() && self.events.is_empty());
        problems.require(some, "data", &self.data, "one at least, here or in `events`");
        if let TerminalOf::Begun { events, data_parts } = &self.of {
            check_texts(problems, "begun_by", events);
            check_texts(problems, "begun_by_data", data_parts);
            let some = !(events.is_empty() && data_parts.is_empty());
            problems.require(some, "begun_by", events, "one at least, here or in `begun_by_data`");
        }
    }
}

fn check_texts(problems: &mut Problems, place: &'static str, texts: &[String]) {
    let fits = |text: &String| {
        let is_line = !text.contains(['\r', '\n']) && text.trim() == text;
        is_line && (1..=LENGTH_MAX).contains(&text.len())
    };
    let holds = texts.len() <= TEXTS_MAX && texts.iter().all(fits);
    problems.require(holds, place, texts, "up to 32 lines of 1 to 256 bytes, without outer blanks");
}

/// Each event is compared with each of them.
const TEXTS_MAX: usize = 32;

const LENGTH_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Checked;

    fn ends(text: &str) -> bool {
        Terminal::default().is_ended_by(&Block::read(text.as_bytes()))
    }

    fn is_due(text: &str) -> bool {
        Terminal::default().is_due_after(&Block::read(text.as_bytes()))
    }

    #[test]
    fn the_last_events_of_the_usual_apis_are_known() {
        assert!(ends("data: [DONE]\n\n") && ends("data:[DONE]\r\n\r\n"));
        assert!(ends("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"));
        for name in ["response.completed", "response.failed", "response.incomplete", "error"] {
            assert!(ends(&std::format!("event: {name}\ndata: {{}}\n\n")), "{name}");
        }
        assert!(!ends("data: {\"content\":\"[DONE]\"}\n\n"));
        assert!(!ends("event: message_stop\n\n"), "without data no event is dispatched");
        assert!(!ends("event: message_delta\ndata: {}\n\n") && !ends(": [DONE]\n\n"));
    }

    #[test]
    fn streams_of_language_models_are_known_by_their_first_event() {
        assert!(is_due("event: message_start\ndata: {}\n\n"));
        assert!(is_due("event: response.created\ndata: {}\n\n"));
        assert!(is_due("data: {\"id\":\"x\",\"choices\":[]}\n\n"));
        assert!(!is_due("event: price\ndata: {\"choice\":1}\n\n"));
        let all = Terminal { of: TerminalOf::All, ..Terminal::default() };
        assert!(all.is_due_after(&Block::read(b"data: x\n\n")));
    }

    #[test]
    fn the_default_keeps_its_own_rules_and_each_broken_rule_is_named() {
        assert!(Checked::new(Terminal::default()).is_ok());
        let settings = Terminal {
            data: std::vec![String::from("a\nb")],
            events: std::vec![String::from(" x")],
            of: TerminalOf::Begun { events: Vec::new(), data_parts: Vec::new() },
        };
        let problems = Checked::new(settings).map(|_| ()).unwrap_err();
        let places: Vec<_> = problems.iter().map(|problem| problem.place.as_str()).collect();
        assert_eq!(places, ["data", "events", "begun_by"]);
        let none = Terminal { data: Vec::new(), events: Vec::new(), of: TerminalOf::All };
        assert_eq!(Checked::new(none).map(|_| ()).unwrap_err().len(), 1);
    }
}
