//! Writes that are stored until they are delivered.

use std::path::PathBuf;
use std::time::Duration;

use mainstay_core::outbox::ScheduleSettings;

/// `[outbox]`: where they are stored, and how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outbox {
    /// The store's file. Relative to where the proxy is started. Default `mainstay-outbox.db`.
    pub path: PathBuf,
    /// The URL of a PostgreSQL database that a fleet shares, in place of a file. It has no password. Default none.
    pub postgres: Option<String>,
    /// The file with such a URL, which may have a password. Default none.
    pub postgres_file: Option<PathBuf>,
    /// The environment variable with such a URL. Default none.
    pub postgres_env: Option<String>,
    /// The schema of its tables there. Default `mainstay`.
    pub schema: String,
    /// How long a delivery is left to a proxy that says nothing any more. 2 s to 10 min, default 30 s.
    pub lease: Duration,
    /// The table of which writes are taken in that applications put there, with its schema if need be. Default none.
    pub intake: Option<String>,
    /// Files with keys, 32 bytes in base64 each: the first seals, all open. Default none: content isn't sealed.
    pub keys: Vec<String>,
    /// Deliveries that wait, are stopped or are dead. 1 to 100,000,000, default 1,000,000.
    pub items: u64,
    /// Bytes of their requests. 1 MiB to 64 TiB, default 10 GiB.
    pub bytes: u64,
    /// Deliveries of one lane that wait or are stopped. 1 to 100,000,000, default 100,000.
    pub lane_items: u64,
    /// Bytes of the disk that are left free. 0 to 1 TiB, default 64 MiB.
    pub reserve_bytes: u64,
    /// How long delivered ones are kept. 0 to 365 days, default 24 h.
    pub keep_delivered: Duration,
    /// How long dead letters are kept. 1 h to 3,650 days, default 30 days.
    pub keep_dead: Duration,
    /// Deliveries to one upstream that may be on their way at a time. 1 to 1,000, default 16.
    pub in_flight: u16,
    /// Where on the proxy's own addresses deliveries can be asked after. Default `/.well-known/mainstay/deliveries`.
    pub status_path: String,
    /// The file with the secrets that callbacks are signed with. Default none.
    pub callback_secrets_file: Option<PathBuf>,
    /// The environment variable with them, in place of a file. Default none.
    pub callback_secrets_env: Option<String>,
}

impl Default for Outbox {
    fn default() -> Self {
        Self {
            path: "mainstay-outbox.db".into(),
            postgres: None,
            postgres_file: None,
            postgres_env: None,
            schema: "mainstay".into(),
            lease: Duration::from_secs(30),
            intake: None,
            keys: Vec::new(),
            items: 1_000_000,
            bytes: 10 << 30,
            lane_items: 100_000,
            reserve_bytes: 64 << 20,
            keep_delivered: Duration::from_secs(24 * 60 * 60),
            keep_dead: Duration::from_secs(30 * 24 * 60 * 60),
            in_flight: 16,
            status_path: "/.well-known/mainstay/deliveries".into(),
            callback_secrets_file: None,
            callback_secrets_env: None,
        }
    }
}

impl Outbox {
    /// Whether it is a database that several proxies share.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        self.postgres.is_some() || self.postgres_file.is_some() || self.postgres_env.is_some()
    }
}

/// What a route stores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteOutbox {
    /// When. Default `fallback`.
    pub mode: OutboxMode,
    /// What the order of writes is kept by. Default none: each goes by itself.
    pub lane: Option<LaneBy>,
    /// What becomes of a write that may have been done, where nothing makes it right to do it twice. Default `stop`.
    pub maybe_done: MaybeDone,
    /// Bytes that a body may have to be stored. 1 KiB to 64 MiB, default 1 MiB.
    pub body_bytes: usize,
    /// When it is tried again.
    pub schedule: ScheduleSettings,
    /// Who is told when a write comes to its end. Default nobody.
    pub callback: Option<Callback>,
}

/// Who is told of stored writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Callback {
    /// The upstream, by its name: one of [`Settings::callbacks`](super::Settings::callbacks) leads there.
    pub upstream: String,
    /// The path, with a query if need be. Default none: only what a request asks for with `Mainstay-Callback` is told.
    pub path: Option<String>,
}

impl Default for RouteOutbox {
    fn default() -> Self {
        Self {
            mode: OutboxMode::Fallback,
            lane: None,
            maybe_done: MaybeDone::Stop,
            body_bytes: 1 << 20,
            schedule: ScheduleSettings::default(),
            callback: None,
        }
    }
}

/// When a write is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutboxMode {
    /// When its request asks for it: `Prefer: respond-async` (RFC 7240).
    OnRequest,
    /// When it can't be delivered now, and when it is asked for.
    Fallback,
    /// Always, before it is tried.
    Always,
}

/// What becomes of a write that may have been done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaybeDone {
    /// It waits for a person, and its lane with it.
    Stop,
    /// It is sent again: the API carries out an idempotency key once only, or doing it twice does no harm.
    Again,
}

/// What the order of writes is kept by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LaneBy {
    /// A header field, its name in lower case.
    Header(String),
    /// A segment of the path; 1 is the first.
    Segment(usize),
    /// A member of a JSON body (RFC 6901).
    Pointer(String),
}

impl LaneBy {
    /// Reads `header:NAME`, `path:NUMBER` or `json:/POINTER`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once(':')? {
            ("header", name) => crate::text::field_name(name).ok().map(Self::Header),
            ("path", number) => {
                let number = number.parse().ok()?;
                (1..=100).contains(&number).then_some(Self::Segment(number))
            }
            ("json", pointer) => {
                let escapes = pointer.split('~').skip(1);
                let is_pointer = pointer.starts_with('/')
                    && escapes.clone().all(|rest| rest.starts_with(['0', '1']));
                is_pointer.then(|| Self::Pointer(pointer.to_owned()))
            }
            _ => None,
        }
    }
}

impl std::fmt::Display for LaneBy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Segment(number) => write!(f, "path:{number}"),
            Self::Pointer(pointer) => write!(f, "json:{pointer}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_are_read_as_they_are_written() {
        for text in ["header:x-customer", "path:2", "json:/customer/id", "json:/a~1b"] {
            let lane = LaneBy::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(lane.to_string(), text);
        }
        assert_eq!(LaneBy::parse("header:X-A"), Some(LaneBy::Header("x-a".into())));
        for text in ["", "x", "header:", "header:a b", "path:0", "path:x", "json:a", "json:/a~2"] {
            assert_eq!(LaneBy::parse(text), None, "{text}");
        }
    }
}
