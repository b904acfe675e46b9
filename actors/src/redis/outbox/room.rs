//! Deletions go ahead while Redis is full.
//!
//! A Redis that has reached its `maxmemory` refuses every transaction that writes, and with it the
//! deletions that would make room: those in it, for it is refused as a whole, and those further on
//! in the log. So they are sent before their turn. When it comes they are sent again, and what the
//! log has of a key is what it ends with.

use std::collections::HashMap;

use super::batch::DB;
use super::pump::{Pump, Trouble, read};
use super::send::Rules;
use crate::clock::UnixMs;
use crate::journal::Record;
use crate::wal::{Followed, Follower, Portion};

/// How much of the log is looked through at a time.
const PORTION: Portion = Portion { records: 50_000, bytes: 8 << 20 };

/// How Redis begins when it is full.
const FULL: &str = "OOM";

/// Keys that a part of the log leaves deleted, and when that was logged. Pure.
#[derive(Debug, Default)]
pub(super) struct Deletions {
    /// Everything goes before them.
    flushes: bool,
    keys: HashMap<Box<[u8]>, UnixMs>,
}

impl Deletions {
    fn take(&mut self, followed: &Followed<'_>) {
        match followed.record {
            Record::Set { db: DB, key, .. } => {
                self.keys.remove(key);
            }
            // Redis has the time itself.
            Record::Delete { db: DB, .. } if followed.expiry => {}
            Record::Delete { db: DB, key } => {
                self.keys.insert(key.into(), followed.origin.wall_ms);
            }
            Record::Flush { db } if db.is_none_or(|db| db == DB) => {
                self.keys.clear();
                self.flushes = true;
            }
            _ => {}
        }
    }
}

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
        let (follower, found, read) = read(follower, upto, PORTION, found, Deletions::take).await;
        // What is wrong with the log is told by whoever reads it in turn.
        if read.is_ok() {
            self.room = Some(Room(follower));
        }
        let mut commands = self.begin();
        let mut bytes = 0;
        if found.flushes {
            commands.cmd("FLUSHDB").arg("ASYNC");
        }
        let mut count = u64::from(found.flushes);
        {
            let heard = self.args.gate.heard();
            let now = self.args.clock.unix_ms();
            let rules = Rules {
                conflict: self.args.settings.borrow().conflict,
                away_until_ms: self.away_until_ms.unwrap_or(now),
                heard: &heard,
                now,
                cluster: false,
            };
            for (key, _) in found.keys.iter().filter(|(key, at)| rules.deletes(key, **at)) {
                bytes += key.len();
                count += 1;
                commands.cmd("UNLINK").arg(&**key);
            }
        }
        if count == 0 {
            return Ok(());
        }
        if let Err(trouble) = self.execute(commands, bytes).await {
            // They are looked for once more.
            self.room = None;
            return Err(trouble);
        }
        // There may be room at once.
        self.failures = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wal::Origin;

    fn found(records: &[(Record<'_>, bool)]) -> (bool, Vec<(Vec<u8>, UnixMs)>) {
        let mut found = Deletions::default();
        for ((record, expiry), at) in records.iter().zip(1..) {
            let origin = Origin { lsn: at, wall_ms: at };
            found.take(&Followed { origin, record: *record, expiry: *expiry });
        }
        let mut keys: Vec<_> = found.keys.iter().map(|(key, at)| (key.to_vec(), *at)).collect();
        keys.sort();
        (found.flushes, keys)
    }

    #[test]
    fn what_is_deleted_in_the_end_goes_ahead() {
        let set = |key| (Record::Set { db: 0, key, value: b"v", expires_at: None }, false);
        let delete = |key| (Record::Delete { db: 0, key }, false);
        let records = [
            set(b"a"),
            delete(b"a"),
            delete(b"b"),
            set(b"b"),
            (Record::Delete { db: 0, key: b"expired" }, true),
            (Record::Delete { db: 1, key: b"elsewhere" }, false),
            (Record::Evict { db: 0, key: b"evicted" }, false),
        ];
        assert_eq!(found(&records), (false, vec![(b"a".to_vec(), 2)]));
    }

    #[test]
    fn a_flush_makes_the_deletions_before_it_needless() {
        let records = [
            (Record::Delete { db: 0, key: b"a" }, false),
            (Record::Flush { db: Some(0) }, false),
            (Record::Delete { db: 0, key: b"b" }, false),
            (Record::Flush { db: Some(1) }, false),
        ];
        assert_eq!(found(&records), (true, vec![(b"b".to_vec(), 3)]));
    }
}
