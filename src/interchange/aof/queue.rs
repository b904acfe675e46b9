//! The commands of a transaction whose EXEC has not come yet.

use super::replay::Wrong;
use crate::resp::args::{Args, Span};

/// Commands in order, one behind the other in memory.
#[derive(Debug, Default)]
pub(super) struct Queue {
    bytes: Vec<u8>,
    spans: Vec<Span>,
    /// Ends in `spans`, one per command.
    ends: Vec<usize>,
}

impl Queue {
    pub(super) fn push(&mut self, args: &Args<'_>) -> Result<(), Wrong> {
        for word in args.from(0) {
            let (Ok(start), Ok(len)) = (u32::try_from(self.bytes.len()), u32::try_from(word.len()))
            else {
                return Err(Wrong::new("a transaction of more than 4 GiB"));
            };
            self.bytes.extend_from_slice(word);
            self.spans.push(Span { start, len });
        }
        self.ends.push(self.spans.len());
        Ok(())
    }

    pub(super) fn len(&self) -> u64 {
        self.ends.len() as u64
    }

    pub(super) fn commands(&self) -> impl Iterator<Item = Args<'_>> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(from, &to)| Args::new(&self.bytes, &self.spans[from..to]))
    }
}
