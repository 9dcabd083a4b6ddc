//! Whether an answer may be kept, and for how long it may stand in for one that didn't come.

use core::time::Duration;

use super::{Asked, Given, StaleSettings, Verb};

/// How long an answer that is kept may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// How old it was when it arrived.
    age: Duration,
    fresh_for: Duration,
    beyond: Beyond,
}

/// What holds once it isn't fresh any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beyond {
    /// It mustn't be given (`must-revalidate` and the like).
    Forbidden,
    /// Nobody has allowed it, but a request may.
    Unsaid,
    /// It may be given for so long.
    For(Duration),
}

/// Why an answer isn't kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unkept {
    /// Only answers to GET are.
    Method,
    /// A part of something was asked for, or came.
    Part,
    /// Answers of this status aren't.
    Status,
    /// Request or answer says `no-store`.
    NoStore,
    /// It may never be given without asking (`no-cache`).
    NoCache,
    /// It is for one user, and the route isn't.
    Private,
    /// The request was authorised, and the answer doesn't say that others may have it (RFC 9111, section 3.5).
    Authorized,
    /// It sets a cookie, which is for one user.
    Cookie,
    /// It depends on more than a request says.
    VariesByAll,
    /// It would never be given.
    NoUse,
}

impl Unkept {
    /// Whether what was kept before under the same request has to go: the upstream has said something newer about it.
    #[must_use]
    pub const fn replaces(self) -> bool {
        match self {
            Self::Method | Self::Part | Self::Status => false,
            Self::NoStore
            | Self::NoCache
            | Self::Private
            | Self::Authorized
            | Self::Cookie
            | Self::VariesByAll
            | Self::NoUse => true,
        }
    }
}

/// Whether an answer may be kept (RFC 9111, section 3), and for how long it may be given.
///
/// # Errors
///
/// The first reason against it.
pub fn keep(asked: &Asked, given: &Given, settings: &StaleSettings) -> Result<Lifetime, Unkept> {
    let said = &given.directives;
    if asked.verb != Verb::Get {
        return Err(Unkept::Method);
    }
    if asked.has_range || given.is_part {
        return Err(Unkept::Part);
    }
    // Of the statuses that may be kept without being told (RFC 9110, section 15.1) those that are an answer about the
    // resource. A 206 is a part, 405, 414 and 501 are about the request.
    if !matches!(given.status, 200 | 203 | 204 | 300 | 301 | 308 | 404 | 410) {
        return Err(Unkept::Status);
    }
    if asked.directives.no_store || said.no_store {
        return Err(Unkept::NoStore);
    }
    if said.no_cache {
        return Err(Unkept::NoCache);
    }
    let shared = !settings.private;
    if shared && said.private {
        return Err(Unkept::Private);
    }
    let for_all = said.public || said.must_revalidate || said.s_maxage.is_some();
    if shared && asked.has_authorization && !for_all {
        return Err(Unkept::Authorized);
    }
    if given.sets_cookie {
        return Err(Unkept::Cookie);
    }
    if given.varies_by_all {
        return Err(Unkept::VariesByAll);
    }
    let lifetime = Lifetime {
        age: given.age,
        fresh_for: fresh_for(given, shared),
        beyond: beyond(given, settings),
    };
    if lifetime.usable_for().is_zero() { Err(Unkept::NoUse) } else { Ok(lifetime) }
}

/// How long it is fresh (RFC 9111, section 4.2.1); what doesn't say so isn't: nothing is estimated.
fn fresh_for(given: &Given, shared: bool) -> Duration {
    let said = &given.directives;
    let shared_age = said.s_maxage.filter(|_| shared);
    match shared_age.or(said.max_age) {
        Some(age) => Duration::from_secs(age.into()),
        None => given.expires_in.unwrap_or(Duration::ZERO),
    }
}

