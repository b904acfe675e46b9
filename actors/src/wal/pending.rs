//! Records on their way to the log: one contiguous buffer, cut where frames may end.

use super::settings::FRAME_TARGET;
use crate::journal::{Lsn, RecordBatch};

/// A buffer keeps this much memory when it has been emptied.
const KEEP: usize = 4 * FRAME_TARGET;

/// Encoded batches with consecutive LSNs.
#[derive(Debug, Default)]
pub(super) struct Pending {
    bytes: Vec<u8>,
    /// Where the next frame starts in `bytes`.
    head: usize,
    /// LSN of the record at `head`.
    first: Lsn,
    /// LSN behind the last record.
    next: Lsn,
    /// Ends of frames: offset, and the LSN behind. The last frame ends with the buffer.
    cuts: std::collections::VecDeque<(usize, Lsn)>,
    /// Length of the longest value since it was empty.
    largest: usize,
}

/// What goes into one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunk<'a> {
    pub(super) payload: &'a [u8],
    pub(super) first: Lsn,
    pub(super) count: u32,
    /// No value in it is longer, bytes.
    pub(super) largest: usize,
}

impl Pending {
    /// Adds a batch with the notes that stand before it. Their first record has the LSN `lsn`,
    /// which continues the last batch.
    pub(super) fn push(&mut self, notes: &RecordBatch, batch: &RecordBatch, lsn: Lsn) {
        let bytes = notes.as_bytes().len() + batch.as_bytes().len();
        if self.is_empty() {
            self.first = lsn;
        } else {
            // A frame is many small batches or one large one, so its count fits the header.
            let start = self.cuts.back().map_or(self.head, |&(at, _)| at);
            if self.bytes.len() - start + bytes > FRAME_TARGET {
                self.cuts.push_back((self.bytes.len(), lsn));
            }
        }
        self.bytes.extend_from_slice(notes.as_bytes());
        self.bytes.extend_from_slice(batch.as_bytes());
        self.next = lsn + u64::from(notes.count()) + u64::from(batch.count());
        self.largest = self.largest.max(batch.largest_value());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.head == self.bytes.len()
    }

    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.head
    }

    /// The next frame's content.
    pub(super) fn peek(&self) -> Option<Chunk<'_>> {
        if self.is_empty() {
            return None;
        }
        let (end, next) = self.cuts.front().copied().unwrap_or((self.bytes.len(), self.next));
        let payload = &self.bytes[self.head..end];
        let count = u32::try_from(next - self.first).unwrap_or(u32::MAX);
        Some(Chunk { payload, first: self.first, count, largest: self.largest })
    }

    /// Drops what [`Pending::peek`] shows: it is written.
    pub(super) fn pop(&mut self) {
        match self.cuts.pop_front() {
            Some((end, next)) => {
                self.head = end;
                self.first = next;
            }
            None => self.clear(),
        }
    }

    /// Drops the frames that end at or below `lsn`: they are written. False if `lsn` lies inside
    /// a frame, or records between `lsn` and the first one are missing.
    pub(super) fn skip_to(&mut self, lsn: Lsn) -> bool {
        while let Some(chunk) = self.peek() {
            if chunk.first > lsn {
                return chunk.first == lsn + 1;
            }
            if chunk.first + u64::from(chunk.count) > lsn + 1 {
                return false;
            }
            self.pop();
        }
        true
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEEP);
        self.head = 0;
        self.largest = 0;
        self.first = self.next;
    }
}

#[cfg(test)]
mod tests;
