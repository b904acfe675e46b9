//! Commands that Redis runs for the client.
//!
//! Their keys may have been written here: Redis must have those writes first. What they change
//! is dropped from memory before the client hears of it, and also if nobody knows whether they
//! were executed.

use std::sync::Arc;
use std::time::Duration;

use seawall_actors::cache::store::TIERED;
use seawall_actors::redis::{
    Dialect, Executed, Failure, Load, Near as _, Once, Outcome, Replies, Request, Target, Train,
    Unblock, Wait, error_of,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::{Closed, Connection};
use crate::daemon::Daemon;
use crate::resp::args::Args;
use crate::resp::coordinator::{Borrowed, ShardSet};
use crate::resp::movable::{Blocks, blocks, everywhere, keys_of};
use crate::resp::refusal::Refusal;
use crate::resp::reply::{Proto, Reply};
use crate::resp::round::{answer, is_known_to_redis};
use crate::resp::table::{Command, Flags, Run};
use crate::tier::{News, Tier};

/// How long after its deadline a command is over, whatever becomes of it.
const OVER_BY: Duration = Duration::from_secs(1);

/// A command and its arguments.
pub(super) type Item<'a> = (&'static Command, Args<'a>);

/// Where commands come from.
#[derive(Clone, Copy)]
pub(super) struct Passing<'d> {
    pub daemon: &'d Daemon,
    /// The selected database.
    pub db: u8,
    pub proto: Proto,
    /// How long a shard that is being rebuilt is waited for.
    pub recovery_wait: Duration,
    /// Bytes of a reply.
    pub most: usize,
}

/// What is ready to go.
struct Ready {
    tier: Arc<Tier>,
    bytes: Vec<u8>,
    /// One of the keys.
    key: Option<Box<[u8]>>,
    request: Request,
    changes: Changes,
    reads_only: bool,
}

/// What memory is told when it is over, however it ends.
struct Changes {
    news: Arc<News>,
    /// Keys that may have changed.
    keys: Vec<Box<[u8]>>,
    /// Those that nobody was to build upon meanwhile.
    held: Vec<Box<[u8]>>,
}

impl Drop for Changes {
    fn drop(&mut self) {
        let executed = !self.keys.is_empty();
        if executed {
            self.news.changed(std::mem::take(&mut self.keys));
        }
        if !self.held.is_empty() {
            self.news.passed(std::mem::take(&mut self.held), executed);
        }
    }
}

