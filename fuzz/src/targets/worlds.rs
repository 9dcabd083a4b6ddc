//! Worlds of the simulator, which strangers hand on as files.

use mainstay_sim::World;

/// Words of such files.
pub const WORDS: &[&str] = &[
    "[[upstream]]\n",
    "[[endpoint]]\n",
    "name = \"a\"\n",
    "latency = \"10ms\"\n",
    "[load]\n",
    "rate = 100\n",
    "for = \"1s\"\n",
    "[[trouble]]\n",
    "at = \"1s\"\n",
    "\"1h\"",
    "1e9",
    "-1",
    "[",
    "]",
];

/// Runs it: it is read or refused, with words.
///
/// # Panics
///
/// Where it doesn't hold.
pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Err(invalid) = World::parse(text, None) {
        assert!(!invalid.to_string().is_empty(), "refused without a word");
    }
}
