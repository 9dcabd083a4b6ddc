//! Checked settings: the engine takes a [`Checked`] value only, so a wrong setting is refused before it can act.
//!
//! Settings are plain structs with a default for each field. [`Checked::new`] asks all of their rules at once
//! and lists each [`Problem`] with its place, its value and what is allowed; what comes back can't be changed.

use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::ops::Deref;

/// Settings that know their own rules.
pub trait Check {
    /// Adds a [`Problem`] for each rule that is broken.
    fn check(&self, problems: &mut Problems);
}

/// Settings whose rules all hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked<T>(T);

impl<T: Check> Checked<T> {
    /// Checks `settings`.
    ///
    /// # Errors
    ///
    /// Every broken rule, not just the first.
    pub fn new(settings: T) -> Result<Self, Vec<Problem>> {
        let mut problems = Problems::default();
        settings.check(&mut problems);
        if problems.list.is_empty() { Ok(Self(settings)) } else { Err(problems.list) }
    }

    /// Gives the settings back, to be changed and checked again.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T: Check + Default> Default for Checked<T> {
    /// The defaults, which a test of each settings type proves to be within their own rules.
    fn default() -> Self {
        let settings = T::default();
        debug_assert!({
            let mut problems = Problems::default();
            settings.check(&mut problems);
            problems.list.is_empty()
        });
        Self(settings)
    }
}

impl<T> Deref for Checked<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// One broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where: the path of the setting, such as `breaker.window`.
    pub place: String,
    /// The value that was given, as the user would write it.
    pub value: String,
    /// What is allowed there, such as `1s to 5m`.
    pub allowed: Cow<'static, str>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}, allowed is {}", self.place, self.value, self.allowed)
    }
}

/// The problems found so far, with the place that is being looked at.
#[derive(Debug, Default)]
pub struct Problems {
    list: Vec<Problem>,
    path: Vec<&'static str>,
}

impl Problems {
    /// Looks at `part`, a group of settings called `name`.
    pub fn within(&mut self, name: &'static str, part: &impl Check) {
        self.path.push(name);
        part.check(self);
        self.path.pop();
    }

    /// Notes a problem at `place` unless `holds`.
    pub fn require(
        &mut self,
        holds: bool,
        place: &'static str,
        value: impl fmt::Debug,
        allowed: impl Into<Cow<'static, str>>,
    ) {
        if holds {
            return;
        }
        let mut path = self.path.join(".");
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(place);
        self.list.push(Problem {
            place: path,
            value: alloc::format!("{value:?}").to_string(),
            allowed: allowed.into(),
        });
    }
}
