//! One place in the tree: what stays the same over restarts, and how it stands now.
//!
//! Whoever looks at the tree reads nodes, without a message to anyone, so that a picture can be
//! had even of a tree in which every actor hangs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ractor::{ActorCell, ActorRef};

use super::conditions::ConditionSnapshot;
use super::exit::Exit;
use super::pulse::Pulse;
use super::snapshot::{NodeSnapshot, Reason, Why};
use super::spec::{BodySpec, ChildSpec, GivesUp, Restart, Strategy, SupervisorSpec};
use super::start::{Rehearse, Stand, Start};
use super::supervisor::SupervisorMsg;

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

/// The children of one supervisor, in start order. Replaced as a whole, so that whoever reads keeps
/// what there was when it looked, without a lock.
pub(super) type Children = Arc<[Arc<Node>]>;

/// What is below a node.
pub(super) enum Body {
    Worker(Box<dyn Start>),
    Supervisor { strategy: Strategy, intensity: u32, period: Duration, children: Mutex<Children> },
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
    /// Where a supervisor that runs takes orders.
    pub address: Option<ActorRef<SupervisorMsg>>,
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
    is_root: bool,
    /// Its own share of [`Node::grace`].
    grace: Duration,
    /// It is being removed: no supervisor starts it again, not even after its own restart.
    leaving: AtomicBool,
    pub body: Body,
    standing: Mutex<Standing>,
}

impl Node {
    pub fn root(spec: SupervisorSpec) -> Arc<Self> {
        Self::build(ChildSpec::supervisor(spec), None, true)
    }

    /// A node for one more child of this supervisor, not among its children yet.
    pub fn sprout(&self, spec: ChildSpec) -> Arc<Self> {
        Self::build(spec, (!self.is_root).then_some(&*self.path), false)
    }

    fn build(spec: ChildSpec, above: Option<&str>, is_root: bool) -> Arc<Self> {
        let path: Arc<str> = match above {
            Some(above) => format!("{above}/{}", spec.id).into(),
            None => spec.id.as_str().into(),
        };
        let body = match spec.body {
            BodySpec::Worker(start) => Body::Worker(start),
            BodySpec::Supervisor(supervisor) => {
                let SupervisorSpec { strategy, intensity, period, children, .. } = *supervisor;
                // A path names no root.
                let above = (!is_root).then_some(&*path);
                let children =
                    children.into_iter().map(|child| Self::build(child, above, false)).collect();
                Body::Supervisor { strategy, intensity, period, children: Mutex::new(children) }
            }
        };
        Arc::new(Self {
            id: spec.id,
            path,
            restart: spec.restart,
            gives_up: spec.gives_up,
            is_root,
            grace: spec.grace,
            leaving: AtomicBool::new(false),
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
                address: None,
                outcome: None,
            }),
        })
    }

    /// The children as they are now, in start order.
    pub fn children(&self) -> Children {
        match &self.body {
            Body::Worker(_) => Children::default(),
            Body::Supervisor { children, .. } => {
                Arc::clone(&children.lock().unwrap_or_else(PoisonError::into_inner))
            }
        }
    }

    /// Puts another list of children in the place of this one. Only the supervisor that runs here
    /// calls this.
    pub fn set_children(&self, now: Children) {
        if let Body::Supervisor { children, .. } = &self.body {
            *children.lock().unwrap_or_else(PoisonError::into_inner) = now;
        }
    }

    /// How long a start, and an orderly stop, may take. A supervisor's grows and shrinks with its
    /// children: each may use its grace twice, once until the kill and once after it.
    pub fn grace(&self) -> Duration {
        self.children()
            .iter()
            .fold(self.grace, |sum, child| sum.saturating_add(child.grace().saturating_mul(2)))
    }

    /// From now on it is being removed.
    pub fn leave(&self) {
        self.leaving.store(true, Ordering::Release);
    }

    /// Whether it is being removed.
    pub fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Acquire)
    }

    /// The node at a path, from here down.
    pub fn find(self: &Arc<Self>, path: &str) -> Option<Arc<Self>> {
        if &*self.path == path {
            return Some(Arc::clone(self));
        }
        self.children().iter().find_map(|child| child.find(path))
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
        for child in &*self.children() {
            child.walk(visit);
        }
    }

    /// Tells callers where the actor stands; below a supervisor, all of them.
    pub fn publish(&self, stand: Stand) {
        match &self.body {
            Body::Worker(start) => start.publish(stand),
            Body::Supervisor { .. } => self.children().iter().for_each(|c| c.publish(stand)),
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
            standing.address = None;
        }
    }

    pub fn restarts(&self) -> u64 {
        self.standing().starts.saturating_sub(1)
    }

    /// What is given up from here down.
    pub fn degraded(&self) -> Vec<Reason> {
        let mut reasons = Vec::new();
        self.walk(&mut |node| {
            let standing = node.standing();
            if standing.state == ChildState::Degraded {
                reasons.push(Reason {
                    path: Arc::clone(&node.path),
                    why: Why::GaveUp(standing.last_exit.clone()),
                    age: super::now().saturating_duration_since(standing.since),
                });
            }
        });
        reasons
    }

    pub fn snapshot(&self, now: Instant, conditions: &[ConditionSnapshot]) -> NodeSnapshot {
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
            conditions: conditions.iter().filter(|c| c.path == self.path).cloned().collect(),
            children: self.children().iter().map(|child| child.snapshot(now, conditions)).collect(),
        }
    }
}
