//! The supervisor actor: it performs what its [`Machine`] decides, and decides nothing.
//!
//! When it restarts, its whole subtree starts anew; counts of restarts are kept by the nodes.

mod outage;
mod roster;
mod slot;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::sync::oneshot;

use super::change::Change;
use super::event::{Shared, TreeEvent};
use super::exit::Exit;
use super::incarnation::{Alive, Keeper, Report};
use super::node::{Body, ChildState, Node};
use super::pulse::Pulse;
use super::shell::Drill;
use super::strategy::{Effect, Event, Finish, Lifecycle, Machine};
use super::worker::Failure;
use crate::failpoint::{self, Point};
pub(super) use outage::Telling;
use slot::{Slot, Waiting};

/// What a supervisor is told.
#[derive(Debug)]
pub(super) enum SupervisorMsg {
    /// Start the children.
    Begin,
    /// A keeper reports.
    Child { child: usize, incarnation: u64, report: Report },
    /// A timer has run out.
    Timer { child: usize, generation: u64 },
    /// Take one more child, or let one go.
    Change(Change),
    /// End in good order.
    Stop,
    /// Fail on purpose.
    Drill(Drill),
}

/// What a start needs.
pub(super) struct SupervisorArgs {
    pub node: Arc<Node>,
    pub shared: Arc<Shared>,
    /// For every keeper below.
    pub alive: Alive,
    /// Told once all children have been started.
    pub ready: oneshot::Sender<()>,
}

/// The state of a supervisor.
pub(super) struct SupervisorState {
    node: Arc<Node>,
    shared: Arc<Shared>,
    alive: Alive,
    ready: Option<oneshot::Sender<()>>,
    machine: Machine,
    rng: SmallRng,
    /// By the machine's numbers.
    slots: BTreeMap<usize, Slot>,
    /// The number of the next child that is added.
    next: usize,
    /// Exits whose keeper has not reported yet. At most one per incarnation that ends.
    departed: HashMap<ActorId, Exit>,
}

/// The actor.
pub(super) struct Supervisor;

impl Actor for Supervisor {
    type Msg = SupervisorMsg;
    type State = SupervisorState;
    type Arguments = SupervisorArgs;

    async fn pre_start(
        &self,
        _myself: ActorRef<Self::Msg>,
        args: SupervisorArgs,
    ) -> Result<Self::State, ActorProcessingErr> {
        SupervisorState::new(args)
            .ok_or_else(|| Failure::new("only a supervisor can supervise").into())
    }

    async fn post_start(
        &self,
        myself: ActorRef<Self::Msg>,
        _state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        Ok(myself.send_message(SupervisorMsg::Begin)?)
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        // Who waits for an outcome hears of it once the tree shows it.
        let mut waiting = Waiting::default();
        let event = match message {
            SupervisorMsg::Begin => Event::Begin,
            SupervisorMsg::Child { child, incarnation, report: Report::Up } => {
                waiting = state.note_up(child);
                Event::Up { child, incarnation }
            }
            SupervisorMsg::Child {
                child,
                incarnation,
                report: Report::Ended { actor, exit, pulse },
            } => {
                failpoint::hit(Point::SupervisorExited);
                let seen = actor.and_then(|actor| state.departed.remove(&actor));
                let exit = exit.or(seen).unwrap_or(Exit::Killed);
                state.record_flight(child, &exit, pulse.as_deref());
                waiting = state.note_end(child, &exit);
                Event::Exited { child, incarnation, exit }
            }
            SupervisorMsg::Timer { child, generation } => Event::Timer { child, generation },
            SupervisorMsg::Change(change) => return state.change(change, &myself),
            SupervisorMsg::Stop => Event::Stop,
            SupervisorMsg::Drill(drill) => return rehearse(drill),
        };
        let done = state.apply(event, &myself);
        waiting.tell();
        done
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        // Nothing is decided here: the keeper reports once the state is really gone. A boxed
        // state that comes along is dropped at the end of this function, before that report is
        // handled.
        let (who, exit) = match &event {
            SupervisionEvent::ActorFailed(who, error) => (who, Exit::from_failure(error)),
            SupervisionEvent::ActorTerminated(who, _state, reason) => {
                (who, Exit::from_reason(reason.as_deref()))
            }
            _ => return Ok(()),
        };
        state.departed.insert(who.get_id(), exit);
        Ok(())
    }
}

impl SupervisorState {
    fn new(args: SupervisorArgs) -> Option<Self> {
        let SupervisorArgs { node, shared, alive, ready } = args;
        let Body::Supervisor { strategy, intensity, period, .. } = &node.body else {
            return None;
        };
        let children = roster::muster(&node, &shared);
        let policies = children.iter().map(|child| (&child.restart, child.gives_up));
        let machine = Machine::new(*strategy, *intensity, *period, policies);
        let slots: BTreeMap<_, _> = children.iter().cloned().map(Slot::new).enumerate().collect();
        Some(Self {
            shared,
            alive,
            ready: Some(ready),
            machine,
            rng: SmallRng::from_os_rng(),
            next: slots.len(),
            slots,
            departed: HashMap::new(),
            node,
        })
    }

