//! The log, verified: read and checked on a thread of its own, a bounded way ahead of whoever
//! uses what it finds.
//!
//! ```text
//!   verifier thread: read, header checksum, SHA-256 chain ──blocks──▶ caller: decode, visit
//!                          ▲────────────────emptied blocks───────────────┘
//! ```
//!
//! The verifier fills only blocks that it got back, so [`BLOCKS`] of them is all there is. What
//! the caller finds in a block lies before anything that the verifier finds later: the damage
//! reported is the one with the lowest LSN.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};

use super::headers::{Segment, damage};
use super::report::{OpenError, Origin, io_error};
use crate::journal::{DecodeError, Item, Lsn, Records};
use crate::wal::frame::FrameHeader;
use crate::wal::fs::Filesystem;
use crate::wal::reader::{Next, SegmentReader};

/// Blocks that go round: one is filled, one used, the rest evens out the pace.
const BLOCKS: usize = 4;
/// A block is handed over when its payloads reach this many bytes. A larger frame has a block
/// to itself; a block that has grown for one is let go.
const BLOCK_BYTES: usize = if cfg!(test) { 400 } else { 1 << 20 };

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

/// A verified frame in a block.
#[derive(Debug, Clone, Copy)]
struct Verified {
    header: FrameHeader,
    /// End of its payload in the block.
    end: usize,
    /// Its segment's index, and its offset there.
    segment: usize,
    offset: u64,
}

/// The payloads of verified frames, one behind the other.
#[derive(Debug, Default)]
struct Block {
    payloads: Vec<u8>,
    frames: Vec<Verified>,
}

/// Nobody wants blocks any more.
struct HungUp;

/// The verifier's end of the round.
struct Supply {
    emptied: Receiver<Block>,
    filled: Sender<Block>,
    block: Block,
}

impl Supply {
    fn push(&mut self, frame: Verified, payload: &[u8]) -> Result<(), HungUp> {
        if !self.block.frames.is_empty() && self.block.payloads.len() + payload.len() > BLOCK_BYTES
        {
            self.hand_over()?;
        }
        self.block.payloads.extend_from_slice(payload);
        self.block.frames.push(Verified { end: self.block.payloads.len(), ..frame });
        Ok(())
    }

    fn hand_over(&mut self) -> Result<(), HungUp> {
        let next = self.emptied.recv().map_err(|_| HungUp)?;
        let full = std::mem::replace(&mut self.block, next);
        self.filled.send(full).map_err(|_| HungUp)
    }
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
        let (filled, blocks) = channel();
        let (give_back, emptied) = channel();
        for _ in 1..BLOCKS {
            // Cannot fail: the other end is held here.
            let _ = give_back.send(Block::default());
        }
        let supply = Supply { emptied, filled, block: Block::default() };
        let first = self.segments.first().map_or_else(PathBuf::new, |first| first.path.clone());
        // It takes the channels along: whichever way it ends, the verifier waits for nobody.
        std::thread::scope(move |scope| {
            let verifier = std::thread::Builder::new()
                .name("wal-verify".to_owned())
                .spawn_scoped(scope, move || self.verify(supply))
                .map_err(io_error("start a thread to read", &first))?;
            let mut tally = Tally::default();
            // Ends when the verifier does; a return before that hangs up on it.
            for mut block in blocks {
                if self.decode(&block, &mut tally, &mut visit)?.is_break()
                    || at_block(&tally).is_break()
                {
                    return Ok(None);
                }
                block.frames.clear();
                block.payloads.clear();
                block.payloads.shrink_to(2 * BLOCK_BYTES);
                // A verifier that is done needs no more blocks.
                let _ = give_back.send(block);
            }
            match verifier.join() {
                Ok(end) => end,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    fn decode(
        &self,
        block: &Block,
        tally: &mut Tally,
        visit: &mut impl FnMut(Origin, Item<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, OpenError> {
        let mut start = 0;
        for &Verified { header, end, segment, offset } in &block.frames {
            let payload = &block.payloads[start..end];
            start = end;
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
                        return Err(OpenError::TooNew { path, what: error.to_string() });
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
    fn verify(&self, mut supply: Supply) -> Result<Option<End>, OpenError> {
        // Where the log may begin was checked by whoever chose the segments.
        let (first_lsn, mut link) =
            self.segments.first().map_or((1, [0; 32]), |s| (s.header.first_lsn, s.header.link));
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
        let handed = supply.block.frames.is_empty() || supply.hand_over().is_ok();
        Ok(handed.then_some(end))
    }

    fn segment(
        &self,
        index: usize,
        link: &mut [u8; 32],
        supply: &mut Supply,
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
                    let frame = Verified { header, end: 0, segment: index, offset };
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
