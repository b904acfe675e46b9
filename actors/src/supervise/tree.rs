//! The whole tree: how it is started, looked at, drilled and ended.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::{broadcast, oneshot, watch};
use tokio::time::Instant;

use super::check::{self, SpecError};
use super::conditions::Conditions;
use super::event::{Shared, StoppedChild, TreeEvent};
use super::exit::Exit;
use super::incarnation::{Keeper, Report};
use super::node::{ChildState, Kind, Node};
use super::shell::Drill;
use super::snapshot::{Reason, TreeSnapshot};
use super::spec::SupervisorSpec;
use super::start::Stand;

/// What a tree is started with.
#[derive(Debug, Clone)]
pub struct TreeOptions {
    /// How long a worker may be on one message without progress before it counts as hung.
    pub watchdog: Duration,
    /// How long the start of all children together may take.
    pub start_within: Duration,
    /// What its parts declare about themselves.
    pub conditions: Conditions,
}

impl Default for TreeOptions {
    /// A watchdog of 10 s, 60 s for the start, and no conditions.
    fn default() -> Self {
        Self {
            watchdog: Duration::from_secs(10),
            start_within: Duration::from_secs(60),
            conditions: Conditions::new(),
        }
    }
}

/// Why a tree did not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The spec makes no tree.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The root gave up while it started.
    #[error("the tree ended while it started: {0}")]
    Ended(TreeEnd),
    /// Not all children had been tried in time; the tree was stopped again.
    #[error("not all children were started in time: {}", pending.join(", "))]
    TimedOut {
        /// Those that were not up.
        pending: Vec<String>,
    },
}

/// Why a drill is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DrillError {
    /// There is no such path.
    #[error("no actor at '{path}'; there are: {}", known.join(", "))]
    UnknownPath {
        /// What was asked for.
        path: String,
        /// What there is.
        known: Vec<String>,
    },
    /// It is not running now.
    #[error("'{path}' is not running now ({})", state.name())]
    NotRunning {
        /// Which.
        path: String,
        /// How it stands.
        state: ChildState,
    },
    /// Nobody would restart the root.
    #[error("the root has no supervisor that would restart it")]
    Root,
    /// The watchdog watches workers only.
    #[error(
        "'{path}' is a supervisor, and nothing watches those for hangs: use panic, error or kill"
    )]
    SupervisorHang {
        /// Which.
        path: String,
    },
}

/// How a tree ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TreeEnd {
    /// It was shut down.
    Stopped,
    /// The root gave up, or died itself. `culprit` is the path of the deepest child known to
    /// have caused it.
    Failed {
        /// Whose fault it was.
        culprit: Arc<str>,
        /// How that one ended.
        cause: Exit,
    },
}

impl std::fmt::Display for TreeEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stopped => f.write_str("stopped"),
            Self::Failed { culprit, cause } => write!(f, "{culprit}: {cause}"),
        }
    }
}

/// How a shutdown went.
#[derive(Debug, Clone)]
pub struct ShutdownReport {
    /// How long it took.
    pub took: Duration,
    /// Every child that was stopped, in the order they ended.
    pub stopped: Vec<StoppedChild>,
    /// How the tree ended.
    pub end: TreeEnd,
}

/// A running tree. Dropping it does not end it: [`TreeHandle::shutdown`] does.
#[derive(Debug)]
pub struct Tree {
    handle: TreeHandle,
}

impl Tree {
    /// Starts every child in order, and waits until each is up or has failed to start. A child
    /// that failed is restarted by its supervisor's strategy; the snapshot shows it.
    ///
    /// # Errors
    /// [`StartError`]; nothing runs then, except what could not be ended.
    pub async fn start(root: SupervisorSpec, options: TreeOptions) -> Result<Self, StartError> {
        check::root(&root)?;
        let root = Node::root(root);
        let shared = Arc::new(Shared::new(options.watchdog, options.conditions));
        shared.set_root(&root);
        let (stop, orders) = oneshot::channel();
        *shared.stop.lock().unwrap_or_else(PoisonError::into_inner) = Some(stop);
        let (ended, on_end) = watch::channel(None);
        let (up, mut on_up) = watch::channel(false);
        root.standing().starts += 1;
        let node = Arc::clone(&root);
        Keeper {
            node: Arc::clone(&root),
            shared: Arc::clone(&shared),
            supervisor: None,
            orders,
            alive: None,
            report: Box::new(move |report| match report {
                Report::Up => {
                    up.send_replace(true);
                }
                Report::Ended { exit, .. } => {
                    node.set(ChildState::Stopped);
                    node.publish(Stand::Gone);
                    ended.send_replace(Some(end(&node, exit)));
                }
            }),
        }
        .launch();
        let handle = TreeHandle { root, shared, on_end };
        let tree = Self { handle };
        let deadline = Instant::now() + options.start_within;
        tokio::select! {
            biased;
            end = tree.handle.ended() => Err(StartError::Ended(end)),
            _ = on_up.wait_for(|up| *up) => {
                let picture = tree.handle.snapshot().render();
                tracing::info!(event = "tree", "{picture}");
                Ok(tree)
            }
            () = tokio::time::sleep_until(deadline) => {
                let mut pending = Vec::new();
                tree.handle.root.walk(&mut |node| {
                    if node.kind() == Kind::Worker && node.standing().state != ChildState::Up {
                        pending.push(node.path.to_string());
                    }
                });
                tree.handle.shutdown().await;
                Err(StartError::TimedOut { pending })
            }
        }
    }

