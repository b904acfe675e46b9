//! What is counted of each command, by its id in the command table.
//!
//! A histogram is made when its command first runs, so that the memory follows what is used; its
//! counts are the calls. Families are sums over their commands, made when somebody asks.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use seawall_actors::metrics::{Histogram, HistogramSnapshot};

use crate::resp::commands;
use crate::resp::table::{Command, Family};

/// What one connection did in one round. Plain integers: a tally costs next to nothing to keep.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Round {
    /// Ids of commands with how often each ran. A round has few different ones, so looking
    /// through them is quicker than a place for every command would be to clear.
    commands: Vec<(u16, u32)>,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
}

impl Round {
    /// Counts one command.
    pub fn command(&mut self, command: &Command) {
        match self.commands.iter_mut().find(|(id, _)| *id == command.id) {
            Some((_, n)) => *n += 1,
            None => self.commands.push((command.id, 1)),
        }
    }

    /// Counts bytes read from the client and written to it.
    pub const fn transferred(&mut self, bytes_in: u64, bytes_out: u64) {
        self.bytes_in += bytes_in;
        self.bytes_out += bytes_out;
    }

    /// Ready for the next round; keeps its buffer.
    pub(super) fn clear(&mut self) {
        self.commands.clear();
        (self.bytes_in, self.bytes_out) = (0, 0);
    }
}

#[derive(Debug, Default)]
struct Counters {
    /// How long each call took; `None` before the first.
    latency: OnceLock<Histogram>,
    refused: AtomicU64,
    failed: AtomicU64,
}

/// Counters of every command in the table.
#[derive(Debug)]
pub(super) struct Commands(Box<[Counters]>);

impl Default for Commands {
    fn default() -> Self {
        Self(commands::all().map(|_| Counters::default()).collect())
    }
}

impl Commands {
    pub fn add(&self, round: &Round, took: Duration) {
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        for (id, n) in &round.commands {
            if let Some(counters) = self.0.get(usize::from(*id)) {
                counters.latency.get_or_init(Histogram::new).record_n(ns, u64::from(*n));
            }
        }
    }

    pub fn failed(&self, command: &Command) {
        if let Some(counters) = self.0.get(usize::from(command.id)) {
            counters.failed.fetch_add(1, Relaxed);
        }
    }

    pub fn refused(&self, command: &Command) {
        if let Some(counters) = self.0.get(usize::from(command.id)) {
            counters.refused.fetch_add(1, Relaxed);
        }
    }

    pub fn reset(&self) {
        for counters in &self.0 {
            if let Some(latency) = counters.latency.get() {
                latency.reset();
            }
            counters.refused.store(0, Relaxed);
            counters.failed.store(0, Relaxed);
        }
    }

    pub fn snapshot(&self) -> CommandsSnapshot {
        let read = |(command, counters): (&'static Command, &Counters)| CommandSnapshot {
            command,
            latency: counters.latency.get().map(Histogram::snapshot).unwrap_or_default(),
            refused: counters.refused.load(Relaxed),
            failed: counters.failed.load(Relaxed),
        };
        let used = |one: &CommandSnapshot| one.calls() > 0 || one.refused > 0 || one.failed > 0;
        CommandsSnapshot(commands::all().zip(&self.0).map(read).filter(used).collect())
    }
}

/// One command's counters at one moment.
#[derive(Debug, Clone)]
pub struct CommandSnapshot {
    /// The command.
    pub command: &'static Command,
    /// How long its calls waited, each from being decoded to its reply being ready.
    pub latency: HistogramSnapshot,
    /// Requests refused before they ran.
    pub refused: u64,
    /// Calls that answered an error.
    pub failed: u64,
}

impl CommandSnapshot {
    /// How often it ran.
    #[must_use]
    pub const fn calls(&self) -> u64 {
        self.latency.count()
    }
}

/// Every command that was run or refused, in the order of the table.
#[derive(Debug, Clone, Default)]
pub struct CommandsSnapshot(Vec<CommandSnapshot>);

impl CommandsSnapshot {
    /// One by one.
    pub fn iter(&self) -> std::slice::Iter<'_, CommandSnapshot> {
        self.0.iter()
    }

    /// One command, by its name in lower case; `None` if it was neither run nor refused.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&CommandSnapshot> {
        self.iter().find(|one| one.command.name == name)
    }

    /// Calls of all commands.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.iter().map(CommandSnapshot::calls).sum()
    }

    /// Each family with the durations of its commands' calls.
    pub fn families(&self) -> impl Iterator<Item = (Family, HistogramSnapshot)> {
        Family::ALL.into_iter().map(|family| {
            let mut sum = HistogramSnapshot::default();
            let members = self.iter().filter(|one| one.command.family == family);
            members.for_each(|one| sum.merge(&one.latency));
            (family, sum)
        })
    }
}
