//! Bringing one incarnation of a worker to life, with its type erased.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use ractor::{Actor, ActorCell, ActorRef};
use tokio::task::JoinHandle;

use super::exit::{Exit, panic_text};
use super::handle::{Handle, Line};
use super::pulse::Pulse;
use super::shell::{Drill, Envelope, Shell};
use super::supervisor::SupervisorMsg;
use super::worker::Worker;

/// A boxed future: it also cuts the circle of types "a supervisor starts supervisors".
pub(super) type Starting = Pin<Box<dyn Future<Output = Result<Running, Exit>> + Send>>;

/// Sends a drill into an actor's mailbox. [`Drill::Kill`] goes to the cell instead.
pub(super) type Rehearse = Arc<dyn Fn(Drill) + Send + Sync>;

/// One incarnation that runs.
pub(super) struct Running {
    pub cell: ActorCell,
    /// Done when the actor's task is: the only barrier behind which its state is dropped.
    pub join: JoinHandle<()>,
    /// A worker's signs of life; supervisors have none.
    pub pulse: Option<Arc<Pulse>>,
    pub rehearse: Rehearse,
    /// Where a supervisor takes orders; workers have their handles.
    pub address: Option<ActorRef<SupervisorMsg>>,
    /// Asks for an orderly stop.
    pub stop: Box<dyn FnOnce() + Send>,
    /// Lets callers through. Called once it is known to run.
    pub announce: Box<dyn FnOnce() + Send>,
}

/// Where callers find the actor when it is not up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stand {
    Down,
    Open { until: Instant },
    Gone,
}

/// How to bring a worker to life, again and again.
pub(super) trait Start: Send + Sync {
    /// Starts an incarnation. MUST be safe to drop at any await.
    fn start(&self, supervisor: ActorCell) -> Starting;

    /// Tells callers where the actor stands.
    fn publish(&self, stand: Stand);
}

/// [`Start`] for one type of worker.
pub(super) struct WorkerStart<W: Worker, F> {
    handle: Handle<W::Msg>,
    make: Mutex<F>,
}

impl<W: Worker, F> WorkerStart<W, F> {
    pub fn new(handle: Handle<W::Msg>, make: F) -> Self {
        Self { handle, make: Mutex::new(make) }
    }
}

impl<W, F> Start for WorkerStart<W, F>
where
    W: Worker,
    F: FnMut() -> (W, W::Args) + Send + 'static,
{
    fn start(&self, supervisor: ActorCell) -> Starting {
        // What `make` left half done when it panicked is its own matter: it is called again.
        let made = catch_unwind(AssertUnwindSafe(|| {
            let mut make = self.make.lock().unwrap_or_else(PoisonError::into_inner);
            make()
        }));
        let handle = self.handle.clone();
        Box::pin(async move {
            let (worker, args) =
                made.map_err(|panic| Exit::StartFailed(format!("panic: {}", panic_text(&*panic))))?;
            let pulse = Arc::new(Pulse::default());
            let shell = Shell::new(worker, Arc::clone(&pulse));
            // No name: names share one registry per process, and a second tree would clash.
            let (actor, join) = Actor::spawn_linked(None, shell, args, supervisor)
                .await
                .map_err(|error| Exit::from_spawn(&error))?;
            let cell = actor.get_cell();
            let (drilled, drill_pulse) = (actor.clone(), Arc::clone(&pulse));
            let stopped = cell.clone();
            let seen = Arc::clone(&pulse);
            Ok(Running {
                cell,
                join,
                pulse: Some(pulse),
                address: None,
                rehearse: Arc::new(move |drill| {
                    drill_pulse.sent();
                    if drilled.send_message(Envelope::Drill(drill)).is_err() {
                        drill_pulse.unsent();
                    }
                }),
                stop: Box::new(move || stopped.stop(Some("shutdown".to_owned()))),
                announce: Box::new(move || handle.publish(Line::Up(actor, seen))),
            })
        })
    }

    fn publish(&self, stand: Stand) {
        self.handle.publish(match stand {
            Stand::Down => Line::Down,
            Stand::Open { until } => Line::Open { until },
            Stand::Gone => Line::Gone,
        });
    }
}
