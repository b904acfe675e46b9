//! What Redis is owed of a part of the log that was let go, on disk: its deletions.
//!
//! ```text
//! <data>/OUTBOX.gone
//!
//! offset  size  field                                        (integers little-endian)
//!      0     8  magic "SWGONE1\n"
//!      8    32  name of the log, hexadecimal
//!     40     8  LSN behind which that part begins
//!     48     8  LSN with which it ends
//!     56     8  1: everything goes before these keys; 2: some keys had no room; 3: both
//!     64     8  number of keys
//!     72   12+n each: wall clock of its deletion (8), length n (4), bytes
//!            32  SHA-256 over all bytes before
//! ```
//!
//! It is written to `OUTBOX.gone.new`, synced, and renamed, before the log is let go. One that is
//! damaged or of another log counts as none: then such deletions are not made up for.

use super::deletions::Deletions;
use super::sealed::Sealed;
use crate::journal::Lsn;

const FLUSHES: u64 = 1;
const FULL: u64 = 2;

/// The deletions of a part of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Debts {
    /// It begins behind this LSN.
    pub from: Lsn,
    /// It ends with this one.
    pub upto: Lsn,
    /// What it leaves deleted.
    pub gone: Deletions,
}

impl Sealed for Debts {
    const NAME: &'static str = "OUTBOX.gone";
    const MAGIC: &'static [u8; 8] = b"SWGONE1\n";

    fn encode(&self) -> Vec<u8> {
        let Self { from, upto, gone } = self;
        let flags = if gone.flushes { FLUSHES } else { 0 } | if gone.full { FULL } else { 0 };
        let mut bytes = Vec::new();
        for number in [*from, *upto, flags, gone.len() as u64] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for (key, wall_ms) in gone.keys() {
            bytes.extend_from_slice(&wall_ms.to_le_bytes());
            bytes.extend_from_slice(&u32::try_from(key.len()).unwrap_or(u32::MAX).to_le_bytes());
            bytes.extend_from_slice(key);
        }
        bytes
    }

    fn decode(body: &[u8]) -> Option<Self> {
        let mut rest = body;
        let mut take = |n: usize| {
            let (taken, behind) = rest.split_at_checked(n)?;
            rest = behind;
            Some(taken)
        };
        let mut number = || take(8)?.try_into().ok().map(u64::from_le_bytes);
        let (from, upto, flags, count) = (number()?, number()?, number()?, number()?);
        let mut gone = Deletions::default();
        for _ in 0..count {
            let wall_ms = take(8)?.try_into().ok().map(u64::from_le_bytes)?;
            let len = take(4)?.try_into().ok().map(u32::from_le_bytes)?;
            gone.insert(take(usize::try_from(len).ok()?)?, wall_ms);
        }
        (gone.flushes, gone.full) = (flags & FLUSHES != 0, gone.full || flags & FULL != 0);
        rest.is_empty().then_some(Self { from, upto, gone })
    }
}

#[cfg(test)]
mod tests {
    use super::super::sealed::tests::prove;
    use super::*;

    #[test]
    fn it_says_what_was_written_and_nothing_else() {
        let mut gone = Deletions::default();
        gone.insert(b"a", 7);
        gone.insert(b"", 8);
        gone.flushes = true;
        let some = Debts { from: 3, upto: 9, gone };
        let mut full = some.clone();
        full.gone.full = true;
        prove(&[full, some]);
    }
}
