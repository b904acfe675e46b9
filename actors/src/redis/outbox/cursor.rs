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

use std::io;
use std::path::Path;

use super::sealed::{SealedFile, seal, unseal};
use crate::clock::UnixMs;
use crate::journal::Lsn;

const MAGIC: &[u8; 8] = b"SWOUTB1\n";

/// What was written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor {
    /// Redis had everything up to here.
    pub lsn: Lsn,
    /// When.
    pub wall_ms: UnixMs,
}

/// The file in the data directory of a log.
#[derive(Debug, Clone)]
pub(super) struct CursorFile {
    file: SealedFile,
    log: String,
}

impl CursorFile {
    /// `log` is the log's name.
    pub fn new(data: &Path, log: &str) -> Self {
        Self { file: SealedFile::new(data, "OUTBOX"), log: log.to_owned() }
    }

    /// What it says; `None` if nothing that could be trusted. Blocks.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn read(&self) -> io::Result<Option<Cursor>> {
        Ok(self.file.read()?.and_then(|bytes| decode(&bytes, &self.log)))
    }

    /// Replaces what it says, durably. Blocks.
    ///
    /// # Errors
    /// Whatever the file system reports; it says what it said before.
    pub fn write(&self, cursor: Cursor) -> io::Result<()> {
        self.file.write(&encode(cursor, &self.log))
    }
}

fn encode(cursor: Cursor, log: &str) -> Vec<u8> {
    let Cursor { lsn, wall_ms } = cursor;
    seal(MAGIC, log, &[lsn.to_le_bytes(), wall_ms.to_le_bytes()].concat())
}

fn decode(bytes: &[u8], log: &str) -> Option<Cursor> {
    let (lsn, wall_ms) = unseal(MAGIC, log, bytes)?.split_at_checked(8)?;
    let number = |bytes: &[u8]| bytes.try_into().ok().map(u64::from_le_bytes);
    Some(Cursor { lsn: number(lsn)?, wall_ms: number(wall_ms)? })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure is the end of a test")]

    use super::*;

    const LOG: &str = "00112233445566778899aabbccddeeff";
    const CURSOR: Cursor = Cursor { lsn: 77, wall_ms: 1_700_000_000_000 };

    #[test]
    fn it_says_what_was_written_and_nothing_before() {
        let dir = tempfile::tempdir().unwrap();
        let file = CursorFile::new(dir.path(), LOG);
        assert_eq!(file.read().unwrap(), None);
        file.write(Cursor { lsn: 1, ..CURSOR }).unwrap();
        file.write(CURSOR).unwrap();
        assert_eq!(file.read().unwrap(), Some(CURSOR));
        let other = CursorFile::new(dir.path(), &LOG.replace('0', "1"));
        assert_eq!(other.read().unwrap(), None, "of another log");
    }

    #[test]
    fn any_byte_that_changes_makes_it_count_as_none() {
        let sound = encode(CURSOR, LOG);
        assert_eq!(decode(&sound, LOG), Some(CURSOR));
        for at in 0..sound.len() {
            let mut bytes = sound.clone();
            bytes[at] ^= 1;
            assert_eq!(decode(&bytes, LOG), None, "byte {at}");
            assert_eq!(decode(&sound[..at], LOG), None, "cut at {at}");
        }
        assert_eq!(decode(&[&sound[..], b"x"].concat(), LOG), None);
    }
}
