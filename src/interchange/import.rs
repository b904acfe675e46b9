//! Redis' files into the log of a data directory that no daemon uses.
//!
//! A source is read to its end first, to know that it is whole; only then is anything added to the
//! log. So a damaged source changes nothing. An RDB file is read a second time for that, the data
//! that append-only files lead to are held in memory. What is added are plain SET records behind
//! all that was in the log: an import that was broken off can be made again.

mod admission;
mod content;
mod files;
mod tally;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use seawall_actors::clock::{Clock, UnixMs};
use seawall_actors::journal::{Lsn, Record};
use seawall_actors::wal::{self, AppendError, LockError, OpenError};

use super::ReadError;
use super::aof::Replayed;
use super::rdb::Item;
pub use admission::{Admission, Reason};
pub use tally::{LeftOut, Tally};

use super::log::{Log, NotOpened};
use content::{Content, Went};
use files::Files;

/// What to import, and where to.
#[derive(Debug, Clone)]
pub struct Import {
    /// The file, or the directory of several.
    pub from: PathBuf,
    /// The data directory.
    pub data: PathBuf,
    /// Whether there may be records in its log already.
    pub into_existing: bool,
    /// Only read, and tell what would be taken.
    pub dry_run: bool,
    /// What is taken.
    pub admission: Admission,
    /// How the log is written.
    pub log: wal::Settings,
}

/// What an import is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Reading the source to its end for the first time.
    Checking,
    /// Verifying the log that is there.
    Opening,
    /// Adding to the log.
    Adding,
}

/// How far an import is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What it is doing.
    pub stage: Stage,
    /// Bytes gone through in this stage.
    pub bytes: u64,
    /// Bytes there are.
    pub total_bytes: u64,
}

/// What an import came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What was taken, and what was not.
    pub tally: Tally,
    /// The source in a few words.
    pub source: String,
    /// Its length.
    pub bytes: u64,
    /// What its commands came to, if it has any.
    pub replayed: Option<Replayed>,
    /// The log's last LSN, all of it durable; `None` after a dry run.
    pub last_lsn: Option<Lsn>,
    /// How long it took.
    pub took: Duration,
}

/// Why nothing, or not all, was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The source cannot be read, or is no such file, or is damaged.
    #[error("{0}; nothing was imported")]
    Source(#[from] Unreadable),
    /// The data directory cannot be had.
    #[error("{0}; nothing was imported")]
    Lock(#[from] LockError),
    /// The log that is there cannot be added to.
    #[error("{0}; nothing was imported")]
    Log(#[from] OpenError),
    /// There is a log with something in it.
    #[error(
        "the log of {} has records up to LSN {last_lsn} already; --into-existing imports over \
         them: keys of the same names are overwritten, the others stay. Nothing was imported",
        data.display()
    )]
    NotEmpty {
        /// The data directory.
        data: PathBuf,
        /// The log's last LSN.
        last_lsn: Lsn,
    },
    /// It was broken off while records were added.
    #[error(
        "{why}; some of the keys, {added} at most, are in the log of {} by now. What was there \
         before is untouched. Import again with --into-existing when that is mended",
        data.display()
    )]
    BrokenOff {
        /// The data directory.
        data: PathBuf,
        /// Keys that were on their way.
        added: u64,
        /// What happened.
        why: String,
    },
}

/// A file that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{}: {error}", path.display())]
pub struct Unreadable {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub error: ReadError,
}

/// Why going through a source ended early.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Read(#[from] Unreadable),
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// Imports. Blocks. `progress` hears of every few thousand keys.
///
/// # Errors
/// [`ImportError`]: unless it was broken off, nothing was imported.
pub fn import(
    import: &Import,
    clock: &Clock,
    mut progress: impl FnMut(Progress),
) -> Result<Report, ImportError> {
    let begun = Instant::now();
    let (now, progress) = (clock.unix_ms(), &mut progress);
    let mut files = Files::find(&import.from)?;
    let mut content = Content::of(&files, now, progress)?;
    let (checked, source) = loop {
        let mut checked = Taken::new(import, now, &content, None);
        match content.each(Stage::Checking, progress, |item| checked.take(item)) {
            Ok(Went::Through(source)) => break (checked, source),
            Ok(Went::Preamble) => {
                files = Files::Aof(vec![(import.from.clone(), files.bytes())]);
                content = Content::of(&files, now, progress)?;
            }
            Err(Broken::Read(error)) => return Err(error.into()),
            Err(Broken::Append(error)) => return Err(broken_off(import, &checked, &error)),
        }
    };
    let (mut tally, mut last_lsn) = (checked.tally, None);
    if !import.dry_run {
        let opening = |bytes, total_bytes| {
            progress(Progress { stage: Stage::Opening, bytes, total_bytes });
        };
        let log = Log::open(&import.data, import.into_existing, import.log, clock, opening)
            .map_err(|error| not_opened(import, error))?;
        let mut taken = Taken::new(import, now, &content, Some(log));
        let added = content
            .each(Stage::Adding, progress, |item| taken.take(item))
            .and_then(|_| Ok(taken.log.take().map(Log::finish).transpose()?));
        last_lsn = added.map_err(|broken| broken_off(import, &taken, &broken))?;
        tally = taken.tally;
    }
    let replayed = match content {
        Content::Memory { replay, .. } => Some(replay.so_far().clone()),
        Content::Rdb { .. } => None,
    };
    let (bytes, took) = (files.bytes(), begun.elapsed());
    Ok(Report { tally, source, bytes, replayed, last_lsn, took })
}

fn not_opened(import: &Import, error: NotOpened) -> ImportError {
    let data = import.data.clone();
    match error {
        NotOpened::Lock(error) => error.into(),
        NotOpened::Log(error) => error.into(),
        NotOpened::NotEmpty(last_lsn) => ImportError::NotEmpty { data, last_lsn },
        NotOpened::Append(why) => ImportError::BrokenOff { data, added: 0, why: why.to_string() },
    }
}

fn broken_off(import: &Import, taken: &Taken<'_>, why: &impl ToString) -> ImportError {
    let (data, why) = (import.data.clone(), why.to_string());
    ImportError::BrokenOff { data, added: taken.tally.imported(), why }
}

/// Takes what is admitted, and counts everything.
struct Taken<'a> {
    admission: &'a Admission,
    now: UnixMs,
    tally: Tally,
    /// Where it goes; `None` while it is only counted.
    log: Option<Log>,
}

impl<'a> Taken<'a> {
    fn new(import: &'a Import, now: UnixMs, content: &Content, log: Option<Log>) -> Self {
        let tally = match content {
            Content::Memory { others, .. } => others.clone(),
            Content::Rdb { .. } => Tally::default(),
        };
        Self { admission: &import.admission, now, tally, log }
    }

    fn take(&mut self, item: Item<'_>) -> Result<(), Broken> {
        let (db, key, value, expires_at) = match item {
            Item::String { db, key, value, expires_at } => (db, key, value, expires_at),
            Item::Other { kind, .. } => {
                self.tally.count_other(kind);
                return Ok(());
            }
        };
        if expires_at.is_some_and(|at| at <= self.now) {
            self.tally.expired += 1;
            return Ok(());
        }
        match self.admission.admit(db, key, value.len(), expires_at, self.now) {
            Ok(db) => {
                if let Some(log) = &mut self.log {
                    log.add(&Record::Set { db, key, value, expires_at })?;
                }
                self.tally.count_imported(db);
            }
            Err((reason, why)) => self.tally.count_left_out(reason, key, why),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
