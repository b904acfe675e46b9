//! Entries that change their key or database: RENAME, RENAMENX, COPY, MOVE.

use super::super::expiry::lasting;
use crate::resp::args::Args;
use crate::resp::integer;
use crate::resp::keyspace::{Keyspace, Scope};
use crate::resp::refusal::Refusal;
use crate::resp::reply::Reply;
use seawall_actors::cache::store::{Event, Key};

/// RENAME key newkey
pub fn rename(
    ks: &mut Keyspace<'_>,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    let (from, to) = source_and_destination(ks, args)?;
    if from.bytes != to.bytes {
        rename_entry(ks, from, to)?;
    }
    reply.ok();
    Ok(())
}

/// RENAMENX key newkey
pub fn renamenx(
    ks: &mut Keyspace<'_>,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    let (from, to) = source_and_destination(ks, args)?;
    // The same name twice is a name that is taken.
    let free = !ks.exists(to);
    if free {
        rename_entry(ks, from, to)?;
    }
    reply.int(i64::from(free));
    Ok(())
}

/// The keys of RENAME; the first must be there.
fn source_and_destination<'k>(
    ks: &mut Keyspace<'_>,
    args: &Args<'k>,
) -> Result<(Key<'k>, Key<'k>), Refusal> {
    let (from, to) = (ks.first(args), ks.key(args.get(2)));
    if ks.exists(from) { Ok((from, to)) } else { Err(Refusal::NoSuchKey) }
}

fn rename_entry(ks: &mut Keyspace<'_>, from: Key<'_>, to: Key<'_>) -> Result<(), Refusal> {
    let db = ks.db();
    transfer(ks, from, to, db)?;
    ks.note(Event::RENAME_FROM, from);
    ks.note(Event::RENAME_TO, to);
    Ok(())
}

/// Takes an entry from one key and puts it under another, or back if there is no room for it.
fn transfer(ks: &mut Keyspace<'_>, from: Key<'_>, to: Key<'_>, to_db: u8) -> Result<(), Refusal> {
    let Scope { db, now, .. } = ks.scope;
    let Some(entry) = ks.store(from).take(db, from, now) else { return Ok(()) };
    ks.store(to).put(to_db, to, entry, now).map_err(|(refusal, entry)| {
        // It fits where it was a moment ago.
        let _ = ks.store(from).put(db, from, entry, now);
        refusal.into()
    })
}

/// COPY source destination [DB destination-db] [REPLACE]
pub fn copy(ks: &mut Keyspace<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let Scope { db, now, .. } = ks.scope;
    let (mut to_db, mut replace) = (db, false);
    let mut i = 3;
    while i < args.len() {
        if args.is(i, "REPLACE") {
            replace = true;
        } else if args.is(i, "DB") && i + 1 < args.len() {
            i += 1;
            to_db = database(args.get(i), &ks.scope)?;
        } else {
            return Err(Refusal::Syntax);
        }
        i += 1;
    }
    let (from, to) = (ks.first(args), ks.key(args.get(2)));
    if from.bytes == to.bytes && to_db == db {
        return Err(same_object());
    }
    let Some(entry) = ks.read(from) else {
        reply.int(0);
        return Ok(());
    };
    let expiry = lasting(entry.expires_at);
    // One store cannot be read and written at once, so the value is copied twice.
    let value = entry.value.to_vec();
    let store = ks.store(to);
    if !replace && store.exists(to_db, to, now) {
        reply.int(0);
        return Ok(());
    }
    store.set(to_db, to, &value, expiry, now)?;
    ks.note_in(to_db, Event::COPY_TO, to);
    reply.int(1);
    Ok(())
}

/// MOVE key db
pub fn move_key(
    ks: &mut Keyspace<'_>,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    let Scope { db, now, .. } = ks.scope;
    let to_db = database(args.get(2), &ks.scope)?;
    if to_db == db {
        return Err(same_object());
    }
    let key = ks.first(args);
    let store = ks.store(key);
    let moves = store.exists(db, key, now) && !store.exists(to_db, key, now);
    if moves {
        transfer(ks, key, key, to_db)?;
        ks.note(Event::MOVE_FROM, key);
        ks.note_in(to_db, Event::MOVE_TO, key);
    }
    reply.int(i64::from(moves));
    Ok(())
}

/// The number of a database that exists.
fn database(text: &[u8], scope: &Scope<'_>) -> Result<u8, Refusal> {
    u8::try_from(integer::argument_i32(text)?)
        .ok()
        .filter(|db| *db < scope.databases)
        .ok_or(Refusal::DbOutOfRange)
}

fn same_object() -> Refusal {
    Refusal::other("ERR source and destination objects are the same")
}
