//! Which segments may stay in the system's page cache: the newest ones.
//!
//! Whoever follows the log reads its end, so the end stays. What is older is read by a start, by
//! the rebuild of a shard or by people, each once and from front to back, which disks are good at.
//! Left alone, a log fills all memory with pages that nobody wants, and every new page has to be
//! found elsewhere: that of a container's limit, or, in a virtual machine that hands its free memory
//! back, the host's, which takes longer than everything else the log does. Pages that are given
//! back are the ones that the next segment is written to.

use std::collections::VecDeque;
use std::path::PathBuf;

/// Full segments keep this many bytes of the page cache together.
const KEPT: u64 = if cfg!(test) { 16 << 10 } else { 64 << 20 };
/// More of them are not remembered, however small they are.
const KEPT_FILES: usize = 64;

/// The full segments that are still cached, the oldest first, with their lengths.
#[derive(Debug, Default)]
pub(super) struct Cached {
    segments: VecDeque<(PathBuf, u64)>,
    bytes: u64,
}

impl Cached {
    /// A segment of `bytes` bytes is full.
    pub(super) fn push(&mut self, path: PathBuf, bytes: u64) {
        self.segments.push_back((path, bytes));
        self.bytes += bytes;
    }

    /// Takes out a segment whose pages are to be given back, as long as there is one.
    pub(super) fn pop(&mut self) -> Option<PathBuf> {
        if self.bytes <= KEPT && self.segments.len() <= KEPT_FILES {
            return None;
        }
        let (path, bytes) = self.segments.pop_front()?;
        self.bytes -= bytes;
        Some(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(cached: &mut Cached) -> Vec<PathBuf> {
        std::iter::from_fn(|| cached.pop()).collect()
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many_bytes() {
        let mut cached = Cached::default();
        cached.push("a".into(), KEPT / 2);
        cached.push("b".into(), KEPT / 2);
        assert_eq!(cached.pop(), None);
        cached.push("c".into(), KEPT / 2 + 1);
        assert_eq!(drain(&mut cached), [PathBuf::from("a"), PathBuf::from("b")]);
        cached.push("d".into(), 10 * KEPT);
        assert_eq!(drain(&mut cached), [PathBuf::from("c"), PathBuf::from("d")]);
        assert_eq!(cached.bytes, 0);
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many_files() {
        let mut cached = Cached::default();
        for n in 0..KEPT_FILES + 3 {
            cached.push(n.to_string().into(), 1);
        }
        assert_eq!(drain(&mut cached), ["0", "1", "2"].map(PathBuf::from));
    }
}
