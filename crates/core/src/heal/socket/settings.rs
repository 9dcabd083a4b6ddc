//! What a route says about its WebSocket connections.

use core::time::Duration;

/// How WebSocket connections are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketSettings {
    /// An upstream that was quiet for so long is sent a Ping; `None`: never. Default 30 s.
    pub ping_after: Option<Duration>,
    /// How long it may then say nothing at all. Default 10 s.
    pub pong_within: Duration,
    /// How long an upstream's connection that broke before the first message may take to be opened again; `None`: it isn't.
    /// Default: not.
    pub reconnect: Option<Duration>,
}

impl Default for SocketSettings {
    fn default() -> Self {
        Self {
            ping_after: Some(Duration::from_secs(30)),
            pong_within: Duration::from_secs(10),
            reconnect: None,
        }
    }
}
