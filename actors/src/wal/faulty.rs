//! A file system in memory that fails on order, and forgets what was not synced when told to.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::Rng;
use rand::rngs::SmallRng;

use super::fs::{Filesystem, LogFile};
use super::readers::Alone;

/// What a call does, to aim faults at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Write,
    Sync,
    Create,
    Rename,
    SyncDir,
    Other,
}

#[derive(Debug, Default, Clone)]
struct Content {
    now: Vec<u8>,
    synced: Vec<u8>,
    sync_failed: bool,
}

#[derive(Debug, Default)]
struct Disk {
    files: Vec<Content>,
    names: BTreeMap<PathBuf, usize>,
    synced_names: BTreeMap<PathBuf, usize>,
    /// The process dies after this many more changing calls.
    calls_left: Option<usize>,
    fault: Option<(Call, i32)>,
    /// The fault stays until it is lifted.
    lasting: bool,
    /// Writes say OK and leave something else.
    lying: bool,
    capacity: Option<usize>,
    forgotten: Vec<PathBuf>,
    resynced: bool,
}

#[derive(Debug, Clone, Default)]
pub(super) struct FaultyFs(Arc<Mutex<Disk>>);

#[derive(Debug)]
pub(super) struct FaultyFile(FaultyFs, usize);

impl FaultyFs {
    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From the n-th changing call on, nothing works: the process is dead.
    pub(super) fn kill_after(&self, calls: usize) {
        self.disk().calls_left = Some(calls);
    }

    /// The next `call` fails with `errno`.
    pub(super) fn fail_next(&self, call: Call, errno: i32) {
        let mut disk = self.disk();
        (disk.fault, disk.lasting) = (Some((call, errno)), false);
    }

    /// Every `call` fails with `errno` from now on.
    pub(super) fn fail_always(&self, call: Call, errno: i32) {
        let mut disk = self.disk();
        (disk.fault, disk.lasting) = (Some((call, errno)), true);
    }

    /// From now on nothing holds what was written to it.
    pub(super) fn lie(&self) {
        self.disk().lying = true;
    }

    /// From now on everything works.
    pub(super) fn fail_nothing(&self) {
        self.disk().fault = None;
    }

    /// Bytes the disk holds; `None` lifts the limit.
    pub(super) fn set_capacity(&self, bytes: Option<usize>) {
        self.disk().capacity = bytes;
    }

    /// Whether a file was synced again after a failed sync.
    pub(super) fn was_resynced(&self) -> bool {
        self.disk().resynced
    }

    /// Everything under this directory is gone, whoever has it open.
    pub(super) fn remove_all(&self, dir: &Path) {
        let mut disk = self.disk();
        disk.names.retain(|path, _| !path.starts_with(dir));
        disk.synced_names.retain(|path, _| !path.starts_with(dir));
    }

    /// A directory with all that is in it has another name.
    pub(super) fn rename_all(&self, from: &Path, to: &Path) {
        let mut disk = self.disk();
        let Disk { names, synced_names, .. } = &mut *disk;
        for names in [names, synced_names] {
            *names = std::mem::take(names)
                .into_iter()
                .map(|(path, id)| match path.strip_prefix(from) {
                    Ok(rest) => (to.join(rest), id),
                    Err(_) => (path, id),
                })
                .collect();
        }
    }

    /// Whether there is any file under this directory.
    pub(super) fn has_any(&self, dir: &Path) -> bool {
        self.disk().names.keys().any(|path| path.starts_with(dir))
    }

    /// What nobody wants to find in memory any more.
    pub(super) fn forgotten(&self) -> Vec<PathBuf> {
        self.disk().forgotten.clone()
    }

    pub(super) fn used(&self) -> usize {
        self.disk().used()
    }

    pub(super) fn content(&self, path: &Path) -> Vec<u8> {
        let disk = self.disk();
        disk.names.get(path).map_or_else(Vec::new, |&id| disk.files[id].now.clone())
    }

    pub(super) fn set_content(&self, path: &Path, bytes: &[u8]) {
        let mut disk = self.disk();
        let id = disk.files.len();
        disk.files.push(Content {
            now: bytes.to_vec(),
            synced: bytes.to_vec(),
            sync_failed: false,
        });
        disk.names.insert(path.to_owned(), id);
        disk.synced_names.insert(path.to_owned(), id);
    }

    /// What the next process finds: everything, or, with `power_cut`, what was synced and a
    /// random part of the rest.
    pub(super) fn after_crash(&self, power_cut: Option<&mut SmallRng>) -> Self {
        let disk = self.disk();
        let mut next = Disk { files: disk.files.clone(), ..Disk::default() };
        next.names = disk.names.clone();
        if let Some(rng) = power_cut {
            if rng.random() {
                next.names = disk.synced_names.clone();
            }
            for file in &mut next.files {
                if file.now.starts_with(&file.synced) {
                    let keep = rng.random_range(file.synced.len()..=file.now.len());
                    file.now.truncate(keep);
                } else if rng.random() {
                    file.now.clone_from(&file.synced);
                }
            }
        }
        for file in &mut next.files {
            file.synced = file.now.clone();
            file.sync_failed = false;
        }
        next.synced_names = next.names.clone();
        Self(Arc::new(Mutex::new(next)))
    }
}

