//! Fields that mean nothing in a trailer, or harm, and go no further (RFC 9110, sections 6.5.1 and 7.6.1).
//!
//! They frame a message, say where it goes, who sends it or what the connection does: whoever merges a trailer into the
//! fields of its head would take them at their word.

use http::{HeaderMap, HeaderName, header};

/// What is left of a trailer when all that must not be in it is gone.
pub(crate) fn cleaned(mut fields: HeaderMap) -> HeaderMap {
    for name in &NEVER {
        fields.remove(name);
    }
    fields
}

static NEVER: [HeaderName; 16] = [
    header::AUTHORIZATION,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::COOKIE,
    header::EXPECT,
    header::HOST,
    header::MAX_FORWARDS,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::SET_COOKIE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn what_frames_routes_or_authorises_is_taken_out_and_the_rest_stays() {
        let one = HeaderValue::from_static("1");
        let mut fields: HeaderMap = NEVER.iter().map(|name| (name.clone(), one.clone())).collect();
        fields.append(HeaderName::from_static("grpc-status"), one.clone());
        fields.append(header::CONTENT_LENGTH, one);
        let names: Vec<_> = cleaned(fields).keys().map(ToString::to_string).collect();
        assert_eq!(names, ["grpc-status"]);
    }
}
