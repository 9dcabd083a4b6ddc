//! Event streams: wherever they are cut, the application gets the same bytes, and no other than came.

use std::sync::Arc;

use mainstay_core::Checked;
use mainstay_core::heal::events::{Block, EventSettings, RingId, Stream};

use super::{knobs, pieces};

/// Words of such streams.
pub const WORDS: &[&str] = &[
    "data: x\n",
    "\n",
    "\r\n",
    "\r",
    "id: 7\n",
    "id\n",
    "event: y\n",
    "retry: 10\n",
    ": comment\n",
    "\u{feff}",
    "data: [DONE]\n\n",
    "event: message_stop\n",
    "data\n",
    "id: a\0b\n",
    "\n\n",
];

/// Runs it.
///
/// # Panics
///
/// Where it doesn't hold.
pub fn run(bytes: &[u8]) {
    let Some(([first, second, kind], rest)) = knobs(bytes) else { return };
    let settings =
        if kind & 1 == 0 { EventSettings::default() } else { EventSettings::llm_stream() };
    let Ok(settings) = Checked::new(settings) else { return };
    let settings = Arc::new(settings);
    let (one, two) = (read(&settings, rest, first), read(&settings, rest, second));
    // The LF of a line's end that was cut between CR and LF may come with what follows.
    let whole = |bytes: &Vec<u8>| bytes.strip_suffix(b"\n").unwrap_or(bytes).to_vec();
    assert_eq!(
        (whole(&one.0), one.1, &one.2),
        (whole(&two.0), two.1, &two.2),
        "it depends on where the stream is cut"
    );
    assert!(rest.starts_with(&one.0), "other bytes than came");
    let _ = RingId::parse(rest);
    let block = Block::read(rest);
    let _ = block.data().count();
}

/// What the application gets of a stream that comes in such pieces, and whether it can be continued.
fn read(
    settings: &Arc<Checked<EventSettings>>,
    bytes: &[u8],
    step: u8,
) -> (Vec<u8>, bool, Option<Vec<u8>>) {
    let mut stream = Stream::new(Arc::clone(settings), None);
    let mut got = Vec::new();
    for piece in pieces(bytes, step) {
        let mut at = 0;
        while let Ok(Some(part)) = stream.take(piece, &mut at) {
            got.extend_from_slice(part.source.bytes(piece));
        }
    }
    (got, stream.resume().is_ok(), stream.last_event_id().map(<[u8]>::to_vec))
}
