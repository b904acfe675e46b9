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

use std::io;
use std::path::Path;

use super::deletions::Deletions;
use super::sealed::{SealedFile, seal, unseal};
use crate::journal::Lsn;

const MAGIC: &[u8; 8] = b"SWGONE1\n";
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

/// The file in the data directory of a log.
#[derive(Debug, Clone)]
pub(super) struct DebtsFile {
    file: SealedFile,
    log: String,
}

impl DebtsFile {
    /// `log` is the log's name.
    pub fn new(data: &Path, log: &str) -> Self {
        Self { file: SealedFile::new(data, "OUTBOX.gone"), log: log.to_owned() }
    }

    /// What it says; `None` if nothing that could be trusted. Blocks.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn read(&self) -> io::Result<Option<Debts>> {
        Ok(self.file.read()?.and_then(|bytes| decode(&bytes, &self.log)))
    }

    /// Replaces what it says, durably. Blocks.
    ///
    /// # Errors
    /// Whatever the file system reports; it says what it said before.
    pub fn write(&self, debts: &Debts) -> io::Result<()> {
        self.file.write(&encode(debts, &self.log))
    }

    /// Nothing is owed any more. Blocks.
    ///
    /// # Errors
    /// Whatever the file system reports.
    pub fn remove(&self) -> io::Result<()> {
        self.file.remove()
    }
}

fn encode(debts: &Debts, log: &str) -> Vec<u8> {
    let Debts { from, upto, gone } = debts;
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
    seal(MAGIC, log, &bytes)
}

fn decode(bytes: &[u8], log: &str) -> Option<Debts> {
    let mut rest = unseal(MAGIC, log, bytes)?;
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
    rest.is_empty().then_some(Debts { from, upto, gone })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure is the end of a test")]

    use super::*;

    const LOG: &str = "00112233445566778899aabbccddeeff";

    fn debts() -> Debts {
        let mut gone = Deletions::default();
        gone.insert(b"a", 7);
        gone.insert(b"", 8);
        gone.flushes = true;
        Debts { from: 3, upto: 9, gone }
    }

    #[test]
    fn it_says_what_was_written_until_it_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let file = DebtsFile::new(dir.path(), LOG);
        assert_eq!(file.read().unwrap(), None);
        file.remove().unwrap();
        file.write(&debts()).unwrap();
        assert_eq!(file.read().unwrap(), Some(debts()));
        let mut full = debts();
        full.gone.full = true;
        file.write(&full).unwrap();
        assert_eq!(file.read().unwrap(), Some(full));
        let other = DebtsFile::new(dir.path(), &LOG.replace('0', "1"));
        assert_eq!(other.read().unwrap(), None, "of another log");
        file.remove().unwrap();
        assert_eq!(file.read().unwrap(), None);
    }

    #[test]
    fn any_byte_that_changes_makes_it_count_as_none() {
        let sound = encode(&debts(), LOG);
        for at in 0..sound.len() {
            let mut bytes = sound.clone();
            bytes[at] ^= 1;
            assert_eq!(decode(&bytes, LOG), None, "byte {at}");
            assert_eq!(decode(&sound[..at], LOG), None, "cut at {at}");
        }
        assert_eq!(decode(&[&sound[..], b"x"].concat(), LOG), None);
    }
}
