//! A segment: one file of the log, `<sequence>-<first lsn>.wal`, both of twenty digits.
//!
//! ```text
//! offset  size  field                                        (integers little-endian)
//!      0     8  magic "SEAWALL\n"
//!      8     2  format version (3)
//!     10     2  minimum reader version (3)
//!     12     4  reserved, 0
//!     16    16  log id, random, the same in every segment
//!     32     8  sequence number, from 1, without gaps
//!     40     8  first LSN
//!     48    16  link: digest of the frame before the first LSN (0: the log begins here)
//!     64    16  reserved, 0
//!     80     8  wall clock at creation, Unix milliseconds
//!     88    32  SHA-256 of bytes 0..88; its second half is the previous digest of the first frame,
//!               which thus stands before it, like that of every other frame
//!    120        frames
//! ```
//!
//! Length, magic, versions and SHA-256 are at these places in every format, so that every version
//! of this program can tell a format that it does not read from damage.
//!
//! A segment gets its name only when its header is on disk (written as `.new`, synced, renamed,
//! directory synced), so a named segment with a damaged header is corrupt, never torn. Nothing in it
//! counts as durable before the directory is synced.
//!
//! Where segment *n + 1* begins, segment *n* ends: frames of *n* at or behind that LSN are
//! superseded. That happens when *n + 1* was prepared while *n* took more frames, and after a failed
//! fsync: what was not durable is written again to a fresh file.

use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::format::{OtherFormat, Versions};
use super::frame::{DIGEST_LEN, Digest, LogId, halves, le};
use super::fs::{Filesystem, LogFile};
use crate::clock::UnixMs;
use crate::failpoint::{self, Point};
use crate::journal::Lsn;

/// Bytes of a segment's header.
pub(super) const HEADER_LEN: usize = 120;
/// Before format 3 a frame's header had a fixed length.
const VERSIONS: Versions = Versions { format: 3, reader: 3, oldest: 3 };
/// What this program writes.
pub(super) const FORMAT_VERSION: u16 = VERSIONS.format;
const MAGIC: &[u8; 8] = b"SEAWALL\n";
/// The ending of a segment that has no name yet.
const UNNAMED: &str = ".new";

/// What a segment says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    /// The version that it was written in. It is a part of what the frames' chain begins with.
    pub(super) format: u16,
    pub(super) log: LogId,
    pub(super) sequence: u64,
    pub(super) first_lsn: Lsn,
    pub(super) link: Digest,
    pub(super) created_ms: UnixMs,
}

/// Why bytes are not a segment's header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum SegmentError {
    #[error("the segment header is damaged")]
    Damaged,
    #[error(transparent)]
    OtherVersion(#[from] OtherFormat),
}

/// Why a segment could not be made.
#[derive(Debug)]
pub(super) struct CreateError {
    /// A sync failed, of the file or of its directory.
    pub(super) in_sync: bool,
    pub(super) source: io::Error,
}

impl CreateError {
    fn sync(source: io::Error) -> Self {
        Self { in_sync: true, source }
    }
}

impl From<io::Error> for CreateError {
    fn from(source: io::Error) -> Self {
        Self { in_sync: false, source }
    }
}

impl SegmentHeader {
    pub(super) fn encode(&self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        out[0..8].copy_from_slice(MAGIC);
        out[Versions::AT].copy_from_slice(&VERSIONS.encode(self.format));
        out[16..32].copy_from_slice(self.log.bytes());
        out[32..40].copy_from_slice(&self.sequence.to_le_bytes());
        out[40..48].copy_from_slice(&self.first_lsn.to_le_bytes());
        out[48..64].copy_from_slice(&self.link);
        out[80..88].copy_from_slice(&self.created_ms.to_le_bytes());
        let digest = digest(&out);
        out[88..].copy_from_slice(&digest);
        out
    }

    pub(super) fn decode(bytes: &[u8; HEADER_LEN]) -> Result<Self, SegmentError> {
        if &bytes[..8] != MAGIC || bytes[88..] != digest(bytes) {
            return Err(SegmentError::Damaged);
        }
        let format = VERSIONS.decode(&bytes[Versions::AT])?;
        let mut log = [0; 16];
        log.copy_from_slice(&bytes[16..32]);
        let mut link = [0; DIGEST_LEN];
        link.copy_from_slice(&bytes[48..64]);
        Ok(Self {
            format,
            log: LogId::new(log),
            sequence: le(&bytes[32..40]),
            first_lsn: le(&bytes[40..48]),
            link,
            created_ms: le(&bytes[80..88]),
        })
    }

