//! The manifest: what the files of a log cannot say of themselves, because it is about files that
//! are not there any more, or should be.
//!
//! ```text
//! <data>/MANIFEST.a, <data>/MANIFEST.b
//!
//! offset  size  field                                        (integers little-endian)
//!      0     8  magic "SWMANI1\n"
//!      8     2  format version (2)
//!     10     2  minimum reader version (2)
//!     12     4  number of snapshots n, at most 256
//!     16    16  log id
//!     32     8  generation, from 1; even ones go to MANIFEST.a, odd ones to MANIFEST.b
//!     40     8  floor: sequence number of the oldest segment that is kept
//!     48     8  floor: its first LSN
//!     56    16  floor: its link, the digest of the frame before it
//!     72    16  reserved, 0
//!     88     8  newest segment: there is one with this sequence number
//!     96     8  durable: the log was on disk up to this LSN
//!    104     8  wall clock when it was written, Unix milliseconds
//!    112   80n  verified snapshots, the oldest first: begin, end, entries, bytes, when it was
//!               begun and when ended (8 bytes each, times in Unix milliseconds), digest of the
//!               last frame (16), reserved, 0 (16)
//!      …    32  SHA-256 over all bytes before
//! ```
//!
//! A copy gets its name only when it is on disk, so a damaged one was damaged at rest: then the
//! other one serves. The valid copy with the higher generation counts. A directory without any is
//! that of a log from which nothing was ever deleted.
//!
//! The *floor* is raised here, in both copies, before the first segment below it is deleted. So
//! segments below the floor are left over, and one that is missing at or above it was lost.

mod file;

pub(super) use file::{ManifestFile, PATHS, read};

use sha2::{Digest as _, Sha256};

use super::format::{OtherFormat, Versions};
use super::frame::{DIGEST_LEN, Digest, LogId, le};
use super::segment::SegmentHeader;
use crate::clock::UnixMs;
use crate::journal::Lsn;

const MAGIC: &[u8; 8] = b"SWMANI1\n";
/// Format 1 is that of logs whose digests were longer.
const VERSIONS: Versions = Versions { format: 2, reader: 2, oldest: 2 };
/// Bytes before the snapshots.
const HEADER_LEN: usize = 112;
/// Bytes of one snapshot.
const LISTED_LEN: usize = 80;
/// Bytes that a link has here: a digest, and what is reserved behind it.
const LINK_LEN: usize = 32;
/// Bytes of the SHA-256 at the end.
const SHA_LEN: usize = 32;
/// More snapshots are not listed: retention keeps far fewer.
const MAX_LISTED: usize = 256;
/// The longest manifest there can be.
const MAX_LEN: usize = HEADER_LEN + MAX_LISTED * LISTED_LEN + SHA_LEN;

/// Where the log begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Floor {
    /// Number of the oldest segment.
    pub(super) sequence: u64,
    /// Its first LSN.
    pub(super) first_lsn: Lsn,
    /// What it links to.
    pub(super) link: Digest,
}

impl Floor {
    /// Of a log from which nothing was deleted.
    pub(super) const START: Self = Self { sequence: 1, first_lsn: 1, link: [0; DIGEST_LEN] };

    /// A log that begins with this segment.
    pub(super) const fn at(header: &SegmentHeader) -> Self {
        Self { sequence: header.sequence, first_lsn: header.first_lsn, link: header.link }
    }
}

/// A snapshot that was read back after it was written, or read at a start, and was whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) begin: Lsn,
    pub(super) end: Lsn,
    pub(super) entries: u64,
    pub(super) bytes: u64,
    pub(super) created_ms: UnixMs,
    pub(super) ended_ms: UnixMs,
    /// Of its last frame.
    pub(super) digest: Digest,
}

/// What a manifest says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) log: LogId,
    /// 0: never written.
    pub(super) generation: u64,
    pub(super) floor: Floor,
    /// There is a segment with this number.
    pub(super) newest: u64,
    /// The log was on disk up to here.
    pub(super) durable: Lsn,
    pub(super) written_ms: UnixMs,
    /// By begin, ascending.
    pub(super) snapshots: Vec<Listed>,
}

