//! Files and faults of the lab, which strangers hand on too.

use mainstay_lab::{Rule, Spec};

/// Words of such files.
pub const WORDS: &[&str] = &[
    "[[server]]\n",
    "name = \"a\"\n",
    "[dns]\n",
    "[[dns.name]]\n",
    "tls = true\n",
    "port = \"a\"\n",
    "fault = \"reset after=3B\"\n",
    "stall",
    "after=",
    "for=",
    "1s",
    "50%",
    "every=2",
    "status=503",
    "dns-answer a=127.0.0.1",
    "\"",
];

/// Runs it: it is read or refused, with words; a rule that is read is written as one that means the same.
///
/// # Panics
///
/// Where it doesn't hold.
pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Err(invalid) = Spec::parse(text) {
        assert!(!invalid.to_string().is_empty(), "refused without a word");
    }
    for line in text.lines().take(20) {
        let Ok(rule) = line.parse::<Rule>() else { continue };
        let written = rule.to_string();
        let again = written.parse::<Rule>();
        assert_eq!(
            again.map(|again| again.to_string()).ok(),
            Some(written),
            "{line:?} is written otherwise"
        );
    }
}
