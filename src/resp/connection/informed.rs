//! Commands over several shards, on a database that has a tier.

use std::time::Duration;

use seawall_actors::cache::store::Key;
use seawall_actors::clock::UnixMs;

use crate::daemon::Daemon;
use crate::resp::args::Args;
use crate::resp::coordinator::{Borrowed, ShardSet};
use crate::resp::refusal::Refusal;
use crate::resp::round::{Questions, View, needed};
use crate::resp::table::Command;
use crate::tier::Tier;

/// The keys of a command that the tier has to tell about first: none on a database without one.
pub(super) fn keys<'a>(
    view: &View,
    command: &Command,
    args: &Args<'a>,
) -> impl Iterator<Item = Key<'a>> + use<'a> {
    let (hasher, args) = (view.hasher, *args);
    let tiered = view.near.is_some().then(|| needed(command, &args));
    tiered.into_iter().flatten().map(move |at| hasher.key(args.get(at)))
}

/// Borrows stores, once the tier has told what they lack about `keys`. Nobody's store is held
/// while it is asked.
///
/// # Errors
/// As [`Borrowed::take`].
pub(super) async fn borrow<'d>(
    daemon: &'d Daemon,
    recovery_wait: Duration,
    wanted: &ShardSet,
    view: &View,
    keys: &[Key<'_>],
) -> Result<(Borrowed<'d>, Questions), Refusal> {
    let shards = &daemon.shards;
    let mut questions = Questions::default();
    let tier = view.near.and_then(|_| daemon.tier.begun_with());
    let deadline = tier.as_deref().map(Tier::deadline);
    loop {
        let mut borrowed = Borrowed::take(shards, wanted, recovery_wait).await?;
        let (Some(near), Some(tier), Some(deadline)) = (view.near, &tier, deadline) else {
            return Ok((borrowed, questions));
        };
        let now = daemon.clock.unix_ms();
        for (shard, store) in borrowed.stores().iter_mut().enumerate() {
            if let Some(store) = store {
                questions.settle(store, near, now, |hash| shards.of(hash) == shard);
            }
        }
        // Told before it is read, or its first reader would be told that it has changed.
        borrowed.collect();
        for key in keys {
            if let Some(Some(store)) = borrowed.stores().get_mut(shards.of(key.hash)) {
                questions.note(*key, store, near, now);
            }
        }
        tier.refresh(questions.take_due());
        if !questions.are_open() {
            return Ok((borrowed, questions));
        }
        drop(borrowed);
        let answers = tier.fetch(questions.take(), deadline).await;
        questions.answer(answers);
    }
}

/// Whether a command may run with what is known about its keys.
///
/// # Errors
/// What is answered instead.
pub(super) fn judge(
    questions: &Questions,
    command: &Command,
    keys: &[Key<'_>],
    borrowed: &mut Borrowed<'_>,
    view: &View,
    now: UnixMs,
) -> Result<(), Refusal> {
    let Some(near) = view.near else { return Ok(()) };
    for key in keys {
        if let Some(store) = borrowed.store_of(key.hash) {
            questions.judge(command, *key, store, near, now)?;
        }
    }
    Ok(())
}
