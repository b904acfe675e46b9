//! What an actor implements to be a worker in the tree.

use std::sync::Arc;
use std::time::Duration;

use ractor::ActorRef;

use super::pulse::Pulse;
use super::shell::Envelope;

/// A name for each kind of message, for flight records. Never contains values.
pub trait Label {
    /// The kind of this message.
    fn label(&self) -> &'static str;
}

/// Why an actor gives up on purpose. The supervisor treats it like a panic.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct Failure(pub String);

impl Failure {
    /// A failure that says what happened.
    pub fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

/// A supervised actor.
///
/// It runs inside a [`super::Shell`], the one `ractor` actor type of the tree, which adds to
/// every worker alike: the pulse that the watchdog reads, the flight record, and the drills.
pub trait Worker: Send + Sync + Sized + 'static {
    /// What it is told.
    type Msg: Label + Send + 'static;
    /// What a start needs; validated already, made anew for every start.
    type Args: Send + 'static;
    /// What it owns alone.
    type State: Send + 'static;

    /// Makes the state. MUST NOT do IO: the supervisor waits for it. A failure counts as an exit.
    fn init(
        &self,
        me: &Me<Self::Msg>,
        args: Self::Args,
    ) -> impl Future<Output = Result<Self::State, Failure>> + Send;

    /// Runs once, after the start is reported and before the first message.
    fn started(
        &self,
        _me: &Me<Self::Msg>,
        _state: &mut Self::State,
    ) -> impl Future<Output = Result<(), Failure>> + Send {
        async { Ok(()) }
    }

    /// Handles one message.
    fn handle(
        &self,
        me: &Me<Self::Msg>,
        msg: Self::Msg,
        state: &mut Self::State,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Runs on an orderly stop only: not after a panic, a failure or a kill.
    fn stopped(
        &self,
        _me: &Me<Self::Msg>,
        _state: &mut Self::State,
    ) -> impl Future<Output = Result<(), Failure>> + Send {
        async { Ok(()) }
    }
}

/// An actor's own address, for messages to itself. It names this incarnation only.
#[derive(Debug)]
pub struct Me<M: Send + 'static> {
    pub(super) actor: ActorRef<Envelope<M>>,
    pub(super) pulse: Arc<Pulse>,
}

impl<M: Send + 'static> Clone for Me<M> {
    fn clone(&self) -> Self {
        Self { actor: self.actor.clone(), pulse: Arc::clone(&self.pulse) }
    }
}

impl<M: Send + 'static> Me<M> {
    /// Queues a message to itself. Silently dropped if the actor has ended.
    pub fn send(&self, msg: M) {
        self.pulse.sent();
        // The actor's end drops its mailbox and whatever is in it; so it is here too.
        let _ = self.actor.send_message(Envelope::Work(msg));
    }

    /// Queues a message to itself after `delay`. Ends with the actor: a late one is dropped.
    pub fn send_after(&self, delay: Duration, msg: M) {
        let me = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            me.send(msg);
        });
    }

    /// Tells the watchdog that a message that takes long still gets on.
    pub fn progress(&self) {
        self.pulse.progress();
    }

    /// Asks for an orderly stop after the current message.
    pub fn stop(&self, reason: &str) {
        // The prefix keeps it apart from the reasons that the runtime gives itself.
        self.actor.get_cell().stop(Some(format!("stop: {reason}")));
    }
}
