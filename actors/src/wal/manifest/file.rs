//! The two copies on disk.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{MAX_LEN, Manifest, ManifestError};
use crate::clock::Clock;
use crate::failpoint::{self, Point};
use crate::wal::fs::{Filesystem, LogFile};
use crate::wal::replay::{OpenError, io_error};

/// Names of the copies, for even and for odd generations.
pub(in crate::wal) const PATHS: [&str; 2] = ["MANIFEST.a", "MANIFEST.b"];

/// What was found of a manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::wal) struct Copies {
    /// The valid one with the highest generation.
    pub(in crate::wal) manifest: Option<Manifest>,
    /// How many copies are valid.
    pub(in crate::wal) sound: usize,
    /// Copies that are there and damaged.
    pub(in crate::wal) damaged: Vec<PathBuf>,
}

impl Copies {
    /// The manifest to go by; `None` if there never was one.
    ///
    /// # Errors
    /// [`OpenError::Manifest`]: there was one, and no copy of it is whole.
    pub(in crate::wal) fn usable(self) -> Result<Option<Manifest>, OpenError> {
        if self.manifest.is_none() && !self.damaged.is_empty() {
            return Err(OpenError::Manifest { copies: self.damaged });
        }
        Ok(self.manifest)
    }
}

/// Reads both copies.
///
/// # Errors
/// [`OpenError::Io`]; [`OpenError::OtherVersion`] if another version has written one.
pub(in crate::wal) fn read<F: Filesystem>(fs: &F, data: &Path) -> Result<Copies, OpenError> {
    let mut copies = Copies::default();
    for path in PATHS.map(|name| data.join(name)) {
        let Some(bytes) = content(fs, &path).map_err(io_error("read", &path))? else { continue };
        match Manifest::decode(&bytes) {
            Ok(manifest) => {
                copies.sound += 1;
                let newest = copies.manifest.as_ref().map_or(0, |other| other.generation);
                if manifest.generation >= newest {
                    copies.manifest = Some(manifest);
                }
            }
            Err(ManifestError::Damaged) => copies.damaged.push(path),
            Err(error @ ManifestError::OtherVersion(_)) => {
                return Err(OpenError::OtherVersion { path, what: error.to_string() });
            }
        }
    }
    Ok(copies)
}

/// Up to one byte more than a manifest can have; `None` if there is no such file.
fn content<F: Filesystem>(fs: &F, path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match fs.open(path, false) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = vec![0; MAX_LEN + 1];
    let mut have = 0;
    while have < bytes.len() {
        match file.read_at(&mut bytes[have..], have as u64) {
            Ok(0) => break,
            Ok(n) => have += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(have);
    Ok(Some(bytes))
}

/// The manifest of an open log. Cheap to clone; every clone sees the same.
#[derive(Debug, Clone)]
pub(in crate::wal) struct ManifestFile<F: Filesystem> {
    fs: F,
    data: PathBuf,
    clock: Clock,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    manifest: Manifest,
    /// Both copies are there and whole.
    doubled: bool,
}

impl<F: Filesystem> ManifestFile<F> {
    /// `manifest` is what was read, or [`Manifest::new`] where there is none; `doubled` says whether
    /// both copies are there and whole.
    pub(in crate::wal) fn new(
        fs: F,
        data: &Path,
        clock: Clock,
        manifest: Manifest,
        doubled: bool,
    ) -> Self {
        let state = Arc::new(Mutex::new(State { manifest, doubled }));
        Self { fs, data: data.to_owned(), clock, state }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // It is replaced whole, or not at all.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it says now. May wait for a write of it: call it where blocking is allowed.
    pub(in crate::wal) fn current(&self) -> Manifest {
        self.lock().manifest.clone()
    }

    /// Changes it; on return the change is durable in one copy, and in both if one was missing.
    /// Nothing is written if it stays as it was. Blocks.
    ///
    /// # Errors
    /// Whatever the file system reports; it goes on from what it said before.
    pub(in crate::wal) fn update(&self, change: impl FnOnce(&mut Manifest)) -> io::Result<()> {
        let mut state = self.lock();
        let mut next = state.manifest.clone();
        change(&mut next);
        if state.doubled && next == state.manifest {
            return Ok(());
        }
        self.write(&mut state, next)?;
        if state.doubled { Ok(()) } else { self.write_again(&mut state) }
    }

    /// The same, in both copies: for what must not come undone if one of them is damaged later.
    ///
    /// # Errors
    /// Whatever the file system reports; one copy may have changed already.
    pub(in crate::wal) fn update_both(&self, change: impl FnOnce(&mut Manifest)) -> io::Result<()> {
        let mut state = self.lock();
        let mut next = state.manifest.clone();
        change(&mut next);
        // Until both say it, what depends on both must wait, in this call or a later one.
        state.doubled = false;
        self.write(&mut state, next)?;
        self.write_again(&mut state)
    }

    fn write_again(&self, state: &mut State) -> io::Result<()> {
        let same = state.manifest.clone();
        self.write(state, same)?;
        state.doubled = true;
        Ok(())
    }

    fn write(&self, state: &mut State, mut next: Manifest) -> io::Result<()> {
        next.generation = state.manifest.generation + 1;
        next.written_ms = self.clock.unix_ms();
        let path = self.data.join(PATHS[(next.generation % 2) as usize]);
        let unnamed = unnamed(&path);
        failpoint::hit(Point::ManifestWrite);
        self.fs.remove(&unnamed)?;
        let file = self.fs.create(&unnamed)?;
        file.write_at(&next.encode(), 0)?;
        file.sync()?;
        failpoint::hit(Point::ManifestRename);
        self.fs.rename(&unnamed, &path)?;
        self.fs.sync_dir(&self.data)?;
        failpoint::hit(Point::ManifestNamed);
        state.manifest = next;
        Ok(())
    }
}

/// What a copy is called until it is on disk. One that a crash leaves is replaced by the next.
fn unnamed(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}
