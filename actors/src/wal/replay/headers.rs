//! Finds the log's segments and checks by their headers that they fit together.

use std::io;
use std::path::{Path, PathBuf};

use rand::TryRngCore;

use super::report::{Damage, OpenError, io_error};
use super::{Opened, Proof, segments_dir};
use crate::clock::Clock;
use crate::failpoint::{self, Point};
use crate::journal::Lsn;
use crate::wal::frame::{DIGEST_LEN, LogId};
use crate::wal::fs::{Filesystem, LogFile, OsFs};
use crate::wal::holds::Holds;
use crate::wal::lock::DataDir;
use crate::wal::manifest::{self, Floor, Manifest, ManifestFile};
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

/// Number, first LSN and file, as names tell.
pub(super) type Named = (u64, Lsn, PathBuf);

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
    find_on(fs, data, clock, Leftovers::Clear)
}

/// What becomes of segments that are not part of the log, and of a directory without any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leftovers {
    /// They are removed, and a new log is begun.
    Clear,
    /// They stay: it is somebody else's log.
    Leave,
}

/// Finds the log in `data`.
pub(super) fn find_on<F: Filesystem>(
    fs: F,
    data: &Path,
    clock: Clock,
    leftovers: Leftovers,
) -> Result<Opened<F>, OpenError> {
    let dir = segments_dir(data);
    let clear = leftovers == Leftovers::Clear;
    let copies = manifest::read(&fs, data)?;
    if let (Some(_), Some(copy)) = (&copies.manifest, copies.damaged.first()) {
        tracing::warn!(
            path = "wal",
            file = %copy.display(),
            "this copy of the manifest is damaged; the other one serves, and a start writes it anew"
        );
    }
    let doubled = copies.sound == 2;
    let recorded = copies.usable()?;
    if clear {
        segment::clear_unnamed(&fs, &dir)
            .map_err(|(path, error)| io_error("remove an unfinished segment", &path)(error))?;
    }
    let mut found = segment::list(&fs, &dir).map_err(io_error("list", &dir))?;
    match &recorded {
        None if found.is_empty() && clear => {
            begin(&fs, &dir, &clock)?;
            found = segment::list(&fs, &dir).map_err(io_error("list", &dir))?;
        }
        None => {}
        Some(manifest) => {
            let kept = found.partition_point(|(number, ..)| *number < manifest.floor.sequence);
            // Their deletion was decided, and a crash came between.
            for (_, _, path) in found.drain(..kept) {
                if clear {
                    fs.remove(&path).map_err(io_error("remove", &path))?;
                }
            }
        }
    }
    let floor = recorded.as_ref().map_or(Floor::START, |manifest| manifest.floor);
    let segments = read_headers(&fs, &found, Some(&floor))?;
    let manifest = match recorded {
        Some(manifest) => {
            agree(&dir, &manifest, &segments)?;
            manifest
        }
        None => {
            let first = segments.first().ok_or_else(|| vanished(&dir))?;
            Manifest::new(first.header.log, floor)
        }
    };
    let proven = (manifest.durable, Proof::Manifest);
    let manifest = ManifestFile::new(fs.clone(), data, clock.clone(), manifest, doubled);
    let holds = Holds::new(floor.first_lsn);
    Ok(Opened { fs, data: data.to_owned(), clock, manifest, holds, segments, proven })
}

/// Makes the first segment of a new log.
fn begin<F: Filesystem>(fs: &F, dir: &Path, clock: &Clock) -> Result<(), OpenError> {
    let header = SegmentHeader {
        format: segment::FORMAT_VERSION,
        log: LogId::new(random_id().map_err(io_error("name the log in", dir))?),
        sequence: 1,
        first_lsn: 1,
        link: [0; DIGEST_LEN],
        created_ms: clock.unix_ms(),
    };
    segment::create(fs, dir, &header, &[])
        .map_err(|error| io_error("begin the log in", dir)(error.source))?;
    Ok(())
}

fn vanished(dir: &Path) -> OpenError {
    let gone = io::Error::new(io::ErrorKind::NotFound, "its first segment has vanished");
    io_error("open the log in", dir)(gone)
}

/// Whether the segments are those that the manifest knows: of the same log, and none is missing at
/// the end.
fn agree(dir: &Path, manifest: &Manifest, segments: &[Segment]) -> Result<(), OpenError> {
    let damage = |path: &Path, first_lsn, what| Damage {
        path: path.to_owned(),
        offset: 0,
        first_lsn,
        last_lsn: Some(manifest.durable).filter(|last| *last >= first_lsn),
        what,
    };
    let (Some(first), Some(last)) = (segments.first(), segments.last()) else {
        let what = format!(
            "the manifest knows segments up to {}, and there is none; a new log is begun in an \
             empty data directory only",
            manifest.newest
        );
        return Err(damage(dir, manifest.floor.first_lsn, what).into());
    };
    if first.header.log != manifest.log {
        let what = "the manifest beside it belongs to another log".to_owned();
        return Err(damage(&first.path, first.header.first_lsn, what).into());
    }
    if last.header.sequence < manifest.newest {
        let what = format!(
            "the manifest knows segments up to {}, and this is the last one there is",
            manifest.newest
        );
        // Where it ends is not read yet; what is missing begins behind it.
        return Err(damage(&last.path, last.header.first_lsn, what).into());
    }
    Ok(())
}

/// Sixteen bytes of the system's randomness.
fn random_id() -> io::Result<[u8; 16]> {
    let mut id = [0; 16];
    rand::rngs::OsRng.try_fill_bytes(&mut id).map_err(io::Error::other)?;
    Ok(id)
}

/// Reads every segment's header and checks that they are one log, without gaps, from `floor` on;
/// without one, from the first that is there.
pub(super) fn read_headers<F: Filesystem>(
    fs: &F,
    named: &[Named],
    floor: Option<&Floor>,
) -> Result<Vec<Segment>, OpenError> {
    let mut segments: Vec<Segment> = Vec::new();
    for (sequence, first_lsn, path) in named {
        let (sequence, first_lsn) = (*sequence, *first_lsn);
        let file = fs.open(path, false).map_err(io_error("open", path))?;
        let size = file.size().map_err(io_error("measure", path))?;
        let due = match segments.last() {
            Some(last) => last.header.sequence + 1,
            None => floor.map_or(sequence, |floor| floor.sequence),
        };
        let before = segments.last().map(|last| (last.header.log, last.header.first_lsn));
        let begins = floor.map_or(first_lsn, |floor| floor.first_lsn);
        let damage = |what: String| Damage {
            path: path.clone(),
            offset: 0,
            first_lsn: before.map_or(begins, |(_, first)| first),
            last_lsn: None,
            what,
        };
        if sequence != due {
            return Err(damage(format!("segment {due} is missing before this one")).into());
        }
        let header = match read_header(&file).map_err(io_error("read", path))? {
            Ok(header) => header,
            Err(error @ SegmentError::Damaged) => return Err(damage(error.to_string()).into()),
            Err(error @ SegmentError::OtherVersion(_)) => {
                return Err(OpenError::OtherVersion {
                    path: path.clone(),
                    what: error.to_string(),
                });
            }
        };
        let fits = (header.sequence, header.first_lsn) == (sequence, first_lsn)
            && match before {
                Some((log, first)) => header.log == log && first <= first_lsn,
                None => floor.is_none_or(|floor| Floor::at(&header) == *floor),
            };
        if !fits {
            return Err(damage("its header does not fit its name or its neighbours".into()).into());
        }
        segments.push(Segment { path: path.clone(), header, size });
    }
    Ok(segments)
}
