//! Until when an X.509 certificate is valid (RFC 5280, 4.1.2.5): the one field that is needed of it,
//! read from its DER. Pure. Whether the certificate is right is not decided here.

/// Seconds of a day.
const DAY: u64 = 86_400;

/// The end of the validity in Unix seconds; `None` if these bytes are no certificate.
pub(super) fn not_after(der: &[u8]) -> Option<u64> {
    const SEQUENCE: u8 = 0x30;
    const VERSION: u8 = 0xa0;
    let (certificate, _) = element(der, Some(SEQUENCE))?;
    let (mut signed, _) = element(certificate, Some(SEQUENCE))?;
    if signed.first() == Some(&VERSION) {
        (_, signed) = element(signed, None)?;
    }
    // Serial number, signature, issuer.
    for _ in 0..3 {
        (_, signed) = element(signed, None)?;
    }
    let (validity, _) = element(signed, Some(SEQUENCE))?;
    let (_, after) = element(validity, None)?;
    let (text, _) = element(after, None)?;
    time(*after.first()?, text)
}

/// The content of the first element, and what is behind it.
fn element(der: &[u8], tag: Option<u8>) -> Option<(&[u8], &[u8])> {
    let (found, rest) = der.split_first()?;
    if tag.is_some_and(|tag| tag != *found) {
        return None;
    }
    let (first, rest) = rest.split_first()?;
    let (len, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        // So many bytes of length follow; four are more than any certificate has.
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |len, byte| len << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(len)
}

/// `YYMMDDHHMMSSZ` (UTCTime) or `YYYYMMDDHHMMSSZ` (GeneralizedTime).
fn time(tag: u8, text: &[u8]) -> Option<u64> {
    const UTC_TIME: u8 = 0x17;
    const GENERALIZED_TIME: u8 = 0x18;
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            let year: u64 = year.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    if rest.len() != 10 {
        return None;
    }
    let part = |at: usize| rest.get(at..at + 2)?.parse::<u64>().ok();
    let (month, day) = (part(0)?, part(2)?);
    let days = days_since_1970(year, month, day)?;
    Some(days * DAY + part(4)? * 3600 + part(6)? * 60 + part(8)?)
}

/// Days from 1970-01-01 to a date of the Gregorian calendar; 0 for one before.
///
/// Counted as by H. Hinnant, "chrono-Compatible Low-Level Date Algorithms": the year begins in March,
/// so that the leap day is its last.
fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year.checked_sub(1)? } else { year };
    let month = (month + 9) % 12;
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let days = 365 * year + year / 4 - year / 100 + year / 400 + day_of_year;
    Some(days.saturating_sub(719_468))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_over_leap_years() {
        for (date, days) in [
            ((1970, 1, 1), 0),
            ((1970, 3, 1), 59),
            ((2000, 2, 29), 11_016),
            ((2024, 12, 31), 20_088),
            ((2100, 3, 1), 47_541),
            ((1950, 1, 1), 0),
        ] {
            assert_eq!(days_since_1970(date.0, date.1, date.2), Some(days), "{date:?}");
        }
        assert_eq!(days_since_1970(2024, 13, 1), None);
    }

    #[test]
    fn both_ways_to_write_a_time_are_read() {
        assert_eq!(time(0x17, b"700101000001Z"), Some(1));
        assert_eq!(time(0x18, b"20240229235959Z"), Some(1_709_251_199));
        assert_eq!(time(0x17, b"491231235959Z"), Some(2_524_607_999));
        for wrong in [&b"20240229235959"[..], b"2024022923595Z", b"", b"x0240229235959Z"] {
            assert_eq!(time(0x18, wrong), None);
        }
    }

    #[test]
    fn no_bytes_make_it_panic() {
        for len in 0..64 {
            for byte in [0x00, 0x17, 0x30, 0x82, 0xa0, 0xff] {
                let _ = not_after(&vec![byte; len]);
                let mut nested = vec![0x30, 0x84, 0xff, 0xff, 0xff, 0xff];
                nested.extend(vec![byte; len]);
                assert_eq!(not_after(&nested), None);
            }
        }
    }
}
