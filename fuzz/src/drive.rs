//! Runs a target on what is in its corpus and on inputs made of that by chance.
//!
//! It sees nothing of where an input leads, as libFuzzer does; but it runs everywhere, from a seed, and finds what a short look can find.

use std::fs;
use std::panic;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use mainstay_core::Chance;

use crate::targets::Target;

/// What a run did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// Inputs of the corpus.
    pub kept: usize,
    /// Inputs that were made.
    pub made: u64,
}

/// An input for which something didn't hold.
#[derive(Clone, Debug)]
pub struct Found {
    /// Where it has been written to.
    pub file: PathBuf,
    /// What was said.
    pub what: String,
}

/// What the last panic said, on whatever thread: those of the proxy's own end no test by themselves.
static PANICKED: Mutex<Option<String>> = Mutex::new(None);

/// Runs `target` on its corpus, and then on what chance makes of it for so long.
///
/// # Errors
///
/// The first input for which something doesn't hold.
pub fn run(target: &Target, length: Duration, seed: u64) -> Result<Done, Found> {
    panic::set_hook(Box::new(|what| {
        if let Ok(mut last) = PANICKED.lock() {
            last.get_or_insert_with(|| what.to_string());
        }
    }));
    let done = all(target, length, seed);
    // Whoever is told of it may want to panic with a word.
    drop(panic::take_hook());
    done
}

fn all(target: &Target, length: Duration, seed: u64) -> Result<Done, Found> {
    let corpus = corpus(target.name);
    for input in &corpus {
        attempt(target, input)?;
    }
    let (mut chance, until, mut made) = (Chance::from_seed(seed), Instant::now() + length, 0);
    while Instant::now() < until {
        attempt(target, &input(&mut chance, &corpus, target.words))?;
        made += 1;
    }
    Ok(Done { kept: corpus.len(), made })
}

/// What is kept for a target, in the order of names.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    files.sort();
    files.iter().filter_map(|file| fs::read(file).ok()).collect()
}

fn attempt(target: &Target, input: &[u8]) -> Result<(), Found> {
    let run = panic::catch_unwind(|| (target.run)(input));
    let what = PANICKED.lock().ok().and_then(|mut last| last.take());
    if run.is_ok() && what.is_none() {
        return Ok(());
    }
    let file = std::env::temp_dir().join(format!(
        "mainstay-fuzz-{}-{:016x}",
        target.name,
        mainstay_lab::fnv1a(mainstay_lab::FNV_OFFSET, input)
    ));
    let written =
        fs::write(&file, input).map_or_else(|error| format!(" ({error})"), |()| String::new());
    Err(Found { file, what: what.unwrap_or_else(|| "a panic without a word".into()) + &written })
}

/// An input: one of the corpus or nothing, changed a few times.
fn input(chance: &mut Chance, corpus: &[Vec<u8>], words: &[&str]) -> Vec<u8> {
    let mut input = some(chance, corpus).cloned().unwrap_or_default();
    for _ in 0..=chance.below(6) {
        change(chance, &mut input, corpus, words);
    }
    input.truncate(LONGEST);
    input
}

fn change(chance: &mut Chance, input: &mut Vec<u8>, corpus: &[Vec<u8>], words: &[&str]) {
    let at = chance.below(input.len() as u64 + 1) as usize;
    let end = at + chance.below((input.len() - at) as u64 + 1) as usize;
    match chance.below(8) {
        0 => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << chance.below(8);
            }
        }
        1 => input.insert(at, chance.next_u64() as u8),
        2 => drop(input.drain(at..end.min(at + 16))),
        3 | 4 => {
            if let Some(word) = some(chance, words) {
                input.splice(at..at, word.bytes());
            }
        }
        5 => {
            let again = input[at..end].to_vec();
            input.splice(at..at, again);
        }
        6 => {
            if let Some(other) = some(chance, corpus) {
                let from = chance.below(other.len() as u64 + 1) as usize;
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
        }
        _ => {
            if let Some(byte) = input.get_mut(at) {
                *byte = [0, 1, 0x7f, 0x80, 0xff, b'\r', b'\n', b' '][chance.below(8) as usize];
            }
        }
    }
}

fn some<'a, T>(chance: &mut Chance, all: &'a [T]) -> Option<&'a T> {
    all.get(chance.below(all.len() as u64) as usize)
}

/// Longer ones take long and show nothing that shorter ones don't.
const LONGEST: usize = 16 * 1024;
