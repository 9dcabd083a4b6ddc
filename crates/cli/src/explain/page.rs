//! The dashboard speaks of a call in the same words: they are written into a file of its page.

use std::fmt::Write as _;
use std::path::Path;

use mainstay_core::BreakKind;
use mainstay_core::breaks::safety::Verdict;

use super::words;

/// Where it stands.
const FILE: &str = "../proxy/src/admin/page/codes.js";

/// The codes that are told in clauses, and their order in the file.
const CERTAINTIES: [&str; 4] = ["not-sent", "refused", "maybe-processed", "processed"];

const STOPS: [&str; 10] = [
    "outcome-unknown",
    "not-declared-idempotent",
    "body-unrepeatable",
    "attempts-used",
    "budget-empty",
    "deadline-too-close",
    "deadline-passed",
    "no-endpoint",
    "reply-started",
    "breaker-open",
];

/// What may end a call before its first attempt.
const UNSENT: [&str; 6] = [
    "breaker-open",
    "no-endpoint",
    "limit-reached",
    "deadline-exceeded",
    "client-gone",
    "budget-empty",
];

fn file() -> String {
    let mut text = "// The words of `mainstay explain`, written by its own test: \
                    MAINSTAY_BLESS=1 cargo nextest run -p mainstay-cli -E 'test(up_to_date)'\n"
        .to_owned();
    table(&mut text, "CERTAINTIES", &CERTAINTIES.map(|code| (code, words::certainty(code).into())));
    table(&mut text, "STOPS", &STOPS.map(|code| (code, words::stopped(code).into())));
    table(&mut text, "UNSENT", &UNSENT.map(|code| (code, words::unsent(code).into())));
    let verdicts = Verdict::ALL.map(|verdict| (verdict.code(), verdict.words().to_owned()));
    table(&mut text, "VERDICTS", &verdicts);
    let allowing = Verdict::ALL.into_iter().filter(|verdict| words::allows(*verdict));
    let allowing: Vec<_> = allowing.map(Verdict::code).collect();
    // Writing into a string can't fail.
    let _ = write!(
        text,
        "\n/// Verdicts that allow another attempt.\nexport const ALLOWING = new Set({});\n",
        serde_json::json!(allowing)
    );
    let manual = |kind: BreakKind| words::manual(kind.code()).unwrap_or_default();
    table(&mut text, "MANUAL", &BreakKind::ALL.map(|kind| (kind.code(), manual(kind))));
    text
}

/// JSON is a part of the language.
fn table(text: &mut String, name: &str, lines: &[(&str, String)]) {
    // Writing into a string can't fail.
    let _ = write!(text, "\nexport const {name} = {{\n");
    for (code, words) in lines {
        let _ = writeln!(text, "  {}: {},", serde_json::json!(code), serde_json::json!(words));
    }
    text.push_str("};\n");
}

#[test]
fn the_words_of_the_dashboard_are_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    let wanted = file();
    if std::env::var_os("MAINSTAY_BLESS").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(there, wanted, "MAINSTAY_BLESS=1 writes {FILE} anew");
}