/// Why bytes are no manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ManifestError {
    #[error("it is damaged")]
    Damaged,
    #[error(transparent)]
    OtherVersion(#[from] OtherFormat),
}

impl Manifest {
    /// What can be said of a log whose segments begin with `floor`.
    pub(super) const fn new(log: LogId, floor: Floor) -> Self {
        Self {
            log,
            generation: 0,
            floor,
            newest: floor.sequence,
            durable: floor.first_lsn.saturating_sub(1),
            written_ms: 0,
            snapshots: Vec::new(),
        }
    }

    /// Lists a snapshot in place of one that began at the same LSN.
    pub(super) fn list(&mut self, snapshot: Listed) {
        self.snapshots.retain(|other| other.begin != snapshot.begin);
        let at = self.snapshots.partition_point(|other| other.begin < snapshot.begin);
        self.snapshots.insert(at, snapshot);
        if self.snapshots.len() > MAX_LISTED {
            self.snapshots.remove(0);
        }
        self.durable = self.durable.max(snapshot.end);
    }

    /// The log begins with the segment at `floor`, and this snapshot stands for what was before.
    pub(super) fn begin_anew(&mut self, floor: Floor, snapshot: Listed) {
        self.floor = floor;
        self.newest = self.newest.max(floor.sequence);
        self.snapshots.clear();
        self.list(snapshot);
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(MAX_LEN);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSIONS.encode(VERSIONS.format));
        let listed = &self.snapshots[self.snapshots.len().saturating_sub(MAX_LISTED)..];
        out.extend_from_slice(&(listed.len() as u32).to_le_bytes());
        out.extend_from_slice(self.log.bytes());
        let Floor { sequence, first_lsn, link } = &self.floor;
        for number in [&self.generation, sequence, first_lsn] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        put_link(&mut out, link);
        for number in [self.newest, self.durable, self.written_ms] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for Listed { begin, end, entries, bytes, created_ms, ended_ms, digest } in listed {
            for number in [begin, end, entries, bytes, created_ms, ended_ms] {
                out.extend_from_slice(&number.to_le_bytes());
            }
            put_link(&mut out, digest);
        }
        let digest = Sha256::digest(&out);
        out.extend_from_slice(&digest);
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self, ManifestError> {
        let (content, digest) =
            bytes.split_last_chunk::<SHA_LEN>().ok_or(ManifestError::Damaged)?;
        let due: [u8; SHA_LEN] = Sha256::digest(content).into();
        if content.len() < HEADER_LEN || &content[..8] != MAGIC || *digest != due {
            return Err(ManifestError::Damaged);
        }
        VERSIONS.decode(&content[Versions::AT])?;
        let (header, listed) = content.split_at(HEADER_LEN);
        let number = |at: usize| le(&header[at..at + 8]);
        if listed.len() as u64 != le(&header[12..16]).saturating_mul(LISTED_LEN as u64) {
            return Err(ManifestError::Damaged);
        }
        let mut log = [0; 16];
        log.copy_from_slice(&header[16..32]);
        Ok(Self {
            log: LogId::new(log),
            generation: number(32),
            floor: Floor {
                sequence: number(40),
                first_lsn: number(48),
                link: digest_at(header, 56),
            },
            newest: number(88),
            durable: number(96),
            written_ms: number(104),
            snapshots: listed
                .chunks_exact(LISTED_LEN)
                .map(|one| Listed {
                    begin: le(&one[0..8]),
                    end: le(&one[8..16]),
                    entries: le(&one[16..24]),
                    bytes: le(&one[24..32]),
                    created_ms: le(&one[32..40]),
                    ended_ms: le(&one[40..48]),
                    digest: digest_at(one, 48),
                })
                .collect(),
        })
    }
}

fn put_link(out: &mut Vec<u8>, link: &Digest) {
    out.extend_from_slice(link);
    out.extend_from_slice(&[0; LINK_LEN - DIGEST_LEN]);
}

fn digest_at(bytes: &[u8], at: usize) -> Digest {
    let mut digest = [0; DIGEST_LEN];
    digest.copy_from_slice(&bytes[at..at + DIGEST_LEN]);
    digest
}

#[cfg(test)]
mod tests;
