//! The registry of connections: what CLIENT LIST shows, what CLIENT KILL and PAUSE reach.
//!
//! A connection's task registers before it reads its first byte and leaves by dropping its
//! [`Registration`], so an entry never outlives its connection. The number of entries is bounded
//! by `server.max_clients`.

mod client;
mod command_name;
mod pause;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::telemetry::Ration;

pub use client::{ClientInfo, Endpoints, NewClient, Traits};
pub use command_name::CommandName;
pub use pause::{Pause, PauseGate};

/// Why a connection was not registered. The text is Redis' own; it goes to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("ERR max number of clients reached")]
pub struct Full;

/// Every connection of the daemon. Cheap to clone; clones share one registry.
#[derive(Debug, Clone)]
pub struct Clients {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// In order of their ids, which is the order of CLIENT LIST.
    clients: Mutex<BTreeMap<u64, Arc<ClientInfo>>>,
    /// The id that was given last; ids are never given twice.
    last_id: AtomicU64,
    /// How many may be connected; changes live.
    max: AtomicUsize,
    pause: PauseGate,
    /// Log lines about what clients do wrong.
    complaints: Mutex<Ration>,
}

impl Clients {
    /// An empty registry with room for `max` connections.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                clients: Mutex::default(),
                last_id: AtomicU64::new(0),
                max: AtomicUsize::new(max),
                pause: PauseGate::default(),
                complaints: Mutex::default(),
            }),
        }
    }

    /// Changes how many may be connected. Those that are connected already stay.
    pub fn set_max(&self, max: usize) {
        self.shared.max.store(max, Ordering::Relaxed);
    }

    /// How many may be connected.
    #[must_use]
    pub fn max(&self) -> usize {
        self.shared.max.load(Ordering::Relaxed)
    }

    /// Whether what a client does wrong may be logged now; then with the number of such lines that
    /// were withheld since the last one. Clients do wrong as often as they like.
    #[must_use]
    pub fn may_complain(&self, now: Instant) -> Option<u64> {
        self.shared.complaints.lock().unwrap_or_else(PoisonError::into_inner).take(now)
    }

    /// Gives a new connection its id and its entry.
    ///
    /// # Errors
    /// [`Full`] if `max` connections are there already.
    pub fn register(&self, new: NewClient) -> Result<Registration, Full> {
        let mut clients = self.lock();
        if clients.len() >= self.max() {
            return Err(Full);
        }
        let id = self.shared.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let info = Arc::new(ClientInfo::new(id, new));
        clients.insert(id, Arc::clone(&info));
        Ok(Registration { shared: Arc::clone(&self.shared), info })
    }

    /// Connections at this moment.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether nobody is connected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Connections registered since the start.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.shared.last_id.load(Ordering::Relaxed)
    }

    /// Everyone, in order of their ids. Costs one reference count each; text is made outside the
    /// lock, so that a long CLIENT LIST holds up no new connection.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<ClientInfo>> {
        self.lock().values().cloned().collect()
    }

    /// The connection with this id.
    #[must_use]
    pub fn get(&self, id: u64) -> Option<Arc<ClientInfo>> {
        self.lock().get(&id).cloned()
    }

    /// CLIENT PAUSE.
    #[must_use]
    pub fn pause(&self) -> &PauseGate {
        &self.shared.pause
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<ClientInfo>>> {
        self.shared.lock()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<ClientInfo>>> {
        // A map of counted references is never half-changed: a poisoned lock is still whole.
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place in the registry; dropping it gives the place back.
#[derive(Debug)]
pub struct Registration {
    shared: Arc<Shared>,
    info: Arc<ClientInfo>,
}

impl Deref for Registration {
    type Target = Arc<ClientInfo>;

    fn deref(&self) -> &Self::Target {
        &self.info
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.shared.lock().remove(&self.info.id);
        if let Some(inbox) = self.info.inbox() {
            inbox.close();
        }
    }
}
