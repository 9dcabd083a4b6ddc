//! What the user wrote, read into checked settings.
//!
//! [`load`] reads a file, [`parse`] a text, [`quick`] the arguments of a command line. Each gives [`Settings`] that need no
//! further check, or all [`Errors`] at once, each with its line. [`lint`] points at what is allowed and probably not meant;
//! [`print()`] writes settings as a file that is read as the same settings.
//!
//! # How it is made
//!
//! One description of the keys (the private module `keys`) drives the reader, the suggestions, the printer, the JSON Schema
//! ([`schema`]) and the manual page ([`manual`]). It stands in for `serde` and `schemars`, for three reasons: serde stops at the
//! first error; with it the ranges, costs and suggestions would be written beside the types, to drift; and the layers
//! (defaults, profile, upstream, route) would need a second set of types in which everything is optional. Here a layer is a table
//! laid over a draft.
//!
//! What it doesn't do: substitute environment variables (only `token_env` reads one), include other files, or
//! read certificates.

mod draft;
mod keys;
mod lint;
mod manual;
mod mistake;
mod origin;
mod print;
mod profile;
#[cfg(test)]
mod properties;
mod quick;
mod read;
mod schema;
pub mod settings;
mod source;
mod text;

use std::path::Path;

pub use lint::{Lint, LintCode, lint};
pub use manual::manual;
pub use mistake::{Errors, Mistake, MistakeKind};
pub use origin::{Effective, Origin};
pub use print::{path as path_text, print};
pub use profile::{Profile, profile_text};
pub use quick::quick;
pub use schema::schema;
pub use settings::Settings;
pub use source::Place;

use read::Places;
use source::Source;

/// Settings, and where they were written.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What was read.
    pub settings: Settings,
    source: Source,
    places: Places,
}

impl Loaded {
    /// Each value that holds for the calls of a route (by its place in [`Settings::routes`]), and where it comes from: what concerns calls, then
    /// what concerns the upstream. Empty for a route that isn't there.
    #[must_use]
    pub fn effective(&self, route: usize) -> Vec<Effective> {
        origin::effective(&self.settings, &self.source, &self.places, route)
    }

    /// What is allowed and probably not meant, with its lines.
    #[must_use]
    pub fn lint(&self) -> Vec<Lint> {
        lint::located(&self.settings, &self.source, &self.places)
    }
}

/// Reads a file. Files that it names are relative to its directory, and have to be there.
///
/// # Errors
///
/// Everything that is wrong with it; that it isn't TOML, or can't be read, alone.
pub fn load(path: impl AsRef<Path>) -> Result<Loaded, Errors> {
    let path = path.as_ref();
    let name = path.display().to_string();
    let unreadable = |message: String, advice: String| {
        let place = Source::file(&name, "").nowhere();
        Errors::one(Mistake { kind: MistakeKind::Unreadable, place, message, advice })
    };
    let text = std::fs::read(path)
        .map_err(|error| unreadable("the file can't be read".into(), error.to_string()))?;
    if text.len() > LARGEST_FILE {
        return Err(unreadable("the file is too large".into(), "allowed: up to 16 MiB".into()));
    }
    let text = String::from_utf8(text).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = error.as_bytes().iter().take(at).filter(|b| **b == b'\n').count() + 1;
        unreadable("the file isn't UTF-8".into(), format!("the first wrong byte is in line {line}"))
    })?;
    let full = std::path::absolute(path)
        .map_err(|error| unreadable("the file has no place".into(), error.to_string()))?;
    read_loaded(Source::file(&name, &text), full.parent())
}

/// Reads a text; `name` is how messages call it. Files that it names are neither moved nor looked for.
///
/// ```
/// let text = "[upstream.orders]\nendpoints = [\"https://a.example\"]\nretry.max_atempts = 3";
/// let errors = mainstay_config::parse(text, "mainstay.toml").unwrap_err();
/// assert_eq!(
///     errors.to_string(),
///     "error: unknown key `max_atempts`\n \
///      --> mainstay.toml:3:7\n  \
///        |\n\
///      3 | retry.max_atempts = 3\n  \
///        |       ^^^^^^^^^^^ did you mean `max_attempts`?\n"
/// );
/// ```
///
/// # Errors
///
/// Everything that is wrong with it; that it isn't TOML alone.
pub fn parse(text: &str, name: &str) -> Result<Loaded, Errors> {
    read_loaded(Source::file(name, text), None)
}

/// The shortest useful file.
#[must_use]
pub const fn example() -> &'static str {
    include_str!("example.toml")
}

fn read_loaded(source: Source, base: Option<&Path>) -> Result<Loaded, Errors> {
    let (settings, places) = read::read(&source, base)?;
    Ok(Loaded { settings, source, places })
}

/// A file of this size would hold a hundred thousand routes; more is a mistake, such as a log.
const LARGEST_FILE: usize = 16 << 20;