    fn apply(
        &mut self,
        event: Event,
        myself: &ActorRef<SupervisorMsg>,
    ) -> Result<(), ActorProcessingErr> {
        for effect in self.machine.on(event, super::now(), &mut self.rng) {
            match effect {
                Effect::Start { child, incarnation } => self.start(child, incarnation, myself),
                Effect::Stop { child } => self.stop(child),
                Effect::Arm { child, generation, after } => {
                    if let Some(slot) = self.slots.get_mut(&child) {
                        slot.arm(child, generation, after, myself.clone());
                    }
                }
                Effect::Publish { child, stand } => {
                    if let Some(slot) = self.slots.get(&child) {
                        slot.node.publish(stand);
                    }
                }
                Effect::Tell { child, lifecycle, exit, next_in } => {
                    self.tell(child, lifecycle, exit, next_in);
                }
                Effect::Forget { child } => self.forget(child),
                Effect::Ready => {
                    if let Some(ready) = self.ready.take() {
                        // Gone only if this supervisor is being ended anyway.
                        let _ = ready.send(());
                    }
                }
                Effect::Finish(Finish::Stopped) => {
                    self.node.standing().outcome = Some(Exit::Shutdown);
                    myself.stop(None);
                }
                Effect::Finish(Finish::GaveUp { child, cause }) => {
                    let exit = self.gave_up(child, cause);
                    let failure = Failure::new(exit.to_string());
                    self.node.standing().outcome = Some(exit);
                    return Err(failure.into());
                }
            }
        }
        Ok(())
    }

    fn start(&mut self, child: usize, incarnation: u64, myself: &ActorRef<SupervisorMsg>) {
        let Some(slot) = self.slots.get_mut(&child) else { return };
        failpoint::hit(Point::SupervisorStart);
        slot.node.standing().starts += 1;
        let orders = slot.begin();
        let me = myself.clone();
        Keeper {
            node: Arc::clone(&slot.node),
            shared: Arc::clone(&self.shared),
            supervisor: Some(myself.get_cell()),
            orders,
            alive: Some(self.alive.clone()),
            report: Box::new(move |report| {
                // A supervisor that has ended no longer needs to know.
                let _ = me.send_message(SupervisorMsg::Child { child, incarnation, report });
            }),
        }
        .launch();
    }

    fn stop(&mut self, child: usize) {
        if let Some(order) = self.slots.get_mut(&child).and_then(|slot| slot.order.take()) {
            // A keeper that is done has reported, or is about to.
            let _ = order.send(());
        }
    }

    fn tell(
        &mut self,
        child: usize,
        lifecycle: Lifecycle,
        exit: Option<Exit>,
        next_in: Option<Duration>,
    ) {
        let Some(slot) = self.slots.get_mut(&child) else { return };
        let node = Arc::clone(&slot.node);
        let state = match lifecycle {
            Lifecycle::Up | Lifecycle::Recovered => Some(ChildState::Up),
            Lifecycle::Restarting => Some(ChildState::Down),
            Lifecycle::Held => Some(ChildState::Held),
            Lifecycle::Trial | Lifecycle::Added => None,
            Lifecycle::Stopping => Some(ChildState::Stopping),
            Lifecycle::Stopped | Lifecycle::Escalated | Lifecycle::Removed => {
                Some(ChildState::Stopped)
            }
            Lifecycle::Finished => Some(ChildState::Finished),
            Lifecycle::Degraded => Some(ChildState::Degraded),
        };
        if let Some(state) = state {
            node.set(state);
        }
        if lifecycle == Lifecycle::Degraded {
            // A subtree whose supervisor died cannot say this for itself.
            node.children()
                .iter()
                .for_each(|c| c.walk(&mut |below| below.set(ChildState::Stopped)));
        }
        {
            let mut standing = node.standing();
            standing.breaker = self.machine.breaker(child);
            standing.next_at = next_in.and_then(|after| super::now().checked_add(after));
            if exit.is_some() && lifecycle != Lifecycle::Stopped {
                standing.last_exit.clone_from(&exit);
            }
        }
        let up = matches!(lifecycle, Lifecycle::Up | Lifecycle::Recovered);
        let ended = if up { slot.ended.take() } else { None };
        let telling = slot.outage.tells(lifecycle, super::now());
        let event = TreeEvent {
            path: Arc::clone(&node.path),
            lifecycle,
            reason: exit,
            restarts: node.restarts(),
            next_in,
            down_for: ended.map(|at| super::now().saturating_duration_since(at)),
        };
        self.shared.tell(event, telling);
    }

    /// A crash leaves its flight record in the log: the kinds of the last messages.
    fn record_flight(&self, child: usize, exit: &Exit, pulse: Option<&Pulse>) {
        let (Some(slot), Some(pulse)) = (self.slots.get(&child), pulse) else { return };
        if exit.is_abnormal() {
            let words = pulse.last_words();
            let flight = words.flight.join(" ");
            let (path, failure) = (&*slot.node.path, words.failure.as_deref());
            if slot.outage.lasts() {
                tracing::debug!(path, event = "flight", reason = %exit, flight, failure, "{path} crashed");
            } else {
                tracing::warn!(path, event = "flight", reason = %exit, flight, failure, "{path} crashed");
            }
        }
    }

    /// The exit of a supervisor that gives up, with the deepest culprit known.
    fn gave_up(&self, child: usize, cause: Exit) -> Exit {
        match cause {
            Exit::GaveUp { .. } => cause,
            cause => {
                // One that was removed meanwhile has no name any more.
                let slot = self.slots.get(&child);
                let culprit = slot.map_or(&self.node.path, |slot| &slot.node.path);
                let culprit = Arc::clone(culprit);
                Exit::GaveUp { culprit, cause: Box::new(cause) }
            }
        }
    }
}

#[allow(clippy::panic, reason = "a drill's panic is what was asked for")]
fn rehearse(drill: Drill) -> Result<(), ActorProcessingErr> {
    match drill {
        Drill::Panic => panic!("drill: panic"),
        Drill::Error => Err(Failure::new("drill: error").into()),
        // Refused before it comes here, or done by the cell.
        Drill::Hang | Drill::Kill => Ok(()),
    }
}