/// Section 4.2.4: what these forbid, nobody else can allow.
fn beyond(given: &Given, settings: &StaleSettings) -> Beyond {
    let said = &given.directives;
    let for_shared = said.proxy_revalidate || said.s_maxage.is_some();
    if said.must_revalidate || (!settings.private && for_shared) {
        return Beyond::Forbidden;
    }
    let own = said.stale_if_error.map(|seconds| Duration::from_secs(seconds.into()));
    own.or(settings.if_error).map_or(Beyond::Unsaid, Beyond::For)
}

impl Lifetime {
    /// How old it is, and so what `Age` says, if it may be given to this request after it was kept for so long.
    #[must_use]
    pub fn age(&self, kept_for: Duration, asked: &Asked) -> Option<Duration> {
        let said = &asked.directives;
        let length = |seconds: u32| Duration::from_secs(seconds.into());
        let age = self.age.saturating_add(kept_for);
        if !asked.may_be_answered_from_kept() || said.max_age.is_some_and(|most| age > length(most))
        {
            return None;
        }
        let least = said.min_fresh.map_or(Duration::ZERO, length);
        let fresh_left = self.fresh_for.saturating_sub(age);
        if fresh_left > least {
            return Some(age);
        }
        // Who wants it fresh doesn't want it stale; `max-age` alone says the same (section 5.2.1.1).
        let stale_is_fine = said.stale_if_error.is_some() || said.max_stale.is_some();
        if said.min_fresh.is_some() || (said.max_age.is_some() && !stale_is_fine) {
            return None;
        }
        let wanted = said.stale_if_error.map(length);
        let allowed = match self.beyond {
            Beyond::Forbidden => None,
            Beyond::Unsaid => wanted,
            Beyond::For(allowed) => Some(wanted.map_or(allowed, |wanted| wanted.min(allowed))),
        }?;
        let most = said.max_stale.map_or(allowed, |most| allowed.min(length(most)));
        let stale_for = age.saturating_sub(self.fresh_for);
        // Zero allows nothing, not even at the very moment.
        (!most.is_zero() && stale_for <= most).then_some(age)
    }

