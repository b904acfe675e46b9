//! The keeper of one incarnation: a task that sees one life of one child from its start to the
//! moment its state is dropped, and reports to whoever ordered it.
//!
//! It waits so that no supervisor has to: for the start, for signs of life, for the stop, and
//! after a kill. Each of these waits is bounded by the child's grace.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorCell, ActorId};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::event::{Shared, StopHow, StoppedChild};
use super::exit::Exit;
use super::node::{Body, ChildState, Node};
use super::pulse::Pulse;
use super::start::{Running, Stand, Starting};
use super::supervisor::{Supervisor, SupervisorArgs, SupervisorMsg};
use super::watchdog::Watchdog;
use crate::failpoint::{self, Point};

/// Held by every keeper below a supervisor; its channel closes when the last of them is done.
pub(super) type Alive = mpsc::Sender<Infallible>;

/// What a keeper reports.
#[derive(Debug)]
pub(super) enum Report {
    /// It runs; a supervisor's children have all been started, or have failed to.
    Up,
    /// It is gone, its state dropped, or was never there.
    Ended {
        /// Under which id its supervision event came.
        actor: Option<ActorId>,
        /// Why, if the keeper knows better than that event.
        exit: Option<Exit>,
        /// A worker's signs of life, with its flight record.
        pulse: Option<Arc<Pulse>>,
    },
}

/// What a keeper needs.
pub(super) struct Keeper {
    pub node: Arc<Node>,
    pub shared: Arc<Shared>,
    /// None for the root.
    pub supervisor: Option<ActorCell>,
    /// Asks for an orderly stop; when it is dropped, its supervisor has died: kill.
    pub orders: oneshot::Receiver<()>,
    /// None for the root.
    pub alive: Option<Alive>,
    pub report: Box<dyn Fn(Report) + Send>,
}

/// How an incarnation that runs came to its end.
enum End {
    ByItself,
    Ordered,
    Orphaned,
    Hung,
}

/// What a keeper must not leave behind. If it panics, its child is killed, waited for, and
/// reported: a child that nobody keeps would never be restarted.
struct Ward {
    voice: Voice,
    alive: Option<Alive>,
    child: Option<(ActorCell, JoinHandle<()>)>,
}

/// Reports, until the end is reported.
struct Voice(Option<Box<dyn Fn(Report) + Send>>);

impl Voice {
    fn is_up(&self) {
        if let Some(report) = &self.0 {
            report(Report::Up);
        }
    }

    fn ended(&mut self, actor: Option<ActorId>, exit: Option<Exit>, pulse: Option<Arc<Pulse>>) {
        if let Some(report) = self.0.take() {
            report(Report::Ended { actor, exit, pulse });
        }
    }
}

impl Drop for Ward {
    fn drop(&mut self) {
        let (Some(report), true) = (self.voice.0.take(), std::thread::panicking()) else { return };
        let Ok(runtime) = Handle::try_current() else { return };
        let (alive, child) = (self.alive.take(), self.child.take());
        runtime.spawn(async move {
            let mut actor = None;
            if let Some((cell, mut join)) = child {
                actor = Some(cell.get_id());
                cell.kill();
                // One that was waited for already must not be asked again.
                if !join.is_finished() {
                    let _ = (&mut join).await;
                }
            }
            let exit = Some(Exit::Panic("its keeper panicked".to_owned()));
            report(Report::Ended { actor, exit, pulse: None });
            drop(alive);
        });
    }
}

impl Keeper {
    /// Starts the incarnation, and the task that keeps it.
    pub fn launch(self) {
        tokio::spawn(self.keep());
    }

    async fn keep(mut self) {
        let report = std::mem::replace(&mut self.report, Box::new(|_| {}));
        let mut ward = Ward { voice: Voice(Some(report)), alive: self.alive.take(), child: None };
        self.node.publish(Stand::Down);
        self.node.set(ChildState::Starting);
        failpoint::hit(Point::KeeperStart);
        let (alive, below) = mpsc::channel(1);
        let (ready, readied) = oneshot::channel();
        let start = self.start(alive, ready);
        let started = tokio::select! {
            biased;
            // Dropping a start undoes it: nothing of the actor is left.
            _ = &mut self.orders => Err(Exit::Shutdown),
            started = timeout(self.node.grace(), start) => started
                .unwrap_or_else(|_| Err(Exit::StartFailed("timed out".to_owned()))),
        };
        match started {
            Ok(running) => self.attend(running, ward, below, readied).await,
            Err(exit) => {
                self.node.set(ChildState::Down);
                ward.voice.ended(None, Some(exit), None);
            }
        }
    }

    fn start(&self, alive: Alive, ready: oneshot::Sender<()>) -> Starting {
        match (&self.node.body, &self.supervisor) {
            (Body::Worker(worker), Some(supervisor)) => worker.start(supervisor.clone()),
            (Body::Worker(_), None) => {
                Box::pin(async { Err(Exit::StartFailed("a worker needs a supervisor".to_owned())) })
            }
            (Body::Supervisor { .. }, above) => {
                let args = SupervisorArgs {
                    node: Arc::clone(&self.node),
                    shared: Arc::clone(&self.shared),
                    alive,
                    ready,
                };
                start_supervisor(args, above.clone())
            }
        }
    }

