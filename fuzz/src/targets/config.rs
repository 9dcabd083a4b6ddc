//! Policy files: whatever is written is read or refused, and what was read is printed as a file that means the same.

use mainstay_config::{parse, print};

/// Words of such files.
pub const WORDS: &[&str] = &[
    "[upstream.api]\n",
    "endpoints = [\"http://127.0.0.1:1\"]\n",
    "[[route]]\n",
    "upstream = \"api\"\n",
    "path = \"/a/**\"\n",
    "retry.max_attempts = 3\n",
    "profile = \"payments\"\n",
    "[limits]\n",
    "timeout",
    " = ",
    "\"1s\"",
    "true",
    "false",
    "-1",
    "0",
    "1e308",
    "\"\\u0000\"",
    "[[",
    "]]",
    "{",
    "}",
    "99999999999999999999",
    "listen = \"127.0.0.1:0\"\n",
    "admin = ",
    "host = \"a.test\"\n",
];

/// Runs it.
///
/// # Panics
///
/// Where it doesn't hold.
pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match parse(text, "fuzz.toml") {
        Ok(loaded) => {
            let printed = print(&loaded.settings);
            for route in 0..loaded.settings.routes.len() {
                let _ = loaded.effective(route);
            }
            let _ = loaded.lint();
            // A file that names others is printed with their names, which mean something only where it lies; secrets are never printed.
            let is_plain = loaded.settings.admin.as_ref().is_none_or(|admin| admin.token.is_none());
            if let (true, Ok(again)) = (is_plain, parse(&printed, "printed.toml")) {
                assert_eq!(print(&again.settings), printed, "printed otherwise");
            } else {
                assert!(
                    !is_plain || printed.contains("file") || printed.contains("secret"),
                    "can't read its own print:\n{printed}"
                );
            }
        }
        Err(errors) => assert!(!errors.to_string().is_empty(), "refused without a word"),
    }
}
