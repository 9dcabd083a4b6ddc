//! The drawing as a whole: a fixed record, and what is to be seen.

use mainstay_record::CallRecord;

use super::{draw, list};
use crate::paper::Paper;

const ASCII: Paper = Paper { columns: 100, unicode: false, colour: false };

fn record() -> CallRecord {
    serde_json::from_str(include_str!("record.json")).expect("a record")
}

#[test]
fn a_call_is_drawn_as_it_was_in_ascii_and_in_blocks() {
    for (paper, name, wanted) in [
        (ASCII, "call.ascii.txt", include_str!("call.ascii.txt")),
        (Paper { unicode: true, ..ASCII }, "call.utf8.txt", include_str!("call.utf8.txt")),
    ] {
        let drawn = draw::call(&record(), &paper);
        if std::env::var_os("MAINSTAY_BLESS").is_some() {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/explain/");
            std::fs::write(format!("{path}{name}"), &drawn).expect("written");
            continue;
        }
        assert_eq!(drawn, wanted, "MAINSTAY_BLESS=1 writes {name} anew");
    }
}

/// A source of varied records: the same for the same seed.
struct Varied(u64);

impl Varied {
    /// A number below `most`: xorshift, of which the upper bits are taken.
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or_default() % most
    }

    fn text(&mut self) -> String {
        let texts = [
            String::new(),
            "a".to_owned(),
            "connection closed before message completed".to_owned(),
            "\u{1b}[2J\u{202e}\n\ttwo  blanks → …".to_owned(),
            "no-blank-".repeat(40),
            "many words in a row ".repeat(20),
            "é".repeat(130),
        ];
        texts[self.below(texts.len())].clone()
    }

    fn code(&mut self) -> String {
        let kinds = mainstay_core::BreakKind::ALL;
        match self.below(8) {
            0 => self.text(),
            _ => kinds[self.below(kinds.len())].code().to_owned(),
        }
    }

    fn millis(&mut self) -> f64 {
        [0.0, 0.004, 3.2, 99.95, 1002.0, 61_000.0, 86_400_000.0, 1e12][self.below(8)]
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.below(3) == 0 { None } else { Some(make(self)) }
    }

    fn word(&mut self, words: &[&str]) -> String {
        words[self.below(words.len())].to_owned()
    }

    fn address(&mut self) -> String {
        self.word(&["10.0.0.1:443", "[2001:db8:1111:2222:3333:4444:5555:6666]:65535"])
    }

    fn step(&mut self) -> serde_json::Value {
        serde_json::json!({
            "step": self.word(&["queue", "resolve", "connect", "first-byte", "a-step-of-the-future"]),
            "address": self.maybe(Self::address),
            "started_ms": self.millis(), "took_ms": self.millis(),
            "outcome": self.word(&["done", "broke", "given-up", "new"]),
            "code": self.maybe(Self::code), "text": self.maybe(Self::text),
        })
    }

    fn attempt(&mut self, number: usize) -> serde_json::Value {
        let steps: Vec<_> = (0..self.below(4)).map(|_| self.step()).collect();
        let verdicts = ["again-free", "retry", "outcome-unknown", "fail-loudly", "of the future"];
        serde_json::json!({
            "attempt": number, "endpoint": self.text(), "reason": self.word(&["first", "failover"]),
            "started_ms": self.millis(), "took_ms": self.maybe(Self::millis), "result": "broke",
            "status": self.maybe(|it| 200 + it.below(400)), "code": self.maybe(Self::code), "phase": null,
            "certainty": self.maybe(|it| it.word(&["not-sent", "maybe-processed", "new"])),
            "retry_after_ms": self.maybe(Self::millis), "detail": self.maybe(Self::text),
            "decision": self.maybe(|it| it.word(&["retry", "failover", "budget-empty", "new"])),
            "delay_ms": self.maybe(Self::millis), "delayed_by": self.maybe(|it| it.word(&["hint", "backoff"])),
            "connection": self.maybe(|it| serde_json::json!({
                "id": u64::MAX, "peer": it.maybe(Self::address), "protocol": it.text(), "secure": true,
                "reused": it.below(2) == 0, "age_ms": it.millis(), "idle_ms": it.maybe(Self::millis),
                "requests_before": it.below(3),
            })),
            "steps": steps, "evidence": self.maybe(Self::text), "verdict": self.maybe(|it| it.word(&verdicts)),
            "circumstances": self.maybe(|it| serde_json::json!({
                "breaker": it.text(), "budget_tokens": u32::MAX, "budget_extra": u32::MAX, "budget_calls": u32::MAX,
            })),
        })
    }

    fn record(&mut self) -> CallRecord {
        let attempts: Vec<_> = (1..=self.below(4)).map(|number| self.attempt(number)).collect();
        let notes: Vec<_> = (0..self.below(3))
            .map(|_| serde_json::json!({ "event": self.code(), "endpoint": self.text(), "at_ms": self.millis() }))
            .collect();
        let record = serde_json::json!({
            "v": 1, "id": "dc590237fc156eeb", "route": self.text(), "upstream": self.text(), "method": self.text(),
            "path": format!("/{}", self.text()), "started_unix_ms": 1_767_225_599_000_u64,
            "took_ms": self.maybe(Self::millis),
            "outcome": self.word(&["delivered", "as_is", "failed", "unfinished"]),
            "status": self.maybe(|it| 200 + it.below(400)), "saved": self.maybe(|it| it.word(&["retry", "failover"])),
            "code": self.maybe(Self::code), "certainty": self.maybe(Self::text), "stopped": null,
            "body_broke": self.maybe(Self::code), "body_unrepeatable": self.below(2) == 0,
            "upload_resumed": self.maybe(|it| it.below(70_000) % 60_000), "upload_not_resumed": self.maybe(Self::code),
            "healed": self.maybe(|it| it.below(70_000) % 60_000), "cut": self.maybe(Self::code), "attempts": attempts,
            "degraded": self.maybe(|it| it.word(&["stale", "static", "of the future"])),
            "notes": notes, "events_dropped": self.below(2) * 4_000_000_000,
        });
        serde_json::from_value(record).expect("a record")
    }
}

