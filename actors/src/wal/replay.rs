//! Reading the log back: at boot, and one shard's part of it while it is being written.
//!
//! A bad frame is *torn* when a crash explains it: it lies in the last segment, nothing valid
//! follows, and its LSN was never recorded as durable. It is cut off, with a copy in
//! `quarantine/`. Any other bad frame is *corrupt*: somebody changed what had been written, and
//! nothing is served from such a log.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rand::TryRngCore;

use super::frame::{Digest, LogId};
use super::fs::{Filesystem, LogFile, OsFs};
use super::lock::DataDir;
use super::reader::{Next, SegmentReader};
use super::segment::{self, SegmentError, SegmentHeader};
use super::writer::read_header;
use crate::clock::Clock;
use crate::journal::{DecodeError, Lsn, Record, Records};

/// Why the log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file system refused.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The log is damaged.
    #[error(transparent)]
    Corrupt(#[from] Damage),
    /// The log was written by a later version of this program.
    #[error("{}: {what}", path.display())]
    TooNew {
        /// The segment.
        path: PathBuf,
        /// What it needs.
        what: String,
    },
}

/// Why replay stopped. Nothing of its effects may be served.
pub type ReplayError = OpenError;

/// Where a log stops being what was written, and what is behind that place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the log is corrupt: {} at offset {offset}: {what}; records up to LSN {} are intact{}",
    path.display(), first_lsn.saturating_sub(1), until(*last_lsn)
)]
pub struct Damage {
    /// The damaged file.
    pub path: PathBuf,
    /// Byte offset of the damage, or of the frame that contains it.
    pub offset: u64,
    /// The first LSN that cannot be read.
    pub first_lsn: Lsn,
    /// The last LSN that is known to have been in the damaged file, where a next file tells.
    pub last_lsn: Option<Lsn>,
    /// What does not fit.
    pub what: String,
}

fn until(last: Option<Lsn>) -> String {
    last.map_or_else(String::new, |last| format!(", the damaged file reaches to LSN {last}"))
}

/// A torn end that was cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Torn {
    /// The segment.
    pub path: PathBuf,
    /// Where it was cut.
    pub offset: u64,
    /// Bytes that were cut off.
    pub bytes: u64,
    /// Where a copy of them is.
    pub copy: PathBuf,
    /// Why they are no frame.
    pub what: String,
}

/// How far replay is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of log read so far.
    pub bytes: u64,
    /// Bytes there are.
    pub total_bytes: u64,
    /// Records so far.
    pub records: u64,
    /// Time since the start.
    pub took: Duration,
}

/// What replay found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplayReport {
    /// The log's last LSN: the intake goes on behind it.
    pub last_lsn: Lsn,
    /// Records visited.
    pub records: u64,
    /// Frames read.
    pub frames: u64,
    /// Segments read.
    pub segments: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Time it took.
    pub took: Duration,
    /// A torn end that was cut off.
    pub torn: Option<Torn>,
}

#[derive(Debug)]
struct Segment {
    path: PathBuf,
    header: SegmentHeader,
    size: u64,
}

/// A log whose segments were found and fit together by their headers.
#[derive(Debug)]
pub struct Opened<F: Filesystem = OsFs> {
    fs: F,
    data: PathBuf,
    clock: Clock,
    segments: Vec<Segment>,
}

fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Io { doing, path, source }
}

/// Opens the log in `data`; begins a new one where there is none.
///
/// # Errors
/// [`OpenError`]: the file system, or segments that do not fit together.
pub fn open(data: &DataDir, clock: Clock) -> Result<Opened, OpenError> {
    open_on(OsFs, data.path(), clock)
}

/// The directory of the segments.
pub(super) fn segments_dir(data: &Path) -> PathBuf {
    data.join("wal")
}

pub(super) fn open_on<F: Filesystem>(
    fs: F,
    data: &Path,
    clock: Clock,
) -> Result<Opened<F>, OpenError> {
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
    Ok(Opened { fs, data: data.to_owned(), clock, segments })
}

/// Sixteen bytes of the system's randomness.
fn random_id() -> io::Result<[u8; 16]> {
    let mut id = [0; 16];
    rand::rngs::OsRng.try_fill_bytes(&mut id).map_err(io::Error::other)?;
    Ok(id)
}

