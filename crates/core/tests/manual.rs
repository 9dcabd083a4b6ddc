//! The manual says something about each break code, and its RFC 9209 type as the code has it.

use mainstay_core::BreakKind;

const PAGE: &str = include_str!("../../../docs/breaks.md");

#[test]
fn each_break_code_has_its_place_in_the_manual() {
    for kind in BreakKind::ALL {
        let heading = format!("\n### {}\n", kind.code());
        let (_, rest) =
            PAGE.split_once(&heading).unwrap_or_else(|| panic!("no section for {}", kind.code()));
        let section = rest.split("\n##").next().unwrap_or_default();
        assert!(
            section.contains(kind.proxy_error()),
            "{}: its type is {}",
            kind.code(),
            kind.proxy_error()
        );
    }
}

#[test]
fn the_manual_names_no_code_that_does_not_exist() {
    for heading in PAGE.lines().filter_map(|line| line.strip_prefix("### ")) {
        assert!(BreakKind::from_code(heading).is_some(), "{heading}");
    }
}
