//! Memory and Redis compared, key by key, where the log cannot tell what Redis lacks.
//!
//! It goes through what *memory* holds, and asks Redis for each key. What only Redis has is left
//! alone: it holds more than memory by design, so that nothing follows from it. That a key was
//! deleted says the log alone, or what was kept of it when it was let go. Writes that come
//! meanwhile are sent behind it, from the LSN on at which it was begun.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use redis::{Pipeline, Value};
use tracing::info;

use super::Conflict;
use super::gate::{OutboxState, add};
use super::pump::{Pump, Trouble, Turn, because, read};
use super::start::Why;
use crate::clock::UnixMs;
use crate::journal::Lsn;
use crate::wal::{Follower, Portion};

/// Times that are this close are the same: what memory has from Redis, it has as a time to live.
const CLOSE_MS: u64 = 1_000;
/// How much of the log is looked through at a time for what was deleted.
const SINCE: Portion = Portion { records: 50_000, bytes: 8 << 20 };
/// A line so often says how far it is.
const SAY_EVERY: Duration = Duration::from_secs(2);

/// Where a walk through memory stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    /// The shard.
    pub shard: usize,
    /// Its own cursor; 0 at first.
    pub cursor: u64,
}

/// An entry of the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Its key.
    pub key: Box<[u8]>,
    /// Its value.
    pub value: Box<[u8]>,
    /// When it expires, Unix milliseconds; `None`: never.
    pub expires_at: Option<UnixMs>,
    /// It was written here. If not, it is what Redis had when it was asked last.
    pub ours: bool,
}

/// A piece of what the cache holds.
#[derive(Debug, Clone, Default)]
pub struct Piece {
    /// Entries of the database that Redis stands behind.
    pub entries: Vec<Held>,
    /// Where the next piece begins; `None`: this was the last.
    pub next: Option<Place>,
}

/// What the cache holds.
#[async_trait]
pub trait Memory: Send + Sync + 'static {
    /// The piece that begins there: some hundred entries, and no more than some megabytes unless
    /// one is larger. What is there from the first piece to the last is in one of them. MUST NOT
    /// block.
    ///
    /// # Errors
    /// Why there is none now; it is asked again later.
    async fn piece(&self, from: Place) -> Result<Piece, String>;
}

/// What Redis holds of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Theirs {
    Missing,
    /// No string.
    Other,
    Value(Vec<u8>, Option<UnixMs>),
}

/// What is done about a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Same,
    /// Redis gets what is here.
    Ours,
    /// What is here is dropped.
    Theirs,
}

fn close(a: Option<UnixMs>, b: Option<UnixMs>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a.abs_diff(b) <= CLOSE_MS,
        (a, b) => a == b,
    }
}

fn judge(ours: &Held, theirs: &Theirs, conflict: Conflict, other_data: bool) -> Verdict {
    match theirs {
        Theirs::Value(value, at) if **value == *ours.value && close(*at, ours.expires_at) => {
            Verdict::Same
        }
        // It never had it.
        Theirs::Missing if other_data => Verdict::Ours,
        // What was only read there is no newer than what is there now.
        _ if conflict == Conflict::Redis || !ours.ours => Verdict::Theirs,
        _ => Verdict::Ours,
    }
}

fn theirs(value: Option<Value>, expiry: Option<Value>) -> Theirs {
    match (value, expiry) {
        (Some(Value::BulkString(value)), Some(Value::Int(at))) => {
            Theirs::Value(value, UnixMs::try_from(at).ok())
        }
        (Some(Value::Nil), _) => Theirs::Missing,
        _ => Theirs::Other,
    }
}

impl Pump {
    /// Compares everything, and goes on from where the log was when it was begun, or behind what the
    /// other masters of a Cluster have.
    pub(super) async fn compare(&mut self, why: Why) -> Result<Turn, Trouble> {
        let (begun, from) = (Instant::now(), self.settled());
        self.say(OutboxState::Reconciling(because(why)));
        add(&self.args.gate.counts().reconciles, 1);
        self.followed = None;
        self.fence_off().await?;
        if why == Why::Swapped {
            let mut flush = self.begin();
            flush.cmd("FLUSHDB").arg("ASYNC");
            self.execute(flush, 0).await?;
        }
        let deleted = self.pay_debts(from).await?;
        let (mut next, mut said) = (Some(Place::default()), begun);
        let (mut looked, mut written, mut lost) = (0, 0, 0);
        while let Some(at) = next {
            let piece_begun = Instant::now();
            let piece = self.args.memory.piece(at).await.map_err(Trouble::Away)?;
            next = piece.next;
            let (ours, theirs) = self.settle(&piece.entries, why).await?;
            looked += piece.entries.len();
            written += ours;
            lost += theirs;
            if said.elapsed() >= SAY_EVERY || next.is_none() {
                said = Instant::now();
                info!(
                    path = "links/redis-outbox",
                    event = "reconciling",
                    keys = looked,
                    written,
                    given_way = lost,
                    deleted,
                    done = next.is_none(),
                    took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
                    "memory and Redis are compared"
                );
            }
            // Redis and the shards have others to serve: half of the time at most.
            tokio::time::sleep(piece_begun.elapsed().min(Duration::from_millis(50))).await;
        }
        // One master of a Cluster has lost its data: what the others lack, deletions above all, is in
        // the log behind what they have.
        let others = self.others_have.filter(|_| why == Why::NoMarker);
        self.mark(others.map_or(from, |others| others.min(from))).await?;
        let keeping = Arc::clone(&self.args.keeping);
        // A file that stays is passed over: it is older than the marker.
        let _ = tokio::task::spawn_blocking(move || keeping.pay()).await;
        Ok(Turn::Meet)
    }

