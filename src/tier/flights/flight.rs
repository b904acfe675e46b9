//! One question under way, and the answer once it is there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

use seawall_actors::cache::store::Ticket;
use seawall_actors::journal::Lsn;
use tokio::sync::SetOnce;

use super::super::question::{Answer, Found, Want};

/// A question about one key.
#[derive(Debug)]
pub(super) struct Flight {
    pub key: Box<[u8]>,
    pub hash: u64,
    pub ticket: Ticket,
    found: SetOnce<Found>,
    /// Nobody may be waiting for it any more: the answer goes to the shard.
    behind: AtomicBool,
}

/// A flight that is to land. Lands when it is dropped, if nothing else has become of it: nobody
/// waits for a question that was lost.
#[derive(Debug)]
pub(super) struct Passenger {
    pub flight: Arc<Flight>,
    /// Memory has something that could be served in its place.
    pub stale: bool,
}

impl Flight {
    pub fn of(want: &Want) -> Self {
        Self {
            key: want.key.clone(),
            hash: want.hash,
            ticket: want.ticket,
            found: SetOnce::new(),
            behind: AtomicBool::new(false),
        }
    }

    /// Whether its answer is one to a question with this ticket. One that began before the tier had
    /// what is needed now, or before the key changed, would tell of what was; and only a value is
    /// of use once it has landed.
    pub fn answers(&self, ticket: &Ticket) -> bool {
        self.ticket.answers(ticket) && matches!(self.found.get(), None | Some(Found::Value { .. }))
    }

    /// Waits for the answer.
    pub async fn landed(&self) -> &Found {
        self.found.wait().await
    }

    /// The asker's time is over: the answer goes to the shard, unless it has just come.
    pub fn leave_behind(&self) -> Found {
        let unknown = || Found::Unknown("it did not answer in time".into());
        self.tell_the_shard().unwrap_or_else(unknown)
    }

    /// Has the answer go to the shard when it comes; returns it if it is there already, and
    /// goes nowhere by itself.
    pub fn tell_the_shard(&self) -> Option<Found> {
        self.behind.store(true, Ordering::Relaxed);
        // Either we see the answer, or who lands it sees that we have left.
        fence(Ordering::SeqCst);
        self.found.get().cloned()
    }

    /// What there is to tell the shard.
    pub fn answer(&self, found: Found) -> Answer {
        Answer { key: self.key.clone(), hash: self.hash, ticket: self.ticket, found }
    }

    /// The answer is there. Whether it has to be told to the shard.
    pub fn land(&self, found: Found) -> bool {
        // Only its passenger lands it, and once.
        let first = self.found.set(found).is_ok();
        fence(Ordering::SeqCst);
        first && self.behind.load(Ordering::Relaxed)
    }
}

impl Passenger {
    pub const fn new(flight: Arc<Flight>, stale: bool) -> Self {
        Self { flight, stale }
    }

    /// The tier must have acknowledged this LSN before it is asked.
    pub fn after(&self) -> Lsn {
        self.flight.ticket.after
    }
}

impl Drop for Passenger {
    fn drop(&mut self) {
        if !self.flight.found.initialized() {
            self.flight.land(Found::Unknown("the question was lost".into()));
        }
    }
}
