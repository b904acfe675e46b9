//! A small file of the outbox in the data directory of a log: a magic number, the log's name, what
//! it says, and a SHA-256 over all of that.
//!
//! It is written beside its name, synced, and renamed. One that is damaged, or of another log,
//! counts as none.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

const DIGEST_LEN: usize = 32;

/// Where it is.
#[derive(Debug, Clone)]
pub(super) struct SealedFile {
    data: PathBuf,
    name: &'static str,
}

impl SealedFile {
    pub fn new(data: &Path, name: &'static str) -> Self {
        Self { data: data.to_owned(), name }
    }

    fn path(&self) -> PathBuf {
        self.data.join(self.name)
    }

    /// Its bytes, sealed as they are; `None` if it is not there. Blocks.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn read(&self) -> io::Result<Option<Vec<u8>>> {
        match std::fs::read(self.path()) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Replaces it, durably. Blocks.
    ///
    /// # Errors
    /// Whatever the file system reports; it says what it said before.
    pub fn write(&self, sealed: &[u8]) -> io::Result<()> {
        let fresh = self.data.join(format!("{}.new", self.name));
        let mut file = File::create(&fresh)?;
        file.write_all(sealed)?;
        file.sync_all()?;
        std::fs::rename(&fresh, self.path())?;
        File::open(&self.data)?.sync_all()
    }

    /// Takes it away, if it is there. Blocks.
    ///
    /// # Errors
    /// Whatever the file system reports.
    pub fn remove(&self) -> io::Result<()> {
        match std::fs::remove_file(self.path()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }
}

/// The bytes of such a file of the log with this name.
pub(super) fn seal(magic: &[u8; 8], log: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = [magic, log.as_bytes(), body].concat();
    let digest = Sha256::digest(&bytes);
    bytes.extend_from_slice(&digest);
    bytes
}

/// What they say; `None` if they are damaged, or of another log.
pub(super) fn unseal<'b>(magic: &[u8; 8], log: &str, bytes: &'b [u8]) -> Option<&'b [u8]> {
    let (sealed, digest) = bytes.split_at_checked(bytes.len().checked_sub(DIGEST_LEN)?)?;
    if digest != Sha256::digest(sealed).as_slice() {
        return None;
    }
    sealed.strip_prefix(magic)?.strip_prefix(log.as_bytes())
}
