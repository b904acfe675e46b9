//! A small file of the outbox in the data directory of a log: a magic number, the log's name, what
//! it says, and a SHA-256 over all of that.
//!
//! It is written under its name and `.new`, synced, and renamed. One that is damaged, or of another
//! log, counts as none.

use std::io;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::durable;

const DIGEST_LEN: usize = 32;

/// What such a file says.
pub(super) trait Sealed: Sized {
    /// What it is called.
    const NAME: &'static str;
    /// How it begins.
    const MAGIC: &'static [u8; 8];

    /// What stands between the log's name and the digest.
    fn encode(&self) -> Vec<u8>;
    /// From these bytes, which are sound; `None` if they say something else.
    fn decode(body: &[u8]) -> Option<Self>;
}

/// The file, and the log that it is of.
#[derive(Debug, Clone)]
pub(super) struct SealedFile<T> {
    path: PathBuf,
    log: String,
    says: PhantomData<T>,
}

impl<T: Sealed> SealedFile<T> {
    /// `log` is the log's name.
    pub fn new(data: &Path, log: &str) -> Self {
        Self { path: data.join(T::NAME), log: log.to_owned(), says: PhantomData }
    }

    /// What it says; `None` if nothing that could be trusted. Blocks.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn read(&self) -> io::Result<Option<T>> {
        match std::fs::read(&self.path) {
            Ok(bytes) => Ok(unseal(T::MAGIC, &self.log, &bytes).and_then(T::decode)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Replaces what it says, durably. Blocks.
    ///
    /// # Errors
    /// Whatever the file system reports; it says what it said before.
    pub fn write(&self, says: &T) -> io::Result<()> {
        durable::replace(&self.path, &seal(T::MAGIC, &self.log, &says.encode()))
    }

    /// Takes it away, if it is there. Blocks.
    ///
    /// # Errors
    /// Whatever the file system reports.
    pub fn remove(&self) -> io::Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }
}

/// The bytes of the file.
fn seal(magic: &[u8; 8], log: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = [magic, log.as_bytes(), body].concat();
    let digest = Sha256::digest(&bytes);
    bytes.extend_from_slice(&digest);
    bytes
}

/// What they say; `None` if they are damaged, or of another log.
fn unseal<'b>(magic: &[u8; 8], log: &str, bytes: &'b [u8]) -> Option<&'b [u8]> {
    let (sealed, digest) = bytes.split_at_checked(bytes.len().checked_sub(DIGEST_LEN)?)?;
    if digest != Sha256::digest(sealed).as_slice() {
        return None;
    }
    sealed.strip_prefix(magic)?.strip_prefix(log.as_bytes())
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure is the end of a test")]

    use super::*;

    /// Proves of one kind of file that it says what was written last, and that nobody believes one
    /// that is damaged, cut, longer, or of another log.
    pub fn prove<T: Sealed + PartialEq + std::fmt::Debug>(all: &[T]) {
        const LOG: &str = "00112233445566778899aabbccddeeff";
        let dir = tempfile::tempdir().unwrap();
        let file = SealedFile::<T>::new(dir.path(), LOG);
        assert_eq!(file.read().unwrap(), None);
        file.remove().unwrap();
        let other = SealedFile::<T>::new(dir.path(), &LOG.replace('0', "1"));
        for says in all {
            file.write(says).unwrap();
            assert_eq!(file.read().unwrap().as_ref(), Some(says));
            assert_eq!(other.read().unwrap(), None, "of another log");
        }
        let sound = std::fs::read(&file.path).unwrap();
        let believed = |bytes: &[u8]| unseal(T::MAGIC, LOG, bytes).and_then(T::decode).is_some();
        assert!(believed(&sound));
        for at in 0..sound.len() {
            let mut bytes = sound.clone();
            bytes[at] ^= 1;
            assert!(!believed(&bytes), "byte {at}");
            assert!(!believed(&sound[..at]), "cut at {at}");
        }
        assert!(!believed(&[&sound[..], b"x"].concat()));
        file.remove().unwrap();
        assert_eq!(file.read().unwrap(), None);
    }
}
