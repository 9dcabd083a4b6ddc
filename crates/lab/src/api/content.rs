//! `/bytes/N`, whole or in part: what a client needs to go on where a body broke (RFC 9110, 13.1 and 14.2).
//!
//! | parameter | meaning |
//! |---|---|
//! | `seed=S` | other content, [`seeded_byte`](super::seeded_byte), with another ETag |
//! | `version=header` | no ETag; `x-lab-version` is the seed, as clouds have it |
//! | `version=date` | no ETag; `Last-Modified`, which lies far back |
//! | `chunked` | without a content-length |

use std::time::{Duration, SystemTime};

use http::{HeaderName, HeaderValue, StatusCode, header};

use super::source::Pattern;
use super::{Reply, Request, Source};
use crate::fault::RangeTrouble;

/// What is wrong with the content or what is said of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Twist {
    None,
    Range(RangeTrouble),
    WeakEtag,
    NoEtag,
    /// Other content in each period; none: in each answer. `lies`: its validator doesn't say so.
    Changed {
        period: Option<u64>,
        lies: bool,
    },
}

/// The content that there is at this moment.
struct Representation {
    length: u64,
    seed: u64,
    validator: Validator,
}

/// What tells one content from another.
enum Validator {
    Etag(String),
    Version(u64),
    Date(String),
    None,
}

/// The bytes that are asked for.
pub(super) fn answer(request: &Request, length: u64, number: u64, twist: Twist) -> Reply {
    let representation = match representation(request, length, number, twist) {
        Ok(representation) => representation,
        Err(why) => return Reply::error(StatusCode::BAD_REQUEST, why),
    };
    let trouble = match twist {
        Twist::Range(trouble) => Some(trouble),
        _ => None,
    };
    if !matches(request.text("if-match"), &representation.validator) {
        return Reply::error(StatusCode::PRECONDITION_FAILED, "it isn't what If-Match names");
    }
    let ignores = trouble == Some(RangeTrouble::OtherEtag);
    let is_same = ignores || matches(request.text("if-range"), &representation.validator);
    let range = request.text("range").filter(|_| is_same).and_then(|text| wanted(text, length));
    let mut reply = match (range, trouble) {
        (Some(Wanted::Part(..)), Some(RangeTrouble::Ignored)) | (None, _) => whole(&representation),
        (Some(Wanted::Part(..)), Some(RangeTrouble::Unsatisfiable))
        | (Some(Wanted::Nothing), _) => nothing(&representation),
        (Some(Wanted::Part(from, to)), trouble) => part(&representation, from, to, trouble),
    };
    reply.chunked = request.query("chunked").is_some();
    reply
}

fn representation(
    request: &Request,
    length: u64,
    number: u64,
    twist: Twist,
) -> Result<Representation, &'static str> {
    let asked: u64 = match request.query("seed").map(str::parse) {
        None => 0,
        Some(Ok(seed)) => seed,
        Some(Err(_)) => return Err("seed is a whole number"),
    };
    let (seed, told) = match twist {
        Twist::Changed { period, lies } => {
            let seed = asked.wrapping_add(period.unwrap_or(number));
            (seed, if lies { asked } else { seed })
        }
        _ => (asked, asked),
    };
    let validator = match (request.query("version"), twist) {
        (_, Twist::NoEtag) => Validator::None,
        (None, Twist::WeakEtag) => Validator::Etag(format!("W/{}", etag(length, told))),
        (None, _) => Validator::Etag(etag(length, told)),
        (Some("header"), _) => Validator::Version(told),
        (Some("date"), _) => Validator::Date(date(told)),
        (Some(_), _) => return Err("version is header or date"),
    };
    Ok(Representation { length, seed, validator })
}

fn etag(length: u64, seed: u64) -> String {
    if seed == 0 { format!("\"bytes-{length}\"") } else { format!("\"bytes-{length}-{seed}\"") }
}

/// A moment that is over for long, so that it is a strong validator (RFC 9110, 8.8.2.2).
fn date(seed: u64) -> String {
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(LAST_CHANGE + seed % SECONDS_OF_SEEDS);
    httpdate::fmt_http_date(at)
}

