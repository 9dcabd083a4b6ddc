//! The page of the manual lists the faults that there are.

use std::path::Path;

use mainstay_lab::KINDS;

const BEGIN: &str = "<!-- faults -->\n";
const END: &str = "<!-- /faults -->";

#[test]
fn the_page_of_the_lab_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/lab.md");
    let kept = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = kept.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let made = format!("{before}{BEGIN}{}{END}{after}", table());
    if std::env::var_os("MAINSTAY_BLESS").is_some() {
        std::fs::write(&path, &made).unwrap();
        return;
    }
    assert!(kept == made, "docs/lab.md is out of date: run `cargo xtask bless`");
}

fn table() -> String {
    let mut text = String::from("| fault | parameters | what happens |\n|---|---|---|\n");
    for kind in KINDS {
        let parameters = match kind.parameters {
            "" => String::new(),
            some => format!("`{}`", some.replace('|', "\\|")),
        };
        text.push_str(&format!("| `{}` | {parameters} | {} |\n", kind.word, kind.meaning));
    }
    text
}
