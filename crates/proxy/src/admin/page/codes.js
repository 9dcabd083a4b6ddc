// The words of `mainstay explain`, written by its own test: MAINSTAY_BLESS=1 cargo nextest run -p mainstay-cli -E 'test(up_to_date)'

export const CERTAINTIES = {
  "not-sent": "not sent: nothing was done",
  "refused": "refused: the peer says that it did nothing",
  "maybe-processed": "maybe processed: it was sent, and nobody knows whether it was done",
  "processed": "processed: it was carried out",
};

export const STOPS = {
  "outcome-unknown": "it may have been carried out, and doing it twice isn't as good as once",
  "not-declared-idempotent": "the peer turned it away, and the request isn't declared idempotent",
  "body-unrepeatable": "the request's body can't be sent again",
  "attempts-used": "every attempt that the policy allows was made (`retry.max_attempts`)",
  "budget-empty": "the budget for extra attempts is empty (`budget`)",
  "deadline-too-close": "it would start after the call's deadline (`total_timeout`)",
  "deadline-passed": "the call's deadline had passed (`total_timeout`)",
  "no-endpoint": "no endpoint may be asked now",
  "reply-started": "an answer was already on its way to the application",
  "breaker-open": "the breaker of each endpoint that could be asked is open",
};

export const UNSENT = {
  "breaker-open": "refused without an attempt: the breaker of each endpoint that could be asked was open, so that nothing more was sent to servers that are down; the application was told when to come back",
  "no-endpoint": "refused without an attempt: no endpoint might be asked; the application was told when to come back",
  "limit-reached": "refused without an attempt: a limit was reached (pool.max_connections, load, or this host's own)",
  "deadline-exceeded": "given up without an attempt: its time (total_timeout) had passed before an endpoint could be asked",
  "client-gone": "given up without an attempt: the application went away before an endpoint was asked",
  "budget-empty": "given up without an attempt: nothing was sent",
};

export const VERDICTS = {
  "again-free": "nothing was sent, so it goes again and isn't even a retry",
  "again": "the peer says that it did nothing, so it may go again",
  "retry": "it may have been done, and doing it twice is as good as once, so it may be retried",
  "retry-after-hint": "it may be retried, not before the time that the peer asked for",
  "outcome-unknown": "it may have been done and must not be done twice, so it isn't sent again",
  "turned-away": "the peer turned it away, and only a request that may be done twice presses on",
  "resume": "the answer had begun; it could only be continued, never started again",
  "fail-loudly": "the answer had begun and can't be repaired, so it ends as visibly broken",
  "continue-upload": "the server keeps what it has of the upload, so it goes on from there",
};

/// Verdicts that allow another attempt.
export const ALLOWING = new Set(["again-free","again","retry","retry-after-hint","resume","continue-upload"]);

export const MANUAL = {
  "name-not-found": "The resolver says that there is no such name. Look at the endpoint's spelling, at search domains, at whether the service's record has been removed. Waiting doesn't help.",
  "no-address": "The name exists but has no address of a usable family. Look for a record of another type, or an IPv6-only name on a host without IPv6.",
  "resolver-timeout": "No resolver answered in time. Look at /etc/resolv.conf, at packet loss, at the resolver's load. Addresses that were known before are used on.",
  "resolver-failure": "The resolver answered with a failure (SERVFAIL, REFUSED). The zone or the resolver is ill; addresses that were known before are used on.",
  "connect-refused": "The host answered the handshake with a reset: nothing listens on that port, or a firewall rejects. The server is down, restarting, or at another port.",
  "unreachable": "The network says that there is no way: routing, VPN, an IPv6 address without IPv6.",
  "connect-timeout": "No answer to the handshake within connect_timeout: the host is gone, a firewall drops silently, or the server's accept queue is full.",
  "certificate-expired": "The certificate has expired or isn't valid yet. Renew it; check the clock of this host.",
  "certificate-wrong-name": "The certificate is for another name. Look at the endpoint's host, or set server_name.",
  "certificate-unknown-issuer": "Nobody whom we trust issued it: a private authority (set ca), a missing intermediate on the server, or a proxy that intercepts.",
  "certificate-invalid": "Revoked, malformed, or not meant for servers.",
  "tls-alert": "The peer ended the handshake with an alert: it wants a client certificate, another version, another name.",
  "tls-protocol": "What came back isn't TLS, or the handshake was cut: an http port asked with https, or a balancer without a healthy server behind it.",
  "tls-timeout": "TCP was established and TLS never finished: an overloaded server, or a port that isn't TLS and waits.",
  "closed-while-idle": "A kept connection had been closed as it was taken into use. Not sent where that is proved, else maybe processed. It is held against no endpoint: connections end, and how the endpoint is, the next fresh one tells. If it is frequent, set pool.idle_timeout below the server's own keep-alive time.",
  "write-failed": "The connection broke while the request was being written: the server died, or it answered early and closed (a body that it finds too large).",
  "reset-before-head": "The connection was closed or reset before an answer: a crash, a kill without draining, a balancer that lost its server.",
  "response-timeout": "No head within attempt_timeout. Slow or hanging server; compare with the endpoint's latency before you change the timeout.",
  "malformed-response": "What arrived isn't HTTP: the wrong port, a broken server, TLS asked in the clear.",
  "head-too-large": "The head of the answer is above answer_head_bytes: as a rule cookies that grow.",
  "body-reset": "The connection was reset inside the body. Before anything of the answer was delivered that is a failed attempt like any other; afterwards the answer is continued where that can be proved to be right, and else the application's connection is cut too, so that it can't take the part for the whole.",
  "body-truncated": "The body ended before its announced end, or a chunked one without its last chunk, or a language model's stream without its last event (heal.events.end). Also what is told when an answer turns out not to be the continuation that it said it was.",
  "body-stalled": "No byte for body_idle_timeout, of an event stream for heal.events.dead_after; or a body of known length came more slowly than heal.min_rate.",
  "stream-refused": "HTTP/2 REFUSED_STREAM: the server did nothing with it, as a rule because it is shutting down or at its stream limit.",
  "go-away": "HTTP/2 GOAWAY with a last stream below ours: a server that drains. Normal in deployments.",
  "stream-error": "The HTTP/2 stream or connection failed in another way (INTERNAL_ERROR, flow control, ENHANCE_YOUR_CALM).",
  "upgrade-failed": "The peer didn't switch protocols as asked.",
  "server-error": "An answer whose status counts as a failure (failures, by default 408 and most 5xx). When nothing better comes, the application gets this very answer.",
  "throttled": "429, or 503 with Retry-After. The hint is obeyed: a 429 holds the call, a 503 holds that endpoint.",
  "refused-status": "421 or 425: the server says that it did nothing.",
  "breaker-open": "The breaker of each endpoint that could be asked is open, and none let the call through within breaker.wait_for. See breaker (docs/breaker.md).",
  "budget-empty": "The budget for extra attempts is empty: too much is failing for retries to help. As a reason to stop it stands beside the break that ended the last attempt.",
  "no-endpoint": "No endpoint may be asked now: all unhealthy with fail_open = false, or all asked for a pause.",
  "limit-reached": "A limit of our own: pool.max_connections, or this host's file descriptors or ports.",
  "deadline-exceeded": "The call's total_timeout passed. The certainty is the worst of all attempts.",
  "client-gone": "The application went away, or its body broke off. Says nothing about the endpoint and never counts against it.",
};
