//! Single keys: DEL, UNLINK, EXISTS, TOUCH, TYPE.

use seawall_actors::cache::store::Event;

use crate::resp::args::Args;
use crate::resp::keyspace::{Keyspace, Scope};
use crate::resp::refusal::Refusal;
use crate::resp::reply::Reply;

/// DEL key [key …], UNLINK key [key …]
pub fn del(ks: &mut Keyspace<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let deleted = args.from(1).filter(|bytes| {
        let key = ks.key(bytes);
        let removed = ks.remove(key);
        if removed {
            ks.note(Event::DEL, key);
        }
        removed
    });
    reply.count(deleted.count());
    Ok(())
}

/// EXISTS key [key …]
pub fn exists(
    ks: &mut Keyspace<'_>,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    let present = args.from(1).filter(|bytes| {
        let key = ks.key(bytes);
        ks.read(key).is_some()
    });
    reply.count(present.count());
    Ok(())
}

/// TOUCH key [key …]. Counts as a use even of a client that said NO-TOUCH, as in Redis.
pub fn touch(ks: &mut Keyspace<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let Scope { db, now, .. } = ks.scope;
    let present = args.from(1).filter(|bytes| {
        let key = ks.key(bytes);
        ks.store(key).get(db, key, now).is_some()
    });
    reply.count(present.count());
    Ok(())
}

/// TYPE key
pub fn kind(ks: &mut Keyspace<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let key = ks.first(args);
    reply.simple(if ks.read(key).is_some() { "string" } else { "none" });
    Ok(())
}
