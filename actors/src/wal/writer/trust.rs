//! Whether the disk may have the log: a pure machine, times and outcomes are handed in.
//!
//! One failed sync is survived by a new segment. [`FAILURES`] of them within [`WINDOW`] say that
//! the disk is bad: from then on the log stays read-only, however well the next write may go, and
//! only a small file of its own is tried, at growing intervals. [`PROOFS`] such probes in a row
//! win the trust back. The failures are not forgotten by that: the next one within the window
//! costs the trust again, at once.
//!
//! A full disk is no bad disk: a sync that fails for want of space does not count.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::wal::fs::{Filesystem, LogFile};

/// So many failed syncs ...
pub(in crate::wal) const FAILURES: usize = 3;
/// ... within this time cost the trust.
pub(in crate::wal) const WINDOW: Duration = Duration::from_secs(60);
/// So many probes in a row, each written, synced and read back, win it again.
pub(in crate::wal) const PROOFS: u32 = 3;
/// Before the first probe, and between two that went well.
pub(in crate::wal) const PROBE_SOON: Duration = Duration::from_secs(1);
/// Every probe that fails doubles the time to the next one, up to this.
pub(in crate::wal) const PROBE_LATE: Duration = Duration::from_secs(30);

/// What the log thinks of the disk. It begins with trust.
#[derive(Debug, Default)]
pub(super) struct Trust {
    /// When the last syncs failed; at most [`FAILURES`].
    failures: VecDeque<Instant>,
    lost: Option<Probing>,
}

/// The way back.
#[derive(Debug)]
struct Probing {
    /// When to probe next.
    at: Instant,
    pause: Duration,
    proofs: u32,
}

impl Trust {
    /// A sync has failed. Returns whether that has cost the trust.
    pub(super) fn sync_failed(&mut self, now: Instant) -> bool {
        if self.failures.len() == FAILURES {
            self.failures.pop_front();
        }
        self.failures.push_back(now);
        let first = self.failures.front().copied().unwrap_or(now);
        let many = self.failures.len() == FAILURES;
        if self.is_lost() || !many || now.saturating_duration_since(first) > WINDOW {
            return false;
        }
        self.lost = Some(Probing { at: now + PROBE_SOON, pause: PROBE_SOON, proofs: 0 });
        true
    }

    /// Whether the log must not be written.
    pub(super) fn is_lost(&self) -> bool {
        self.lost.is_some()
    }

    /// When the next probe is due; `None` while there is trust.
    pub(super) fn probe_at(&self) -> Option<Instant> {
        self.lost.as_ref().map(|probing| probing.at)
    }

    /// How a probe went. Returns whether it has won the trust back.
    pub(super) fn probed(&mut self, well: bool, now: Instant) -> bool {
        let Some(probing) = &mut self.lost else { return false };
        if well {
            probing.proofs += 1;
            probing.pause = PROBE_SOON;
        } else {
            probing.proofs = 0;
            probing.pause = (probing.pause * 2).min(PROBE_LATE);
        }
        probing.at = now + probing.pause;
        let won = probing.proofs >= PROOFS;
        if won {
            self.lost = None;
        }
        won
    }
}

/// The probe's name: no segment's. A crash may leave it; the next probe removes it.
const PROBE: &str = "probe.tmp";
const PROBE_LEN: usize = 64 << 10;

/// Asks of the disk what the log asks of it: a new file, written, synced, its directory synced,
/// and opened again it holds what was written. `salt` makes every probe's content another.
pub(super) fn probe<F: Filesystem>(fs: &F, dir: &Path, salt: u64) -> io::Result<()> {
    let path = dir.join(PROBE);
    fs.remove(&path)?;
    let content: Vec<u8> = (salt..).flat_map(u64::to_le_bytes).take(PROBE_LEN).collect();
    let outcome = write_and_read(fs, dir, &path, &content);
    // Whatever came of it: its bytes are not wanted.
    let removed = fs.remove(&path);
    outcome.and(removed)
}

fn write_and_read<F: Filesystem>(
    fs: &F,
    dir: &Path,
    path: &Path,
    content: &[u8],
) -> io::Result<()> {
    let file = fs.create(path)?;
    file.write_at(content, 0)?;
    file.sync()?;
    fs.sync_dir(dir)?;
    drop(file);
    let file = fs.open(path, false)?;
    let mut found = vec![0; content.len()];
    let mut have = 0;
    while let Some(rest) = found.get_mut(have..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, have as u64) {
            Ok(0) => break,
            Ok(n) => have += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    if have < content.len() || found != content {
        return Err(io::Error::other("what was written and synced is not what is read back"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
