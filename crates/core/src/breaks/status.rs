//! A set of HTTP statuses.

use core::fmt;

/// Which statuses from 400 to 599 count as failures of the endpoint.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct StatusSet([u64; 4]);

impl StatusSet {
    /// The empty set: no answer is a failure.
    pub const NONE: Self = Self([0; 4]);

    /// 408 and the 5xx that say that this server couldn't do it now. Left out are those that say that it never
    /// will: 501, 505, 506, 508, 510 and 511.
    pub const DEFAULT: Self = {
        let mut set = Self::NONE.with(408);
        let mut status = 500;
        while status < 600 {
            if !matches!(status, 501 | 505 | 506 | 508 | 510 | 511) {
                set = set.with(status);
            }
            status += 1;
        }
        set
    };

    /// This set with `status` in it; a status outside 400 to 599 is left out.
    #[must_use]
    pub const fn with(mut self, status: u16) -> Self {
        if let Some((word, bit)) = Self::place(status) {
            self.0[word] |= 1 << bit;
        }
        self
    }

    /// Whether `status` is in the set.
    #[must_use]
    pub const fn contains(&self, status: u16) -> bool {
        match Self::place(status) {
            Some((word, bit)) => self.0[word] >> bit & 1 == 1,
            None => false,
        }
    }

    /// The members, in order.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        (400..600).filter(|&status| self.contains(status))
    }

    const fn place(status: u16) -> Option<(usize, u32)> {
        if status < 400 || status > 599 {
            return None;
        }
        let index = status - 400;
        Some(((index / 64) as usize, (index % 64) as u32))
    }
}

impl Default for StatusSet {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl fmt::Debug for StatusSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_holds_what_may_pass_and_leaves_out_what_will_not() {
        for status in [408, 500, 502, 503, 504, 520, 599] {
            assert!(StatusSet::DEFAULT.contains(status), "{status}");
        }
        for status in [0, 200, 399, 400, 404, 429, 501, 505, 511, 600, 999] {
            assert!(!StatusSet::DEFAULT.contains(status), "{status}");
        }
    }
}