impl Disk {
    fn change(&mut self, call: Call) -> io::Result<()> {
        match &mut self.calls_left {
            Some(0) => return Err(io::Error::other("the process is dead")),
            Some(left) => *left -= 1,
            None => {}
        }
        if self.calls_left == Some(0) {
            return Err(io::Error::other("the process dies"));
        }
        match self.fault {
            Some((aim, errno)) if aim == call => {
                if !self.lasting {
                    self.fault = None;
                }
                Err(io::Error::from_raw_os_error(errno))
            }
            _ => Ok(()),
        }
    }

    fn used(&self) -> usize {
        self.names.values().map(|&id| self.files[id].now.len()).sum()
    }
}

impl LogFile for FaultyFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut disk = self.0.disk();
        let (dead_before, lying) = (disk.calls_left == Some(0), disk.lying);
        let outcome = disk.change(Call::Write);
        // A failed write leaves a part behind, unless the process was dead before.
        let room = disk.capacity.map_or(usize::MAX, |cap| cap.saturating_sub(disk.used()));
        let part = if outcome.is_err() { bytes.len() / 2 } else { bytes.len() };
        let offset = offset as usize;
        let now = &mut disk.files[self.1].now;
        let room = room.saturating_add(now.len().saturating_sub(offset));
        let fit = part.min(room);
        if !dead_before && fit > 0 {
            if now.len() < offset + fit {
                now.resize(offset + fit, 0);
            }
            now[offset..offset + fit].copy_from_slice(&bytes[..fit]);
            now[offset] ^= u8::from(lying);
        }
        outcome?;
        if fit < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let disk = self.0.disk();
        let now = disk.files[self.1].now.get(offset as usize..).unwrap_or_default();
        let n = now.len().min(buf.len());
        buf[..n].copy_from_slice(&now[..n]);
        Ok(n)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.disk().files[self.1].now.len() as u64)
    }

    fn cut(&self, len: u64) -> io::Result<()> {
        let mut disk = self.0.disk();
        disk.change(Call::Other)?;
        disk.files[self.1].now.truncate(len as usize);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut disk = self.0.disk();
        if disk.files[self.1].sync_failed {
            disk.resynced = true;
            return Ok(()); // as the kernel does: the pages are gone, and all is well
        }
        let outcome = disk.change(Call::Sync);
        let dead = disk.calls_left == Some(0);
        let file = &mut disk.files[self.1];
        match outcome {
            Ok(()) => file.synced = file.now.clone(),
            Err(_) => file.sync_failed = !dead,
        }
        outcome
    }
}

impl Filesystem for FaultyFs {
    type File = FaultyFile;

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let disk = self.disk();
        let here = disk.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(here.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }

    fn create_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn create(&self, path: &Path) -> io::Result<FaultyFile> {
        let mut disk = self.disk();
        disk.change(Call::Create)?;
        if disk.capacity.is_some_and(|cap| disk.used() >= cap) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if disk.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let id = disk.files.len();
        disk.files.push(Content::default());
        disk.names.insert(path.to_owned(), id);
        Ok(FaultyFile(self.clone(), id))
    }

    fn open(&self, path: &Path, _write: bool) -> io::Result<FaultyFile> {
        let id = self.disk().names.get(path).copied().ok_or(io::ErrorKind::NotFound)?;
        Ok(FaultyFile(self.clone(), id))
    }

    fn is_at(&self, file: &FaultyFile, path: &Path, len: u64) -> io::Result<bool> {
        let disk = self.disk();
        let id = disk.names.get(path);
        Ok(id == Some(&file.1) && disk.files[file.1].now.len() as u64 >= len)
    }

    fn can_change(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.change(Call::Rename)?;
        let id = disk.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        disk.names.insert(to.to_owned(), id);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.change(Call::Other)?;
        disk.names.remove(path);
        Ok(())
    }

    fn exclude_readers(&self, _dir: &Path) -> io::Result<Option<Alone>> {
        Ok(Some(Alone::default()))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.change(Call::SyncDir)?;
        let Disk { names, synced_names, .. } = &mut *disk;
        synced_names.retain(|path, _| path.parent() != Some(dir));
        let here = names.iter().filter(|(path, _)| path.parent() == Some(dir));
        synced_names.extend(here.map(|(path, &id)| (path.clone(), id)));
        Ok(())
    }

    fn forget(&self, path: &Path) -> io::Result<()> {
        self.disk().forgotten.push(path.to_owned());
        Ok(())
    }
}