#[test]
fn no_record_is_drawn_beyond_its_paper_or_says_what_steers_a_terminal() {
    for seed in 1..=60_u64 {
        let record = Varied(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed)).record();
        for columns in [60, 80, 81, 100, 160] {
            for unicode in [false, true] {
                let paper = Paper { columns, unicode, colour: false };
                for drawn in [
                    draw::call(&record, &paper),
                    list::lines(std::slice::from_ref(&record), &paper),
                ] {
                    let steers = |letter: char| letter.is_control() && letter != '\n';
                    assert!(!drawn.chars().any(steers), "seed {seed}:\n{drawn}");
                    assert!(unicode || drawn.is_ascii(), "seed {seed}:\n{drawn}");
                    let wide = drawn.lines().find(|line| line.chars().count() > columns);
                    assert_eq!(wide, None, "seed {seed}, {columns} columns:\n{drawn}");
                }
            }
        }
    }
}

#[test]
fn a_narrow_drawing_tells_all_that_a_wide_one_tells() {
    let paper = Paper { columns: 60, ..ASCII };
    let words = |drawn: &str| drawn.split_whitespace().collect::<Vec<_>>().join(" ");
    let narrow = words(&draw::call(&record(), &paper));
    for told in
        ["closed-while-idle", "connect-timeout", "given up", "TLS 1.3", "the application got:"]
    {
        assert!(narrow.contains(told), "{told} isn't in {narrow}");
    }
}

#[test]
fn a_listed_call_is_one_line_where_there_is_room_and_goes_on_indented_where_there_is_none() {
    let wide = Paper { columns: 160, ..ASCII };
    assert_eq!(
        list::lines(&[record()], &wide),
        "dc590237fc156eeb  2025-12-31T23:59:59.000Z   1130 ms  delivered 200 (saved by failover)  \
         a:closed-while-idle a:connect-timeout  POST /v1/charges\n"
    );
    assert_eq!(
        list::lines(&[record()], &ASCII),
        "dc590237fc156eeb  2025-12-31T23:59:59.000Z   1130 ms  delivered 200 (saved by failover)\n    \
         a:closed-while-idle a:connect-timeout  POST /v1/charges\n"
    );
}
