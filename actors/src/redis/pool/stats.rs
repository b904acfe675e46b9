//! What a pool counts.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::super::failure::FailureKind;

const KINDS: usize = FailureKind::NAMES.len();

/// Counters of a pool.
#[derive(Debug, Default)]
pub(super) struct Counts {
    commands: AtomicU64,
    retries: AtomicU64,
    failures: [AtomicU64; KINDS],
}

/// What a pool has done since its start, and how its links stand.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolStats {
    /// Commands and pipelines it was asked for.
    pub commands: u64,
    /// Tries beyond the first.
    pub retries: u64,
    /// Failed tries, in the order of [`FailureKind::NAMES`].
    pub failures: [u64; KINDS],
    /// Each link.
    pub links: Vec<LinkStats>,
}

/// One link.
#[derive(Debug, Clone, PartialEq)]
pub struct LinkStats {
    /// Its number, which it keeps.
    pub id: usize,
    /// Age of its connection, if it has one.
    pub age: Option<Duration>,
    /// Commands under way.
    pub in_use: usize,
    /// Commands that had to wait for room.
    pub waits: u64,
    /// How long they waited, together.
    pub waited: Duration,
    /// Connections made after the first.
    pub reconnects: u64,
}

impl Counts {
    pub fn command(&self) {
        self.commands.fetch_add(1, Relaxed);
    }

    pub fn retry(&self) {
        self.retries.fetch_add(1, Relaxed);
    }

    pub fn failure(&self, kind: FailureKind) {
        self.failures[kind.index()].fetch_add(1, Relaxed);
    }

    pub fn read(&self, links: Vec<LinkStats>) -> PoolStats {
        PoolStats {
            commands: self.commands.load(Relaxed),
            retries: self.retries.load(Relaxed),
            failures: std::array::from_fn(|i| self.failures[i].load(Relaxed)),
            links,
        }
    }
}
