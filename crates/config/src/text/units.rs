//! Lengths of time, sizes and shares.
//!
//! Each function that reads gives, when it can't, a sentence on what to write instead.

use std::time::Duration;

use mainstay_core::Ratio;
use mainstay_core::time::nanos;

use super::amount;

/// Reads `250ms`, `10s`, `5m`, `1h`, `2d`.
pub(crate) fn length(text: &str) -> Result<Duration, String> {
    let Some(amount) = amount(text) else {
        return Err("write a number and a unit, such as \"10s\" or \"250ms\"".into());
    };
    if let Some(&(_, scale)) = LENGTHS.iter().find(|(unit, _)| *unit == amount.unit) {
        let nanos = amount.scaled(scale);
        return nanos
            .map(Duration::from_nanos)
            .ok_or_else(|| "that is more than 584 years, or finer than a nanosecond".into());
    }
    let number = amount.number();
    let meant = match amount.unit.to_ascii_lowercase().as_str() {
        "" => return Err(format!("the unit is missing: \"{number}s\" or \"{number}ms\"?")),
        "msec" | "msecs" | "millis" | "millisecond" | "milliseconds" | "ms" => "ms",
        "sec" | "secs" | "second" | "seconds" | "s" => "s",
        "min" | "mins" | "minute" | "minutes" | "m" => "m",
        "hr" | "hrs" | "hour" | "hours" | "h" => "h",
        "day" | "days" | "d" => "d",
        _ => return Err("the units are ms, s, m, h and d; one number with one unit".into()),
    };
    Err(format!("did you mean \"{number}{meant}\"?"))
}

/// Writes the shortest form that reads as the same length.
pub(crate) fn show_length(length: Duration) -> String {
    let all = nanos(length);
    if all == 0 {
        return "0s".into();
    }
    let whole = LENGTHS.iter().find(|(_, scale)| all.is_multiple_of(*scale));
    match whole {
        Some((unit, scale)) => format!("{}{unit}", all / scale),
        None => {
            let text = format!("{}.{:06}", all / MILLISECOND, all % MILLISECOND);
            format!("{}ms", text.trim_end_matches('0'))
        }
    }
}

/// Reads `64KiB`, `1MiB`, `10MB`, `512B`.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let Some(amount) = amount(text) else {
        return Err("write a number and a unit, such as \"64KiB\" or \"10MB\"".into());
    };
    if let Some(&(_, scale)) = SIZES.iter().find(|(unit, _)| *unit == amount.unit) {
        return amount
            .scaled(scale)
            .ok_or_else(|| "that isn't a whole number of bytes that fits 64 bits".into());
    }
    let number = amount.number();
    let meant = match amount.unit.to_ascii_lowercase().as_str() {
        "" => return Err(format!("the unit is missing: \"{number}B\" or \"{number}KiB\"?")),
        "b" | "byte" | "bytes" => "B",
        "k" | "ki" | "kib" | "kb" => "KiB",
        "m" | "mi" | "mib" | "mb" => "MiB",
        "g" | "gi" | "gib" | "gb" => "GiB",
        _ => return Err("the units are B, KiB, MiB, GiB (1024) and kB, MB, GB (1000)".into()),
    };
    Err(format!("did you mean \"{number}{meant}\"?"))
}

/// Writes the shortest form that reads as the same size.
pub(crate) fn show_size(bytes: u64) -> String {
    let whole = |(_, scale): &&(&str, u64)| bytes > 0 && bytes.is_multiple_of(*scale);
    let (unit, scale) = SIZES.iter().find(whole).copied().unwrap_or(("B", 1));
    format!("{}{unit}", bytes / scale)
}

/// Reads `20%` or `12.5%`.
pub(crate) fn share(text: &str) -> Result<Ratio, String> {
    let percent = amount(text).filter(|amount| amount.unit == "%");
    let Some(percent) = percent else {
        return Err("write a share as \"20%\" or 0.2".into());
    };
    let parts = percent.scaled(100).ok_or("the finest step is 0.01 %")?;
    // Ten-thousandths are exact as a float's share: `from_share` rounds to the nearest.
    Ratio::from_share(parts as f64 / 10_000.0).ok_or_else(|| "a share is at most 100%".into())
}

/// Writes a share in percent.
pub(crate) fn show_share(share: Ratio) -> String {
    let text = format!("{}.{:02}", share.parts() / 100, share.parts() % 100);
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

const MILLISECOND: u64 = 1_000_000;

/// Units of time in nanoseconds, the longest first.
const LENGTHS: [(&str, u64); 5] = [
    ("d", 86_400_000 * MILLISECOND),
    ("h", 3_600_000 * MILLISECOND),
    ("m", 60_000 * MILLISECOND),
    ("s", 1_000 * MILLISECOND),
    ("ms", MILLISECOND),
];

/// Units of size, in the order in which they are tried when a size is written.
const SIZES: [(&str, u64); 8] = [
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1_000),
    ("KB", 1_000),
    ("B", 1),
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lengths_are_read_with_their_unit_only() {
        assert_eq!(length("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(length("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(length("2d"), Ok(Duration::from_secs(172_800)));
        assert_eq!(length("10").unwrap_err(), "the unit is missing: \"10s\" or \"10ms\"?");
        assert_eq!(length("10 Minutes").unwrap_err(), "did you mean \"10m\"?");
        assert!(length("1h30m").is_err());
        assert!(length("999999999999d").is_err());
    }

    #[test]
    fn sizes_are_read_with_their_unit_only() {
        assert_eq!(size("64KiB"), Ok(65_536));
        assert_eq!(size("10MB"), Ok(10_000_000));
        assert_eq!(size("1.5 KiB"), Ok(1536));
        assert_eq!(size("1m").unwrap_err(), "did you mean \"1MiB\"?");
        assert!(size("0.1B").is_err());
        assert!(size("64").is_err());
    }

    #[test]
    fn shares_end_at_the_whole() {
        assert_eq!(share("20%"), Ok(Ratio::percent(20)));
        assert_eq!(share("12.5 %").map(|ratio| ratio.parts()), Ok(1250));
        assert_eq!(share("100%"), Ok(Ratio::ONE));
        assert!(share("100.01%").is_err());
        assert!(share("0.001%").is_err());
        assert!(share("20").is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_the_same(nanos in any::<u64>(), parts in 0_u16..=10_000, bytes in any::<u64>()) {
            let time = Duration::from_nanos(nanos);
            prop_assert_eq!(length(&show_length(time)), Ok(time));
            prop_assert_eq!(size(&show_size(bytes)), Ok(bytes));
            let ratio = Ratio::from_share(f64::from(parts) / 10_000.0).unwrap();
            prop_assert_eq!(share(&show_share(ratio)), Ok(ratio));
        }
    }
}
