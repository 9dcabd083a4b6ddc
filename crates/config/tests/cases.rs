//! Every kind of mistake and every lint, as the user meets it.
//!
//! Each `cases/NAME.toml` has a `NAME.expected`: what is told about it. A case without mistakes tells its warnings.
//! `MAINSTAY_BLESS=1` writes the expected files anew; then read the difference.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use mainstay_config::{LintCode, MistakeKind};

/// What is told about a text, and the codes in it.
fn told(text: &str, codes: &mut BTreeSet<&'static str>) -> String {
    match mainstay_config::parse(text, "mainstay.toml") {
        Ok(loaded) => {
            let lints = loaded.lint();
            codes.extend(lints.iter().map(|lint| lint.code.code()));
            if lints.is_empty() {
                return "nothing to tell\n".into();
            }
            lints.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        }
        Err(errors) => {
            codes.extend(errors.list().iter().map(|mistake| mistake.kind.code()));
            errors.to_string()
        }
    }
}

#[test]
fn each_case_is_told_as_expected_and_each_code_is_reached() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let bless = std::env::var_os("MAINSTAY_BLESS").is_some();
    let mut codes = BTreeSet::new();
    let mut paths: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|end| end == "toml")) {
        let found = told(&fs::read_to_string(path).unwrap(), &mut codes);
        let beside = path.with_extension("expected");
        if bless {
            fs::write(&beside, &found).unwrap();
        }
        let expected = fs::read_to_string(&beside).unwrap_or_default();
        assert_eq!(found, expected, "{}: `cargo xtask bless` writes it anew", path.display());
    }
    let all = MISTAKES.iter().map(|kind| kind.code()).chain(LINTS.iter().map(|lint| lint.code()));
    let missing: Vec<&str> = all.filter(|code| !codes.contains(code)).collect();
    assert!(missing.is_empty(), "no case reaches {missing:?}");
}

/// `Unreadable` needs files and has tests of its own.
const MISTAKES: [MistakeKind; 10] = [
    MistakeKind::Syntax,
    MistakeKind::UnknownKey,
    MistakeKind::WrongType,
    MistakeKind::WrongForm,
    MistakeKind::OutOfRange,
    MistakeKind::UnknownName,
    MistakeKind::Taken,
    MistakeKind::Missing,
    MistakeKind::Unreachable,
    MistakeKind::Contradiction,
];

const LINTS: [LintCode; 29] = [
    LintCode::StaleTooLarge,
    LintCode::HedgeUnused,
    LintCode::AdaptiveUnused,
    LintCode::LineUnused,
    LintCode::RateKeyUnused,
    LintCode::NoFailover,
    LintCode::NoMonitoring,
    LintCode::NoDetection,
    LintCode::NoRetry,
    LintCode::AttemptsExceedTotal,
    LintCode::BackoffTooLong,
    LintCode::NoJitter,
    LintCode::NoReplay,
    LintCode::WriteDeclaredIdempotent,
    LintCode::ConnectExceedsAttempt,
    LintCode::WindowTooShort,
    LintCode::HalfOpenTooShort,
    LintCode::BudgetTooLarge,
    LintCode::CheckOverlaps,
    LintCode::OutboxUnused,
    LintCode::OutboxInClear,
    LintCode::SpillUnused,
    LintCode::SpillExceedsTotal,
    LintCode::ResumableUnused,
    LintCode::HashUnused,
    LintCode::PoolIdleTooLong,
    LintCode::Danger,
    LintCode::UpstreamUnused,
    LintCode::OpenListener,
];
