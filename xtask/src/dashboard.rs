//! The dashboard in a browser: its pictures for the manual, and what a full page needs.

use crate::setup;
use crate::step::{self, Step};

/// Pictures of a demo's incident, by the test that looks at the demo.
pub(crate) fn screenshots() -> Result<(), String> {
    setup::nextest()?;
    setup::clients();
    setup::typefaces()?;
    let folder = std::env::current_dir().map_err(|error| error.to_string())?.join("docs/images");
    step::run(&[Step::cargo(
        "nextest run --package mainstay-cli --test dashboard --no-capture -E test(demo)",
    )
    .env("MAINSTAY_SCREENSHOTS", folder.display().to_string())])
}

/// Ten minutes in real time, unless told otherwise.
pub(crate) fn load(options: &[&str]) -> Result<(), String> {
    let seconds = match options {
        [] => "600",
        ["--seconds", seconds] if seconds.parse::<u32>().is_ok_and(|seconds| seconds >= 40) => {
            seconds
        }
        _ => return Err("dashboard-load takes --seconds, at least 40".into()),
    };
    setup::nextest()?;
    setup::clients();
    step::run(&[Step::cargo(
        "nextest run --package mainstay-cli --test dashboard --no-capture -E test(thousand)",
    )
    .env("MAINSTAY_DASHBOARD_SECONDS", seconds)])
}
