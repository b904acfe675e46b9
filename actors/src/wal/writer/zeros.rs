//! Zeros ahead of the frames, in `always`: what the next frames are written over.

use crate::wal::fs::LogFile;

/// Zeros go ahead of the frames in pieces of this many bytes.
const ZEROS: usize = if cfg!(test) { 1 << 10 } else { 64 << 10 };

/// Writes the next piece of zeros if a frame that ends at `end` passes the last one. Returns
/// where they end.
///
/// A sync that finds the file's size and its blocks unchanged has no metadata to write: it takes
/// two thirds of the time (ext4). Allocating without writing (`fallocate`) does not help, for the
/// blocks are marked as written one by one then.
pub(super) fn write_zeros<L: LogFile>(file: &L, zeroed: u64, end: u64, segment_size: u64) -> u64 {
    static PIECE: [u8; ZEROS] = [0; ZEROS];
    let from = zeroed.max(end);
    if end <= zeroed || end >= segment_size {
        return zeroed;
    }
    // Only an advantage is lost if it fails; what is wrong with the disk shows with the frame.
    match file.write_at(&PIECE, from) {
        Ok(()) => from + ZEROS as u64,
        Err(_) => zeroed,
    }
}
