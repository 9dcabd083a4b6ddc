//! The scenarios: plain text files in `scenarios/`, each run against the real binary in front of the lab, and once more by the library.
//!
//! A file says why it matters (its first comment), which servers there are, what the config adds, and then, line by line, what
//! happens and what is expected. `script.rs` reads it, `stage.rs` sets it up, `play.rs` runs it, `library.rs` is what stands in the
//! binary's place. Two tests a file, named after it: `cargo nextest run -E 'test(reset_before)'`. When it has been played, the same script runs in
//! the simulator, and `agreement` compares what was decided.

mod agreement;
mod library;
mod play;
#[allow(dead_code, reason = "the break suite uses the rest")]
mod script;
mod stage;

use std::path::Path;

use libtest_mimic::{Arguments, Failed, Trial};
use stage::Driver;

fn main() -> std::process::ExitCode {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("the folder scenarios/ is there")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "scenario"))
        .collect();
    files.sort();
    let trials = files
        .into_iter()
        .flat_map(|path| {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().replace('-', "_");
            let same = path.clone();
            [
                Trial::test(name.clone(), move || run(&path, Driver::Binary)),
                Trial::test(format!("{name}::by_the_library"), move || run(&same, Driver::Library)),
            ]
        })
        .chain([Trial::test("what_the_simulator_leaves_out_is_there", move || {
            agreement::check_left_out(&folder).map_err(Failed::from)
        })])
        .collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn run(path: &Path, driver: Driver) -> Result<(), Failed> {
    let text = std::fs::read_to_string(path)?;
    let script = script::parse(&text).map_err(|why| format!("{}: {why}", path.display()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let wrong = |why| Failed::from(format!("{}, {driver:?}: {why}", path.display()));
    let played = runtime.block_on(play::play(&script, driver)).map_err(wrong)?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    agreement::check(&name, &script, &played).map_err(wrong)
}