/// Whether a condition, if there is one, names just this content. Neither If-Range nor If-Match takes a weak ETag.
fn matches(condition: Option<&str>, validator: &Validator) -> bool {
    let Some(condition) = condition else { return true };
    match validator {
        Validator::Etag(etag) if etag.starts_with("W/") => false,
        Validator::Etag(value) | Validator::Date(value) => condition == value,
        Validator::Version(_) | Validator::None => false,
    }
}

fn whole(representation: &Representation) -> Reply {
    described(StatusCode::OK, representation, 0, representation.length)
}

fn nothing(representation: &Representation) -> Reply {
    let mut reply = Reply::error(StatusCode::RANGE_NOT_SATISFIABLE, "the range lies outside");
    reply.set(header::CONTENT_RANGE, &format!("bytes */{}", representation.length));
    describe(&mut reply, &representation.validator);
    reply
}

/// The bytes from one to the other, both included, and what a server may get wrong about them.
fn part(
    representation: &Representation,
    mut from: u64,
    mut to: u64,
    trouble: Option<RangeTrouble>,
) -> Reply {
    let mut total = representation.length;
    match trouble {
        Some(RangeTrouble::WrongStart) if from < to => from += 1,
        // Of one byte, there is no later one.
        Some(RangeTrouble::WrongStart) => from = from.saturating_sub(1),
        Some(RangeTrouble::WrongTotal) => total += 1,
        Some(RangeTrouble::Short) => to = from + (to - from) / 2,
        _ => {}
    }
    let mut reply = described(StatusCode::PARTIAL_CONTENT, representation, from, to + 1);
    let range = format!("bytes {from}-{to}/{total}");
    match trouble {
        Some(RangeTrouble::Multipart) => enclose(&mut reply, &range),
        _ => reply.set(header::CONTENT_RANGE, &range),
    }
    match (trouble, &mut reply.source) {
        (Some(RangeTrouble::OtherEtag), _) => {
            reply.set(
                header::ETAG,
                &etag(representation.length, representation.seed.wrapping_add(1)),
            );
        }
        (Some(RangeTrouble::Gzip), _) => reply.set(header::CONTENT_ENCODING, "gzip"),
        (Some(RangeTrouble::Lies), Source::Pattern(pattern)) => pattern.seed ^= LIE,
        _ => {}
    }
    reply
}

/// Makes a part the only one of several (RFC 9110, 14.6).
fn enclose(reply: &mut Reply, range: &str) {
    let Source::Pattern(pattern) = std::mem::replace(&mut reply.source, Source::empty()) else {
        return;
    };
    let before =
        format!("--{BOUNDARY}\r\ncontent-type: {CONTENT_TYPE}\r\ncontent-range: {range}\r\n\r\n");
    let after = format!("\r\n--{BOUNDARY}--\r\n");
    reply.source = Source::Enclosed { before: before.into(), pattern, after: after.into() };
    reply.set(header::CONTENT_TYPE, &format!("multipart/byteranges; boundary={BOUNDARY}"));
}

fn described(status: StatusCode, representation: &Representation, next: u64, end: u64) -> Reply {
    let mut reply = Reply::new(status, CONTENT_TYPE, "");
    reply.source = Source::Pattern(Pattern { seed: representation.seed, next, end });
    reply.headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    describe(&mut reply, &representation.validator);
    reply
}

fn describe(reply: &mut Reply, validator: &Validator) {
    match validator {
        Validator::Etag(etag) => reply.set(header::ETAG, etag),
        Validator::Version(version) => reply.set(VERSION, &version.to_string()),
        Validator::Date(date) => {
            reply.set(header::LAST_MODIFIED, date);
            reply.set(header::DATE, &httpdate::fmt_http_date(SystemTime::now()));
        }
        Validator::None => {}
    }
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

const CONTENT_TYPE: &str = "application/octet-stream";

const BOUNDARY: &str = "lab-part";

const VERSION: HeaderName = HeaderName::from_static("x-lab-version");

/// Makes a seed another one.
const LIE: u64 = 1 << 63;

/// The first of January 2026.
const LAST_CHANGE: u64 = 1_767_225_600;

/// Seeds change the date by less than twelve days.
const SECONDS_OF_SEEDS: u64 = 1_000_000;

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
