//! The ways to misbehave: a closed list, each with its parameters, and the requests it is meant for.
//!
//! [`Fault`] says what happens, [`Scope`] to which requests, [`Rule`] is both. A rule is written as one line of
//! text (`reset-before ratio=0.5 methods=POST`), which `parse.rs` reads and `Display` writes back; [`KINDS`] is
//! the same list for people. Several may be written with `;` between them: a request meets the first that is for it.
//!
//! Some faults concern a connection and not a request (`refuse`, `blackhole`, `half-dead`, `close-idle`,
//! `close-on-reuse`, `tls-…`, `h2-ping-policy`, `h2-max-streams`): they take no scope, `close-on-reuse` alone takes a
//! ratio. `dns-…` concern a name of the lab's DNS server: they take a ratio, and no server. On HTTP/2 a break before the answer breaks the connection, with all its
//! streams, as a dying server does; a break after the head breaks the stream. `truncate` on HTTP/2 ends the
//! stream before its content-length is reached, and `stall-head` sends nothing.

mod amount;
mod content;
mod dns;
mod parse;
mod place;
mod show;
mod tls;

use std::time::Duration;

pub(crate) use amount::LONGEST;
pub use amount::parse_duration;
pub use amount::{Delay, Ratio};
pub use content::{Changing, RangeTrouble};
pub use dns::{DnsFault, DnsTrouble, Family};
pub use place::Place;
pub use tls::TlsTrouble;

