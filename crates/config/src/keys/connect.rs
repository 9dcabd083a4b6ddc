//! `[upstream.NAME.connect]`, `.tls` and `.pool`

use super::{Key, Kind, Rule, hours, key, length, millis, minutes, number, secs, section};
use crate::draft::TlsDraft;
use crate::settings::{ConnectSettings, DnsSettings, Http2, PoolSettings};

pub(super) fn connect() -> Vec<Key<ConnectSettings>> {
    let mut keys = establishing();
    let text =
        "How names are resolved. A lookup that fails never empties a list of addresses that works.";
    keys.extend(section("dns", text, dns(), |c: &mut ConnectSettings| &mut c.dns));
    keys
}

fn dns() -> Vec<Key<DnsSettings>> {
    vec![
        key("servers", Kind::Texts(Rule::Address), |d: &mut DnsSettings| &mut d.servers)
            .default_is("the system's")
            .says("Name servers to ask, with their ports, instead of the system's; hosts files aren't asked then."),
        key("min_ttl", length(millis(0), hours(1)), |d: &mut DnsSettings| &mut d.min_ttl)
            .says("Addresses are fresh for at least so long, whatever their TTL.")
            .low("With a TTL of 0 every connection asks again.")
            .high("A changed address is seen late."),
        key("max_ttl", length(secs(1), hours(24)), |d: &mut DnsSettings| &mut d.max_ttl)
            .says("Addresses are looked up again after so long, whatever their TTL.")
            .low("Name servers are asked without need.")
            .high("A changed address is seen late when its TTL was long."),
    ]
}

fn establishing() -> Vec<Key<ConnectSettings>> {
    vec![
        key("timeout", length(millis(10), minutes(5)), |c: &mut ConnectSettings| &mut c.connect_timeout)
            .says("For name resolution, TCP and TLS together.")
            .low("Distant or busy endpoints are never reached.")
            .high("A dead one costs that long before the next is asked."),
        key("resolve_timeout", length(millis(10), minutes(5)), |c: &mut ConnectSettings| &mut c.resolve_timeout)
            .says("For name resolution, where no addresses are known yet. At most `timeout`.")
            .low("A busy name server, or one lost datagram, breaks calls.")
            .high("Silent name servers hold calls up that long."),
        key("tcp_timeout", length(millis(10), minutes(5)), |c: &mut ConnectSettings| &mut c.tcp_timeout)
            .says("For the TCP handshake with each address. At most `timeout`.")
            .low("A lost SYN, which is sent again after 1s, breaks calls.")
            .high("A silent address costs that long where it is the only one."),
        key("tls_timeout", length(millis(10), minutes(5)), |c: &mut ConnectSettings| &mut c.tls_timeout)
            .says("For the TLS handshake. At most `timeout`.")
            .low("A busy endpoint is never reached.")
            .high("One that accepts and then stalls costs that long."),
        key("race_delay", length(millis(10), secs(2)), |c: &mut ConnectSettings| &mut c.race_delay)
            .says("Delay between the starts of attempts at the addresses of one name (RFC 8305).")
            .low("Two connections are made where one would do.")
            .high("A dead address costs that long."),
        key("tcp_keepalive", length(secs(1), hours(24)), |c: &mut ConnectSettings| &mut c.tcp_keepalive)
            .or_off()
            .says("TCP keep-alive: first probe after this much silence, and the time between probes.")
            .low("Idle connections cost traffic.")
            .high("Dead ones are found by a call."),
        key("tcp_user_timeout", length(secs(1), hours(24)), |c: &mut ConnectSettings| &mut c.tcp_user_timeout)
            .or_off()
            .says("Sent data that stays unacknowledged for so long ends the connection (TCP_USER_TIMEOUT).")
            .low("A short loss of the network breaks connections.")
            .high("A dead peer is noticed late."),
        key("close_evidence", Kind::Flag, |c: &mut ConnectSettings| &mut c.close_evidence)
            .says("Whether a request goes again, whatever its method, when the peer had closed the connection before it acknowledged any of it (TCP_INFO; Linux). Switch it off where something on the way forges the ends of connections."),
        key("http2", Kind::choice::<Http2>(), |c: &mut ConnectSettings| &mut c.http2)
            .says("HTTP/2: where ALPN agrees on it; always (in the clear by prior knowledge); never."),
        key("http2_ping_idle", length(millis(100), hours(24)), |c: &mut ConnectSettings| &mut c.pings.idle)
            .or_off()
            .says("An HTTP/2 connection that was quiet for so long is asked for a sign of life (PING) before it is used.")
            .low("Calls after a pause wait a round trip.")
            .high("A connection that died in silence is found by a call."),
        key("http2_ping_interval", length(millis(100), hours(24)), |c: &mut ConnectSettings| &mut c.pings.interval)
            .or_off()
            .says("Streams that wait while nothing arrives for so long make their connection be asked for a sign of life. Never more often than gRPC servers allow.")
            .low("Slow answers cost traffic.")
            .high("Calls on a connection behind a black hole wait for their timeouts."),
        key("http2_ping_timeout", length(millis(10), minutes(5)), |c: &mut ConnectSettings| &mut c.pings.timeout)
            .says("How long that sign may take at least; four times the last one's round trip, if that is more.")
            .low("A busy network breaks connections.")
            .high("A dead connection is held on to."),
    ]
}

