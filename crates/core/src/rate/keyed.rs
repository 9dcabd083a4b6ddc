//! One limit for each of many keys, in a table whose size never changes.
//!
//! Keys come from requests, so their number has no bound, and a table with an entry for each would have none either.
//! Replacing entries needs a lock, or two threads that meet give one key two entries and twice its limit. So no cell
//! belongs to a key here: each key has a cell in each of four rows, by its hash, and shares it with whoever else falls
//! there. (A count-min sketch with conservative update, Estan and Varghese, "New directions in traffic measurement and
//! accounting", SIGCOMM 2002, of arrival times in place of counts.)
//!
//! ```text
//!   row 0   . . a . . . b . .        a cell: when its bucket is full again
//!   row 1   b . . . a . . . .        a key is as far as the least advanced of its four cells says,
//!   row 2   . . . X . . . . .        and moves all four up to where that gets it
//!   row 3   . a . . . . . b .        X: a and b share this one; both still have others of their own
//! ```
//!
//! **Never more than the limit.** Each of a key's cells is at least as far as the key would be alone, so what they share can
//! only make a key wait longer. Under threads too: a call first moves its other cells, then its least advanced one by
//! compare-and-swap, and only that lets it through. Of two calls of one key that decide on different cells, one must find
//! its cell moved by the other: both orders the other way round would form a circle.
//!
//! **Seldom less.** A cell that nobody used lately is full and so as good as free: only keys that are in debt at the same time
//! disturb each other, and only if one meets busier ones in all four rows. With as many such keys as the settings say it
//! happens to about one in 400; with a quarter of them, to one in 70,000.

use alloc::sync::Arc;
use core::array;
use core::sync::atomic::{AtomicU64, Ordering};

use super::{Pace, RateSettings};
use crate::chance::Chance;
use crate::check::{Check, Problems};
use crate::time::Timestamp;

/// A limit for each key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyedRateSettings {
    /// What each key is allowed.
    pub each: RateSettings,
    /// Keys that are busy at the same time, 1 to 65,536. Too few, and some keys wait for others; too many costs
    /// memory: 128 bytes for each, up front.
    pub keys: u32,
}

impl Check for KeyedRateSettings {
    fn check(&self, problems: &mut Problems) {
        problems.within("each", &self.each);
        problems.require((1..=KEYS_LIMIT).contains(&self.keys), "keys", self.keys, "1 to 65536");
    }
}

/// A limit for each of many keys. The bound of [`super::Rate`] holds for each key by itself.
#[derive(Debug)]
pub struct KeyedRate {
    pace: Pace,
    /// Row by row.
    cells: Arc<[AtomicU64]>,
}

impl KeyedRate {
    /// A table in which no key has taken anything.
    #[must_use]
    pub fn new(settings: &KeyedRateSettings) -> Self {
        let cells = (0..length(settings)).map(|_| AtomicU64::new(0)).collect();
        Self { pace: Pace::new(&settings.each), cells }
    }

    /// The same by new settings. What was taken is kept unless the number of keys changes; then each key begins anew.
    #[must_use]
    pub fn renewed(&self, settings: &KeyedRateSettings) -> Self {
        if self.cells.len() == length(settings) {
            Self { pace: Pace::new(&settings.each), cells: Arc::clone(&self.cells) }
        } else {
            Self::new(settings)
        }
    }

    /// Takes a place for a call of `key`, to go at once. `key`: a hash in which all bits depend on the whole key.
    ///
    /// # Errors
    ///
    /// When the key's next call may go, if nobody takes that place before.
    pub fn take(&self, key: u64, now: Timestamp) -> Result<(), Timestamp> {
        self.take_by(key, now, now).map(|_| ())
    }

    /// Books the first free place of `key` from `now` on, which is at `latest` at the latest; says when it is.
    ///
    /// There is no giving back: the cells are shared, and what one key takes back, another may count on. A place that
    /// isn't used passes.
    ///
    /// # Errors
    ///
    /// The first free place, when that is after `latest`. Nothing is booked.
    pub fn take_by(
        &self,
        key: u64,
        now: Timestamp,
        latest: Timestamp,
    ) -> Result<Timestamp, Timestamp> {
        let cells = self.cells_of(key);
        loop {
            let seen = cells.each_ref().map(|cell| cell.load(Ordering::Acquire));
            let (least, full_at) = least(seen);
            let slot = self.pace.book(full_at, now, latest)?;
            for (row, cell) in cells.iter().enumerate() {
                if row != least {
                    cell.fetch_max(slot.full_at, Ordering::AcqRel);
                }
            }
            // If it fails, the others have been moved for nothing, but not further than the next round moves them.
            let swap = cells[least].compare_exchange(
                full_at,
                slot.full_at,
                Ordering::AcqRel,
                Ordering::Acquire,
            );
            if swap.is_ok() {
                return Ok(slot.at);
            }
        }
    }

