//! The log, verified on a thread of its own ([`crate::wal::ahead`]) and decoded here.

use std::ops::ControlFlow;
use std::path::PathBuf;

use super::headers::{Segment, damage};
use super::report::{OpenError, Origin, io_error};
use crate::journal::{DecodeError, Item, Lsn, Records};
use crate::wal::ahead::{Block, HungUp, Supply, run_ahead};
use crate::wal::frame::{DIGEST_LEN, Digest, FrameHeader};
use crate::wal::fs::Filesystem;
use crate::wal::reader::{Next, SegmentReader};

/// The part of the log that is read.
pub(super) struct Walk<'a, F> {
    pub(super) fs: &'a F,
    pub(super) segments: &'a [Segment],
    /// Records up to here are verified and not visited; frames that hold no others are not
    /// decoded.
    pub(super) from: Lsn,
    /// Frames behind this LSN are not looked at.
    pub(super) upto: Lsn,
    /// The log was on disk up to here, whatever its frames record.
    pub(super) proven: Lsn,
}

/// A torn end.
#[derive(Debug)]
pub(super) struct TornEnd {
    pub(super) path: PathBuf,
    pub(super) offset: u64,
    pub(super) what: String,
}

/// Where the walk ended.
#[derive(Debug)]
pub(super) struct End {
    /// LSN behind the last verified record.
    pub(super) next_lsn: Lsn,
    pub(super) torn: Option<TornEnd>,
}

/// What has been gone through so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) records: u64,
    pub(super) frames: u64,
    pub(super) bytes: u64,
}

/// A verified frame.
#[derive(Debug, Clone, Copy)]
struct Verified {
    header: FrameHeader,
    /// Its segment's index, and its offset there.
    segment: usize,
    offset: u64,
}

impl<F: Filesystem> Walk<'_, F> {
    /// Feeds the records and notes behind `from` to `visit`, in order, until it breaks off; `at_block`
    /// hears how far that is, some thousand times per gigabyte, and may break off, too. `None` if
    /// it was broken off.
    pub(super) fn run(
        &self,
        mut visit: impl FnMut(Origin, Item<'_>) -> ControlFlow<()>,
        mut at_block: impl FnMut(&Tally) -> ControlFlow<()>,
    ) -> Result<Option<End>, OpenError> {
        let first = self.segments.first().map_or_else(PathBuf::new, |first| first.path.clone());
        let mut tally = Tally::default();
        let done = run_ahead(
            |supply| self.verify(supply),
            |block| -> Result<_, OpenError> {
                match self.decode(block, &mut tally, &mut visit)? {
                    ControlFlow::Continue(()) => Ok(at_block(&tally)),
                    broken_off => Ok(broken_off),
                }
            },
        );
        let done = done.map_err(io_error("start a thread to read", &first))?;
        done?.unwrap_or(Ok(None))
    }

    fn decode(
        &self,
        block: &Block<Verified>,
        tally: &mut Tally,
        visit: &mut impl FnMut(Origin, Item<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, OpenError> {
        for (&Verified { header, segment, offset }, payload) in block.frames() {
            tally.frames += 1;
            tally.bytes += header.frame_len();
            if header.next_lsn() <= self.from.saturating_add(1) {
                continue;
            }
            let damaged = |lsn, what| Err(damage(self.segments, segment, offset, lsn, what));
            let mut records = Records::new(payload);
            while let Some(item) = records.next_item() {
                let lsn = header.first_lsn.saturating_add(records.position() - 1);
                let item = match item {
                    Ok(item) => item,
                    Err(error @ DecodeError::UnknownCritical(_)) => {
                        let path = self.segments[segment].path.clone();
                        return Err(OpenError::OtherVersion { path, what: error.to_string() });
                    }
                    Err(error @ DecodeError::Malformed) => return damaged(lsn, error.to_string()),
                };
                if lsn <= self.from {
                    continue;
                }
                if lsn > self.upto {
                    return Ok(ControlFlow::Continue(()));
                }
                tally.records += u64::from(matches!(item, Item::Record(_)));
                if visit(Origin { lsn, wall_ms: header.wall_ms }, item).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            if records.position() != u64::from(header.count) {
                let (found, says) = (records.position(), header.count);
                let what = format!("records in the frame: {found}; its header says {says}");
                return damaged(header.first_lsn, what);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Verifies segment after segment. `None` if nobody wants the rest.
    fn verify(&self, mut supply: Supply<Verified>) -> Result<Option<End>, OpenError> {
        // Where the log may begin was checked by whoever chose the segments.
        let (first_lsn, mut link) = self
            .segments
            .first()
            .map_or((1, [0; DIGEST_LEN]), |s| (s.header.first_lsn, s.header.link));
        let mut end = End { next_lsn: first_lsn, torn: None };
        for index in 0..self.segments.len() {
            if end.next_lsn > self.upto {
                break;
            }
            match self.segment(index, &mut link, &mut supply) {
                Ok(Ok(segment)) => end = segment,
                Ok(Err(HungUp)) => return Ok(None),
                Err(error) => {
                    // What lies before the damage may be damaged in itself, and that comes first.
                    let _ = supply.hand_over();
                    return Err(error);
                }
            }
        }
        Ok(supply.hand_over().is_ok().then_some(end))
    }

    fn segment(
        &self,
        index: usize,
        link: &mut Digest,
        supply: &mut Supply<Verified>,
    ) -> Result<Result<End, HungUp>, OpenError> {
        let Segment { path, header, .. } = &self.segments[index];
        let limit =
            self.segments.get(index + 1).map(|next| (next.header.first_lsn, next.header.link));
        let damaged = |offset, lsn, what| Err(damage(self.segments, index, offset, lsn, what));
        if header.link != *link {
            let what = "it does not continue the segment before".to_owned();
            return damaged(0, header.first_lsn, what);
        }
        let file = self.fs.open(path, false).map_err(io_error("open", path))?;
        let read = || io_error("read", path);
        let mut reader = SegmentReader::new(&file, header, limit).map_err(read())?;
        reader.set_durable(self.proven);
        let mut torn = None;
        while reader.next_lsn() <= self.upto {
            let offset = reader.offset();
            let flaw = match reader.next().map_err(read())? {
                Next::Frame { header, payload, .. } => {
                    let frame = Verified { header, segment: index, offset };
                    if let Err(hung_up) = supply.push(frame, payload) {
                        return Ok(Err(hung_up));
                    }
                    continue;
                }
                Next::End => break,
                Next::Bad(flaw) => flaw,
            };
            if limit.is_some() || !reader.is_torn(&flaw).map_err(read())? {
                return damaged(offset, reader.next_lsn(), flaw.to_string());
            }
            torn = Some(TornEnd { path: path.clone(), offset, what: flaw.to_string() });
            break;
        }
        let next_lsn = reader.next_lsn();
        if let Some((until, _)) = limit
            && next_lsn != until
            && next_lsn <= self.upto
        {
            let what = format!("it ends at LSN {}, short of {until}", next_lsn.saturating_sub(1));
            return damaged(reader.offset(), next_lsn, what);
        }
        *link = reader.chain();
        Ok(Ok(End { next_lsn, torn }))
    }
}
