//! The 80-bit floating-point numbers of INCRBYFLOAT, in software.
//!
//! Redis computes with C's `long double`: on x86-64 the x87 format, 64 bits of significand. An
//! `f64` would show: 10.5 + 0.1 prints as 10.59999999999999964 with seventeen decimals. Here a
//! number is a sign, a 64-bit significand and a power of two; reading, adding and printing round
//! to nearest, ties to even, as the processor and the C library do, so the replies are Redis' to
//! the last digit. Between 2^-16445, the smallest number of x87, and 2^-16382, where its bits run
//! out, numbers keep all their bits here: they lie far below the last digit that is ever printed.

use std::cmp::Ordering;

use super::natural::{CHUNK, CHUNK_DIGITS, Natural};

/// A finite number: `±significand × 2^exponent`. The top bit of the significand is set, except
/// in zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extended {
    negative: bool,
    significand: u64,
    exponent: i32,
}

/// What a text or a sum is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// A number.
    Finite(Extended),
    /// Written as `inf` or `infinity`, or a sum beyond the format's range.
    Infinite,
}

/// Longest text that is read, exclusive (Redis' `MAX_LONG_DOUBLE_CHARS`).
const MAX_TEXT: usize = 5 * 1024;
/// Exponents of the lowest bit of the largest and the smallest numbers.
const MAX_EXPONENT: i32 = 16_383 - 63;
const MIN_EXPONENT: i32 = -16_445 - 63;
/// Decimals that are printed.
const DECIMALS: usize = 17;

/// Reads a number as `strtold` does, all of `text`: decimal or hexadecimal with an exponent, or
/// infinity. `None` for anything else, for NaN, and for a number out of range.
#[must_use]
pub fn parse(text: &[u8]) -> Option<Value> {
    if text.len() >= MAX_TEXT {
        return None;
    }
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if digits.eq_ignore_ascii_case(b"inf") || digits.eq_ignore_ascii_case(b"infinity") {
        return Some(Value::Infinite);
    }
    let number = match digits {
        [b'0', b'x' | b'X', rest @ ..] => hexadecimal(rest)?,
        rest => decimal(rest)?,
    };
    Some(Value::Finite(Extended { negative, ..number }))
}

/// The sum of two numbers.
#[must_use]
pub fn add(a: Extended, b: Extended) -> Value {
    let (big, small) = if a.magnitude() >= b.magnitude() { (a, b) } else { (b, a) };
    if small.significand == 0 {
        return Value::Finite(big);
    }
    // Both moved to the top of 128 bits less one for the carry; what falls off below is sticky.
    let gap = big.exponent.abs_diff(small.exponent);
    let big_bits = u128::from(big.significand) << 63;
    let aligned = u128::from(small.significand) << 63;
    let (small_bits, lost) = match aligned.checked_shr(gap) {
        Some(bits) => (bits, bits << gap != aligned),
        None => (0, true),
    };
    // Subtracting a little more than `small_bits` leaves a little less: one unit less, and a rest.
    let sum = if big.negative == small.negative {
        big_bits + small_bits
    } else {
        big_bits - small_bits - u128::from(lost)
    };
    round(sum, lost, big.exponent - 63)
        .map_or(Value::Infinite, |sum| Value::Finite(Extended { negative: big.negative, ..sum }))
}

impl Extended {
    const ZERO: Self = Self { negative: false, significand: 0, exponent: 0 };

    /// Orders by absolute value; valid because significands are normalized.
    fn magnitude(self) -> (bool, i32, u64) {
        (self.significand != 0, self.exponent, self.significand)
    }

    /// Seventeen decimals without trailing zeros, never an exponent (Redis' `LD_STR_HUMAN`).
    #[must_use]
    pub fn print(self) -> String {
        let scale = 10u128.pow(17);
        let mut digits = if self.exponent >= 0 {
            let mut whole = Natural::from(u128::from(self.significand));
            whole.shift_left(self.exponent.unsigned_abs());
            let mut digits = whole.into_decimal();
            digits.push_str(&"0".repeat(DECIMALS));
            digits
        } else {
            let scaled = u128::from(self.significand) * scale;
            shift_right_even(scaled, self.exponent.unsigned_abs()).to_string()
        };
        if digits.len() <= DECIMALS {
            digits.insert_str(0, &"0".repeat(DECIMALS + 1 - digits.len()));
        }
        let decimals = digits.split_off(digits.len() - DECIMALS);
        let decimals = decimals.trim_end_matches('0');
        let point = if decimals.is_empty() { "" } else { "." };
        let minus = self.negative && (digits != "0" || !decimals.is_empty());
        format!("{}{digits}{point}{decimals}", if minus { "-" } else { "" })
    }
}

/// `value / 2^by`, rounded to the nearest integer, ties to even.
fn shift_right_even(value: u128, by: u32) -> u128 {
    if by == 0 {
        return value;
    }
    let Some(whole) = value.checked_shr(by) else { return 0 };
    let rest = value & ((1u128 << by) - 1);
    let half = 1u128 << (by - 1);
    whole + u128::from(rest > half || (rest == half && whole & 1 == 1))
}

