//! What a supervisor is told about its children.

use std::fmt;
use std::time::Duration;

use tokio::sync::watch;

use super::handle::Handle;
use super::start::{Start, WorkerStart};
use super::worker::Worker;
use crate::policy::{Backoff, BreakerSettings};

/// Which exits bring a restart (the words are Erlang/OTP's).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum When {
    /// Every exit.
    #[default]
    Permanent,
    /// An abnormal exit only.
    Transient,
    /// None.
    Temporary,
}

/// Whom a child's exit concerns (the words are Erlang/OTP's).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strategy {
    /// The child alone.
    #[default]
    OneForOne,
    /// The child and those started after it.
    RestForOne,
    /// All children.
    OneForAll,
}

/// What happens when restarting a child no longer helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GivesUp {
    /// Its supervisor stops the other children and fails in its turn.
    #[default]
    Escalate,
    /// It is declared degraded and left down; everything else goes on.
    Degrade,
}

/// How a child is restarted.
#[derive(Debug, Clone)]
pub struct Restart {
    /// Which exits bring a restart.
    pub when: When,
    /// More exits than this within `period` mean that restarting does not help.
    pub intensity: u32,
    /// See `intensity`.
    pub period: Duration,
    /// How long to wait before a restart. The count of attempts starts over once the child has
    /// lived for the longest delay.
    pub delay: Backoff,
    /// With a breaker, too many exits hold the child down for a while instead of escalating;
    /// `intensity` and `period` are not used.
    pub hold: Option<Hold>,
}

/// The settings of a child's breaker, which may change while it lives: they are looked at when it
/// ends, and before it starts.
#[derive(Debug, Clone)]
pub struct Hold(watch::Receiver<BreakerSettings>);

impl Hold {
    /// What they are now.
    pub(super) fn settings(&self) -> BreakerSettings {
        *self.0.borrow()
    }

    /// What they are now, if they have changed since they were asked for last.
    pub(super) fn news(&mut self) -> Option<BreakerSettings> {
        let changed = self.0.has_changed().unwrap_or(false);
        changed.then(|| *self.0.borrow_and_update())
    }
}

/// Those that stay as they are.
impl From<BreakerSettings> for Hold {
    fn from(settings: BreakerSettings) -> Self {
        Self(watch::Sender::new(settings).subscribe())
    }
}

impl From<watch::Receiver<BreakerSettings>> for Hold {
    fn from(settings: watch::Receiver<BreakerSettings>) -> Self {
        Self(settings)
    }
}

impl Default for Restart {
    /// Permanent, five exits in 30 s, the default backoff.
    fn default() -> Self {
        Self {
            when: When::Permanent,
            intensity: 5,
            period: Duration::from_secs(30),
            delay: Backoff::default(),
            hold: None,
        }
    }
}

/// How long an orderly stop may take before the child is killed, unless said otherwise.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(5);

/// One child of a supervisor.
pub struct ChildSpec {
    pub(super) id: String,
    pub(super) restart: Restart,
    pub(super) gives_up: GivesUp,
    pub(super) grace: Duration,
    pub(super) body: BodySpec,
}

/// What kind of child it is.
pub(super) enum BodySpec {
    Worker(Box<dyn Start>),
    Supervisor(Box<SupervisorSpec>),
}

impl ChildSpec {
    /// A worker that callers reach through `handle`. `make` is called for every start, outside
    /// of any actor; a panic in it counts as a failed start.
    pub fn worker<W: Worker>(
        id: impl Into<String>,
        handle: Handle<W::Msg>,
        restart: Restart,
        make: impl FnMut() -> (W, W::Args) + Send + 'static,
    ) -> Self {
        Self {
            id: id.into(),
            restart,
            gives_up: GivesUp::Escalate,
            grace: DEFAULT_GRACE,
            body: BodySpec::Worker(Box::new(WorkerStart::new(handle, make))),
        }
    }

    /// A supervisor with children of its own.
    #[must_use]
    pub fn supervisor(spec: SupervisorSpec) -> Self {
        Self {
            id: spec.id.clone(),
            restart: spec.restart.clone(),
            gives_up: spec.gives_up,
            grace: DEFAULT_GRACE,
            body: BodySpec::Supervisor(Box::new(spec)),
        }
    }

    /// How long its start and its orderly stop may take each. A supervisor's own stop takes as
    /// long as its children's, whatever is said here.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// What happens when restarting it no longer helps.
    #[must_use]
    pub fn gives_up(mut self, gives_up: GivesUp) -> Self {
        self.gives_up = gives_up;
        self
    }
}

impl fmt::Debug for ChildSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildSpec").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A supervisor and its children, in the order they are started in.
#[derive(Debug)]
pub struct SupervisorSpec {
    /// Its name among its siblings.
    pub id: String,
    /// Whom a child's exit concerns.
    pub strategy: Strategy,
    /// More restarts than this within `period`, of all children together that would escalate
    /// and have no breaker, and the supervisor gives up.
    pub intensity: u32,
    /// See `intensity`.
    pub period: Duration,
    /// The children, in start order.
    pub children: Vec<ChildSpec>,
    /// How its own supervisor restarts it once it has failed.
    pub restart: Restart,
    /// What its own supervisor does when that no longer helps.
    pub gives_up: GivesUp,
}

impl SupervisorSpec {
    /// A supervisor without children: ten restarts in 30 s, of itself one in 30 s.
    #[must_use]
    pub fn new(id: impl Into<String>, strategy: Strategy) -> Self {
        Self {
            id: id.into(),
            strategy,
            intensity: 10,
            period: Duration::from_secs(30),
            children: Vec::new(),
            restart: Restart { intensity: 1, ..Restart::default() },
            gives_up: GivesUp::Escalate,
        }
    }

    /// Adds a child, started after the ones before it.
    #[must_use]
    pub fn child(mut self, child: ChildSpec) -> Self {
        self.children.push(child);
        self
    }
}
