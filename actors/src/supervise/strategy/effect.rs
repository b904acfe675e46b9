//! What the machine is told, and what it wants done.

use std::time::Duration;

use crate::supervise::exit::Exit;
use crate::supervise::spec::{GivesUp, Restart};
use crate::supervise::start::Stand;

/// What the machine is told. `child` is a number that grows in start order and is never used again.
#[derive(Debug, Clone)]
pub(in crate::supervise) enum Event {
    /// Start everything.
    Begin,
    /// An incarnation runs.
    Up { child: usize, incarnation: u64 },
    /// An incarnation is gone, its state dropped; or it never came to be.
    Exited { child: usize, incarnation: u64, exit: Exit },
    /// A timer has run out.
    Timer { child: usize, generation: u64 },
    /// One more, started after all others. `child` MUST be above every number used so far.
    Add { child: usize, restart: Restart, gives_up: GivesUp },
    /// One less: stop it if it runs, then forget it.
    Remove { child: usize },
    /// End in good order.
    Stop,
}

/// What the machine wants done.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::supervise) enum Effect {
    /// Start an incarnation, and report how it goes.
    Start { child: usize, incarnation: u64 },
    /// Stop it within its grace, else kill it, and report its exit.
    Stop { child: usize },
    /// Report back after a while. Replaces the child's timer, if it has one.
    Arm { child: usize, generation: u64, after: Duration },
    /// Tell its callers where it stands.
    Publish { child: usize, stand: Stand },
    /// Tell the world.
    Tell { child: usize, lifecycle: Lifecycle, exit: Option<Exit>, next_in: Option<Duration> },
    /// It is out of the tree, and its number means nothing any more.
    Forget { child: usize },
    /// Every child has been started, or has failed to.
    Ready,
    /// Nothing runs any more; the supervisor ends.
    Finish(Finish),
}

/// How a supervisor ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::supervise) enum Finish {
    /// It was told to.
    Stopped,
    /// Restarting did not help.
    GaveUp { child: usize, cause: Exit },
}

/// What happens to a child, in the words of the logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lifecycle {
    /// It runs.
    Up,
    /// It ended by itself and a restart is due.
    Restarting,
    /// It ended by itself too often and the breaker holds it down.
    Held,
    /// Its breaker lets it run on trial.
    Trial,
    /// It lived through its trial.
    Recovered,
    /// It is being stopped.
    Stopping,
    /// It was stopped.
    Stopped,
    /// It ended and is not to be restarted.
    Finished,
    /// Restarting it did not help; it is left down.
    Degraded,
    /// Restarting it did not help; its supervisor gives up.
    Escalated,
    /// It came into the tree while its supervisor ran.
    Added,
    /// It was taken out of the tree.
    Removed,
}

impl Lifecycle {
    /// The word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Restarting => "restarting",
            Self::Held => "held",
            Self::Trial => "trial",
            Self::Recovered => "recovered",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Finished => "finished",
            Self::Degraded => "degraded",
            Self::Escalated => "escalated",
            Self::Added => "added",
            Self::Removed => "removed",
        }
    }
}
