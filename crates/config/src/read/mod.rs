//! From text to settings.
//!
//! ```text
//!   text ─▶ tree with spans (toml) ─▶ drafts: layers laid over each other ─▶ checked settings
//!                                    walk, upstream, route, listen, admin    give_way, build
//! ```
//!
//! Why not derive it: a deserialiser stops at the first error and loses the places of what it has read. This reader goes
//! on after each mistake, so that one run tells all of them, and remembers where each key was written, so that
//! what the engine's own rules find later can be shown in its line.

mod admin;
mod build;
mod callback;
mod cover;
mod endpoints;
mod give_way;
mod listen;
mod load;
mod matches;
mod outbox;
mod places;
mod route;
mod syntax;
mod upstream;
mod walk;

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

pub(crate) use places::{Places, join};

use crate::draft::TopDraft;
use crate::keys;
use crate::mistake::{Errors, MOST_MISTAKES, Mistake, MistakeKind};
use crate::settings::Settings;
use crate::source::Source;
use build::Built;

/// Reads a text.
///
/// `base` is the directory that files are relative to; without it they are neither moved nor looked for.
pub(crate) fn read(source: &Source, base: Option<&Path>) -> Result<(Settings, Places), Errors> {
    let table = syntax::parse(source)?;
    let mut reader = Reader::new(source, base);
    let settings = reader.file(&table);
    match (settings, Errors::new(reader.mistakes)) {
        (Some(settings), None) => Ok((settings, reader.places)),
        (_, Some(errors)) => Err(errors),
        (None, None) => {
            // No settings without a mistake would be a defect here; the safe answer is to refuse.
            debug_assert!(false, "refused without a reason");
            Err(Errors::one(unexplained(source)))
        }
    }
}

/// Reads a fragment that is laid over a draft, such as a profile. Gives what it says.
pub(crate) fn lay_over<T>(
    text: &str,
    keys: &[keys::Key<T>],
    draft: &mut T,
) -> Result<Places, Errors> {
    let source = Source::file("profile", text);
    let table = syntax::parse(&source)?;
    let mut reader = Reader::new(&source, None);
    reader.apply(keys, &table, draft, "");
    match Errors::new(reader.mistakes) {
        None => Ok(reader.places),
        Some(errors) => Err(errors),
    }
}

/// Reads one text, and goes on after each mistake.
struct Reader<'s> {
    source: &'s Source,
    base: Option<&'s Path>,
    places: Places,
    mistakes: Vec<Mistake>,
    /// Paths of keys whose values couldn't be taken: what the rules say about them would mislead.
    faulty: BTreeSet<String>,
}

/// A key with its value, each with its place.
type Entry<'t, 's> = (&'t Spanned<DeString<'s>>, &'t Spanned<DeValue<'s>>);

impl<'s> Reader<'s> {
    fn new(source: &'s Source, base: Option<&'s Path>) -> Self {
        let (places, mistakes, faulty) = Default::default();
        Self { source, base, places, mistakes, faulty }
    }
}

impl Reader<'_> {
    fn file(&mut self, table: &DeTable<'_>) -> Option<Settings> {
        let mut top = TopDraft::default();
        self.apply(&keys::top(), table, &mut top, "");
        let listeners = self.listeners(table, &top);
        let admin = self.admin(table, &listeners);
        let upstreams = self.upstreams(table);
        let routes = self.routes(table, &upstreams);
        let Built { upstreams, routes, callbacks } = self.build(&top, upstreams, routes)?;
        self.mistakes.is_empty().then_some(Settings {
            listeners,
            admin,
            limits: top.limits,
            records: top.records,
            outbox: top.outbox,
            incidents: top.incidents,
            traces: top.traces,
            metrics: top.metrics,
            threads: top.threads,
            drain_timeout: top.drain_timeout,
            upstreams,
            routes,
            callbacks,
            log_calls: top.log_calls,
            log_format: top.log_format,
            access_log: top.access_log,
        })
    }

    /// Whether further mistakes aren't collected, so that there is no use in looking for advice.
    fn is_full(&self) -> bool {
        self.mistakes.len() >= MOST_MISTAKES
    }

    fn mistake(
        &mut self,
        kind: MistakeKind,
        span: &Range<usize>,
        message: impl Into<String>,
        advice: impl Into<String>,
    ) {
        if self.is_full() {
            return;
        }
        let place = self.source.place(span);
        self.mistakes.push(Mistake { kind, place, message: message.into(), advice: advice.into() });
    }
}

/// The entry called `name`.
fn entry<'t, 's>(table: &'t DeTable<'s>, name: &str) -> Option<Entry<'t, 's>> {
    table.iter().find(|(key, _)| key.get_ref() == name)
}

/// All entries, in the order of the text.
fn entries<'t, 's>(table: &'t DeTable<'s>) -> Vec<Entry<'t, 's>> {
    let mut entries: Vec<Entry<'t, 's>> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

fn unexplained(source: &Source) -> Mistake {
    Mistake {
        kind: MistakeKind::Contradiction,
        place: source.nowhere(),
        message: "these settings can't be used".into(),
        advice: String::new(),
    }
}
