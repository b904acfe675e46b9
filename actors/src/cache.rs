//! The cache: shards, each an actor that owns a store alone, and the sweeper that wakes them.

mod audience;
mod cradle;
mod loan;
pub mod shard;
pub mod store;
pub mod sweeper;

pub use audience::{Audience, Nobody};
pub use cradle::Cradle;
pub use loan::{Loan, LoanSlip};
pub use shard::{
    Admitted, Backlog, DatabaseStats, Exported, GapToll, Heard, Job, NotExported, Outcome, Parked,
    Rebuild, Shard, ShardArgs, ShardMsg, ShardStats, TierArgs, TierNews, Toll,
};
pub use sweeper::{SweepTarget, Sweeper, SweeperArgs};
