//! INCR, DECR, INCRBY, DECRBY.

use seawall_actors::cache::store::{Event, Expiry};

use crate::resp::args::Args;
use crate::resp::integer;
use crate::resp::keyspace::Keyspace;
use crate::resp::refusal::Refusal;
use crate::resp::reply::Reply;

/// INCR key
pub fn incr(ks: &mut Keyspace<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    add(ks, args, reply, 1)
}

/// DECR key
pub fn decr(ks: &mut Keyspace<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    add(ks, args, reply, -1)
}

/// INCRBY key increment
pub fn incrby(
    ks: &mut Keyspace<'_>,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    add(ks, args, reply, integer::argument(args.get(2))?)
}

/// DECRBY key decrement
pub fn decrby(
    ks: &mut Keyspace<'_>,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    let by = integer::argument(args.get(2))?
        .checked_neg()
        .ok_or_else(|| Refusal::other("ERR decrement would overflow"))?;
    add(ks, args, reply, by)
}

fn add(
    ks: &mut Keyspace<'_>,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
    by: i64,
) -> Result<(), Refusal> {
    let key = ks.first(args);
    let (value, expiry) = match ks.peek(key) {
        Some(entry) => (integer::argument(entry.value)?, Expiry::Keep),
        None => (0, Expiry::Default),
    };
    let sum = value
        .checked_add(by)
        .ok_or_else(|| Refusal::other("ERR increment or decrement would overflow"))?;
    ks.set(key, itoa::Buffer::new().format(sum).as_bytes(), expiry)?;
    ks.note(Event::INCR_BY, key);
    reply.int(sum);
    Ok(())
}
