//! What is on the disk, and its removal. What may go is decided elsewhere; here is seen to it that
//! a crash in the middle of it, or a reader who came in between, loses nothing.
//!
//! Order: nobody may hold what is to go; the manifest says so in both copies; only then are files
//! removed. What a crash leaves over lies below the manifest's floor, or is no snapshot that it
//! lists, and goes with the next removal or start.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::fs::{Filesystem, LogFile, OsFs};
use super::holds::{Held, Holds};
use super::manifest::{Floor, Manifest, ManifestFile};
use super::replay::segments_dir;
use super::segment::{self, SegmentHeader};
use super::snapshot::Snapshots;
use super::writer::read_header;
use crate::clock::UnixMs;
use crate::journal::Lsn;

/// A segment on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentFacts {
    /// Its number.
    pub sequence: u64,
    /// Its first LSN.
    pub first_lsn: Lsn,
    /// When it was begun, and the one before ended.
    pub created_ms: UnixMs,
    /// Bytes of the file.
    pub bytes: u64,
}

/// A verified snapshot on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotFacts {
    /// The log's records behind this LSN have to be applied to it.
    pub begin: Lsn,
    /// With the log up to here it is a state of the cache.
    pub end: Lsn,
    /// When it was finished.
    pub ended_ms: UnixMs,
    /// Bytes of the file.
    pub bytes: u64,
}

/// What is on the disk at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    /// From the manifest's floor on, the oldest first.
    pub segments: Vec<SegmentFacts>,
    /// Those that the manifest lists, the oldest first.
    pub snapshots: Vec<SnapshotFacts>,
    /// Begins of snapshots that nobody has vouched for.
    pub unlisted: Vec<Lsn>,
    /// Segments below the floor, which a removal has not got to.
    pub left_over: u64,
    /// The hold that reaches back furthest.
    pub held: Option<Held>,
    /// Another process is reading: nothing may go.
    pub being_read: bool,
}

impl Survey {
    /// Bytes of the log on the disk.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }
}

/// What is to go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removal {
    /// The log shall begin with this segment.
    pub first: Option<u64>,
    /// Snapshots, by their begins.
    pub snapshots: Vec<Lsn>,
    /// Nothing may be to go, and yet something is left over from before.
    pub left_over: bool,
}

impl Removal {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.first.is_none() && self.snapshots.is_empty() && !self.left_over
    }
}

/// What has gone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    /// Segments, and how many bytes they had.
    pub segments: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Snapshots.
    pub snapshots: u64,
    /// A reader has come in between: the log begins where it began.
    pub held_up: bool,
}

/// The disk of one log.
#[derive(Debug)]
pub struct Retention<F: Filesystem = OsFs> {
    fs: F,
    data: PathBuf,
    snapshots: Snapshots<F>,
    manifest: ManifestFile<F>,
    holds: Holds,
    /// Headers of segments, which never change, by number.
    headers: BTreeMap<u64, (SegmentHeader, u64)>,
}

impl<F: Filesystem> Retention<F> {
    pub(super) fn new(
        fs: F,
        data: &Path,
        snapshots: Snapshots<F>,
        manifest: ManifestFile<F>,
        holds: Holds,
    ) -> Self {
        let data = data.to_owned();
        Self { fs, data, snapshots, manifest, holds, headers: BTreeMap::new() }
    }

