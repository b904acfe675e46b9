//! Where replies end in a stream of bytes, in RESP2 and RESP3. Pure; copies and keeps nothing.

/// What arrived is no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoReply;

/// A line that is not at its end after so many bytes is none.
const LONGEST_LINE: usize = 64 << 10;

/// Looks for the end of one reply, as its bytes arrive.
#[derive(Debug)]
pub struct Scanner {
    /// What has been seen.
    at: usize,
    /// Elements that are still to come.
    left: u64,
}

impl Scanner {
    /// Looks for the end of the reply that begins at `at`.
    #[must_use]
    pub const fn from(at: usize) -> Self {
        Self { at, left: 1 }
    }

    /// Where the reply ends in `bytes`, which have grown since the last call; `None` if that is
    /// yet to come.
    ///
    /// # Errors
    /// This is no reply.
    pub fn end(&mut self, bytes: &[u8]) -> Result<Option<usize>, NoReply> {
        while self.left > 0 {
            let rest = bytes.get(self.at..).unwrap_or_default();
            let Some((&kind, rest)) = rest.split_first() else { return Ok(None) };
            let Some(line) = line(rest)? else { return Ok(None) };
            let mut next = self.at + 1 + line.len() + 2;
            let more = match kind {
                b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(' => 0,
                b'$' | b'=' | b'!' => {
                    if let Some(len) = length(line)? {
                        let len = usize::try_from(len).map_err(|_| NoReply)?;
                        next =
                            next.checked_add(len).and_then(|n| n.checked_add(2)).ok_or(NoReply)?;
                        if bytes.len() < next {
                            return Ok(None);
                        }
                        if bytes.get(next - 2..next) != Some(b"\r\n") {
                            return Err(NoReply);
                        }
                    }
                    0
                }
                b'*' | b'~' => length(line)?.unwrap_or(0),
                b'%' => length(line)?.unwrap_or(0).checked_mul(2).ok_or(NoReply)?,
                // Stands before the reply that it belongs to. Pushes are not asked for.
                b'|' => {
                    let pairs = length(line)?.ok_or(NoReply)?;
                    pairs.checked_mul(2).and_then(|n| n.checked_add(1)).ok_or(NoReply)?
                }
                _ => return Err(NoReply),
            };
            self.left = (self.left - 1).checked_add(more).ok_or(NoReply)?;
            self.at = next;
        }
        Ok(Some(self.at))
    }
}

/// The line at the start of `bytes`, without its end.
fn line(bytes: &[u8]) -> Result<Option<&[u8]>, NoReply> {
    let seen = bytes.get(..LONGEST_LINE).unwrap_or(bytes);
    match seen.iter().position(|b| *b == b'\n') {
        Some(at) => seen[..at].strip_suffix(b"\r").map(Some).ok_or(NoReply),
        None if seen.len() == LONGEST_LINE => Err(NoReply),
        None => Ok(None),
    }
}

/// A length; `None` for the null of RESP2.
fn length(line: &[u8]) -> Result<Option<u64>, NoReply> {
    if line == b"-1" {
        return Ok(None);
    }
    let digits = line.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(line).ok().filter(|_| digits);
    text.and_then(|text| text.parse().ok()).map(Some).ok_or(NoReply)
}

/// Code and text of a reply that is an error.
#[must_use]
pub fn error(reply: &[u8]) -> Option<(&str, &str)> {
    let text = match reply.split_first()? {
        (b'-', rest) => rest,
        (b'!', rest) => rest.splitn(2, |b| *b == b'\n').nth(1)?,
        _ => return None,
    };
    let text = std::str::from_utf8(text).ok()?.trim_end();
    Some(text.split_once(' ').unwrap_or((text, "")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REPLIES: &[&[u8]] = &[
        b"+OK\r\n",
        b"-ERR no\r\n",
        b":-12\r\n",
        b"$-1\r\n",
        b"*-1\r\n",
        b"_\r\n",
        b"$0\r\n\r\n",
        b"$4\r\n\r\n\r\n\r\n",
        b",3.14\r\n",
        b"#t\r\n",
        b"(12345678901234567890\r\n",
        b"=7\r\ntxt:abc\r\n",
        b"!5\r\nERR x\r\n",
        b"*0\r\n",
        b"*2\r\n*1\r\n$1\r\na\r\n:1\r\n",
        b"%2\r\n+a\r\n*2\r\n:1\r\n:2\r\n+b\r\n~1\r\n_\r\n",
        b"|1\r\n+ttl\r\n:3\r\n*1\r\n:1\r\n",
    ];

    proptest! {
        #[test]
        fn a_reply_is_whole_with_its_last_byte_and_not_before(
            picks in proptest::collection::vec(0..REPLIES.len(), 1..8),
            step in 1usize..9,
        ) {
            let bytes: Vec<u8> = picks.iter().flat_map(|i| REPLIES[*i].iter().copied()).collect();
            let mut at = 0;
            for pick in picks {
                let want = at + REPLIES[pick].len();
                let mut scanner = Scanner::from(at);
                let mut seen = at;
                let end = loop {
                    seen = (seen + step).min(want);
                    match scanner.end(&bytes[..seen]).expect("a reply") {
                        Some(end) => break end,
                        None => prop_assert!(seen < want),
                    }
                };
                prop_assert_eq!(end, want);
                at = end;
            }
        }

        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Scanner::from(0).end(&bytes);
            let _ = error(&bytes);
        }
    }

    #[test]
    fn what_is_no_reply_is_told() {
        let wrong: &[&[u8]] = &[
            b"HTTP/1.1 200 OK\r\n",
            b"$x\r\n",
            b"$-2\r\n",
            b"*18446744073709551615\r\n+a\r\n*9\r\n",
            b"%9223372036854775808\r\n",
            b"$1\r\nabc\r\n",
            b"+OK\n",
            b">1\r\n:1\r\n",
        ];
        for wrong in wrong {
            assert_eq!(Scanner::from(0).end(wrong), Err(NoReply), "{wrong:?}");
        }
        assert_eq!(Scanner::from(0).end(&[b'+'; LONGEST_LINE + 2]), Err(NoReply));
    }

    #[test]
    fn errors_have_a_code() {
        assert_eq!(error(b"-LOADING wait\r\n"), Some(("LOADING", "wait")));
        assert_eq!(error(b"!11\r\nREADONLY no\r\n"), Some(("READONLY", "no")));
        assert_eq!(error(b"-BUSY\r\n"), Some(("BUSY", "")));
        assert_eq!(error(b"+OK\r\n"), None);
    }
}
