//! How a writer finds its place: from the last segment alone, and what its predecessor published.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::cached::Cached;
use super::place::Place;
use super::trust::Trust;
use super::{Writer, anew};
use crate::clock::Clock;
use crate::failpoint::{self, Point};
use crate::journal::packed::Packer;
use crate::journal::{Lsn, Release};
use crate::wal::fs::{Filesystem, LogFile, is_missing};
use crate::wal::intake::Intake;
use crate::wal::manifest::Floor;
use crate::wal::pending::Pending;
use crate::wal::reader::{Next, SegmentReader};
use crate::wal::segment::{self, SegmentError, SegmentHeader};
use crate::wal::stats::add;

/// Why the writer cannot find its place.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SeatError {
    /// The file system.
    #[error("cannot open the end of the log {}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    /// There is no segment, or its header is damaged.
    #[error("the last log segment in {} cannot be used: {why}", path.display())]
    Segment { path: PathBuf, why: String },
    /// Records that were reported written are not there any more.
    #[error("the log ends at LSN {found}, but LSN {written} was written: {why}")]
    Lost { found: Lsn, written: Lsn, why: String },
}

impl<F: Filesystem, P: Release> Writer<F, P> {
    /// Opens the last segment, checks its chain, drops from `flight` what it holds already.
    pub(in crate::wal) fn open(
        fs: F,
        dir: &Path,
        clock: Clock,
        intake: Intake<P>,
        flight: &mut Pending,
        now: Instant,
    ) -> Result<Self, SeatError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| SeatError::Io { path, source }
        };
        failpoint::hit(Point::WriterOpen);
        let known = intake.counters().segment.load(Ordering::Relaxed);
        let found = last(&fs, dir, known).map_err(io(dir))?;
        let found = match (found, intake.ground().can_begin_anew()) {
            (None, Some(log)) => {
                let begun = anew::begin(&fs, dir, &clock, &intake, flight, log);
                begun.map_err(io(dir))?;
                last(&fs, dir, known).map_err(io(dir))?
            }
            (found, _) => found,
        };
        let Some(path) = found else {
            let why = "there is none".to_owned();
            return Err(SeatError::Segment { path: dir.to_owned(), why });
        };
        let file = fs.open(&path, true).map_err(io(&path))?;
        let header = read_header(&file)
            .map_err(io(&path))?
            .map_err(|why| SeatError::Segment { path: path.clone(), why: why.to_string() })?;
        let ground = intake.ground();
        ground.know(header.log);
        ground.find((header.sequence > known).then(|| Floor::at(&header)));
        // A predecessor may have died with the next segment prepared, or between naming this one and
        // the directory's sync.
        segment::clear_unnamed(&fs, dir)
            .map_err(|(path, source)| SeatError::Io { path, source })?;
        fs.sync_dir(dir).map_err(io(dir))?;

        let published = intake.written();
        // A segment begins where all before is durable, or where a snapshot stands for it.
        let durable = intake.durable().max(header.first_lsn.saturating_sub(1));
        let mut reader = SegmentReader::new(&file, &header, None).map_err(io(&path))?;
        let (mut newer, mut durable_chain) = (Vec::new(), reader.chain());
        let flaw = loop {
            match reader.next().map_err(io(&path))? {
                Next::Frame { header, bytes, .. } => {
                    // A seal at the durable end may itself not be durable.
                    let end = header.next_lsn() - 1;
                    if end > durable || (end == durable && header.count == 0) {
                        newer.extend_from_slice(bytes);
                    } else {
                        durable_chain = reader.chain();
                    }
                }
                Next::End => break None,
                Next::Bad(flaw) => break Some(flaw),
            }
        };
        let (written, len) = (reader.next_lsn() - 1, reader.offset());
        if written < published {
            let why = flaw.map_or_else(|| "the file is too short".to_owned(), |f| f.to_string());
            return Err(SeatError::Lost { found: written, written: published, why });
        }
        // Behind what was published there is only a frame that the predecessor did not finish;
        // its records are still in the seat.
        let (chain, recorded) = (reader.chain(), reader.durable());
        if flaw.is_some() || file.size().map_err(io(&path))? > len {
            file.cut(len).map_err(io(&path))?;
        }
        if !flight.skip_to(written) {
            let why = "the queue does not continue where the log ends".to_owned();
            return Err(SeatError::Segment { path, why });
        }
        failpoint::hit(Point::WriterOpened);
        let broken = intake.tainted() == header.sequence;
        let counters = intake.counters();
        add(&counters.writer_starts, 1);
        counters.segment.store(header.sequence, Ordering::Relaxed);
        counters.segment_bytes.store(len, Ordering::Relaxed);
        let mut writer = Self {
            fs,
            dir: dir.to_owned(),
            clock,
            intake,
            log: header.log,
            file: Arc::new(file),
            sequence: header.sequence,
            len,
            zeroed: 0,
            written,
            chain,
            durable,
            durable_chain,
            recorded,
            older: Vec::new(),
            newer,
            syncing: None,
            sync_begun: now,
            last_write: now,
            broken,
            name_due: false,
            prepare_at: None,
            leftover: None,
            retry_at: None,
            path,
            place: Place::new(now),
            trust: Trust::default(),
            packer: Packer::default(),
            cached: Cached::default(),
            thread_only_until: None,
            due: Vec::new(),
        };
        writer.publish();
        Ok(writer)
    }
}

/// The last segment, unless it comes before the one that is known to be there.
fn last<F: Filesystem>(fs: &F, dir: &Path, known: u64) -> io::Result<Option<PathBuf>> {
    let segments = match segment::list(fs, dir) {
        Err(error) if is_missing(&error) => Vec::new(),
        listed => listed?,
    };
    let last = segments.into_iter().next_back();
    Ok(last.filter(|(sequence, ..)| *sequence >= known).map(|(_, _, path)| path))
}

/// Reads a segment's header.
pub(in crate::wal) fn read_header<L: LogFile>(
    file: &L,
) -> io::Result<Result<SegmentHeader, SegmentError>> {
    let mut bytes = [0; segment::HEADER_LEN];
    let mut have = 0;
    while have < bytes.len() {
        match file.read_at(&mut bytes[have..], have as u64) {
            Ok(0) => return Ok(Err(SegmentError::Damaged)),
            Ok(n) => have += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(SegmentHeader::decode(&bytes))
}
