//! `Cache-Control`, `Expires`, `Age` and the rest of RFC 9111, by which an answer may be kept to stand in for another.

use std::time::Duration;

use mainstay_core::degrade::{Asked, Given, StaleSettings, keep};

use super::{borrowed, fields, knobs};

/// Words of such fields.
pub const WORDS: &[&str] = &[
    "cache-control: ",
    "max-age=",
    "s-maxage=1",
    "stale-if-error=60",
    "no-store",
    "private",
    "no-cache=\"a\"",
    "must-revalidate",
    "public",
    "expires: ",
    "date: ",
    "age: ",
    "vary: *",
    "set-cookie: a=b",
    "content-range: bytes 0-1/2",
    "authorization: x",
    "\n",
    ", ",
    "\"",
    "\\",
    "Sun, 06 Nov 1994 08:49:37 GMT",
    "18446744073709551615",
    "0",
];

/// Runs it: what may be kept is never given for longer than was allowed, and `no-store` is kept to.
///
/// # Panics
///
/// Where it doesn't hold.
pub fn run(bytes: &[u8]) {
    let Some(([status, cut], rest)) = knobs(bytes) else { return };
    let (asked, given) = rest.split_at(rest.len().min(usize::from(cut)));
    let (asked, given) = (fields(asked), fields(given));
    let status = [200, 203, 301, 404, 500][usize::from(status % 5)];
    let of_asked = Asked::of("GET", borrowed(&asked));
    let of_given = Given::of(status, borrowed(&given), 784_111_777, Duration::from_millis(5));
    let Ok(lifetime) = keep(&of_asked, &of_given, &StaleSettings::default()) else { return };
    let forbids = |(name, value): &(String, Vec<u8>)| {
        name == "cache-control" && value.eq_ignore_ascii_case(b"no-store")
    };
    assert!(!given.iter().any(forbids), "kept against no-store");
    let usable = lifetime.usable_for();
    if let Some(after) = usable.checked_add(Duration::from_secs(1)) {
        assert!(
            lifetime.age(after, &of_asked).is_none(),
            "given after {after:?}, usable for {usable:?}"
        );
    }
}
