//! The drawing as a whole: a fixed record, and what is to be seen.

use mainstay_record::CallRecord;

use super::paper::Paper;
use super::{draw, list};

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

#[test]
fn a_drawing_keeps_within_its_paper_and_says_nothing_that_steers_a_terminal() {
    for columns in [60, 80, 100, 160] {
        for unicode in [false, true] {
            let drawn = draw::call(&record(), &Paper { columns, unicode, colour: false });
            assert!(!drawn.chars().any(|letter| letter.is_control() && letter != '\n'), "{drawn}");
            assert!(unicode || drawn.is_ascii(), "{drawn}");
            // The narrowest paper can't hold a bar's words; nothing else is wider than the paper.
            let bars = drawn.lines().filter(|line| !line.contains(['|', '│']));
            for line in bars {
                assert!(line.chars().count() <= columns.max(80), "{columns}: {line}");
            }
        }
    }
}

#[test]
fn a_listed_call_is_one_line() {
    assert_eq!(
        list::lines(&[record()], &ASCII),
        "dc590237fc156eeb  2025-12-31T23:59:59.000Z   1130 ms  delivered 200 (saved by failover)  \
         a:closed-while-idle a:connect-timeout  POST /v1/charges\n"
    );
}
