//! What a data directory holds, written for others: as an RDB file, or as commands.
//!
//! The directory is only read, so a daemon may be using it: what is exported is what a start at
//! this moment would find. The data are put together in memory first, as a start does.

mod format;

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use seawall_actors::cache::store::{KeyHasher, Refusal, Store, StoreConfig};
use seawall_actors::clock::{Clock, UnixMs};
use seawall_actors::durable::NewFile;
use seawall_actors::wal::{self, DataDir, OpenError, Reading, Seen};

use super::dataset::{DATABASES, each_in, hash_of};
pub use format::Format;

use format::Output;

/// Bytes written at a time.
const BUFFER: usize = 1 << 20;
/// Beside a daemon the end of the log moves while it is read: what looks damaged is looked at again.
const TRIES: usize = 3;

/// Where to write to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum To {
    /// A file, which gets its name when it is whole and on disk.
    File(PathBuf),
    /// Standard output.
    Stdout,
}

/// What to export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// The data directory.
    pub data: PathBuf,
    /// In which form.
    pub format: Format,
    /// Where to.
    pub to: To,
}

/// What an export came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Keys, by database.
    pub by_database: BTreeMap<u8, u64>,
    /// Bytes written.
    pub bytes: u64,
    /// What was found in the directory.
    pub seen: Seen,
    /// A daemon was using it.
    pub in_use: bool,
    /// How long it took.
    pub took: Duration,
}

/// Why there is no export.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The directory cannot be read, or its log is damaged.
    #[error("{0}; nothing was exported")]
    Log(#[from] OpenError),
    /// A record cannot be held.
    #[error("a record of the log cannot be held: {0}; nothing was exported")]
    Record(#[from] Refusal),
    /// The file could not be written; what was there before still is.
    #[error("cannot write {}: {source}; what was there before is as it was", path.display())]
    File {
        /// Its name.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Standard output could not be written.
    #[error("cannot write to standard output: {0}; what has been written is not all")]
    Stdout(io::Error),
}

/// Exports. Blocks. `progress` hears how many bytes of log were read, and how many there are.
///
/// # Errors
/// [`ExportError`].
pub fn export(
    export: &Export,
    clock: &Clock,
    mut progress: impl FnMut(u64, u64),
) -> Result<Report, ExportError> {
    let begun = Instant::now();
    // A lock file that cannot be read says nothing about the log.
    let in_use = DataDir::holder(&export.data).ok().flatten().is_some();
    // Until it is read: a daemon that deletes what is being read would break it off.
    let reading = Reading::begin(&export.data);
    let (store, seen) = load(&export.data, clock, in_use, &mut progress)?;
    drop(reading);
    let now = clock.unix_ms();
    let (by_database, bytes) = match &export.to {
        To::Stdout => {
            write(&store, export.format, io::stdout().lock(), now).map_err(ExportError::Stdout)?
        }
        To::File(path) => {
            let failed = |source| ExportError::File { path: path.clone(), source };
            let file = NewFile::create_among_others(path).map_err(failed)?;
            let written = write(&store, export.format, &file, now).map_err(failed)?;
            file.publish().map_err(failed)?;
            written
        }
    };
    Ok(Report { by_database, bytes, seen, in_use, took: begun.elapsed() })
}

fn load(
    data: &Path,
    clock: &Clock,
    in_use: bool,
    progress: &mut impl FnMut(u64, u64),
) -> Result<(Store, Seen), ExportError> {
    let mut tries = if in_use { TRIES } else { 1 };
    loop {
        tries -= 1;
        let read = attempt(data, clock, progress);
        match &read {
            Err(ExportError::Log(OpenError::OtherVersion { .. } | OpenError::BrokenOff))
            | Ok(_) => {
                return read;
            }
            Err(_) if tries > 0 => {}
            Err(_) => return read,
        }
    }
}

/// A store, and the first record that it did not take.
type Filled = (Store, Result<(), Refusal>);

fn attempt(
    data: &Path,
    clock: &Clock,
    progress: &mut impl FnMut(u64, u64),
) -> Result<(Store, Seen), ExportError> {
    let (config, hasher) =
        (StoreConfig { databases: DATABASES, ..StoreConfig::default() }, KeyHasher::random());
    let now = clock.unix_ms();
    let ((store, applied), seen): (Filled, Seen) = wal::look(
        data,
        clock.clone(),
        || (Store::new(config), Ok(())),
        |(store, applied), record| {
            if applied.is_ok() {
                *applied = store.apply(&record, hash_of(hasher, &record), now);
            }
        },
        |so_far| {
            progress(so_far.bytes, so_far.total_bytes);
            std::ops::ControlFlow::Continue(())
        },
    )?;
    applied?;
    Ok((store, seen))
}

/// Writes everything that has not expired; keys by database, and bytes.
fn write(
    store: &Store,
    format: Format,
    target: impl Write,
    now: UnixMs,
) -> io::Result<(BTreeMap<u8, u64>, u64)> {
    let mut output = Output::begin(format, BufWriter::with_capacity(BUFFER, target))?;
    let mut by_database = BTreeMap::new();
    for db in 0..DATABASES {
        if store.is_empty(db) {
            continue;
        }
        let mut count = 0;
        output.database(db, store.len(db), store.expires_len(db))?;
        each_in(store, db, now, |entry| {
            count += 1;
            output.entry(&entry)
        })?;
        if count > 0 {
            by_database.insert(db, count);
        }
    }
    Ok((by_database, output.finish()?))
}

#[cfg(test)]
mod tests;
