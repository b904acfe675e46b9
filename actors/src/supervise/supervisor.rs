//! The supervisor actor: it performs what its [`Machine`] decides, and decides nothing.
//!
//! When it restarts, its whole subtree starts anew; counts of restarts are kept by the nodes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::event::{Shared, TreeEvent};
use super::exit::Exit;
use super::incarnation::{Alive, Keeper, Report};
use super::node::{Body, ChildState, Node};
use super::pulse::Pulse;
use super::shell::Drill;
use super::strategy::{Effect, Event, Finish, Lifecycle, Machine};
use super::worker::Failure;
use crate::failpoint::{self, Point};

/// What a supervisor is told.
#[derive(Debug)]
pub(super) enum SupervisorMsg {
    /// Start the children.
    Begin,
    /// A keeper reports.
    Child { child: usize, incarnation: u64, report: Report },
    /// A timer has run out.
    Timer { child: usize, generation: u64 },
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

/// What it knows about a child beside what its machine knows.
#[derive(Default)]
struct Slot {
    /// Asks the keeper for an orderly stop. Dropped with the supervisor: then it kills.
    order: Option<oneshot::Sender<()>>,
    timer: Option<Timer>,
    /// When it last ended.
    ended: Option<Instant>,
}

/// A timer that is forgotten when it is dropped.
struct Timer(JoinHandle<()>);

impl Drop for Timer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The state of a supervisor.
pub(super) struct SupervisorState {
    node: Arc<Node>,
    shared: Arc<Shared>,
    alive: Alive,
    ready: Option<oneshot::Sender<()>>,
    machine: Machine,
    rng: SmallRng,
    slots: Vec<Slot>,
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
        let event = match message {
            SupervisorMsg::Begin => Event::Begin,
            SupervisorMsg::Child { child, incarnation, report: Report::Up } => {
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
                if let Some(slot) = state.slots.get_mut(child) {
                    slot.ended = Some(super::now());
                }
                Event::Exited { child, incarnation, exit }
            }
            SupervisorMsg::Timer { child, generation } => Event::Timer { child, generation },
            SupervisorMsg::Stop => Event::Stop,
            SupervisorMsg::Drill(drill) => return rehearse(drill),
        };
        state.apply(event, &myself)
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
        let Body::Supervisor { strategy, intensity, period, children } = &node.body else {
            return None;
        };
        let policies = children.iter().map(|child| (&child.restart, child.gives_up));
        let machine = Machine::new(*strategy, *intensity, *period, policies);
        let slots = children.iter().map(|_| Slot::default()).collect();
        Some(Self {
            shared,
            alive,
            ready: Some(ready),
            machine,
            rng: SmallRng::from_os_rng(),
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
                    self.arm(child, generation, after, myself);
                }
                Effect::Publish { child, stand } => {
                    if let Some(node) = self.node.children().get(child) {
                        node.publish(stand);
                    }
                }
                Effect::Tell { child, lifecycle, exit, next_in } => {
                    self.tell(child, lifecycle, exit, next_in);
                }
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
        let (Some(node), Some(slot)) = (self.node.children().get(child), self.slots.get_mut(child))
        else {
            return;
        };
        failpoint::hit(Point::SupervisorStart);
        node.standing().starts += 1;
        let (order, orders) = oneshot::channel();
        *slot = Slot { order: Some(order), timer: None, ended: slot.ended };
        let me = myself.clone();
        Keeper {
            node: Arc::clone(node),
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
        if let Some(order) = self.slots.get_mut(child).and_then(|slot| slot.order.take()) {
            // A keeper that is done has reported, or is about to.
            let _ = order.send(());
        }
    }

    fn arm(
        &mut self,
        child: usize,
        generation: u64,
        after: Duration,
        myself: &ActorRef<SupervisorMsg>,
    ) {
        let me = myself.clone();
        let timer = Timer(tokio::spawn(async move {
            tokio::time::sleep(after).await;
            let _ = me.send_message(SupervisorMsg::Timer { child, generation });
        }));
        if let Some(slot) = self.slots.get_mut(child) {
            slot.timer = Some(timer);
        }
    }

    fn tell(
        &mut self,
        child: usize,
        lifecycle: Lifecycle,
        exit: Option<Exit>,
        next_in: Option<Duration>,
    ) {
        let Some(node) = self.node.children().get(child).cloned() else { return };
        let state = match lifecycle {
            Lifecycle::Up | Lifecycle::Recovered => Some(ChildState::Up),
            Lifecycle::Restarting => Some(ChildState::Down),
            Lifecycle::Held => Some(ChildState::Held),
            Lifecycle::Trial => None,
            Lifecycle::Stopping => Some(ChildState::Stopping),
            Lifecycle::Stopped | Lifecycle::Escalated => Some(ChildState::Stopped),
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
        let ended = self.slots.get_mut(child).filter(|_| up).and_then(|slot| slot.ended.take());
        self.shared.tell(TreeEvent {
            path: Arc::clone(&node.path),
            lifecycle,
            reason: exit,
            restarts: node.restarts(),
            next_in,
            down_for: ended.map(|at| super::now().saturating_duration_since(at)),
        });
    }

    /// A crash leaves its flight record in the log: the kinds of the last messages.
    fn record_flight(&self, child: usize, exit: &Exit, pulse: Option<&Pulse>) {
        let (Some(node), Some(pulse)) = (self.node.children().get(child), pulse) else { return };
        if exit.is_abnormal() {
            let words = pulse.last_words();
            let flight = words.flight.join(" ");
            let (path, failure) = (&*node.path, words.failure.as_deref());
            tracing::warn!(path, event = "flight", reason = %exit, flight, failure, "{path} crashed");
        }
    }

    /// The exit of a supervisor that gives up, with the deepest culprit known.
    fn gave_up(&self, child: usize, cause: Exit) -> Exit {
        match cause {
            Exit::GaveUp { .. } => cause,
            cause => {
                let culprit = match self.node.children().get(child) {
                    Some(node) => Arc::clone(&node.path),
                    None => Arc::clone(&self.node.path),
                };
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
