//! What the error of the last check said: the engine keeps the kind of break alone, and a person wants to read more.

use std::sync::Arc;

use mainstay_core::BreakKind;
use parking_lot::Mutex;

use crate::broken::Broken;

/// What an error said, within bounds: a part of it may be the peer's own words.
#[derive(Clone, Debug)]
pub(super) struct Said {
    kind: BreakKind,
    text: Arc<str>,
}

/// The last one; none after a check that passed.
#[derive(Debug, Default)]
pub(super) struct LastSaid(Mutex<Option<Said>>);

impl Said {
    pub(super) fn of(broken: Broken) -> Option<Self> {
        let text = broken.details.filter(|text| !text.is_empty())?;
        let text = match text.char_indices().nth(LONGEST) {
            None => text.into(),
            Some((end, _)) => format!("{}...", &text[..end]).into(),
        };
        Some(Self { kind: broken.what.kind, text })
    }

    pub(super) fn text(&self) -> &Arc<str> {
        &self.text
    }
}

impl LastSaid {
    pub(super) fn keep(&self, said: Option<Said>) {
        *self.0.lock() = said;
    }

    /// What was said of this kind of break: the check that it was said of may not be the one that is asked about.
    pub(super) fn of(&self, kind: BreakKind) -> Option<Arc<str>> {
        let said = self.0.lock();
        said.as_ref().filter(|said| said.kind == kind).map(|said| Arc::clone(&said.text))
    }
}

/// Letters that are kept: enough for any error of this host, and no room for a peer that talks.
const LONGEST: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;
    use mainstay_core::Certainty;

    fn said(details: &str) -> Option<Said> {
        Said::of(Broken::new(BreakKind::ServerError, Certainty::Processed).details(details))
    }

    #[test]
    fn what_was_said_is_kept_within_bounds_and_not_in_the_middle_of_a_letter() {
        assert!(said("").is_none());
        assert_eq!(&**said("short").unwrap().text(), "short");
        let long = said(&"\u{e4}".repeat(1000)).unwrap();
        assert_eq!(long.text().chars().count(), LONGEST + 3);
    }

    #[test]
    fn what_was_said_of_one_break_is_not_told_of_another() {
        let last = LastSaid::default();
        last.keep(said("down"));
        assert_eq!(last.of(BreakKind::ServerError).as_deref(), Some("down"));
        assert_eq!(last.of(BreakKind::ConnectRefused), None);
        last.keep(None);
        assert_eq!(last.of(BreakKind::ServerError), None);
    }
}
