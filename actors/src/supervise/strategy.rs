//! The machine that decides what a supervisor does: no clock, no spawn, no actor.
//!
//! It is told what happened to which child and answers with effects in the order they are to be
//! performed. The semantics are Erlang/OTP's (`supervisor`), plus delayed restarts and a breaker.
//!
//! - A child has at most one incarnation; a report that names another one is ignored.
//! - A child has at most one timer; one with an old generation is ignored.
//! - Starts that have an order (boot, group restarts, added children) go through `queue`, one at a
//!   time; stops go in reverse, one at a time. Only a removal stops a child out of turn.

mod child;
mod effect;
mod order;
mod roster;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use rand::Rng;

use super::exit::Exit;
use super::spec::{GivesUp, Restart, Strategy, When};
use super::start::Stand;
use crate::policy::Intensity;
use child::{Again, Child, Stage};

pub use effect::Lifecycle;
pub(super) use effect::{Effect, Event, Finish};

#[derive(Debug)]
enum Mode {
    Unbegun,
    Running,
    /// Stopping everything, then ending that way.
    Ending(Finish),
    Ended,
}

/// The machine of one supervisor.
#[derive(Debug)]
pub(super) struct Machine {
    strategy: Strategy,
    intensity: Intensity,
    /// By number: the order of numbers is the order of starts. Those of removed children are never
    /// used again, so a late report or timer of theirs finds nobody.
    children: BTreeMap<usize, Child>,
    mode: Mode,
    /// Children to start, in order, one after the other.
    queue: VecDeque<usize>,
    /// The first child of a group that is being stopped; nothing is started from the queue before
    /// all of it is down.
    drain: Option<usize>,
    /// The child whose timer the queue waits for.
    blocked: Option<usize>,
    ready: bool,
    effects: Vec<Effect>,
}

impl Machine {
    pub fn new<'a>(
        strategy: Strategy,
        intensity: u32,
        period: Duration,
        children: impl Iterator<Item = (&'a Restart, GivesUp)>,
    ) -> Self {
        Self {
            strategy,
            intensity: Intensity::new(intensity, period),
            children: children
                .map(|(restart, gives_up)| Child::new(restart, gives_up))
                .enumerate()
                .collect(),
            mode: Mode::Unbegun,
            queue: VecDeque::new(),
            drain: None,
            blocked: None,
            ready: false,
            effects: Vec::new(),
        }
    }

