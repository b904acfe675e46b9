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
//!     56    32  SHA-256 over all bytes before
//! ```
//!
//! It is written to `OUTBOX.new`, synced, and renamed. One that is damaged or of another log counts
//! as none: then everything is compared, which is slow and never wrong.

use super::sealed::Sealed;
use crate::clock::UnixMs;
use crate::journal::Lsn;

/// What was written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor {
    /// Redis had everything up to here.
    pub lsn: Lsn,
    /// When.
    pub wall_ms: UnixMs,
}

impl Sealed for Cursor {
    const NAME: &'static str = "OUTBOX";
    const MAGIC: &'static [u8; 8] = b"SWOUTB1\n";

    fn encode(&self) -> Vec<u8> {
        [self.lsn.to_le_bytes(), self.wall_ms.to_le_bytes()].concat()
    }

    fn decode(body: &[u8]) -> Option<Self> {
        let (lsn, wall_ms) = body.split_at_checked(8)?;
        let number = |bytes: &[u8]| bytes.try_into().ok().map(u64::from_le_bytes);
        Some(Self { lsn: number(lsn)?, wall_ms: number(wall_ms)? })
    }
}

#[cfg(test)]
mod tests {
    use super::super::sealed::tests::prove;
    use super::*;

    #[test]
    fn it_says_what_was_written_and_nothing_else() {
        let cursor = Cursor { lsn: 77, wall_ms: 1_700_000_000_000 };
        prove(&[Cursor { lsn: 1, ..cursor }, cursor]);
    }
}
