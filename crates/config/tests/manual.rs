//! The page of the manual is what the code says.

use std::path::Path;

#[test]
fn the_manual_page_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/config.md");
    let made = mainstay_config::manual();
    if std::env::var_os("MAINSTAY_BLESS").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == made, "docs/config.md is out of date: run `cargo xtask bless`");
}
