//! Writing one value: SET and its older relatives.

use seawall_actors::cache::store::{Event, Expiry, Key};

use super::expiry_option::Unit;
use crate::resp::args::Args;
use crate::resp::keyspace::Keyspace;
use crate::resp::refusal::Refusal;
use crate::resp::reply::Reply;

/// When SET writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    Always,
    Absent,
    Present,
    /// The current value equals this argument.
    Equals(usize),
}

/// What becomes of the expiry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lifetime {
    Default,
    Keep,
    /// The unit, and which argument holds the time.
    Given(Unit, usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Options {
    condition: Condition,
    lifetime: Lifetime,
    get: bool,
}

/// Options may come in any order; one may be repeated, except IFEQ, and the last one counts.
fn parse_options(args: &Args<'_>) -> Result<Options, Refusal> {
    let mut options =
        Options { condition: Condition::Always, lifetime: Lifetime::Default, get: false };
    let mut i = 3;
    while i < args.len() {
        let has_value = i + 1 < args.len();
        match (options.condition, options.lifetime) {
            (Condition::Always | Condition::Absent, _) if args.is(i, "NX") => {
                options.condition = Condition::Absent;
            }
            (Condition::Always | Condition::Present, _) if args.is(i, "XX") => {
                options.condition = Condition::Present;
            }
            (Condition::Always, _) if has_value && args.is(i, "IFEQ") => {
                i += 1;
                options.condition = Condition::Equals(i);
            }
            _ if args.is(i, "GET") => options.get = true,
            (_, Lifetime::Default | Lifetime::Keep) if args.is(i, "KEEPTTL") => {
                options.lifetime = Lifetime::Keep;
            }
            (_, before) if has_value => {
                let unit = Unit::named(args, i).ok_or(Refusal::Syntax)?;
                let fits = match before {
                    Lifetime::Default => true,
                    Lifetime::Keep => false,
                    Lifetime::Given(before, _) => before == unit,
                };
                if !fits {
                    return Err(Refusal::Syntax);
                }
                i += 1;
                options.lifetime = Lifetime::Given(unit, i);
            }
            _ => return Err(Refusal::Syntax),
        }
        i += 1;
    }
    Ok(options)
}

/// SET key value [options]
pub fn set(ks: &mut Keyspace<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let (key, value) = (ks.first(args), args.get(2));
    if args.len() == 3 {
        ks.scope.limits.check_value(value.len())?;
        ks.set(key, value, Expiry::Default)?;
        ks.note(Event::SET, key);
        reply.ok();
        return Ok(());
    }
    let options = parse_options(args)?;
    let expiry = match options.lifetime {
        Lifetime::Default => Expiry::Default,
        Lifetime::Keep => kept(ks, key),
        Lifetime::Given(unit, i) => Expiry::At(unit.read(args.get(i), &ks.scope, "set")?),
    };
    ks.scope.limits.check_value(value.len())?;
    if options.get {
        reply.bulk_or_null(ks.get(key));
    }
    let holds = match options.condition {
        Condition::Always => true,
        Condition::Absent => !ks.exists(key),
        Condition::Present => ks.exists(key),
        Condition::Equals(i) => ks.peek(key).is_some_and(|entry| entry.value == args.get(i)),
    };
    if holds {
        write(ks, key, value, expiry)?;
    }
    match (options.get, holds) {
        (true, _) => {}
        (false, true) => reply.ok(),
        (false, false) => reply.null(),
    }
    Ok(())
}

/// Writes and tells what Redis tells of it.
fn write(ks: &mut Keyspace<'_>, key: Key<'_>, value: &[u8], expiry: Expiry) -> Result<(), Refusal> {
    ks.set(key, value, expiry)?;
    ks.note(Event::SET, key);
    if let Expiry::At(at) = expiry {
        ks.note(Event::EXPIRE, key);
        if at <= ks.now() {
            ks.note(Event::EXPIRED, key);
        }
    }
    Ok(())
}

/// KEEPTTL on a key that is not there is a write without a TTL: the default one applies.
fn kept(ks: &mut Keyspace<'_>, key: Key<'_>) -> Expiry {
    if ks.exists(key) { Expiry::Keep } else { Expiry::Default }
}

/// SETNX key value
pub fn setnx(ks: &mut Keyspace<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let (key, value) = (ks.first(args), args.get(2));
    ks.scope.limits.check_value(value.len())?;
    let absent = !ks.exists(key);
    if absent {
        write(ks, key, value, Expiry::Default)?;
    }
    reply.int(i64::from(absent));
    Ok(())
}

/// SETEX key seconds value
pub fn setex(ks: &mut Keyspace<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    set_expiring(ks, args, reply, Unit::Seconds, "setex")
}

/// PSETEX key milliseconds value
pub fn psetex(
    ks: &mut Keyspace<'_>,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    set_expiring(ks, args, reply, Unit::Milliseconds, "psetex")
}

fn set_expiring(
    ks: &mut Keyspace<'_>,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
    unit: Unit,
    command: &'static str,
) -> Result<(), Refusal> {
    let (key, value) = (ks.first(args), args.get(3));
    let at = unit.read(args.get(2), &ks.scope, command)?;
    ks.scope.limits.check_value(value.len())?;
    write(ks, key, value, Expiry::At(at))?;
    reply.ok();
    Ok(())
}

/// GETSET key value
pub fn getset(
    ks: &mut Keyspace<'_>,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    let (key, value) = (ks.first(args), args.get(2));
    ks.scope.limits.check_value(value.len())?;
    reply.bulk_or_null(ks.get(key));
    write(ks, key, value, Expiry::Default)
}
