//! What ends a connection's wait for its client: somebody killed it, or the daemon stops.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::sync::watch;

use crate::resp::clients::ClientInfo;

/// Why the wait was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interrupt {
    /// CLIENT KILL, or it was idle for too long.
    Killed,
    /// The daemon stops.
    Draining,
}

/// Looks out for an [`Interrupt`]. Waiting costs a lock each time it begins, and a connection
/// waits after every round: this one begins once, stays registered, and only reads flags.
pub struct Interrupts {
    client: Arc<ClientInfo>,
    draining: watch::Receiver<bool>,
    wait: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// Whom the wait wakes.
    registered: Option<Waker>,
}

impl Interrupts {
    pub fn new(client: Arc<ClientInfo>, draining: watch::Receiver<bool>) -> Self {
        let wait = {
            let (client, mut draining) = (Arc::clone(&client), draining.clone());
            Box::pin(async move {
                tokio::select! {
                    () = client.killed() => {}
                    _ = draining.wait_for(|on| *on) => {}
                }
            })
        };
        Self { client, draining, wait, registered: None }
    }

    /// Ready with the reason; otherwise the task is woken when there is one. Not to be polled
    /// again after that.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Interrupt> {
        if let Some(interrupt) = self.flagged() {
            return Poll::Ready(interrupt);
        }
        if self.registered.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        self.registered = Some(cx.waker().clone());
        self.client.note_task(cx.waker());
        // A flag that went up before the receiver was made shows only here.
        self.wait.as_mut().poll(cx).map(|()| self.flagged().unwrap_or(Interrupt::Draining))
    }

    fn flagged(&self) -> Option<Interrupt> {
        if self.client.is_killed() {
            return Some(Interrupt::Killed);
        }
        // It changes once, when the daemon stops; an error says that the listener is gone.
        self.draining.has_changed().unwrap_or(true).then_some(Interrupt::Draining)
    }
}
