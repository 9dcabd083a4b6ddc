//! What the application gets when its call brought nothing good: an answer that was good before, or a fixed one.
//!
//! ```text
//!   a good answer ─▶ keep: may it be kept, for how long may it stand in? ──▶ the driver's store
//!   no answer, or a 5xx ─▶ stands_in: may anything else be given? ─▶ Lifetime::age: may this one, still?
//! ```
//!
//! [`keep`] goes by RFC 9111 (what may be stored, [`Directives`] and ages) and RFC 5861 (`stale-if-error`). Where these leave a
//! choice the stricter reading is taken: what is given out here is old and nobody could ask whether it still holds.
//! Mainstay is no cache beyond that: while the upstream answers, the upstream answers.
//!
//! What it doesn't do: estimate a lifetime that nobody stated, refresh what it keeps by a 304, or read `Pragma`.

mod asked;
mod directives;
mod given;
mod lifetime;

pub use asked::{Asked, Verb};
pub use directives::Directives;
pub use given::Given;
pub use lifetime::{Lifetime, Unkept, keep};

use core::time::Duration;

use crate::breaks::BreakKind;

/// Whether and when an answer that was good before is given once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StaleSettings {
    /// How long beyond its freshness an answer may be given that says nothing about it. Default none: only answers that say
    /// so themselves, by `stale-if-error`.
    pub if_error: Option<Duration>,
    /// Whether all requests are those of one user, so that what is private may be kept as well. Default false: the proxy is a
    /// shared cache.
    pub private: bool,
    /// Whether it is given in place of the upstream's own 500, 502, 503 and 504 too (RFC 5861, section 4). Default true.
    pub instead_of_errors: bool,
}

impl Default for StaleSettings {
    fn default() -> Self {
        Self { if_error: None, private: false, instead_of_errors: true }
    }
}

/// When a fixed answer is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FallbackSettings {
    /// Whether it is given in place of the upstream's own 500, 502, 503 and 504 too. Default false.
    pub instead_of_errors: bool,
    /// Whether requests get it that change something: what became of them is then said in `Proxy-Status` only. Default false.
    pub any_method: bool,
}

/// How a call ended that brought nothing good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Without an answer.
    Failed(BreakKind),
    /// With a broken attempt's own answer, of this status.
    AsIs(u16),
}

impl End {
    /// Whether something else may be given.
    const fn may_be_replaced(self, errors_too: bool) -> bool {
        match self {
            // Nobody is there to read it.
            Self::Failed(BreakKind::ClientGone) => false,
            Self::Failed(_) => true,
            // RFC 5861, section 4. A 501 or 505 says something lasting, and a 4xx is about the request.
            Self::AsIs(status) => errors_too && matches!(status, 500 | 502 | 503 | 504),
        }
    }
}

impl StaleSettings {
    /// Whether an answer that was good before may be given to this request.
    #[must_use]
    pub const fn stands_in(&self, asked: &Asked, end: End) -> bool {
        asked.may_be_answered_from_kept() && end.may_be_replaced(self.instead_of_errors)
    }
}

impl FallbackSettings {
    /// Whether the fixed answer may be given to this request.
    #[must_use]
    pub const fn stands_in(&self, asked: &Asked, end: End) -> bool {
        (self.any_method || asked.verb.is_safe()) && end.may_be_replaced(self.instead_of_errors)
    }
}

/// Whether what is kept for the target of a request has to go, since the request changed it (RFC 9111, section 4.4).
#[must_use]
pub const fn invalidates(asked: &Asked, status: u16) -> bool {
    !asked.verb.is_safe() && status >= 200 && status < 400
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: &str) -> Asked {
        Asked::of(method, core::iter::empty())
    }

    #[test]
    fn a_stale_answer_stands_in_for_failures_and_four_statuses_but_never_for_a_write() {
        let settings = StaleSettings::default();
        for kind in BreakKind::ALL {
            let end = End::Failed(kind);
            assert_eq!(
                settings.stands_in(&asked("GET"), end),
                kind != BreakKind::ClientGone,
                "{kind:?}"
            );
            for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "get", "QUERY"] {
                assert!(!settings.stands_in(&asked(method), end), "{method} {kind:?}");
            }
        }
        for status in 400..600 {
            let wanted = matches!(status, 500 | 502 | 503 | 504);
            assert_eq!(settings.stands_in(&asked("HEAD"), End::AsIs(status)), wanted, "{status}");
        }
        let failures_only = StaleSettings { instead_of_errors: false, ..settings };
        assert!(!failures_only.stands_in(&asked("GET"), End::AsIs(503)));
        assert!(failures_only.stands_in(&asked("GET"), End::Failed(BreakKind::ConnectRefused)));
    }

    #[test]
    fn a_fixed_answer_is_for_safe_methods_unless_a_route_says_otherwise() {
        let end = End::Failed(BreakKind::ResponseTimeout);
        let fallback = FallbackSettings::default();
        for method in ["GET", "HEAD", "OPTIONS", "TRACE"] {
            assert!(fallback.stands_in(&asked(method), end), "{method}");
        }
        assert!(!fallback.stands_in(&asked("POST"), end));
        assert!(!fallback.stands_in(&asked("GET"), End::AsIs(503)));
        let all = FallbackSettings { instead_of_errors: true, any_method: true };
        assert!(all.stands_in(&asked("POST"), end) && all.stands_in(&asked("GET"), End::AsIs(503)));
        assert!(!all.stands_in(&asked("GET"), End::AsIs(501)));
        assert!(!all.stands_in(&asked("GET"), End::Failed(BreakKind::ClientGone)));
    }

    #[test]
    fn a_write_that_went_well_takes_what_is_kept_with_it() {
        for (method, status, gone) in [
            ("POST", 200, true),
            ("DELETE", 204, true),
            ("PUT", 303, true),
            ("POST", 400, false),
            ("POST", 503, false),
            ("GET", 200, false),
            ("HEAD", 200, false),
        ] {
            assert_eq!(invalidates(&asked(method), status), gone, "{method} {status}");
        }
    }
}