    /// Deletes what was deleted in a part of the log that was let go, and since then up to `upto`:
    /// how many keys.
    async fn pay_debts(&mut self, upto: Lsn) -> Result<usize, Trouble> {
        let Some(debts) = self.args.keeping.debts() else { return Ok(0) };
        if debts.upto <= self.vouched.max(self.marked.unwrap_or(0)) {
            return Ok(0);
        }
        let mut gone = debts.gone.clone();
        let mut follower = Follower::new(&self.args.tail.data, debts.upto);
        while follower.position() < upto {
            let (back, found, done) = read(follower, upto, SINCE, gone, |gone, followed| {
                gone.take(&followed.record, followed.expiry, followed.origin.wall_ms);
            })
            .await;
            (follower, gone) = (back, found);
            // What is missing in the log is missing here.
            if done.is_err() {
                break;
            }
        }
        self.delete(&gone).await
    }

    /// Settles one piece: how many keys Redis was given, and how many gave way.
    async fn settle(&mut self, entries: &[Held], why: Why) -> Result<(u64, u64), Trouble> {
        let now = self.args.clock.unix_ms();
        let entries: Vec<&Held> =
            entries.iter().filter(|e| e.expires_at.is_none_or(|at| at > now)).collect();
        if entries.is_empty() {
            return Ok((0, 0));
        }
        let bytes = entries.iter().map(|e| e.key.len() + e.value.len()).sum();
        let mut asks = Pipeline::with_capacity(2 * entries.len());
        for entry in &entries {
            asks.cmd("GET").arg(&*entry.key).cmd("PEXPIRETIME").arg(&*entry.key);
        }
        let mut answers = self.pipe(&asks, bytes).await?.into_iter();
        let (conflict, other) = (self.args.settings.borrow().conflict, why.is_other_data());
        let (mut writes, mut lost) = (self.begin(), Vec::new());
        let mut ours = 0;
        for entry in entries {
            let theirs = theirs(answers.next(), answers.next());
            match judge(entry, &theirs, conflict, other) {
                Verdict::Same => {}
                Verdict::Ours => {
                    ours += 1;
                    writes.cmd("SET").arg(&*entry.key).arg(&*entry.value);
                    if let Some(at) = entry.expires_at {
                        writes.arg("PXAT").arg(at);
                    }
                }
                Verdict::Theirs => lost.push(entry.key.clone()),
            }
        }
        let given_way = lost.len() as u64;
        if ours > 0 {
            self.execute(writes, bytes).await?;
            add(&self.args.gate.counts().reconciled_keys, ours);
        }
        self.give_way(lost);
        Ok((ours, given_way))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Conflict; 3] = [Conflict::Local, Conflict::Newest, Conflict::Redis];

    fn ours() -> Held {
        Held { key: b"k"[..].into(), value: b"v"[..].into(), expires_at: Some(5), ours: true }
    }

    #[test]
    fn what_is_the_same_stays() {
        for conflict in ALL {
            for at in [5, 6, 5 + CLOSE_MS] {
                let same = Theirs::Value(b"v".to_vec(), Some(at));
                assert_eq!(judge(&ours(), &same, conflict, true), Verdict::Same);
            }
        }
    }

    #[test]
    fn what_differs_is_ours_unless_redis_is_to_win() {
        let others = [
            Theirs::Value(b"w".to_vec(), Some(5)),
            Theirs::Value(b"v".to_vec(), None),
            Theirs::Value(b"v".to_vec(), Some(7 + CLOSE_MS)),
            Theirs::Other,
        ];
        for theirs in others {
            for other_data in [true, false] {
                let verdicts = ALL.map(|conflict| judge(&ours(), &theirs, conflict, other_data));
                assert_eq!(verdicts, [Verdict::Ours, Verdict::Ours, Verdict::Theirs]);
            }
        }
    }

    #[test]
    fn what_a_redis_lost_it_gets_back_whoever_is_to_win() {
        let verdicts = ALL.map(|conflict| judge(&ours(), &Theirs::Missing, conflict, true));
        assert_eq!(verdicts, [Verdict::Ours; 3]);
        let verdicts = ALL.map(|conflict| judge(&ours(), &Theirs::Missing, conflict, false));
        assert_eq!(verdicts, [Verdict::Ours, Verdict::Ours, Verdict::Theirs]);
    }

    #[test]
    fn what_was_only_read_in_redis_overwrites_nothing_there() {
        let read = Held { ours: false, ..ours() };
        for theirs in [Theirs::Value(b"w".to_vec(), Some(5)), Theirs::Other] {
            for other_data in [true, false] {
                let verdicts = ALL.map(|conflict| judge(&read, &theirs, conflict, other_data));
                assert_eq!(verdicts, [Verdict::Theirs; 3]);
            }
        }
        let lost = |other_data| ALL.map(|c| judge(&read, &Theirs::Missing, c, other_data));
        assert_eq!(lost(true), [Verdict::Ours; 3], "a Redis that lost it gets it back");
        assert_eq!(lost(false), [Verdict::Theirs; 3], "somebody has deleted it");
    }

    #[test]
    fn answers_of_redis_are_read() {
        let value = || Some(Value::BulkString(b"v".to_vec()));
        assert_eq!(theirs(value(), Some(Value::Int(9))), Theirs::Value(b"v".to_vec(), Some(9)));
        assert_eq!(theirs(value(), Some(Value::Int(-1))), Theirs::Value(b"v".to_vec(), None));
        assert_eq!(theirs(Some(Value::Nil), Some(Value::Int(-2))), Theirs::Missing);
        assert_eq!(theirs(None, None), Theirs::Other);
    }
}