    /// From the start to the end.
    async fn attend(
        mut self,
        running: Running,
        mut ward: Ward,
        mut below: mpsc::Receiver<Infallible>,
        mut readied: oneshot::Receiver<()>,
    ) {
        let Running { cell, join, pulse, rehearse, address, stop, announce } = running;
        let (_, join) = ward.child.insert((cell.clone(), join));
        let actor = Some(cell.get_id());
        announce();
        failpoint::hit(Point::KeeperStarted);
        let is_worker = pulse.is_some();
        {
            let mut standing = self.node.standing();
            standing.pulse = pulse.clone();
            standing.cell = Some(cell.clone());
            standing.rehearse = Some(rehearse);
            standing.address = address;
        }
        let mut reported = is_worker;
        if is_worker {
            self.node.set(ChildState::Up);
            ward.voice.is_up();
        }
        let mut watchdog = Watchdog::default();
        let end = loop {
            let limit = self.shared.watchdog();
            tokio::select! {
                biased;
                order = &mut self.orders => {
                    break if order.is_ok() { End::Ordered } else { End::Orphaned };
                }
                _ = &mut *join => break End::ByItself,
                _ = &mut readied, if !reported => {
                    // Dropped instead of sent: it ends, and `join` says so.
                    reported = true;
                    self.node.set(ChildState::Up);
                    ward.voice.is_up();
                }
                () = tokio::time::sleep(Watchdog::beat(limit)), if is_worker => {
                    let sample = pulse.as_ref().and_then(|pulse| pulse.sample());
                    if watchdog.hangs(sample, super::now(), limit) {
                        break End::Hung;
                    }
                }
            }
        };
        // New callers wait for the successor instead of losing their message in the mailbox. Below
        // a supervisor that stops in order, each child serves until its own turn comes.
        if is_worker || !matches!(end, End::Ordered) {
            self.node.publish(Stand::Down);
        }
        let grace = self.node.grace();
        let began = Instant::now();
        let exit = match end {
            End::ByItself => None,
            End::Ordered => {
                stop();
                if timeout(grace, &mut *join).await.is_ok() {
                    Some(Exit::Shutdown)
                } else {
                    Some(kill(&cell, join, grace, Exit::Killed).await)
                }
            }
            End::Orphaned => Some(kill(&cell, join, grace, Exit::Killed).await),
            End::Hung => Some(kill(&cell, join, grace, Exit::Hung).await),
        };
        // A supervisor that died has killed its children without waiting for them.
        let below_done = timeout(at_least_a_second(grace), below.recv()).await.is_ok();
        let outcome = self.node.standing().outcome.take();
        let exit = match (below_done, outcome) {
            (false, _) => Some(Exit::Unkillable),
            (true, Some(outcome)) => Some(outcome),
            (true, None) => exit,
        };
        if matches!(end, End::Ordered) {
            let how = match exit {
                Some(Exit::Killed) => StopHow::Killed,
                Some(Exit::Unkillable) => StopHow::Unkillable,
                _ => StopHow::Orderly,
            };
            let path = Arc::clone(&self.node.path);
            self.shared.note_stop(StoppedChild { path, how, took: began.elapsed() });
        }
        failpoint::hit(Point::KeeperEnded);
        let lingers = exit == Some(Exit::Unkillable);
        self.node.set(ChildState::Down);
        ward.voice.ended(actor, exit, pulse);
        if lingers {
            // Whoever waits for everything below a supervisor must see that this still runs.
            let _ = join.await;
            let _ = below.recv().await;
        }
        drop(ward);
    }
}

/// Kills, and waits until it has worked: for the grace, and at least a second, because a state
/// may take a moment to drop.
async fn kill(
    cell: &ActorCell,
    join: &mut tokio::task::JoinHandle<()>,
    grace: Duration,
    exit: Exit,
) -> Exit {
    cell.kill();
    match timeout(at_least_a_second(grace), join).await {
        Ok(_) => exit,
        Err(_) => Exit::Unkillable,
    }
}

fn at_least_a_second(grace: Duration) -> Duration {
    grace.max(Duration::from_secs(1))
}

/// Not an `async fn`: a supervisor's type must not contain the futures of its own children.
fn start_supervisor(args: SupervisorArgs, above: Option<ActorCell>) -> Starting {
    Box::pin(async move {
        let spawned = match above {
            Some(above) => Actor::spawn_linked(None, Supervisor, args, above).await,
            None => Actor::spawn(None, Supervisor, args).await,
        };
        let (actor, join) = spawned.map_err(|error| Exit::from_spawn(&error))?;
        let (stopped, drilled) = (actor.clone(), actor.clone());
        Ok(Running {
            cell: actor.get_cell(),
            join,
            pulse: None,
            // Both are dropped if it has ended meanwhile, which is what they ask for.
            address: Some(actor.clone()),
            rehearse: Arc::new(move |drill| {
                let _ = drilled.send_message(SupervisorMsg::Drill(drill));
            }),
            stop: Box::new(move || {
                let _ = stopped.send_message(SupervisorMsg::Stop);
            }),
            announce: Box::new(|| {}),
        })
    })
}
