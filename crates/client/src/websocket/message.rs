//! What is said over a connection.

use bytes::Bytes;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

/// A message. Pings and Pongs are seen to, and don't show.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Message {
    /// Text.
    Text(String),
    /// Bytes.
    Binary(Bytes),
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Bytes> for Message {
    fn from(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }
}

impl Message {
    pub(super) fn into_frame(self) -> Frame {
        match self {
            Self::Text(text) => Frame::Text(text.into()),
            Self::Binary(bytes) => Frame::Binary(bytes),
        }
    }
}

/// How a peer said goodbye.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Close {
    /// Its code (RFC 6455, section 7.4): 1000 where all is said, 1001 where the server goes away; 1005 where it said none.
    pub code: u16,
    /// Its words.
    pub reason: String,
}

impl Close {
    pub(super) fn of(frame: Option<CloseFrame>) -> Self {
        let no_code = Self { code: NO_CODE, reason: String::new() };
        frame.map_or(no_code, |frame| Self {
            code: frame.code.into(),
            reason: frame.reason.as_str().to_owned(),
        })
    }

    /// Whether it says that the server goes away, or that something passes that has nothing to do with what was said: 1001, 1011 to
    /// 1014.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        matches!(self.code, 1001 | 1011..=1014)
    }
}

/// No code was said (RFC 6455, section 7.1.5).
const NO_CODE: u16 = 1005;