    /// For how long after its arrival it may be given, to requests that say nothing.
    #[must_use]
    pub fn usable_for(&self) -> Duration {
        let stale = match self.beyond {
            Beyond::Forbidden | Beyond::Unsaid => Duration::ZERO,
            Beyond::For(allowed) => allowed,
        };
        self.fresh_for.saturating_add(stale).saturating_sub(self.age)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;
    use std::vec::Vec;

    type Fields<'a> = &'a [(&'a str, &'a str)];

    fn asked(method: &str, fields: Fields<'_>) -> Asked {
        Asked::of(method, fields.iter().map(|(name, value)| (*name, value.as_bytes())))
    }

    fn given(status: u16, fields: Fields<'_>) -> Given {
        let fields = fields.iter().map(|(name, value)| (*name, value.as_bytes()));
        Given::of(status, fields, 784_111_777, Duration::ZERO)
    }

    const MINUTE: StaleSettings = StaleSettings {
        if_error: Some(Duration::from_secs(60)),
        private: false,
        instead_of_errors: true,
    };

    fn check(
        request: Fields<'_>,
        answer: Fields<'_>,
        settings: StaleSettings,
        wanted: Result<u64, Unkept>,
    ) {
        let kept = keep(&asked("GET", request), &given(200, answer), &settings);
        let kept = kept.map(|lifetime| lifetime.usable_for().as_secs());
        assert_eq!(kept, wanted, "{request:?} {answer:?} {settings:?}");
    }

    fn control(line: &str) -> [(&str, &str); 1] {
        [("cache-control", line)]
    }

    #[test]
    fn how_long_an_answer_may_be_given_is_its_freshness_and_what_is_allowed_beyond() {
        let none = StaleSettings::default();
        for (line, by_itself, with_a_minute) in [
            ("max-age=600, stale-if-error=1200", Ok(1800), Ok(1800)),
            ("max-age=10", Ok(10), Ok(70)),
            ("public", Err(Unkept::NoUse), Ok(60)),
            ("max-age=0", Err(Unkept::NoUse), Ok(60)),
            ("stale-if-error=30", Ok(30), Ok(30)),
            ("max-age=0, stale-if-error=0", Err(Unkept::NoUse), Err(Unkept::NoUse)),
            ("max-age=10, must-revalidate", Ok(10), Ok(10)),
            ("max-age=10, must-revalidate, stale-if-error=60", Ok(10), Ok(10)),
            ("max-age=0, must-revalidate", Err(Unkept::NoUse), Err(Unkept::NoUse)),
            ("max-age=10, proxy-revalidate", Ok(10), Ok(10)),
            ("max-age=10, s-maxage=20", Ok(20), Ok(20)),
            ("s-maxage=0, max-age=10", Err(Unkept::NoUse), Err(Unkept::NoUse)),
            ("no-store", Err(Unkept::NoStore), Err(Unkept::NoStore)),
            ("no-store, must-understand, max-age=9", Err(Unkept::NoStore), Err(Unkept::NoStore)),
            ("no-cache, max-age=9", Err(Unkept::NoCache), Err(Unkept::NoCache)),
            ("private, max-age=9", Err(Unkept::Private), Err(Unkept::Private)),
            ("private=\"x\", max-age=9", Err(Unkept::Private), Err(Unkept::Private)),
        ] {
            check(&[], &control(line), none, by_itself);
            check(&[], &control(line), MINUTE, with_a_minute);
        }
        check(&[], &[], none, Err(Unkept::NoUse));
        check(&[], &[], MINUTE, Ok(60));
    }

    #[test]
    fn a_route_of_one_user_keeps_what_is_private_and_heeds_nothing_said_to_shared_caches() {
        let own = StaleSettings { private: true, ..MINUTE };
        check(&[], &control("private, max-age=9"), own, Ok(69));
        check(&[], &control("max-age=9, s-maxage=100"), own, Ok(69));
        check(&[], &control("max-age=9, proxy-revalidate"), own, Ok(69));
        check(&[], &control("max-age=9, must-revalidate"), own, Ok(9));
        check(&[("authorization", "Basic x")], &control("max-age=9"), own, Ok(69));
        check(&[], &control("no-store"), own, Err(Unkept::NoStore));
    }

    #[test]
    fn what_was_authorised_is_kept_only_where_the_answer_says_that_it_may() {
        let request = [("authorization", "Bearer x")];
        for (line, wanted) in [
            ("max-age=9", Err(Unkept::Authorized)),
            ("stale-if-error=9", Err(Unkept::Authorized)),
            ("public, max-age=9", Ok(69)),
            ("s-maxage=9", Ok(9)),
            ("max-age=9, must-revalidate", Ok(9)),
            ("max-age=9, proxy-revalidate", Err(Unkept::Authorized)),
        ] {
            check(&request, &control(line), MINUTE, wanted);
        }
    }

    #[test]
    fn cookies_parts_and_what_varies_by_everything_are_not_kept() {
        check(&[], &[("set-cookie", "a=b")], MINUTE, Err(Unkept::Cookie));
        check(
            &[],
            &[("set-cookie", "a=b"), ("cache-control", "public")],
            MINUTE,
            Err(Unkept::Cookie),
        );
        check(&[], &[("vary", "*")], MINUTE, Err(Unkept::VariesByAll));
        check(&[], &[("vary", "accept")], MINUTE, Ok(60));
        check(&[], &[("content-range", "bytes 0-1/2")], MINUTE, Err(Unkept::Part));
        check(&[("range", "bytes=0-1")], &[], MINUTE, Err(Unkept::Part));
        check(&[("cache-control", "no-store")], &[], MINUTE, Err(Unkept::NoStore));
        check(&[("cookie", "a=b")], &[], MINUTE, Ok(60));
    }

    #[test]
    fn only_answers_to_get_of_a_few_statuses_are_kept() {
        let kept: Vec<u16> = (100..600)
            .filter(|status| keep(&asked("GET", &[]), &given(*status, &[]), &MINUTE).is_ok())
            .collect();
        assert_eq!(kept, [200, 203, 204, 300, 301, 308, 404, 410]);
        for method in ["HEAD", "POST", "PUT", "OPTIONS", "get", ""] {
            assert_eq!(keep(&asked(method, &[]), &given(200, &[]), &MINUTE), Err(Unkept::Method));
        }
    }

    #[test]
    fn age_on_arrival_and_expires_count() {
        let none = StaleSettings::default();
        check(&[], &[("cache-control", "max-age=60"), ("age", "20")], none, Ok(40));
        check(&[], &[("cache-control", "max-age=60"), ("age", "60")], none, Err(Unkept::NoUse));
        check(&[], &[("cache-control", "max-age=60"), ("age", "100")], MINUTE, Ok(20));
        let date = ("date", "Sun, 06 Nov 1994 08:49:27 GMT");
        let expires = ("expires", "Sun, 06 Nov 1994 08:50:27 GMT");
        check(&[], &[date, expires], none, Ok(50));
        check(&[], &[date, expires, ("cache-control", "max-age=20")], none, Ok(10));
    }

    /// Whether an answer that is 100 s fresh and may be 50 s stale is given at these ages.
    fn given_at(answer: &str, request: &str) -> String {
        let lifetime =
            keep(&asked("GET", &[]), &given(200, &control(answer)), &StaleSettings::default());
        let asked = asked("GET", &control(request));
        let at = |age: u64| lifetime.unwrap().age(Duration::from_secs(age), &asked).is_some();
        [0, 50, 99, 100, 120, 150, 151].map(|age| if at(age) { 'y' } else { '-' }).iter().collect()
    }

    #[test]
    fn a_request_can_ask_for_less_and_allows_only_what_nobody_has_spoken_of() {
        let said = "max-age=100, stale-if-error=50";
        for (request, wanted) in [
            ("", "yyyyyy-"),
            ("stale-if-error=20", "yyyyy--"),
            ("stale-if-error=500", "yyyyyy-"),
            ("stale-if-error=0", "yyy----"),
            ("max-stale", "yyyyyy-"),
            ("max-stale=20", "yyyyy--"),
            ("max-age=50", "yy-----"),
            ("max-age=130", "yyy----"),
            ("max-age=130, stale-if-error=50", "yyyyy--"),
            ("max-age=0", "y------"),
            ("min-fresh=40", "yy-----"),
            ("no-cache", "-------"),
        ] {
            assert_eq!(given_at(said, request), wanted, "{request}");
        }
        assert_eq!(given_at("max-age=100", ""), "yyy----");
        assert_eq!(given_at("max-age=100", "stale-if-error=50"), "yyyyyy-");
        assert_eq!(given_at("max-age=100", "max-stale=50"), "yyy----");
        for strict in ["must-revalidate", "proxy-revalidate", "s-maxage=100"] {
            let line = std::format!("max-age=100, stale-if-error=50, {strict}");
            assert_eq!(given_at(&line, ""), "yyy----", "{line}");
            assert_eq!(given_at(&line, "stale-if-error=50, max-stale"), "yyy----", "{line}");
        }
    }

    #[test]
    fn what_is_given_says_its_whole_age() {
        let lifetime = keep(
            &asked("GET", &[]),
            &given(200, &[("age", "7"), ("cache-control", "max-age=60")]),
            &MINUTE,
        );
        let age = lifetime.unwrap().age(Duration::from_millis(2_500), &asked("HEAD", &[]));
        assert_eq!(age, Some(Duration::from_millis(9_500)));
    }
}