    /// The state of a child's breaker, if it has one.
    pub fn breaker(&self, child: usize) -> Option<&'static str> {
        self.children.get(&child)?.breaker.as_ref().map(|breaker| breaker.state().name())
    }

    /// Takes in one event. Effects are to be performed in order.
    pub fn on(&mut self, event: Event, now: Instant, rng: &mut impl Rng) -> Vec<Effect> {
        match event {
            Event::Begin => self.begin(),
            Event::Up { child, incarnation } => self.up(child, incarnation),
            Event::Exited { child, incarnation, exit } => {
                self.exited(child, incarnation, exit, now, rng);
            }
            Event::Timer { child, generation } => self.timer(child, generation, now),
            Event::Add { child, restart, gives_up } => self.add(child, &restart, gives_up),
            Event::Remove { child } => self.remove(child, now),
            Event::Stop => self.end(Finish::Stopped),
        }
        self.advance(now);
        std::mem::take(&mut self.effects)
    }

    fn begin(&mut self) {
        if matches!(self.mode, Mode::Unbegun) {
            self.mode = Mode::Running;
            self.queue = self.children.keys().copied().collect();
        }
    }

    fn up(&mut self, index: usize, incarnation: u64) {
        let Some(child) = self.children.get_mut(&index) else { return };
        if child.stage != Stage::Starting || child.incarnation != incarnation {
            return;
        }
        child.stage = Stage::Up;
        child.attempted = true;
        let after = child.settle_after();
        self.tell(index, Lifecycle::Up, None, None);
        self.arm(index, after);
    }

    fn exited(
        &mut self,
        index: usize,
        incarnation: u64,
        exit: Exit,
        now: Instant,
        rng: &mut impl Rng,
    ) {
        let Some(child) = self.children.get_mut(&index) else { return };
        if !child.stage.runs() || child.incarnation != incarnation {
            return;
        }
        let ordered = child.stage == Stage::Stopping;
        // A child that dies by itself while its group is stopped is only stopped sooner.
        let collateral = self.drain.is_some_and(|from| index >= from);
        child.stage = Stage::Idle;
        child.generation += 1;
        child.attempted = true;
        child.lost |= exit.is_final();
        if child.leaving && !child.lost {
            self.forget(index, Some(exit));
        } else if matches!(self.mode, Mode::Ending(_)) {
            child.stage = Stage::Done;
            self.tell(index, Lifecycle::Stopped, Some(exit), None);
        } else if exit.is_final() {
            self.exhausted(index, exit);
        } else if ordered || collateral {
            if child.restart.when == When::Temporary {
                child.stage = Stage::Done;
                self.publish(index, Stand::Gone);
            }
            self.tell(index, Lifecycle::Stopped, Some(exit), None);
        } else {
            self.ended_by_itself(index, exit, now, rng);
        }
    }

    fn ended_by_itself(&mut self, index: usize, exit: Exit, now: Instant, rng: &mut impl Rng) {
        let Some(child) = self.children.get_mut(&index) else { return };
        let wanted = match child.restart.when {
            When::Permanent => true,
            When::Transient => exit.is_abnormal(),
            When::Temporary => false,
        };
        if !wanted {
            child.stage = Stage::Done;
            self.publish(index, Stand::Gone);
            self.tell(index, Lifecycle::Finished, Some(exit), None);
            return;
        }
        let again = child.again(now, rng);
        let counts = child.breaker.is_none() && child.gives_up == GivesUp::Escalate;
        if matches!(again, Again::Never) || (counts && self.intensity.exceeded(now)) {
            self.exhausted(index, exit);
            return;
        }
        if self.strategy != Strategy::OneForOne {
            self.begin_group(index);
        }
        match again {
            Again::After(delay) => {
                self.wait(index, Stage::Waiting, delay);
                self.tell(index, Lifecycle::Restarting, Some(exit), Some(delay));
            }
            Again::Held(for_) => {
                self.wait(index, Stage::Held, for_);
                self.publish(index, Stand::Open { until: now + for_ });
                self.tell(index, Lifecycle::Held, Some(exit), Some(for_));
            }
            Again::Never => {}
        }
    }

    fn exhausted(&mut self, index: usize, exit: Exit) {
        let Some(child) = self.children.get_mut(&index) else { return };
        match child.gives_up {
            GivesUp::Degrade => {
                child.stage = Stage::Degraded;
                self.queue.retain(|queued| *queued != index);
                self.publish(index, Stand::Gone);
                self.tell(index, Lifecycle::Degraded, Some(exit), None);
            }
            GivesUp::Escalate => {
                self.tell(index, Lifecycle::Escalated, Some(exit.clone()), None);
                self.end(Finish::GaveUp { child: index, cause: exit });
            }
        }
    }

    fn timer(&mut self, index: usize, generation: u64, now: Instant) {
        let Some(child) = self.children.get_mut(&index) else { return };
        if child.generation != generation {
            return;
        }
        let stage = child.stage;
        match stage {
            Stage::Waiting | Stage::Held => {
                child.stage = Stage::Idle;
                if self.blocked == Some(index) {
                    self.blocked = None;
                } else {
                    self.start(index, now);
                }
            }
            Stage::Up if child.settled(now) => {
                self.tell(index, Lifecycle::Recovered, None, None);
            }
            _ => {}
        }
    }

    fn wait(&mut self, index: usize, stage: Stage, after: Duration) {
        if let Some(child) = self.children.get_mut(&index) {
            child.stage = stage;
        }
        self.arm(index, after);
    }

    fn arm(&mut self, index: usize, after: Duration) {
        if let Some(child) = self.children.get_mut(&index) {
            child.generation += 1;
            let generation = child.generation;
            self.effects.push(Effect::Arm { child: index, generation, after });
        }
    }

    fn publish(&mut self, child: usize, stand: Stand) {
        self.effects.push(Effect::Publish { child, stand });
    }

    fn tell(
        &mut self,
        child: usize,
        lifecycle: Lifecycle,
        exit: Option<Exit>,
        next_in: Option<Duration>,
    ) {
        self.effects.push(Effect::Tell { child, lifecycle, exit, next_in });
    }
}
