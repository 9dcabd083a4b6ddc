//! Uploads that their server keeps: what it says of where they are, and how much it has.

use mainstay_core::heal::upload::{Origin, Protocol, Step, Upload};

use super::{borrowed, fields, knobs};

/// Words of such heads.
pub const WORDS: &[&str] = &[
    "location: ",
    "/up/1",
    "http://127.0.0.1:1/up",
    "//evil.test/",
    "upload-offset: ",
    "upload-complete: ?0\n",
    "upload-length: 10\n",
    "5",
    "\n",
    "18446744073709551616",
    "content-length: 10\n",
    "tus-resumable: 1.0.0\n",
];

/// Runs it: nothing is sent from beyond what the body has, and none elsewhere than to its own origin.
///
/// # Panics
///
/// Where it doesn't hold.
pub fn run(bytes: &[u8]) {
    const LENGTH: u64 = 1000;
    let Some(([cut, status, sent, kind], rest)) = knobs(bytes) else { return };
    let (offer, offset) = rest.split_at(rest.len().min(usize::from(cut)));
    let (offer, offset) = (fields(offer), fields(offset));
    let origin = Origin { scheme: "http".into(), authority: "127.0.0.1:1".into() };
    let protocol =
        if kind & 1 == 0 { Protocol::Tus } else { Protocol::Ietf { interop_version: 6 } };
    let Ok(mut upload) = Upload::of(protocol, origin, "POST", Some(LENGTH), std::iter::empty())
    else {
        return;
    };
    upload.on_sent(u64::from(sent) * 4);
    upload.on_offer(borrowed(&offer));
    if let Some(resource) = upload.resource() {
        assert!(!resource.contains("evil.test"), "it goes elsewhere: {resource}");
    }
    if upload.on_break().is_err() {
        return;
    }
    let status = [200, 204, 404, 410, 500][usize::from(status % 5)];
    if let Ok(Step::Append { from }) = upload.on_offset(status, borrowed(&offset)) {
        assert!(from <= LENGTH, "from {from} on, of {LENGTH}");
    }
}
