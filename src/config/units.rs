//! Sizes and durations as people write them, read exactly and written back exactly.
//!
//! `KB`, `MB`, `GB`, `TB` are powers of 1000 and `KiB`, `MiB`, `GiB`, `TiB` powers of 1024
//! (IEC 80000-13). Redis means powers of 1024 by `kb` and of 1000 by `k`; that rule holds only
//! under Redis' own names, see [`parse_redis_memory`]. Durations are humantime's: `1h 30m`.

use std::time::Duration;

const UNITS: [(&str, u64); 9] = [
    ("TB", 1_000_000_000_000),
    ("TiB", 1 << 40),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("KB", 1_000),
    ("KiB", 1 << 10),
    ("B", 1),
];

/// Reads a size in bytes: `"100MB"`, `"1.5 GiB"`, `"4096"`. `None` if it is not one, or if it
/// is not a whole number of bytes below 2^64.
#[must_use]
pub fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text)?;
    let scale = if unit.is_empty() {
        1
    } else {
        UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?.1
    };
    scaled(number, scale)
}

/// Reads a size as Redis does in `CONFIG SET maxmemory`: `k`, `m`, `g` are powers of 1000,
/// `kb`, `mb`, `gb` powers of 1024.
#[must_use]
pub fn parse_redis_memory(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text)?;
    if number.contains('.') {
        return None;
    }
    let scale = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1_000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    scaled(number, scale)
}

fn split_unit(text: &str) -> Option<(&str, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (text.get(..end)?, text.get(end..)?);
    (!number.is_empty()).then_some((number, unit.trim_start()))
}

/// `number` (decimal digits, at most nine behind a point) times `scale`, if that is whole.
fn scaled(number: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || (number.contains('.') && fraction.is_empty()) || fraction.len() > 9 {
        return None;
    }
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let scaled = digits.checked_mul(u128::from(scale))?;
    let divisor = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    (scaled % divisor == 0).then(|| u64::try_from(scaled / divisor).ok())?
}

/// Reads a share of the machine's memory: `"60%"`, from 1 to 100.
#[must_use]
pub fn parse_percent(text: &str) -> Option<u8> {
    let number = text.trim().strip_suffix('%')?.trim_end();
    if !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    number.parse().ok().filter(|p| (1..=100).contains(p))
}

/// Writes a size with the largest unit that divides it: `100MB`, `64MiB`, `12345B`.
#[must_use]
pub fn format_size(bytes: u64) -> String {
    if bytes == 0 {
        return "0".to_owned();
    }
    UNITS
        .iter()
        .find(|(_, scale)| bytes.is_multiple_of(*scale))
        .map_or_else(|| format!("{bytes}B"), |(unit, scale)| format!("{}{unit}", bytes / scale))
}

/// Reads a duration: `"30s"`, `"1h 30m"`, `"0s"`.
///
/// # Errors
/// humantime's own words.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text.trim()).map_err(|e| e.to_string())
}

/// Writes a duration in one unit, the largest that divides it: `365days`, `24h`, `100ms`.
///
/// humantime's own formatter would make `11months 30days 3h 50m 24s` of 365 days.
#[must_use]
pub fn format_duration(d: Duration) -> String {
    const DAY: u64 = 86_400;
    let secs = d.as_secs();
    match d.subsec_nanos() {
        0 if secs.is_multiple_of(DAY) && secs > DAY => format!("{}days", secs / DAY),
        0 if secs.is_multiple_of(3600) && secs > 0 => format!("{}h", secs / 3600),
        0 if secs.is_multiple_of(60) && secs > 0 => format!("{}m", secs / 60),
        0 => format!("{secs}s"),
        n if n % 1_000_000 == 0 => join(secs, n / 1_000_000, "ms"),
        n if n % 1_000 == 0 => join(secs, n / 1_000, "us"),
        n => join(secs, n, "ns"),
    }
}

fn join(secs: u64, part: u32, unit: &str) -> String {
    if secs == 0 { format!("{part}{unit}") } else { format!("{secs}s {part}{unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_have_units_of_both_kinds() {
        assert_eq!(parse_size("100MB"), Some(100_000_000));
        assert_eq!(parse_size("100 MiB"), Some(100 << 20));
        assert_eq!(parse_size("1.5kb"), Some(1500));
        assert_eq!(parse_size("0"), Some(0));
        for wrong in ["", "MB", "-1MB", "1.MB", ".5MB", "1.2.3", "1XB", "0.3B", "99999999999TB"] {
            assert_eq!(parse_size(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn redis_memory_has_redis_units() {
        assert_eq!(parse_redis_memory("100mb"), Some(100 << 20));
        assert_eq!(parse_redis_memory("100m"), Some(100_000_000));
        assert_eq!(parse_redis_memory("7"), Some(7));
        assert_eq!(parse_redis_memory("7mib"), None);
        assert_eq!(parse_redis_memory("abc"), None);
    }

    #[test]
    fn percent_is_1_to_100() {
        assert_eq!(parse_percent("60%"), Some(60));
        for wrong in ["0%", "101%", "60", "%", "+6%", "6.5%"] {
            assert_eq!(parse_percent(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_year_is_365_days() {
        assert_eq!(format_duration(Duration::from_secs(365 * 86_400)), "365days");
        assert_eq!(format_duration(Duration::from_secs(86_400)), "24h");
        assert_eq!(format_duration(Duration::ZERO), "0s");
    }

    proptest! {
        #[test]
        fn sizes_round_trip(bytes: u64) {
            prop_assert_eq!(parse_size(&format_size(bytes)), Some(bytes));
        }

        #[test]
        fn durations_round_trip(ns in 0u64..=u64::MAX) {
            let d = Duration::from_nanos(ns);
            prop_assert_eq!(parse_duration(&format_duration(d)), Ok(d));
        }

        #[test]
        fn garbage_never_panics(text in "\\PC{0,24}") {
            let _ = (parse_size(&text), parse_percent(&text), parse_duration(&text));
            let _ = parse_redis_memory(&text);
        }
    }
}
