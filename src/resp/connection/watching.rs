//! WATCH and UNWATCH: which keys must not change before EXEC.

use std::time::Duration;

use seawall_actors::cache::store::{Key, Standing, TIERED};
use tokio::io::{AsyncRead, AsyncWrite};

use super::Connection;
use super::informed::{self, Needed};
use super::single::loading_dataset;
use crate::daemon::Daemon;
use crate::resp::args::Args;
use crate::resp::coordinator::{Borrowed, ShardSet};
use crate::resp::refusal::Refusal;
use crate::resp::reply::Reply;
use crate::resp::round::{Need, View};
use crate::resp::transaction::Watched;

/// Most keys that one connection may watch.
const MAX_WATCHED: usize = 10_000;

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    pub(super) async fn watch(
        &mut self,
        args: &Args<'_>,
        reply: &mut Reply<'_>,
    ) -> Result<(), Refusal> {
        if self.transaction.is_open() {
            reply.error("ERR WATCH inside MULTI is not allowed");
            return Ok(());
        }
        if self.daemon.loading.is_on() {
            // Redis watches what is being loaded; here there is no store yet to watch in.
            return Err(loading_dataset());
        }
        let (db, hasher) = (self.session.db, self.daemon.shards.hasher());
        let mut wanted = ShardSet::none(self.daemon.shards.len());
        let mut fresh: Vec<Watched> = Vec::new();
        for key in args.from(1) {
            let known = self.transaction.watches(db, key) || fresh.iter().any(|w| *w.key == *key);
            if !known {
                let hash = hasher.hash(key);
                wanted.add(self.daemon.shards.of(hash));
                fresh.push(Watched { db, key: key.into(), hash });
            }
        }
        if self.transaction.watched().len() + fresh.len() > MAX_WATCHED {
            return Err(Refusal::other("ERR too many watched keys on this connection"));
        }
        if !fresh.is_empty() {
            let daemon = std::sync::Arc::clone(&self.daemon);
            let (mut borrowed, now) =
                known(&daemon, self.bounds.recovery_wait, &self.view(), &wanted, &fresh).await?;
            for watched in fresh {
                let shard = daemon.shards.of(watched.hash);
                if let Some(Some(store)) = borrowed.stores().get_mut(shard) {
                    let key = Key { bytes: &watched.key, hash: watched.hash };
                    store.watch(db, key, self.transaction.flag(), now)?;
                    self.transaction.add_watch(watched);
                }
            }
            borrowed.collect();
            // What expired on the way is logged; nobody's reply depends on it.
            let _ = borrowed.finish().await;
        }
        reply.ok();
        Ok(())
    }

    /// Ends every watch, in the stores too.
    pub(super) async fn end_watches(&mut self) {
        if self.transaction.watched().is_empty() {
            return;
        }
        let flag = std::sync::Arc::clone(self.transaction.flag());
        let watched = self.transaction.unwatch();
        let shards = &self.daemon.shards;
        let mut wanted = ShardSet::none(shards.len());
        watched.iter().for_each(|w| wanted.add(shards.of(w.hash)));
        // A shard that can't be reached drops the flag later: nobody else holds it by then.
        if let Ok(mut borrowed) = Borrowed::take(shards, &wanted, Duration::ZERO).await {
            for w in &watched {
                if let Some(Some(store)) = borrowed.stores().get_mut(shards.of(w.hash)) {
                    store.unwatch(w.db, Key { bytes: &w.key, hash: w.hash }, &flag);
                }
            }
        }
    }

    /// Whether a watched key has changed, or Redis is changing it. Looking each up finds those that
    /// expired unnoticed.
    pub(super) fn is_stale(&self, borrowed: &mut Borrowed<'_>, now: u64) -> bool {
        for w in self.transaction.watched() {
            let shard = self.daemon.shards.of(w.hash);
            if let Some(Some(store)) = borrowed.stores().get_mut(shard) {
                store.exists(w.db, Key { bytes: &w.key, hash: w.hash }, now);
                if w.db == TIERED && store.is_in_passage(w.hash, now) {
                    return true;
                }
            }
        }
        self.transaction.is_stale()
    }
}

/// Borrows stores in which keys are as they are now, so that whatever is told of them from now on
/// is a change: the tier is asked for those that memory can't answer for, and has said before what
/// had become of them.
async fn known<'d>(
    daemon: &'d Daemon,
    wait: Duration,
    view: &View,
    wanted: &ShardSet,
    keys: &[Watched],
) -> Result<(Borrowed<'d>, u64), Refusal> {
    let keys: Vec<Needed<'_>> =
        keys.iter().map(|w| (Key { bytes: &w.key, hash: w.hash }, Need::Together)).collect();
    let tier = view.near.filter(|near| near.reachable).and_then(|_| daemon.tier.begun_with());
    if let Some(tier) = tier {
        let mut borrowed = Borrowed::take(&daemon.shards, wanted, wait).await?;
        let now = daemon.clock.unix_ms();
        let unknown: Vec<&[u8]> = keys
            .iter()
            .filter(|(key, _)| {
                borrowed.store_of(key.hash).is_some_and(|store| {
                    matches!(store.standing(*key, now), Standing::Missing | Standing::Suspect)
                })
            })
            .map(|(key, _)| key.bytes)
            .collect();
        if unknown.is_empty() {
            return Ok((borrowed, now));
        }
        drop(borrowed);
        tier.hear_out(unknown.into_iter()).await;
    }
    let (borrowed, _, now) = informed::borrow(daemon, wait, wanted, view, &keys).await?;
    Ok((borrowed, now))
}
