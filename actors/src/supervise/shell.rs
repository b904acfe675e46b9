//! The one `ractor` actor of the tree's leaves: a [`Worker`] plus what every worker needs.

use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::pulse::{FLIGHT_LEN, Pulse};
use super::worker::{Label, Me, Worker};

/// A failure made on purpose, to watch the tree heal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drill {
    /// The actor panics while handling a message.
    Panic,
    /// The actor returns an error from its handler.
    Error,
    /// The actor never finishes a message; the watchdog has to find out.
    Hang,
    /// The actor is killed from outside.
    Kill,
}

/// What a worker's mailbox holds.
#[derive(Debug)]
pub enum Envelope<M> {
    /// A message for the worker.
    Work(M),
    /// A drill. [`Drill::Kill`] never comes this way.
    Drill(Drill),
}

/// Runs a [`Worker`] as a `ractor` actor.
#[derive(Debug)]
pub struct Shell<W> {
    worker: W,
    pulse: Arc<Pulse>,
}

impl<W: Worker> Shell<W> {
    /// Wraps a worker; `pulse` is what its supervisor watches.
    pub fn new(worker: W, pulse: Arc<Pulse>) -> Self {
        Self { worker, pulse }
    }

    fn failed(&self, failure: super::Failure) -> ActorProcessingErr {
        self.pulse.note_failure(&failure.0);
        Box::new(failure)
    }
}

/// The worker's state and its flight record, which is handed in when the state is dropped:
/// after a panic nothing else of the actor runs any more.
pub struct ShellState<W: Worker> {
    state: W::State,
    me: Me<W::Msg>,
    flight: [&'static str; FLIGHT_LEN],
    handled: usize,
}

impl<W: Worker> std::fmt::Debug for ShellState<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ShellState").field("handled", &self.handled).finish_non_exhaustive()
    }
}

impl<W: Worker> ShellState<W> {
    fn record(&mut self, label: &'static str) {
        self.flight[self.handled % FLIGHT_LEN] = label;
        self.handled += 1;
    }
}

impl<W: Worker> Drop for ShellState<W> {
    fn drop(&mut self) {
        let kept = self.handled.min(FLIGHT_LEN);
        let flight =
            (self.handled - kept..self.handled).map(|i| self.flight[i % FLIGHT_LEN]).collect();
        self.me.pulse.note_flight(flight);
    }
}

impl<W: Worker> Actor for Shell<W> {
    type Msg = Envelope<W::Msg>;
    type State = ShellState<W>;
    type Arguments = W::Args;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        args: W::Args,
    ) -> Result<Self::State, ActorProcessingErr> {
        let me = Me { actor: myself, pulse: Arc::clone(&self.pulse) };
        let state = self.worker.init(&me, args).await.map_err(|f| self.failed(f))?;
        Ok(ShellState { state, me, flight: [""; FLIGHT_LEN], handled: 0 })
    }

    async fn post_start(
        &self,
        _myself: ActorRef<Self::Msg>,
        shell: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        // Counted like a message, so that the watchdog sees it hang.
        self.pulse.sent();
        self.pulse.enter();
        self.worker.started(&shell.me, &mut shell.state).await.map_err(|f| self.failed(f))?;
        self.pulse.leave();
        Ok(())
    }

    async fn handle(
        &self,
        _myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        shell: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        self.pulse.enter();
        match message {
            Envelope::Work(msg) => {
                shell.record(msg.label());
                let done = self.worker.handle(&shell.me, msg, &mut shell.state).await;
                done.map_err(|f| self.failed(f))?;
            }
            Envelope::Drill(drill) => {
                shell.record("drill");
                self.rehearse(drill).await?;
            }
        }
        self.pulse.leave();
        Ok(())
    }

    async fn post_stop(
        &self,
        _myself: ActorRef<Self::Msg>,
        shell: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        self.worker.stopped(&shell.me, &mut shell.state).await.map_err(|f| self.failed(f))
    }
}

impl<W: Worker> Shell<W> {
    #[allow(clippy::panic, reason = "a drill's panic is what was asked for")]
    async fn rehearse(&self, drill: Drill) -> Result<(), ActorProcessingErr> {
        match drill {
            Drill::Panic => panic!("drill: panic"),
            Drill::Error => Err(self.failed(super::Failure::new("drill: error"))),
            Drill::Hang => std::future::pending().await,
            Drill::Kill => Ok(()),
        }
    }
}
