//! Integers as Redis reads them: decimal, signed, 64 bits, one spelling for each number.

use super::refusal::Refusal;

/// The longest spelling of a 64-bit integer, `-9223372036854775808`.
const LONGEST: usize = 20;

/// Reads `text` as Redis' `string2ll` does: an optional `-`, then digits without leading zeros;
/// no `+`, no space, no `-0`. `None` if it is anything else or does not fit.
#[must_use]
pub fn parse(text: &[u8]) -> Option<i64> {
    if text.len() > LONGEST {
        return None;
    }
    let (negative, digits) = match text {
        [b'0'] => return Some(0),
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if !matches!(digits.first(), Some(b'1'..=b'9')) {
        return None;
    }
    digits
        .iter()
        .try_fold(0i64, |value, &digit| {
            if !digit.is_ascii_digit() {
                return None;
            }
            let digit = i64::from(digit - b'0');
            // Built downwards: the lowest number has no positive counterpart.
            value.checked_mul(10)?.checked_sub(digit)
        })
        .and_then(|value| if negative { Some(value) } else { value.checked_neg() })
}

/// [`parse`], or the refusal that every command gives for an argument that is no integer.
///
/// # Errors
/// [`Refusal::NotAnInteger`].
pub fn argument(text: &[u8]) -> Result<i64, Refusal> {
    parse(text).ok_or(Refusal::NotAnInteger)
}

/// An argument that must fit 32 bits, as database numbers must.
///
/// # Errors
/// [`Refusal::NotAnInteger`], or a text that names the range.
pub fn argument_i32(text: &[u8]) -> Result<i32, Refusal> {
    i32::try_from(argument(text)?).map_err(|_| {
        Refusal::other(format!(
            "ERR value is out of range, value must between {} and {}",
            i32::MIN,
            i32::MAX
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn takes_exactly_one_spelling() {
        for good in ["0", "7", "-1", "9223372036854775807", "-9223372036854775808"] {
            assert_eq!(parse(good.as_bytes()), good.parse().ok(), "{good}");
        }
        for bad in [
            "",
            "-",
            "-0",
            "+1",
            "01",
            "00",
            " 1",
            "1 ",
            "1.0",
            "9223372036854775808",
            "-9223372036854775809",
            "99999999999999999999999",
            "1e3",
        ] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn agrees_with_the_standard_library(value: i64, text in "[-+0-9 ]{0,22}") {
            proptest::prop_assert_eq!(parse(value.to_string().as_bytes()), Some(value));
            // Canonical spellings are those that printing gives back.
            let expected = text.parse::<i64>().ok().filter(|v| v.to_string() == text);
            proptest::prop_assert_eq!(parse(text.as_bytes()), expected);
        }
    }
}
