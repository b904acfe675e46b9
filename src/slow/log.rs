//! SLOWLOG: the newest commands that somebody waited long for.

use std::collections::VecDeque;
use std::time::Duration;

use seawall_actors::clock::UnixMs;

use super::{Lap, Waiter};
use crate::resp::args::Args;

/// Arguments kept of one command, Redis' number.
const MAX_ARGS: usize = 32;
/// Bytes kept of one argument, Redis' number.
const MAX_BYTES: usize = 128;

/// One slow command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Counts up from the start of the daemon; never used twice.
    pub id: u64,
    /// When it had ended.
    pub at: UnixMs,
    /// From its bytes being decoded to its reply being ready to send.
    pub took: Duration,
    /// The command, shortened and without passwords.
    pub args: Vec<Vec<u8>>,
    /// The client's address.
    pub addr: String,
    /// The client's name.
    pub name: String,
}

/// The newest entries.
#[derive(Debug, Default)]
pub struct SlowLog {
    entries: VecDeque<Entry>,
    next_id: u64,
}

impl SlowLog {
    /// Adds an entry; the oldest give way to keep at most `max`.
    pub fn push(&mut self, max: usize, lap: Lap, args: &Args<'_>, waiter: Waiter<'_>, now: UnixMs) {
        self.entries.truncate(max.saturating_sub(1));
        if max > 0 {
            self.entries.push_front(Entry {
                id: self.next_id,
                at: now,
                took: lap.took,
                args: shorten(args, lap.others),
                addr: waiter.addr.to_owned(),
                name: waiter.name.to_owned(),
            });
        }
        self.next_id += 1;
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The newest `count`, the newest first.
    #[must_use]
    pub fn newest(&self, count: usize) -> Vec<Entry> {
        self.entries.iter().take(count).cloned().collect()
    }

    /// Forgets all entries. Ids go on.
    pub fn clear(&mut self) {
        self.entries.clear();
    }
}

fn shorten(args: &Args<'_>, others: usize) -> Vec<Vec<u8>> {
    let kept = if args.len() > MAX_ARGS { MAX_ARGS - 1 } else { args.len() };
    let secret = first_secret(args);
    let mut short: Vec<Vec<u8>> = (0..kept)
        .map(|i| if i >= secret { b"(redacted)".to_vec() } else { shorten_one(args.get(i)) })
        .collect();
    if kept < args.len() {
        short.push(format!("... ({} more arguments)", args.len() - kept).into_bytes());
    }
    if others > 0 {
        short.push(format!("... ({others} more commands of its pipeline)").into_bytes());
    }
    short
}

fn shorten_one(arg: &[u8]) -> Vec<u8> {
    let mut short = arg.get(..MAX_BYTES).unwrap_or(arg).to_vec();
    if arg.len() > MAX_BYTES {
        short.extend_from_slice(format!("... ({} more bytes)", arg.len() - MAX_BYTES).as_bytes());
    }
    short
}

/// From which argument on a password may stand there.
fn first_secret(args: &Args<'_>) -> usize {
    match () {
        () if args.is(0, "auth") || args.is(0, "hello") || args.is(0, "migrate") => 1,
        () if args.is(0, "config") && args.is(1, "set") => 3,
        () => usize::MAX,
    }
}