    /// Looks at what is there, and writes down that there is a newest segment, if it is a new one.
    /// `durable` is the log's. Blocks.
    ///
    /// # Errors
    /// The directories or a header cannot be read, or the manifest not be written.
    pub fn survey(&mut self, durable: Lsn) -> io::Result<Survey> {
        let named = segment::list(&self.fs, &segments_dir(&self.data))?;
        let manifest = self.manifest.current();
        let mut survey = Survey { held: self.holds.lowest(), ..Survey::default() };
        survey.being_read = self.fs.exclude_readers(&segments_dir(&self.data))?.is_none();
        if survey.being_read {
            let behind = manifest.floor.first_lsn.saturating_sub(1);
            survey.held = Some(Held { who: "another process".into(), behind });
        }
        let last = named.last().map(|(sequence, ..)| *sequence);
        for (sequence, _, path) in &named {
            if *sequence < manifest.floor.sequence {
                survey.left_over += 1;
                continue;
            }
            // The last two: the one before the newest is measured once more when it is full.
            let growing = last.is_some_and(|last| *sequence + 1 >= last);
            let (header, bytes) = match self.headers.get(sequence) {
                Some(known) if !growing => *known,
                _ => self.measure(path)?,
            };
            self.headers.insert(*sequence, (header, bytes));
            survey.segments.push(SegmentFacts {
                sequence: *sequence,
                first_lsn: header.first_lsn,
                created_ms: header.created_ms,
                bytes,
            });
        }
        self.headers.retain(|sequence, _| *sequence >= manifest.floor.sequence);
        let found = self.snapshots.list()?;
        survey.snapshots = manifest
            .snapshots
            .iter()
            // One that was put aside or removed by hand stands for nothing.
            .filter(|one| found.iter().any(|(begin, _)| *begin == one.begin))
            .map(|one| SnapshotFacts {
                begin: one.begin,
                end: one.end,
                ended_ms: one.ended_ms,
                bytes: one.bytes,
            })
            .collect();
        let listed = |begin: Lsn| manifest.snapshots.iter().any(|one| one.begin == begin);
        survey.unlisted =
            found.into_iter().map(|(begin, _)| begin).filter(|begin| !listed(*begin)).collect();
        if let Some(newest) = last.filter(|last| *last > manifest.newest) {
            // A segment has its name only when the one before is durable. What the manifest says is
            // there, the directory must say too.
            self.fs.sync_dir(&segments_dir(&self.data))?;
            self.manifest.update(|manifest| {
                manifest.newest = newest;
                manifest.durable = manifest.durable.max(durable);
            })?;
        }
        Ok(survey)
    }

    fn measure(&self, path: &Path) -> io::Result<(SegmentHeader, u64)> {
        let file = self.fs.open(path, false)?;
        let header = read_header(&file)?
            .map_err(|damaged| io::Error::other(format!("{}: {damaged}", path.display())))?;
        Ok((header, file.size()?))
    }

    /// Lets go of what is to go. Blocks.
    ///
    /// # Errors
    /// Whatever the file system reports. What was not removed is left over, and costs nothing but
    /// its room.
    pub fn remove(&mut self, removal: &Removal) -> io::Result<Removed> {
        let mut removed = Removed::default();
        let Some(_alone) = self.fs.exclude_readers(&segments_dir(&self.data))? else {
            removed.held_up = true;
            return Ok(removed);
        };
        let floor = removal.first.and_then(|first| self.headers.get(&first));
        let mut floor = floor.map(|(header, _)| Floor::at(header));
        if let Some(raised) = floor
            && !self.holds.raise(raised.first_lsn)
        {
            (floor, removed.held_up) = (None, true);
        }
        let change = |manifest: &mut Manifest| {
            if let Some(floor) = floor {
                manifest.floor = floor;
            }
            manifest.snapshots.retain(|one| !removal.snapshots.contains(&one.begin));
        };
        let written = match floor {
            // A copy with the old floor would take what is removed for lost.
            Some(_) => self.manifest.update_both(change),
            None => self.manifest.update(change),
        };
        if let Err(error) = written {
            // One copy may say it already: then it holds.
            self.holds.lower(self.manifest.current().floor.first_lsn);
            return Err(error);
        }
        self.unlink(&removal.snapshots, &mut removed)?;
        Ok(removed)
    }

    /// Removes segments below the floor, and these snapshots.
    fn unlink(&self, snapshots: &[Lsn], removed: &mut Removed) -> io::Result<()> {
        let floor = self.manifest.current().floor;
        for (sequence, _, path) in segment::list(&self.fs, &segments_dir(&self.data))? {
            if sequence >= floor.sequence {
                break;
            }
            let bytes = self.fs.open(&path, false).and_then(|file| file.size()).unwrap_or(0);
            self.fs.remove(&path)?;
            removed.segments += 1;
            removed.bytes += bytes;
        }
        for (begin, path) in self.snapshots.list()? {
            if snapshots.contains(&begin) {
                self.fs.remove(&path)?;
                removed.snapshots += 1;
            }
        }
        Ok(())
    }
}
