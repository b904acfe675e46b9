//! The next segment, prepared beside the writing.
//!
//! ```text
//! writer   ───full──┬── frames go on into the full one ──┬── the same frames, name ──▶ frames
//! syncer            └─ sync, create, header, sync ───────┘                      └─ sync, directory ─▶
//! ```
//!
//! The header holds the first LSN and the link to the segment before, so it can't be written before
//! it is known where the full one ends: there, at the last frame that the sync covers. What is written
//! while the thread behind prepares the next one is superseded, and written again to it before it gets
//! its name. So no reply waits for a disk, and all that a reader may rely on holds at every moment: a
//! segment with a name has a durable header and a durable segment before it. Nothing in the new one
//! counts as durable until its directory is synced too.
//!
//! If it fails, the full one takes more frames, up to twice its size, and it is tried again.

use std::io;
use std::time::Instant;

use super::{Trouble, Writer, is_full};
use crate::failpoint::{self, Point};
use crate::journal::Release;
use crate::wal::fs::{Filesystem, LogFile};
use crate::wal::segment::{self, CreateError, SegmentHeader};
use crate::wal::settings::RETRY_EVERY;

impl<F: Filesystem, P: Release> Writer<F, P> {
    /// Whether it is time to prepare the next segment.
    pub(super) fn wants_successor(&self, now: Instant) -> bool {
        self.len >= self.intake.segment_size()
            && !self.rotates_inline()
            && self.retry_at.is_none()
            && self.leftover.is_none()
            && self.prepare_at.is_none_or(|at| now >= at)
    }

    /// The header of the segment that begins behind everything written.
    pub(super) fn successor(&self) -> SegmentHeader {
        failpoint::hit(Point::WriterRotate);
        self.next_header(self.written + 1, self.chain)
    }

    /// Goes on in the segment that was prepared, or in the full one if it was not.
    pub(super) fn succeed(
        &mut self,
        header: &SegmentHeader,
        prepared: Result<F::File, CreateError>,
        now: Instant,
    ) {
        if self.broken {
            // Whatever is not durable goes to a new segment, which takes this one's place.
            return;
        }
        if let Err(trouble) = self.look(now) {
            // The full one is no place to go on in either.
            return self.suffer(&trouble, now);
        }
        let moved = match prepared {
            Ok(file) => self.move_on(header, file),
            Err(error) => Err(self.not_made(error)),
        };
        if let Err(trouble) = moved {
            if self.leftover.is_none() {
                // Without a name it is nothing to anybody: if it stays, it goes when the log is opened.
                let _: io::Result<()> = self.fs.remove(&header.unnamed(&self.dir));
            }
            self.not_prepared(&trouble, now);
        }
    }

    fn move_on(&mut self, header: &SegmentHeader, file: F::File) -> Result<(), Trouble> {
        // Empty by now, and its memory is there: fresh memory would cost more than the copy.
        let mut frames = std::mem::take(&mut self.older);
        let chain = self.relink(&self.newer, header.digest(), &mut frames);
        let named = self.fill_and_name(header, &file, &frames);
        if named.is_ok() {
            self.enter(header, file, frames.len());
            std::mem::swap(&mut self.newer, &mut frames);
            self.chain = chain;
            self.name_due = true;
        }
        frames.clear();
        self.older = frames;
        named
    }

    fn fill_and_name(
        &mut self,
        header: &SegmentHeader,
        file: &F::File,
        frames: &[u8],
    ) -> Result<(), Trouble> {
        if !frames.is_empty() {
            let written = file.write_at(frames, segment::HEADER_LEN as u64);
            written.map_err(|error| self.not_made(error.into()))?;
        }
        segment::name(&self.fs, &self.dir, header).map_err(|error| {
            // It may have its name all the same.
            self.leftover = Some(self.dir.join(header.file_name()));
            self.not_made(error.into())
        })
    }

    /// Nothing that was written is in doubt, so nobody is told; but a sync that failed counts.
    fn not_prepared(&mut self, trouble: &Trouble, now: Instant) {
        if self.prepare_at.replace(now + RETRY_EVERY).is_none() {
            let ms = RETRY_EVERY.as_millis();
            tracing::warn!(
                path = "wal",
                event = "not_prepared",
                reason = %trouble,
                "the next log segment cannot be prepared: tried again every {ms} ms; the full one \
                 takes writes up to twice its size, then they are refused"
            );
        }
        if trouble.in_sync && !is_full(&trouble.source) {
            self.suffer(trouble, now);
        }
    }
}
