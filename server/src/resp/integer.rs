//! Integers as Redis reads and writes them.
//!
//! The invariant: [`parse_integer`] accepts a text exactly if [`IntegerText`]
//! writes that same text for the value. One number has one spelling, as with
//! Redis' `string2ll`, so a length, a counter and a key never differ by a sign
//! or a leading zero.

/// Reads a canonical decimal integer.
///
/// `None` for anything with a plus, a space, a leading zero, no digit, a
/// negative zero, or a value outside `i64`.
///
/// ```
/// use server::resp::parse_integer;
///
/// assert_eq!(parse_integer(b"-12"), Some(-12));
/// assert_eq!(parse_integer(b"+5"), None);
/// assert_eq!(parse_integer(b"05"), None);
/// ```
pub fn parse_integer(text: &[u8]) -> Option<i64> {
    let (sign, digits) = match text {
        [b'-', digits @ ..] => (-1, digits),
        digits => (1, digits),
    };
    match digits {
        [b'0'] if sign == 1 => Some(0),
        [b'1'..=b'9', ..] => digits.iter().try_fold(0_i64, |value, digit| {
            let digit = digit.is_ascii_digit().then(|| i64::from(digit - b'0'))?;
            value.checked_mul(10)?.checked_add(sign * digit)
        }),
        _ => None,
    }
}

/// The longest text: `-9223372036854775808`.
const LONGEST: usize = 20;

/// The decimal text of an integer, on the stack.
///
/// ```
/// use server::resp::IntegerText;
///
/// assert_eq!(IntegerText::new(-12).as_bytes(), b"-12");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct IntegerText {
    /// Filled from the end, because the last digit is known first.
    bytes: [u8; LONGEST],
    start: usize,
}

impl IntegerText {
    /// Writes `value`; no allocation.
    pub fn new(value: i64) -> Self {
        let mut text = Self::unsigned(value.unsigned_abs());
        if value < 0 {
            text.push_front(b'-');
        }
        text
    }

    /// Writes a number of things, which unlike a value is never negative.
    pub(super) fn count(count: usize) -> Self {
        Self::unsigned(count as u64)
    }

    fn unsigned(mut rest: u64) -> Self {
        let mut text = Self { bytes: [0; LONGEST], start: LONGEST };
        loop {
            text.push_front(b'0' + (rest % 10) as u8);
            rest /= 10;
            if rest == 0 {
                return text;
            }
        }
    }

    fn push_front(&mut self, byte: u8) {
        self.start -= 1;
        self.bytes[self.start] = byte;
    }

    /// The text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for value in [0, 1, -1, 9, 10, -10, 99, 100, i64::MAX, i64::MIN] {
            let text = IntegerText::new(value);
            assert_eq!(text.as_bytes(), value.to_string().as_bytes());
            assert_eq!(parse_integer(text.as_bytes()), Some(value));
        }
        assert_eq!(IntegerText::count(usize::MAX).as_bytes(), usize::MAX.to_string().as_bytes());
    }

    #[test]
    fn only_the_canonical_spelling_is_a_number() {
        let refused = ["", "-", "+5", " 5", "5 ", "05", "00", "-0", "-05", "--5", "0x5", "5a", "1.0"];
        for text in refused {
            assert_eq!(parse_integer(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn a_number_outside_of_64_bits_is_refused() {
        assert_eq!(parse_integer(b"9223372036854775808"), None);
        assert_eq!(parse_integer(b"-9223372036854775809"), None);
        assert_eq!(parse_integer(b"99999999999999999999999"), None);
    }
}