/// One way to misbehave.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Answers everything, whole and at once.
    Healthy,
    /// Stops listening and resets all connections; the same port listens again when it is over.
    Refuse,
    /// Reads the request, never answers.
    Hang,
    /// Reads the request, doesn't execute it, resets the connection.
    ResetBefore,
    /// Executes the request, then resets the connection before any byte of the answer.
    ResetAfterExecute,
    /// Reads the request, doesn't execute it, closes the connection cleanly.
    CloseBefore,
    /// Executes, sends the whole head, resets.
    ResetAfterHead,
    /// Executes, sends the head and the body as far as `at`, resets.
    ResetInBody {
        /// Where in the body.
        at: Place,
    },
    /// Executes, sends fewer bytes than the content-length says, closes cleanly.
    Truncate {
        /// As with [`Fault::ResetInBody`].
        at: Place,
    },
    /// Executes, answers chunked, closes cleanly without the last chunk.
    TruncateChunked {
        /// As with [`Fault::ResetInBody`].
        at: Place,
    },
    /// Executes, sends the head and the body as far as `at`, then nothing more, ever.
    Stall {
        /// As with [`Fault::ResetInBody`].
        at: Place,
    },
    /// Executes, sends half of the head, then nothing more.
    StallHead,
    /// Executes, sends the body in small pieces.
    Trickle {
        /// The size of a piece.
        bytes: u64,
        /// The pause between two pieces.
        every: Duration,
    },
    /// Executes, then waits before it answers: whoever gives up waiting doesn't know that it was done.
    Slow(Delay),
    /// Answers with this status.
    Status {
        /// 400 to 599.
        code: u16,
        /// Whether the request's effect is carried out before the bad answer.
        executed: bool,
    },
    /// Turns the request away, not executed, with a hint when to come back.
    Throttle {
        /// 429 or 503, or another of 400 to 599.
        code: u16,
        /// The hint.
        retry_after: RetryAfter,
    },
    /// Closes a connection that was idle for this long.
    CloseIdle {
        /// How long.
        after: Duration,
        /// At most so much longer, drawn for each idle time.
        jitter: Duration,
        /// How it closes.
        with: Ending,
        /// Whether answers say so beforehand: `Keep-Alive: timeout=N`, in whole seconds, at least one.
        hint: bool,
    },
    /// Drops connects: the port's queue is full, so that no SYN is answered. Connections there are go silent.
    Blackhole,
    /// Connections there are when it is set go silent and stay so, as behind a black hole; new ones are healthy. The
    /// system still takes their bytes and acknowledges them; nobody reads.
    HalfDead,
    /// A TLS handshake that can't succeed, or shouldn't; a plain server is healthy.
    Tls(TlsTrouble),
    /// A name's questions are answered wrongly.
    Dns(DnsFault),
    /// Closes an idle connection just as the next request's first bytes arrive: the keep-alive race.
    CloseOnReuse {
        /// How it closes.
        with: Ending,
    },
    /// Random bytes where the head should be, then a clean close; not executed.
    Garbage {
        /// How many.
        bytes: u32,
    },
    /// Healthy for `up`, then `fault` for `down`, again and again.
    Flap {
        /// Length of the healthy part, which comes first.
        up: Duration,
        /// Length of the other part.
        down: Duration,
        /// What happens in it; not another `flap`.
        fault: Box<Fault>,
    },
    /// A server of limited capacity, with a queue in front of it.
    Capacity {
        /// Requests served at the same time.
        concurrency: u32,
        /// Time each takes.
        service: Duration,
        /// Requests that may wait; more are answered 503, not executed.
        queue: u32,
        /// Whether the service time grows with the queue: `service * (1 + waiting / concurrency)`.
        collapse: bool,
    },
    /// Just came up: slower by `extra` at first, less and less, and no more after `lasting`.
    Cold {
        /// What is added to the first request.
        extra: Duration,
        /// When nothing is added any more.
        lasting: Duration,
    },
    /// Answers to ranges of `/bytes/N` are wrong.
    Range(RangeTrouble),
    /// The ETag of `/bytes/N` is weak, so that no `If-Range` matches it.
    EtagWeak,
    /// `/bytes/N` has no ETag, and nothing in its place.
    EtagNone,
    /// `/bytes/N` is other content from time to time.
    Changing(Changing),
    /// HTTP/2: refuses the stream (REFUSED_STREAM): surely not executed. HTTP/1.1 is healthy.
    H2RefuseStream,
    /// HTTP/2: GOAWAY with a last stream below this one, then closes when earlier streams are done; not executed.
    /// HTTP/1.1 is healthy.
    H2GoAway,
    /// HTTP/2: GOAWAY in two steps (RFC 9113, 6.8): last stream 2^31-1, then, a round trip later, the real one.
    /// Streams that cross it are served. HTTP/1.1 is healthy.
    H2GoAwayGraceful,
    /// gRPC's health check (grpc.health.v1) says NOT_SERVING; all else is healthy.
    NotServing,
    /// HTTP/2: the third PING in a row that comes sooner than so after the one before is answered by GOAWAY
    /// ENHANCE_YOUR_CALM, as gRPC servers do.
    H2PingPolicy {
        /// The shortest time between two PINGs.
        every: Duration,
    },
    /// HTTP/2: new connections allow so many streams at a time.
    H2MaxStreams {
        /// How many.
        n: u32,
    },
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Cleanly: the peer reads an end of file; what it sends is read on for a moment.
    Fin,
    /// As most servers do: the socket is closed without reading on. A request that crosses is answered by a reset.
    Drop,
    /// By a reset: the peer's next read or write fails.
    Reset,
}

/// The hint of [`Fault::Throttle`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryAfter {
    /// No hint.
    Absent,
    /// In whole seconds.
    Seconds(u32),
    /// As a date that lies this many seconds ahead.
    Date(u32),
}

/// Which requests a fault is for; all, by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// The share of the requests that fit otherwise.
    pub ratio: Ratio,
    /// Methods, upper case; empty: all.
    pub methods: Vec<String>,
    /// The path begins with this; empty: all.
    pub path: String,
    /// Only requests with a `Range`, or only those without; none: all.
    pub range: Option<bool>,
    /// So many requests, and no more; none: no end. A server counts them from when the rule was set.
    pub times: Option<u64>,
}

