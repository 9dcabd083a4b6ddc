//! `[admin]` and `[[listener]]`

use super::{Key, Kind, Rule, key};
use crate::draft::{AdminDraft, ListenerDraft};

pub(crate) fn admin() -> Vec<Key<AdminDraft>> {
    vec![
        key("address", Kind::Text(Rule::Address), |a: &mut AdminDraft| &mut a.address)
            .says("Where. An address that isn't loopback needs a token."),
        key("token", Kind::Text(Rule::Any), |a: &mut AdminDraft| &mut a.token)
            .default_is("none")
            .says("The bearer token that requests must carry."),
        key("token_file", Kind::File, |a: &mut AdminDraft| &mut a.token_file)
            .default_is("none")
            .says("A file that holds the token, space around it left out."),
        key("token_env", Kind::Text(Rule::Any), |a: &mut AdminDraft| &mut a.token_env)
            .default_is("none")
            .says("The environment variable that holds the token."),
    ]
}

pub(crate) fn listener() -> Vec<Key<ListenerDraft>> {
    vec![
        key("address", Kind::Text(Rule::Address), |l: &mut ListenerDraft| &mut l.address)
            .default_is("must be given")
            .says("Where applications connect."),
        key("certificate", Kind::File, |l: &mut ListenerDraft| &mut l.certificate)
            .default_is("none")
            .says("Certificate chain, PEM, leaf first: with it TLS is spoken. Needs `key`."),
        key("key", Kind::File, |l: &mut ListenerDraft| &mut l.key)
            .default_is("none")
            .says("Private key of the certificate, PEM."),
    ]
}
