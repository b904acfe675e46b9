//! What the tier tells the shards.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use seawall_actors::cache::store::{KeyHasher, Ticket};
use seawall_actors::cache::{Admitted, Backlog, Heard, ShardMsg, TierNews};
use seawall_actors::journal::Lsn;
use seawall_actors::redis::Near;
use tokio::sync::watch;

use super::question::{Answer, Found};
use crate::daemon::ShardHandle;

/// A shard that takes in values gives others their turn after so many bytes.
const TAKEN_AT_ONCE: usize = 64 * 1024;

/// The way to the shards. One that is down misses what it is told, and takes that for a gap.
#[derive(Debug)]
pub struct News {
    shards: Vec<ShardHandle>,
    backlogs: Vec<Arc<Backlog>>,
    hasher: KeyHasher,
    acknowledged: watch::Sender<Lsn>,
    overflows: AtomicU64,
}

impl News {
    /// News for these shards.
    #[must_use]
    pub fn new(shards: Vec<ShardHandle>, hasher: KeyHasher) -> Self {
        let backlogs = shards.iter().map(|_| Arc::default()).collect();
        let (acknowledged, overflows) = (watch::Sender::new(0), AtomicU64::new(0));
        Self { shards, backlogs, hasher, acknowledged, overflows }
    }

    /// How many shards there are.
    #[must_use]
    pub const fn shards(&self) -> usize {
        self.shards.len()
    }

    /// How often so many changes waited for a shard that they became a gap.
    #[must_use]
    pub fn overflows(&self) -> u64 {
        self.overflows.load(Relaxed)
    }

    /// Follows how far Redis is.
    #[must_use]
    pub fn follow(&self) -> watch::Receiver<Lsn> {
        self.acknowledged.subscribe()
    }

    /// How far Redis is.
    pub(super) fn reached(&self) -> Lsn {
        *self.acknowledged.borrow()
    }

    /// Answers that came when nobody waited any more: one message for each shard, or some if the values
    /// are long.
    pub(super) fn found(&self, answers: impl IntoIterator<Item = Answer>) {
        let mut shares: Vec<(Vec<Heard>, usize)> = Vec::new();
        shares.resize_with(self.shards.len(), Default::default);
        for Answer { key, hash, ticket, found } in answers {
            let found = match found {
                Found::Value { value, expires_at } => Some((value, expires_at)),
                Found::Absent | Found::Foreign => None,
                Found::Unknown(_) => continue,
            };
            let shard = KeyHasher::shard_of(hash, self.shards.len());
            let Some((share, bytes)) = shares.get_mut(shard) else { continue };
            *bytes += found.as_ref().map_or(0, |(value, _)| value.len());
            share.push(Heard { key, hash, ticket, found });
            if *bytes > TAKEN_AT_ONCE {
                *bytes = 0;
                self.tell(shard, TierNews::Heard(std::mem::take(share)));
            }
        }
        for (shard, (share, _)) in shares.into_iter().enumerate() {
            if !share.is_empty() {
                self.tell(shard, TierNews::Heard(share));
            }
        }
    }

    /// What every shard's keys need before the tier is asked about them, shard by shard; `None`
    /// for one that has no store, or does not say within `within`.
    pub(super) async fn tickets(&self, within: Duration) -> Vec<Option<Ticket>> {
        let mut tickets = Vec::with_capacity(self.shards.len());
        for shard in &self.shards {
            let ask = |reply| ShardMsg::Tier(TierNews::Asks(reply));
            tickets.push(shard.call(within, ask).await.ok());
        }
        tickets
    }

    /// What the tier holds for keys that no command asked for.
    pub(super) fn unasked(
        &self,
        found: impl IntoIterator<Item = (Box<[u8]>, Found)>,
        tickets: &[Option<Ticket>],
    ) {
        self.found(found.into_iter().filter_map(|(key, found)| {
            let hash = self.hasher.hash(&key);
            let shard = KeyHasher::shard_of(hash, self.shards.len());
            let ticket = (*tickets.get(shard)?)?;
            Some(Answer { key, hash, ticket, found })
        }));
    }

    /// Commands of Redis' on these keys are over, whether `executed` or surely not. Behind what they
    /// changed.
    pub fn passed(&self, keys: Vec<Box<[u8]>>, executed: bool) {
        for (index, share) in self.shares(keys).into_iter().enumerate() {
            if !share.is_empty() {
                self.tell(index, TierNews::Passed { keys: share, executed });
            }
        }
    }

    /// Keys with their hashes, shard by shard.
    fn shares(&self, keys: Vec<Box<[u8]>>) -> Vec<Vec<(Box<[u8]>, u64)>> {
        let mut shares: Vec<Vec<(Box<[u8]>, u64)>> = vec![Vec::new(); self.shards.len()];
        for key in keys {
            let hash = self.hasher.hash(&key);
            if let Some(share) = shares.get_mut(KeyHasher::shard_of(hash, self.shards.len())) {
                share.push((key, hash));
            }
        }
        shares
    }

    fn tell(&self, shard: usize, news: TierNews) {
        if let Some(shard) = self.shards.get(shard) {
            let _ = shard.cast(ShardMsg::Tier(news));
        }
    }
}

impl Near for News {
    fn acknowledged(&self, lsn: Lsn) {
        self.acknowledged.send_if_modified(|at| lsn > std::mem::replace(at, lsn.max(*at)));
    }

    fn changed(&self, keys: Vec<Box<[u8]>>) {
        let shards = self.shards.iter().zip(&self.backlogs).zip(self.shares(keys));
        for ((shard, backlog), share) in shards.filter(|(_, share)| !share.is_empty()) {
            let news = match backlog.admit(share.len()) {
                Admitted::Room(toll) => TierNews::Changed(share, toll),
                Admitted::TooMany(toll) => {
                    self.overflows.fetch_add(1, Relaxed);
                    TierNews::Gap(Some(toll))
                }
                Admitted::Covered => continue,
            };
            let _ = shard.cast(ShardMsg::Tier(news));
        }
    }

    fn flushed(&self) {
        // Each is asked for again before it is believed, and will be found absent.
        self.gap();
    }

    fn gap(&self) {
        for shard in &self.shards {
            let _ = shard.cast(ShardMsg::Tier(TierNews::Gap(None)));
        }
    }
}
