//! A file that is there whole, or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A file that has no name yet. Dropped before it is published, it is removed.
#[derive(Debug)]
pub(super) struct NewFile {
    file: File,
    unnamed: PathBuf,
    name: PathBuf,
}

impl NewFile {
    /// Begins a file in the directory that it is to be in.
    pub(super) fn create(name: &Path) -> io::Result<Self> {
        if name.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let mut unnamed = name.as_os_str().to_owned();
        unnamed.push(format!(".{}.new", std::process::id()));
        let unnamed = PathBuf::from(unnamed);
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&unnamed)?;
        Ok(Self { file, unnamed, name: name.to_owned() })
    }

    /// Makes it durable and gives it its name, over a file that has had it.
    pub(super) fn publish(self) -> io::Result<()> {
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