    /// The key's cell in each row.
    fn cells_of(&self, key: u64) -> [&AtomicU64; ROWS] {
        let row_length = self.cells.len() / ROWS;
        let mut place = Chance::from_seed(key);
        array::from_fn(|row| {
            let column = place.below(row_length as u64) as usize;
            &self.cells[row * row_length + column]
        })
    }
}

/// The least advanced cell, the first one of several: its row and when it is full again.
fn least(seen: [u64; ROWS]) -> (usize, u64) {
    let mut found = (0, seen[0]);
    for (row, full_at) in seen.into_iter().enumerate() {
        if full_at < found.1 {
            found = (row, full_at);
        }
    }
    found
}

fn length(settings: &KeyedRateSettings) -> usize {
    settings.keys.clamp(1, KEYS_LIMIT) as usize * ROWS * CELLS_PER_KEY
}

/// More rows make meeting in all of them rarer, and each call dearer.
const ROWS: usize = 4;

/// Cells in each row for each key: a key then meets another one in a given row with a chance of 1 - e^(-1/4), 22 %.
const CELLS_PER_KEY: usize = 4;

/// Eight megabytes.
const KEYS_LIMIT: u32 = 65_536;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Checked;
    use alloc::string::String;
    use alloc::vec::Vec;
    use core::time::Duration;

    fn settings(keys: u32) -> KeyedRateSettings {
        let each = RateSettings { rate: 10, period: Duration::from_secs(1), burst: 2 };
        KeyedRateSettings { each, keys }
    }

    const fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn problems(settings: KeyedRateSettings) -> Vec<String> {
        let problems = Checked::new(settings).err().unwrap_or_default();
        problems.into_iter().map(|problem| problem.place).collect()
    }

    #[test]
    fn both_bounds_of_the_keys_hold_and_the_limit_names_its_place() {
        assert_eq!(problems(settings(1)), [""; 0]);
        assert_eq!(problems(settings(65_536)), [""; 0]);
        assert_eq!(problems(settings(0)), ["keys"]);
        assert_eq!(problems(settings(65_537)), ["keys"]);
        let mut wrong = settings(1);
        wrong.each.burst = 0;
        assert_eq!(problems(wrong), ["each.burst"]);
    }

    #[test]
    fn each_key_has_a_limit_of_its_own() {
        let rate = KeyedRate::new(&settings(100));
        for key in 0..3 {
            assert_eq!([rate.take(key, at(0)), rate.take(key, at(0))], [Ok(()), Ok(())]);
            assert_eq!(rate.take(key, at(0)), Err(at(100)));
        }
        assert_eq!(rate.take_by(1, at(0), at(500)), Ok(at(100)));
        assert_eq!(rate.take(1, at(100)), Err(at(200)));
        assert_eq!(rate.take(2, at(100)), Ok(()));
    }

    #[test]
    fn a_table_far_too_small_lets_no_key_take_more_than_its_limit() {
        let rate = KeyedRate::new(&settings(1));
        let mut taken = [0_u32; 64];
        for millis in 0..2_000 {
            for (key, count) in taken.iter_mut().enumerate() {
                *count += u32::from(rate.take(key as u64, at(millis)).is_ok());
            }
        }
        assert!(taken.iter().all(|&count| count <= 2 + 20), "{taken:?}");
        // Nor does the table as a whole stand still.
        assert!(taken.iter().sum::<u32>() >= 22, "{taken:?}");
    }

    #[test]
    fn with_as_many_keys_as_were_said_one_in_a_hundred_is_disturbed_at_most() {
        let rate = KeyedRate::new(&settings(1_000));
        let all_of_it = |key| (0..2).all(|_| rate.take(key, at(0)).is_ok());
        let disturbed = (0..1_000).filter(|&key| !all_of_it(key)).count();
        assert!(disturbed <= 10, "{disturbed}");
    }

    #[test]
    fn new_settings_know_what_each_key_has_taken_unless_the_number_of_keys_changed() {
        let old = KeyedRate::new(&settings(10));
        assert_eq!([old.take(7, at(0)), old.take(7, at(0))], [Ok(()), Ok(())]);
        assert_eq!(old.renewed(&settings(10)).take(7, at(0)), Err(at(100)));
        assert_eq!(old.renewed(&settings(11)).take(7, at(0)), Ok(()));
    }
}
