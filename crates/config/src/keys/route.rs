//! `[[route]]`

use super::{Key, Kind, Rule, call, key, own, within};
use crate::draft::{RouteDraft, ScopeWord};

pub(crate) fn route() -> Vec<Key<RouteDraft>> {
    let mut keys = vec![
        key("name", Kind::Text(Rule::Name), |r: &mut RouteDraft| &mut r.name)
            .default_is("upstream and path")
            .says("What it is called in records."),
        key("hosts", Kind::Texts(Rule::HostPattern), |r: &mut RouteDraft| &mut r.hosts)
            .default_is("any")
            .says("Hosts that it is for, without port; `*.example.com` is any name below."),
        key("path", Kind::Text(Rule::Path), |r: &mut RouteDraft| &mut r.path)
            .default_is("any")
            .says("Path that it is for: whole segments; `{name}` or `*` stands for one, `**` at the end for the rest."),
        key("methods", Kind::Texts(Rule::Method), |r: &mut RouteDraft| &mut r.methods)
            .default_is("any")
            .says("Methods that it is for."),
        own("query", Kind::Matches).default_is("any").says("Query parameters that must be there."),
        own("headers", Kind::Matches).default_is("any").says("Header fields that must be there."),
        own("upstream", Kind::Text(Rule::Upstream))
            .default_is("the only one")
            .says("Where its requests go."),
        own("profile", Kind::Text(Rule::Profile))
            .default_is("none")
            .says("A named set of settings; of it, what concerns calls goes on top of the upstream's."),
        key("breaker", Kind::choice::<ScopeWord>(), |r: &mut RouteDraft| &mut r.breaker)
            .says("Whose breaker judges: the endpoint's, or one of this route's own at each endpoint, so that one broken operation doesn't close the others. At most 64 routes of an upstream have their own."),
        key("strip_prefix", Kind::Text(Rule::PlainPath), |r: &mut RouteDraft| &mut r.strip_prefix)
            .or_off()
            .says("Path prefix taken off before the endpoint's base path is put in front."),
    ];
    keys.extend(within("", call(), |r: &mut RouteDraft| &mut r.call));
    keys
}
