//! Each open connection to the upstreams, as the pool and the system see it.

use std::time::Duration;

use mainstay::Clock;
use mainstay::pool::{ConnectionState, ConnectionView};
use serde_json::{Value, json};

use super::status::millis;
use crate::proxy::Control;

/// The document of `/connections`. `query` may name an upstream and an endpoint, to see theirs only.
pub(super) fn document(control: &Control, query: Option<&str>) -> Value {
    let (now, current) = (Clock::now(), control.shared.current());
    let asked = super::paths::parameters(query);
    let wanted = |key: &str, name: &str| {
        let asked = asked.iter().find(|(asked, _)| asked == key);
        asked.is_none_or(|(_, value)| value == name)
    };
    let mut all = Vec::new();
    for service in current.services.iter().filter(|one| wanted("upstream", one.name())) {
        for target in service.targets().filter(|one| wanted("endpoint", &one.endpoint().name)) {
            let views = target.connections(now);
            all.extend(
                views.iter().map(|view| show(service.name(), &target.endpoint().name, view)),
            );
        }
    }
    json!({ "version": 1, "connections": all })
}

fn show(upstream: &str, endpoint: &str, view: &ConnectionView) -> Value {
    let (state, idle_for, streams) = match view.state {
        ConnectionState::Idle { idle_for } => ("idle", Some(idle_for), 0),
        ConnectionState::Busy { streams } => ("busy", None, streams),
        ConnectionState::Draining => ("draining", None, 0),
    };
    let tcp = view.tcp;
    let tcp_millis = |length: fn(&mainstay::connect::TcpInfo) -> Duration| {
        tcp.as_ref().map(|info| millis(length(info)))
    };
    json!({
        "id": view.id,
        "upstream": upstream,
        "endpoint": endpoint,
        "peer": view.peer.map(|address| address.to_string()),
        "local": view.local.map(|address| address.to_string()),
        "protocol": view.protocol,
        "tls": view.tls,
        "state": state,
        "age_ms": millis(view.age),
        "idle_ms": idle_for.map(millis),
        "streams": streams,
        "requests": view.requests,
        "bytes_sent": view.bytes_sent,
        "bytes_received": view.bytes_received,
        "ping_ms": view.ping.map(millis),
        "rtt_ms": tcp_millis(|info| info.rtt),
        "rtt_deviation_ms": tcp_millis(|info| info.rtt_deviation),
        "retransmits": tcp.map(|info| info.retransmits),
    })
}
