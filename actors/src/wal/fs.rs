//! The narrow door to the file system, so that tests can put a failing one behind it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Access, Advice, access, fadvise};

use super::readers::Alone;
use crate::failpoint::{self, Point};

/// One open file of the log. All methods take `&self`: a sync runs beside writes.
pub trait LogFile: Send + Sync + 'static {
    /// Writes all of `bytes` at `offset`. After an error any part of it may be there.
    ///
    /// # Errors
    /// Whatever the system reports.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Reads up to `buf.len()` bytes at `offset`; 0 at the end of the file.
    ///
    /// # Errors
    /// Whatever the system reports.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Length in bytes.
    ///
    /// # Errors
    /// Whatever the system reports.
    fn size(&self) -> io::Result<u64>;

    /// Cuts the file to `len` bytes.
    ///
    /// # Errors
    /// Whatever the system reports.
    fn cut(&self, len: u64) -> io::Result<()>;

    /// Makes the content durable. After an error MUST NOT be called on this file again: the
    /// kernel may have dropped the dirty pages and would report success.
    ///
    /// # Errors
    /// Whatever the system reports.
    fn sync(&self) -> io::Result<()>;
}

/// What the log needs of a file system.
pub trait Filesystem: Clone + Send + Sync + 'static {
    /// Its open files.
    type File: LogFile;

    /// The names of the entries of `dir`, in any order. Names that are not UTF-8 are left out.
    ///
    /// # Errors
    /// Whatever the system reports.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Creates `dir` and its parents where they are missing.
    ///
    /// # Errors
    /// Whatever the system reports.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// Creates an empty file; fails if it exists.
    ///
    /// # Errors
    /// Whatever the system reports.
    fn create(&self, path: &Path) -> io::Result<Self::File>;

    /// Opens an existing file to read, and to write if `write`.
    ///
    /// # Errors
    /// Whatever the system reports.
    fn open(&self, path: &Path, write: bool) -> io::Result<Self::File>;

    /// Whether `path` names this very file, and it still has `len` bytes at least.
    ///
    /// # Errors
    /// Whatever the system reports, but for a name that is not there.
    fn is_at(&self, file: &Self::File, path: &Path, len: u64) -> io::Result<bool>;

    /// Whether files could be made and removed in `dir` now.
    ///
    /// # Errors
    /// Why they could not.
    fn can_change(&self, dir: &Path) -> io::Result<()>;

    /// Gives a file its new name, atomically.
    ///
    /// # Errors
    /// Whatever the system reports.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file; `Ok` if it is not there.
    ///
    /// # Errors
    /// Whatever the system reports.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Keeps readers of the segments in `dir` out, which may be other processes; `None` if there is
    /// one. MUST NOT wait.
    ///
    /// # Errors
    /// Whatever the system reports.
    fn exclude_readers(&self, dir: &Path) -> io::Result<Option<Alone>>;

    /// Makes the entries of `dir` durable.
    ///
    /// # Errors
    /// Whatever the system reports.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Lets the system drop what it holds of a file's content in memory; what is not on disk
    /// stays. Only an advantage is lost if it fails.
    ///
    /// # Errors
    /// Whatever the system reports.
    fn forget(&self, path: &Path) -> io::Result<()>;
}

/// The operating system's file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsFs;

/// An open file of the operating system.
#[derive(Debug)]
pub struct OsFile {
    file: File,
    /// A sync has failed. Another would say that all is well, whatever the kernel has dropped.
    sync_failed: AtomicBool,
}

impl From<File> for OsFile {
    fn from(file: File) -> Self {
        Self { file, sync_failed: AtomicBool::new(false) }
    }
}

/// A call that changes something, with the failpoints before and behind it.
fn change<T>(point: Point, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    failpoint::io(Point::FsCall)?;
    failpoint::io(point)?;
    let outcome = call();
    failpoint::hit(Point::FsDone);
    outcome
}

impl LogFile for OsFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        change(Point::FsWrite, || {
            if !failpoint::is_armed(Point::FsHalf) {
                return self.file.write_all_at(bytes, offset);
            }
            let (head, tail) = bytes.split_at(bytes.len() / 2);
            self.file.write_all_at(head, offset)?;
            failpoint::io(Point::FsHalf)?;
            self.file.write_all_at(tail, offset + head.len() as u64)
        })
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn cut(&self, len: u64) -> io::Result<()> {
        change(Point::FsCut, || self.file.set_len(len))
    }

    fn sync(&self) -> io::Result<()> {
        if self.sync_failed.load(Ordering::Acquire) {
            tracing::error!(
                path = "wal",
                event = "resynced",
                "a file whose sync failed is not synced again"
            );
            return Err(io::Error::other("an earlier sync of this file has failed"));
        }
        let outcome = change(Point::FsSync, || self.file.sync_data());
        self.sync_failed.store(outcome.is_err(), Ordering::Release);
        outcome
    }
}

/// Whether there is no such file: neither it, nor a directory that it could be in.
pub(super) fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

impl Filesystem for OsFs {
    type File = OsFile;

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        failpoint::io(Point::FsList)?;
        let mut names = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        std::fs::create_dir_all(dir)
    }

    fn create(&self, path: &Path) -> io::Result<OsFile> {
        let how = || OpenOptions::new().read(true).write(true).create_new(true).open(path);
        change(Point::FsCreate, how).map(OsFile::from)
    }

    fn open(&self, path: &Path, write: bool) -> io::Result<OsFile> {
        failpoint::io(Point::FsOpen)?;
        OpenOptions::new().read(true).write(write).open(path).map(OsFile::from)
    }

    fn is_at(&self, file: &OsFile, path: &Path, len: u64) -> io::Result<bool> {
        let (open, named) = match std::fs::metadata(path) {
            Ok(named) => (file.file.metadata()?, named),
            Err(error) if is_missing(&error) => return Ok(false),
            Err(error) => return Err(error),
        };
        Ok((open.dev(), open.ino()) == (named.dev(), named.ino()) && named.len() >= len)
    }

    fn can_change(&self, dir: &Path) -> io::Result<()> {
        failpoint::io(Point::FsAccess)?;
        Ok(access(dir, Access::WRITE_OK | Access::EXEC_OK)?)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        change(Point::FsRename, || std::fs::rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match change(Point::FsRemove, || std::fs::remove_file(path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    fn exclude_readers(&self, dir: &Path) -> io::Result<Option<Alone>> {
        Alone::try_in(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        change(Point::FsSyncDir, || File::open(dir)?.sync_all())
    }

    fn forget(&self, path: &Path) -> io::Result<()> {
        Ok(fadvise(File::open(path)?, 0, None, Advice::DontNeed)?)
    }
}
