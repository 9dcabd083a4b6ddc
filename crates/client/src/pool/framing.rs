//! Heads of answers that hyper and h2 let pass, and that two readers could understand differently.
//!
//! Whoever hands an answer on takes it out of one framing and puts it into another. Where the first is in doubt, the second
//! would hide that: the application would get a well-formed answer whose end somebody made up. So such an answer is a
//! break, like one that can't be read at all.

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

/// Looks at the head of an answer to a request that asked to switch protocols, or didn't. Lengths that are announced more than once and
/// agree are made one (RFC 9110, section 8.6).
///
/// # Errors
///
/// What is wrong with it, in words.
pub(super) fn check<B>(
    response: &mut Response<B>,
    asked_to_switch: bool,
) -> Result<(), &'static str> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS && !asked_to_switch {
        return Err("it switches protocols, which it wasn't asked to");
    }
    let fields = response.headers_mut();
    let is_chunked = is_chunked(fields)?;
    if let Some(length) = one_length(fields)? {
        fields.insert(CONTENT_LENGTH, length);
    }
    if is_chunked && fields.contains_key(CONTENT_LENGTH) {
        return Err("it announces its length twice: as a number and in chunks");
    }
    Ok(())
}

/// In another coding the application would get bytes that it doesn't know to decode: the field that says so ends here.
fn is_chunked(fields: &HeaderMap) -> Result<bool, &'static str> {
    let mut codings = fields.get_all(TRANSFER_ENCODING).into_iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(false),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(true),
        _ => Err("its transfer coding isn't just chunked"),
    }
}

/// The length, where it is announced in more than one way; nothing where there is nothing to mend.
fn one_length(fields: &HeaderMap) -> Result<Option<HeaderValue>, &'static str> {
    const UNCLEAR: &str = "its length isn't one number";
    let mut given = fields.get_all(CONTENT_LENGTH).into_iter();
    let Some(first) = given.next() else { return Ok(None) };
    let second = given.next();
    if second.is_none() && is_number(first.as_bytes()) {
        return Ok(None);
    }
    let all = [first].into_iter().chain(second).chain(given);
    let mut members =
        all.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    let Some(first) = members.next().filter(|first| is_number(first)) else { return Err(UNCLEAR) };
    if members.any(|member| member != first) {
        return Err(UNCLEAR);
    }
    HeaderValue::from_bytes(first).map(Some).map_err(|_| UNCLEAR)
}

fn is_number(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(
        status: u16,
        fields: &[(&str, &str)],
        asked_to_switch: bool,
    ) -> Result<Option<String>, &'static str> {
        let mut response = Response::builder().status(status);
        for (name, value) in fields {
            response = response.header(*name, *value);
        }
        let mut response = response.body(()).unwrap();
        super::check(&mut response, asked_to_switch)?;
        let lengths: Vec<_> = response.headers().get_all(CONTENT_LENGTH).iter().collect();
        assert!(lengths.len() < 2);
        Ok(lengths.first().map(|length| length.to_str().unwrap().to_owned()))
    }

    #[test]
    fn chunks_or_one_length_are_fine() {
        assert_eq!(check(200, &[], false), Ok(None));
        assert_eq!(check(200, &[("transfer-encoding", "Chunked")], false), Ok(None));
        assert_eq!(check(200, &[("content-length", "003")], false), Ok(Some("003".into())));
    }

    #[test]
    fn lengths_that_agree_become_one_and_others_are_wrong() {
        let twice = |a, b| check(200, &[("content-length", a), ("content-length", b)], false);
        assert_eq!(twice("3", "3"), Ok(Some("3".into())));
        assert_eq!(twice("3", "3, 3"), Ok(Some("3".into())));
        for (a, b) in [("3", "4"), ("3", "3, 4"), ("3", ""), ("+3", "+3"), ("3", "03")] {
            assert!(twice(a, b).is_err(), "{a} {b}");
        }
        for one in ["", "+3", "-3", "0x3", "3 3", "3,", "3, 4"] {
            assert!(check(200, &[("content-length", one)], false).is_err(), "{one}");
        }
    }

    #[test]
    fn other_codings_and_two_framings_are_wrong() {
        for coding in ["gzip, chunked", "chunked, gzip", "identity", "xchunked", ""] {
            assert!(check(200, &[("transfer-encoding", coding)], false).is_err(), "{coding}");
        }
        let twice = [("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")];
        assert!(check(200, &twice, false).is_err());
        assert!(
            check(200, &[("transfer-encoding", "chunked"), ("content-length", "3")], false)
                .is_err()
        );
    }

    #[test]
    fn protocols_are_switched_for_those_who_asked() {
        assert!(check(101, &[], false).is_err());
        assert_eq!(check(101, &[], true), Ok(None));
    }
}
