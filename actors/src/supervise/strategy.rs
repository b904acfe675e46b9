//! The machine that decides what a supervisor does: no clock, no spawn, no actor.
//!
//! It is told what happened to which child and answers with effects in the order they are to be
//! performed. The semantics are Erlang/OTP's (`supervisor`), plus delayed restarts and a breaker.
//!
//! - A child has at most one incarnation; a report that names another one is ignored.
//! - A child has at most one timer; one with an old generation is ignored.
//! - Starts that have an order (boot, group restarts) go through `queue`, one at a time; stops
//!   go in reverse, one at a time.

mod child;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rand::Rng;

use super::exit::Exit;
use super::spec::{GivesUp, Restart, Strategy, When};
use super::start::Stand;
use crate::policy::Intensity;
use child::{Again, Child, Stage};

/// What the machine is told. `child` is an index in start order.
#[derive(Debug, Clone)]
pub(super) enum Event {
    /// Start everything.
    Begin,
    /// An incarnation runs.
    Up { child: usize, incarnation: u64 },
    /// An incarnation is gone, its state dropped; or it never came to be.
    Exited { child: usize, incarnation: u64, exit: Exit },
    /// A timer has run out.
    Timer { child: usize, generation: u64 },
    /// End in good order.
    Stop,
}

/// What the machine wants done.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Effect {
    /// Start an incarnation, and report how it goes.
    Start { child: usize, incarnation: u64 },
    /// Stop it within its grace, else kill it, and report its exit.
    Stop { child: usize },
    /// Report back after a while. Replaces the child's timer, if it has one.
    Arm { child: usize, generation: u64, after: Duration },
    /// Tell its callers where it stands.
    Publish { child: usize, stand: Stand },
    /// Tell the world.
    Tell { child: usize, lifecycle: Lifecycle, exit: Option<Exit>, next_in: Option<Duration> },
    /// Every child has been started, or has failed to.
    Ready,
    /// Nothing runs any more; the supervisor ends.
    Finish(Finish),
}

/// How a supervisor ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Finish {
    /// It was told to.
    Stopped,
    /// Restarting did not help.
    GaveUp { child: usize, cause: Exit },
}

/// What happens to a child, in the words of the logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lifecycle {
    /// It runs.
    Up,
    /// It ended by itself and a restart is due.
    Restarting,
    /// It ended by itself too often and the breaker holds it down.
    Held,
    /// Its breaker lets it run on trial.
    Trial,
    /// It lived through its trial.
    Recovered,
    /// It is being stopped.
    Stopping,
    /// It was stopped.
    Stopped,
    /// It ended and is not to be restarted.
    Finished,
    /// Restarting it did not help; it is left down.
    Degraded,
    /// Restarting it did not help; its supervisor gives up.
    Escalated,
}

impl Lifecycle {
    /// The word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Restarting => "restarting",
            Self::Held => "held",
            Self::Trial => "trial",
            Self::Recovered => "recovered",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Finished => "finished",
            Self::Degraded => "degraded",
            Self::Escalated => "escalated",
        }
    }
}

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
    children: Vec<Child>,
    mode: Mode,
    /// Children to start, in order, one after the other.
    queue: VecDeque<usize>,
    /// The first index of a group that is being stopped; nothing is started from the queue
    /// before all of it is down.
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
            children: children.map(|(restart, gives_up)| Child::new(restart, gives_up)).collect(),
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
        self.children.get(child)?.breaker.as_ref().map(|breaker| breaker.state().name())
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
            Event::Stop => self.end(Finish::Stopped),
        }
        self.advance(now);
        std::mem::take(&mut self.effects)
    }

    fn begin(&mut self) {
        if matches!(self.mode, Mode::Unbegun) {
            self.mode = Mode::Running;
            self.queue = (0..self.children.len()).collect();
        }
    }

    fn up(&mut self, index: usize, incarnation: u64) {
        let Some(child) = self.children.get_mut(index) else { return };
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
        let Some(child) = self.children.get_mut(index) else { return };
        if !child.stage.runs() || child.incarnation != incarnation {
            return;
        }
        let ordered = child.stage == Stage::Stopping;
        // A child that dies by itself while its group is stopped is only stopped sooner.
        let collateral = self.drain.is_some_and(|from| index >= from);
        child.stage = Stage::Idle;
        child.generation += 1;
        child.attempted = true;
        if matches!(self.mode, Mode::Ending(_)) {
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
        let Some(child) = self.children.get_mut(index) else { return };
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

    /// Stops those that go down with `root`, and queues them with it. The queue waits for the
    /// root's timer, which the caller arms.
    fn begin_group(&mut self, root: usize) {
        let from = if self.strategy == Strategy::OneForAll { 0 } else { root };
        self.drain = Some(self.drain.map_or(from, |before| before.min(from)));
        self.blocked = Some(root);
        self.queue.retain(|index| *index < from);
        for index in from..self.children.len() {
            let Some(child) = self.children.get_mut(index) else { continue };
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

    fn exhausted(&mut self, index: usize, exit: Exit) {
        let Some(child) = self.children.get_mut(index) else { return };
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
        let Some(child) = self.children.get_mut(index) else { return };
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

    fn end(&mut self, finish: Finish) {
        if matches!(self.mode, Mode::Ending(_) | Mode::Ended) {
            return;
        }
        self.mode = Mode::Ending(finish);
        self.queue.clear();
        self.blocked = None;
        self.drain = Some(0);
        for child in &mut self.children {
            child.generation += 1;
        }
    }

    /// Goes on with whatever is under way: stop the next one, or start the next one.
    fn advance(&mut self, now: Instant) {
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
        if !self.ready && self.children.iter().all(|child| child.attempted) {
            self.ready = true;
            self.effects.push(Effect::Ready);
        }
    }

    fn starting(&self) -> bool {
        self.children.iter().any(|child| child.stage == Stage::Starting)
    }

    /// Whether all from `from` on are down; orders the last that is not to stop.
    fn drained(&mut self, from: usize, now: Instant) -> bool {
        let last = self.children.iter().rposition(|child| child.stage.runs());
        let Some(index) = last.filter(|index| *index >= from) else { return true };
        if let Some(child) = self.children.get_mut(index)
            && child.stage != Stage::Stopping
        {
            child.order_stop(now);
            self.tell(index, Lifecycle::Stopping, None, None);
            self.effects.push(Effect::Stop { child: index });
        }
        false
    }

    /// Starts a child, unless its breaker says no: then it is held, and `false` comes back.
    fn start(&mut self, index: usize, now: Instant) -> bool {
        let Some(child) = self.children.get_mut(index) else { return true };
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

    fn wait(&mut self, index: usize, stage: Stage, after: Duration) {
        if let Some(child) = self.children.get_mut(index) {
            child.stage = stage;
        }
        self.arm(index, after);
    }

    fn arm(&mut self, index: usize, after: Duration) {
        if let Some(child) = self.children.get_mut(index) {
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