pub(super) fn tls() -> Vec<Key<TlsDraft>> {
    vec![
        key("ca", Kind::File, |t: &mut TlsDraft| &mut t.ca)
            .default_is("the system's")
            .says("PEM file of the authorities to trust instead of the system's."),
        key("certificate", Kind::File, |t: &mut TlsDraft| &mut t.certificate)
            .default_is("none")
            .says("Certificate chain to present, PEM, leaf first. Needs `key`."),
        key("key", Kind::File, |t: &mut TlsDraft| &mut t.key)
            .default_is("none")
            .says("Private key of the certificate, PEM. Needs `certificate`."),
        key("server_name", Kind::Text(Rule::Host), |t: &mut TlsDraft| &mut t.server_name)
            .default_is("the endpoint's host")
            .says("Name to ask for and to verify."),
        key("danger_accept_any_certificate", Kind::Flag, |t: &mut TlsDraft| {
            &mut t.danger_accept_any_certificate
        })
        .says("Accept any certificate. Anyone on the path can then read and change everything."),
        key("expiry_warning", length(millis(0), hours(24 * 365)), |t: &mut TlsDraft| &mut t.expiry_warning)
            .says("A certificate shown by an endpoint is warned about when it has less than this left; 0: never.")
            .low("Nobody has the time to renew it.")
            .high("A warning stands there for so long that nobody sees it."),
    ]
}

pub(super) fn pool() -> Vec<Key<PoolSettings>> {
    vec![
        key("max_idle", number(0, 100_000), |p: &mut PoolSettings| &mut p.max_idle)
            .says("Idle connections kept per endpoint; 0 keeps none.")
            .low("Calls wait for handshakes.")
            .high("Memory and file descriptors, here and there."),
        key("idle_timeout", length(millis(100), hours(24)), |p: &mut PoolSettings| &mut p.idle_timeout)
            .says("How long an idle connection is kept.")
            .low("Calls wait for handshakes.")
            .high("The peer closes first, just as a call is sent: many servers and balancers do at 60s."),
        key("learn_idle", Kind::Flag, |p: &mut PoolSettings| &mut p.learn_idle)
            .says("Learn at which age the peer closes idle connections, and use them no more shortly before."),
        key("max_connections", number(1, 100_000), |p: &mut PoolSettings| &mut p.max_connections)
            .says("Connections per endpoint, in use and idle; beyond it a call waits in the queue.")
            .low("Bursts wait.")
            .high("A slow endpoint ties up everything."),
        key("queue", number(0, 100_000), |p: &mut PoolSettings| &mut p.queue)
            .says("Calls per endpoint that wait for a connection; beyond it a call breaks with `limit-reached`.")
            .low("Bursts are refused.")
            .high("Calls wait for what won't come in time."),
        key("queue_timeout", length(millis(1), minutes(5)), |p: &mut PoolSettings| &mut p.queue_timeout)
            .says("How long a call waits there, within its attempt's timeout.")
            .low("Bursts are refused.")
            .high("It would have been served elsewhere by now."),
        key("max_requests", number(1, 1_000_000_000), |p: &mut PoolSettings| &mut p.max_requests)
            .or_off()
            .says("Requests that a connection carries before it is used no more, \u{2212} 10 % chance.")
            .low("Handshakes without need.")
            .high("One that was balanced badly stays so."),
        key("max_age", length(secs(1), hours(168)), |p: &mut PoolSettings| &mut p.max_age)
            .says("How old a connection may grow, \u{2212} 10 % chance.")
            .low("Handshakes without need.")
            .high("Changes of DNS and of a balancer's weights are seen late."),
        key("spares", number(0, 1000), |p: &mut PoolSettings| &mut p.spares)
            .says("Connections per endpoint that are opened ahead of demand and kept ready, while it is healthy and its breaker closed; 0 keeps none. At most `max_idle` can lie ready.")
            .low("A burst waits for handshakes.")
            .high("Idle connections, here and there, that are made anew whenever the peer closes them."),
    ]
}
