//! Setting and removing expiries: EXPIRE, PEXPIRE, EXPIREAT, PEXPIREAT, PERSIST.

use seawall_actors::cache::store::Event;
use seawall_actors::clock::UnixMs;

use crate::resp::args::Args;
use crate::resp::integer;
use crate::resp::keyspace::Keyspace;
use crate::resp::refusal::Refusal;
use crate::resp::reply::Reply;

/// EXPIRE key seconds [options]
pub fn expire(
    ks: &mut Keyspace<'_>,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    change(ks, args, reply, "expire", 1000, true)
}

/// PEXPIRE key milliseconds [options]
pub fn pexpire(
    ks: &mut Keyspace<'_>,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    change(ks, args, reply, "pexpire", 1, true)
}

/// EXPIREAT key unix-seconds [options]
pub fn expireat(
    ks: &mut Keyspace<'_>,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    change(ks, args, reply, "expireat", 1000, false)
}

/// PEXPIREAT key unix-milliseconds [options]
pub fn pexpireat(
    ks: &mut Keyspace<'_>,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    change(ks, args, reply, "pexpireat", 1, false)
}

fn change(
    ks: &mut Keyspace<'_>,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
    command: &'static str,
    unit_ms: i64,
    relative: bool,
) -> Result<(), Refusal> {
    let invalid = || Refusal::InvalidExpire(command);
    let conditions = Conditions::parse(args)?;
    let from = if relative { i64::try_from(ks.now()).map_err(|_| invalid())? } else { 0 };
    let at = integer::argument(args.get(2))?
        .checked_mul(unit_ms)
        .and_then(|amount| amount.checked_add(from))
        .ok_or_else(invalid)?;
    // A time before the epoch has passed like any other.
    let at = UnixMs::try_from(at).unwrap_or(0);
    ks.scope.limits.check_expiry(at, ks.now())?;
    let key = ks.first(args);
    let changed = match ks.peek(key) {
        None => false,
        Some(entry) => conditions.hold(entry.expires_at, at),
    };
    if changed {
        ks.expire_at(key, Some(at));
        ks.note(if at <= ks.now() { Event::DEL } else { Event::EXPIRE }, key);
    }
    reply.int(i64::from(changed));
    Ok(())
}

/// When EXPIRE takes effect: all that are given must hold.
#[derive(Debug, Clone, Copy, Default)]
struct Conditions {
    /// NX: no expiry yet.
    none: bool,
    /// XX: one already.
    some: bool,
    /// GT: later than the current one; a key that lasts is never outlasted.
    later: bool,
    /// LT: sooner than the current one.
    sooner: bool,
}

impl Conditions {
    fn parse(args: &Args<'_>) -> Result<Self, Refusal> {
        let mut given = Self::default();
        for i in 3..args.len() {
            let flag = match i {
                _ if args.is(i, "NX") => &mut given.none,
                _ if args.is(i, "XX") => &mut given.some,
                _ if args.is(i, "GT") => &mut given.later,
                _ if args.is(i, "LT") => &mut given.sooner,
                _ => {
                    let option = String::from_utf8_lossy(args.get(i));
                    return Err(Refusal::other(format!("ERR Unsupported option {option}")));
                }
            };
            *flag = true;
        }
        if given.none && (given.some || given.later || given.sooner) {
            return Err(Refusal::other(
                "ERR NX and XX, GT or LT options at the same time are not compatible",
            ));
        }
        if given.later && given.sooner {
            return Err(Refusal::other(
                "ERR GT and LT options at the same time are not compatible",
            ));
        }
        Ok(given)
    }

    fn hold(self, current: Option<UnixMs>, new: UnixMs) -> bool {
        let (has, later, sooner) = match current {
            Some(current) => (true, new > current, new < current),
            None => (false, false, true),
        };
        (!self.none || !has)
            && (!self.some || has)
            && (!self.later || later)
            && (!self.sooner || sooner)
    }
}

/// PERSIST key
pub fn persist(
    ks: &mut Keyspace<'_>,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    let key = ks.first(args);
    let expires = ks.peek(key).is_some_and(|entry| entry.expires_at.is_some());
    if expires {
        ks.expire_at(key, None);
        ks.note(Event::PERSIST, key);
    }
    reply.int(i64::from(expires));
    Ok(())
}
