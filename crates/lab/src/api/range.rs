//! `/bytes/N`, whole or in part: what a client needs to go on where a body broke (RFC 9110, 13.1.5 and 14.2).

use http::{HeaderValue, StatusCode, header};

use super::{Reply, Request, Source};

/// The bytes that are asked for.
pub(super) fn bytes(request: &Request, length: u64, chunked: bool) -> Reply {
    let etag = format!("\"bytes-{length}\"");
    let mut reply = Reply::new(StatusCode::OK, "application/octet-stream", "");
    reply.source = Source::Pattern { next: 0, end: length };
    reply.chunked = chunked;
    reply.headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    // An If-Range that isn't this very ETag asks for the whole.
    let is_same = request.text("if-range").is_none_or(|validator| validator == etag);
    match request.text("range").filter(|_| is_same).and_then(|text| wanted(text, length)) {
        None => {}
        Some(Wanted::Part(from, to)) => {
            reply.status = StatusCode::PARTIAL_CONTENT;
            reply.source = Source::Pattern { next: from, end: to + 1 };
            insert(&mut reply, header::CONTENT_RANGE, &format!("bytes {from}-{to}/{length}"));
        }
        Some(Wanted::Nothing) => {
            reply = Reply::error(StatusCode::RANGE_NOT_SATISFIABLE, "the range lies outside");
            insert(&mut reply, header::CONTENT_RANGE, &format!("bytes */{length}"));
        }
    }
    insert(&mut reply, header::ETAG, &etag);
    reply
}

#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    /// From the first to the last, both included.
    Part(u64, u64),
    Nothing,
}

/// One range; none if the header is to be ignored: broken, of another unit, or of several ranges.
fn wanted(text: &str, length: u64) -> Option<Wanted> {
    let (from, to) = text.trim().strip_prefix("bytes=")?.split_once('-')?;
    if from.is_empty() {
        let last: u64 = to.parse().ok()?;
        let nothing = last == 0 || length == 0;
        return Some(if nothing {
            Wanted::Nothing
        } else {
            Wanted::Part(length.saturating_sub(last), length - 1)
        });
    }
    let from: u64 = from.parse().ok()?;
    let to: u64 = if to.is_empty() { u64::MAX } else { to.parse().ok()? };
    if to < from {
        return None;
    }
    Some(if from >= length { Wanted::Nothing } else { Wanted::Part(from, to.min(length - 1)) })
}

fn insert(reply: &mut Reply, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        reply.headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_standard_says() {
        assert_eq!(wanted("bytes=0-9", 100), Some(Wanted::Part(0, 9)));
        assert_eq!(wanted("bytes=90-", 100), Some(Wanted::Part(90, 99)));
        assert_eq!(wanted("bytes=90-1000", 100), Some(Wanted::Part(90, 99)));
        assert_eq!(wanted("bytes=-5", 100), Some(Wanted::Part(95, 99)));
        assert_eq!(wanted("bytes=-500", 100), Some(Wanted::Part(0, 99)));
        assert_eq!(wanted("bytes=100-", 100), Some(Wanted::Nothing));
        assert_eq!(wanted("bytes=0-", 0), Some(Wanted::Nothing));
        for ignored in ["bytes=5-3", "lines=1-2", "bytes=0-1,3-4", "bytes=a-b", "bytes=-"] {
            assert_eq!(wanted(ignored, 100), None, "{ignored}");
        }
    }
}
