//! A few figures of the same thing, and what is said about them: the median, the least and the most.
//!
//! The median, since a burst of other work on the machine makes one round wrong, not all; least and most, since five rounds are too
//! few for anything finer.

/// Median, least and most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) least: f64,
    pub(super) most: f64,
}

impl Spread {
    /// None of no figures.
    pub(super) fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        let middle = figures.len() / 2;
        let upper = *figures.get(middle)?;
        let median = if figures.len().is_multiple_of(2) {
            (figures[middle - 1] + upper) / 2.0
        } else {
            upper
        };
        Some(Self { median, least: figures[0], most: figures[figures.len() - 1] })
    }

    /// `median (least-most)` with that many decimals; of a single figure, that figure.
    pub(super) fn text(&self, decimals: usize) -> String {
        if self.least == self.most {
            return format!("{:.decimals$}", self.median);
        }
        format!("{:.decimals$} ({:.decimals$}-{:.decimals$})", self.median, self.least, self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_stands_in_the_middle_or_between_two() {
        let check = |figures: &[f64], median| {
            assert_eq!(
                Spread::of(figures.iter().copied()).map(|spread| spread.median),
                median,
                "{figures:?}"
            );
        };
        check(&[], None);
        check(&[3.0], Some(3.0));
        check(&[9.0, 1.0, 2.0], Some(2.0));
        check(&[4.0, 1.0, 2.0, 9.0], Some(3.0));
    }

    #[test]
    fn least_and_most_are_shown_beside_it() {
        assert_eq!(Spread::of([2.0, 1.0, 4.0]).unwrap().text(1), "2.0 (1.0-4.0)");
        assert_eq!(Spread::of([2.0]).unwrap().text(1), "2.0");
    }
}
