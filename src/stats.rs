//! What the whole server counts: one set of atomics that every connection adds to.
//!
//! A connection tallies a [`Round`] of commands in plain integers and adds it here once, so the
//! cost does not grow with the length of a pipeline. Every set of labels is fixed at compile
//! time: nothing a client sends can make it grow.

mod commands;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use seawall_actors::supervise::{Lifecycle, TreeEvent};
use tokio::sync::broadcast;

use self::commands::Commands;
use crate::resp::table::Command;

pub use self::commands::{CommandSnapshot, CommandsSnapshot, Round};

/// The error codes that are counted by name; every other code counts as [`OTHER_CODE`].
pub const ERROR_CODES: [&str; 17] = [
    "ERR",
    "WRONGTYPE",
    "OOM",
    "NOAUTH",
    "WRONGPASS",
    "NOPERM",
    "NOPROTO",
    "DENIED",
    "EXECABORT",
    "LOADING",
    "MISCONF",
    "READONLY",
    "BUSYKEY",
    "NOREPLICAS",
    "TRYAGAIN",
    "UNBLOCKED",
    "UNKNOWN",
];
/// Stands for every code that is not in [`ERROR_CODES`].
pub const OTHER_CODE: &str = "other";

/// Why a connection was turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Rejection {
    /// `max_clients` are connected already.
    MaxClients,
    /// Protected mode: a remote client while no password is set.
    ProtectedMode,
    /// The operating system refused it (no descriptors left, …).
    Accept,
    /// The server is stopping.
    Stopping,
}

impl Rejection {
    /// Every reason, in the order of their discriminants.
    pub const ALL: [Self; 4] =
        [Self::MaxClients, Self::ProtectedMode, Self::Accept, Self::Stopping];

    /// The label used in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MaxClients => "max_clients",
            Self::ProtectedMode => "protected_mode",
            Self::Accept => "accept",
            Self::Stopping => "stopping",
        }
    }
}

/// The server-wide counters. Shared by everyone, locked by nobody.
#[derive(Debug, Default)]
pub struct Stats {
    commands: Commands,
    errors: [AtomicU64; ERROR_CODES.len() + 1],
    accepted: AtomicU64,
    rejected: [AtomicU64; Rejection::ALL.len()],
    connected: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    protocol_errors: AtomicU64,
    reloads_ok: AtomicU64,
    reloads_failed: AtomicU64,
    actor_restarts: AtomicU64,
    escalations: AtomicU64,
}

impl Stats {
    /// All zero.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a round and empties it. `took` is what each of its commands waited for: from its bytes
    /// being decoded to its reply being ready to send.
    pub fn round(&self, round: &mut Round, took: Duration) {
        self.commands.add(round, took);
        self.transferred(round.bytes_in, round.bytes_out);
        round.clear();
    }

    /// Adds bytes that belong to no round (pushes, a refused connection's farewell).
    pub fn transferred(&self, bytes_in: u64, bytes_out: u64) {
        if bytes_in > 0 {
            self.bytes_in.fetch_add(bytes_in, Relaxed);
        }
        if bytes_out > 0 {
            self.bytes_out.fetch_add(bytes_out, Relaxed);
        }
    }

    /// Counts a command that ran and answered an error, whose code is `Refusal::code`.
    pub fn failed(&self, command: &Command, code: &str) {
        self.commands.failed(command);
        self.error(code);
    }

    /// Counts a request that was refused before it ran; `None` if there is no such command.
    pub fn refused(&self, command: Option<&Command>, code: &str) {
        if let Some(command) = command {
            self.commands.refused(command);
        }
        self.error(code);
    }

    fn error(&self, code: &str) {
        let at = ERROR_CODES.iter().position(|known| *known == code);
        if let Some(counter) = self.errors.get(at.unwrap_or(ERROR_CODES.len())) {
            counter.fetch_add(1, Relaxed);
        }
    }

    /// Counts a client whose bytes are not the protocol.
    pub fn protocol_error(&self) {
        self.protocol_errors.fetch_add(1, Relaxed);
    }

    /// Counts a connection for as long as the guard lives.
    #[must_use]
    pub fn connected(self: &Arc<Self>) -> Connected {
        self.accepted.fetch_add(1, Relaxed);
        self.connected.fetch_add(1, Relaxed);
        Connected { stats: Arc::clone(self) }
    }

    /// Counts a connection that was turned away.
    pub fn rejected(&self, why: Rejection) {
        if let Some(counter) = self.rejected.get(why as usize) {
            counter.fetch_add(1, Relaxed);
        }
    }