impl Passing<'_> {
    /// Has Redis run one command, and appends its reply. `asking` is what it has waited for Redis already.
    ///
    /// # Errors
    /// Why there is no reply, and whether the command may have been executed.
    pub async fn one(
        &self,
        item: Item<'_>,
        asking: Duration,
        reply: &mut Reply<'_>,
    ) -> Result<(), Refusal> {
        let deadline = self.deadline();
        self.one_by(item, deadline.checked_sub(asking).unwrap_or(deadline), reply).await
    }

    /// The same until then.
    ///
    /// # Errors
    /// As [`Passing::one`].
    pub async fn one_by(
        &self,
        item: Item<'_>,
        deadline: Instant,
        reply: &mut Reply<'_>,
    ) -> Result<(), Refusal> {
        let mut ready = self.prepare(&[item], b"", b"", deadline).await?;
        let (load, request, passage) = (self.load(&ready, 1), ready.request, &ready.tier.passage);
        let replies = match everywhere(item.0, &item.1) {
            Some(enough) => passage.pass_everywhere(load, request, enough).await,
            None => passage.pass(load, request).await,
        };
        reply.raw(self.last(item.0, ready.take(replies)?.iter()));
        Ok(())
    }

    /// Has Redis run several commands that are sent in one piece; what came of each.
    ///
    /// # Errors
    /// Why nothing was sent.
    pub async fn together(&self, items: &[Item<'_>]) -> Result<Train, Refusal> {
        let mut ready = self.prepare(items, b"", b"", self.deadline()).await?;
        let load = self.load(&ready, items.len());
        let train = ready.tier.passage.together(load, ready.request.deadline).await;
        if train.outcomes().take(items.len()).all(Outcome::is_unexecuted) {
            ready.changes.keys.clear();
        }
        Ok(train)
    }

    /// When the time of a command that begins now is over.
    fn deadline(&self) -> Instant {
        let timeout = self.daemon.tier.whole().map(|tier| tier.pool.settings().timeout);
        Instant::now() + timeout.unwrap_or_default()
    }

    /// The same for a command that waits in Redis, for as long as `wait` says.
    ///
    /// # Errors
    /// As [`Passing::one`].
    pub async fn waiting(&self, item: Item<'_>, wait: Wait) -> Result<Vec<u8>, Refusal> {
        let mut ready = self.prepare(&[item], b"", b"", self.deadline()).await?;
        let room = match ready.tier.passage.reserve() {
            Ok(room) => room,
            Err(failure) => return Err(ready.refuse(&failure)),
        };
        let replies = room.wait(self.load(&ready, 1), ready.request, wait).await;
        Ok(self.last(item.0, ready.take(replies)?.iter()).to_vec())
    }

    /// Has Redis run commands as one transaction, and appends the reply of its EXEC.
    ///
    /// # Errors
    /// As [`Passing::one`].
    pub async fn transaction(
        &self,
        items: &[Item<'_>],
        reply: &mut Reply<'_>,
    ) -> Result<(), Refusal> {
        const MULTI: &[u8] = b"*1\r\n$5\r\nMULTI\r\n";
        const EXEC: &[u8] = b"*1\r\n$4\r\nEXEC\r\n";
        let mut ready = self.prepare(items, MULTI, EXEC, self.deadline()).await?;
        let load = self.load(&ready, items.len() + 2);
        let replies = ready.tier.passage.pass(load, ready.request).await;
        let replies = ready.take(replies)?;
        let refused = replies.iter().take(items.len() + 1).find_map(error_of);
        match refused {
            // The client was told that it is queued: this is where it learns better.
            Some((code, text)) => Err(Refusal::other(format!(
                "EXECABORT Transaction discarded because of: {code} {text}"
            ))),
            None => {
                reply.raw(replies.iter().last().unwrap_or_default());
                Ok(())
            }
        }
    }

    fn load<'a>(&self, ready: &'a Ready, count: usize) -> Load<'a> {
        let dialect = match self.proto {
            Proto::V2 => Dialect::Resp2,
            Proto::V3 => Dialect::Resp3,
        };
        let to = ready.key.as_deref().map_or(Target::Any, Target::Key);
        Load { bytes: &ready.bytes, count, to, dialect, most: self.most }
    }

    /// The last reply; an error is counted.
    fn last<'r>(&self, command: &Command, replies: impl Iterator<Item = &'r [u8]>) -> &'r [u8] {
        self.noted(command, replies.last().unwrap_or_default())
    }

    /// A reply; an error is counted.
    pub fn noted<'r>(&self, command: &Command, reply: &'r [u8]) -> &'r [u8] {
        if let Some((code, _)) = error_of(reply) {
            self.daemon.stats.failed(command, code);
        }
        reply
    }

    /// Encodes the commands, and waits until Redis has what was written to their keys.
    async fn prepare(
        &self,
        items: &[Item<'_>],
        head: &[u8],
        tail: &[u8],
        deadline: Instant,
    ) -> Result<Ready, Refusal> {
        let name = items.first().map_or("", |(command, _)| command.name);
        let tier = self.daemon.tier.whole().filter(|_| self.db == TIERED);
        let Some(tier) = tier else {
            return Err(needs_tier(name, self.daemon.tier.is_whole()));
        };
        let (mut bytes, mut keys, mut changed) = (head.to_vec(), Vec::new(), Vec::new());
        let mut held: Vec<Box<[u8]>> = Vec::new();
        for (command, args) in items {
            encode(args, &mut bytes);
            let known = keys.len();
            keys.extend(keys_of(command, args).map(|at| args.get(at)));
            if !command.flags.has(Flags::READONLY) {
                let fresh = keys.iter().skip(known).copied();
                changed.extend(fresh.clone().map(Box::from));
                // Nobody is held up by what may wait for ever.
                if blocks(command, args) == Blocks::No {
                    held.extend(fresh.map(Box::from));
                }
            }
        }
        bytes.extend_from_slice(tail);
        let reads_only = items.iter().all(|(command, _)| command.flags.has(Flags::READONLY));
        let once = if reads_only { Once::OrMore } else { Once::AtMost };
        let news = Arc::clone(&tier.news);
        let mut changes = Changes { news, keys: Vec::new(), held: Vec::new() };
        self.in_step(&tier, &keys, held, &mut changes, deadline).await?;
        if !self.daemon.tier.is_whole() {
            // Its shards may have let go of it, and not have said what Redis still lacks.
            return Err(needs_tier(name, false));
        }
        changes.keys = changed;
        let key = keys.first().map(|key| Box::from(*key));
        let request = Request { deadline, once };
        Ok(Ready { tier, bytes, key, request, changes, reads_only })
    }

    /// Waits until Redis has what was written to these keys. From now on nothing is built upon what
    /// memory has of those in `held`, until `changes` ends.
    async fn in_step(
        &self,
        tier: &Tier,
        keys: &[&[u8]],
        held: Vec<Box<[u8]>>,
        changes: &mut Changes,
        deadline: Instant,
    ) -> Result<(), Refusal> {
        if keys.is_empty() {
            return Ok(());
        }
        let shards = &self.daemon.shards;
        let keys: Vec<_> = keys.iter().map(|key| shards.hasher().key(key)).collect();
        let mut wanted = ShardSet::none(shards.len());
        keys.iter().for_each(|key| wanted.add(shards.of(key.hash)));
        let mut after = 0;
        {
            let mut borrowed = Borrowed::take(shards, &wanted, self.recovery_wait).await?;
            for key in keys {
                if let Some(store) = borrowed.store_of(key.hash) {
                    after = store.ticket(key).after.max(after);
                }
            }
            let now = self.daemon.clock.unix_ms();
            let left = deadline.saturating_duration_since(Instant::now()) + OVER_BY;
            let until = now.saturating_add(u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
            for key in &held {
                let hash = shards.hasher().hash(key);
                if let Some(store) = borrowed.store_of(hash) {
                    store.begin_passage(hash, until, now);
                }
            }
            changes.held = held;
        }
        let mut acknowledged = tier.news.follow();
        match timeout_at(deadline, acknowledged.wait_for(|lsn| *lsn >= after)).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(Refusal::other(
                "TIERDOWN not applied: Redis lacks writes to these keys that wait in the log; try \
                 again",
            )),
        }
    }
}

