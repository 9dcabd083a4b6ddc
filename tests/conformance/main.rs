//! Suites that others have written, run against the real binary; `docs/conformance.md` says what they find.
//!
//! The cases of Autobahn's test suite, by the Python package kosoku, and httplint, which looks at answers of our own. A suite that
//! takes long to be had or to be run is a command: `cargo xtask conformance`.

mod lint;
#[path = "../support/mod.rs"]
mod support;
mod websocket;

use std::path::PathBuf;
use std::process::Stdio;

use support::text;
use tokio::process::{Child, Command};

/// What a test gives back; the error says what went wrong.
type Outcome = Result<(), String>;

/// Starts one of the scripts beside this file.
fn script(name: &str) -> Result<Child, String> {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let mut command = Command::new(root.join("target/peers-venv/bin/python3"));
    command.arg(root.join("tests/conformance").join(name));
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(name);
    }
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true);
    command.spawn().map_err(|why| {
        format!("python: {}: nothing was tested; `cargo xtask test` installs it", text(why))
    })
}
