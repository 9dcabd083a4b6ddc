//! `[upstream.NAME.health]`

use super::{Key, Kind, Rule, hours, key, length, millis, minutes, number};
use crate::draft::{HealthDraft, ProbeWord};

pub(super) fn keys() -> Vec<Key<HealthDraft>> {
    vec![
        key("kind", Kind::choice::<ProbeWord>(), |h: &mut HealthDraft| &mut h.kind)
            .default_is("\"tcp\"; \"http\" when `path`, `passes` or `body_contains` is given, \"grpc\" when `service` is")
            .says("What a check does: a handshake (TCP, and TLS where the endpoint has it), a handshake with TLS, a GET, or a call of `grpc.health.v1.Health/Check` (an http:// endpoint needs `connect.http2 = \"always\"`)."),
        key("path", Kind::Text(Rule::ProbePath), |h: &mut HealthDraft| &mut h.path)
            .default_is("\"/\"")
            .says("Path and query of the GET, behind the endpoint's base path."),
        key("passes", Kind::Statuses { min: 100, max: 599 }, |h: &mut HealthDraft| &mut h.passes)
            .default_is("`[\"200-399\"]`")
            .says("Statuses that pass."),
        key("body_contains", Kind::Text(Rule::Any), |h: &mut HealthDraft| &mut h.body_contains)
            .default_is("anything")
            .says("Text that the first 64 KiB of the body must contain."),
        key("service", Kind::Text(Rule::Any), |h: &mut HealthDraft| &mut h.service)
            .default_is("the server as a whole")
            .says("The service that a check of kind \"grpc\" asks about."),
        key("timeout", length(millis(10), minutes(5)), |h: &mut HealthDraft| &mut h.timeout)
            .says("How long a check may take.")
            .low("A busy endpoint counts as down.")
            .high("A hanging one is found late."),
        key("interval", length(millis(100), hours(1)), |h: &mut HealthDraft| &mut h.rhythm.interval)
            .says("Time between checks of a healthy endpoint, \u{b1} 10 % chance.")
            .low("Checks are a load of their own.")
            .high("A silent death is found by a call."),
        key("interval_down", length(millis(100), hours(1)), |h: &mut HealthDraft| &mut h.rhythm.interval_down)
            .says("Time between checks of one that is unhealthy or whose breaker isn't closed. At most `interval`.")
            .low("An endpoint that struggles is bothered.")
            .high("Its return is seen late."),
        key("rise", number(1, 100), |h: &mut HealthDraft| &mut h.rhythm.rise)
            .says("Passed checks in a row that make it healthy.")
            .low("One lucky check brings it back.")
            .high("Its return is seen late."),
        key("fall", number(1, 100), |h: &mut HealthDraft| &mut h.rhythm.fall)
            .says("Failed checks in a row that make it unhealthy.")
            .low("One lost packet takes it out.")
            .high("Calls find out first."),
    ]
}