/// The number nearest to `bits × 2^exponent`, where `sticky` tells that a little more follows.
/// `None` if it is too large.
fn round(bits: u128, sticky: bool, exponent: i32) -> Option<Extended> {
    if bits == 0 {
        return Some(Extended::ZERO);
    }
    let drop = 64i32 - bits.leading_zeros().cast_signed();
    let exponent = exponent + drop;
    // How what is rounded compares to what it is rounded to.
    let mut side = if sticky { Ordering::Greater } else { Ordering::Equal };
    let (mut significand, mut exponent) = if drop <= 0 {
        ((bits << drop.unsigned_abs()) as u64, exponent)
    } else {
        let drop = drop.unsigned_abs();
        // One more bit below, set if anything is lost, keeps a tie apart from more than a tie.
        let whole = bits >> drop;
        let rest = bits & ((1u128 << drop) - 1);
        let half = 1u128 << (drop - 1);
        let up = rest > half || (rest == half && (sticky || whole & 1 == 1));
        side = match (up, rest) {
            (true, _) => Ordering::Less,
            (false, 0) => side,
            (false, _) => Ordering::Greater,
        };
        let whole = whole + u128::from(up);
        if whole >> 64 == 0 { (whole as u64, exponent) } else { (1u64 << 63, exponent + 1) }
    };
    if exponent < MIN_EXPONENT {
        // The smallest number, or zero, which is even: a tie is zero.
        let nearest_is_smallest =
            exponent == MIN_EXPONENT - 1 && (significand, side) > (1 << 63, Ordering::Equal);
        (significand, exponent) =
            if nearest_is_smallest { (1 << 63, MIN_EXPONENT) } else { (0, 0) };
    }
    (exponent <= MAX_EXPONENT).then_some(Extended { negative: false, significand, exponent })
}

/// `[digits][.digits][e[±]digits]`
fn decimal(text: &[u8]) -> Option<Extended> {
    let Scanned { digits, scale, rest } = scan(text, 10)?;
    let exponent = scale.checked_add(exponent(rest, b'e')?)?;
    let Some(first) = digits.iter().position(|&d| d != 0) else { return Some(Extended::ZERO) };
    let digits = digits.get(first..)?;
    // Far out of range either way; this also bounds the work below.
    let top = exponent.saturating_add(i64::try_from(digits.len()).ok()?);
    if !(-4960..=4960).contains(&top) {
        return None;
    }
    let mut number = Natural::from(0);
    for chunk in digits.chunks(CHUNK_DIGITS) {
        let value = chunk.iter().fold(0u64, |value, &digit| value * 10 + u64::from(digit));
        number.multiply_add(10u64.pow(u32::try_from(chunk.len()).ok()?), value);
    }
    let mut binary_exponent = 0;
    let mut sticky = false;
    if exponent >= 0 {
        for power in powers_of_ten(exponent.unsigned_abs()) {
            number.multiply_add(power, 0);
        }
    } else {
        // Room for 128 significant bits in the quotient.
        let shift = u32::try_from(exponent.unsigned_abs()).ok()?.checked_mul(4)? + 128;
        number.shift_left(shift);
        binary_exponent = -i32::try_from(shift).ok()?;
        for power in powers_of_ten(exponent.unsigned_abs()) {
            sticky |= number.divide(power) != 0;
        }
    }
    finish(number, sticky, binary_exponent)
}

/// Factors of `10^exponent` that fit a limb: work goes by nineteen digits, not by one.
fn powers_of_ten(exponent: u64) -> impl Iterator<Item = u64> {
    let whole = exponent / CHUNK_DIGITS as u64;
    let rest = 10u64.pow((exponent % CHUNK_DIGITS as u64) as u32);
    (0..whole).map(|_| CHUNK).chain(std::iter::once(rest))
}

/// `[digits][.digits][p[±]digits]` in base 16, the exponent in base 10 and of two.
fn hexadecimal(text: &[u8]) -> Option<Extended> {
    let Scanned { digits, scale, rest } = scan(text, 16)?;
    let exponent = scale.checked_mul(4)?.checked_add(exponent(rest, b'p')?)?;
    let mut number = Natural::from(0);
    for &digit in &digits {
        number.multiply_add(16, u64::from(digit));
    }
    if number.is_zero() {
        return Some(Extended::ZERO);
    }
    finish(number, false, i32::try_from(exponent).ok().filter(|e| e.abs() < 1 << 20)?)
}

/// Rounds; `None` where C reports a range error: infinite, or zero although it is not.
fn finish(number: Natural, sticky: bool, exponent: i32) -> Option<Extended> {
    let (bits, lost, dropped) = number.top_128();
    let number = round(bits, sticky || lost, exponent + i32::try_from(dropped).ok()?)?;
    (number.significand != 0).then_some(number)
}

struct Scanned<'a> {
    digits: Vec<u8>,
    /// Minus the number of digits behind the point.
    scale: i64,
    rest: &'a [u8],
}

/// Digits with at most one point among them; at least one digit.
fn scan(text: &[u8], radix: u32) -> Option<Scanned<'_>> {
    let (mut digits, mut scale, mut point) = (Vec::new(), 0i64, false);
    let mut end = 0;
    for &byte in text {
        match char::from(byte).to_digit(radix) {
            Some(digit) => {
                digits.push(digit as u8);
                scale -= i64::from(point);
            }
            None if byte == b'.' && !point => point = true,
            None => break,
        }
        end += 1;
    }
    (!digits.is_empty()).then(|| Scanned { digits, scale, rest: text.get(end..).unwrap_or(&[]) })
}

/// An exponent after `mark`, or nothing; saturates far beyond the format's range.
fn exponent(text: &[u8], mark: u8) -> Option<i64> {
    let Some((first, rest)) = text.split_first() else { return Some(0) };
    if first.to_ascii_lowercase() != mark {
        return None;
    }
    let (negative, digits) = match rest {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits
        .iter()
        .fold(0i64, |value, digit| (value * 10 + i64::from(digit - b'0')).min(1_000_000_000));
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests;
