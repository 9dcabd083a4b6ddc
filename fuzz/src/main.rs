//! `cargo xtask fuzz`: runs targets for as long as one likes.

use std::process::ExitCode;
use std::time::Duration;

use mainstay_fuzz::{drive, targets};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [target, seconds, seed] = &words[..] else { return wrong("it takes TARGET SECONDS SEED") };
    let (Ok(seconds), Ok(seed)) = (seconds.parse(), seed.parse()) else {
        return wrong("seconds and seed are numbers");
    };
    let chosen: Vec<_> =
        targets::ALL.iter().filter(|one| target == "all" || one.name == *target).collect();
    if chosen.is_empty() {
        let names: Vec<_> = targets::ALL.iter().map(|one| one.name).collect();
        return wrong(&format!("there is no target {target}, but {}", names.join(", ")));
    }
    for one in chosen {
        match drive::run(one, Duration::from_secs(seconds), seed) {
            Ok(done) => println!(
                "{:<10} {:>6} kept, {:>9} made, seed {seed}",
                one.name, done.kept, done.made
            ),
            Err(found) => {
                println!(
                    "{}: {}\nthe input is in {}; mended, it belongs to fuzz/corpus/{}",
                    one.name,
                    found.what,
                    found.file.display(),
                    one.name
                );
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

fn wrong(why: &str) -> ExitCode {
    eprintln!("fuzz: {why}");
    ExitCode::FAILURE
}