    /// A handle to it, for whoever looks at it or ends it.
    #[must_use]
    pub fn handle(&self) -> TreeHandle {
        self.handle.clone()
    }
}

impl std::ops::Deref for Tree {
    type Target = TreeHandle;

    fn deref(&self) -> &TreeHandle {
        &self.handle
    }
}

/// Looks at a tree, drills it, ends it. Cheap to clone.
#[derive(Clone)]
pub struct TreeHandle {
    pub(super) root: Arc<Node>,
    pub(super) shared: Arc<Shared>,
    pub(super) on_end: watch::Receiver<Option<TreeEnd>>,
}

impl std::fmt::Debug for TreeHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TreeHandle").field("root", &self.root.path).finish_non_exhaustive()
    }
}

impl TreeHandle {
    /// The tree as it stands. Asks no actor, so it answers even if all of them hang.
    #[must_use]
    pub fn snapshot(&self) -> TreeSnapshot {
        TreeSnapshot::of(&self.root, &self.shared.conditions)
    }

    /// Makes the actor at `path` fail. Returns once the drill is on its way.
    ///
    /// # Errors
    /// [`DrillError`]; nothing happened then.
    pub fn drill(&self, path: &str, drill: Drill) -> Result<(), DrillError> {
        let path = path.trim_matches('/');
        if path == &*self.root.path {
            return Err(DrillError::Root);
        }
        let mut known = Vec::new();
        let mut found = None;
        self.root.walk(&mut |node| {
            if node.path == self.root.path {
                return;
            }
            known.push(node.path.to_string());
            if &*node.path == path {
                let standing = node.standing();
                let live = standing.cell.clone().zip(standing.rehearse.clone());
                found = Some((node.kind(), standing.state, live));
            }
        });
        let path = path.to_owned();
        let Some((kind, state, live)) = found else {
            return Err(DrillError::UnknownPath { path, known });
        };
        if kind == Kind::Supervisor && drill == Drill::Hang {
            return Err(DrillError::SupervisorHang { path });
        }
        let Some((cell, rehearse)) = live else {
            return Err(DrillError::NotRunning { path, state });
        };
        tracing::warn!(path, event = "drill", ?drill, "{path} is drilled");
        match drill {
            Drill::Kill => cell.kill(),
            Drill::Panic | Drill::Error | Drill::Hang => rehearse(drill),
        }
        Ok(())
    }

    /// Changes how long a worker may be on one message; heeded within a second.
    pub fn set_watchdog(&self, limit: Duration) {
        self.shared.set_watchdog(limit);
    }

    /// What has been given up and left down while the rest goes on, and the conditions that hold.
    #[must_use]
    pub fn degraded(&self) -> Vec<Reason> {
        let mut reasons = self.root.degraded();
        reasons.extend(self.shared.conditions.current().into_iter().map(Reason::from));
        reasons
    }

    /// Lifecycle events from now on. A receiver that falls behind by 256 misses some.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<TreeEvent> {
        self.shared.subscribe()
    }

    /// Stops everything in reverse order, each child within its grace, then by a kill.
    pub async fn shutdown(&self) -> ShutdownReport {
        let began = Instant::now();
        let stop = self.shared.stop.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(stop) = stop {
            self.shared.take_stops();
            // A root that has ended needs no stop.
            let _ = stop.send(());
        }
        let end = self.ended().await;
        ShutdownReport { took: began.elapsed(), stopped: self.shared.take_stops(), end }
    }

    /// Resolves when the tree has ended, one way or another.
    pub async fn ended(&self) -> TreeEnd {
        let mut on_end = self.on_end.clone();
        match on_end.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(end)) => end.clone(),
            // The root's keeper is gone without a word: the runtime is shutting down.
            _ => TreeEnd::Failed { culprit: Arc::clone(&self.root.path), cause: Exit::Killed },
        }
    }
}

fn end(root: &Node, exit: Option<Exit>) -> TreeEnd {
    match exit {
        Some(Exit::Normal | Exit::Shutdown) => TreeEnd::Stopped,
        Some(Exit::GaveUp { culprit, cause }) => TreeEnd::Failed { culprit, cause: *cause },
        exit => {
            TreeEnd::Failed { culprit: Arc::clone(&root.path), cause: exit.unwrap_or(Exit::Killed) }
        }
    }
}
