//! From HTTP/1.1 to an echo: of bytes (`Upgrade: echo`) or of WebSocket messages (RFC 6455, 4.2).

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};

use super::{Reply, Request, has_token};

/// What a connection speaks after an upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Every byte comes back.
    Echo,
    /// Every message comes back.
    WebSocket {
        /// Or passes over them: the path says `?no-pong`.
        answers_pings: bool,
    },
}

impl Request {
    /// What the connection is to be upgraded to, if that is something known.
    pub(super) fn upgrade(&self) -> Option<Protocol> {
        let answers_pings = self.query("no-pong").is_none();
        let known =
            [("echo", Protocol::Echo), ("websocket", Protocol::WebSocket { answers_pings })];
        let asked = self.text("upgrade")?.trim();
        let protocol = known.into_iter().find(|(word, _)| word.eq_ignore_ascii_case(asked));
        protocol
            .filter(|_| has_token(&self.headers, header::CONNECTION, "upgrade"))
            .map(|(_, protocol)| protocol)
    }
}

pub(super) fn answer(request: &Request, protocol: Protocol) -> Reply {
    let mut reply = Reply::new(StatusCode::SWITCHING_PROTOCOLS, "", Bytes::new());
    reply.headers.clear();
    reply.upgrade = Some(protocol);
    reply.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    if let Some(protocol) = request.headers.get(header::UPGRADE) {
        reply.headers.insert(header::UPGRADE, protocol.clone());
    }
    if let Protocol::WebSocket { .. } = protocol {
        if request.text("sec-websocket-version") != Some("13") {
            let mut reply = Reply::error(StatusCode::UPGRADE_REQUIRED, "WebSocket has version 13");
            reply.set(header::SEC_WEBSOCKET_VERSION, "13");
            return reply;
        }
        let key = request.text("sec-websocket-key").filter(|_| request.method == Method::GET);
        let Some(key) = key.filter(|key| is_key(key)) else {
            return Reply::error(StatusCode::BAD_REQUEST, "a GET with a Sec-WebSocket-Key, please");
        };
        reply.set(header::SEC_WEBSOCKET_ACCEPT, &accept(key));
    }
    reply
}

fn is_key(text: &str) -> bool {
    BASE64_STANDARD.decode(text).is_ok_and(|bytes| bytes.len() == 16)
}

/// The proof that the key was read by one who speaks the protocol.
fn accept(key: &str) -> String {
    let digest = digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{GUID}").as_bytes());
    BASE64_STANDARD.encode(digest)
}

/// RFC 6455, 1.3.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proof_is_that_of_the_standard() {
        assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_key_is_sixteen_bytes() {
        assert!(is_key("dGhlIHNhbXBsZSBub25jZQ=="));
        for wrong in ["", "dGhlIHNhbXBsZQ==", "not a key"] {
            assert!(!is_key(wrong), "{wrong}");
        }
    }
}
