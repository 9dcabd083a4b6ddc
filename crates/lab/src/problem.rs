//! What is wrong with a text that a person wrote: each problem with its line, the value and what is allowed.
//!
//! Readers collect problems and go on, so that one run names all of them.

use std::fmt;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The line, counted from 1; none for a text that is one line by itself.
    pub line: Option<usize>,
    /// What was being read: a key, a column.
    pub place: String,
    /// What was found there.
    pub value: String,
    /// What may stand there.
    pub allowed: String,
}

impl Problem {
    /// What was found at a place, and what may stand there.
    pub fn new(
        place: impl Into<String>,
        value: impl Into<String>,
        allowed: impl Into<String>,
    ) -> Self {
        Self { line: None, place: place.into(), value: value.into(), allowed: allowed.into() }
    }

    /// The same, on this line.
    #[must_use]
    pub fn on_line(mut self, line: usize) -> Self {
        self.line = Some(line);
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        write!(f, "{} is `{}`, allowed: {}", self.place, self.value, self.allowed)
    }
}

/// A text that can't be used, with everything that is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    problems: Vec<Problem>,
}

impl Invalid {
    /// All is well when nothing is wrong.
    ///
    /// # Errors
    ///
    /// The problems, if there are any.
    pub fn check(problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() { Ok(()) } else { Err(Self { problems }) }
    }

    /// All problems, in the order of the text; at least one.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl From<Problem> for Invalid {
    fn from(problem: Problem) -> Self {
        Self { problems: vec![problem] }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Invalid {}
