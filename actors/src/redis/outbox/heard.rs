//! Which keys others have changed in Redis while our own writes of them may still wait. Pure.

use std::collections::HashMap;

use crate::clock::UnixMs;

/// Keys that are remembered. Beyond that all are forgotten, and our own writes win.
const MOST: usize = if cfg!(test) { 4 } else { 65_536 };

/// Keys, and when their change was heard of last.
#[derive(Debug, Default)]
pub(super) struct Heard {
    keys: HashMap<Box<[u8]>, UnixMs>,
}

impl Heard {
    /// Somebody else has changed this key.
    pub fn note(&mut self, key: &[u8], wall_ms: UnixMs) {
        if let Some(at) = self.keys.get_mut(key) {
            *at = wall_ms;
            return;
        }
        if self.keys.len() >= MOST {
            self.keys.clear();
        }
        self.keys.insert(key.into(), wall_ms);
    }

    /// Whether somebody else has changed the key since our own write of it was logged.
    pub fn is_newer(&self, key: &[u8], logged_ms: UnixMs) -> bool {
        self.keys.get(key).is_some_and(|heard_ms| *heard_ms > logged_ms)
    }

    /// Nothing of ours waits any more.
    pub fn clear(&mut self) {
        self.keys.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_later_change_is_newer() {
        let mut heard = Heard::default();
        heard.note(b"k", 5);
        assert!(heard.is_newer(b"k", 4));
        assert!(!heard.is_newer(b"k", 5), "in doubt ours is");
        assert!(!heard.is_newer(b"other", 0));
        heard.note(b"k", 9);
        assert!(heard.is_newer(b"k", 8));
    }

    #[test]
    fn it_is_bounded() {
        let mut heard = Heard::default();
        (0..=MOST).for_each(|n| heard.note(&[u8::try_from(n).unwrap_or(255)], 1));
        assert_eq!(heard.keys.len(), 1);
    }
}
