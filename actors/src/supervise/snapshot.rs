//! The tree as plain data, and as a picture for people.

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use super::conditions::{ConditionSnapshot, Conditions};
use super::exit::Exit;
use super::node::{ChildState, Kind, Node};

/// How one node stood when it was looked at.
#[derive(Debug, Clone)]
pub struct NodeSnapshot {
    /// The ids from below the root down, joined by `/`; the root's is its id.
    pub path: Arc<str>,
    /// Its name among its siblings.
    pub id: String,
    /// Worker or supervisor.
    pub kind: Kind,
    /// How it stands.
    pub state: ChildState,
    /// For how long it has stood so.
    pub age: Duration,
    /// How often it was started again.
    pub restarts: u64,
    /// How it last ended by itself.
    pub last_exit: Option<Exit>,
    /// When it will be started next.
    pub next_in: Option<Duration>,
    /// Messages that wait; workers that run have a number.
    pub mailbox: Option<u64>,
    /// The state of its breaker, if it has one.
    pub breaker: Option<&'static str>,
    /// What is not as it should be although it runs.
    pub conditions: Vec<ConditionSnapshot>,
    /// What is below it.
    pub children: Vec<NodeSnapshot>,
}

/// Why the daemon is degraded: it goes on, but something is not as it should be.
#[derive(Debug, Clone)]
pub struct Reason {
    /// Which part.
    pub path: Arc<str>,
    /// What is the matter with it.
    pub why: Why,
    /// For how long.
    pub age: Duration,
}

/// What is the matter with a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// It was given up and is left down; how it last ended.
    GaveUp(Option<Exit>),
    /// It runs, in a condition that it should not be in.
    Condition {
        /// What, in few words.
        name: Arc<str>,
        /// Why, for people.
        reason: Arc<str>,
    },
}

impl From<ConditionSnapshot> for Reason {
    fn from(condition: ConditionSnapshot) -> Self {
        let ConditionSnapshot { path, name, reason, age } = condition;
        Self { path, why: Why::Condition { name, reason }, age }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        match &self.why {
            Why::GaveUp(Some(exit)) => write!(f, "{path} gave up: {exit}"),
            Why::GaveUp(None) => write!(f, "{path} gave up"),
            Why::Condition { reason, .. } => write!(f, "{path}: {reason}"),
        }
    }
}

/// The whole tree when it was looked at.
#[derive(Debug, Clone)]
pub struct TreeSnapshot {
    /// The root.
    pub root: NodeSnapshot,
}

impl TreeSnapshot {
    pub(super) fn of(root: &Node, conditions: &Conditions) -> Self {
        Self { root: root.snapshot(super::now(), &conditions.current()) }
    }

    /// The picture, one node a line, without a newline at the end.
    #[must_use]
    pub fn render(&self) -> String {
        self.lines().join("\n")
    }

    /// The lines of the picture.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let width = widest(&self.root, 0);
        let mut lines = Vec::new();
        draw(&self.root, "", "", width, &mut lines);
        lines
    }

    /// The node at a path.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<&NodeSnapshot> {
        find(&self.root, path)
    }
}

fn find<'a>(node: &'a NodeSnapshot, path: &str) -> Option<&'a NodeSnapshot> {
    if &*node.path == path {
        return Some(node);
    }
    node.children.iter().find_map(|child| find(child, path))
}

fn widest(node: &NodeSnapshot, depth: usize) -> usize {
    let own = depth * 3 + node.id.chars().count();
    node.children.iter().map(|child| widest(child, depth + 1)).fold(own, usize::max)
}

