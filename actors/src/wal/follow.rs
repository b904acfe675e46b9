//! Follows the log while it is being written: what was read once is not read again.
//!
//! A [`Tail`] says how far the log is, without being asked. A [`Follower`] keeps its place in the
//! segment that is written, reads what has come since, verified like every other reader, and goes
//! over to the next segment where that one takes over, which after a failed sync is *before* its
//! own place: what it has handed out already is passed over by LSN.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch;

use super::frame::{Digest, LogId};
use super::fs::{Filesystem, OsFs};
use super::holds::Holds;
use super::intake::Intake;
use super::reader::{Flaw, Next, SegmentReader};
use super::replay::{Damage, OpenError, Origin, RangeError, io_error, segments_dir};
use super::segment::{self, SegmentHeader};
use super::snapshot::Snapshots;
use super::writer::read_header;
use crate::journal::{DecodeError, Lsn, Record, Records, Release};

/// How far the log is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reached {
    /// Where it ended when it was read at the start; `None` until then.
    pub begun: Option<Lsn>,
    /// Everything up to here is settled and may be read.
    pub settled: Lsn,
}

/// The log as those see it who follow it. Cheap to clone.
#[derive(Clone)]
pub struct Tail {
    /// The data directory.
    pub data: PathBuf,
    /// The name of the log, which no other has: 32 hexadecimal digits.
    pub log: String,
    /// Where a follower says what it still needs.
    pub holds: Holds,
    /// Moves with the log.
    pub reached: watch::Receiver<Reached>,
    last: Arc<dyn Fn() -> (Lsn, u64) + Send + Sync>,
}

impl fmt::Debug for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tail").field("data", &self.data).finish_non_exhaustive()
    }
}

impl Tail {
    /// The log in `data` behind an intake, and its snapshots.
    #[must_use]
    pub fn new<P: Release>(intake: &Intake<P>, data: &Path, snapshots: &Snapshots) -> Self {
        let (reached, intake) = (intake.follow(), intake.clone());
        Self {
            data: data.to_owned(),
            log: snapshots.log_name(),
            holds: snapshots.holds().clone(),
            reached,
            last: Arc::new(move || {
                let stats = intake.stats();
                (stats.lsn, stats.bytes)
            }),
        }
    }

    /// The last LSN that was given, settled or not.
    #[must_use]
    pub fn last(&self) -> Lsn {
        (self.last)().0
    }

    /// How many bytes were written since the start.
    #[must_use]
    pub fn written(&self) -> u64 {
        (self.last)().1
    }

    /// How many bytes the log has behind `from` and up to `to`, about: as if every record of a
    /// segment were as long as any other. Blocks.
    ///
    /// # Errors
    /// The segments cannot be listed.
    pub fn bytes_between(&self, from: Lsn, to: Lsn) -> io::Result<u64> {
        let found = segment::list(&OsFs, &segments_dir(&self.data))?;
        let ends = found.iter().skip(1).map(|(_, first, _)| *first).chain([to.saturating_add(1)]);
        let bytes = found.iter().zip(ends).map(|((_, first, path), end)| {
            let size = std::fs::metadata(path).map_or(0, |file| file.len());
            let wanted = end.min(to.saturating_add(1)).saturating_sub((*first).max(from + 1));
            let share = u128::from(size) * u128::from(wanted);
            share.checked_div(end.saturating_sub(*first).into()).unwrap_or(0)
        });
        Ok(u64::try_from(bytes.sum::<u128>()).unwrap_or(u64::MAX))
    }
}

/// A record that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Followed<'a> {
    /// Where it stands.
    pub origin: Origin,
    /// What it says.
    pub record: Record<'a>,
    /// It is a deletion because the entry's time had come.
    pub expiry: bool,
}

/// How much one read may bring. A frame is handed out whole: a larger one passes the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Portion {
    /// Records.
    pub records: usize,
    /// Bytes of records.
    pub bytes: usize,
}

/// A reader with a place of its own. Every call blocks.
#[derive(Debug)]
pub struct Follower<F: Filesystem = OsFs> {
    fs: F,
    dir: PathBuf,
    /// Everything up to here was handed out.
    position: Lsn,
    place: Option<Place<F::File>>,
}

/// A place between two frames.
#[derive(Debug)]
struct Place<L> {
    path: PathBuf,
    file: L,
    sequence: u64,
    log: LogId,
    offset: u64,
    chain: Digest,
    next_lsn: Lsn,
}

impl Follower {
    /// A follower of the log in the data directory `data` that has everything up to `position`.
    #[must_use]
    pub fn new(data: &Path, position: Lsn) -> Self {
        Self::on(OsFs, data, position)
    }
}

impl<F: Filesystem> Follower<F> {
    pub(super) fn on(fs: F, data: &Path, position: Lsn) -> Self {
        Self { fs, dir: segments_dir(data), position, place: None }
    }

    /// Everything up to here was handed out.
    #[must_use]
    pub const fn position(&self) -> Lsn {
        self.position
    }

