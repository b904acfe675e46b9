//! One place in the tree: what stays the same over restarts, and how it stands now.
//!
//! Whoever looks at the tree reads nodes, without a message to anyone, so that a picture can be
//! had even of a tree in which every actor hangs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ractor::ActorCell;

use super::exit::Exit;
use super::pulse::Pulse;
use super::snapshot::{NodeSnapshot, Reason};
use super::spec::{BodySpec, ChildSpec, GivesUp, Restart, Strategy, SupervisorSpec};
use super::start::{Rehearse, Stand, Start};

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A leaf.
    Worker,
    /// An inner node.
    Supervisor,
}

/// How a node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChildState {
    /// Not started yet.
    New,
    /// Being started.
    Starting,
    /// Runs.
    Up,
    /// Told to stop.
    Stopping,
    /// Down; a restart is due.
    Down,
    /// Held down by its breaker.
    Held,
    /// Ended, and not to be restarted.
    Finished,
    /// Given up and left down; the rest goes on.
    Degraded,
    /// Stopped with its supervisor, or below a node that is given up.
    Stopped,
}

impl ChildState {
    /// The word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Starting => "starting",
            Self::Up => "up",
            Self::Stopping => "stopping",
            Self::Down => "down",
            Self::Held => "held",
            Self::Finished => "finished",
            Self::Degraded => "degraded",
            Self::Stopped => "stopped",
        }
    }
}

/// What is below a node.
pub(super) enum Body {
    Worker(Box<dyn Start>),
    Supervisor { strategy: Strategy, intensity: u32, period: Duration, children: Vec<Arc<Node>> },
}

/// What changes about a node.
pub(super) struct Standing {
    pub state: ChildState,
    pub since: Instant,
    pub starts: u64,
    pub last_exit: Option<Exit>,
    pub next_at: Option<Instant>,
    pub breaker: Option<&'static str>,
    /// Of the incarnation that runs.
    pub pulse: Option<Arc<Pulse>>,
    pub cell: Option<ActorCell>,
    pub rehearse: Option<Rehearse>,
    /// How a supervisor says it ended, before it does.
    pub outcome: Option<Exit>,
}

/// See the module.
pub(super) struct Node {
    pub id: String,
    /// The ids from below the root down, joined by `/`; the root's is its id.
    pub path: Arc<str>,
    pub restart: Restart,
    pub gives_up: GivesUp,
    /// How long a start, and an orderly stop, may take.
    pub grace: Duration,
    pub body: Body,
    standing: Mutex<Standing>,
}

impl Node {
    pub fn root(spec: SupervisorSpec) -> Arc<Self> {
        Self::build(ChildSpec::supervisor(spec), None, 0)
    }

    fn build(spec: ChildSpec, above: Option<&str>, depth: usize) -> Arc<Self> {
        let path: Arc<str> = match above {
            Some(above) => format!("{above}/{}", spec.id).into(),
            None => spec.id.as_str().into(),
        };
        let (body, grace) = match spec.body {
            BodySpec::Worker(start) => (Body::Worker(start), spec.grace),
            BodySpec::Supervisor(supervisor) => {
                let SupervisorSpec { strategy, intensity, period, children, .. } = *supervisor;
                let above = (depth > 0).then_some(&*path);
                let children: Vec<_> = children
                    .into_iter()
                    .map(|child| Self::build(child, above, depth + 1))
                    .collect();
                // Each child may use its grace twice, once until the kill and once after it.
                let grace = children
                    .iter()
                    .fold(spec.grace, |sum, child| sum.saturating_add(child.grace * 2));
                (Body::Supervisor { strategy, intensity, period, children }, grace)
            }
        };
        Arc::new(Self {
            id: spec.id,
            path,
            restart: spec.restart,
            gives_up: spec.gives_up,
            grace,
            body,
            standing: Mutex::new(Standing {
                state: ChildState::New,
                since: super::now(),
                starts: 0,
                last_exit: None,
                next_at: None,
                breaker: None,
                pulse: None,
                cell: None,
                rehearse: None,
                outcome: None,
            }),
        })
    }

    pub fn children(&self) -> &[Arc<Self>] {
        match &self.body {
            Body::Worker(_) => &[],
            Body::Supervisor { children, .. } => children,
        }
    }

    pub fn kind(&self) -> Kind {
        match self.body {
            Body::Worker(_) => Kind::Worker,
            Body::Supervisor { .. } => Kind::Supervisor,
        }
    }

    /// Every node from here down, parents first.
    pub fn walk(&self, visit: &mut impl FnMut(&Self)) {
        visit(self);
        for child in self.children() {
            child.walk(visit);
        }
    }

    /// Tells callers where the actor stands; below a supervisor, all of them.
    pub fn publish(&self, stand: Stand) {
        match &self.body {
            Body::Worker(start) => start.publish(stand),
            Body::Supervisor { children, .. } => children.iter().for_each(|c| c.publish(stand)),
        }
    }

    pub fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, and with it the age.
    pub fn set(&self, state: ChildState) {
        let mut standing = self.standing();
        if standing.state != state {
            standing.state = state;
            standing.since = super::now();
        }
        if state != ChildState::Down && state != ChildState::Held {
            standing.next_at = None;
        }
        if !matches!(state, ChildState::Up | ChildState::Stopping | ChildState::Starting) {
            standing.pulse = None;
            standing.cell = None;
            standing.rehearse = None;
        }
    }

    pub fn restarts(&self) -> u64 {
        self.standing().starts.saturating_sub(1)
    }

    /// What is degraded from here down.
    pub fn degraded(&self) -> Vec<Reason> {
        let mut reasons = Vec::new();
        self.walk(&mut |node| {
            let standing = node.standing();
            if standing.state == ChildState::Degraded {
                reasons.push(Reason {
                    path: Arc::clone(&node.path),
                    cause: standing.last_exit.clone(),
                    age: super::now().saturating_duration_since(standing.since),
                });
            }
        });
        reasons
    }

    pub fn snapshot(&self, now: Instant) -> NodeSnapshot {
        let standing = self.standing();
        NodeSnapshot {
            path: Arc::clone(&self.path),
            id: self.id.clone(),
            kind: self.kind(),
            state: standing.state,
            age: now.saturating_duration_since(standing.since),
            restarts: standing.starts.saturating_sub(1),
            last_exit: standing.last_exit.clone(),
            next_in: standing.next_at.map(|at| at.saturating_duration_since(now)),
            mailbox: standing.pulse.as_ref().map(|pulse| pulse.depth()),
            breaker: standing.breaker,
            children: self.children().iter().map(|child| child.snapshot(now)).collect(),
        }
    }
}
