//! The log's end without a daemon: for tools that add records to a directory offline.
//!
//! The intake and the writer behind it are the daemon's own, so frames, checksums, rotation and
//! syncing are too. Only the waiting differs: nobody parks a reply, the caller's thread waits.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};

use super::fs::{Filesystem, OsFs};
use super::intake::Intake;
use super::lock::DataDir;
use super::replay::{ReplayReport, segments_dir};
use super::settings::{FsyncMode, Settings};
use super::writer::{self, End, Orders};
use crate::clock::Clock;
use crate::journal::{Journal, JournalError, Lsn, RecordBatch, Release};

/// Bytes of records that may be on their way to the file.
const IN_FLIGHT: usize = if cfg!(test) { 4 << 10 } else { 8 << 20 };
/// How long the log may take to write that much.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at whether the writer is still there.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Nobody waits for a reply.
#[derive(Debug)]
enum Nobody {}

impl Release for Nobody {
    fn release(self, _outcome: Result<(), JournalError>) {
        match self {}
    }
}

/// Why records could not be added. Those added before may be in the log, from its beginning on
/// and without a gap.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AppendError(String);

/// Adds records to the end of a log that no daemon uses. Every call blocks.
///
/// Dropped before [`Appender::finish`], it leaves what is written so far, not all of it synced.
#[derive(Debug)]
pub struct Appender {
    intake: Intake<Nobody>,
    orders: Arc<Orders<Nobody>>,
    ended: Receiver<End>,
    /// Batches that may not be written yet: LSN of the last record, and bytes.
    in_flight: VecDeque<(Lsn, usize)>,
    bytes_in_flight: usize,
}

impl Appender {
    /// Goes on behind the log that was replayed as `replayed` says. The directory's lock MUST be
    /// held until the appender is finished or dropped. Of `settings` the fsync mode does not count:
    /// the log is synced when the appender is finished.
    ///
    /// # Errors
    /// There is no thread for the writer.
    pub fn start(
        data: &DataDir,
        replayed: &ReplayReport,
        settings: Settings,
        clock: Clock,
    ) -> Result<Self, AppendError> {
        Self::start_on(OsFs, data.path(), replayed.last_lsn, settings, clock)
    }

    fn start_on<F: Filesystem>(
        fs: F,
        data: &Path,
        last_lsn: Lsn,
        settings: Settings,
        clock: Clock,
    ) -> Result<Self, AppendError> {
        let intake =
            Intake::new(last_lsn, &Settings { fsync: FsyncMode::No, origin: false, ..settings });
        let orders = Orders::new(intake.clone());
        let (tell, ended) = channel();
        let told = move |end| {
            // Nobody listens if the appender was dropped.
            let _ = tell.send(end);
        };
        writer::spawn(fs, segments_dir(data), clock, Arc::clone(&orders), told)
            .map_err(|error| AppendError(format!("cannot start the log's writer: {error}")))?;
        let (in_flight, bytes_in_flight) = (VecDeque::new(), 0);
        Ok(Self { intake, orders, ended, in_flight, bytes_in_flight })
    }

    /// Adds the records of `batch`, which is left empty, as one indivisible unit. Waits while more
    /// than 8 MiB are on their way. Returns the LSN of the last one.
    ///
    /// # Errors
    /// The log cannot be written; what was added from the last few calls on is not all in it.
    pub fn append(&mut self, batch: &mut RecordBatch) -> Result<Lsn, AppendError> {
        let bytes = batch.as_bytes().len();
        let lsn = self.intake.append(batch, None);
        self.in_flight.push_back((lsn, bytes));
        self.bytes_in_flight += bytes;
        while self.bytes_in_flight > IN_FLIGHT
            && let Some((lsn, bytes)) = self.in_flight.pop_front()
        {
            self.bytes_in_flight -= bytes;
            self.wait(lsn)?;
        }
        Ok(lsn)
    }

    fn wait(&self, lsn: Lsn) -> Result<(), AppendError> {
        let until = Instant::now() + PATIENCE;
        while !self.intake.wait_settled(lsn, Instant::now() + LOOK_EVERY) {
            self.intake.writable().map_err(|why| AppendError(why.to_string()))?;
            match self.ended.try_recv() {
                Err(TryRecvError::Empty) if Instant::now() < until => {}
                Err(TryRecvError::Empty) => {
                    let text = format!("the disk has not taken {IN_FLIGHT} bytes in {PATIENCE:?}");
                    return Err(AppendError(text));
                }
                ended => return Err(failed(ended.ok())),
            }
        }
        Ok(())
    }

    /// Writes and syncs what is left, and seals the log. On return everything added is durable.
    /// Returns the log's last LSN.
    ///
    /// # Errors
    /// Not all of it could be written or synced.
    pub fn finish(self) -> Result<Lsn, AppendError> {
        let last = self.intake.stats().lsn;
        self.orders.drain();
        match self.ended.recv() {
            Ok(End::Ordered(Ok(()))) => Ok(last),
            ended => Err(failed(ended.ok())),
        }
    }
}

impl Drop for Appender {
    fn drop(&mut self) {
        self.orders.leave();
        // The lock goes next, and behind it nobody may write. A disk that hangs has its limit.
        let _ = self.ended.recv_timeout(PATIENCE);
    }
}

fn failed(end: Option<End>) -> AppendError {
    AppendError(match end {
        Some(End::Failed(why) | End::Ordered(Err(why))) => why,
        Some(End::Ordered(Ok(()))) | None => "the log's writer has vanished".to_owned(),
    })
}

#[cfg(test)]
mod tests;
