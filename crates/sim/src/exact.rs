//! Logarithm, exponential and the numbers drawn by them, the same to the bit on every machine.
//!
//! The system's own functions differ in their last bits from one mathematics library to the next, and one bit is
//! enough to send a simulation another way. Here is nothing but addition, multiplication, division and square root,
//! whose results IEEE 754 fixes, in an order that the language fixes.

use mainstay_core::Chance;

/// The natural logarithm of a number above zero; off by a few units in the last place.
#[must_use]
pub fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let exponent = ((bits >> 52) & 0x7ff) as i32 - 1023;
    let mantissa = f64::from_bits(bits & 0x000f_ffff_ffff_ffff | 0x3ff0_0000_0000_0000);
    // Around 1, where the series is shortest: from 1/√2 to √2.
    let (mantissa, exponent) = if mantissa > core::f64::consts::SQRT_2 {
        (mantissa / 2.0, exponent + 1)
    } else {
        (mantissa, exponent)
    };
    // ln m = 2 (t + t³/3 + t⁵/5 + ...), where t = (m − 1) / (m + 1) is below 0.172.
    let t = (mantissa - 1.0) / (mantissa + 1.0);
    let square = t * t;
    let mut sum = 0.0;
    for odd in (1..=23).rev().step_by(2) {
        sum = sum * square + 1.0 / f64::from(odd);
    }
    2.0 * t * sum + f64::from(exponent) * core::f64::consts::LN_2
}

/// e to the power of `x`, which is kept within ±700; off by a few units in the last place.
#[must_use]
pub fn exp(x: f64) -> f64 {
    let x = x.clamp(-700.0, 700.0);
    let doublings = (x / core::f64::consts::LN_2 + 0.5).floor();
    let rest = x - doublings * core::f64::consts::LN_2;
    let mut sum = 1.0;
    for n in (1..=18).rev() {
        sum = 1.0 + sum * rest / f64::from(n);
    }
    // Within ±1010, so that the exponent stays that of a normal number.
    let scale = f64::from_bits(((doublings as i64 + 1023) as u64) << 52);
    sum * scale
}

/// A number in `0.0..1.0`, of 53 random bits.
pub fn unit(chance: &mut Chance) -> f64 {
    (chance.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// An exponentially distributed number with mean 1.
pub fn exponential(chance: &mut Chance) -> f64 {
    -ln(1.0 - unit(chance))
}

/// A number of the standard normal distribution (Marsaglia's polar method, 1964).
pub fn normal(chance: &mut Chance) -> f64 {
    loop {
        let (x, y) = (2.0 * unit(chance) - 1.0, 2.0 * unit(chance) - 1.0);
        let square = x * x + y * y;
        // Four times out of five at the first try.
        if square > 0.0 && square < 1.0 {
            return x * (-2.0 * ln(square) / square).sqrt();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithm_and_exponential_are_right_to_many_digits() {
        for x in [1e-300, 1e-9, 0.3, 0.99999, 1.0, 1.5, 2.0, 77.7, 1e9, 1e300] {
            assert!((ln(x) - f64::ln(x)).abs() <= 1e-14 * f64::ln(x).abs().max(1.0), "{x}");
        }
        for x in [-700.0, -20.5, -1.0, -1e-9, 0.0, 0.3, 1.0, 10.0, 700.0] {
            assert!((exp(x) / f64::exp(x) - 1.0).abs() < 1e-12, "{x}");
        }
        assert_eq!((ln(1.0), exp(0.0)), (0.0, 1.0));
    }

    #[test]
    fn the_numbers_are_these_on_every_machine() {
        let mut chance = Chance::from_seed(7);
        let drawn = [exponential(&mut chance), normal(&mut chance), exp(ln(3.0))];
        assert_eq!(drawn.map(f64::to_bits), EXPECTED_BITS);
    }

    #[test]
    fn drawn_numbers_have_their_means_and_spreads() {
        let mut chance = Chance::from_seed(1);
        let count = 100_000;
        let mean = |draw: &mut dyn FnMut() -> f64| {
            (0..count).map(|_| draw()).sum::<f64>() / f64::from(count)
        };
        assert!((mean(&mut || exponential(&mut chance)) - 1.0).abs() < 0.02);
        let mut squares = 0.0;
        let middle = mean(&mut || {
            let drawn = normal(&mut chance);
            squares += drawn * drawn;
            drawn
        });
        assert!(middle.abs() < 0.02, "{middle}");
        assert!((squares / f64::from(count) - 1.0).abs() < 0.02, "{squares}");
    }

    const EXPECTED_BITS: [u64; 3] =
        [4_602_571_043_705_754_258, 4_612_207_518_835_426_151, 4_613_937_818_241_073_152];
}
