//! Several values at once: MGET, MSET, MSETNX.

use seawall_actors::cache::store::{Event, Eviction, Expiry, Key};

use super::super::expiry::lasting;
use crate::resp::args::Args;
use crate::resp::keyspace::Keyspace;
use crate::resp::refusal::Refusal;
use crate::resp::reply::Reply;

/// MGET key [key …]
pub fn mget(ks: &mut Keyspace<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let begin = reply.len();
    reply.array(args.len() - 1);
    for bytes in args.from(1) {
        let key = ks.key(bytes);
        reply.bulk_or_null(ks.get(key));
        ks.scope.limits.check_reply(reply.len() - begin)?;
    }
    Ok(())
}

/// MSET key value [key value …]
pub fn mset(ks: &mut Keyspace<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    check(ks, args, "mset")?;
    set_all(ks, args)?;
    reply.ok();
    Ok(())
}

/// MSETNX key value [key value …]
pub fn msetnx(
    ks: &mut Keyspace<'_>,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    check(ks, args, "msetnx")?;
    let taken = pairs(args).any(|(key, _)| {
        let key = ks.key(key);
        ks.exists(key)
    });
    if !taken {
        set_all(ks, args)?;
    }
    reply.int(i64::from(!taken));
    Ok(())
}

fn pairs<'a>(args: &Args<'a>) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
    args.from(1).step_by(2).zip(args.from(2).step_by(2))
}

fn check(ks: &Keyspace<'_>, args: &Args<'_>, command: &'static str) -> Result<(), Refusal> {
    if args.len().is_multiple_of(2) {
        return Err(Refusal::Arity(command.into()));
    }
    pairs(args).try_for_each(|(_, value)| ks.scope.limits.check_value(value.len()))
}

/// What a key held before it was set: value and expiry.
type Before = Option<(Vec<u8>, Expiry)>;

/// Sets every pair or none. A write may be refused for want of memory; where that is possible,
/// what the keys held is kept until the last one is written.
fn set_all(ks: &mut Keyspace<'_>, args: &Args<'_>) -> Result<(), Refusal> {
    let mut before = Vec::new();
    let careful = may_refuse(ks, args);
    for (key, value) in pairs(args) {
        let key = ks.key(key);
        if careful {
            let entry = ks.peek(key).map(|e| (e.value.to_vec(), lasting(e.expires_at)));
            before.push((key, entry));
        }
        if let Err(refusal) = ks.set(key, value, Expiry::Default) {
            undo(ks, before);
            return Err(refusal);
        }
    }
    for (key, _) in pairs(args) {
        let key = ks.key(key);
        ks.note(Event::SET, key);
    }
    Ok(())
}

/// Whether a write might not fit: nothing is evicted, or the values are large beside the limit.
fn may_refuse(ks: &mut Keyspace<'_>, args: &Args<'_>) -> bool {
    let bytes = args.from(1).map(|arg| arg.len() as u64).sum::<u64>();
    ks.stores().any(|store| {
        let config = store.config();
        let limited = config.max_entries != 0 || config.max_bytes != 0;
        limited
            && (config.eviction == Eviction::None
                || (config.max_bytes != 0 && bytes > config.max_bytes / 4))
    })
}

/// Puts back what the keys held, the last one first: a key that was named twice ends as it began.
fn undo(ks: &mut Keyspace<'_>, before: Vec<(Key<'_>, Before)>) {
    // All out first: then what is put back finds at least the room that it had.
    for (key, _) in &before {
        ks.remove(*key);
    }
    for (key, entry) in before.into_iter().rev() {
        match entry {
            // It fits: it was there a moment ago.
            Some((value, expiry)) => drop(ks.set(key, &value, expiry)),
            None => drop(ks.remove(key)),
        }
    }
}
