//! What the connection that tracks hears: which keys others have changed in Redis.
//!
//! Redis announces every change on it (CLIENT TRACKING, BCAST), except those that came over this
//! very connection (NOLOOP). So it is the one that our own writes take: they announce nothing,
//! and whatever is announced is somebody else's. Of a Cluster it is each master that announces what
//! changes there, on the connection that our own writes to it take.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use redis::{Cmd, PushInfo, PushKind, Value};
use tracing::info;

use super::near::Near;
use crate::supervise::Condition;

/// Its place in the tree.
pub const PATH: &str = "links/redis-tracker";
/// The condition it is in without a connection that announces.
pub const NOT_TRACKING: &str = "not_tracking";

/// What the tracker does, whichever connection it has. Outlives its actor.
pub(super) struct Tracking {
    near: Arc<dyn Near>,
    blind: Condition,
    refused: AtomicBool,
    /// The connection that counts, by its number.
    epoch: AtomicU64,
    announcements: AtomicU64,
    keys: AtomicU64,
    flushes: AtomicU64,
    gaps: AtomicU64,
}

/// What the tracker has heard since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TrackerStats {
    /// It has a connection.
    pub up: bool,
    /// Redis, or a master of the Cluster, does not announce changes.
    pub refused: bool,
    /// Announcements of changed keys; each is of one or more.
    pub announcements: u64,
    /// Keys in them.
    pub keys: u64,
    /// Announcements that everything has gone.
    pub flushes: u64,
    /// Times that something may have been missed: a connection took the place of none.
    pub gaps: u64,
}

impl std::fmt::Debug for Tracking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tracking").finish_non_exhaustive()
    }
}

impl Tracking {
    pub fn new(near: Arc<dyn Near>, blind: Condition) -> Self {
        Self {
            near,
            blind,
            refused: AtomicBool::new(false),
            epoch: AtomicU64::new(0),
            announcements: AtomicU64::new(0),
            keys: AtomicU64::new(0),
            flushes: AtomicU64::new(0),
            gaps: AtomicU64::new(0),
        }
    }

    /// Redis has answered the request to announce. One that refuses may be written to all the same:
    /// what is in memory is asked for again after a time, and that has to do.
    pub fn answered(&self, answer: Result<(), String>) {
        self.refused.store(answer.is_err(), Relaxed);
        if let Err(why) = answer {
            self.lost(&why);
        }
    }

    /// Nothing is announced any more.
    pub fn lost(&self, why: &str) {
        self.blind.set(&format!(
            "what others change in Redis is noticed only when an entry is asked for again \
             (redis.revalidate_after): {why}"
        ));
    }

    /// There is to be no connection any more, and so none is lacking.
    pub fn ends(&self) {
        self.blind.clear();
    }

    /// Connection number `epoch` announces changes from now on; those before may have been missed.
    pub fn begins(&self, epoch: u64) {
        self.epoch.store(epoch, Relaxed);
        self.gaps.fetch_add(1, Relaxed);
        self.near.gap();
        if !self.refused.load(Relaxed) {
            self.blind.clear();
            info!(
                path = PATH,
                event = "tracking",
                "Redis announces what others change from now on; what was in memory is asked for \
                 again before it is believed"
            );
        }
    }

    /// What Redis says without having been asked, on connection number `epoch`. One that has been
    /// replaced is told of what goes over the new one as if it were somebody else's.
    pub fn hear(&self, push: PushInfo, epoch: u64) {
        if push.kind != PushKind::Invalidate || epoch < self.epoch.load(Relaxed) {
            return;
        }
        match push.data.into_iter().next() {
            Some(Value::Array(keys)) => {
                let keys: Vec<Box<[u8]>> = keys.into_iter().filter_map(key).collect();
                self.announcements.fetch_add(1, Relaxed);
                self.keys.fetch_add(keys.len() as u64, Relaxed);
                if !keys.is_empty() {
                    self.near.changed(keys);
                }
            }
            Some(Value::Nil) => {
                self.flushes.fetch_add(1, Relaxed);
                self.near.flushed();
            }
            // Something has changed, and nobody knows what.
            _ => {
                self.gaps.fetch_add(1, Relaxed);
                self.near.gap();
            }
        }
    }

    pub fn stats(&self, up: bool) -> TrackerStats {
        TrackerStats {
            up,
            refused: self.refused.load(Relaxed),
            announcements: self.announcements.load(Relaxed),
            keys: self.keys.load(Relaxed),
            flushes: self.flushes.load(Relaxed),
            gaps: self.gaps.load(Relaxed),
        }
    }
}

fn key(value: Value) -> Option<Box<[u8]>> {
    match value {
        Value::BulkString(bytes) => Some(bytes.into_boxed_slice()),
        Value::SimpleString(text) => Some(text.into_bytes().into_boxed_slice()),
        _ => None,
    }
}

/// Asks Redis to announce what others change.
pub(super) fn request(prefixes: &[String]) -> Cmd {
    let mut command = redis::cmd("CLIENT");
    command.arg("TRACKING").arg("ON").arg("BCAST").arg("NOLOOP");
    for prefix in prefixes {
        command.arg("PREFIX").arg(prefix);
    }
    command
}
