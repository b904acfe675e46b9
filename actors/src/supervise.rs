//! Supervision: child specs, restart strategies, the supervisor, and the tree it makes.

mod handle;
mod pulse;
mod shell;
mod worker;

pub use handle::{CallError, Handle, NotExecuted, Unknown};
pub use pulse::Pulse;
pub use shell::{Drill, Envelope, Shell};
pub use worker::{Failure, Label, Me, Worker};
