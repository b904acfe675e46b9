//! Supervision: child specs, restart strategies, the supervisor, and the tree it makes.
//!
//! [`strategy`] decides and is pure; [`supervisor`] performs; an [`incarnation`]'s keeper task
//! sees one life of one child from its start to the moment its state is dropped. Nobody waits
//! inside a supervisor's mailbox: whatever takes time is done by keepers, which report back.
//!
//! Architecture invariant: a child's successor is started only after its predecessor's task was
//! joined (and, below a supervisor that died, everything under it), so that what the old state's
//! `Drop` hands back is there for the new one.

mod change;
mod check;
mod conditions;
mod event;
mod exit;
mod handle;
mod incarnation;
mod node;
mod pulse;
mod shell;
mod snapshot;
mod spec;
mod start;
mod strategy;
mod supervisor;
#[cfg(test)]
mod tests;
mod tree;
mod watchdog;
mod worker;

pub use change::{AddError, Added, NoSupervisor, RemoveError};
pub use check::{MAX_CHILDREN, SpecError};
pub use conditions::{Condition, ConditionSnapshot, Conditions, MAX_CONDITIONS};
pub use event::{StopHow, StoppedChild, TreeEvent};
pub use exit::{Exit, panic_text};
pub use handle::{CallError, Changes, Handle, NotExecuted, Unknown};
pub use node::{ChildState, Kind};
pub use pulse::Pulse;
pub use shell::{Drill, Envelope, Shell};
pub use snapshot::{NodeSnapshot, Reason, TreeSnapshot, Why};
pub use spec::{ChildSpec, DEFAULT_GRACE, GivesUp, Hold, Restart, Strategy, SupervisorSpec, When};
pub use strategy::Lifecycle;
pub use tree::{DrillError, ShutdownReport, StartError, Tree, TreeEnd, TreeHandle, TreeOptions};
pub use worker::{Failure, Label, Me, Worker};

/// Monotonic time, by the runtime's clock so that a test can pause it.
fn now() -> std::time::Instant {
    tokio::time::Instant::now().into_std()
}
