//! What is wrong with what the user wrote.

use std::fmt;

use crate::source::Place;

/// Everything that is wrong, in the order of the text. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Errors(Vec<Mistake>);

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Of which sort it is.
    pub kind: MistakeKind,
    /// Where.
    pub place: Place,
    /// What is wrong, in one line.
    pub message: String,
    /// What is allowed there, or what was probably meant.
    pub advice: String,
}

/// Sorts of mistakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MistakeKind {
    /// The file, or one that it names, can't be read.
    Unreadable,
    /// It isn't TOML.
    Syntax,
    /// There is no such key.
    UnknownKey,
    /// Another type of value belongs there.
    WrongType,
    /// The notation is wrong: a unit is missing, a URL isn't one.
    WrongForm,
    /// Outside of what is allowed.
    OutOfRange,
    /// A name that nothing has.
    UnknownName,
    /// A name or address that something else has already.
    Taken,
    /// Something that has to be there isn't.
    Missing,
    /// A route that no request can reach.
    Unreachable,
    /// Two settings that can't both hold.
    Contradiction,
}

impl MistakeKind {
    /// A stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Syntax => "syntax",
            Self::UnknownKey => "unknown-key",
            Self::WrongType => "wrong-type",
            Self::WrongForm => "wrong-form",
            Self::OutOfRange => "out-of-range",
            Self::UnknownName => "unknown-name",
            Self::Taken => "taken",
            Self::Missing => "missing",
            Self::Unreachable => "unreachable",
            Self::Contradiction => "contradiction",
        }
    }
}

impl Errors {
    /// `None` when there is nothing to tell.
    pub(crate) fn new(mut list: Vec<Mistake>) -> Option<Self> {
        // What an upstream says is read once for each of its routes; the same mistake is told once.
        list.sort_by(|a, b| {
            let key = |mistake: &Mistake| (mistake.place.line, mistake.place.column);
            let rest = |mistake: &Mistake| (mistake.place.name.clone(), mistake.message.clone());
            key(a).cmp(&key(b)).then_with(|| rest(a).cmp(&rest(b)))
        });
        list.dedup();
        (!list.is_empty()).then_some(Self(list))
    }

    pub(crate) fn one(mistake: Mistake) -> Self {
        Self(vec![mistake])
    }

    /// Each of them.
    #[must_use]
    pub fn list(&self) -> &[Mistake] {
        &self.0
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "error: {}", self.message)?;
        self.place.show(f, &self.advice)
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().take(MOST_SHOWN).enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            mistake.fmt(f)?;
        }
        match self.0.len().checked_sub(MOST_SHOWN) {
            Some(more @ 1..) => writeln!(f, "\nand {more} more"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for Errors {}

/// More are not collected: a file that isn't one (a log, a picture) has a mistake in each line, and each costs an excerpt.
pub(crate) const MOST_MISTAKES: usize = 200;

/// Nobody reads more than this at once.
const MOST_SHOWN: usize = 50;
