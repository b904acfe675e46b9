//! Values that are compressed on their way to the disk.
//!
//! ```text
//! body of PACKED SET (7), PACKED FILL (9) :=
//!     db:u8 key_len:varint key expires_at:varint value_len:varint block
//! ```
//!
//! `block` is the value as one LZ4 block, `value_len` what it becomes again. The key is as it
//! always was. Such records are in the log's frames and nowhere else: [`Packer::pack`] makes them
//! when a frame is written, and [`unpack`] makes plain records of them when it is read. Who reads
//! records never meets one.
//!
//! LZ4 because the log has to keep up with the network: it compresses some hundred megabytes a
//! second, and a start, which has to take it all apart again, hardly feels it.

use lz4_flex::block::{
    CompressTable, compress_into_with_table, decompress_into, get_maximum_output_size,
};

use super::{
    DecodeError, FILL, PACKED_FILL, PACKED_SET, SET, SetBody, put_head, put_varint, split_record,
    take_varint, varint_len,
};

/// The longest value that is packed, and that is believed when it is unpacked, bytes: as much as
/// any setting allows.
const MAX_VALUE: usize = 512 << 20;
/// No LZ4 block of n bytes becomes more than this times n.
const MAX_RATIO: usize = 255;
/// Packing has to save one part in this many, or the value stays as it is.
const LEAST_SAVING: usize = 8;
/// Longer values are tried in two places first, this many bytes each.
const SAMPLE: usize = if cfg!(test) { 64 } else { 4 << 10 };
const SAMPLED_FROM: usize = 4 * SAMPLE;
/// Memory that is kept from frame to frame, bytes.
const KEEP: usize = 1 << 20;

/// Packs values, and keeps the memory for it.
#[derive(Default)]
pub(crate) struct Packer {
    table: Option<CompressTable>,
    block: Vec<u8>,
    out: Vec<u8>,
}

impl std::fmt::Debug for Packer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packer").finish_non_exhaustive()
    }
}

impl Packer {
    /// The encoded `records` with every value of more than `above` bytes packed where that pays;
    /// `None` if it pays nowhere.
    pub(crate) fn pack(&mut self, records: &[u8], above: usize) -> Option<&[u8]> {
        self.out.clear();
        let (mut at, mut copied) = (0, 0);
        while at < records.len() {
            let (kind, body, rest) = split_record(records.get(at..)?).ok()?;
            let next = records.len() - rest.len();
            if let Some(packed) = packed_kind(kind)
                && let Ok(set) = SetBody::decode(body)
                && set.value.len() > above
                && let Some(block_len) = self.compress(set.value)
            {
                self.out.extend_from_slice(&records[copied..at]);
                let head = body.len() - set.value.len();
                let value_len = set.value.len() as u64;
                let len = head + varint_len(value_len) + block_len;
                put_head(&mut self.out, packed, len);
                self.out.extend_from_slice(&body[..head]);
                put_varint(&mut self.out, value_len);
                self.out.extend_from_slice(&self.block[..block_len]);
                copied = next;
            }
            at = next;
        }
        if copied == 0 {
            return None;
        }
        self.out.extend_from_slice(&records[copied..]);
        Some(&self.out)
    }

    /// Gives memory back that an unusually large value has taken.
    pub(crate) fn trim(&mut self) {
        for buffer in [&mut self.block, &mut self.out] {
            if buffer.capacity() > KEEP {
                buffer.clear();
                buffer.shrink_to(KEEP);
            }
        }
    }

    /// Length of the block in `self.block`, if it pays.
    fn compress(&mut self, value: &[u8]) -> Option<usize> {
        if value.len() > MAX_VALUE {
            return None;
        }
        // Pictures and archives are compressed already, from the first byte to the last.
        if value.len() > SAMPLED_FROM {
            let middle = value.len() / 2;
            let samples = [&value[..SAMPLE], &value[middle..middle + SAMPLE]];
            samples.into_iter().find_map(|sample| self.block_of(sample))?;
        }
        self.block_of(value)
    }

    fn block_of(&mut self, bytes: &[u8]) -> Option<usize> {
        let room = get_maximum_output_size(bytes.len());
        if self.block.len() < room {
            self.block.resize(room, 0);
        }
        let table = self.table.get_or_insert_default();
        let len = compress_into_with_table(bytes, &mut self.block, table).ok()?;
        (len <= bytes.len() - bytes.len() / LEAST_SAVING).then_some(len)
    }
}

/// What a record of this kind becomes, if it may be packed.
const fn packed_kind(plain: u8) -> Option<u8> {
    match plain {
        SET => Some(PACKED_SET),
        FILL => Some(PACKED_FILL),
        _ => None,
    }
}

/// What a record of this kind was, if it is packed.
const fn plain_kind(packed: u8) -> Option<u8> {
    match packed {
        PACKED_SET => Some(SET),
        PACKED_FILL => Some(FILL),
        _ => None,
    }
}

/// Makes plain records of what [`Packer::pack`] has made, in `out`, which is emptied before.
///
/// # Errors
/// The records are not what was written: a length that does not fit, or a block that is none.
/// No more memory is taken than a true block of that length could fill.
pub(crate) fn unpack(packed: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    out.clear();
    let mut rest = packed;
    while !rest.is_empty() {
        let (kind, body, behind) = split_record(rest)?;
        if let Some(plain) = plain_kind(kind) {
            let set = SetBody::decode(body)?;
            let head = body.len() - set.value.len();
            let (value_len, block) = take_varint(set.value)?;
            let value_len = usize::try_from(value_len).map_err(|_| DecodeError::Malformed)?;
            if value_len > MAX_VALUE.min(block.len().saturating_mul(MAX_RATIO)) {
                return Err(DecodeError::Malformed);
            }
            put_head(out, plain, head + value_len);
            out.extend_from_slice(&body[..head]);
            let start = out.len();
            out.resize(start + value_len, 0);
            let len = decompress_into(block, &mut out[start..]);
            if !matches!(len, Ok(len) if len == value_len) {
                return Err(DecodeError::Malformed);
            }
        } else {
            out.extend_from_slice(&rest[..rest.len() - behind.len()]);
        }
        rest = behind;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
