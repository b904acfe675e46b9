//! Writing a snapshot: to a file without a name, read back, then named.

use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{Header, Loaded, Snapshots, UNNAMED, VERSIONS};
use crate::clock::UnixMs;
use crate::failpoint::{self, Point};
use crate::journal::packed::Packer;
use crate::journal::{Lsn, RecordBatch};
use crate::wal::frame::{self, Digest, FrameHeader};
use crate::wal::fs::{Filesystem, LogFile, OsFs};
use crate::wal::ground::Base;
use crate::wal::manifest::{Listed, ManifestFile};

/// Bytes written between two syncs: one sync of it all at the end would hold up those of the log.
const SYNC_EVERY: u64 = 4 << 20;
/// While a snapshot is read back, others have their turn after every frame: for so many times as
/// long as it took ...
const REST: u32 = 3;
/// ... and no longer than this.
const LONGEST_REST: Duration = Duration::from_millis(2);

/// A snapshot that is being written. Every call blocks.
///
/// Dropped before [`SnapshotWriter::publish`], it leaves a file without a name, which the next
/// one removes.
#[derive(Debug)]
pub struct SnapshotWriter<F: Filesystem = OsFs> {
    snapshots: Snapshots<F>,
    header: Header,
    path: PathBuf,
    file: F::File,
    len: u64,
    synced: u64,
    entries: u64,
    chain: Digest,
    frame: Vec<u8>,
    /// What was read back of the finished file.
    verified: Option<Loaded>,
    packer: Packer,
}

/// A snapshot that has its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Its file.
    pub path: PathBuf,
    /// The log's last LSN before the first entry was read.
    pub begin: Lsn,
    /// With the log up to here it is a state of the cache.
    pub end: Lsn,
    /// Entries in it.
    pub entries: u64,
    /// Length of the file.
    pub bytes: u64,
    /// When it was begun.
    pub created_ms: UnixMs,
}

impl<F: Filesystem> Snapshots<F> {
    /// Begins a snapshot; `begin` is the log's last LSN, read before the first entry is. Blocks.
    ///
    /// # Errors
    /// Whatever the file system reports.
    pub fn create(&self, begin: Lsn) -> io::Result<SnapshotWriter<F>> {
        self.create_in(VERSIONS.encode(VERSIONS.format), begin)
    }

    pub(super) fn create_in(&self, versions: [u8; 4], begin: Lsn) -> io::Result<SnapshotWriter<F>> {
        failpoint::hit(Point::SnapshotBegin);
        let dir = self.dir();
        self.fs.create_dir(&dir)?;
        self.fs.sync_dir(&self.data)?;
        self.remove_unfinished()?;
        let path = dir.join(format!("{begin:020}{UNNAMED}"));
        let created_ms = self.clock.unix_ms();
        let header = Header { versions, log: self.log, begin, created_ms };
        let file = self.fs.create(&path)?;
        let bytes = header.encode();
        file.write_at(&bytes, 0)?;
        Ok(SnapshotWriter {
            snapshots: self.clone(),
            header,
            path,
            file,
            len: bytes.len() as u64,
            synced: 0,
            entries: 0,
            chain: header.digest(),
            frame: Vec::new(),
            verified: None,
            packer: Packer::default(),
        })
    }
}