impl Scope {
    /// Whether it is for requests of this kind, the ratio aside.
    pub(crate) fn covers(&self, method: &str, path: &str, asks_range: bool) -> bool {
        self.range.is_none_or(|range| range == asks_range)
            && (self.methods.is_empty() || self.methods.iter().any(|m| m == method))
            && path.starts_with(&self.path)
    }
}

/// A fault and the requests it is for, and what meets the others.
///
/// ```
/// # use mainstay_lab::Rule;
/// // The first answer breaks, and what continues it isn't what was asked for.
/// let rule: Rule = "reset-in-body at=last range=false; range-wrong-start".parse()?;
/// assert_eq!(rule.others.len(), 1);
/// # Ok::<(), mainstay_lab::Invalid>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// What happens.
    pub fault: Fault,
    /// To which requests.
    pub scope: Scope,
    /// What meets the requests that it doesn't: the first of these that is for them. They have no others.
    pub others: Vec<Self>,
}

impl From<Fault> for Rule {
    fn from(fault: Fault) -> Self {
        Self { fault, scope: Scope::default(), others: Vec::new() }
    }
}

impl Rule {
    /// Whether it can be followed by a name of the DNS server, or else by a server.
    pub(crate) fn fits(&self, is_dns: bool) -> bool {
        match &self.fault {
            Fault::Healthy => true,
            Fault::Flap { fault, .. } => !is_dns && !matches!(**fault, Fault::Dns(_)),
            Fault::Dns(_) => is_dns,
            _ => !is_dns,
        }
    }
}

/// One line of the list of faults that people read.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// The word that begins the rule.
    pub word: &'static str,
    /// The parameters, with their defaults.
    pub parameters: &'static str,
    /// What it does.
    pub meaning: &'static str,
}

const fn kind(word: &'static str, parameters: &'static str, meaning: &'static str) -> Kind {
    Kind { word, parameters, meaning }
}

