//! Replies, as they came. Pure.

use super::frames;

/// Replies, as they came.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Replies {
    pub(super) bytes: Vec<u8>,
    pub(super) ends: Vec<usize>,
}

impl Replies {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Only the first so many.
    pub(super) fn truncate(&mut self, count: usize) {
        self.ends.truncate(count);
        self.bytes.truncate(self.ends.last().copied().unwrap_or(0));
    }

    /// Without the first.
    pub(super) fn rest(mut self) -> Self {
        if !self.ends.is_empty() {
            let first = self.ends.remove(0);
            self.bytes.drain(..first);
            self.ends.iter_mut().for_each(|end| *end -= first);
        }
        self
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| self.bytes.get(start..*end).unwrap_or_default())
    }
}

/// Code and text of a reply that is an error.
#[must_use]
pub fn error_of(reply: &[u8]) -> Option<(&str, &str)> {
    frames::error(reply)
}
