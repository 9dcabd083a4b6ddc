//! How many calls had met an incident at moments of it, so that it can be shown as it was then.

use mainstay_core::Timestamp;

use super::call::Met;

/// Moments at which a count had changed, the oldest first; of a long incident fewer of them, evenly.
#[derive(Clone, Debug, Default)]
pub(super) struct Past {
    moments: Vec<(Timestamp, Met)>,
    /// Of so many looks at which something had changed one is kept: zero is the first.
    thinned: u32,
    looks: u64,
}

impl Past {
    /// Notes how it stands; each second.
    pub(super) fn note(&mut self, at: Timestamp, met: Met) {
        if self.moments.last().is_some_and(|(_, last)| *last == met) {
            return;
        }
        let is_kept = self.looks.is_multiple_of(1_u64 << self.thinned);
        self.looks += 1;
        if !is_kept {
            return;
        }
        if self.moments.len() == MOMENTS {
            let mut place = 0;
            self.moments.retain(|_| {
                place += 1;
                place % 2 == 1
            });
            self.thinned += 1;
        }
        self.moments.push((at, met));
    }

    pub(super) fn moments(&self) -> &[(Timestamp, Met)] {
        &self.moments
    }
}

/// Two minutes to the second, an hour to the minute: some 7 KiB at most.
const MOMENTS: usize = 120;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_one_is_kept_in_few_moments_and_a_quiet_one_in_one() {
        let mut past = Past::default();
        let at = |second: u64| Timestamp::from_millis(second * 1000);
        (0..9).for_each(|second| past.note(at(second), Met::default()));
        assert_eq!(past.moments().len(), 1);
        for second in 9..3600 {
            past.note(at(second), Met { saved: second, ..Met::default() });
        }
        let moments = past.moments();
        assert!((MOMENTS / 2..=MOMENTS).contains(&moments.len()), "{}", moments.len());
        let gaps = moments.windows(2).map(|pair| pair[1].0.since(pair[0].0).as_secs());
        assert!(gaps.clone().all(|gap| gap <= 64), "{:?}", gaps.max());
        assert!(moments.iter().skip(1).all(|(at, met)| met.saved * 1000 == at.as_millis()));
    }
}
