//! The words that cache and log share: log sequence numbers, records, batches, parked replies.
//!
//! The cache turns every mutation into *effect* records (what the state became, not what was
//! asked: INCR yields a SET, a relative TTL an absolute one) and hands them, batch by batch, to
//! a [`Journal`]. It does not know what stands behind that trait; the log does not know who
//! emits. A batch is indivisible: after a crash all of it is there, or nothing.

mod author;
mod record;

pub use author::{Author, Credits, Identity, Note};
pub(crate) use record::packed;
pub use record::{DecodeError, Item, Record, RecordBatch, Records};
pub(crate) use record::{put_varint, take_varint, varint_len, voids};

/// Log sequence number: counts records, from 1. 0 means "nothing yet".
pub type Lsn = u64;

/// Why the journal could not settle a batch. The records may or may not be on disk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// The log could not be written; says what failed and what heals it.
    #[error("{0}")]
    Failed(std::sync::Arc<str>),
    /// The log was closed before the batch was settled.
    #[error("the log was closed before this write was settled")]
    Closed,
}

/// Something that waits for the log, typically a client's reply. Released exactly once.
pub trait Release: Send + 'static {
    /// Called when everything up to the awaited LSN is settled, or can't be.
    ///
    /// MUST NOT block: it runs on the log writer's thread.
    fn release(self, outcome: Result<(), JournalError>);

    /// The records that this waits for got LSNs up to this one. Not called if there are none.
    fn logged(&mut self, _lsn: Lsn) {}

    /// Who wrote what this waits for, as far as that is known.
    fn author(&self) -> Option<&Author> {
        None
    }
}

/// Where effects go. `P` is what the caller parks until its records are settled: *written* for
/// `everysec` and `no`, *durable* for `always`.
pub trait Journal<P: Release>: Send + Sync + 'static {
    /// Takes the records out of `batch` (which is left empty) as one indivisible unit, and parks
    /// `parked` until they are settled. Returns the LSN of the batch's last record.
    fn append(&self, batch: &mut RecordBatch, parked: Option<P>) -> Lsn;

    /// Parks `parked` until `lsn` is settled; released at once if it is already.
    fn park(&self, lsn: Lsn, parked: P);

    /// The highest settled LSN.
    fn settled(&self) -> Lsn;

    /// `Err` with the reason while the log takes no new writes (disk full, IO error).
    fn writable(&self) -> Result<(), JournalError>;
}

/// The journal of a pure cache: everything is settled at once and nothing is kept.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoJournal;

impl<P: Release> Journal<P> for NoJournal {
    fn append(&self, batch: &mut RecordBatch, parked: Option<P>) -> Lsn {
        batch.clear();
        if let Some(parked) = parked {
            parked.release(Ok(()));
        }
        0
    }

    fn park(&self, _lsn: Lsn, parked: P) {
        parked.release(Ok(()));
    }

    fn settled(&self) -> Lsn {
        Lsn::MAX
    }

    fn writable(&self) -> Result<(), JournalError> {
        Ok(())
    }
}
