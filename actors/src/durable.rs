//! A file that is there whole, or not at all: written beside its name, synced, renamed, and its
//! folder synced. All of it blocks.
//!
//! The log has a way of its own ([`crate::wal`]): its tests need disks that fail.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// A file that does not have its name yet. Dropped before it is published, it is removed.
#[derive(Debug)]
pub struct NewFile {
    file: File,
    unnamed: PathBuf,
    name: PathBuf,
}

impl NewFile {
    /// Begins a file in the directory that it is to be in, under its name and `.new`: for a name that
    /// only one process at a time writes.
    ///
    /// # Errors
    /// It cannot be created there, or the name is a directory's.
    pub fn create(name: &Path) -> io::Result<Self> {
        Self::create_as(name, ".new", 0o666)
    }

    /// The same, for a name that several processes may write at the same time: the last one wins.
    ///
    /// # Errors
    /// As [`NewFile::create`].
    pub fn create_among_others(name: &Path) -> io::Result<Self> {
        Self::create_as(name, &format!(".{}.new", std::process::id()), 0o666)
    }

    /// The same, to be read by nobody else until it is given other permissions.
    ///
    /// # Errors
    /// As [`NewFile::create`].
    pub fn create_private(name: &Path) -> io::Result<Self> {
        Self::create_as(name, &format!(".{}.new", std::process::id()), 0o600)
    }

    fn create_as(name: &Path, suffix: &str, mode: u32) -> io::Result<Self> {
        if name.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let mut unnamed = name.as_os_str().to_owned();
        unnamed.push(suffix);
        let unnamed = PathBuf::from(unnamed);
        // Left behind by a crash.
        let _ = fs::remove_file(&unnamed);
        let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&unnamed)?;
        Ok(Self { file, unnamed, name: name.to_owned() })
    }

    /// Who may do what with it.
    ///
    /// # Errors
    /// Whatever the file system reports.
    pub fn set_permissions(&self, permissions: Permissions) -> io::Result<()> {
        self.file.set_permissions(permissions)
    }

    /// Makes it durable and gives it its name, over a file that has had it.
    ///
    /// # Errors
    /// Whatever the file system reports; the name is the old file's, or the whole new one's.
    pub fn publish(self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.unnamed, &self.name)?;
        let parent = self.name.parent().filter(|dir| !dir.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
    }
}

impl Write for &NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&self.file).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&self.file).flush()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // Under its name it is not there any more. One that cannot be removed harms nobody.
        let _ = fs::remove_file(&self.unnamed);
    }
}

/// Replaces what a file holds, which only this process writes.
///
/// # Errors
/// As [`NewFile::create`] and [`NewFile::publish`].
pub fn replace(name: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = NewFile::create(name)?;
    (&file).write_all(bytes)?;
    file.publish()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure is the end of a test")]

    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn it_is_the_old_one_until_it_is_the_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let name = dir.path().join("f");
        replace(&name, b"old").unwrap();
        let fresh = NewFile::create_among_others(&name).unwrap();
        (&fresh).write_all(b"new").unwrap();
        assert_eq!(fs::read(&name).unwrap(), b"old");
        fresh.publish().unwrap();
        assert_eq!(fs::read(&name).unwrap(), b"new");
        assert_eq!(names(dir.path()), ["f"]);
    }

    #[test]
    fn one_that_is_given_up_leaves_nothing_and_one_that_a_crash_left_is_in_nobodys_way() {
        let dir = tempfile::tempdir().unwrap();
        let name = dir.path().join("f");
        fs::write(dir.path().join("f.new"), "half of what was to be written").unwrap();
        drop(NewFile::create(&name).unwrap());
        assert!(names(dir.path()).is_empty());
        fs::write(dir.path().join("f.new"), "half of what was to be written").unwrap();
        replace(&name, b"v").unwrap();
        assert_eq!((fs::read(&name).unwrap(), names(dir.path()).len()), (b"v".to_vec(), 1));
        assert!(replace(dir.path(), b"v").is_err(), "a directory's name");
    }

    #[test]
    fn what_is_private_is_read_by_nobody_else() {
        let dir = tempfile::tempdir().unwrap();
        let name = dir.path().join("f");
        let mode = || fs::metadata(&name).unwrap().permissions().mode() & 0o777;
        NewFile::create_private(&name).unwrap().publish().unwrap();
        assert_eq!(mode(), 0o600);
        let fresh = NewFile::create_private(&name).unwrap();
        fresh.set_permissions(Permissions::from_mode(0o644)).unwrap();
        fresh.publish().unwrap();
        assert_eq!(mode(), 0o644);
    }
}
