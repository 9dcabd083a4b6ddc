//! What a driver is to do with its calls: a plan for peers.

use std::sync::Arc;

use http::HeaderName;
use mainstay::{Degrade, Fields, Plan, Service};
use mainstay_record::Recorder;

use super::Peer;

/// A plan for peers, asked one after the other, with lines of config of the test's own.
pub fn plan(peers: &[&Peer], config: &str) -> (Plan, Arc<Recorder>) {
    let urls: Vec<String> = peers.iter().map(|peer| format!("http://{}", peer.address)).collect();
    plan_to(&urls, config)
}

/// The same for endpoints by their URLs.
pub fn plan_to(urls: &[String], config: &str) -> (Plan, Arc<Recorder>) {
    let endpoints: Vec<String> = (0..)
        .zip(urls)
        .map(|(tier, url)| format!("{{ url = \"{url}\", tier = {tier} }}"))
        .collect();
    let text = format!("[upstream.api]\nendpoints = [{}]\n{config}\n", endpoints.join(", "));
    let settings = mainstay_config::parse(&text, "test").expect("a right config").settings;
    let (recorder, route) = (Recorder::new(), &settings.routes[0]);
    let plan = Plan {
        route: route.name.as_str().into(),
        service: Service::new(&settings.upstreams[0], &recorder, None).expect("a service"),
        policy: Arc::clone(&route.policy),
        replay_bytes: route.replay_bytes,
        spill_bytes: route.spill.as_ref().map_or(0, |spill| spill.bytes),
        body_bytes: settings.limits.body_bytes,
        body_idle_timeout: route.body_idle_timeout,
        host: route.host.clone(),
        strip_prefix: None,
        idempotency_headers: vec![HeaderName::from_static("idempotency-key")],
        hash_header: None,
        fields: Fields::default(),
        degrade: Degrade::default(),
    };
    (plan, recorder)
}
