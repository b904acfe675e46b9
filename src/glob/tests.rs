use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::Glob;

/// Redis' algorithm, `util.c`, step by step: recursive, and exponential at worst.
fn redis(mut pattern: &[u8], mut text: &[u8]) -> bool {
    let at = |slice: &[u8], i: usize| slice.get(i).copied().unwrap_or(0);
    while !pattern.is_empty() && !text.is_empty() {
        match pattern[0] {
            b'*' => {
                while at(pattern, 1) == b'*' {
                    pattern = &pattern[1..];
                }
                if pattern.len() == 1 {
                    return true;
                }
                return (0..text.len()).any(|i| redis(&pattern[1..], &text[i..]));
            }
            b'?' => text = &text[1..],
            b'[' => {
                pattern = &pattern[1..];
                let not = at(pattern, 0) == b'^';
                if not {
                    pattern = &pattern[1..];
                }
                let mut found = false;
                loop {
                    if pattern.len() >= 2 && pattern[0] == b'\\' {
                        pattern = &pattern[1..];
                        found |= pattern[0] == text[0];
                    } else if at(pattern, 0) == b']' || pattern.is_empty() {
                        break;
                    } else if pattern.len() >= 3 && pattern[1] == b'-' {
                        let (a, b, c) = (pattern[0] as i8, pattern[2] as i8, text[0] as i8);
                        found |= (a.min(b)..=a.max(b)).contains(&c);
                        pattern = &pattern[2..];
                    } else {
                        found |= pattern[0] == text[0];
                    }
                    pattern = &pattern[1..];
                }
                if found == not {
                    return false;
                }
                text = &text[1..];
            }
            b'\\' if pattern.len() >= 2 => {
                pattern = &pattern[1..];
                if pattern[0] != text[0] {
                    return false;
                }
                text = &text[1..];
            }
            byte => {
                if byte != text[0] {
                    return false;
                }
                text = &text[1..];
            }
        }
        pattern = pattern.get(1..).unwrap_or_default();
        if text.is_empty() {
            while at(pattern, 0) == b'*' {
                pattern = &pattern[1..];
            }
            break;
        }
    }
    pattern.is_empty() && text.is_empty()
}

#[test]
fn documented_examples() {
    for (pattern, yes, no) in [
        ("h?llo", "hello", "hllo"),
        ("h*llo", "heeeello", "hell"),
        ("h[ae]llo", "hallo", "hillo"),
        ("h[^e]llo", "hallo", "hello"),
        ("h[a-b]llo", "hbllo", "hcllo"),
        ("h[b-a]llo", "hallo", "hcllo"),
        (r"h\*llo", "h*llo", "hello"),
        (r"[\]]", "]", "a"),
        ("a[", "a", "ab"),
        ("a[^", "ax", "a"),
        ("a\\", "a\\", "a"),
        ("*a*b", "xxaxxb", "xxbxxa"),
    ] {
        // An open class that names nothing matches nothing.
        assert_eq!(Glob::new(pattern.as_bytes()).matches(yes.as_bytes()), pattern != "a[");
        assert!(!Glob::new(pattern.as_bytes()).matches(no.as_bytes()), "{pattern} {no}");
    }
}

#[test]
fn a_hostile_pattern_costs_no_more_than_length_times_length() {
    let pattern = "a*".repeat(200) + "b";
    let text = "a".repeat(1000);
    let long_class = format!("*{}", format!("[{}]", "a".repeat(1000)).repeat(500)) + "b";
    let start = Instant::now();
    assert!(!Glob::new(pattern.as_bytes()).matches(text.as_bytes()));
    assert!(!Glob::new(long_class.as_bytes()).matches(text.as_bytes()));
    assert!(start.elapsed() < Duration::from_secs(5));
}

proptest! {
    #[test]
    fn agrees_with_redis_algorithm(
        pattern in proptest::collection::vec(
            proptest::sample::select(&b"ab-]-[^\\*?c\xc3"[..]), 0..9),
        text in proptest::collection::vec(
            proptest::sample::select(&b"abc]-^\\[*\xc3\x01"[..]), 1..7),
    ) {
        prop_assert_eq!(Glob::new(&pattern).matches(&text), redis(&pattern, &text));
    }
}
