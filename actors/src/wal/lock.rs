//! The data directory and the lock that keeps a second daemon out of it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FlockOperation, flock};

/// Its lock file.
const LOCK: &str = "LOCK";

/// A data directory that belongs to this process for as long as the value lives.
///
/// The lock is `flock` on the file `LOCK`: the kernel releases it with the process, however
/// that ends, so a stale lock does not exist.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// Holds the lock; it is released when the file is closed.
    lock: Mutex<File>,
}

/// Why the data directory could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds it.
    #[error("{} is in use by {}; stop it or choose another data directory",
        path.display(), holder(*pid))]
    Held {
        /// The data directory.
        path: PathBuf,
        /// The holder's process id, if it wrote one down.
        pid: Option<u32>,
    },
    /// The directory or its lock file cannot be made or opened.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

/// What the holder wrote into the lock file: a courtesy, the lock itself is the kernel's.
fn pid_in(lock: &mut File) -> Option<u32> {
    let mut text = String::new();
    let _ = lock.take(32).read_to_string(&mut text);
    text.trim().parse().ok()
}

/// Makes the directory where it is missing, and locks it.
fn take(path: &Path) -> Result<File, LockError> {
    let io = |doing, path: &Path| {
        let path = path.to_owned();
        move |source| LockError::Io { doing, path, source }
    };
    std::fs::create_dir_all(path).map_err(io("create the data directory", path))?;
    let file = path.join(LOCK);
    let mut lock = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&file)
        .map_err(io("open", &file))?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            return Err(LockError::Held { path: path.to_owned(), pid: pid_in(&mut lock) });
        }
        Err(errno) => return Err(io("lock", &file)(errno.into())),
    }
    let pid = format!("{}\n", std::process::id());
    // A full disk must not keep a daemon from starting to read: the pid may be missing.
    let _ =
        lock.set_len(0).and_then(|()| lock.rewind()).and_then(|()| lock.write_all(pid.as_bytes()));
    Ok(lock)
}

impl DataDir {
    /// Takes the directory, which is created if it is missing.
    ///
    /// # Errors
    /// [`LockError::Held`] if another process, or another `DataDir` of this one, has it.
    pub fn lock(path: impl AsRef<Path>) -> Result<Self, LockError> {
        let path = path.as_ref().to_owned();
        let lock = Mutex::new(take(&path)?);
        Ok(Self { path, lock })
    }

    /// Takes the directory again if it, or its lock file, was removed. Blocks.
    ///
    /// # Errors
    /// [`LockError`]: another process was quicker, or the directory cannot be made.
    pub fn renew(&self) -> Result<(), LockError> {
        let file = self.path.join(LOCK);
        let io = |doing, source| LockError::Io { doing, path: file.clone(), source };
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let held = lock.metadata().map_err(|error| io("look at", error))?;
        match std::fs::metadata(&file) {
            Ok(named) if (named.dev(), named.ino()) == (held.dev(), held.ino()) => return Ok(()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io("find", error)),
            Ok(_) | Err(_) => {}
        }
        let fresh = take(&self.path)?;
        let there = fresh.metadata().map_err(|error| io("look at", error))?;
        if there.dev() != held.dev() {
            let why = "another file system is there now: something was mounted or unmounted; put \
                       back what was there, or restart to use what is";
            return Err(io("take back", io::Error::other(why)));
        }
        tracing::warn!(
            path = "wal",
            event = "locked_again",
            directory = %self.path.display(),
            "the lock file of the data directory was removed; it is made and held again"
        );
        *lock = fresh;
        Ok(())
    }

    /// Who holds the directory now, without changing anything: `None` if nobody does,
    /// `Some(None)` if the holder has not written down its process id.
    ///
    /// The question takes a shared lock for a moment: a daemon that starts at that very moment
    /// would find the directory taken.
    ///
    /// # Errors
    /// [`LockError::Io`] if the lock file is there and cannot be read.
    pub fn holder(path: impl AsRef<Path>) -> Result<Option<Option<u32>>, LockError> {
        let path = path.as_ref().join(LOCK);
        let io = |doing, source| LockError::Io { doing, path: path.clone(), source };
        let mut lock = match File::open(&path) {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io("open", error)),
        };
        match flock(&lock, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(None),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(Some(pid_in(&mut lock))),
            Err(errno) => Err(io("lock", errno.into())),
        }
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests;
