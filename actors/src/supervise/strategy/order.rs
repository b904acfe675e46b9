//! Who is stopped and started when: groups, the queue, the end.

use std::time::Instant;

use super::child::Stage;
use super::{Effect, Finish, Lifecycle, Machine, Mode};
use crate::supervise::spec::Strategy;
use crate::supervise::start::Stand;

impl Machine {
    /// Stops those that go down with `root`, and queues them with it. The queue waits for the
    /// root's timer, which the caller arms.
    pub(super) fn begin_group(&mut self, root: usize) {
        let from = if self.strategy == Strategy::OneForAll { 0 } else { root };
        self.drain = Some(self.drain.map_or(from, |before| before.min(from)));
        self.blocked = Some(root);
        self.queue.retain(|index| *index < from);
        for (&index, child) in self.children.range_mut(from..) {
            // Who waited for its own turn now waits for the group's; its old timer is void.
            if matches!(child.stage, Stage::Waiting | Stage::Held) {
                child.stage = Stage::Idle;
                child.generation += 1;
            }
            child.attempted = true;
            if child.may_start_again() {
                if child.stage == Stage::Done {
                    child.stage = Stage::Idle;
                }
                self.queue.push_back(index);
            }
        }
    }

    pub(super) fn end(&mut self, finish: Finish) {
        if matches!(self.mode, Mode::Ending(_) | Mode::Ended) {
            return;
        }
        self.mode = Mode::Ending(finish);
        self.queue.clear();
        self.blocked = None;
        self.drain = Some(0);
        for child in self.children.values_mut() {
            child.generation += 1;
        }
    }

    /// Goes on with whatever is under way: stop the next one, or start the next one.
    pub(super) fn advance(&mut self, now: Instant) {
        if let Some(from) = self.drain {
            if !self.drained(from, now) {
                return;
            }
            self.drain = None;
        }
        match &self.mode {
            Mode::Running => {}
            Mode::Ending(_) => {
                if let Mode::Ending(finish) = std::mem::replace(&mut self.mode, Mode::Ended) {
                    self.effects.push(Effect::Finish(finish));
                }
                return;
            }
            Mode::Unbegun | Mode::Ended => return,
        }
        while self.blocked.is_none() && !self.starting() {
            let Some(index) = self.queue.pop_front() else { break };
            if !self.start(index, now) && self.strategy != Strategy::OneForOne {
                // Those after it need it: they wait until its breaker lets it start.
                self.queue.push_front(index);
                self.blocked = Some(index);
            }
        }
        if !self.ready && self.children.values().all(|child| child.attempted) {
            self.ready = true;
            self.effects.push(Effect::Ready);
        }
    }

    fn starting(&self) -> bool {
        self.children.values().any(|child| child.stage == Stage::Starting)
    }

    /// Whether all from `from` on are down; orders the last that is not to stop.
    fn drained(&mut self, from: usize, now: Instant) -> bool {
        let mut from_last = self.children.range(from..).rev();
        let Some((&index, child)) = from_last.find(|(_, child)| child.stage.runs()) else {
            return true;
        };
        if child.stage != Stage::Stopping {
            self.order_stop(index, now);
        }
        false
    }

    /// Stops a child that is starting or up.
    pub(super) fn order_stop(&mut self, index: usize, now: Instant) {
        let Some(child) = self.children.get_mut(&index) else { return };
        child.order_stop(now);
        self.tell(index, Lifecycle::Stopping, None, None);
        self.effects.push(Effect::Stop { child: index });
    }

    /// Starts a child, unless its breaker says no: then it is held, and `false` comes back.
    pub(super) fn start(&mut self, index: usize, now: Instant) -> bool {
        let Some(child) = self.children.get_mut(&index) else { return true };
        if child.stage != Stage::Idle {
            return true;
        }
        let trial = match child.admit(now) {
            Ok(trial) => trial,
            Err(for_) => {
                child.attempted = true;
                self.wait(index, Stage::Held, for_);
                self.publish(index, Stand::Open { until: now + for_ });
                self.tell(index, Lifecycle::Held, None, Some(for_));
                return false;
            }
        };
        child.incarnation += 1;
        child.stage = Stage::Starting;
        child.generation += 1;
        let incarnation = child.incarnation;
        if trial {
            self.tell(index, Lifecycle::Trial, None, None);
        }
        self.effects.push(Effect::Start { child: index, incarnation });
        true
    }
}