    /// Counts a reload of the configuration.
    pub fn reloaded(&self, ok: bool) {
        let counter = if ok { &self.reloads_ok } else { &self.reloads_failed };
        counter.fetch_add(1, Relaxed);
    }

    /// Counts the restart of an actor.
    pub fn actor_restarted(&self) {
        self.actor_restarts.fetch_add(1, Relaxed);
    }

    /// Counts a supervisor that gave up and passed the failure upwards.
    pub fn escalated(&self) {
        self.escalations.fetch_add(1, Relaxed);
    }

    /// Counts an event of the tree, if it is one that is counted.
    pub fn tree_event(&self, event: Lifecycle) {
        match event {
            Lifecycle::Restarting | Lifecycle::Trial => self.actor_restarted(),
            Lifecycle::Escalated => self.escalated(),
            _ => {}
        }
    }

    /// Counts the tree's events until the tree is gone. Events missed because this fell behind
    /// are missing from the counts; the tree's own numbers by path have them.
    pub async fn follow(&self, mut events: broadcast::Receiver<TreeEvent>) {
        loop {
            match events.recv().await {
                Ok(event) => self.tree_event(event.lifecycle),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return,
            }
        }
    }

    /// CONFIG RESETSTAT: forgets the traffic. What tells the state of the daemon stays: clients
    /// connected, reloads, restarts, escalations.
    pub fn reset(&self) {
        self.commands.reset();
        let traffic =
            [&self.accepted, &self.bytes_in, &self.bytes_out, &self.protocol_errors].into_iter();
        traffic
            .chain(&self.errors)
            .chain(&self.rejected)
            .for_each(|counter| counter.store(0, Relaxed));
    }

    /// Everything, read once.
    #[must_use]
    pub fn snapshot(&self) -> StatsSnapshot {
        let read = |counter: &AtomicU64| counter.load(Relaxed);
        StatsSnapshot {
            commands: self.commands.snapshot(),
            errors: self.errors.each_ref().map(read),
            accepted: read(&self.accepted),
            rejected: self.rejected.each_ref().map(read),
            connected: read(&self.connected),
            bytes_in: read(&self.bytes_in),
            bytes_out: read(&self.bytes_out),
            protocol_errors: read(&self.protocol_errors),
            reloads_ok: read(&self.reloads_ok),
            reloads_failed: read(&self.reloads_failed),
            actor_restarts: read(&self.actor_restarts),
            escalations: read(&self.escalations),
        }
    }
}

/// Counts one connection as connected until it is dropped, however its task ends.
#[derive(Debug)]
pub struct Connected {
    stats: Arc<Stats>,
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.stats.connected.fetch_sub(1, Relaxed);
    }
}

/// The counters at one moment.
#[derive(Debug, Clone, Default)]
pub struct StatsSnapshot {
    /// Commands that were run or refused.
    pub commands: CommandsSnapshot,
    errors: [u64; ERROR_CODES.len() + 1],
    rejected: [u64; Rejection::ALL.len()],
    /// Connections accepted.
    pub accepted: u64,
    /// Connections open now.
    pub connected: u64,
    /// Bytes read from clients.
    pub bytes_in: u64,
    /// Bytes written to clients.
    pub bytes_out: u64,
    /// Clients cut off for not speaking the protocol.
    pub protocol_errors: u64,
    /// Reloads of the configuration that were applied.
    pub reloads_ok: u64,
    /// Reloads of the configuration that were refused.
    pub reloads_failed: u64,
    /// Restarts of actors.
    pub actor_restarts: u64,
    /// Supervisors that gave up.
    pub escalations: u64,
}

impl StatsSnapshot {
    /// Each known error code, and [`OTHER_CODE`], with its replies.
    pub fn errors(&self) -> impl Iterator<Item = (&'static str, u64)> {
        ERROR_CODES.into_iter().chain([OTHER_CODE]).zip(self.errors.iter().copied())
    }

    /// Error replies of all codes.
    #[must_use]
    pub fn errors_total(&self) -> u64 {
        self.errors.iter().sum()
    }

    /// Each reason with the connections turned away for it.
    pub fn rejections(&self) -> impl Iterator<Item = (Rejection, u64)> {
        Rejection::ALL.into_iter().zip(self.rejected.iter().copied())
    }

    /// Connections turned away for any reason.
    #[must_use]
    pub fn rejected_total(&self) -> u64 {
        self.rejected.iter().sum()
    }
}

#[cfg(test)]
mod tests;
