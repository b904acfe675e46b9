//! Redis' glob patterns over configuration names, regardless of case.
//!
//! Linear but for one remembered star: no pattern makes it slow, as CVE-2022-36021 did to the
//! recursive form.

/// Whether `pattern` (`*`, `?`, `[a-z]`, `[^a]`, `\x`) matches all of `name`.
#[must_use]
pub(super) fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    // Where to go on when the text after the last star does not fit: one byte further.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p + 1, n));
            p += 1;
            continue;
        }
        if let Some(next) = name.get(n).and_then(|byte| step(pattern, p, *byte)) {
            p = next;
            n += 1;
            continue;
        }
        match star {
            Some((after, taken)) => {
                p = after;
                n = taken + 1;
                star = Some((after, n));
            }
            None => return false,
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|b| *b == b'*')
}

/// Matches one byte; the position behind what matched it.
fn step(pattern: &[u8], p: usize, byte: u8) -> Option<usize> {
    let byte = byte.to_ascii_lowercase();
    match *pattern.get(p)? {
        b'?' => Some(p + 1),
        b'[' => class(pattern, p + 1, byte),
        b'\\' if p + 1 < pattern.len() => {
            (pattern.get(p + 1)?.to_ascii_lowercase() == byte).then_some(p + 2)
        }
        literal => (literal.to_ascii_lowercase() == byte).then_some(p + 1),
    }
}

fn class(pattern: &[u8], mut p: usize, byte: u8) -> Option<usize> {
    let negated = pattern.get(p) == Some(&b'^');
    if negated {
        p += 1;
    }
    let mut hit = false;
    loop {
        match *pattern.get(p)? {
            b']' => break,
            b'\\' if p + 1 < pattern.len() => {
                hit |= pattern.get(p + 1)?.to_ascii_lowercase() == byte;
                p += 2;
            }
            from if pattern.get(p + 1) == Some(&b'-') && p + 2 < pattern.len() => {
                let to = pattern.get(p + 2)?.to_ascii_lowercase();
                let from = from.to_ascii_lowercase();
                hit |= (from.min(to)..=from.max(to)).contains(&byte);
                p += 3;
            }
            one => {
                hit |= one.to_ascii_lowercase() == byte;
                p += 1;
            }
        }
    }
    (hit != negated).then_some(p + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn patterns_match_as_in_redis() {
        for (pattern, name) in [
            ("*", ""),
            ("max*", "maxmemory"),
            ("MAX*", "maxmemory"),
            ("*memory*", "cache.max_memory"),
            ("m?xmemory", "maxmemory"),
            ("[l-n]ax*", "maxmemory"),
            ("[^a]ax*", "maxmemory"),
            ("a\\*b", "a*b"),
            ("**", "x"),
        ] {
            assert!(matches(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}");
        }
        for (pattern, name) in
            [("", "x"), ("max", "maxmemory"), ("[^m]ax*", "maxmemory"), ("a*b", "ac"), ("[ma", "m")]
        {
            assert!(!matches(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}");
        }
    }

    /// The definition, recursive and slow.
    fn naive(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern, name) {
            ([], []) => true,
            ([b'*', rest @ ..], _) => (0..=name.len()).any(|i| naive(rest, &name[i..])),
            ([b'?', p @ ..], [_, n @ ..]) => naive(p, n),
            ([a, p @ ..], [b, n @ ..]) => a == b && naive(p, n),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn stars_agree_with_the_definition(pattern in "[ab*?]{0,8}", name in "[ab]{0,8}") {
            prop_assert_eq!(
                matches(pattern.as_bytes(), name.as_bytes()),
                naive(pattern.as_bytes(), name.as_bytes())
            );
        }

        #[test]
        fn garbage_never_panics(pattern: Vec<u8>, name: Vec<u8>) {
            let _ = matches(&pattern, &name);
        }
    }
}
