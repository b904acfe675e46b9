//! Reading one value: GET, STRLEN, GETDEL, GETEX.

use seawall_actors::cache::store::Event;

use super::expiry_option::Unit;
use crate::resp::args::Args;
use crate::resp::keyspace::Keyspace;
use crate::resp::refusal::Refusal;
use crate::resp::reply::Reply;

/// GET key
pub fn get(ks: &mut Keyspace<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let key = ks.first(args);
    reply.bulk_or_null(ks.get(key));
    Ok(())
}

/// STRLEN key
pub fn strlen(
    ks: &mut Keyspace<'_>,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    let key = ks.first(args);
    reply.count(ks.get(key).map_or(0, <[u8]>::len));
    Ok(())
}

/// GETDEL key
pub fn getdel(
    ks: &mut Keyspace<'_>,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    let key = ks.first(args);
    reply.bulk_or_null(ks.get(key));
    if ks.remove(key) {
        ks.note(Event::DEL, key);
    }
    Ok(())
}

/// GETEX key [EX|PX|EXAT|PXAT time | PERSIST]
///
/// An absent key answers null before the time is looked at, as in Redis.
pub fn getex(ks: &mut Keyspace<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let change = parse_change(args)?;
    let key = ks.first(args);
    let Some(value) = ks.get(key) else {
        reply.null();
        return Ok(());
    };
    reply.bulk(value);
    match change {
        Change::None => {}
        Change::Persist => {
            if ks.peek(key).is_some_and(|entry| entry.expires_at.is_some()) {
                ks.expire_at(key, None);
                ks.note(Event::PERSIST, key);
            }
        }
        Change::Expire(unit, time) => {
            let at = unit.read(args.get(time), &ks.scope, "getex")?;
            ks.expire_at(key, Some(at));
            ks.note(if at <= ks.now() { Event::DEL } else { Event::EXPIRE }, key);
        }
    }
    Ok(())
}

/// What GETEX does to the expiry.
enum Change {
    None,
    Persist,
    /// The unit, and which argument holds the time.
    Expire(Unit, usize),
}

/// Redis lets the same option stand twice, and the last one counts.
fn parse_change(args: &Args<'_>) -> Result<Change, Refusal> {
    let mut change = Change::None;
    let mut i = 2;
    while i < args.len() {
        match (Unit::named(args, i), &change) {
            (Some(unit), Change::None) if i + 1 < args.len() => {
                change = Change::Expire(unit, i + 1);
                i += 1;
            }
            (Some(unit), Change::Expire(before, _)) if unit == *before && i + 1 < args.len() => {
                change = Change::Expire(unit, i + 1);
                i += 1;
            }
            (None, Change::None | Change::Persist) if args.is(i, "PERSIST") => {
                change = Change::Persist;
            }
            _ => return Err(Refusal::Syntax),
        }
        i += 1;
    }
    Ok(change)
}
