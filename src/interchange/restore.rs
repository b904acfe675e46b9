//! What a data directory held at a moment of the past, as a new data directory.
//!
//! The source is only read, so a daemon may be using it. The new log has an identity of its own,
//! begins at LSN 1 and knows nothing of what was before: it holds one SET record for each key.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use seawall_actors::cache::store::{KeyHasher, Refusal, Store, StoreConfig};
use seawall_actors::clock::{Clock, UnixMs};
use seawall_actors::journal::{Lsn, Record};
use seawall_actors::wal::past::{self, Moment, PastError};
use seawall_actors::wal::{self, AppendError, DataDir, LockError, OpenError, Reading};

use super::dataset::{DATABASES, Entry, each_in, hash_of};
use super::log::{Log, NotOpened};

/// What to restore, and where to.
#[derive(Debug, Clone)]
pub struct Restore {
    /// The data directory that is read.
    pub from: PathBuf,
    /// The one that is made.
    pub data: PathBuf,
    /// As of when; `None`: the end of the log.
    pub at: Option<Moment>,
    /// How the new log is written.
    pub log: wal::Settings,
}

/// What a restore came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Keys written, by database.
    pub by_database: BTreeMap<u8, u64>,
    /// The LSN of the source that is restored.
    pub lsn: Lsn,
    /// A daemon was using the source.
    pub in_use: bool,
    /// How long it took.
    pub took: Duration,
}

/// Why nothing, or not all, was restored. The source is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The source cannot tell.
    #[error("{0}; nothing was restored")]
    Past(#[from] PastError),
    /// A record cannot be held.
    #[error("a record of the log cannot be held: {0}; nothing was restored")]
    Record(#[from] Refusal),
    /// The new directory cannot be had.
    #[error("{0}; nothing was restored")]
    Lock(LockError),
    /// There is something in the new directory that cannot be read.
    #[error("{0}; nothing was restored")]
    Target(OpenError),
    /// There is a log with something in it.
    #[error(
        "the log of {} has records up to LSN {last_lsn} already; name a directory that is empty \
         or not there yet. Nothing was restored",
        data.display()
    )]
    NotEmpty {
        /// The new directory.
        data: PathBuf,
        /// Its log's last LSN.
        last_lsn: Lsn,
    },
    /// It was broken off while it was written.
    #[error(
        "{why}; {} does not hold everything: remove it, and restore again when that is mended",
        data.display()
    )]
    BrokenOff {
        /// The new directory.
        data: PathBuf,
        /// What happened.
        why: AppendError,
    },
}

/// Restores. Blocks. `progress` hears how many bytes of the source's log are verified, and how many
/// there are.
///
/// # Errors
/// [`RestoreError`]: unless it was broken off, nothing was written.
pub fn restore(
    task: &Restore,
    clock: &Clock,
    mut progress: impl FnMut(u64, u64),
) -> Result<Report, RestoreError> {
    let begun = Instant::now();
    // A lock file that cannot be read says nothing about the log.
    let in_use = DataDir::holder(&task.from).ok().flatten().is_some();
    let now = clock.unix_ms();
    // Until it is read: a daemon that deletes what is being read would break it off.
    let reading = Reading::begin(&task.from);
    let (store, lsn) = load(&task.from, clock, task.at, now, &mut progress)?;
    drop(reading);
    let mut log = Log::open(&task.data, false, task.log, clock, |_, _| {})
        .map_err(|error| not_opened(&task.data, error))?;
    let mut by_database = BTreeMap::new();
    let written = (0..DATABASES).try_for_each(|db| {
        each_in(&store, db, now, |entry| {
            *by_database.entry(db).or_insert(0) += 1;
            let Entry { db, key, value, expires_at } = entry;
            log.add(&Record::Set { db, key, value, expires_at })
        })
    });
    let broken_off = |why| RestoreError::BrokenOff { data: task.data.clone(), why };
    written.map_err(broken_off)?;
    log.finish().map_err(broken_off)?;
    Ok(Report { by_database, lsn, in_use, took: begun.elapsed() })
}

fn load(
    from: &Path,
    clock: &Clock,
    at: Option<Moment>,
    now: UnixMs,
    progress: &mut impl FnMut(u64, u64),
) -> Result<(Store, Lsn), RestoreError> {
    let config = StoreConfig { databases: DATABASES, ..StoreConfig::default() };
    let hasher = KeyHasher::random();
    let ((store, applied), lsn) = past::state(
        from,
        clock.clone(),
        at,
        || (Store::new(config), Ok(())),
        |(store, applied), record| {
            if applied.is_ok() {
                *applied = store.apply(record, hash_of(hasher, record), now);
            }
        },
        |so_far| {
            progress(so_far.bytes, so_far.total_bytes);
            ControlFlow::Continue(())
        },
    )?;
    applied?;
    Ok((store, lsn))
}

fn not_opened(data: &Path, error: NotOpened) -> RestoreError {
    let data = data.to_owned();
    match error {
        NotOpened::Lock(error) => RestoreError::Lock(error),
        NotOpened::Log(error) => RestoreError::Target(error),
        NotOpened::NotEmpty(last_lsn) => RestoreError::NotEmpty { data, last_lsn },
        NotOpened::Append(why) => RestoreError::BrokenOff { data, why },
    }
}

#[cfg(test)]
mod tests;
