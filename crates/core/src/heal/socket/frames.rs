//! Where frames begin and end (RFC 6455, section 5.2), in pieces of any size.
//!
//! The payload of a message is passed over unread. A control frame is short, and held until it is whole, so that it can be
//! judged, and left out, as one. So is a frame's head: what was passed on ends within a payload or between two frames.

use alloc::vec::Vec;

/// Who sent the frames. A client masks them, a server doesn't (RFC 6455, section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The application.
    Client,
    /// The upstream.
    Server,
}

/// Reads what one side sends.
#[derive(Debug)]
pub struct Frames {
    sender: Sender,
    /// The head of a message's frame, or a control frame, as far as it has come. Never longer than [`HELD_BYTES`].
    held: Vec<u8>,
    /// It was whole and has been told: the next byte begins another one.
    is_told: bool,
    /// What is still to come of a message's frame.
    payload_left: u64,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut<'p> {
    /// The head of a message's frame: [`Frames::held`].
    Head,
    /// A part of a message's payload.
    Payload(&'p [u8]),
    /// A whole control frame: [`Frames::held`].
    Control(Control),
}

/// What a control frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// The end, as seen by its sender, with the code that it gives.
    Close(Option<u16>),
    /// A question whether the peer lives.
    Ping,
    /// The answer.
    Pong,
    /// Something of an extension's.
    Other,
}

/// It can't be told any more where frames begin, or a control frame is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl Frames {
    /// Those of one sender, from the first.
    #[must_use]
    pub const fn of(sender: Sender) -> Self {
        Self { sender, held: Vec::new(), is_told: false, payload_left: 0 }
    }

    /// Cuts off what is next in `piece`, which then begins behind it. `None`: all of the piece has been taken.
    ///
    /// # Errors
    ///
    /// [`Malformed`]: a length of more than 63 bits, a control frame in fragments or with more than 125 bytes, a mask where none
    /// belongs, or none where one does. Reserved bits and opcodes are passed over: an extension may have given them a meaning.
    pub fn next<'p>(&mut self, piece: &mut &'p [u8]) -> Result<Option<Cut<'p>>, Malformed> {
        if self.is_told {
            self.held.clear();
            self.is_told = false;
        }
        if self.payload_left > 0 {
            let left = usize::try_from(self.payload_left).unwrap_or(usize::MAX);
            let payload = take(piece, left);
            self.payload_left -= payload.len() as u64;
            return Ok((!payload.is_empty()).then_some(Cut::Payload(payload)));
        }
        loop {
            let missing = self.length()?.saturating_sub(self.held.len());
            if missing == 0 {
                break;
            }
            if piece.is_empty() {
                return Ok(None);
            }
            self.held.extend_from_slice(take(piece, missing));
        }
        self.is_told = true;
        if is_control(self.held[0]) {
            return Ok(Some(Cut::Control(self.control())));
        }
        self.payload_left = self.payload_length()?;
        Ok(Some(Cut::Head))
    }

    /// The bytes of the head, or of the control frame, that was told last.
    #[must_use]
    pub fn held(&self) -> &[u8] {
        &self.held
    }

    /// The payload of the control frame that was told last, without its mask.
    #[must_use]
    pub fn control_payload(&self) -> Vec<u8> {
        let (mask, payload) = match self.sender {
            Sender::Client => self.held.get(2..).and_then(|rest| rest.split_at_checked(4)),
            Sender::Server => self.held.get(2..).map(|rest| (&[][..], rest)),
        }
        .unwrap_or_default();
        let mut payload = payload.to_vec();
        mask_with(mask, &mut payload);
        payload
    }

    /// Whether what has been told ends between two frames, where another one may be put in (RFC 6455, section 5.4).
    #[must_use]
    pub const fn is_between_frames(&self) -> bool {
        self.payload_left == 0
    }

    /// How long what is held will be: a whole control frame or the head of another one, as far as that can be told by now.
    fn length(&self) -> Result<usize, Malformed> {
        let &[first, second, ..] = self.held.as_slice() else { return Ok(2) };
        let is_masked = second & MASKED != 0;
        if is_masked != (self.sender == Sender::Client) {
            return Err(Malformed);
        }
        let mask = if is_masked { 4 } else { 0 };
        let short = usize::from(second & !MASKED);
        if is_control(first) {
            let is_whole = first & FINAL != 0 && short <= CONTROL_BYTES;
            return if is_whole { Ok(2 + mask + short) } else { Err(Malformed) };
        }
        Ok(match short {
            126 => 4 + mask,
            127 => 10 + mask,
            _ => 2 + mask,
        })
    }

    fn payload_length(&self) -> Result<u64, Malformed> {
        let [_, second, long @ ..] = self.held.as_slice() else { return Err(Malformed) };
        let length = match second & !MASKED {
            126 => long.first_chunk().map(|bytes| u64::from(u16::from_be_bytes(*bytes))),
            127 => long.first_chunk().map(|bytes| u64::from_be_bytes(*bytes)),
            short => Some(u64::from(short)),
        };
        length.filter(|length| length >> 63 == 0).ok_or(Malformed)
    }

    fn control(&self) -> Control {
        match self.held[0] & OPCODE {
            CLOSE => Control::Close(
                self.control_payload().first_chunk().map(|code| u16::from_be_bytes(*code)),
            ),
            PING => Control::Ping,
            PONG => Control::Pong,
            _ => Control::Other,
        }
    }
}