/// All faults, for help texts and messages. Durations are `250`, `250ms`, `5s` or `2m`; each may carry
/// `ratio=0.3`, `methods=POST,PUT` and `path=/prefix` unless it concerns a connection. A PLACE is a [`Place`], a SIZE
/// `300`, `64KiB` or `1.5MB`.
pub const KINDS: &[Kind] = &[
    kind("healthy", "", "answers everything, whole and at once"),
    kind(
        "refuse",
        "",
        "stops listening, resets all connections; the same port listens again afterwards",
    ),
    kind("outage", "", "the same as refuse, written for all servers at once"),
    kind("hang", "", "reads the request, never answers"),
    kind("reset-before", "", "resets after reading the request, not executed"),
    kind("reset-after-execute", "", "executes, resets before any byte of the answer"),
    kind("close-before", "", "closes cleanly after reading the request, not executed"),
    kind("reset-after-head", "", "executes, sends the head, resets"),
    kind(
        "reset-in-body",
        "[at=PLACE | every=SIZE]",
        "executes, resets after that much of the body (half of it)",
    ),
    kind(
        "truncate",
        "[at=PLACE | every=SIZE]",
        "executes, closes cleanly before the content-length is reached",
    ),
    kind(
        "truncate-chunked",
        "[at=PLACE | every=SIZE]",
        "executes, answers chunked, closes cleanly without the last chunk",
    ),
    kind("stall", "[at=PLACE | every=SIZE]", "executes, stops in the body and never goes on"),
    kind("stall-head", "", "executes, stops in the middle of the head and never goes on"),
    kind("trickle", "bytes=N every=TIME", "executes, sends the body in small pieces"),
    kind(
        "slow",
        "fixed=TIME | uniform=TIME..TIME | median=TIME p99=TIME",
        "executes, waits, answers",
    ),
    kind(
        "status",
        "code=500 [executed=BOOL]",
        "answers that status; executed unless the code is 4xx or 503",
    ),
    kind(
        "throttle",
        "[code=429] [retry-after=2 | date | date+5 | none]",
        "turns away, not executed",
    ),
    kind(
        "close-idle",
        "after=TIME [jitter=TIME] [with=fin|close|rst] [hint=BOOL]",
        "closes a connection that was idle for so long; `close`: requests that cross are reset; `hint`: with Keep-Alive",
    ),
    kind(
        "close-on-reuse",
        "[with=fin|close|rst] [ratio=1]",
        "closes as the next request's first bytes arrive, not executed",
    ),
    kind("garbage", "[bytes=64]", "random bytes instead of a head, not executed"),
    kind("flap", "up=TIME down=TIME [FAULT]", "healthy, then FAULT (refuse), again and again"),
    kind(
        "capacity",
        "concurrency=N service=TIME queue=N [collapse=true]",
        "a server with a queue; 503 above it",
    ),
    kind("cold", "extra=TIME for=TIME", "slower at first, less and less"),
    kind("range-wrong-start", "", "/bytes/N: 206 of a part that begins a byte later, and says so"),
    kind("range-wrong-total", "", "/bytes/N: 206 whose total length is one too many"),
    kind("range-other-etag", "", "/bytes/N: 206 with another ETag, whatever If-Range says"),
    kind("range-multipart", "", "/bytes/N: 206 as multipart/byteranges with one part"),
    kind("range-ignored", "", "/bytes/N: 200 and the whole, for a range"),
    kind("range-short", "", "/bytes/N: 206 of the first half of the range, and says so"),
    kind("range-gzip", "", "/bytes/N: 206 with Content-Encoding: gzip"),
    kind("range-lies", "", "/bytes/N: 206 with the right head and the wrong bytes"),
    kind("range-unsatisfiable", "", "/bytes/N: 416 with the right length"),
    kind("etag-weak", "", "/bytes/N: a weak ETag, which no If-Range matches"),
    kind("etag-none", "", "/bytes/N: no ETag, no date, no version"),
    kind(
        "changing",
        "[every=TIME] [lies=BOOL]",
        "/bytes/N: other content and ETag for each request, or from time to time; `lies`: the ETag stays",
    ),
    kind("h2-refuse-stream", "", "HTTP/2 REFUSED_STREAM, not executed"),
    kind("h2-goaway", "", "HTTP/2 GOAWAY below this stream, not executed"),
    kind("h2-goaway-graceful", "", "HTTP/2 GOAWAY in two steps; what crosses is served"),
    kind("not-serving", "", "grpc.health.v1 says NOT_SERVING; all else is answered as ever"),
    kind(
        "h2-ping-policy",
        "every=TIME",
        "HTTP/2 GOAWAY ENHANCE_YOUR_CALM at the third PING in a row that comes sooner",
    ),
    kind(
        "h2-max-streams",
        "n=N",
        "HTTP/2 connections made from now on allow so many streams at a time",
    ),
    kind("blackhole", "", "drops connects, answers nothing on connections there are"),
    kind("half-dead", "", "connections there are go silent for good, new ones are healthy"),
    kind("tls-expired", "", "a certificate that ended yesterday"),
    kind("tls-expiring", "", "a certificate that ends in three days"),
    kind("tls-wrong-name", "", "a certificate for wrong.lab.example"),
    kind("tls-self-signed", "", "a certificate that no authority signed"),
    kind("tls-old-protocol", "", "a ServerHello of TLS 1.0, written by hand, then FIN"),
    kind("tls-alert", "", "the alert handshake_failure, then FIN"),
    kind("tls-stalled", "", "never answers the ClientHello"),
    kind("dns-nxdomain", "[family=a|aaaa]", "there is no such name"),
    kind("dns-nodata", "[family=a|aaaa]", "the name has no such addresses"),
    kind("dns-servfail", "[family=a|aaaa]", "SERVFAIL"),
    kind("dns-refused", "[family=a|aaaa]", "REFUSED"),
    kind("dns-timeout", "[family=a|aaaa]", "questions get no answer"),
    kind("dns-slow", "by=TIME [family=a|aaaa]", "answers come so much later"),
    kind("dns-answer", "[a=ADDR,ADDR] [aaaa=ADDR]", "other addresses than the lab file says"),
];