impl Ready {
    /// The replies, or what is said in their place.
    fn take(&mut self, replies: Result<Replies, Failure>) -> Result<Replies, Refusal> {
        replies.map_err(|failure| self.refuse(&failure))
    }

    fn refuse(&mut self, failure: &Failure) -> Refusal {
        if failure.executed == Executed::No {
            self.changes.keys.clear();
        }
        refusal(failure, self.reads_only)
    }
}

/// What is said in place of a reply.
pub(super) fn refusal(failure: &Failure, reads_only: bool) -> Refusal {
    let outcome = match failure.executed {
        _ if reads_only => "no answer",
        Executed::No => "not applied",
        Executed::Unknown => "outcome unknown",
    };
    Refusal::other(format!("TIERDOWN {outcome}: {failure}"))
}

/// As clients send it: an array of bulk strings.
fn encode(args: &Args<'_>, out: &mut Vec<u8>) {
    let mut reply = Reply::new(out, Proto::V2);
    reply.array(args.len());
    args.from(0).for_each(|arg| reply.bulk(arg));
}

/// Why a command that Redis would have to run can't be.
#[cold]
fn needs_tier(name: &str, elsewhere: bool) -> Refusal {
    Refusal::other(if elsewhere {
        format!("ERR '{name}' is run by Redis, which only database 0 has behind it: SELECT 0 first")
    } else {
        format!("ERR '{name}' needs a Redis tier: set redis.url")
    })
}

/// Refuses what would change the connection to Redis for whoever uses it next: the debugger of
/// scripts takes one over.
///
/// # Errors
/// What to do instead.
pub(super) fn check_passable(command: &Command, args: &Args<'_>) -> Result<(), Refusal> {
    if command.name == "script" && args.is(1, "debug") {
        return Err(Refusal::other(
            "ERR SCRIPT DEBUG is not passed on: connections to Redis are shared; debug with a \
             client of Redis' own",
        ));
    }
    Ok(())
}

