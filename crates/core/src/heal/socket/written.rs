//! Frames of our own.

use alloc::vec::Vec;

use super::frames::{CLOSE, CONTROL_BYTES, FINAL, MASKED, PING, mask_with};

/// A mask, for frames that go to the upstream: there we are the client.
pub(super) type Mask = [u8; 4];

/// A Ping.
pub(super) fn ping(payload: &[u8], mask: Option<Mask>) -> Vec<u8> {
    control(PING, payload, mask)
}

/// A Close with a code and a reason.
pub(super) fn close(code: u16, reason: &str, mask: Option<Mask>) -> Vec<u8> {
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(reason.as_bytes());
    control(CLOSE, &payload, mask)
}

fn control(opcode: u8, payload: &[u8], mask: Option<Mask>) -> Vec<u8> {
    // All payloads here are short and known beforehand.
    debug_assert!(payload.len() <= CONTROL_BYTES);
    let length = payload.len().min(CONTROL_BYTES);
    let masked = if mask.is_some() { MASKED } else { 0 };
    let mut frame = alloc::vec![FINAL | opcode, masked | length as u8];
    frame.extend_from_slice(mask.as_ref().map_or(&[], |mask| mask.as_slice()));
    let begin = frame.len();
    frame.extend_from_slice(&payload[..length]);
    mask_with(mask.as_ref().map_or(&[], |mask| mask.as_slice()), &mut frame[begin..]);
    frame
}

#[cfg(test)]
mod tests {
    use super::super::frames::{Control, Cut, Frames, Sender};
    use super::*;

    #[test]
    fn frames_are_written_as_they_are_read() {
        for (mask, sender) in [(Some(*b"mask"), Sender::Client), (None, Sender::Server)] {
            let frame = [ping(b"here?", mask), close(1012, "gone", mask)].concat();
            let (mut frames, mut piece) = (Frames::of(sender), frame.as_slice());
            assert_eq!(frames.next(&mut piece), Ok(Some(Cut::Control(Control::Ping))));
            assert_eq!(frames.control_payload(), b"here?");
            let told = frames.next(&mut piece);
            assert_eq!(told, Ok(Some(Cut::Control(Control::Close(Some(1012))))));
            assert_eq!(frames.control_payload()[2..], *b"gone");
            assert_eq!(frames.next(&mut piece), Ok(None));
        }
    }
}
