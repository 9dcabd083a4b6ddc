//! A number with a unit behind it, read exactly.

/// A decimal number and its unit: `1.5s` is (1, 5, "s").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Amount<'t> {
    whole: &'t str,
    part: &'t str,
    /// What follows, without the space before it.
    pub(crate) unit: &'t str,
}

/// Splits `text`; `None` when it doesn't begin with a number.
pub(crate) fn amount(text: &str) -> Option<Amount<'_>> {
    let (whole, rest) = digits(text);
    let (part, rest) = match rest.strip_prefix('.') {
        Some(rest) => digits(rest),
        None => ("0", rest),
    };
    // One space, as in "20 %", is how many people write it.
    let unit = rest.strip_prefix(' ').unwrap_or(rest);
    (!whole.is_empty() && !part.is_empty()).then_some(Amount { whole, part, unit })
}

impl Amount<'_> {
    /// The number times `scale`, when that is whole and fits.
    pub(crate) fn scaled(&self, scale: u64) -> Option<u64> {
        let part = self.part.trim_end_matches('0');
        let digits = u32::try_from(part.len()).ok()?;
        let steps = 10_u128.checked_pow(digits)?;
        let part: u128 = if part.is_empty() { 0 } else { part.parse().ok()? };
        let whole: u128 = self.whole.parse().ok()?;
        let all = whole.checked_mul(steps)?.checked_add(part)?.checked_mul(u128::from(scale))?;
        if all % steps == 0 { u64::try_from(all / steps).ok() } else { None }
    }

    /// The number as it was written.
    pub(crate) fn number(&self) -> String {
        match self.part {
            "0" => self.whole.to_owned(),
            part => format!("{}.{part}", self.whole),
        }
    }
}

fn digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, scale: u64, expected: Option<u64>) {
        assert_eq!(amount(text).and_then(|amount| amount.scaled(scale)), expected, "{text}");
    }

    #[test]
    fn numbers_are_read_exactly_or_not_at_all() {
        check("10s", 1000, Some(10_000));
        check("1.5s", 1000, Some(1500));
        check("1.50s", 1000, Some(1500));
        check("0.0001s", 1000, None);
        check("18446744073709551615B", 1, Some(u64::MAX));
        check("18446744073709551615B", 2, None);
        check("99999999999999999999999999999999999999999999B", 1, None);
        check("1.000000000000000000000000000000000000000001s", 1, None);
    }

    #[test]
    fn what_is_no_number_is_no_amount() {
        for text in ["", "s", ".5s", "1.s", "-1s", "+1s", "\u{0661}s"] {
            assert_eq!(amount(text), None, "{text}");
        }
    }
}
