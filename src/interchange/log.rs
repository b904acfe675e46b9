//! The log that records are brought into.

use std::ops::ControlFlow;
use std::path::Path;

use seawall_actors::clock::Clock;
use seawall_actors::journal::{Lsn, Record, RecordBatch};
use seawall_actors::wal::{self, AppendError, Appender, DataDir, LockError, OpenError};

/// Bytes of records that go to the log at once.
const BATCH: usize = 256 << 10;

/// A data directory that is ours, and the end of its log.
pub(super) struct Log {
    batch: RecordBatch,
    appender: Appender,
    /// Behind the appender: dropped last, when nobody writes any more.
    _data: DataDir,
}

/// Why nothing can be brought into a directory. Nothing in it was changed.
pub(super) enum NotOpened {
    /// It cannot be had.
    Lock(LockError),
    /// The log in it cannot be read, or is damaged.
    Log(OpenError),
    /// The log has records up to this LSN, and must be empty.
    NotEmpty(Lsn),
    /// It cannot be written.
    Append(AppendError),
}

impl From<LockError> for NotOpened {
    fn from(error: LockError) -> Self {
        Self::Lock(error)
    }
}

impl From<OpenError> for NotOpened {
    fn from(error: OpenError) -> Self {
        Self::Log(error)
    }
}

impl From<AppendError> for NotOpened {
    fn from(error: AppendError) -> Self {
        Self::Append(error)
    }
}

impl Log {
    /// Takes the directory, and verifies the log in it as a start does; `progress` hears how many
    /// bytes of how many are verified.
    pub(super) fn open(
        data: &Path,
        into_existing: bool,
        settings: wal::Settings,
        clock: &Clock,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<Self, NotOpened> {
        let path = data;
        let data = DataDir::lock(path)?;
        let mut opened = wal::open(&data, clock.clone())?;
        let newest = opened.snapshots().load_newest(
            |_, _| (),
            |(), _| {},
            |_| ControlFlow::Continue(()),
            |_, _| {},
        );
        let newest = newest.map_err(|flaw| OpenError::Io {
            doing: "list the snapshots in",
            path: path.to_owned(),
            source: std::io::Error::other(flaw),
        })?;
        let (from, end) = newest.map_or((0, 0), |((), loaded)| (loaded.begin, loaded.end));
        opened.prove(end);
        let replayed = opened.replay(
            from,
            |_, _| {},
            |so_far| {
                progress(so_far.bytes, so_far.total_bytes);
                ControlFlow::Continue(())
            },
        )?;
        if replayed.last_lsn > 0 && !into_existing {
            return Err(NotOpened::NotEmpty(replayed.last_lsn));
        }
        let appender = Appender::start(&data, &replayed, settings, clock.clone())?;
        Ok(Self { batch: RecordBatch::new(), appender, _data: data })
    }

    pub(super) fn add(&mut self, record: &Record<'_>) -> Result<(), AppendError> {
        self.batch.push(record);
        if self.batch.as_bytes().len() >= BATCH {
            self.appender.append(&mut self.batch)?;
        }
        Ok(())
    }

    /// Writes what is left and makes all of it durable; the log's last LSN.
    pub(super) fn finish(mut self) -> Result<Lsn, AppendError> {
        if !self.batch.is_empty() {
            self.appender.append(&mut self.batch)?;
        }
        self.appender.finish()
    }
}