    /// The previous digest of the segment's first frame.
    pub(super) fn digest(&self) -> Digest {
        let [_, second] = halves(&digest(&self.encode()));
        second
    }

    pub(super) fn file_name(&self) -> String {
        format!("{:020}-{:020}.wal", self.sequence, self.first_lsn)
    }

    /// Where the segment is until it has its name.
    pub(super) fn unnamed(&self, dir: &Path) -> PathBuf {
        dir.join(self.file_name() + UNNAMED)
    }
}

fn digest(header: &[u8; HEADER_LEN]) -> [u8; 32] {
    Sha256::digest(&header[..88]).into()
}

/// Sequence number and first LSN, if `name` is a segment's.
pub(super) fn parse_name(name: &str) -> Option<(u64, Lsn)> {
    let (sequence, first_lsn) = name.strip_suffix(".wal")?.split_once('-')?;
    let number = |text: &str| (text.len() == 20).then(|| text.parse().ok()).flatten();
    Some((number(sequence)?, number(first_lsn)?))
}

/// The segments in `dir`, by sequence number. Other files are left out.
pub(super) fn list<F: Filesystem>(fs: &F, dir: &Path) -> io::Result<Vec<(u64, Lsn, PathBuf)>> {
    let mut found: Vec<_> = fs
        .list(dir)?
        .into_iter()
        .filter_map(|name| {
            let (sequence, first_lsn) = parse_name(&name)?;
            Some((sequence, first_lsn, dir.join(name)))
        })
        .collect();
    found.sort_unstable();
    Ok(found)
}

/// Makes a segment that starts with `frames`. On return it is durable, with its name.
///
/// # Errors
/// Whatever the file system reports, and whether it was a sync; the segment may exist then, in any
/// state, with or without its name, and has to be removed before the next try.
pub(super) fn create<F: Filesystem>(
    fs: &F,
    dir: &Path,
    header: &SegmentHeader,
    frames: &[u8],
) -> Result<F::File, CreateError> {
    let file = prepare(fs, dir, header, frames)?;
    name(fs, dir, header)?;
    failpoint::hit(Point::SegmentDirSync);
    fs.sync_dir(dir).map_err(CreateError::sync)?;
    Ok(file)
}

/// Makes a segment that starts with `frames` and has no name yet. On return it is durable but for
/// its place in the directory.
///
/// # Errors
/// Whatever the file system reports, and whether it was a sync; the file may exist then.
pub(super) fn prepare<F: Filesystem>(
    fs: &F,
    dir: &Path,
    header: &SegmentHeader,
    frames: &[u8],
) -> Result<F::File, CreateError> {
    let unnamed = header.unnamed(dir);
    fs.remove(&unnamed)?;
    let file = fs.create(&unnamed)?;
    failpoint::hit(Point::SegmentCreate);
    file.write_at(&header.encode(), 0)?;
    if !frames.is_empty() {
        file.write_at(frames, HEADER_LEN as u64)?;
    }
    failpoint::hit(Point::SegmentSync);
    file.sync().map_err(CreateError::sync)?;
    Ok(file)
}

/// Gives a segment that was prepared its name, which is durable when the directory is synced.
///
/// # Errors
/// Whatever the file system reports; the segment may have its name all the same.
pub(super) fn name<F: Filesystem>(fs: &F, dir: &Path, header: &SegmentHeader) -> io::Result<()> {
    failpoint::hit(Point::SegmentRename);
    fs.rename(&header.unnamed(dir), &dir.join(header.file_name()))
}

/// Removes segments that have no name yet: nothing was ever acknowledged from them. Returns the
/// path where it failed.
pub(super) fn clear_unnamed<F: Filesystem>(fs: &F, dir: &Path) -> Result<(), (PathBuf, io::Error)> {
    for name in fs.list(dir).map_err(|error| (dir.to_owned(), error))? {
        if name.strip_suffix(UNNAMED).is_some_and(|name| parse_name(name).is_some()) {
            let path = dir.join(name);
            fs.remove(&path).map_err(|error| (path, error))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
