//! Snapshots: everything the cache holds in one file, so that recovery need not read the whole
//! log.
//!
//! ```text
//! <data>/snap/<begin, 20 digits>.snap
//!
//! offset  size  field                                        (integers little-endian)
//!      0     8  magic "SWSNAP1\n"
//!      8     2  format version (4)
//!     10     2  minimum reader version (4)
//!     12     4  reserved, 0
//!     16    16  log id
//!     32     8  begin: the log's last LSN before the first entry was read
//!     40     8  wall clock at creation, Unix milliseconds
//!     48    32  SHA-256 of bytes 0..48; its second half is the previous digest of the first frame
//!     80        frames of SET and FILL records, as in the log
//!               a frame without records, whose durable LSN is *end*; then the file ends
//! ```
//!
//! A snapshot is *fuzzy*: it is taken while the cache goes on changing, between the LSNs begin
//! and end. Loaded, and followed by the log's records from begin + 1, it is the state at every
//! LSN from end on. So it is worth something only where the log reaches to end for certain: it
//! gets its name when the log is durable up to there, and a log that ends before is corrupt.
//!
//! In a frame's header the *first LSN* counts entries instead, from 1, and the durable LSN is 0
//! in all but the last. Its checksum starts with an id that is made of the log's and begin, so a
//! block of a snapshot that a disk puts into the log by mistake is no frame there.

mod find;
mod read;
mod write;

pub(super) use read::ends;
pub use read::{Flawed, Loaded};
pub use write::{SnapshotWriter, Written};

use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::format::Versions;
use super::frame::{Digest, LogId, halves, le};
use super::fs::{Filesystem, OsFs};
use super::holds::Holds;
use super::manifest::{Manifest, ManifestFile};
use super::retention::Retention;
use crate::clock::{Clock, UnixMs};
use crate::journal::Lsn;

/// Bytes of a snapshot's header.
const HEADER_LEN: usize = 80;
/// Before format 3 a frame's header had a fixed length; before format 4 there was no FILL, and what was
/// read from the tier was a SET like what was written here.
const VERSIONS: Versions = Versions { format: 4, reader: 4, oldest: 3 };
const MAGIC: &[u8; 8] = b"SWSNAP1\n";
const ENDING: &str = ".snap";
/// The ending of a snapshot that is not finished.
const UNNAMED: &str = ".snap.new";

/// The snapshots of one log.
#[derive(Debug, Clone)]
pub struct Snapshots<F: Filesystem = OsFs> {
    fs: F,
    data: PathBuf,
    log: LogId,
    manifest: ManifestFile<F>,
    holds: Holds,
    clock: Clock,
}

/// What a snapshot says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Header {
    /// The versions as they stand there. They are a part of what the frames' chain begins with.
    versions: [u8; 4],
    log: LogId,
    begin: Lsn,
    created_ms: UnixMs,
}

impl Header {
    fn encode(&self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        out[0..8].copy_from_slice(MAGIC);
        out[Versions::AT].copy_from_slice(&self.versions);
        out[16..32].copy_from_slice(self.log.bytes());
        out[32..40].copy_from_slice(&self.begin.to_le_bytes());
        out[40..48].copy_from_slice(&self.created_ms.to_le_bytes());
        let digest = digest(&out);
        out[48..].copy_from_slice(&digest);
        out
    }

    fn decode(bytes: &[u8; HEADER_LEN]) -> Result<Self, Flawed> {
        if &bytes[..8] != MAGIC || bytes[48..] != digest(bytes) {
            return Err(Flawed::Damaged { offset: 0, what: "the header is damaged".to_owned() });
        }
        VERSIONS.decode(&bytes[Versions::AT])?;
        let (mut versions, mut log) = ([0; 4], [0; 16]);
        versions.copy_from_slice(&bytes[Versions::AT]);
        log.copy_from_slice(&bytes[16..32]);
        Ok(Self {
            versions,
            log: LogId::new(log),
            begin: le(&bytes[32..40]),
            created_ms: le(&bytes[40..48]),
        })
    }

    /// The id that the frames' checksums start with.
    fn frames_id(&self) -> LogId {
        let mut sha = Sha256::new();
        sha.update(b"seawall snapshot");
        sha.update(self.log.bytes());
        sha.update(self.begin.to_le_bytes());
        let [first, _] = halves(&sha.finalize().into());
        LogId::new(first)
    }

    /// The previous digest of the first frame.
    fn digest(&self) -> Digest {
        let [_, second] = halves(&digest(&self.encode()));
        second
    }
}

fn digest(header: &[u8; HEADER_LEN]) -> [u8; 32] {
    Sha256::digest(&header[..48]).into()
}

fn names<F: Filesystem>(fs: &F, dir: &Path) -> io::Result<Vec<String>> {
    match fs.list(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        listed => listed,
    }
}

