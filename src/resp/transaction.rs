//! MULTI's queue and WATCH's flag of one connection. Pure: who runs it is elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::args::{Args, Span};
use super::table::Command;

/// A queued command with arguments of its own: the input it came in is gone by EXEC.
#[derive(Debug)]
pub struct Queued {
    /// The command.
    pub command: &'static Command,
    bytes: Box<[u8]>,
    spans: Box<[Span]>,
}

impl Queued {
    fn copy(command: &'static Command, args: &Args<'_>) -> Self {
        let mut bytes = Vec::new();
        let spans = args
            .from(0)
            .map(|arg| {
                // Requests are bounded by the query buffer, which is below 4GB.
                let start = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                bytes.extend_from_slice(arg);
                Span { start, len: u32::try_from(arg.len()).unwrap_or(u32::MAX) }
            })
            .collect();
        Self { command, bytes: bytes.into(), spans }
    }

    /// Its arguments, the name first.
    #[must_use]
    pub fn args(&self) -> Args<'_> {
        Args::new(&self.bytes, &self.spans)
    }
}

/// A key under WATCH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// Its database.
    pub db: u8,
    /// The key.
    pub key: Box<[u8]>,
    /// Its hash.
    pub hash: u64,
}

/// What EXEC finds.
#[derive(Debug)]
pub enum Verdict {
    /// Run these.
    Run(Vec<Queued>),
    /// A command could not be queued: `EXECABORT`.
    Discarded,
}

/// The transaction state of one connection.
#[derive(Debug, Default)]
pub struct Transaction {
    open: bool,
    flawed: bool,
    queue: Vec<Queued>,
    bytes: usize,
    watched: Vec<Watched>,
    changed: Arc<AtomicBool>,
}

impl Transaction {
    /// MULTI. `false` if one is open already.
    pub fn begin(&mut self) -> bool {
        !std::mem::replace(&mut self.open, true)
    }

    /// Whether MULTI is open.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.open
    }

    /// Commands in the queue.
    #[must_use]
    pub const fn queued(&self) -> usize {
        self.queue.len()
    }

    /// The commands in the queue.
    pub fn commands(&self) -> impl Iterator<Item = (&'static Command, Args<'_>)> {
        self.queue.iter().map(|queued| (queued.command, queued.args()))
    }

    /// Queues a command; `false` if the queue would hold more than `max_bytes`.
    pub fn push(&mut self, command: &'static Command, args: &Args<'_>, max_bytes: usize) -> bool {
        let queued = Queued::copy(command, args);
        let cost = queued.bytes.len() + size_of_val(&*queued.spans) + size_of::<Queued>();
        if self.bytes + cost > max_bytes {
            self.flawed = true;
            return false;
        }
        self.bytes += cost;
        self.queue.push(queued);
        true
    }

    /// A command was refused while queuing: EXEC will abort.
    pub const fn flaw(&mut self) {
        self.flawed |= self.open;
    }

    /// EXEC or DISCARD: closes the transaction. Watches are the caller's to end.
    pub fn close(&mut self) -> Verdict {
        self.open = false;
        self.bytes = 0;
        let queue = std::mem::take(&mut self.queue);
        if std::mem::take(&mut self.flawed) { Verdict::Discarded } else { Verdict::Run(queue) }
    }

    /// Keys under WATCH.
    #[must_use]
    pub fn watched(&self) -> &[Watched] {
        &self.watched
    }

    /// Whether this key is watched already.
    #[must_use]
    pub fn watches(&self, db: u8, key: &[u8]) -> bool {
        self.watched.iter().any(|w| w.db == db && *w.key == *key)
    }

    /// Remembers that a key is watched.
    pub fn add_watch(&mut self, watched: Watched) {
        self.watched.push(watched);
    }

    /// The flag that stores set when a watched key changes.
    #[must_use]
    pub const fn flag(&self) -> &Arc<AtomicBool> {
        &self.changed
    }

    /// Whether a watched key has changed.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.changed.load(Ordering::Acquire)
    }

    /// Ends all watches. The flag is replaced: stores drop the old one when they meet it.
    pub fn unwatch(&mut self) -> Vec<Watched> {
        self.changed = Arc::default();
        std::mem::take(&mut self.watched)
    }
}

#[cfg(test)]
mod tests;
