//! Values whose time had passed when it was their turn to be sent, while the log goes on. Pure.
//!
//! They are not sent: nothing expired is to come back. But a record further on may say that their
//! time was prolonged before it was over, and such a record has no value in it. For the same reason
//! what Redis has already is given a *lease* where only its time has come: it goes when the log has
//! nothing more to say, or, after a crash, with the lease.

use std::collections::{HashMap, HashSet};

/// Bytes of keys and values that are kept.
const MOST: usize = if cfg!(test) { 64 } else { 64 << 20 };

/// Keys on lease that are kept.
const LEASES: usize = 100_000;
/// How long a lease lasts, milliseconds.
pub(super) const LEASE_MS: u64 = 60_000;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Lapsed {
    values: HashMap<Box<[u8]>, Box<[u8]>>,
    bytes: usize,
    overflown: bool,
    /// Keys that are to go. One that has no room goes with its lease.
    leased: HashSet<Box<[u8]>>,
}

impl Lapsed {
    /// The value of this key was not sent.
    pub fn keep(&mut self, key: &[u8], value: &[u8]) {
        self.take(key);
        let bytes = key.len() + value.len();
        if self.bytes + bytes > MOST {
            self.overflown = true;
            return;
        }
        self.bytes += bytes;
        self.values.insert(key.into(), value.into());
    }

    /// Redis has a value of this key on lease.
    pub fn lease(&mut self, key: &[u8]) {
        if self.leased.len() < LEASES {
            self.leased.insert(key.into());
        }
    }

    /// Keys on lease, once.
    pub fn ended(&mut self) -> HashSet<Box<[u8]>> {
        std::mem::take(&mut self.leased)
    }

    /// The key has another value now, or is prolonged: its value, if it was not sent.
    pub fn take(&mut self, key: &[u8]) -> Option<Box<[u8]>> {
        self.leased.remove(key);
        let value = self.values.remove(key)?;
        self.bytes -= key.len() + value.len();
        Some(value)
    }

    /// The log has nothing more to say about them. Whether some had no room.
    pub fn end(&mut self) -> bool {
        std::mem::take(self).overflown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded_and_says_when_it_was_full() {
        let mut lapsed = Lapsed::default();
        for _ in 0..10 {
            lapsed.keep(b"k", &[1; 30]);
        }
        assert!(!lapsed.end(), "one key takes its room once");
        lapsed.keep(b"a", &[1; 40]);
        lapsed.keep(b"b", &[1; 40]);
        assert_eq!((lapsed.take(b"a").map(|v| v.len()), lapsed.take(b"b")), (Some(40), None));
        assert!(lapsed.end());
        assert!(!lapsed.end());
    }
}
