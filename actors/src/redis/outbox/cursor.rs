//! How far the outbox is, on disk.
//!
//! ```text
//! <data>/OUTBOX
//!
//! offset  size  field                                        (integers little-endian)
//!      0     8  magic "SWOUTB1\n"
//!      8    32  name of the log, hexadecimal
//!     40     8  LSN up to which Redis had everything
//!     48     8  wall clock when it was written, Unix milliseconds
//!     56    32  who had it: SHA-256 over what INFO tells of that Redis, see `who`; left out if it
//!               does not tell
//!      .    32  SHA-256 over all bytes before
//! ```
//!
//! It is written to `OUTBOX.new`, synced, and renamed. One that is damaged or of another log counts
//! as none: then everything is compared, which is slow and never wrong.

use super::sealed::Sealed;
use super::who::Who;
use crate::clock::UnixMs;
use crate::journal::Lsn;

/// What was written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor {
    /// Redis had everything up to here.
    pub lsn: Lsn,
    /// When.
    pub wall_ms: UnixMs,
    /// Which Redis; `None`: it is not known.
    pub who: Option<Who>,
}

impl Sealed for Cursor {
    const NAME: &'static str = "OUTBOX";
    const MAGIC: &'static [u8; 8] = b"SWOUTB1\n";

    fn encode(&self) -> Vec<u8> {
        let who = self.who.as_ref().map_or(&[][..], |who| &who.0);
        [&self.lsn.to_le_bytes()[..], &self.wall_ms.to_le_bytes(), who].concat()
    }

    fn decode(body: &[u8]) -> Option<Self> {
        let (lsn, rest) = body.split_at_checked(8)?;
        let (wall_ms, who) = rest.split_at_checked(8)?;
        let number = |bytes: &[u8]| bytes.try_into().ok().map(u64::from_le_bytes);
        let who = match who {
            [] => None,
            who => Some(Who(who.try_into().ok()?)),
        };
        Some(Self { lsn: number(lsn)?, wall_ms: number(wall_ms)?, who })
    }
}

#[cfg(test)]
mod tests {
    use super::super::sealed::tests::prove;
    use super::*;

    #[test]
    fn it_says_what_was_written_and_nothing_else() {
        let cursor = Cursor { lsn: 77, wall_ms: 1_700_000_000_000, who: None };
        let known = Cursor { who: Some(Who([7; Who::LEN])), ..cursor };
        prove(&[Cursor { lsn: 1, ..cursor }, known, cursor]);
        prove(&[cursor, known]);
    }

    #[test]
    fn one_that_was_written_before_redis_was_asked_who_it_is_counts() {
        let body = [[77, 0, 0, 0, 0, 0, 0, 0], [9, 0, 0, 0, 0, 0, 0, 0]].concat();
        assert_eq!(Cursor::decode(&body), Some(Cursor { lsn: 77, wall_ms: 9, who: None }));
        assert_eq!(Cursor::decode(&[&body[..], &[1; Who::LEN - 1]].concat()), None);
    }
}