/// Takes up to `most` bytes off the beginning.
fn take<'p>(piece: &mut &'p [u8], most: usize) -> &'p [u8] {
    let (taken, rest) = piece.split_at(most.min(piece.len()));
    *piece = rest;
    taken
}

/// Puts a mask of four bytes on a whole payload, or takes it off. Without one nothing is done.
pub(super) fn mask_with(mask: &[u8], payload: &mut [u8]) {
    for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

const fn is_control(first: u8) -> bool {
    first & 0x08 != 0
}

pub(super) const FINAL: u8 = 0x80;
pub(super) const MASKED: u8 = 0x80;
const OPCODE: u8 = 0x0f;

pub(super) const CLOSE: u8 = 8;
pub(super) const PING: u8 = 9;
const PONG: u8 = 10;

/// RFC 6455, section 5.5.
pub(super) const CONTROL_BYTES: usize = 125;

/// A masked control frame with all that it may have. A head is shorter.
#[cfg(test)]
const HELD_BYTES: usize = 2 + 4 + CONTROL_BYTES;

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;
    use std::{format, vec};

    /// Cuts the pieces, and tells each cut as text.
    fn cut(sender: Sender, pieces: &[&[u8]]) -> Result<Vec<String>, Malformed> {
        let mut frames = Frames::of(sender);
        let (mut told, mut payload) = (Vec::new(), 0);
        for mut piece in pieces.iter().copied() {
            while let Some(cut) = frames.next(&mut piece)? {
                assert!(frames.held().len() <= HELD_BYTES);
                match cut {
                    Cut::Head => told.push(format!("head {}", frames.held().len())),
                    Cut::Payload(bytes) => payload += bytes.len(),
                    Cut::Control(control) => {
                        told.push(format!("{control:?} {:?}", frames.control_payload()));
                    }
                }
            }
        }
        told.push(format!("{payload} bytes, between frames: {}", frames.is_between_frames()));
        Ok(told)
    }

    fn long(length: usize) -> Vec<u8> {
        let mut frame = vec![0x82, 127];
        frame.extend_from_slice(&(length as u64).to_be_bytes());
        frame.resize(10 + length, b'x');
        frame
    }

    #[test]
    fn frames_are_told_apart_wherever_pieces_begin_and_end() {
        let mut stream = b"\x01\x03abc\x89\x01?\x80\x02de\x8a\x00".to_vec();
        stream.extend_from_slice(b"\x82\x7e\x00\x80");
        stream.resize(stream.len() + 128, b'y');
        stream.extend_from_slice(b"\x88\x04\x03\xe8ok");
        let whole = cut(Sender::Server, &[&stream]);
        let wanted = [
            "head 2",
            "Ping [63]",
            "head 2",
            "Pong []",
            "head 4",
            "Close(Some(1000)) [3, 232, 111, 107]",
            "133 bytes, between frames: true",
        ];
        assert_eq!(whole, Ok(wanted.map(String::from).to_vec()));
        for at in 0..=stream.len() {
            assert_eq!(cut(Sender::Server, &[&stream[..at], &stream[at..]]), whole, "{at}");
        }
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(cut(Sender::Server, &bytes), whole);
    }

    #[test]
    fn a_mask_is_taken_off_what_a_control_frame_says() {
        let told = cut(Sender::Client, &[b"\x88\x82mask\x6e\x89"]);
        assert_eq!(told.map(|told| told[0].clone()), Ok("Close(Some(1000)) [3, 232]".into()));
        let told = cut(Sender::Client, &[b"\x88\x80mask"]);
        assert_eq!(told.map(|told| told[0].clone()), Ok("Close(None) []".into()));
    }

    #[test]
    fn within_a_payload_is_not_between_frames_and_within_a_held_head_is() {
        let frame = long(70_000);
        let ends = |at: usize| cut(Sender::Server, &[&frame[..at]]).map(|told| told.concat());
        assert_eq!(ends(9), Ok("0 bytes, between frames: true".into()));
        assert_eq!(ends(10), Ok("head 100 bytes, between frames: false".into()));
        assert_eq!(ends(70_009), Ok("head 1069999 bytes, between frames: false".into()));
        assert_eq!(ends(70_010), Ok("head 1070000 bytes, between frames: true".into()));
    }

    #[test]
    fn nonsense_is_noticed_as_soon_as_it_can_be() {
        for (sender, bytes) in [
            (Sender::Server, &b"\x81\x81"[..]),
            (Sender::Client, b"\x81\x01"),
            (Sender::Server, b"\x09\x00"),
            (Sender::Server, b"\x89\x7e"),
            (Sender::Server, b"\x82\x7f\x80\0\0\0\0\0\0\0"),
        ] {
            assert_eq!(cut(sender, &[bytes]), Err(Malformed), "{bytes:?}");
            assert!(cut(sender, &[&bytes[..bytes.len() - 1]]).is_ok(), "{bytes:?}");
        }
    }

    #[test]
    fn what_an_extension_may_have_changed_is_passed_over() {
        let told = cut(Sender::Server, &[b"\xc1\x02ab\x83\x01c\x8b\x01d"]);
        let wanted = ["head 2", "head 2", "Other [100]", "3 bytes, between frames: true"];
        assert_eq!(told, Ok(wanted.map(String::from).to_vec()));
    }
}
