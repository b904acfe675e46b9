//! Wakes the shards so that what is due expires even if nobody asks for it.
//!
//! Owns nothing but its beat; when it restarts, one beat comes late.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::failpoint::{self, Point};
use crate::supervise::{Failure, Label, Me, Worker};

/// Someone to wake: a shard, whatever the type of its jobs.
pub trait SweepTarget: Send + Sync + 'static {
    /// Asks for a sweep. MUST NOT block; a target that is down is passed over.
    fn sweep(&self);
}

/// What the sweeper is told.
#[derive(Debug, Clone, Copy)]
pub enum SweeperMsg {
    /// Wake everyone, and ring again after the interval.
    Beat,
}

impl Label for SweeperMsg {
    fn label(&self) -> &'static str {
        match self {
            Self::Beat => "beat",
        }
    }
}

/// What a start needs.
pub struct SweeperArgs {
    /// Whom to wake.
    pub targets: Arc<[Arc<dyn SweepTarget>]>,
    /// Time between two beats; read anew for each.
    pub interval: watch::Receiver<Duration>,
}

impl std::fmt::Debug for SweeperArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SweeperArgs").field("targets", &self.targets.len()).finish_non_exhaustive()
    }
}

/// The sweeper.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sweeper;

impl Worker for Sweeper {
    type Msg = SweeperMsg;
    type Args = SweeperArgs;
    type State = SweeperArgs;

    async fn init(&self, me: &Me<SweeperMsg>, args: SweeperArgs) -> Result<SweeperArgs, Failure> {
        me.send(SweeperMsg::Beat);
        Ok(args)
    }

    async fn handle(
        &self,
        me: &Me<SweeperMsg>,
        SweeperMsg::Beat: SweeperMsg,
        state: &mut SweeperArgs,
    ) -> Result<(), Failure> {
        failpoint::hit(Point::SweeperBeat);
        for target in state.targets.iter() {
            target.sweep();
        }
        me.send_after(*state.interval.borrow(), SweeperMsg::Beat);
        Ok(())
    }
}