fn draw(node: &NodeSnapshot, branch: &str, indent: &str, width: usize, lines: &mut Vec<String>) {
    let mut line = format!("{branch}{}", node.id);
    let used = line.chars().count();
    line.extend(std::iter::repeat_n(' ', width.saturating_sub(used) + 2));
    // Writing to a string cannot fail.
    let _ = write!(line, "{} {}  restarts {}", node.state.name(), age(node.age), node.restarts);
    if let Some(exit) = &node.last_exit {
        let _ = write!(line, "  last {}", one_line(&exit.to_string()));
    }
    if let Some(next_in) = node.next_in {
        let _ = write!(line, "  next in {}", age(next_in));
    }
    if let Some(depth) = node.mailbox {
        let _ = write!(line, "  mailbox {depth}");
    }
    if let Some(breaker) = node.breaker {
        let _ = write!(line, "  breaker {breaker}");
    }
    for condition in &node.conditions {
        let _ = write!(line, "  {}: {}", condition.name, one_line(&condition.reason));
    }
    lines.push(line);
    for (at, child) in node.children.iter().enumerate() {
        let last = at + 1 == node.children.len();
        let (tick, below) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        draw(child, &format!("{indent}{tick}"), &format!("{indent}{below}"), width, lines);
    }
}

/// The longest reason a picture shows, in characters.
const REASON_LEN: usize = 120;

/// A panic's text may have many lines and any length; a picture has one line per node.
fn one_line(text: &str) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    if text.chars().nth(REASON_LEN).is_none() {
        return text.chars().map(clean).collect();
    }
    let mut cut: String = text.chars().take(REASON_LEN).map(clean).collect();
    cut.push('…');
    cut
}

/// A duration as people say it: its two largest units, or milliseconds below one second.
fn age(age: Duration) -> String {
    let secs = age.as_secs();
    let (days, hours, minutes) = (secs / 86_400, secs / 3_600 % 24, secs / 60 % 60);
    if secs == 0 {
        format!("{}ms", age.as_millis())
    } else if days > 0 {
        format!("{days}d {hours}h")
    } else if hours > 0 {
        format!("{hours}h {minutes}m")
    } else if minutes > 0 {
        format!("{minutes}m {}s", secs % 60)
    } else {
        format!("{secs}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: &str, children: Vec<NodeSnapshot>) -> NodeSnapshot {
        NodeSnapshot {
            path: id.into(),
            id: id.to_owned(),
            kind: Kind::Worker,
            state: ChildState::Up,
            age: Duration::from_secs(182),
            restarts: 0,
            last_exit: None,
            next_in: None,
            mailbox: None,
            breaker: None,
            conditions: vec![],
            children,
        }
    }

    #[test]
    fn draws_the_tree() {
        let mut shard = node("shard-0", vec![]);
        shard.restarts = 1;
        shard.last_exit = Some(Exit::Panic("index out\nof bounds".to_owned()));
        shard.mailbox = Some(0);
        let mut link = node("link", vec![]);
        link.state = ChildState::Held;
        link.next_in = Some(Duration::from_millis(300));
        link.breaker = Some("open");
        link.conditions = vec![ConditionSnapshot {
            path: "link".into(),
            name: "unreachable".into(),
            reason: "connection refused".into(),
            age: Duration::ZERO,
        }];
        let cache = node("cache", vec![shard, node("sweeper", vec![])]);
        let root = node("root", vec![cache, link]);
        assert_eq!(
            TreeSnapshot { root }.render(),
            "root           up 3m 2s  restarts 0\n\
             ├─ cache       up 3m 2s  restarts 0\n\
             │  ├─ shard-0  up 3m 2s  restarts 1  last panic: index out of bounds  mailbox 0\n\
             │  └─ sweeper  up 3m 2s  restarts 0\n\
             └─ link        held 3m 2s  restarts 0  next in 300ms  breaker open  unreachable: connection refused"
        );
    }

    #[test]
    fn ages_read_like_people_say_them() {
        for (secs, text) in [(5, "5s"), (65, "1m 5s"), (3_700, "1h 1m"), (90_000, "1d 1h")] {
            assert_eq!(age(Duration::from_secs(secs)), text);
        }
    }
}
