//! Finding the way back into a damaged segment, to tell what is left behind the damage. Only
//! inspection does this: what is found is readable, not trusted.

use std::io;

use super::SegmentReader;
use crate::wal::frame::{self, DIGEST_LEN, FrameHeader};
use crate::wal::fs::LogFile;

impl<L: LogFile> SegmentReader<'_, L> {
    /// Goes on at the next frame at or behind `from`, which must be behind the segment's header,
    /// whose content fits its own digest and the one that stands before it. False, and the
    /// position as it was, if there is none.
    ///
    /// Every frame is preceded by the digest that it continues, the first one by the end of the
    /// segment's header, so a frame can be checked where the chain before it is lost.
    pub(in crate::wal) fn resync(&mut self, mut from: u64) -> io::Result<bool> {
        while let Some(at) = self.find_header(from)? {
            if let Ok(header) = self.header_at(at)?
                && self.stands_alone(at, &header)?
            {
                return Ok(true);
            }
            from = at + 1;
        }
        Ok(false)
    }

    /// Whether the frame at `at` is whole; if so, it is the next one.
    fn stands_alone(&mut self, at: u64, header: &FrameHeader) -> io::Result<bool> {
        let Some(before) = at.checked_sub(DIGEST_LEN as u64) else { return Ok(false) };
        let len = header.frame_len();
        let whole = usize::try_from(len).ok().filter(|_| len <= self.size - at);
        let Some(whole) = whole else { return Ok(false) };
        if !self.fetch(before, DIGEST_LEN + whole)? {
            return Ok(false);
        }
        let start = (before - self.window_at) as usize;
        let bytes = &self.window[start..start + DIGEST_LEN + whole];
        let Some((&previous, bytes)) = bytes.split_first_chunk() else { return Ok(false) };
        let (content, digest) = bytes.split_at(whole - DIGEST_LEN);
        if frame::chain(&previous, content) != digest {
            return Ok(false);
        }
        self.chain = previous;
        self.offset = at;
        self.next_lsn = header.first_lsn;
        Ok(true)
    }
}
