//! What is not as it should be although it runs: named reasons that any part declares, for
//! everyone who asks how the daemon is.
//!
//! A part that is given up is the tree's matter; a link that has no other end, or a log that
//! refuses writes, is a condition. The word is that of Kubernetes' status conditions.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The most conditions that hold at a time and are shown.
pub const MAX_CONDITIONS: usize = 256;

/// The longest reason that is kept, in characters.
const REASON_LEN: usize = 500;

/// A path and a name: what labels of metrics are made of.
type Key = (Arc<str>, Arc<str>);

/// All conditions of one daemon. Cheap to clone; a clone shares them.
#[derive(Debug, Clone, Default)]
pub struct Conditions(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    declared: AtomicU64,
    holding: Mutex<BTreeMap<Key, Holding>>,
}

#[derive(Debug)]
struct Holding {
    /// Which of those who declared it.
    owner: u64,
    reason: Arc<str>,
    since: Instant,
}

/// A condition that holds, when it was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionSnapshot {
    /// The part: a path of the tree, or another word for what is no actor.
    pub path: Arc<str>,
    /// What, in few words.
    pub name: Arc<str>,
    /// Why, for people.
    pub reason: Arc<str>,
    /// For how long.
    pub age: Duration,
}

impl Conditions {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Declares that the part at `path` may come to be in the condition `name`, which it is not
    /// in yet. Of two declared alike, the one that was set last is shown.
    #[must_use]
    pub fn declare(&self, path: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Condition {
        Condition {
            all: self.clone(),
            owner: self.0.declared.fetch_add(1, Ordering::Relaxed),
            key: (path.into(), name.into()),
            quiet: false,
            holds: AtomicBool::new(false),
        }
    }

    /// Those that hold, by path and name.
    #[must_use]
    pub fn current(&self) -> Vec<ConditionSnapshot> {
        let now = super::now();
        self.holding()
            .iter()
            .map(|((path, name), holding)| ConditionSnapshot {
                path: Arc::clone(path),
                name: Arc::clone(name),
                reason: Arc::clone(&holding.reason),
                age: now.saturating_duration_since(holding.since),
            })
            .collect()
    }

    fn holding(&self) -> MutexGuard<'_, BTreeMap<Key, Holding>> {
        self.0.holding.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One declared condition. It belongs to whoever knows whether it holds, and ends with it: dropped,
/// it holds no longer.
#[derive(Debug)]
pub struct Condition {
    all: Conditions,
    owner: u64,
    key: Key,
    quiet: bool,
    holds: AtomicBool,
}

impl Condition {
    /// Leaves the log to the owner, who has words of its own for when it begins and ends.
    #[must_use]
    pub fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }

    /// It holds, for this reason. The log has a line when it begins; another reason while it holds
    /// is shown in place of the last, and not logged. A reason is one line: others are made one, and
    /// cut after 500 characters.
    pub fn set(&self, reason: &str) {
        let reason = one_line(reason);
        let mut holding = self.all.holding();
        let before = self.holds.swap(true, Ordering::AcqRel);
        let mut shown = true;
        if let Some(held) = holding.get_mut(&self.key) {
            if !before || held.owner == self.owner {
                (held.owner, held.reason) = (self.owner, Arc::clone(&reason));
            }
        } else if holding.len() < MAX_CONDITIONS {
            let held =
                Holding { owner: self.owner, reason: Arc::clone(&reason), since: super::now() };
            holding.insert(self.key.clone(), held);
        } else {
            shown = false;
        }
        drop(holding);
        if !before && !self.quiet {
            let (path, name) = (&*self.key.0, &*self.key.1);
            tracing::warn!(path, event = "impaired", condition = name, reason = %reason, shown,
                "{path} is impaired: {name}");
        }
    }

    /// It does not hold. Costs one load if it did not before, so it may be said at every success.
    pub fn clear(&self) {
        if !self.holds.load(Ordering::Acquire) {
            return;
        }
        let mut holding = self.all.holding();
        let before = self.holds.swap(false, Ordering::AcqRel);
        let mut held_for = None;
        if let Some(held) = holding.get(&self.key)
            && held.owner == self.owner
        {
            held_for = Some(super::now().saturating_duration_since(held.since));
            holding.remove(&self.key);
        }
        drop(holding);
        if before && !self.quiet {
            let (path, name) = (&*self.key.0, &*self.key.1);
            let held_for = held_for.map(tracing::field::debug);
            tracing::info!(
                path,
                event = "unimpaired",
                condition = name,
                held_for,
                "{path} is no longer impaired: {name}"
            );
        }
    }

    /// Whether it holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.holds.load(Ordering::Acquire)
    }
}

impl Drop for Condition {
    fn drop(&mut self) {
        self.clear();
    }
}

fn one_line(text: &str) -> Arc<str> {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().take(REASON_LEN).map(clean).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(conditions: &Conditions) -> Vec<String> {
        let one = |c: &ConditionSnapshot| format!("{} {}: {}", c.path, c.name, c.reason);
        conditions.current().iter().map(one).collect()
    }

    #[test]
    fn holds_from_set_to_clear_with_the_last_reason() {
        let all = Conditions::new();
        let (link, log) = (all.declare("links/a", "unreachable"), all.declare("wal", "blocked"));
        assert!(!link.holds() && shown(&all).is_empty());
        link.set("connection refused");
        log.set("disk\nfull");
        link.set("timed out");
        assert_eq!(shown(&all), ["links/a unreachable: timed out", "wal blocked: disk full"]);
        link.clear();
        link.clear();
        assert!(!link.holds() && log.holds());
        assert_eq!(shown(&all), ["wal blocked: disk full"]);
    }

    #[test]
    fn it_begins_when_it_is_set_first_and_not_when_its_reason_changes() {
        let all = Conditions::new();
        let link = all.declare("links/a", "unreachable");
        link.set("one");
        std::thread::sleep(Duration::from_millis(5));
        link.set("two");
        assert!(all.current()[0].age >= Duration::from_millis(5));
    }

    #[test]
    fn it_ends_with_its_owner_but_not_with_a_predecessor_of_its_owner() {
        let all = Conditions::new();
        let old = all.declare("links/a", "unreachable");
        old.set("old");
        let new = all.declare("links/a", "unreachable");
        new.set("new");
        old.set("too late");
        assert_eq!(shown(&all), ["links/a unreachable: new"]);
        drop(old);
        assert_eq!(shown(&all), ["links/a unreachable: new"]);
        drop(new);
        assert!(shown(&all).is_empty());
    }

    #[test]
    fn neither_their_number_nor_their_reasons_grow_without_bound() {
        let all = Conditions::new();
        let many: Vec<_> =
            (0..=MAX_CONDITIONS).map(|at| all.declare(format!("links/{at}"), "down")).collect();
        many.iter().for_each(|condition| condition.set(&"x".repeat(10 * REASON_LEN)));
        assert_eq!(all.current().len(), MAX_CONDITIONS);
        assert!(all.current().iter().all(|c| c.reason.len() == REASON_LEN));
        assert!(many.iter().all(Condition::holds));
        // Room again for the one that was not shown.
        many[0].clear();
        many[MAX_CONDITIONS].set("still");
        assert_eq!(all.current().len(), MAX_CONDITIONS);
        drop(many);
        assert!(all.current().is_empty());
    }
}