/// Reads every segment's header and checks that they are one log, without gaps, from its start.
fn read_headers<F: Filesystem>(fs: &F, dir: &Path) -> Result<Vec<Segment>, OpenError> {
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

impl<F: Filesystem> Opened<F> {
    /// Feeds every record to `visit`, in order, and cuts off a torn end; `progress` hears of
    /// every segment, and of every 64 MiB inside one. Blocks: run it where blocking is allowed.
    ///
    /// On return everything replayed is durable.
    ///
    /// # Errors
    /// [`ReplayError`]: the log is corrupt, or could not be read, cut or synced. What was
    /// visited until then must not be served.
    pub fn replay(
        &self,
        mut visit: impl FnMut(Record<'_>),
        mut progress: impl FnMut(&Progress),
    ) -> Result<ReplayReport, ReplayError> {
        let begun = Instant::now();
        let total_bytes = self.segments.iter().map(|segment| segment.size).sum();
        let mut walk = Walk { fs: &self.fs, segments: &self.segments, link: [0; 32] };
        let mut report = ReplayReport::default();
        let records = std::cell::Cell::new(0);
        let mut said = 0;
        for index in 0..self.segments.len() {
            let end = walk.segment(
                index,
                |_, record| {
                    records.set(records.get() + 1);
                    visit(record);
                    ControlFlow::Continue(())
                },
                |frame_bytes| {
                    report.frames += 1;
                    report.bytes += frame_bytes;
                    if report.bytes - said >= 64 << 20 {
                        said = report.bytes;
                        progress(&Progress {
                            bytes: said,
                            total_bytes,
                            records: records.get(),
                            took: begun.elapsed(),
                        });
                    }
                },
            )?;
            report.segments += 1;
            report.last_lsn = end.next_lsn.saturating_sub(1);
            report.torn = self.cut(&end)?;
            progress(&Progress {
                bytes: report.bytes,
                total_bytes,
                records: records.get(),
                took: begun.elapsed(),
            });
        }
        self.make_durable()?;
        report.records = records.get();
        report.took = begun.elapsed();
        Ok(report)
    }

    /// The last segment may not be on disk yet, if its writer was killed.
    fn make_durable(&self) -> Result<(), OpenError> {
        let Some(last) = self.segments.last() else { return Ok(()) };
        let file = self.fs.open(&last.path, true).map_err(io_error("open", &last.path))?;
        file.sync().map_err(io_error("sync", &last.path))?;
        let dir = segments_dir(&self.data);
        self.fs.sync_dir(&dir).map_err(io_error("sync", &dir))
    }

    /// Cuts off the torn end, once a copy of it is safe.
    fn cut(&self, end: &SegmentEnd) -> Result<Option<Torn>, OpenError> {
        let Some((path, what)) = &end.torn else { return Ok(None) };
        let quarantine = self.data.join("quarantine");
        self.fs.create_dir(&quarantine).map_err(io_error("create", &quarantine))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let copy = quarantine.join(format!("{name}.{}.{}", end.offset, self.clock.unix_ms()));
        let file = self.fs.open(path, true).map_err(io_error("open", path))?;
        self.fs.remove(&copy).map_err(io_error("replace", &copy))?;
        let out = self.fs.create(&copy).map_err(io_error("create", &copy))?;
        let mut buf = vec![0; 64 * 1024];
        let mut at = end.offset;
        loop {
            let n = file.read_at(&mut buf, at).map_err(io_error("read", path))?;
            if n == 0 {
                break;
            }
            out.write_at(&buf[..n], at - end.offset).map_err(io_error("write", &copy))?;
            at += n as u64;
        }
        out.sync().map_err(io_error("sync", &copy))?;
        self.fs.sync_dir(&quarantine).map_err(io_error("sync", &quarantine))?;
        file.cut(end.offset).map_err(io_error("cut", path))?;
        let (path, what) = (path.clone(), what.clone());
        Ok(Some(Torn { path, offset: end.offset, bytes: at - end.offset, copy, what }))
    }
}

/// Why [`read_range`] could not bring what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum RangeError {
    /// The log could not be read.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The log ends before the LSN asked for: it is not written yet.
    #[error("the log ends at LSN {found}, {wanted} was asked for")]
    Short {
        /// The last LSN there is.
        found: Lsn,
        /// The LSN asked for.
        wanted: Lsn,
    },
}

/// Reads every record up to and including `upto` while the log is being written, to rebuild one
/// shard. `upto` must be settled; what is behind it is not looked at, finished or not.
/// `visit` may break off. Blocks: run it where blocking is allowed.
///
/// # Errors
/// [`RangeError`]; what was visited until then is not all there is.
pub fn read_range(
    data: &Path,
    upto: Lsn,
    visit: impl FnMut(Lsn, Record<'_>) -> ControlFlow<()>,
) -> Result<(), RangeError> {
    read_range_on(&OsFs, data, upto, visit)
}

pub(super) fn read_range_on<F: Filesystem>(
    fs: &F,
    data: &Path,
    upto: Lsn,
    mut visit: impl FnMut(Lsn, Record<'_>) -> ControlFlow<()>,
) -> Result<(), RangeError> {
    let segments = read_headers(fs, &segments_dir(data))?;
    let mut walk = Walk { fs, segments: &segments, link: [0; 32] };
    let (mut found, mut done) = (0, upto == 0);
    for index in 0..segments.len() {
        if done {
            return Ok(());
        }
        let end = walk.segment(
            index,
            |lsn, record| {
                if lsn > upto || visit(lsn, record).is_break() {
                    done = true;
                    return ControlFlow::Break(());
                }
                found = lsn;
                done = lsn == upto;
                if done { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            },
            |_| {},
        )?;
        // Optional records that this version does not know have an LSN and are not visited.
        done |= end.next_lsn > upto;
    }
    if done { Ok(()) } else { Err(RangeError::Short { found, wanted: upto }) }
}

/// Where a segment's valid part ends.
#[derive(Debug)]
struct SegmentEnd {
    next_lsn: Lsn,
    offset: u64,
    /// A torn end: the file, and what is wrong with it.
    torn: Option<(PathBuf, String)>,
}

/// Goes through the segments in order and holds the chain that links them.
struct Walk<'a, F> {
    fs: &'a F,
    segments: &'a [Segment],
    link: Digest,
}

impl<F: Filesystem> Walk<'_, F> {
    fn segment(
        &mut self,
        index: usize,
        mut visit: impl FnMut(Lsn, Record<'_>) -> ControlFlow<()>,
        mut frame_read: impl FnMut(u64),
    ) -> Result<SegmentEnd, OpenError> {
        let Segment { path, header, .. } = &self.segments[index];
        let next = self.segments.get(index + 1);
        let limit = next.map(|next| (next.header.first_lsn, next.header.link));
        let until = limit.map(|(lsn, _)| lsn);
        let damage = |offset, first_lsn, what: String| Damage {
            path: path.clone(),
            offset,
            first_lsn,
            last_lsn: until.map(|until| until.saturating_sub(1)),
            what,
        };
        if header.link != self.link {
            let what = "it does not continue the segment before".to_owned();
            return Err(damage(0, header.first_lsn, what).into());
        }
        let file = self.fs.open(path, false).map_err(io_error("open", path))?;
        let read = || io_error("read", path);
        let mut reader = SegmentReader::new(&file, header, limit).map_err(read())?;
        let mut torn = None;
        loop {
            let offset = reader.offset();
            let flaw = match reader.next().map_err(read())? {
                Next::Frame { header, payload, bytes } => {
                    for (record, lsn) in Records::new(payload).zip(header.first_lsn..) {
                        match record {
                            Ok(record) => {
                                if visit(lsn, record).is_break() {
                                    let next_lsn = lsn + 1;
                                    return Ok(SegmentEnd { next_lsn, offset, torn: None });
                                }
                            }
                            Err(error @ DecodeError::UnknownCritical(_)) => {
                                let (path, what) = (path.clone(), error.to_string());
                                return Err(OpenError::TooNew { path, what });
                            }
                            Err(error @ DecodeError::Malformed) => {
                                return Err(damage(offset, lsn, error.to_string()).into());
                            }
                        }
                    }
                    frame_read(bytes.len() as u64);
                    continue;
                }
                Next::End => break,
                Next::Bad(flaw) => flaw,
            };
            if next.is_some() || !reader.is_torn(&flaw).map_err(read())? {
                return Err(damage(offset, reader.next_lsn(), flaw.to_string()).into());
            }
            torn = Some((path.clone(), flaw.to_string()));
            break;
        }
        let next_lsn = reader.next_lsn();
        if let Some(until) = until.filter(|&until| until != next_lsn) {
            let what = format!("it ends at LSN {}, short of {until}", next_lsn - 1);
            return Err(damage(reader.offset(), next_lsn, what).into());
        }
        self.link = reader.chain();
        Ok(SegmentEnd { next_lsn, offset: reader.offset(), torn })
    }
}

#[cfg(test)]
mod tests;