/// Whether a command may be queued behind others: Redis runs all of a transaction or nothing.
///
/// # Errors
/// Why not.
pub(super) fn check_together<'a>(
    queued: impl Iterator<Item = Item<'a>>,
    last: Item<'a>,
    watches: bool,
) -> Result<(), Refusal> {
    let (mut theirs_by, mut ours_by) = (None, None);
    for (command, args) in std::iter::once(last).chain(queued) {
        let theirs = matches!(command.run, Run::NeedsTier);
        let ours = !theirs && !is_known_to_redis(command, &args);
        theirs_by = theirs_by.or(theirs.then_some(command.name));
        ours_by = ours_by.or(ours.then_some(command.name));
    }
    match (theirs_by, ours_by) {
        (Some(theirs), Some(ours)) => Err(Refusal::other(format!(
            "ERR '{theirs}' is run by Redis and '{ours}' is not: no transaction can hold both"
        ))),
        (Some(theirs), None) if watches => Err(Refusal::other(format!(
            "ERR '{theirs}' is run by Redis, where nothing is watched: no transaction after WATCH \
             can hold it"
        ))),
        _ => Ok(()),
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    /// The way to Redis for commands of this connection.
    pub(super) fn passing<'d>(&self, daemon: &'d Daemon) -> Passing<'d> {
        Passing {
            daemon,
            db: self.session.db,
            proto: self.session.proto,
            recovery_wait: self.bounds.recovery_wait,
            most: self.bounds.output_buffer,
        }
    }

    /// Runs a command that waits in Redis, unless the client leaves. What was owed before is
    /// written meanwhile, and what it sends is kept.
    pub(super) async fn run_blocking(
        &mut self,
        item: Item<'_>,
        blocks: Blocks,
    ) -> Result<(), Closed> {
        let daemon = std::sync::Arc::clone(&self.daemon);
        let (passing, client) = (self.passing(&daemon), self.session.client().clone());
        self.tally.command(item.0);
        let tier = daemon.tier.whole();
        let grace = tier.as_ref().map_or(Duration::ZERO, |t| t.pool.settings().timeout);
        let until = match blocks {
            Blocks::No => Some(Instant::now() + grace),
            // Too far ahead to be told from never.
            Blocks::For(ms) => Instant::now().checked_add(Duration::from_millis(ms) + grace),
            Blocks::Forever => None,
        };
        let (speak, word) = watch::channel(None);
        client.note_blocked(Some(speak));
        self.session.note_round(item.0, self.daemon.life.steady_ms());
        self.note_buffers();
        let draining = self.draining.clone();
        let answered = {
            let answer = passing.waiting(item, Wait { until, word: Some(word) });
            let drained = async {
                if let Some(mut draining) = draining {
                    let _ = draining.wait_for(|on| *on).await;
                    client.unblock(Unblock::Timeout);
                    tokio::time::sleep(grace).await;
                } else {
                    std::future::pending::<()>().await;
                }
            };
            // Redis answers as if the time were over; if it does not, the end of the links is the end.
            let left = async {
                match &tier {
                    Some(tier) => tier.left().await,
                    None => std::future::pending().await,
                }
                client.unblock(Unblock::Timeout);
                std::future::pending::<()>().await;
            };
            let most = self.bounds.query_buffer;
            tokio::select! {
                biased;
                answered = answer => Ok(answered),
                () = client.killed() => Err(Closed::Killed),
                () = self.wire.ended(&mut self.early, most) => Err(Closed::Left),
                () = drained => Err(Closed::Draining),
                () = left => Err(Closed::Left),
            }
        };
        client.note_blocked(None);
        let answered = answered?;
        if self.session.replies() {
            let mut reply = Reply::new(self.wire.out(), self.session.proto);
            match answered {
                Ok(bytes) => reply.raw(&bytes),
                Err(refusal) => {
                    let code = answer(&refusal, &mut reply);
                    self.daemon.stats.failed(item.0, code.as_str());
                }
            }
        }
        self.session.command_done();
        self.follow_tracking(Some(item.0));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::table;

    #[test]
    fn a_transaction_is_run_by_redis_or_here() {
        let check = |names: &str, watches| {
            let mut queue: Vec<Item<'_>> = Vec::new();
            names.split(' ').try_for_each(|name| {
                let command = table::find(name.as_bytes()).expect(name);
                let item = (command, Args::new(b"", &[]));
                check_together(queue.iter().copied(), item, watches)?;
                queue.push(item);
                Ok::<_, Refusal>(())
            })
        };
        for fine in ["set get", "hset expire del", "set hset", "ping get keys", "eval get"] {
            assert_eq!(check(fine, false), Ok(()), "{fine}");
        }
        for wrong in ["hset ping", "keys hset", "hset move", "sw.get hset", "select lpush"] {
            if wrong.split(' ').all(|name| table::find(name.as_bytes()).is_some()) {
                assert!(check(wrong, false).is_err(), "{wrong}");
            }
        }
        assert!(check("hset", true).is_err());
        assert_eq!(check("set", true), Ok(()));
    }
}