    /// Reads on behind its position, up to `upto`, which must be settled; whole frames, until
    /// `portion` is reached. So what one call brings ends where a batch ends.
    ///
    /// # Errors
    /// [`RangeError`]; what was visited until then may be visited again by the next call.
    pub fn read(
        &mut self,
        upto: Lsn,
        portion: Portion,
        mut visit: impl FnMut(Followed<'_>),
    ) -> Result<(), RangeError> {
        let (mut records, mut bytes) = (0, 0);
        while self.position < upto && records < portion.records && bytes < portion.bytes {
            let mut place = match self.place.take() {
                Some(place) => place,
                None => self.find()?,
            };
            let io = || io_error("read", &place.path);
            let Place { log, offset, chain, next_lsn, .. } = place;
            let mut reader =
                SegmentReader::of_frames(&place.file, log, offset, chain, next_lsn).map_err(io())?;
            let mut position = self.position;
            let end = loop {
                if reader.next_lsn() > upto || records >= portion.records || bytes >= portion.bytes
                {
                    break None;
                }
                match reader.next().map_err(io())? {
                    Next::Frame { header, payload, .. } => {
                        let origin = Origin { lsn: header.first_lsn, wall_ms: header.wall_ms };
                        let brought = hand_out(payload, origin, position, &mut visit);
                        records +=
                            brought.map_err(|error| malformed(&place.path, offset, error))?;
                        bytes += payload.len();
                        position = position.max(header.next_lsn().saturating_sub(1));
                    }
                    Next::End => break Some(None),
                    Next::Bad(flaw) => break Some(Some(flaw)),
                }
            };
            (place.offset, place.chain) = (reader.offset(), reader.chain());
            place.next_lsn = reader.next_lsn();
            self.position = position;
            self.place = Some(match end {
                None => place,
                Some(flaw) => self.successor(&place, flaw, upto)?,
            });
        }
        Ok(())
    }

    /// The last segment that begins at or before what is wanted next.
    fn find(&self) -> Result<Place<F::File>, RangeError> {
        let found = segment::list(&self.fs, &self.dir).map_err(io_error("list", &self.dir))?;
        let wanted = self.position.saturating_add(1);
        match found.iter().rev().find(|(_, first_lsn, _)| *first_lsn <= wanted) {
            Some((_, _, path)) => self.enter(path),
            None => Err(self.gone(&found)),
        }
    }

    /// The segment that takes over where `place` ends, or where nothing valid follows in it.
    fn successor(
        &self,
        place: &Place<F::File>,
        flaw: Option<Flaw>,
        upto: Lsn,
    ) -> Result<Place<F::File>, RangeError> {
        let found = segment::list(&self.fs, &self.dir).map_err(io_error("list", &self.dir))?;
        match found.iter().find(|(sequence, ..)| *sequence > place.sequence) {
            Some((_, first_lsn, path)) if *first_lsn <= place.next_lsn => self.enter(path),
            Some(_) => Err(self.gone(&found)),
            None => Err(match flaw {
                Some(flaw) => damage(&place.path, place.offset, place.next_lsn, flaw.to_string()),
                None => RangeError::Short { found: place.next_lsn.saturating_sub(1), wanted: upto },
            }),
        }
    }

    fn gone(&self, found: &[(u64, Lsn, PathBuf)]) -> RangeError {
        let later = found.iter().map(|(_, first, _)| *first).find(|first| *first > self.position);
        RangeError::Gone { begins: later.unwrap_or(0), wanted: self.position }
    }

    fn enter(&self, path: &Path) -> Result<Place<F::File>, RangeError> {
        let file = self.fs.open(path, false).map_err(io_error("open", path))?;
        let header = read_header(&file).map_err(io_error("read", path))?;
        let header: SegmentHeader =
            header.map_err(|error| damage(path, 0, self.position + 1, error.to_string()))?;
        Ok(Place {
            path: path.to_owned(),
            file,
            sequence: header.sequence,
            log: header.log,
            offset: segment::HEADER_LEN as u64,
            chain: header.digest(),
            next_lsn: header.first_lsn,
        })
    }
}

/// Hands out a frame's records behind `position`; how many. `origin` is the first one's.
fn hand_out(
    payload: &[u8],
    origin: Origin,
    position: Lsn,
    visit: &mut impl FnMut(Followed<'_>),
) -> Result<usize, DecodeError> {
    let (mut records, mut count) = (Records::new(payload), 0);
    while let Some(record) = records.next() {
        let record = record?;
        let lsn = origin.lsn.saturating_add(records.position() - 1);
        if lsn > position {
            count += 1;
            let origin = Origin { lsn, ..origin };
            visit(Followed { origin, record, expiry: records.was_expiry() });
        }
    }
    Ok(count)
}

fn malformed(path: &Path, offset: u64, error: DecodeError) -> RangeError {
    damage(path, offset, 0, error.to_string())
}

fn damage(path: &Path, offset: u64, first_lsn: Lsn, what: String) -> RangeError {
    let path = path.to_owned();
    OpenError::from(Damage { path, offset, first_lsn, last_lsn: None, what }).into()
}
