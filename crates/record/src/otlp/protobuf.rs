//! Protocol buffers, as far as OTLP needs them: written straight into one buffer, and read for two fields of an answer.
//!
//! A hundred lines in place of `opentelemetry-proto`, which would bring tonic, the OpenTelemetry API and its SDK, and make a
//! tree of owned values for each span before the first byte is written. Reference: the encoding guide of Protocol Buffers.

/// A message in the making.
#[derive(Debug, Default)]
pub(crate) struct Message(Vec<u8>);

/// A field of a message that was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Of fixed length; none of those that we read.
    Fixed,
}

impl Message {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    pub(crate) fn number(&mut self, field: u32, number: u64) {
        self.tag(field, VARINT);
        self.varint(number);
    }

    pub(crate) fn fixed64(&mut self, field: u32, number: u64) {
        self.tag(field, FIXED64);
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    pub(crate) fn fixed32(&mut self, field: u32, number: u32) {
        self.tag(field, FIXED32);
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    pub(crate) fn double(&mut self, field: u32, number: f64) {
        self.fixed64(field, number.to_bits());
    }

    pub(crate) fn bytes(&mut self, field: u32, bytes: &[u8]) {
        self.tag(field, BYTES);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    pub(crate) fn text(&mut self, field: u32, text: &str) {
        self.bytes(field, text.as_bytes());
    }

    /// Numbers of fixed length, packed.
    pub(crate) fn packed64(&mut self, field: u32, numbers: impl ExactSizeIterator<Item = u64>) {
        self.tag(field, BYTES);
        self.varint(numbers.len() as u64 * 8);
        for number in numbers {
            self.0.extend_from_slice(&number.to_le_bytes());
        }
    }

    /// Fields that were written elsewhere.
    pub(crate) fn raw(&mut self, fields: &[u8]) {
        self.0.extend_from_slice(fields);
    }

    /// A message within this one. Its length is written when it is known; most are shorter than 128 bytes, and the others are
    /// moved by the byte or two that their length takes more.
    pub(crate) fn message(&mut self, field: u32, write: impl FnOnce(&mut Self)) {
        self.tag(field, BYTES);
        let place = self.0.len();
        self.0.push(0);
        write(self);
        let length = self.0.len() - place - 1;
        let more = varint_length(length as u64) - 1;
        if more > 0 {
            self.0.resize(place + 1 + length + more, 0);
            self.0.copy_within(place + 1..=place + length, place + 1 + more);
        }
        let mut rest = length;
        for byte in &mut self.0[place..=place + more] {
            // Seven bits of it.
            *byte = (rest & 0x7f) as u8 | 0x80;
            rest >>= 7;
        }
        self.0[place + more] &= 0x7f;
    }

    fn tag(&mut self, field: u32, wire: u32) {
        self.varint(u64::from(field << 3 | wire));
    }

    fn varint(&mut self, mut number: u64) {
        while number > 0x7f {
            self.0.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }
}

/// The fields of a message, as far as they can be read.
pub(crate) fn fields(mut bytes: &[u8]) -> impl Iterator<Item = (u64, Field<'_>)> {
    std::iter::from_fn(move || {
        let tag = read_varint(&mut bytes)?;
        let field = match tag as u32 & 7 {
            VARINT => Field::Number(read_varint(&mut bytes)?),
            BYTES => {
                let length = usize::try_from(read_varint(&mut bytes)?).ok()?;
                Field::Bytes(bytes.split_off(..length)?)
            }
            FIXED64 => bytes.split_off(..8).map(|_| Field::Fixed)?,
            FIXED32 => bytes.split_off(..4).map(|_| Field::Fixed)?,
            _ => return None,
        };
        Some((tag >> 3, field))
    })
}

fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for place in 0..10 {
        let byte = *bytes.split_off_first()?;
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn varint_length(number: u64) -> usize {
    let bits = (64 - number.leading_zeros()).max(1);
    bits.div_ceil(7) as usize
}

const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const BYTES: u32 = 2;
const FIXED32: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_guide_are_written_as_there() {
        let mut message = Message::default();
        message.number(1, 150);
        message.text(2, "testing");
        message.message(3, |inner| inner.number(1, 150));
        assert_eq!(message.into_bytes(), b"\x08\x96\x01\x12\x07testing\x1a\x03\x08\x96\x01");
    }

    #[test]
    fn messages_of_any_length_are_read_as_they_were_written() {
        for length in [0, 1, 127, 128, 129, 16_383, 16_384, 300_000] {
            let text = "x".repeat(length);
            let mut message = Message::default();
            message.message(7, |inner| inner.message(5, |inner| inner.text(1, &text)));
            message.fixed64(2, 3);
            message.fixed32(3, 4);
            message.number(9, u64::MAX);
            let bytes = message.into_bytes();
            let all: Vec<_> = fields(&bytes).collect();
            let [
                (7, Field::Bytes(outer)),
                (2, Field::Fixed),
                (3, Field::Fixed),
                (9, Field::Number(u64::MAX)),
            ] = all[..]
            else {
                panic!("{length}: {all:?}")
            };
            let Some((5, Field::Bytes(inner))) = fields(outer).next() else { panic!("{length}") };
            assert_eq!(fields(inner).next(), Some((1, Field::Bytes(text.as_bytes()))), "{length}");
        }
    }

    #[test]
    fn what_is_cut_ends_the_reading() {
        let mut message = Message::default();
        message.message(1, |inner| inner.text(2, "some words"));
        message.number(2, 1 << 40);
        let bytes = message.into_bytes();
        for end in 0..bytes.len() {
            assert!(fields(&bytes[..end]).count() <= 2);
        }
        assert_eq!(fields(&[0xff; 20]).count(), 0);
    }
}