/// What the name of a snapshot, finished or not, says of its begin.
fn begin_in(path: &Path) -> Option<Lsn> {
    let name = path.file_name()?.to_str()?;
    let digits = name.strip_suffix(ENDING)?;
    (digits.len() == 20).then(|| digits.parse().ok()).flatten()
}

/// The directory of the snapshots.
pub(super) fn directory(data: &Path) -> PathBuf {
    data.join("snap")
}

impl<F: Filesystem> Snapshots<F> {
    /// The snapshots in the data directory `data` that belong to the manifest's log.
    pub(super) fn new(
        fs: F,
        data: &Path,
        manifest: ManifestFile<F>,
        holds: Holds,
        clock: Clock,
    ) -> Self {
        let log = manifest.current().log;
        Self { fs, data: data.to_owned(), log, manifest, holds, clock }
    }

    /// What keeps the log behind a snapshot, or any part of it, from being deleted.
    #[must_use]
    pub const fn holds(&self) -> &Holds {
        &self.holds
    }

    /// The name of the log, which no other has: 32 hexadecimal digits.
    #[must_use]
    pub fn log_name(&self) -> String {
        self.log.bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The disk that they and the log are on.
    #[must_use]
    pub fn retention(&self) -> Retention<F> {
        let (fs, manifest) = (self.fs.clone(), self.manifest.clone());
        Retention::new(fs, &self.data, self.clone(), manifest, self.holds.clone())
    }

    pub(super) fn dir(&self) -> PathBuf {
        directory(&self.data)
    }

    fn path_of(&self, begin: Lsn) -> PathBuf {
        self.dir().join(format!("{begin:020}{ENDING}"))
    }

    /// The names in the directory, which is there from the first snapshot on.
    fn names(&self) -> io::Result<Vec<String>> {
        names(&self.fs, &self.dir())
    }

    /// Begin and file of every finished snapshot, the newest first. Blocks.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn list(&self) -> io::Result<Vec<(Lsn, PathBuf)>> {
        let (dir, names) = (self.dir(), self.names()?);
        let mut found: Vec<(Lsn, PathBuf)> = names
            .into_iter()
            .filter_map(|name| Some((begin_in(Path::new(&name))?, dir.join(name))))
            .collect();
        found.sort_unstable_by(|a, b| b.cmp(a));
        Ok(found)
    }

    /// The same, without those whose log behind them was deleted. Blocks.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn usable(&self) -> io::Result<Vec<(Lsn, PathBuf)>> {
        let mut found = self.list()?;
        found.retain(|(begin, _)| self.has_log_behind(*begin));
        Ok(found)
    }

    /// Whether the log behind a snapshot that begins here was not deleted.
    pub(super) fn has_log_behind(&self, begin: Lsn) -> bool {
        begin.saturating_add(1) >= self.manifest.current().floor.first_lsn
    }

    /// Those that the manifest lists, whether they are there or not.
    pub(super) fn listed(&self) -> Vec<(Lsn, PathBuf)> {
        let listed = self.manifest.current().snapshots;
        listed.iter().map(|one| (one.begin, self.path_of(one.begin))).collect()
    }

    /// Writes down that a snapshot was whole when it was read, and forgets those whose files are
    /// gone. Blocks.
    ///
    /// # Errors
    /// Whatever the file system reports. The snapshot can be used all the same.
    pub fn vouch_for(&self, loaded: &Loaded) -> io::Result<()> {
        let there = self.list()?;
        self.manifest.update(|manifest| {
            manifest.snapshots.retain(|one| there.iter().any(|(begin, _)| *begin == one.begin));
            manifest.list(loaded.listed());
        })
    }

    /// Removes what was begun and not finished. Blocks.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn remove_unfinished(&self) -> io::Result<()> {
        let dir = self.dir();
        for name in self.names()?.iter().filter(|name| name.ends_with(UNNAMED)) {
            self.fs.remove(&dir.join(name))?;
        }
        Ok(())
    }

    /// Moves a damaged snapshot to `quarantine/`, where it is kept, and takes it from the
    /// manifest's list. Blocks. Returns where it is.
    ///
    /// # Errors
    /// It could not be moved.
    pub fn quarantine(&self, path: &Path) -> io::Result<PathBuf> {
        let quarantine = self.data.join("quarantine");
        self.fs.create_dir(&quarantine)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let aside = quarantine.join(format!("{name}.{}", self.clock.unix_ms()));
        self.fs.rename(path, &aside)?;
        self.fs.sync_dir(&quarantine)?;
        self.fs.sync_dir(&self.dir())?;
        let begin = begin_in(path);
        let unlist = |manifest: &mut Manifest| {
            manifest.snapshots.retain(|one| Some(one.begin) != begin);
        };
        if let Err(error) = self.manifest.update(unlist) {
            // Retention does not count on a file that is not there.
            tracing::warn!(
                path = "snapshots",
                %error,
                "the manifest still lists a snapshot that was put aside, and cannot be written"
            );
        }
        Ok(aside)
    }
}

#[cfg(test)]
mod tests;
