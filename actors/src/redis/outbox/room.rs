//! Deletions go ahead while Redis is full.
//!
//! A Redis that has reached its `maxmemory` refuses every transaction that writes, and with it the
//! deletions that would make room: those in it, for it is refused as a whole, and those further on
//! in the log. So they are sent before their turn. When it comes they are sent again, and what the
//! log has of a key is what it ends with.

use super::deletions::Deletions;
use super::pump::{Pump, Trouble, read};
use crate::wal::{Follower, Portion};

/// How much of the log is looked through at a time.
const PORTION: Portion = Portion { records: 50_000, bytes: 8 << 20 };

/// How Redis begins when it is full.
const FULL: &str = "OOM";

/// How far the log was looked through.
#[derive(Debug)]
pub(super) struct Room(Follower);

impl Pump {
    /// Sends deletions that come later in the log, if Redis refuses because it is full.
    pub async fn make_room(&mut self, why: &str) -> Result<(), Trouble> {
        if !why.starts_with(FULL) {
            return Ok(());
        }
        let follower = match self.room.take() {
            Some(Room(follower)) => follower,
            None => Follower::new(&self.args.tail.data, self.marked.unwrap_or(0)),
        };
        let (upto, found) = (self.settled(), Deletions::default());
        let (follower, found, read) = read(follower, upto, PORTION, found, |found, followed| {
            found.take(&followed.record, followed.expiry, followed.origin.wall_ms);
        })
        .await;
        // What is wrong with the log is told by whoever reads it in turn.
        if read.is_ok() {
            self.room = Some(Room(follower));
        }
        match self.delete(&found).await {
            Ok(0) => Ok(()),
            Ok(_) => {
                // There may be room at once.
                self.failures = 0;
                Ok(())
            }
            Err(trouble) => {
                // They are looked for once more.
                self.room = None;
                Err(trouble)
            }
        }
    }
}
