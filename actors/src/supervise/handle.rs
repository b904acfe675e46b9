//! How callers reach an actor: a [`Handle`] follows it through its restarts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ractor::ActorRef;
use tokio::sync::{oneshot, watch};

use super::pulse::Pulse;
use super::shell::Envelope;

/// Why a call brought no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The message was never handled; it is safe to try again.
    #[error("not executed: {0}")]
    NotExecuted(NotExecuted),
    /// The message may have been handled; trying again could do it twice.
    #[error("outcome unknown: {0}")]
    Unknown(Unknown),
}

/// Why a message was not handled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotExecuted {
    /// The actor was down for as long as the caller would wait.
    #[error("the actor is down and did not come back in time")]
    Down,
    /// A breaker holds the actor down.
    #[error("the breaker is open, next trial in {}", humantime_secs(*retry_in))]
    BreakerOpen {
        /// Time until the next trial.
        retry_in: Duration,
    },
    /// The actor will not come back.
    #[error("the actor has given up")]
    Gone,
}

/// Why the outcome of a message is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// The actor ended with the message in its hands or in its mailbox.
    #[error("the actor ended before it answered")]
    Died,
    /// No answer within the deadline.
    #[error("no answer within the deadline")]
    Deadline,
}

fn humantime_secs(d: Duration) -> String {
    format!("{:.1}s", d.as_secs_f64())
}

/// Where an actor stands, as its supervisor publishes it.
#[derive(Debug)]
pub(super) enum Line<M: Send + 'static> {
    /// Not running now; a start is due.
    Down,
    /// Running.
    Up(ActorRef<Envelope<M>>, Arc<Pulse>),
    /// Held down by a breaker.
    Open { until: Instant },
    /// Ended for good.
    Gone,
}

/// The address of an actor that survives its restarts. Cheap to clone.
#[derive(Debug)]
pub struct Handle<M: Send + 'static> {
    line: Arc<watch::Sender<Line<M>>>,
}

/// Tells when an actor has come up, gone down, or is held.
#[derive(Debug)]
pub struct Changes<M: Send + 'static>(watch::Receiver<Line<M>>);

impl<M: Send + 'static> Changes<M> {
    /// Resolves at the next change; never, once every handle is gone. Safe to cancel.
    pub async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl<M: Send + 'static> Clone for Handle<M> {
    fn clone(&self) -> Self {
        Self { line: Arc::clone(&self.line) }
    }
}

impl<M: Send + 'static> Default for Handle<M> {
    fn default() -> Self {
        Self { line: Arc::new(watch::Sender::new(Line::Down)) }
    }
}

impl<M: Send + 'static> Handle<M> {
    /// A handle whose actor is not started yet. Give a clone to the actor's child spec.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends without waiting.
    ///
    /// # Errors
    /// [`CallError::NotExecuted`], with the message back, if the actor is not running.
    pub fn cast(&self, msg: M) -> Result<(), (M, NotExecuted)> {
        let line = self.line.borrow();
        match &*line {
            Line::Up(actor, pulse) => {
                pulse.sent();
                match actor.send_message(Envelope::Work(msg)) {
                    Ok(()) => Ok(()),
                    Err(ractor::MessagingErr::SendErr(Envelope::Work(msg))) => {
                        pulse.unsent();
                        Err((msg, NotExecuted::Down))
                    }
                    // Typed references never mismatch, and a send never ends elsewhere.
                    Err(_) => unreachable!("a typed send fails only with its own message"),
                }
            }
            Line::Down => Err((msg, NotExecuted::Down)),
            Line::Open { until } => {
                let retry_in = until.saturating_duration_since(super::now());
                Err((msg, NotExecuted::BreakerOpen { retry_in }))
            }
            Line::Gone => Err((msg, NotExecuted::Gone)),
        }
    }

    /// Sends, waiting for the actor to come up until `deadline`.
    ///
    /// # Errors
    /// [`NotExecuted`] with the message back: held down, gone, or still down at the deadline.
    pub async fn cast_by(
        &self,
        mut msg: M,
        deadline: tokio::time::Instant,
    ) -> Result<(), (M, NotExecuted)> {
        loop {
            let mut changes = self.line.subscribe();
            match self.cast(msg) {
                Err((back, NotExecuted::Down)) => msg = back,
                done => return done,
            }
            match tokio::time::timeout_at(deadline, changes.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return Err((msg, NotExecuted::Down)),
            }
        }
    }

    /// Asks a question and waits for the answer, both within `within`.
    ///
    /// # Errors
    /// [`CallError`], which tells *not executed* from *outcome unknown*.
    pub async fn call<R: Send + 'static>(
        &self,
        within: Duration,
        question: impl FnOnce(oneshot::Sender<R>) -> M,
    ) -> Result<R, CallError> {
        let deadline = tokio::time::Instant::now() + within;
        let (reply, answer) = oneshot::channel();
        self.cast_by(question(reply), deadline)
            .await
            .map_err(|(_, why)| CallError::NotExecuted(why))?;
        match tokio::time::timeout_at(deadline, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(CallError::Unknown(Unknown::Died)),
            Err(_) => Err(CallError::Unknown(Unknown::Deadline)),
        }
    }

    /// Whether the actor is running now.
    #[must_use]
    pub fn is_up(&self) -> bool {
        matches!(&*self.line.borrow(), Line::Up(..))
    }

    /// Whether the actor has ended for good.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(&*self.line.borrow(), Line::Gone)
    }

    /// How long a breaker still holds the actor down, if one does.
    #[must_use]
    pub fn held_for(&self) -> Option<Duration> {
        match &*self.line.borrow() {
            Line::Open { until } => Some(until.saturating_duration_since(super::now())),
            _ => None,
        }
    }

    /// Follows where the actor stands, from now on.
    #[must_use]
    pub fn changes(&self) -> Changes<M> {
        Changes(self.line.subscribe())
    }

    /// Publishes where the actor stands. Only its supervisor calls this.
    pub(super) fn publish(&self, line: Line<M>) {
        self.line.send_replace(line);
    }
}
