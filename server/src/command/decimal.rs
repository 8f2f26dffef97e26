//! Adding decimals exactly, as clients expect of `INCRBYFLOAT`: 0.1 and 0.2 are 0.3.

/// Digits behind the point that are kept.
const PLACES: u32 = 17;

/// The sum of two decimals without what says nothing at its end; `None` if one has more places or is too great.
pub(super) fn add(x: &[u8], y: &[u8]) -> Option<Vec<u8>> {
    let sum = parse(x)?.checked_add(parse(y)?)?;
    let scale = 10_u128.pow(PLACES);
    let (whole, part) = (sum.unsigned_abs() / scale, sum.unsigned_abs() % scale);
    let mut text = format!("{}{whole}", if sum < 0 { "-" } else { "" });
    if part > 0 {
        text.push_str(format!(".{part:017}").trim_end_matches('0'));
    }
    Some(text.into_bytes())
}

/// A decimal times ten to the power of [`PLACES`].
fn parse(bytes: &[u8]) -> Option<i128> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (sign, digits) = match mantissa.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let all = [whole, part].concat();
    if all.is_empty() || all.len() > 38 || !all.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let shift = i32::try_from(PLACES).ok()?.checked_add(exponent)?.checked_sub(i32::try_from(part.len()).ok()?)?;
    let number: i128 = all.parse().ok()?;
    let scaled = match u32::try_from(shift) {
        Ok(shift) => number.checked_mul(10_i128.checked_pow(shift)?)?,
        Err(_) => {
            let divisor = 10_i128.checked_pow(shift.unsigned_abs())?;
            if number % divisor != 0 {
                return None;
            }
            number / divisor
        }
    };
    Some(sign * scaled)
}

#[cfg(test)]
mod tests {
    #[test]
    fn decimals_are_added_exactly() {
        let sums = [
            ("0.1", "0.2", "0.3"),
            ("10.50", "0.1", "10.6"),
            ("5.0e3", "2.0e2", "5200"),
            ("-1.5", "1.5", "0"),
            ("3", "-0.25", "2.75"),
            ("1e-17", "0", "0.00000000000000001"),
        ];
        for (x, y, sum) in sums {
            assert_eq!(super::add(x.as_bytes(), y.as_bytes()), Some(sum.as_bytes().to_vec()), "{x} + {y}");
        }
        for not in ["1e-18", "", ".", "inf", "1e300", "0x10"] {
            assert_eq!(super::add(not.as_bytes(), b"0"), None, "{not}");
        }
    }
}
