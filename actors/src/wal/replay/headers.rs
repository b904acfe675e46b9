//! Finds the log's segments and checks by their headers that they fit together.

use std::io;
use std::path::{Path, PathBuf};

use rand::TryRngCore;

use super::report::{Damage, OpenError, io_error};
use super::{Opened, segments_dir};
use crate::clock::Clock;
use crate::failpoint::{self, Point};
use crate::journal::Lsn;
use crate::wal::frame::LogId;
use crate::wal::fs::{Filesystem, LogFile, OsFs};
use crate::wal::lock::DataDir;
use crate::wal::segment::{self, SegmentError, SegmentHeader};
use crate::wal::writer::read_header;

/// A segment whose header fits its name and its neighbours.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) header: SegmentHeader,
    /// Bytes it had when it was found.
    pub(super) size: u64,
}

/// The damage at a place of a segment; the header of the segment behind it tells how far it
/// reaches.
pub(super) fn damage(
    segments: &[Segment],
    index: usize,
    offset: u64,
    first_lsn: Lsn,
    what: String,
) -> OpenError {
    let path = segments.get(index).map_or_else(PathBuf::new, |segment| segment.path.clone());
    let next = segments.get(index + 1);
    let last_lsn = next.map(|next| next.header.first_lsn.saturating_sub(1));
    Damage { path, offset, first_lsn, last_lsn, what }.into()
}

/// Opens the log in `data`; begins a new one where there is none.
///
/// # Errors
/// [`OpenError`]: the file system, or segments that do not fit together.
pub fn open(data: &DataDir, clock: Clock) -> Result<Opened, OpenError> {
    open_on(OsFs, data.path(), clock)
}

pub(in crate::wal) fn open_on<F: Filesystem>(
    fs: F,
    data: &Path,
    clock: Clock,
) -> Result<Opened<F>, OpenError> {
    failpoint::hit(Point::ReplayOpen);
    let dir = segments_dir(data);
    fs.create_dir(&dir).map_err(io_error("create", &dir))?;
    fs.sync_dir(data).map_err(io_error("sync", data))?;
    let names = fs.list(&dir).map_err(io_error("list", &dir))?;
    for name in names {
        // Never named, so nothing was ever acknowledged from it.
        if name.strip_suffix(segment::UNNAMED).is_some_and(|n| segment::parse_name(n).is_some()) {
            let path = dir.join(name);
            fs.remove(&path).map_err(io_error("remove", &path))?;
        }
    }
    let found = segment::list(&fs, &dir).map_err(io_error("list", &dir))?;
    if found.is_empty() {
        let header = SegmentHeader {
            log: LogId::new(random_id().map_err(io_error("name the log in", &dir))?),
            sequence: 1,
            first_lsn: 1,
            link: [0; 32],
            created_ms: clock.unix_ms(),
        };
        segment::create(&fs, &dir, &header, &[])
            .map_err(|error| io_error("begin the log in", &dir)(error.source))?;
    }
    let segments = read_headers(&fs, &dir)?;
    let Some(log) = segments.first().map(|first| first.header.log) else {
        let gone = io::Error::new(io::ErrorKind::NotFound, "its first segment has vanished");
        return Err(io_error("open the log in", &dir)(gone));
    };
    Ok(Opened { fs, data: data.to_owned(), clock, log, segments, proven: 0 })
}

/// Sixteen bytes of the system's randomness.
fn random_id() -> io::Result<[u8; 16]> {
    let mut id = [0; 16];
    rand::rngs::OsRng.try_fill_bytes(&mut id).map_err(io::Error::other)?;
    Ok(id)
}

/// Reads every segment's header and checks that they are one log, without gaps, from its start.
pub(super) fn read_headers<F: Filesystem>(fs: &F, dir: &Path) -> Result<Vec<Segment>, OpenError> {
    let mut segments: Vec<Segment> = Vec::new();
    for (sequence, first_lsn, path) in segment::list(fs, dir).map_err(io_error("list", dir))? {
        let file = fs.open(&path, false).map_err(io_error("open", &path))?;
        let size = file.size().map_err(io_error("measure", &path))?;
        let due = segments.last().map_or(1, |last| last.header.sequence + 1);
        let before = segments.last().map(|last| (last.header.log, last.header.first_lsn));
        let damage = |what: String| Damage {
            path: path.clone(),
            offset: 0,
            first_lsn: before.map_or(1, |(_, first)| first),
            last_lsn: None,
            what,
        };
        if sequence != due {
            return Err(damage(format!("segment {due} is missing before this one")).into());
        }
        let header = match read_header(&file).map_err(io_error("read", &path))? {
            Ok(header) => header,
            Err(error @ SegmentError::Damaged) => return Err(damage(error.to_string()).into()),
            Err(error @ SegmentError::TooNew(_)) => {
                return Err(OpenError::TooNew { path, what: error.to_string() });
            }
        };
        let fits = (header.sequence, header.first_lsn) == (sequence, first_lsn)
            && before
                .map_or(first_lsn == 1, |(log, first)| header.log == log && first <= first_lsn);
        if !fits {
            return Err(damage("its header does not fit its name or its neighbours".into()).into());
        }
        segments.push(Segment { path, header, size });
    }
    Ok(segments)
}
