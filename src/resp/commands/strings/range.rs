//! Parts of a value: GETRANGE, SETRANGE, APPEND.

use seawall_actors::cache::store::Event;

use crate::resp::args::Args;
use crate::resp::integer;
use crate::resp::keyspace::{Keyspace, Scope};
use crate::resp::refusal::Refusal;
use crate::resp::reply::Reply;

/// Redis' `proto-max-bulk-len`: no value is longer, whatever `max_value` says.
const MAX_BULK: usize = 512 << 20;

/// GETRANGE key start end
pub fn getrange(
    ks: &mut Keyspace<'_>,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    let start = integer::argument(args.get(2))?;
    let end = integer::argument(args.get(3))?;
    let key = ks.first(args);
    let value = ks.get(key).unwrap_or_default();
    reply.bulk(part(value, start, end));
    Ok(())
}

/// The bytes from `start` to `end`, both included; negative ones count from the end.
fn part(value: &[u8], start: i64, end: i64) -> &[u8] {
    let len = i64::try_from(value.len()).unwrap_or(i64::MAX);
    if start < 0 && end < 0 && start > end {
        return &[];
    }
    let absolute = |index: i64| if index < 0 { (len + index).max(0) } else { index };
    let (start, end) = (absolute(start), absolute(end).min(len - 1));
    match (usize::try_from(start), usize::try_from(end)) {
        (Ok(start), Ok(end)) => value.get(start..=end).unwrap_or_default(),
        _ => &[],
    }
}

/// SETRANGE key offset value
pub fn setrange(
    ks: &mut Keyspace<'_>,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    let (key, bytes) = (ks.first(args), args.get(3));
    let offset = usize::try_from(integer::argument(args.get(2))?)
        .map_err(|_| Refusal::other("ERR offset is out of range"))?;
    let had = ks.peek(key).map_or(0, |entry| entry.value.len());
    if bytes.is_empty() {
        reply.count(had);
        return Ok(());
    }
    check_length(ks, had, offset.saturating_add(bytes.len()))?;
    let Scope { db, now, .. } = ks.scope;
    reply.count(ks.store(key).set_range(db, key, offset, bytes, now)?);
    ks.note(Event::SET_RANGE, key);
    Ok(())
}

/// APPEND key value
pub fn append(
    ks: &mut Keyspace<'_>,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    let (key, tail) = (ks.first(args), args.get(2));
    let had = ks.peek(key).map_or(0, |entry| entry.value.len());
    check_length(ks, had, had.saturating_add(tail.len()))?;
    let Scope { db, now, .. } = ks.scope;
    reply.count(ks.store(key).append(db, key, tail, now)?);
    ks.note(Event::APPEND, key);
    Ok(())
}

/// Checks the length that a value of `had` bytes has after a write up to byte `end`.
fn check_length(ks: &Keyspace<'_>, had: usize, end: usize) -> Result<(), Refusal> {
    if end > MAX_BULK {
        return Err(Refusal::other("ERR string exceeds maximum allowed size (proto-max-bulk-len)"));
    }
    // A value that is over a limit lowered since may still be changed, not grown.
    if end > had { ks.scope.limits.check_value(end) } else { Ok(()) }
}
