//! What is on its way to one side.

use alloc::vec::Vec;

/// Bytes that are to be written. Holds no memory while there are none.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    bytes: Vec<u8>,
    written: usize,
}

impl Outgoing {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn pending(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pending().is_empty()
    }

    /// Whether nothing more should be read for it.
    pub(super) fn is_full(&self) -> bool {
        self.pending().len() >= FULL_BYTES
    }

    pub(super) fn on_written(&mut self, count: usize) {
        self.written = (self.written + count).min(self.bytes.len());
        if self.is_empty() {
            *self = Self::default();
        } else if self.written >= FULL_BYTES {
            self.bytes.drain(..self.written);
            self.written = 0;
        }
    }
}

/// A few reads' worth: enough to keep a socket busy, little enough for ten thousand slow readers.
const FULL_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    #[test]
    fn what_is_written_is_forgotten_and_the_rest_stays_in_order() {
        let mut outgoing = Outgoing::default();
        outgoing.push(&vec![b'a'; FULL_BYTES]);
        outgoing.push(b"bc");
        assert!(outgoing.is_full());
        outgoing.on_written(FULL_BYTES);
        assert_eq!(outgoing.pending(), b"bc");
        outgoing.on_written(1);
        outgoing.push(b"d");
        assert_eq!(outgoing.pending(), b"cd");
        outgoing.on_written(2);
        assert!(outgoing.is_empty() && outgoing.bytes.capacity() == 0);
    }
}
