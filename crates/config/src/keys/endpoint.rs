//! An endpoint that is written as a table.

use super::{Key, Kind, Rule, key, number};
use crate::draft::EndpointDraft;

pub(crate) fn endpoint() -> Vec<Key<EndpointDraft>> {
    vec![
        key("url", Kind::Text(Rule::Url), |e: &mut EndpointDraft| &mut e.url)
            .default_is("must be given")
            .says("Scheme, host, port and base path, such as `https://a.example/v1`."),
        key("name", Kind::Text(Rule::Name), |e: &mut EndpointDraft| &mut e.name)
            .default_is("host and port")
            .says("What it is called in records; by it its state is found again after a reload."),
        key("tier", number(0, 7), |e: &mut EndpointDraft| &mut e.tier)
            .says("Failover rank: tier 0 is used first."),
        key("weight", number(1, 1000), |e: &mut EndpointDraft| &mut e.weight)
            .says("Share of the tier's calls, compared with the others. An endpoint that is to get nothing is left out."),
    ]
}
