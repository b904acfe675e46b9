//! One group commit on disk.
//!
//! ```text
//! offset  size  field                                        (integers little-endian)
//!      0     4  magic "SWF1"
//!      4     1  version (1)
//!      5     1  flags (1: records are packed; every bit is critical: an unknown one refuses)
//!      6     6  payload length in bytes
//!     12     4  record count (0: a seal, which only carries the durable LSN)
//!     16     8  LSN of the first record
//!     24     8  durable LSN when this frame was written
//!     32     8  wall clock, Unix milliseconds
//!     40     4  CRC32C over the log id, then bytes 0..40
//!     44     n  payload: whole batches, record after record
//!   44+n    32  SHA-256 over the previous digest, the header, the payload
//! ```
//!
//! The checksum starts with the log id, which no client ever sees: a client cannot store a value
//! that looks like a frame, and a frame of another log is none here.

use sha2::{Digest as _, Sha256};

use crate::clock::UnixMs;
use crate::journal::Lsn;

/// Bytes before the payload.
pub(super) const HEADER_LEN: usize = 44;
/// Bytes after the payload.
pub(super) const DIGEST_LEN: usize = 32;
/// First bytes of every frame.
pub(super) const MAGIC: &[u8; 4] = b"SWF1";
const VERSION: u8 = 1;
/// Flag: the payload has packed records in it.
const PACKED: u8 = 1;
/// Six bytes hold the payload's length.
const MAX_PAYLOAD: u64 = (1 << 48) - 1;

/// A SHA-256 digest: a link of the chain.
pub(super) type Digest = [u8; DIGEST_LEN];

/// The random name of a log, and the start of every header checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LogId([u8; 16]);

impl LogId {
    pub(super) const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub(super) const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    fn checksum(&self, header: &[u8]) -> u32 {
        crc32c::crc32c_append(crc32c::crc32c(&self.0), header)
    }
}

/// What a frame says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub(super) payload_len: u64,
    pub(super) count: u32,
    pub(super) first_lsn: Lsn,
    pub(super) durable_lsn: Lsn,
    pub(super) wall_ms: UnixMs,
    /// The payload has packed records in it: it has to be unpacked before they are read.
    pub(super) packed: bool,
}

/// Why bytes are not the header of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum HeaderError {
    /// Magic or checksum do not fit.
    #[error("there is no frame header, or its checksum does not fit")]
    NotAFrame,
    /// Intact, but of a later version.
    #[error(
        "the frame has version {version} and flags {flags:#x}, which this program does not know"
    )]
    Unsupported {
        /// Its version.
        version: u8,
        /// Its flags.
        flags: u8,
    },
}

impl FrameHeader {
    /// The LSN behind the frame's last record.
    pub(super) fn next_lsn(&self) -> Lsn {
        self.first_lsn.saturating_add(u64::from(self.count))
    }

    /// Bytes of the whole frame.
    pub(super) fn frame_len(&self) -> u64 {
        self.payload_len.saturating_add((HEADER_LEN + DIGEST_LEN) as u64)
    }

    pub(super) fn encode(&self, log: &LogId) -> [u8; HEADER_LEN] {
        debug_assert!(self.payload_len <= MAX_PAYLOAD, "memory ends long before this");
        let mut out = [0; HEADER_LEN];
        out[0..4].copy_from_slice(MAGIC);
        out[4] = VERSION;
        out[5] = if self.packed { PACKED } else { 0 };
        out[6..12].copy_from_slice(&self.payload_len.to_le_bytes()[..6]);
        out[12..16].copy_from_slice(&self.count.to_le_bytes());
        out[16..24].copy_from_slice(&self.first_lsn.to_le_bytes());
        out[24..32].copy_from_slice(&self.durable_lsn.to_le_bytes());
        out[32..40].copy_from_slice(&self.wall_ms.to_le_bytes());
        let checksum = log.checksum(&out[..40]);
        out[40..].copy_from_slice(&checksum.to_le_bytes());
        out
    }

    pub(super) fn decode(bytes: &[u8; HEADER_LEN], log: &LogId) -> Result<Self, HeaderError> {
        if &bytes[..4] != MAGIC || le(&bytes[40..44]) != u64::from(log.checksum(&bytes[..40])) {
            return Err(HeaderError::NotAFrame);
        }
        if bytes[4] != VERSION || bytes[5] & !PACKED != 0 {
            return Err(HeaderError::Unsupported { version: bytes[4], flags: bytes[5] });
        }
        Ok(Self {
            payload_len: le(&bytes[6..12]),
            count: le(&bytes[12..16]) as u32,
            first_lsn: le(&bytes[16..24]),
            durable_lsn: le(&bytes[24..32]),
            wall_ms: le(&bytes[32..40]),
            packed: bytes[5] & PACKED != 0,
        })
    }
}

/// Appends a whole frame to `out`. Returns its digest, the next frame's `previous`.
pub(super) fn append_frame(
    out: &mut Vec<u8>,
    log: &LogId,
    previous: &Digest,
    header: &FrameHeader,
    payload: &[u8],
) -> Digest {
    let header = header.encode(log);
    let digest = chain(previous, &header, payload);
    out.reserve(HEADER_LEN + payload.len() + DIGEST_LEN);
    out.extend_from_slice(&header);
    out.extend_from_slice(payload);
    out.extend_from_slice(&digest);
    digest
}

/// The digest of a frame that follows `previous`.
pub(super) fn chain(previous: &Digest, header: &[u8; HEADER_LEN], payload: &[u8]) -> Digest {
    let mut sha = Sha256::new();
    sha.update(previous);
    sha.update(header);
    sha.update(payload);
    sha.finalize().into()
}

/// A little-endian integer of at most eight bytes.
pub(super) fn le(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, &byte| (value << 8) | u64::from(byte))
}

#[cfg(test)]
mod tests;
