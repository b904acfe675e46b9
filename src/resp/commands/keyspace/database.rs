//! Whole databases: DBSIZE, FLUSHDB, FLUSHALL, SWAPDB.
//!
//! FLUSH and SWAPDB concern every shard and stand in the log once: the first store writes the
//! record, the others change muted.

use crate::resp::args::Args;
use crate::resp::integer;
use crate::resp::keyspace::Keyspace;
use crate::resp::refusal::Refusal;
use crate::resp::reply::Reply;

/// DBSIZE
pub fn dbsize(
    ks: &mut Keyspace<'_>,
    _args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    let db = ks.db();
    let keys: u64 = ks.stores().map(|store| store.len(db)).sum();
    reply.int(i64::try_from(keys).unwrap_or(i64::MAX));
    Ok(())
}

/// FLUSHDB [ASYNC|SYNC]
pub fn flushdb(
    ks: &mut Keyspace<'_>,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    let db = ks.db();
    flush(ks, args, reply, Some(db))
}

/// FLUSHALL [ASYNC|SYNC]
pub fn flushall(
    ks: &mut Keyspace<'_>,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    flush(ks, args, reply, None)
}

fn flush(
    ks: &mut Keyspace<'_>,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
    db: Option<u8>,
) -> Result<(), Refusal> {
    let known = args.len() == 1 || (args.len() == 2 && (args.is(1, "SYNC") || args.is(1, "ASYNC")));
    if !known {
        return Err(Refusal::Syntax);
    }
    let mut first = true;
    let garbage: Vec<_> = ks
        .stores()
        .map(|store| {
            if std::mem::take(&mut first) {
                store.flush(db)
            } else {
                store.muted(|store| store.flush(db))
            }
        })
        .collect();
    garbage.into_iter().for_each(|garbage| ks.discard(garbage));
    ks.note_flush();
    reply.ok();
    Ok(())
}

/// SWAPDB index1 index2
pub fn swapdb(
    ks: &mut Keyspace<'_>,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    let databases = ks.scope.databases;
    let number = |i: usize, text: &'static str| {
        integer::argument_i32(args.get(i)).map_err(|_| Refusal::other(text))
    };
    let first = number(1, "ERR invalid first DB index")?;
    let second = number(2, "ERR invalid second DB index")?;
    let existing =
        |db: i32| u8::try_from(db).ok().filter(|db| *db < databases).ok_or(Refusal::DbOutOfRange);
    let (a, b) = (existing(first)?, existing(second)?);
    let mut first = true;
    for store in ks.stores() {
        if std::mem::take(&mut first) {
            store.swap_db(a, b)?;
        } else {
            store.muted(|store| store.swap_db(a, b))?;
        }
    }
    ks.note_flush();
    reply.ok();
    Ok(())
}
