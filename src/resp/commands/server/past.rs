//! SW.HISTORY, SW.RESTORE: what the log remembers, for people who want to undo something.

use seawall_actors::clock::UnixMs;
use seawall_actors::journal::Identity;
use seawall_actors::wal::history::{Change, Event, History};
use seawall_actors::wal::past::{Keys, Moment, Wanted};

use crate::resp::args::Args;
use crate::resp::backend::{AskHistory, AskRestore, Restored};
use crate::resp::integer;
use crate::resp::refusal::Refusal;
use crate::resp::reply::Reply;
use crate::resp::session::Session;
use crate::resp::table::BoxFuture;

/// Events that SW.HISTORY answers unless it is told another number, and at most.
const COUNT: usize = 10;
const MAX_COUNT: usize = 1000;

/// SW.HISTORY key [COUNT n] [BEFORE lsn]
pub(super) fn history<'a>(
    session: &'a mut Session,
    args: Args<'a>,
    reply: &'a mut Reply<'_>,
) -> BoxFuture<'a, Result<(), Refusal>> {
    Box::pin(async move {
        let (mut count, mut before) = (COUNT, None);
        let mut at = 2;
        while at < args.len() {
            let value = number(&args, at + 1)?;
            if args.is(at, "count") {
                count = usize::try_from(value)
                    .ok()
                    .filter(|count| (1..=MAX_COUNT).contains(count))
                    .ok_or_else(|| {
                        Refusal::other(format!("ERR COUNT must be between 1 and {MAX_COUNT}"))
                    })?;
            } else if args.is(at, "before") {
                before = Some(value);
            } else {
                return Err(Refusal::Syntax);
            }
            at += 2;
        }
        let asked = AskHistory { db: session.db, key: args.get(1).into(), count, before };
        tell(&session.daemon.history(asked).await?, reply);
        Ok(())
    })
}

fn tell(history: &History, reply: &mut Reply<'_>) {
    reply.map(3);
    field(reply, "reaches", |reply| whole(reply, history.reaches));
    field(reply, "complete", |reply| reply.int(i64::from(history.complete)));
    field(reply, "events", |reply| {
        reply.array(history.events.len());
        history.events.iter().for_each(|event| tell_event(event, reply));
    });
}

fn tell_event(event: &Event, reply: &mut Reply<'_>) {
    let more = match event.change {
        Change::Set { .. } => 2,
        Change::Expire { .. } | Change::Swap(_) => 1,
        Change::Delete | Change::Expired | Change::Flush | Change::Evict => 0,
    };
    reply.map(4 + more);
    field(reply, "lsn", |reply| whole(reply, event.lsn));
    field(reply, "time", |reply| whole(reply, event.wall_ms));
    let name = match event.change {
        Change::Set { .. } => "SET",
        Change::Delete => "DELETE",
        Change::Expired => "EXPIRED",
        Change::Expire { .. } => "EXPIRE",
        Change::Flush => "FLUSH",
        Change::Evict => "EVICT",
        Change::Swap(_) => "SWAPDB",
    };
    field(reply, "operation", |reply| reply.bulk(name.as_bytes()));
    match event.change {
        Change::Set { size, expires_at } => {
            field(reply, "size", |reply| reply.count(size));
            field(reply, "expires", |reply| time(reply, expires_at));
        }
        Change::Expire { expires_at } => field(reply, "expires", |reply| time(reply, expires_at)),
        Change::Swap(db) => field(reply, "with", |reply| reply.int(i64::from(db))),
        Change::Delete | Change::Expired | Change::Flush | Change::Evict => {}
    }
    field(reply, "client", |reply| match &event.author {
        None => reply.null(),
        Some(Identity { address, user, name }) => {
            reply.map(3);
            field(reply, "address", |reply| reply.bulk(address.as_bytes()));
            field(reply, "user", |reply| reply.bulk(user.as_bytes()));
            field(reply, "name", |reply| reply.bulk(name.as_bytes()));
        }
    });
}

/// SW.RESTORE key lsn, SW.RESTORE PREFIX prefix lsn, with TIME milliseconds in place of the LSN,
/// and NX behind all of it.
pub(super) fn restore<'a>(
    session: &'a mut Session,
    args: Args<'a>,
    reply: &'a mut Reply<'_>,
) -> BoxFuture<'a, Result<(), Refusal>> {
    Box::pin(async move {
        let asked = parse(&args, session.db)?;
        let author = std::sync::Arc::clone(&session.client().author);
        let restored = session.daemon.restore(asked, &author).await?;
        let Restored { lsn, found, restored, unchanged, kept, expired } = restored;
        reply.map(6);
        field(reply, "lsn", |reply| whole(reply, lsn));
        let counts = [
            ("found", found),
            ("restored", restored),
            ("unchanged", unchanged),
            ("kept", kept),
            ("expired", expired),
        ];
        for (name, count) in counts {
            field(reply, name, |reply| reply.count(count));
        }
        Ok(())
    })
}

fn parse(args: &Args<'_>, db: u8) -> Result<AskRestore, Refusal> {
    // With two words, the first is a key, whatever it is.
    let by_prefix = args.is(1, "prefix") && args.len() > 3;
    let (keys, mut at) = match by_prefix {
        true => (Keys::Prefix(args.get(2).into()), 3),
        false => (Keys::One(args.get(1).into()), 2),
    };
    let moment = if args.is(at, "time") {
        at += 1;
        Moment::Time(number(args, at)?)
    } else {
        Moment::Lsn(number(args, at)?)
    };
    at += 1;
    let only_missing = args.is(at, "nx");
    if args.len() != at + usize::from(only_missing) {
        return Err(Refusal::Syntax);
    }
    Ok(AskRestore { wanted: Wanted { db, keys, at: moment }, only_missing })
}

/// A number that is not negative.
fn number(args: &Args<'_>, at: usize) -> Result<u64, Refusal> {
    if at >= args.len() {
        return Err(Refusal::Syntax);
    }
    u64::try_from(integer::argument(args.get(at))?).map_err(|_| Refusal::NotAnInteger)
}

fn field(reply: &mut Reply<'_>, name: &str, value: impl FnOnce(&mut Reply<'_>)) {
    reply.bulk(name.as_bytes());
    value(reply);
}

fn whole(reply: &mut Reply<'_>, value: u64) {
    reply.int(i64::try_from(value).unwrap_or(i64::MAX));
}

/// A time, or nothing for never.
fn time(reply: &mut Reply<'_>, at: Option<UnixMs>) {
    match at {
        Some(at) => whole(reply, at),
        None => reply.null(),
    }
}
