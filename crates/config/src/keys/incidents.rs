//! `[incidents]`

use super::{Key, Kind, Rule, hours, key, length, minutes, number, secs, switched_section};
use crate::settings::{Callback, Incidents};

pub(super) fn keys() -> Vec<Key<Incidents>> {
    let mut keys = vec![
        key("breaks", number(2, 1000), |i: &mut Incidents| &mut i.breaks)
            .says("Breaks of one cause at one endpoint that make an incident. A breaker that opens, or a check that fails, makes one by itself.")
            .low("Each hiccup is one.")
            .high("An endpoint that is seldom asked never has one."),
        key("within", length(secs(1), minutes(10)), |i: &mut Incidents| &mut i.within)
            .says("Within how long they have to come.")
            .low("Slow trouble is none.")
            .high("Breaks that have nothing to do with each other make one."),
        key("quiet_for", length(secs(1), hours(1)), |i: &mut Incidents| &mut i.quiet_for)
            .says("For how long nothing may break until an incident is over by itself, while the endpoint is asked.")
            .low("One outage is told as many.")
            .high("What is long over is shown as open."),
    ];
    let text = "Who is told when an incident begins and ends: a POST, signed as callbacks of the outbox are. Needs `callback_secrets_file` or `callback_secrets_env` in `[outbox]`. Off unless it is written.";
    keys.extend(switched_section("webhook", text, webhook(), |i: &mut Incidents| &mut i.webhook));
    keys
}

fn webhook() -> Vec<Key<Callback>> {
    vec![
        key("upstream", Kind::Text(Rule::Upstream), |c: &mut Callback| &mut c.upstream)
            .default_is("must be given")
            .says("The upstream that it is sent to, by what that says of its calls."),
        key("path", Kind::Text(Rule::ProbePath), |c: &mut Callback| &mut c.path)
            .default_is("/")
            .says("Its path there."),
    ]
}
