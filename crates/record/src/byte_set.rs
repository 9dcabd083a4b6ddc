//! Sets of bytes, looked up in a table: what each byte of a line is asked for costs one step.

/// A set of bytes.
#[derive(Clone, Copy)]
pub(crate) struct ByteSet([bool; 256]);

impl ByteSet {
    /// Visible ASCII and the space.
    pub(crate) const VISIBLE: Self = Self([false; 256]).with_range(b' ', b'~');

    /// ASCII letters and digits.
    pub(crate) const ALPHANUMERIC: Self =
        Self([false; 256]).with_range(b'0', b'9').with_range(b'A', b'Z').with_range(b'a', b'z');

    /// This one and these.
    pub(crate) const fn with(self, bytes: &[u8]) -> Self {
        self.set(bytes, true)
    }

    /// This one without these.
    pub(crate) const fn without(self, bytes: &[u8]) -> Self {
        self.set(bytes, false)
    }

    const fn with_range(mut self, first: u8, last: u8) -> Self {
        let mut byte = first;
        while byte <= last {
            self.0[byte as usize] = true;
            byte += 1;
        }
        self
    }

    const fn set(mut self, bytes: &[u8], is_in: bool) -> Self {
        let mut at = 0;
        while at < bytes.len() {
            self.0[bytes[at] as usize] = is_in;
            at += 1;
        }
        self
    }

    /// Whether each byte of the text is in it.
    pub(crate) fn holds(&self, text: &[u8]) -> bool {
        text.iter().all(|byte| self.0[usize::from(*byte)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_what_it_is_called() {
        let check = |set: ByteSet, is_in: fn(&u8) -> bool| {
            for byte in u8::MIN..=u8::MAX {
                assert_eq!(set.holds(&[byte]), is_in(&byte), "{byte}");
            }
        };
        check(ByteSet::VISIBLE, |byte| (b' '..=b'~').contains(byte));
        check(ByteSet::ALPHANUMERIC, u8::is_ascii_alphanumeric);
        check(ByteSet::ALPHANUMERIC.with(b"-").without(b"a"), |byte| {
            *byte == b'-' || (*byte != b'a' && byte.is_ascii_alphanumeric())
        });
        assert!(ByteSet::VISIBLE.holds(b"") && !ByteSet::VISIBLE.holds(b"a\nb"));
    }
}
