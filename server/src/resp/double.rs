//! Doubles as Redis writes them.
//!
//! The invariant: the text reads back as the same double, and no shorter run
//! of digits does. The layout is that of Redis from 7.2 on (`d2string`):
//! integers in full, small exponents as decimals, the rest with an exponent.

use std::fmt::{self, Write};

use super::integer::{IntegerText, parse_integer};

/// Room for every text below: at most 24 digits of an integer and a sign.
const LONGEST: usize = 32;

/// No double needs more digits to be told from its neighbours.
const MOST_DIGITS: usize = 17;

/// Up to here a double without a fraction is written like an `i64`.
const LARGEST_INTEGER: f64 = (i64::MAX / 2) as f64;

/// The decimal text of a double, on the stack.
///
/// ```
/// use server::resp::DoubleText;
///
/// assert_eq!(DoubleText::new(0.1).as_bytes(), b"0.1");
/// assert_eq!(DoubleText::new(3.0).as_bytes(), b"3");
/// assert_eq!(DoubleText::new(1e300).as_bytes(), b"1e+300");
/// assert_eq!(DoubleText::new(f64::NEG_INFINITY).as_bytes(), b"-inf");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct DoubleText {
    bytes: [u8; LONGEST],
    len: usize,
}

impl DoubleText {
    /// Writes `value`; no allocation.
    pub fn new(value: f64) -> Self {
        let mut text = Self::empty();
        if value.is_nan() {
            text.push(b"nan");
            return text;
        }
        if value.is_sign_negative() {
            text.push(b"-");
        }
        let magnitude = value.abs();
        if magnitude.is_infinite() {
            text.push(b"inf");
        } else if magnitude <= LARGEST_INTEGER && magnitude.fract() == 0.0 {
            text.push(IntegerText::new(magnitude as i64).as_bytes());
        } else {
            text.push_digits(&Digits::of(magnitude));
        }
        text
    }

    /// The text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn empty() -> Self {
        Self { bytes: [0; LONGEST], len: 0 }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.len..][..bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    fn push_zeros(&mut self, count: usize) {
        for _ in 0..count {
            self.push(b"0");
        }
    }

    /// Picks the layout by the exponent of the last digit, as Redis does.
    fn push_digits(&mut self, digits: &Digits) {
        let count = digits.count as i32;
        let last_exponent = digits.exponent - (count - 1);
        if last_exponent >= 0 && digits.exponent < count + 7 {
            self.push(digits.as_bytes());
            self.push_zeros(last_exponent as usize);
        } else if last_exponent < 0 && (last_exponent > -7 || digits.exponent.abs() < 4) {
            self.push_decimal(digits);
        } else {
            self.push_scientific(digits);
        }
    }

    fn push_decimal(&mut self, digits: &Digits) {
        if digits.exponent < 0 {
            self.push(b"0.");
            self.push_zeros((-digits.exponent - 1) as usize);
            self.push(digits.as_bytes());
        } else {
            let (whole, fraction) = digits.as_bytes().split_at(digits.exponent as usize + 1);
            self.push(whole);
            self.push(b".");
            self.push(fraction);
        }
    }

    fn push_scientific(&mut self, digits: &Digits) {
        let (first, rest) = digits.as_bytes().split_at(1);
        self.push(first);
        if !rest.is_empty() {
            self.push(b".");
            self.push(rest);
        }
        self.push(if digits.exponent < 0 { b"e-" } else { b"e+" });
        let exponent = IntegerText::new(i64::from(digits.exponent.abs()));
        self.push(exponent.as_bytes());
    }
}

impl Write for DoubleText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.len() > LONGEST - self.len {
            return Err(fmt::Error);
        }
        self.push(text.as_bytes());
        Ok(())
    }
}

/// The shortest digits `d.ddd` that, times ten to the exponent, read back as
/// one positive finite double.
struct Digits {
    digits: [u8; MOST_DIGITS],
    count: usize,
    exponent: i32,
}

impl Digits {
    fn of(value: f64) -> Self {
        let mut text = DoubleText::empty();
        let written = write!(text, "{value:e}");
        debug_assert!(written.is_ok(), "17 digits and an exponent fit");
        let mut digits = Self { digits: [0; MOST_DIGITS], count: 0, exponent: 0 };
        let mut parts = text.as_bytes().split(|byte| *byte == b'e');
        for digit in parts.next().unwrap_or_default() {
            if *digit != b'.' {
                digits.digits[digits.count] = *digit;
                digits.count += 1;
            }
        }
        let exponent = parts.next().and_then(parse_integer).unwrap_or_default();
        digits.exponent = exponent as i32;
        digits
    }

    fn as_bytes(&self) -> &[u8] {
        &self.digits[..self.count]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: f64) -> String {
        String::from_utf8(DoubleText::new(value).as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn the_layout_is_that_of_redis() {
        let layouts = [
            (0.0, "0"),
            (-0.0, "-0"),
            (3.0, "3"),
            (-17.5, "-17.5"),
            (0.1, "0.1"),
            (0.000001, "0.000001"),
            (1e-7, "1e-7"),
            (0.0012345678901234, "0.0012345678901234"),
            (1.5e-10, "1.5e-10"),
            (14.142135623730951, "14.142135623730951"),
            (1e17, "100000000000000000"),
            (4611686018427387904.0, "4611686018427387904"),
            (1.2345e19, "1.2345e+19"),
            (12345678901234567000.0, "12345678901234567000"),
            (1e20, "1e+20"),
            (1e300, "1e+300"),
            (-1e-300, "-1e-300"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
            (5e-324, "5e-324"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
            (-f64::NAN, "nan"),
        ];
        for (value, expected) in layouts {
            assert_eq!(text(value), expected);
        }
    }

    #[test]
    fn every_text_reads_back_as_the_same_bits() {
        // Multiplying by an odd constant visits all kinds of bit patterns.
        let mut bits = 1_u64;
        for _ in 0..100_000 {
            bits = bits.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
            let value = f64::from_bits(bits);
            if value.is_finite() {
                assert_eq!(text(value).parse::<f64>().unwrap().to_bits(), bits);
            }
        }
    }
}
