//! Reading a snapshot, and finding out whether it is one.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::{HEADER_LEN, Header, Snapshots, begin_in};
use crate::clock::UnixMs;
use crate::journal::{Lsn, Record, Records};
use crate::wal::ahead::{HungUp, Supply, run_ahead};
use crate::wal::format::OtherFormat;
use crate::wal::frame::{DIGEST_LEN, Digest, FrameHeader, MAX_HEADER_LEN};
use crate::wal::fs::{Filesystem, LogFile};
use crate::wal::manifest::Listed;
use crate::wal::reader::{Next, SegmentReader};

/// Why a snapshot cannot be used. What was visited until then must not be served.
#[derive(Debug, thiserror::Error)]
pub enum Flawed {
    /// The file system refused.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It is not what was written.
    #[error("it is damaged at offset {offset}: {what}")]
    Damaged {
        /// Byte offset of the damage, or of the frame that contains it.
        offset: u64,
        /// What does not fit.
        what: String,
    },
    /// It was written by another version of this program.
    #[error(transparent)]
    OtherVersion(#[from] OtherFormat),
    /// It was put into the wrong directory.
    #[error("it belongs to another log")]
    OtherLog,
    /// Whoever asked for it did not want the rest.
    #[error("reading it was broken off")]
    BrokenOff,
}

/// A snapshot that was read to its end and is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loaded {
    /// The log's records up to here are in it, and need not be applied.
    pub begin: Lsn,
    /// The log must reach to here.
    pub end: Lsn,
    /// Entries in it.
    pub entries: u64,
    /// Length of the file.
    pub bytes: u64,
    /// When it was begun.
    pub created_ms: UnixMs,
    /// When it was finished.
    pub ended_ms: UnixMs,
    pub(super) digest: Digest,
}

impl Loaded {
    pub(super) const fn listed(&self) -> Listed {
        let Self { begin, end, entries, bytes, created_ms, ended_ms, digest } = *self;
        Listed { begin, end, entries, bytes, created_ms, ended_ms, digest }
    }
}

