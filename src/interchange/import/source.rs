//! A file that is imported.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::{Broken, Progress, Stage};
use crate::interchange::ReadError;
use crate::interchange::rdb::{Item, Reader};

/// Bytes read at a time.
const BUFFER: usize = 1 << 20;
/// Keys between two words on progress.
const TELL_EVERY: u64 = 4096;

/// An RDB file.
#[derive(Debug)]
pub(super) struct Source {
    path: PathBuf,
    bytes: u64,
}

impl Source {
    /// Finds out what `path` is.
    pub(super) fn find(path: &Path) -> Result<Self, ReadError> {
        let metadata = std::fs::metadata(path).map_err(io_at(0))?;
        if metadata.is_dir() {
            let what = "it is a directory; name the RDB file in it".to_owned();
            return Err(ReadError::Unknown { offset: 0, what });
        }
        Ok(Self { path: path.to_owned(), bytes: metadata.len() })
    }

    /// Its length.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Hands everything in it to `take`, in order. Returns what it is, in a few words.
    pub(super) fn each(
        &self,
        stage: Stage,
        progress: &mut impl FnMut(Progress),
        mut take: impl FnMut(Item<'_>) -> Result<(), Broken>,
    ) -> Result<String, Broken> {
        let file = File::open(&self.path).map_err(io_at(0))?;
        let mut reader = Reader::new(BufReader::with_capacity(BUFFER, file))?;
        let mut count = 0u64;
        while let Some(item) = reader.read()? {
            take(item)?;
            count += 1;
            if count.is_multiple_of(TELL_EVERY) {
                let bytes = reader.offset();
                progress(Progress { stage, bytes, total_bytes: self.bytes });
            }
        }
        let (offset, version) = (reader.offset(), reader.version());
        if !reader.into_source().fill_buf().map_err(io_at(offset))?.is_empty() {
            let what = "there is more behind its end".to_owned();
            return Err(ReadError::Damaged { offset, what }.into());
        }
        Ok(format!("an RDB file of version {version}"))
    }
}

fn io_at(offset: u64) -> impl FnOnce(std::io::Error) -> ReadError {
    move |source| ReadError::Io { offset, source }
}
