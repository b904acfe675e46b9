//! The log that is imported into.

use std::ops::ControlFlow;

use seawall_actors::clock::Clock;
use seawall_actors::journal::{Lsn, Record, RecordBatch};
use seawall_actors::wal::{self, AppendError, Appender, DataDir, OpenError};

use super::{Import, ImportError, Progress, Stage};

/// Bytes of records that go to the log at once.
const BATCH: usize = 256 << 10;

/// A data directory that is ours, and the end of its log.
pub(super) struct Log {
    batch: RecordBatch,
    appender: Appender,
    /// Behind the appender: dropped last, when nobody writes any more.
    _data: DataDir,
}

impl Log {
    /// Takes the directory, and verifies the log in it as a start does.
    pub(super) fn open(
        import: &Import,
        clock: &Clock,
        progress: &mut impl FnMut(Progress),
    ) -> Result<Self, ImportError> {
        let data = DataDir::lock(&import.data)?;
        let mut opened = wal::open(&data, clock.clone())?;
        let newest = opened.snapshots().load_newest(
            |_, _| (),
            |(), _| {},
            |_| ControlFlow::Continue(()),
            |_, _| {},
        );
        let newest = newest.map_err(|flaw| OpenError::Io {
            doing: "list the snapshots in",
            path: import.data.clone(),
            source: std::io::Error::other(flaw),
        })?;
        let (from, end) = newest.map_or((0, 0), |((), loaded)| (loaded.begin, loaded.end));
        opened.prove(end);
        let replayed = opened.replay(
            from,
            |_, _| {},
            |so_far| {
                let (bytes, total_bytes) = (so_far.bytes, so_far.total_bytes);
                progress(Progress { stage: Stage::Opening, bytes, total_bytes });
                ControlFlow::Continue(())
            },
        )?;
        let last_lsn = replayed.last_lsn;
        if last_lsn > 0 && !import.into_existing {
            return Err(ImportError::NotEmpty { data: import.data.clone(), last_lsn });
        }
        let started = Appender::start(&data, &replayed, import.log, clock.clone());
        let appender = started.map_err(|error| ImportError::BrokenOff {
            data: import.data.clone(),
            added: 0,
            why: error.to_string(),
        })?;
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
