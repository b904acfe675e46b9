//! What a shard is told, and what it answers.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::backlog::{GapToll, Toll};
use super::job::Outcome;
use crate::cache::loan::Loan;
use crate::cache::store::{NearStats, Store, StoreConfig, StoreStats, Ticket, WalkEnded};
use crate::clock::UnixMs;
use crate::journal::{JournalError, Lsn, RecordBatch};
use crate::supervise::Label;

/// What a shard is told.
#[derive(Debug)]
pub enum ShardMsg<J> {
    /// Apply a job and answer when the log has settled it.
    Run(J, oneshot::Sender<Outcome<J>>),
    /// Lend the store to a coordinator and wait for it; `None` while rebuilding.
    Lend(oneshot::Sender<Option<Loan>>),
    /// Expire what is due.
    Sweep,
    /// Expire on sweeps, or (a debugging aid) only when a key is asked for.
    ActiveExpire(bool),
    /// Begin a walk through the store, under a number of its own.
    BeginExport(u64, oneshot::Sender<Result<(), NotExported>>),
    /// One piece of the walk.
    Export {
        /// The walk's number.
        walk: u64,
        /// Where the piece begins; 0 at first.
        cursor: u64,
        /// Hears of it.
        reply: oneshot::Sender<Result<Exported, NotExported>>,
    },
    /// Report counters and sizes.
    Stats(oneshot::Sender<ShardStats>),
    /// Set the counters back to zero.
    ResetStats,
    /// New limits or eviction.
    Reconfigure(StoreConfig),
    /// Answer once there is a store to work on.
    AwaitStore(oneshot::Sender<()>),
    /// A rebuild from the log has ended.
    Rebuilt(Result<(Box<Store>, Lsn), String>),
    /// Something happened in the tier behind the first database.
    Tier(TierNews),
    /// Look whether there is a tier by now, and answer once the store goes by it: at once if there
    /// is no store, which will when it comes.
    Rewire(oneshot::Sender<()>),
}

/// What a shard hears of the tier. One that has no store misses it, and takes it for a gap.
#[derive(Debug)]
pub enum TierNews {
    /// Somebody else changed these keys, given with their hashes.
    Changed(Vec<(Box<[u8]>, u64)>, Toll),
    /// Changes may have been missed; with a toll if they were too many to wait.
    Gap(Option<GapToll>),
    /// Answers that no command waits for.
    Heard(Vec<Heard>),
    /// Commands of the tier's on these keys are over, and what they changed was told.
    Passed {
        /// With their hashes.
        keys: Vec<(Box<[u8]>, u64)>,
        /// Whether they may have been executed.
        executed: bool,
    },
    /// Somebody is about to ask about keys, whichever.
    Asks(oneshot::Sender<Ticket>),
}

/// What the tier holds for a key.
#[derive(Debug)]
pub struct Heard {
    /// The key.
    pub key: Box<[u8]>,
    /// Its hash.
    pub hash: u64,
    /// As it was when the tier was asked.
    pub ticket: Ticket,
    /// The value and when it expires; `None` if there is none, or none that is held here.
    pub found: Option<(Arc<[u8]>, Option<UnixMs>)>,
}

impl<J> Label for ShardMsg<J> {
    fn label(&self) -> &'static str {
        match self {
            Self::Run(..) => "run",
            Self::Lend(_) => "lend",
            Self::Sweep => "sweep",
            Self::ActiveExpire(_) => "active-expire",
            Self::BeginExport(..) => "begin-export",
            Self::Export { .. } => "export",
            Self::Stats(_) => "stats",
            Self::ResetStats => "reset-stats",
            Self::Reconfigure(_) => "reconfigure",
            Self::AwaitStore(_) => "await-store",
            Self::Rebuilt(_) => "rebuilt",
            Self::Tier(_) => "tier",
            Self::Rewire(_) => "rewire",
        }
    }
}

/// A piece of a store. Every effect on what is in it has its LSN.
#[derive(Debug, Clone)]
pub struct Exported {
    /// Its entries, as SET records.
    pub records: RecordBatch,
    /// Where the next piece begins; `None`: this was the last.
    pub next: Option<u64>,
}

/// Why a shard hands nothing of its store out now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotExported {
    /// It is being rebuilt.
    #[error("the shard is being rebuilt")]
    Loading,
    /// It holds effects that the log does not take.
    #[error("the log takes no writes: {0}")]
    Log(#[from] JournalError),
    /// The walk has to begin anew.
    #[error(transparent)]
    Ended(#[from] WalkEnded),
}

/// Sizes and counters of one shard.
#[derive(Debug, Clone, Default)]
pub struct ShardStats {
    /// Keys, those included that expired and are not collected yet.
    pub entries: u64,
    /// Bytes allocated by the store.
    pub bytes: u64,
    /// Sizes per database.
    pub databases: Vec<DatabaseStats>,
    /// Event counters.
    pub counters: StoreStats,
    /// What concerns the tier, if there is one.
    pub near: Option<NearStats>,
}

/// Sizes of one database in one shard.
#[derive(Debug, Clone, Copy, Default)]
pub struct DatabaseStats {
    /// Keys.
    pub keys: u64,
    /// Keys with a time to live.
    pub expires: u64,
    /// Mean time to live of those, milliseconds.
    pub avg_ttl_ms: u64,
}
