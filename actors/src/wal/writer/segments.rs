//! From one segment to the next where writing waits for it: because every write waits for the disk
//! anyway, the next one could not be prepared, or this one can't be trusted any more.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::{Trouble, Writer, trouble};
use crate::failpoint::{self, Point};
use crate::journal::{Lsn, Release};
use crate::wal::frame::{self, Digest, FrameHeader};
use crate::wal::fs::{Filesystem, LogFile};
use crate::wal::segment::{self, CreateError, SegmentHeader};
use crate::wal::settings::FsyncMode;
use crate::wal::stats::add;

impl<F: Filesystem, P: Release> Writer<F, P> {
    /// Begins the next segment if this one is full and none is prepared beside the writing. The
    /// full one is durable before its successor exists: what follows a segment proves that nothing
    /// of it was lost.
    pub(super) fn rotate_if_due(&mut self, now: Instant) -> Result<(), Trouble> {
        if !self.rotates_inline() || self.syncing.is_some() {
            return Ok(());
        }
        if self.zeroed > self.len {
            self.file.cut(self.len).map_err(trouble("cut the zeros off a full log segment"))?;
            self.zeroed = 0;
        }
        if !self.newer.is_empty() {
            self.sync_now(now)?;
        }
        failpoint::hit(Point::WriterRotate);
        self.look(now)?;
        let header = self.next_header(self.written + 1, self.chain);
        self.make(&header, &[])
    }

    /// Whether the segment is full, and waiting for the next one the way to it.
    pub(super) fn rotates_inline(&self) -> bool {
        let size = self.intake.segment_size();
        // Beside the writing all would be written twice, and in `always` synced twice.
        let inline = self.intake.fsync() == FsyncMode::Always || self.zeroed > self.len;
        // Writing may outrun the sync thread, or nothing can be prepared; here it has to wait.
        self.len >= 2 * size || (self.len >= size && inline)
    }

    /// Leaves a segment whose sync or write has failed: everything that is not durable is
    /// written again, to a new segment that begins there and so supersedes the old one's end.
    pub(super) fn start_afresh(&mut self) -> Result<(), Trouble> {
        let header = self.next_header(self.durable + 1, self.durable_chain);
        let mut frames = Vec::with_capacity(self.older.len() + self.newer.len());
        let mut chain = header.digest();
        for retained in [&self.older, &self.newer] {
            chain = self.relink(retained, chain, &mut frames);
        }
        let written = self.written;
        self.make(&header, &frames)?;
        self.chain = chain;
        self.written = written;
        self.broken = false;
        self.all_durable();
        tracing::warn!(
            path = "wal",
            event = "segment_abandoned",
            sequence = header.sequence,
            first_lsn = header.first_lsn,
            "what was not durable is written again to a new segment"
        );
        Ok(())
    }

    /// Copies whole frames to `out` with a chain that starts at `chain`.
    pub(super) fn relink(&self, mut frames: &[u8], mut chain: Digest, out: &mut Vec<u8>) -> Digest {
        while let Ok(header) = FrameHeader::decode(frames, &self.log) {
            let Ok(len) = usize::try_from(header.frame_len()) else { break };
            let Some((whole, rest)) = frames.split_at_checked(len) else { break };
            let payload = &whole[header.header_len()..len - frame::DIGEST_LEN];
            chain = frame::append_frame(out, &self.log, &chain, &header, payload);
            frames = rest;
        }
        debug_assert!(frames.is_empty(), "the buffers hold whole frames");
        chain
    }

    pub(super) fn next_header(&self, first_lsn: Lsn, link: Digest) -> SegmentHeader {
        SegmentHeader {
            format: segment::FORMAT_VERSION,
            log: self.log,
            sequence: self.sequence + 1,
            first_lsn,
            link,
            created_ms: self.clock.unix_ms(),
        }
    }

    /// Makes the segment and moves to it, behind its header.
    fn make(&mut self, header: &SegmentHeader, frames: &[u8]) -> Result<(), Trouble> {
        let path = self.dir.join(header.file_name());
        let file = match segment::create(&self.fs, &self.dir, header, frames) {
            Ok(file) => file,
            Err(error) => {
                self.leftover = Some(path);
                return Err(self.not_made(error));
            }
        };
        self.enter(header, file, frames.len());
        self.name_due = false;
        Ok(())
    }

    /// What it means that a segment could not be made. Where it may have its name it has to be the
    /// leftover: it would cut off whatever the old segment takes from here on.
    pub(super) fn not_made(&self, error: CreateError) -> Trouble {
        let counters = self.intake.counters();
        let CreateError { in_sync, source } = error;
        add(if in_sync { &counters.sync_errors } else { &counters.write_errors }, 1);
        Trouble { doing: "begin a new log segment", source, in_sync }
    }

    /// Moves to a segment that was made, behind `frames` bytes of frames in it.
    pub(super) fn enter(&mut self, header: &SegmentHeader, file: F::File, frames: usize) {
        let path = self.dir.join(header.file_name());
        failpoint::hit(Point::WriterRotated);
        self.file = Arc::new(file);
        self.cached.push(std::mem::replace(&mut self.path, path), self.len);
        self.sequence = header.sequence;
        self.len = (segment::HEADER_LEN + frames) as u64;
        self.zeroed = 0;
        self.prepare_at = None;
        self.chain = header.digest();
        self.durable_chain = self.chain;
        self.intake.taint(0);
        let counters = self.intake.counters();
        add(&counters.rotations, 1);
        add(&counters.bytes, self.len);
        counters.segment.store(self.sequence, Ordering::Relaxed);
        counters.segment_bytes.store(self.len, Ordering::Relaxed);
    }

    /// Removes a segment whose making has failed, durably, before anything else is written.
    pub(super) fn clear_leftover(&mut self) -> Result<(), Trouble> {
        let Some(path) = &self.leftover else { return Ok(()) };
        let doing = "remove an unfinished log segment";
        self.fs.remove(path).map_err(trouble(doing))?;
        self.fs.remove(&path.with_extension("wal.new")).map_err(trouble(doing))?;
        self.fs.sync_dir(&self.dir).map_err(|source| {
            add(&self.intake.counters().sync_errors, 1);
            Trouble { doing, source, in_sync: true }
        })?;
        self.leftover = None;
        Ok(())
    }
}
