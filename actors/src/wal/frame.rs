//! One group commit on disk.
//!
//! ```text
//! offset  size  field                                        (integers little-endian)
//!      0     2  mark F5 57, where a search for frames begins to look
//!      2     4  CRC32C over the log id, then bytes 6..h
//!      6     1  flags (1: records are packed; every bit is critical: an unknown one refuses)
//!      7        five varints, which end at h (12 to 49):
//!                 payload length n in bytes, below 2^48
//!                 record count, below 2^32 (0: a seal, which only carries the durable LSN)
//!                 LSN of the first record
//!                 how far the durable LSN was behind that when the frame was written, mod 2^64
//!                 wall clock, Unix milliseconds
//!      h     n  payload: whole batches, record after record
//!    h+n    16  digest: the first half of SHA-256 over the previous digest, the header, the payload
//! ```
//!
//! The checksum starts with the log id, which no client ever sees: a client cannot store a value
//! that looks like a frame, and a frame of another log is none here. Every varint is the shortest
//! one, so that a header's length follows from its fields.
//!
//! A client that writes alone pays for a frame with every record. So the fields are varints, and of
//! the digest half is kept: 128 bits are as far out of reach of accidents as 256. A search for a
//! collision, which costs 2^64 here, would have to know the log id, that is, read the files; who
//! can write them too needs no collision, since no part of the chain is secret.

use sha2::{Digest as _, Sha256};

use crate::clock::UnixMs;
use crate::journal::{Lsn, put_varint, take_varint, varint_len};

/// First bytes of every frame. The first one occurs in no UTF-8 text, so few values look like it.
pub(super) const MARK: [u8; 2] = [0xF5, b'W'];
/// Bytes of the shortest header.
pub(super) const MIN_HEADER_LEN: usize = FIELDS_AT + 6;
/// Bytes of the longest header.
pub(super) const MAX_HEADER_LEN: usize = FIELDS_AT + 1 + 7 + 5 + 3 * 10;
/// Bytes after the payload.
pub(super) const DIGEST_LEN: usize = 16;
/// Where the checksum begins, and where what it covers does.
const CHECKSUM_AT: usize = 2;
const FIELDS_AT: usize = 6;
/// Flag: the payload has packed records in it.
const PACKED: u8 = 1;
/// The longest payload.
const MAX_PAYLOAD: u64 = (1 << 48) - 1;

/// A link of the chain: the first half of a SHA-256 digest.
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
    /// Intact, but with something in it that this version does not know.
    #[error("the frame has flags {flags:#x}, not all of which this program knows")]
    Unsupported {
        /// Its flags.
        flags: u8,
    },
}

impl FrameHeader {
    /// The LSN behind the frame's last record.
    pub(super) fn next_lsn(&self) -> Lsn {
        self.first_lsn.saturating_add(u64::from(self.count))
    }

    /// Bytes before the payload.
    pub(super) fn header_len(&self) -> usize {
        let varints: usize = self.varints().into_iter().map(varint_len).sum();
        FIELDS_AT + 1 + varints
    }

    /// Bytes of the whole frame.
    pub(super) fn frame_len(&self) -> u64 {
        self.payload_len.saturating_add((self.header_len() + DIGEST_LEN) as u64)
    }

    /// The fields as they are written.
    fn varints(&self) -> [u64; 5] {
        let Self { payload_len, count, first_lsn, durable_lsn, wall_ms, .. } = *self;
        // A frame's records come behind what is durable, so this is small and never wraps; in the
        // last frame of a snapshot the first LSN counts something else.
        let behind = first_lsn.wrapping_sub(durable_lsn);
        [payload_len, u64::from(count), first_lsn, behind, wall_ms]
    }

    /// Appends the header to `out`.
    pub(super) fn encode(&self, log: &LogId, out: &mut Vec<u8>) {
        debug_assert!(self.payload_len <= MAX_PAYLOAD, "memory ends long before this");
        let start = out.len();
        out.extend_from_slice(&MARK);
        out.extend_from_slice(&[0; FIELDS_AT - CHECKSUM_AT]);
        out.push(if self.packed { PACKED } else { 0 });
        for field in self.varints() {
            put_varint(out, field);
        }
        let checksum = log.checksum(&out[start + FIELDS_AT..]);
        out[start + CHECKSUM_AT..start + FIELDS_AT].copy_from_slice(&checksum.to_le_bytes());
    }

    /// The header that `bytes` begin with.
    pub(super) fn decode(bytes: &[u8], log: &LogId) -> Result<Self, HeaderError> {
        let (checksum, fields) = bytes
            .strip_prefix(&MARK)
            .and_then(|rest| rest.split_first_chunk())
            .ok_or(HeaderError::NotAFrame)?;
        let (&flags, mut rest) = fields.split_first().ok_or(HeaderError::NotAFrame)?;
        let mut varints = [0; 5];
        for field in &mut varints {
            (*field, rest) = take_varint(rest).map_err(|_| HeaderError::NotAFrame)?;
        }
        let fields_len = fields.len() - rest.len();
        if u32::from_le_bytes(*checksum) != log.checksum(&fields[..fields_len]) {
            return Err(HeaderError::NotAFrame);
        }
        if flags & !PACKED != 0 {
            return Err(HeaderError::Unsupported { flags });
        }
        let [payload_len, count, first_lsn, behind, wall_ms] = varints;
        let count = u32::try_from(count).map_err(|_| HeaderError::NotAFrame)?;
        let header = Self {
            payload_len,
            count,
            first_lsn,
            durable_lsn: first_lsn.wrapping_sub(behind),
            wall_ms,
            packed: flags & PACKED != 0,
        };
        let sound = payload_len <= MAX_PAYLOAD && header.header_len() == FIELDS_AT + fields_len;
        if sound { Ok(header) } else { Err(HeaderError::NotAFrame) }
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
    let start = out.len();
    out.reserve(MAX_HEADER_LEN + payload.len() + DIGEST_LEN);
    header.encode(log, out);
    out.extend_from_slice(payload);
    let digest = chain(previous, &out[start..]);
    out.extend_from_slice(&digest);
    digest
}

/// The digest of a frame that follows `previous`; `content` is its header and its payload.
pub(super) fn chain(previous: &Digest, content: &[u8]) -> Digest {
    let mut sha = Sha256::new();
    sha.update(previous);
    sha.update(content);
    let [first, _] = halves(&sha.finalize().into());
    first
}

/// The halves of a SHA-256 digest.
pub(super) fn halves(whole: &[u8; 2 * DIGEST_LEN]) -> [Digest; 2] {
    let mut halves = [[0; DIGEST_LEN]; 2];
    halves.as_flattened_mut().copy_from_slice(whole);
    halves
}

/// A little-endian integer of at most eight bytes.
pub(super) fn le(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, &byte| (value << 8) | u64::from(byte))
}

#[cfg(test)]
mod tests;
