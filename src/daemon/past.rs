//! SW.HISTORY and SW.RESTORE: reads the log where it may block, and writes back what it finds.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use seawall_actors::cache::store::Expiry;
use seawall_actors::clock::UnixMs;
use seawall_actors::journal::Author;
use seawall_actors::wal::history::{self, History, Query};
use seawall_actors::wal::past::{Held, PastError, Survey, survey};
use seawall_actors::wal::{Hold, Snapshots};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Daemon;
use crate::resp::backend::{AskHistory, AskRestore, Restored};
use crate::resp::coordinator::{Borrowed, ShardSet};
use crate::resp::refusal::Refusal;
use crate::resp::round::{not_writable, outcome_unknown};

/// How many may read the log at a time: each keeps two threads busy.
const READERS: usize = 2;
/// No further segment is begun for SW.HISTORY after this time.
const HISTORY_WITHIN: Duration = Duration::from_secs(5);
/// What SW.RESTORE writes back at a time, as one batch of the log: so many entries at most, ...
const BATCH_ENTRIES: usize = 256;
/// ... and so many bytes, or one entry.
const BATCH_BYTES: usize = 256 << 10;

/// Where the past is read.
#[derive(Debug)]
pub struct Past {
    /// `None` for a pure cache, which has none.
    source: Option<Source>,
    readers: Arc<Semaphore>,
}

#[derive(Debug, Clone)]
struct Source {
    data: PathBuf,
    snapshots: Snapshots,
}

/// A place among the readers, and the log that is read: neither is given away before this is dropped.
type Permit = (OwnedSemaphorePermit, Hold);

/// An entry on its way from the log to a shard.
#[derive(Debug)]
struct Entry {
    key: Box<[u8]>,
    value: Box<[u8]>,
    expires_at: Option<UnixMs>,
}

impl Past {
    /// The log in the data directory, and its snapshots; `None` for a pure cache.
    #[must_use]
    pub fn new(source: Option<(PathBuf, Snapshots)>) -> Self {
        let source = source.map(|(data, snapshots)| Source { data, snapshots });
        Self { source, readers: Arc::new(Semaphore::new(READERS)) }
    }

    /// A place among the readers.
    fn enter(&self) -> Result<(Source, Permit), Refusal> {
        let source = self.source.clone().ok_or_else(|| {
            Refusal::other(
                "ERR this is a pure cache without a log, so nothing is known of the past; set \
                 'wal.enabled' to true and restart to have one",
            )
        })?;
        let permit = Arc::clone(&self.readers).try_acquire_owned().map_err(|_| {
            Refusal::other(format!(
                "TRYAGAIN the log is being read for {READERS} other clients; nothing was changed"
            ))
        })?;
        let hold = source.snapshots.holds().take_all("SW.HISTORY or SW.RESTORE");
        let hold = hold.map_err(|error| Refusal::other(format!("TRYAGAIN {error}")))?;
        Ok((source, (permit, hold)))
    }
}