impl<F: Filesystem> SnapshotWriter<F> {
    /// Writes entries, which are SET and FILL records, as one frame; values of more than `compress_above`
    /// bytes (0: none) are compressed where it pays.
    ///
    /// # Errors
    /// Whatever the file system reports; [`SnapshotWriter::discard`] it then.
    pub fn append(&mut self, entries: &RecordBatch, compress_above: u64) -> io::Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        failpoint::hit(Point::SnapshotPiece);
        let mut packer = std::mem::take(&mut self.packer);
        let above = usize::try_from(compress_above).unwrap_or(usize::MAX);
        let pays = above > 0 && entries.largest_value() > above;
        let packed = if pays { packer.pack(entries.as_bytes(), above) } else { None };
        let payload = packed.unwrap_or(entries.as_bytes());
        self.frame(payload, packed.is_some(), entries.count(), 0)?;
        packer.trim();
        self.packer = packer;
        self.entries += u64::from(entries.count());
        if self.len - self.synced >= SYNC_EVERY {
            self.file.sync()?;
            self.synced = self.len;
        }
        Ok(())
    }

    /// Ends the file, makes it durable, and reads all of it back. The log's last LSN, read after
    /// the last entry was, is `end`.
    ///
    /// # Errors
    /// Whatever the file system reports, and bytes that are not what was written;
    /// [`SnapshotWriter::discard`] it then.
    pub fn finish(&mut self, end: Lsn) -> io::Result<()> {
        failpoint::hit(Point::SnapshotFinish);
        self.frame(&[], false, 0, end)?;
        self.file.sync()?;
        let mut begun = Instant::now();
        let rest = |_| {
            std::thread::sleep((begun.elapsed() * REST).min(LONGEST_REST));
            begun = Instant::now();
            ControlFlow::Continue(())
        };
        let read_back = self.snapshots.load(&self.path, |_| {}, rest).map_err(io::Error::other)?;
        let (entries, digest) = (self.entries, self.chain);
        if (read_back.entries, read_back.end, read_back.digest) != (entries, end, digest) {
            return Err(io::Error::other("what is read back is not what was written"));
        }
        self.verified = Some(read_back);
        Ok(())
    }

    /// Gives the finished snapshot its name and a line in the manifest. From the return on the next
    /// start uses it, so the log must be durable up to its end.
    ///
    /// # Errors
    /// It was not finished, or whatever the file system reports. If the file has its name already,
    /// it is as good as any, but retention does not count on it.
    pub fn publish(self) -> io::Result<Written> {
        self.publish_with(|file, snapshot| file.update(|manifest| manifest.list(snapshot)))
    }

    /// The same for a log whose files were removed: the manifest says that it begins at `base`, and
    /// that this snapshot stands for what was before. It must have been begun since then.
    ///
    /// # Errors
    /// As [`SnapshotWriter::publish`]; the log has not begun anew then.
    pub fn publish_as(self, base: Base) -> io::Result<Written> {
        let Base(floor) = base;
        if self.header.begin.saturating_add(1) < floor.first_lsn {
            return Err(io::Error::other("the snapshot was begun before the log was"));
        }
        let holds = self.snapshots.holds.clone();
        let written = self.publish_with(|file, snapshot| {
            // The other copy may be gone, or say what is not true any more.
            file.update_both(|manifest| manifest.begin_anew(floor, snapshot))
        });
        holds.force(floor.first_lsn);
        written
    }

    /// `note` writes it into the manifest.
    fn publish_with(
        self,
        note: impl FnOnce(&ManifestFile<F>, Listed) -> io::Result<()>,
    ) -> io::Result<Written> {
        let unfinished = || io::Error::other("the snapshot was not finished");
        let loaded = self.verified.ok_or_else(unfinished)?;
        let path = self.snapshots.path_of(self.header.begin);
        let fs = &self.snapshots.fs;
        failpoint::hit(Point::SnapshotPublish);
        fs.rename(&self.path, &path)?;
        fs.sync_dir(&self.snapshots.dir())?;
        failpoint::hit(Point::SnapshotNamed);
        note(&self.snapshots.manifest, loaded.listed())?;
        let Loaded { begin, end, entries, bytes, created_ms, .. } = loaded;
        Ok(Written { path, begin, end, entries, bytes, created_ms })
    }

    /// Removes the file.
    pub fn discard(self) {
        if let Err(error) = self.snapshots.fs.remove(&self.path) {
            // The next one tries again.
            tracing::warn!(path = "snapshots", %error, "an unfinished snapshot is left behind");
        }
    }

    fn frame(
        &mut self,
        payload: &[u8],
        packed: bool,
        count: u32,
        durable_lsn: Lsn,
    ) -> io::Result<()> {
        let header = FrameHeader {
            payload_len: payload.len() as u64,
            count,
            first_lsn: self.entries + 1,
            durable_lsn,
            wall_ms: self.snapshots.clock.unix_ms(),
            packed,
        };
        self.frame.clear();
        let id = self.header.frames_id();
        let chain = frame::append_frame(&mut self.frame, &id, &self.chain, &header, payload);
        self.file.write_at(&self.frame, self.len)?;
        self.len += self.frame.len() as u64;
        self.chain = chain;
        Ok(())
    }
}
