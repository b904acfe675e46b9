//! Consecutive commands of a pipeline that Redis runs: they go there in one piece, and the replies come
//! back in their order.
//!
//! What Redis did not answer, or refused because it can't now, goes again, one by one, where nobody
//! can tell the difference: it surely was not executed, or only reads, and nothing that was executed
//! behind it has to do with it.

use std::pin::Pin;
use std::sync::Arc;

use seawall_actors::redis::{Executed, Outcome};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::passage::Item;
use super::{Closed, Connection};
use crate::resp::args::Args;
use crate::resp::movable::{everywhere, is_script, keys_of};
use crate::resp::reply::Reply;
use crate::resp::round::{Input, View, answer};
use crate::resp::table::Flags;
use crate::tier::Tier;

/// Most commands that go together: Redis keeps their replies while they are not taken.
const COMMANDS: usize = 64;
/// Bytes of arguments that go together. A single command may have more.
const BYTES: usize = 64 << 10;

/// The commands that wait for others to go with.
#[derive(Debug, Default)]
pub(super) struct Platform {
    /// Indexes into the round.
    requests: Vec<usize>,
    bytes: usize,
}

impl Platform {
    fn has_room_for(&self, bytes: usize) -> bool {
        self.requests.len() < COMMANDS && self.bytes.saturating_add(bytes) <= BYTES
    }
}

fn size(args: &Args<'_>) -> usize {
    args.from(0).map(<[u8]>::len).sum()
}

fn first_key<'a>((command, args): &Item<'a>) -> Option<&'a [u8]> {
    keys_of(command, args).next().map(|at| args.get(at))
}

/// Whether the order of two commands makes a difference to anybody.
fn commute(one: &Item<'_>, other: &Item<'_>) -> bool {
    let reads = |item: &Item<'_>| item.0.flags.has(Flags::READONLY);
    if reads(one) && reads(other) {
        return true;
    }
    // What one does that names no key, or may touch others, is about all of them.
    let about_all = |item: &Item<'_>| is_script(item.0) || first_key(item).is_none();
    let keys = |item: &Item<'_>| -> Vec<Box<[u8]>> {
        keys_of(item.0, &item.1).map(|at| item.1.get(at).into()).collect()
    };
    if about_all(one) || about_all(other) {
        return false;
    }
    let theirs = keys(other);
    keys(one).iter().all(|key| !theirs.contains(key))
}