impl Daemon {
    /// What the log knows of a key.
    pub(super) async fn read_history(&self, asked: AskHistory) -> Result<History, Refusal> {
        let (source, permit) = self.past.enter()?;
        let settled = self.shards.journal().settled();
        let read = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let AskHistory { db, key, count, before } = asked;
            let upto = before.map_or(settled, |before| before.saturating_sub(1).min(settled));
            let query = Query { db, key: &key, count, upto };
            history::read(&source.data, &query, Instant::now() + HISTORY_WITHIN)
        });
        match read.await {
            Ok(Ok(history)) => Ok(history),
            Ok(Err(error)) => Err(Refusal::other(format!("ERR the log cannot be read: {error}"))),
            Err(panicked) => Err(broken_off(&panicked)),
        }
    }

    /// Writes back what keys held in the past.
    pub(super) async fn write_back(
        &self,
        asked: AskRestore,
        author: &Arc<Author>,
    ) -> Result<Restored, Refusal> {
        let (source, permit) = self.past.enter()?;
        let settled = self.shards.journal().settled();
        let AskRestore { wanted, only_missing } = asked;
        let db = wanted.db;
        let surveyed = tokio::task::spawn_blocking(move || {
            let Source { data, snapshots } = source;
            survey(&data, &snapshots, wanted, settled).map(|survey| (survey, permit))
        });
        let (survey, permit) = match surveyed.await {
            Ok(surveyed) => surveyed.map_err(|error| Refusal::other(format!("ERR {error}")))?,
            Err(panicked) => return Err(broken_off(&panicked)),
        };
        let mut report = Restored { lsn: survey.lsn, found: survey.len(), ..Restored::default() };
        // Dropped early, because a batch could not be written, it stops the reader.
        let (filled, mut batches) = mpsc::channel(2);
        let reader = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            read_batches(&survey, &filled)
        });
        let written = self.write_batches(db, only_missing, author, &mut batches, &mut report).await;
        drop(batches);
        let read = match reader.await {
            Ok(read) => read.map_err(|error| Refusal::other(format!("ERR {error}"))),
            Err(panicked) => Err(broken_off(&panicked)),
        };
        match written.and(read) {
            Ok(()) => Ok(report),
            Err(refusal) => Err(Refusal::other(format!(
                "{refusal}; before that {} of {} keys were restored, and the same command goes on",
                report.restored, report.found
            ))),
        }
    }

    async fn write_batches(
        &self,
        db: u8,
        only_missing: bool,
        author: &Arc<Author>,
        batches: &mut Receiver<Vec<Entry>>,
        report: &mut Restored,
    ) -> Result<(), Refusal> {
        while let Some(batch) = batches.recv().await {
            let before = *report;
            let written = self.write_batch(db, only_missing, author, &batch, report).await;
            if let Err(refusal) = written {
                // What was not settled does not count.
                *report = before;
                return Err(refusal);
            }
        }
        Ok(())
    }

    /// Writes entries as one batch of the log.
    async fn write_batch(
        &self,
        db: u8,
        only_missing: bool,
        author: &Arc<Author>,
        batch: &[Entry],
        report: &mut Restored,
    ) -> Result<(), Refusal> {
        let shards = &self.shards;
        let hasher = shards.hasher();
        let mut wanted = ShardSet::none(shards.len());
        batch.iter().for_each(|entry| wanted.add(shards.of(hasher.hash(&entry.key))));
        let recovery_wait = self.config.settings().cache.recovery_wait;
        let mut borrowed = Borrowed::take(shards, &wanted, recovery_wait).await?;
        borrowed.sign(author);
        shards.journal().writable().map_err(|error| not_writable(&error))?;
        let now = self.clock.unix_ms();
        let mut refused = None;
        for entry in batch {
            let key = hasher.key(&entry.key);
            let Some(Some(store)) = borrowed.stores().get_mut(shards.of(key.hash)) else {
                continue;
            };
            let expiry = match entry.expires_at {
                Some(at) if at <= now => {
                    report.expired += 1;
                    continue;
                }
                Some(at) => Expiry::At(at),
                None => Expiry::Never,
            };
            match store.peek(db, key, now) {
                Some(held)
                    if held.value == &*entry.value && held.expires_at == entry.expires_at =>
                {
                    report.unchanged += 1;
                }
                Some(_) if only_missing => report.kept += 1,
                _ => match store.set(db, key, &entry.value, expiry, now) {
                    Ok(()) => report.restored += 1,
                    Err(refusal) => {
                        refused = Some(Refusal::from(refusal));
                        break;
                    }
                },
            }
        }
        borrowed.collect();
        borrowed.finish().await.map_err(|error| outcome_unknown(&error))?;
        match refused {
            None => Ok(()),
            Some(refusal) => Err(refusal),
        }
    }
}

/// Reads what the keys held and sends it off, batch by batch, until nobody wants more.
fn read_batches(survey: &Survey, filled: &Sender<Vec<Entry>>) -> Result<(), PastError> {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    survey.visit(|Held { key, value, expires_at }| {
        let len = key.len() + value.len();
        if batch.len() == BATCH_ENTRIES || (!batch.is_empty() && bytes + len > BATCH_BYTES) {
            bytes = 0;
            if filled.blocking_send(std::mem::take(&mut batch)).is_err() {
                return ControlFlow::Break(());
            }
        }
        bytes += len;
        batch.push(Entry { key: key.into(), value: value.into(), expires_at });
        ControlFlow::Continue(())
    })?;
    if !batch.is_empty() {
        // Nobody wants it any more, then.
        let _ = filled.blocking_send(batch);
    }
    Ok(())
}

fn broken_off(panicked: &tokio::task::JoinError) -> Refusal {
    Refusal::other(format!("ERR reading the log was broken off: {panicked}"))
}