impl<F: Filesystem> Snapshots<F> {
    /// Loads the newest snapshot that is whole and behind which the log is still there, if any:
    /// `fresh` makes what its entries are `put` into, anew for each that is tried, by its begin. `progress` is
    /// as in [`Snapshots::load`]. Those that are not whole are shown to `flawed`. Blocks.
    ///
    /// # Errors
    /// [`Flawed::Io`]: the snapshots cannot be listed; [`Flawed::BrokenOff`].
    pub fn load_newest<T>(
        &self,
        mut fresh: impl FnMut(Lsn, &Path) -> T,
        mut put: impl FnMut(&mut T, Record<'_>),
        mut progress: impl FnMut(u64) -> ControlFlow<()>,
        mut flawed: impl FnMut(&Path, &Flawed),
    ) -> Result<Option<(T, Loaded)>, Flawed> {
        for (begin, path) in self.usable()? {
            let mut target = fresh(begin, &path);
            match self.load(&path, |record| put(&mut target, record), &mut progress) {
                Ok(loaded) => return Ok(Some((target, loaded))),
                Err(Flawed::BrokenOff) => return Err(Flawed::BrokenOff),
                Err(flaw) => flawed(&path, &flaw),
            }
        }
        Ok(None)
    }

    /// Feeds every entry to `visit`, as a SET record. `progress` hears after every frame at which
    /// byte of the file it ends, and may break off. Blocks.
    ///
    /// # Errors
    /// [`Flawed`]; what was visited until then must not be served.
    pub fn load(
        &self,
        path: &Path,
        mut visit: impl FnMut(Record<'_>),
        mut progress: impl FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Loaded, Flawed> {
        let file = self.fs.open(path, false)?;
        let header = Header::decode(&read_at(&file, 0)?)?;
        if header.log != self.log {
            return Err(Flawed::OtherLog);
        }
        if begin_in(path).is_some_and(|begin| begin != header.begin) {
            let what = format!("it begins at LSN {}, which is not its name", header.begin);
            return Err(Flawed::Damaged { offset: 32, what });
        }
        let done = run_ahead(
            |supply| verify(&file, &header, supply),
            |block| -> Result<_, Flawed> {
                for (frame, payload) in block.frames() {
                    decode(frame, payload, &mut visit)?;
                    if progress(frame.offset + frame.header.frame_len()).is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                Ok(ControlFlow::Continue(()))
            },
        );
        match done?? {
            Some(loaded) => loaded,
            None => Err(Flawed::BrokenOff),
        }
    }
}

/// Bytes of a frame without records, at most. The shortest snapshot is longer.
const LONGEST_END: usize = MAX_HEADER_LEN + DIGEST_LEN;

/// A verified frame, and where it begins.
struct Verified {
    header: FrameHeader,
    offset: u64,
}

/// Reads frame after frame up to the end.
fn verify<L: LogFile>(
    file: &L,
    header: &Header,
    mut supply: Supply<Verified>,
) -> Result<Loaded, Flawed> {
    let start = HEADER_LEN as u64;
    let mut reader = SegmentReader::of_frames(file, header.frames_id(), start, header.digest(), 1)?;
    let mut end = None;
    let flaw = loop {
        let offset = reader.offset();
        match reader.next()? {
            Next::Frame { .. } if end.is_some() => {
                break Some("there is more behind its end".to_owned());
            }
            Next::Frame { header, .. } if header.count == 0 => {
                end = Some((header.durable_lsn, header.wall_ms));
            }
            Next::Frame { payload, header, .. } => {
                if let Err(HungUp) = supply.push(Verified { header, offset }, payload) {
                    return Err(Flawed::BrokenOff);
                }
            }
            Next::End => break None,
            Next::Bad(flaw) => break Some(flaw.to_string()),
        }
    };
    // What lies before a flaw may be damaged in itself, and that comes first.
    if let Err(HungUp) = supply.hand_over() {
        return Err(Flawed::BrokenOff);
    }
    let offset = reader.offset();
    let damaged = |what: String| Flawed::Damaged { offset, what };
    if let Some(what) = flaw {
        return Err(damaged(what));
    }
    let (end, ended_ms) = end.ok_or_else(|| damaged("its end is missing".to_owned()))?;
    // In the log, zeros behind the last frame mean nothing; here nobody has written any.
    if offset != file.size()? {
        return Err(damaged("there is more behind its end".to_owned()));
    }
    Ok(Loaded {
        begin: header.begin,
        end,
        entries: reader.next_lsn() - 1,
        bytes: offset,
        created_ms: header.created_ms,
        ended_ms,
        digest: reader.chain(),
    })
}

fn decode(
    frame: &Verified,
    payload: &[u8],
    visit: &mut impl FnMut(Record<'_>),
) -> Result<(), Flawed> {
    let damaged = |what: String| Flawed::Damaged { offset: frame.offset, what };
    let mut records = Records::new(payload);
    for record in &mut records {
        match record {
            Ok(record @ (Record::Set { .. } | Record::Fill { .. })) => visit(record),
            Ok(_) => return Err(damaged("an entry is neither SET nor FILL".to_owned())),
            Err(error) => return Err(damaged(error.to_string())),
        }
    }
    let (found, says) = (records.position(), frame.header.count);
    if found != u64::from(says) {
        return Err(damaged(format!("entries: {found}; its header says {says}")));
    }
    Ok(())
}

/// Finished snapshots in the data directory, of any log, and where each one ends. It is read from
/// their last frame, and nothing else is looked at; those where it cannot be read are left out.
pub(in crate::wal) fn ends<F: Filesystem>(fs: &F, data: &Path) -> io::Result<Vec<(PathBuf, Lsn)>> {
    let dir = super::directory(data);
    let mut found = Vec::new();
    for name in super::names(fs, &dir)? {
        let path = dir.join(name);
        if begin_in(&path).is_none() {
            continue;
        }
        let file = fs.open(&path, false)?;
        let Ok(Ok(header)) = read_at(&file, 0).map(|bytes| Header::decode(&bytes)) else {
            continue;
        };
        let at = file.size()?.saturating_sub(LONGEST_END as u64);
        let Ok(bytes) = read_at::<_, LONGEST_END>(&file, at) else { continue };
        let id = header.frames_id();
        let end = (0..LONGEST_END).find_map(|skip| {
            let tail = &bytes[skip..];
            let last = FrameHeader::decode(tail, &id).ok()?;
            (last.count == 0 && last.frame_len() == tail.len() as u64).then_some(last.durable_lsn)
        });
        found.extend(end.map(|end| (path, end)));
    }
    Ok(found)
}

/// A header of so many bytes at `offset`.
fn read_at<L: LogFile, const N: usize>(file: &L, offset: u64) -> Result<[u8; N], Flawed> {
    let mut bytes = [0; N];
    let mut have = 0;
    while have < N {
        let at = offset + have as u64;
        match file.read_at(&mut bytes[have..], at) {
            Ok(0) => {
                let what = "the header is cut short".to_owned();
                return Err(Flawed::Damaged { offset: at, what });
            }
            Ok(n) => have += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(bytes)
}
