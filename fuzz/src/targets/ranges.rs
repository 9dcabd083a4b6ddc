//! Downloads that go on by `Range`: heads and bodies of servers that may say anything.

use mainstay_core::heal::range::{Asked, Download, RangeSettings, Splice};

use super::{borrowed, fields, knobs, pieces};

/// Words of such heads.
pub const WORDS: &[&str] = &[
    "etag: \"a\"\n",
    "etag: W/\"a\"\n",
    "content-range: bytes ",
    "0-9/10",
    "*/10",
    "5-9/10",
    "5-9/*",
    "content-length: 10\n",
    "accept-ranges: bytes\n",
    "accept-ranges: none\n",
    "content-encoding: gzip\n",
    "content-type: multipart/byteranges; boundary=x\n",
    "last-modified: Sun, 06 Nov 1994 08:49:37 GMT\n",
    "range: bytes=5-\n",
    "if-range: \"a\"\n",
    "18446744073709551615",
];

/// Runs it: of each piece a part of it is delivered, no more than was announced, and what was asked for next begins where that ended.
///
/// # Panics
///
/// Where it doesn't hold.
pub fn run(bytes: &[u8]) {
    let Some((knobs, rest)) = knobs::<6>(bytes) else { return };
    let [first_head, second_head, first_body, step, says, known] = knobs;
    let (first, rest) = rest.split_at(rest.len().min(usize::from(first_head)));
    let (second, body) = rest.split_at(rest.len().min(usize::from(second_head)));
    let (first, second) = (fields(first), fields(second));
    let asked = Asked::of("GET", borrowed(&first));
    let exact = (known & 1 == 1).then_some(u64::from(known));
    let settings =
        RangeSettings { as_good_as_tag: vec!["x-version".into()], ..RangeSettings::default() };
    let status = |knob: u8| [200, 206, 416, 304, 503][usize::from(knob % 5)];
    let Ok(mut download) = Download::of(asked, status(says), borrowed(&first), exact, &settings)
    else {
        return;
    };
    let (before, behind) = body.split_at(body.len().min(usize::from(first_body)));
    let mut delivered = feed(&mut download, before, step);
    let Some(ask) = download.ask() else { return };
    assert!(ask.range().starts_with("bytes="), "{ask:?}");
    if let Ok(splice) = download.judge(status(says / 5), borrowed(&second), None) {
        assert!(splice != Splice::Complete || download.is_complete(), "complete and not");
        delivered += feed(&mut download, behind, step);
    }
    let _ = download.on_end();
    if let Some(length) = download.length() {
        assert!(delivered <= length, "{delivered} of {length} bytes are delivered");
    }
}

/// Gives pieces, until one is refused; how much of them was to be delivered.
fn feed(download: &mut Download, body: &[u8], step: u8) -> u64 {
    let mut delivered = 0;
    for piece in pieces(body, step) {
        let Ok(new) = download.take(piece) else { break };
        assert!(new.start <= new.end && new.end <= piece.len(), "{new:?} of {} bytes", piece.len());
        delivered += new.len() as u64;
    }
    delivered
}
