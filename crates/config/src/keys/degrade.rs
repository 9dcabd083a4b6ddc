//! `[route.stale]` and `[route.fallback]`, or the same at an upstream for all of its routes.

use super::{KIB, Key, Kind, MIB, Rule, hours, key, length, millis, number, size};
use crate::settings::{Fallback, Stale};

pub(super) fn stale() -> Vec<Key<Stale>> {
    vec![
        key("if_error", length(millis(1), hours(24 * 365)), |s: &mut Stale| &mut s.policy.if_error)
            .or_off()
            .says("How long beyond its freshness an answer may be given that says nothing about it; what the answer says itself, by `stale-if-error`, counts more. Without it, only answers that say so are given stale.")
            .low("It is too old when it is needed.")
            .high("The application goes on with what is long wrong."),
        key("private", Kind::Flag, |s: &mut Stale| &mut s.policy.private)
            .says("Whether all requests of the route are those of one user: then what is `private` or was asked for with `Authorization` is kept as well. Other credentials get nothing of it in any case."),
        key("instead_of_errors", Kind::Flag, |s: &mut Stale| &mut s.policy.instead_of_errors)
            .says("Whether it is given in place of the upstream's own 500, 502, 503 and 504 too, as RFC 5861 has it, once nothing better can come."),
        key("answer_size", size(KIB, 16 * MIB), |s: &mut Stale| &mut s.answer_bytes)
            .says("Most of an answer's body that is kept; at most a quarter of `limits.stale_total`.")
            .low("Large answers have nothing to stand in for them.")
            .high("A few large ones push out the many small ones."),
    ]
}

pub(super) fn fallback() -> Vec<Key<Fallback>> {
    vec![
        key("status", number(200, 599), |f: &mut Fallback| &mut f.status)
            .says("Its status."),
        key("content_type", Kind::Text(Rule::FieldValue), |f: &mut Fallback| &mut f.content_type)
            .or_off()
            .says("What its body is."),
        key("headers", Kind::Texts(Rule::Field), |f: &mut Fallback| &mut f.headers)
            .default_is("none")
            .says("Further fields. Without a `Cache-Control` among them it says `no-store`."),
        key("body", Kind::Text(Rule::Any), |f: &mut Fallback| &mut f.body)
            .or_off()
            .says("Its body."),
        key("file", Kind::File, |f: &mut Fallback| &mut f.file)
            .or_off()
            .says("The file that is its body, at most 1 MiB; read at the start and at each reload."),
        key("instead_of_errors", Kind::Flag, |f: &mut Fallback| &mut f.policy.instead_of_errors)
            .says("Whether it is given in place of the upstream's own 500, 502, 503 and 504 too, once nothing better can come."),
        key("danger_any_method", Kind::Flag, |f: &mut Fallback| &mut f.policy.any_method)
            .says("Whether requests that change something get it as well. Whether they were carried out is then said by `Proxy-Status` and the record only; an application that doesn't look takes it for success."),
    ]
}
