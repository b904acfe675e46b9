//! What the admin HTTP may see of the daemon: plain data behind one narrow trait.

use std::sync::Arc;

use seawall_actors::metrics::Snapshot;
use seawall_actors::supervise::{ConditionSnapshot, Kind, NodeSnapshot, Reason, TreeSnapshot, Why};
use serde::Serialize;

/// One node of the supervision tree.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Node {
    /// The ids from below the root down, joined by `/`.
    pub path: String,
    /// Its name among its siblings.
    pub id: String,
    /// `worker` or `supervisor`.
    pub kind: &'static str,
    /// How it stands; `up` if it runs.
    pub state: &'static str,
    /// For how long it has stood so.
    pub age_seconds: f64,
    /// How often it was started again.
    pub restarts: u64,
    /// How it last ended by itself.
    pub last_exit: Option<String>,
    /// When it will be started next.
    pub next_in_seconds: Option<f64>,
    /// Messages that wait.
    pub mailbox: Option<u64>,
    /// The state of its breaker, if it has one.
    pub breaker: Option<&'static str>,
    /// What is not as it should be although it runs.
    pub conditions: Vec<Condition>,
    /// What is below it.
    pub children: Vec<Node>,
}

/// What is not as it should be with a part that runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Condition {
    /// What, in few words.
    pub name: String,
    /// Why.
    pub reason: String,
    /// For how long.
    pub age_seconds: f64,
}

impl From<&ConditionSnapshot> for Condition {
    fn from(condition: &ConditionSnapshot) -> Self {
        Self {
            name: condition.name.to_string(),
            reason: condition.reason.to_string(),
            age_seconds: condition.age.as_secs_f64(),
        }
    }
}

impl Node {
    /// Calls `visit` with this node and all below it, parents first.
    pub fn walk<'a>(&'a self, visit: &mut impl FnMut(&'a Self)) {
        visit(self);
        for child in &self.children {
            child.walk(visit);
        }
    }
}

/// The tree, drawn and as data.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TreeView {
    /// The picture, as `seawall tree` prints it.
    pub text: String,
    /// The root.
    pub root: Node,
}

/// A part that was given up, or is not as it should be, while the rest goes on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Degraded {
    /// Which part.
    pub path: String,
    /// Which condition it is in; `None` if it was given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// How it ended, or why it is in that condition.
    pub cause: Option<String>,
    /// For how long.
    pub age_seconds: f64,
}

impl From<&NodeSnapshot> for Node {
    fn from(node: &NodeSnapshot) -> Self {
        Self {
            path: node.path.to_string(),
            id: node.id.clone(),
            kind: match node.kind {
                Kind::Worker => "worker",
                Kind::Supervisor => "supervisor",
            },
            state: node.state.name(),
            age_seconds: node.age.as_secs_f64(),
            restarts: node.restarts,
            last_exit: node.last_exit.as_ref().map(ToString::to_string),
            next_in_seconds: node.next_in.map(|d| d.as_secs_f64()),
            mailbox: node.mailbox,
            breaker: node.breaker,
            conditions: node.conditions.iter().map(Condition::from).collect(),
            children: node.children.iter().map(Self::from).collect(),
        }
    }
}

impl From<&TreeSnapshot> for TreeView {
    fn from(tree: &TreeSnapshot) -> Self {
        Self { text: tree.render(), root: Node::from(&tree.root) }
    }
}

impl From<&Reason> for Degraded {
    fn from(reason: &Reason) -> Self {
        let (condition, cause) = match &reason.why {
            Why::GaveUp(exit) => (None, exit.as_ref().map(ToString::to_string)),
            Why::Condition { name, reason } => (Some(name.to_string()), Some(reason.to_string())),
        };
        Self {
            path: reason.path.to_string(),
            condition,
            cause,
            age_seconds: reason.age.as_secs_f64(),
        }
    }
}

/// What the admin HTTP asks the daemon. Every answer MUST come at once, from memory.
pub trait View: Send + Sync + 'static {
    /// Whether clients may be sent here; if not, why.
    ///
    /// # Errors
    /// The reasons, at least one.
    fn ready(&self) -> Result<(), Vec<String>>;

    /// What is given up or impaired; empty is well.
    fn degraded(&self) -> Vec<Degraded>;

    /// The tree; `None` while it is being started.
    fn tree(&self) -> Option<TreeView>;

    /// The newest readings.
    fn metrics(&self) -> Arc<Snapshot>;
}
