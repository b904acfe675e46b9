//! Commands over several shards, on a database that has a tier.

use std::time::{Duration, Instant};

use seawall_actors::cache::store::{Key, TIERED};
use seawall_actors::clock::UnixMs;

use crate::daemon::Daemon;
use crate::resp::args::Args;
use crate::resp::coordinator::{Borrowed, ShardSet};
use crate::resp::refusal::Refusal;
use crate::resp::round::{Need, Questions, View, needed, needed_from_elsewhere};
use crate::resp::table::Command;
use crate::tier::Tier;

/// A key that the tier has to tell about first, and what for.
pub(super) type Needed<'a> = (Key<'a>, Need);

/// The keys of a command that the tier has to tell about first: none without one.
pub(super) fn keys<'a>(
    view: &View,
    command: &Command,
    args: &Args<'a>,
) -> impl Iterator<Item = Needed<'a>> + use<'a> {
    let (hasher, args, need) = (view.hasher, *args, Need::of(command, args));
    let here = (view.near.is_some() && view.db == TIERED).then(|| needed(command, &args));
    let there =
        (view.near.is_some() && view.db != TIERED).then(|| needed_from_elsewhere(command, &args));
    let all = here.into_iter().flatten().chain(there.flatten());
    all.map(move |at| (hasher.key(args.get(at)), need))
}

/// Borrows stores, once the tier has told what they lack about `keys`. Nobody's store is held
/// while it is asked. What is known is so at the time that is returned: what runs then runs at it.
///
/// # Errors
/// As [`Borrowed::take`].
pub(super) async fn borrow<'d>(
    daemon: &'d Daemon,
    recovery_wait: Duration,
    wanted: &ShardSet,
    view: &View,
    keys: &[Needed<'_>],
) -> Result<(Borrowed<'d>, Questions, UnixMs), Refusal> {
    let shards = &daemon.shards;
    let mut questions = Questions::default();
    let tier = view.near.and_then(|_| daemon.tier.begun_with());
    let deadline = tier.as_deref().map(Tier::deadline);
    loop {
        let mut borrowed = Borrowed::take(shards, wanted, recovery_wait).await?;
        let now = daemon.clock.unix_ms();
        let (Some(near), Some(tier), Some(deadline)) = (view.near, &tier, deadline) else {
            return Ok((borrowed, questions, now));
        };
        for (shard, store) in borrowed.stores().iter_mut().enumerate() {
            if let Some(store) = store {
                questions.settle(store, near, now, |hash| shards.of(hash) == shard);
            }
        }
        // Told before it is read, or its first reader would be told that it has changed.
        borrowed.collect();
        for (key, need) in keys {
            if let Some(Some(store)) = borrowed.stores().get_mut(shards.of(key.hash)) {
                questions.note(*key, *need, store, near, now);
            }
        }
        tier.refresh(questions.take_due());
        if !questions.are_open() {
            return Ok((borrowed, questions, now));
        }
        drop(borrowed);
        let asked = Instant::now();
        let answers = tier.fetch(questions.take(), deadline).await;
        questions.answer(answers);
        questions.waited += asked.elapsed();
    }
}

/// Whether a write among the commands that need these keys builds upon one that Redis is changing
/// right now.
pub(super) fn meet_passage(
    keys: &[Needed<'_>],
    borrowed: &mut Borrowed<'_>,
    view: &View,
    now: UnixMs,
) -> bool {
    view.near.is_some_and(|near| near.reachable)
        && keys.iter().filter(|(_, need)| *need == Need::Write).any(|(key, _)| {
            borrowed.store_of(key.hash).is_some_and(|store| store.is_in_passage(key.hash, now))
        })
}

/// Whether a command may run with what is known about its keys. What has made room for others is put
/// back first, where that is possible.
///
/// # Errors
/// What is answered instead. [`Refusal::WrongType`] of a command on another database: the key that
/// it leads to is taken.
pub(super) fn judge(
    questions: &mut Questions,
    (command, args): (&Command, &Args<'_>),
    keys: &[Needed<'_>],
    borrowed: &mut Borrowed<'_>,
    view: &View,
    now: UnixMs,
) -> Result<(), Refusal> {
    let Some(near) = view.near else { return Ok(()) };
    let shards = borrowed.shards();
    for (shard, store) in borrowed.stores().iter_mut().enumerate() {
        if let Some(store) = store {
            let keys = keys.iter().map(|(key, _)| *key);
            let keys = keys.filter(|key| shards.of(key.hash) == shard);
            questions.gather(keys, store, near, now)?;
        }
    }
    for (key, _) in keys {
        if let Some(store) = borrowed.store_of(key.hash) {
            questions.judge((command, args), *key, store, near, now)?;
        }
    }
    Ok(())
}
