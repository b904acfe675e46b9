//! Which keys others have changed in Redis while our own writes of them may still wait. Pure.

use std::collections::{HashMap, HashSet};

use crate::clock::UnixMs;

/// Keys that are remembered. Beyond that all are forgotten, and our own writes win.
const MOST: usize = if cfg!(test) { 4 } else { 65_536 };

/// Keys, and when their change was heard of last.
#[derive(Debug, Default)]
pub(super) struct Heard {
    keys: HashMap<Box<[u8]>, UnixMs>,
    doubt: Doubt,
}

/// Whose change may have been our own: sent over a connection that is gone, executed late, and
/// announced like somebody else's.
#[derive(Debug)]
enum Doubt {
    /// Of these keys.
    Keys(HashSet<Box<[u8]>>),
    /// Of any.
    All,
}

impl Default for Doubt {
    fn default() -> Self {
        Self::Keys(HashSet::new())
    }
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

    /// Writes of these keys were sent, and nobody knows what became of them.
    pub fn doubt<'k>(&mut self, keys: impl Iterator<Item = &'k [u8]>) {
        let Doubt::Keys(doubted) = &mut self.doubt else { return };
        doubted.extend(keys.map(Box::from));
        if doubted.len() > MOST {
            self.doubt = Doubt::All;
        }
    }

    /// An earlier process may have sent anything.
    pub fn doubt_all(&mut self) {
        self.doubt = Doubt::All;
    }

    /// Whatever was sent before has been executed by now, or never will be: who is heard of from
    /// now on is somebody else.
    pub fn settle(&mut self) {
        match std::mem::take(&mut self.doubt) {
            Doubt::All => self.keys.clear(),
            Doubt::Keys(doubted) => {
                for key in doubted {
                    self.keys.remove(&key);
                }
            }
        }
    }

    /// Whether somebody else has changed the key since our own write of it was logged.
    pub fn is_newer(&self, key: &[u8], logged_ms: UnixMs) -> bool {
        let doubted = match &self.doubt {
            Doubt::All => true,
            Doubt::Keys(doubted) => doubted.contains(key),
        };
        !doubted && self.keys.get(key).is_some_and(|heard_ms| *heard_ms > logged_ms)
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
    fn what_may_have_been_our_own_is_nobody_elses() {
        let mut heard = Heard::default();
        heard.doubt([&b"k"[..]].into_iter());
        heard.note(b"k", 5);
        heard.note(b"other", 5);
        assert!(!heard.is_newer(b"k", 4));
        assert!(heard.is_newer(b"other", 4));
        heard.settle();
        assert!(!heard.is_newer(b"k", 4), "what was heard before is forgotten");
        assert!(heard.is_newer(b"other", 4));
        heard.note(b"k", 6);
        assert!(heard.is_newer(b"k", 4), "nothing of ours is under way any more");
        heard.doubt_all();
        assert!(!heard.is_newer(b"other", 4));
        heard.settle();
        assert!(!heard.is_newer(b"other", 4));
    }

    #[test]
    fn it_is_bounded() {
        let mut heard = Heard::default();
        (0..=MOST).for_each(|n| heard.note(&[u8::try_from(n).unwrap_or(255)], 1));
        assert_eq!(heard.keys.len(), 1);
        let keys: Vec<[u8; 1]> = (0..=MOST).map(|n| [u8::try_from(n).unwrap_or(255)]).collect();
        heard.doubt(keys.iter().map(|key| &key[..]));
        assert!(matches!(heard.doubt, Doubt::All));
    }
}
