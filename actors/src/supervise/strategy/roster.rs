//! Children that come and go while the supervisor runs.
//!
//! As with OTP's `start_child` and `terminate_child`, both concern the child alone, whatever the
//! strategy. An added one is the last in order: it goes down with every group, and starts after
//! everyone else in it.

use std::time::Instant;

use super::child::{Child, Stage};
use super::{Effect, Lifecycle, Machine, Mode};
use crate::supervise::exit::Exit;
use crate::supervise::spec::{GivesUp, Restart};
use crate::supervise::start::Stand;

impl Machine {
    /// Whether a child can be added: not to a supervisor that is about to end.
    pub fn takes_children(&self) -> bool {
        matches!(self.mode, Mode::Unbegun | Mode::Running)
    }

    /// Whether an incarnation of this child may still run that nothing could end.
    pub fn is_lost(&self, child: usize) -> bool {
        self.children.get(&child).is_some_and(|child| child.lost)
    }

    pub(super) fn add(&mut self, index: usize, restart: &Restart, gives_up: GivesUp) {
        let in_order = self.children.last_key_value().is_none_or(|(last, _)| *last < index);
        if !in_order || !self.takes_children() {
            return;
        }
        self.children.insert(index, Child::new(restart, gives_up));
        self.tell(index, Lifecycle::Added, None, None);
        if matches!(self.mode, Mode::Running) {
            self.queue.push_back(index);
        }
    }

    pub(super) fn remove(&mut self, index: usize, now: Instant) {
        let in_turn = self.drain.is_some_and(|from| index >= from);
        let Some(child) = self.children.get_mut(&index) else { return };
        if child.lost || child.leaving || matches!(self.mode, Mode::Ended) {
            return;
        }
        child.leaving = true;
        if !child.stage.runs() {
            self.forget(index, None);
        } else if child.stage != Stage::Stopping && !in_turn {
            // One that goes down with its group anyway keeps its place in that order.
            self.order_stop(index, now);
        }
    }

    /// Nothing of it runs any more, and nothing shall. Whoever waited for its turn goes on.
    pub(super) fn forget(&mut self, index: usize, exit: Option<Exit>) {
        self.children.remove(&index);
        self.queue.retain(|queued| *queued != index);
        if self.blocked == Some(index) {
            self.blocked = None;
        }
        self.publish(index, Stand::Gone);
        self.tell(index, Lifecycle::Removed, exit, None);
        self.effects.push(Effect::Forget { child: index });
    }
}