/// Whether number `at` may go again behind those that came after it.
fn may_follow(items: &[Item<'_>], outcomes: &[Outcome<'_>], at: usize) -> bool {
    let (Some(item), Some(Outcome::Failed(failure))) = (items.get(at), outcomes.get(at)) else {
        return false;
    };
    let harmless = failure.executed == Executed::No || item.0.flags.has(Flags::READONLY);
    let mut later = items.iter().zip(outcomes).skip(at + 1);
    harmless && later.all(|(other, came)| came.is_unexecuted() || commute(item, other))
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    /// Has a command wait for others to go with; those that it can't go with go first.
    pub(super) async fn board(
        &mut self,
        input: &Arc<Input>,
        index: usize,
        item: Item<'_>,
        view: &View,
    ) -> Result<(), Closed> {
        let bytes = size(&item.1);
        let last = self.platform.requests.last().and_then(|at| input.requests.get(*at));
        let last = last.and_then(|request| Some((request.command?, input.args(request))));
        let fits = last.is_none_or(|last| {
            let spreads = |item: &Item<'_>| everywhere(item.0, &item.1).is_some();
            let same_way = |tier: Arc<Tier>| {
                let passage = &tier.passage;
                let alone = passage.is_to_many() && (spreads(&last) || spreads(&item));
                !alone && passage.fits_together(first_key(&last), first_key(&item))
            };
            self.platform.has_room_for(bytes) && self.daemon.tier.whole().is_some_and(same_way)
        });
        if !fits {
            self.run_train(input, view).await?;
        }
        self.platform.requests.push(index);
        self.platform.bytes += bytes;
        Ok(())
    }

    /// Has Redis run the commands that wait, and appends their replies.
    pub(super) async fn run_train(
        &mut self,
        input: &Arc<Input>,
        view: &View,
    ) -> Result<(), Closed> {
        if self.platform.requests.is_empty() {
            return Ok(());
        }
        // On the heap: a connection's task is no larger for what most never do.
        let departs: Pin<Box<dyn Future<Output = _> + Send + '_>> =
            Box::pin(self.depart(input, view));
        departs.await
    }

    async fn depart(&mut self, input: &Arc<Input>, view: &View) -> Result<(), Closed> {
        let requests = std::mem::take(&mut self.platform).requests;
        let waiting = requests.iter().filter_map(|at| input.requests.get(*at));
        let waiting: Vec<_> =
            waiting.filter_map(|request| Some((request, request.command?))).collect();
        match waiting.as_slice() {
            [] => return Ok(()),
            [(request, command)] => {
                return self.run_alone(command, request, input.args(request), view).await;
            }
            _ => {}
        }
        let items: Vec<Item<'_>> =
            waiting.iter().map(|(request, command)| (*command, input.args(request))).collect();
        items.iter().for_each(|(command, _)| self.tally.command(command));
        let daemon = Arc::clone(&self.daemon);
        let passing = self.passing(&daemon);
        let train = passing.together(&items).await;
        let outcomes: Vec<Outcome<'_>> = match &train {
            Ok(train) => train.outcomes().take(items.len()).collect(),
            Err(_) => Vec::new(),
        };
        for (at, item) in items.iter().enumerate() {
            let mut out = std::mem::take(self.wire.out());
            let mut reply = Reply::new(&mut out, self.session.proto);
            let done = match (&train, outcomes.get(at)) {
                (Ok(_), Some(Outcome::Reply(bytes))) => {
                    reply.raw(passing.noted(item.0, bytes));
                    Ok(())
                }
                (Ok(train), Some(Outcome::Failed(failure))) => {
                    let in_time = Instant::now() < train.deadline;
                    if in_time && may_follow(&items, &outcomes, at) {
                        passing.one_by(*item, train.deadline, &mut reply).await
                    } else {
                        let reads_only = item.0.flags.has(Flags::READONLY);
                        Err(super::passage::refusal(failure, reads_only))
                    }
                }
                (Err(refusal), _) => Err(refusal.clone()),
                (Ok(_), None) => Ok(()),
            };
            if let Err(refusal) = done {
                let code = answer(&refusal, &mut reply);
                daemon.stats.failed(item.0, code.as_str());
            }
            *self.wire.out() = out;
            if self.wire.owed() > self.bounds.output_buffer {
                self.relieve().await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use seawall_actors::redis::{Failure, FailureKind};

    use super::*;
    use crate::resp::args::Span;
    use crate::resp::table::find;

    fn items<R>(lines: &[&str], look: impl FnOnce(&[Item<'_>]) -> R) -> R {
        let parts: Vec<(&[u8], Vec<Span>)> = lines
            .iter()
            .map(|line| {
                let mut spans: Vec<Span> = Vec::new();
                for word in line.split(' ') {
                    let start = spans.last().map_or(0, |last| last.start + last.len + 1);
                    spans.push(Span { start, len: u32::try_from(word.len()).expect("short") });
                }
                (line.as_bytes(), spans)
            })
            .collect();
        let args = parts.iter().map(|(line, spans)| Args::new(line, spans));
        let items: Vec<Item<'_>> =
            args.map(|args| (find(args.get(0)).expect("a command"), args)).collect();
        look(&items)
    }

    #[test]
    fn only_what_nobody_can_tell_the_order_of_goes_again() {
        let no = Failure::before(FailureKind::Loading, "LOADING");
        let unknown = Failure::after(FailureKind::Broken, "it broke");
        let (done, no, unknown) =
            (Outcome::Reply(b"+OK\r\n"), Outcome::Failed(&no), Outcome::Failed(&unknown));
        for (lines, outcomes, wanted) in [
            (["lpush a 1", "lpush a 2"], [no, no], true),
            (["lpush a 1", "lpush a 2"], [no, done], false),
            (["lpush a 1", "lpush a 2"], [no, unknown], false),
            (["lpush a 1", "lpush b 2"], [no, done], true),
            (["lpush a 1", "llen a"], [no, done], false),
            (["lpush a 1", "lpush a 2"], [unknown, no], false),
            (["llen a", "lrange a 0 1"], [unknown, unknown], true),
            (["llen a", "lpush a 1"], [unknown, unknown], false),
            (["llen a", "lpush b 1"], [unknown, unknown], true),
            (["llen a", "lpush a 1"], [done, unknown], false),
            (["lpush a 1", "eval s 1 b"], [no, done], false),
            (["sort a by w_*", "hset w_1 f v"], [no, done], false),
            (["lpush a 1", "function flush"], [no, done], false),
            (["zunionstore d 2 a b", "sadd b x"], [no, done], false),
        ] {
            let may = items(&lines, |items| may_follow(items, &outcomes, 0));
            assert_eq!(may, wanted, "{lines:?} {outcomes:?}");
        }
    }
}
