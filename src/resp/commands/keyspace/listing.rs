//! Going through the keys of every shard: KEYS, SCAN, RANDOMKEY.

use std::hash::{BuildHasher, RandomState};

use crate::glob::Glob;
use crate::resp::args::Args;
use crate::resp::integer;
use crate::resp::keyspace::{Keyspace, Scope};
use crate::resp::refusal::Refusal;
use crate::resp::reply::Reply;

/// KEYS pattern
pub fn keys(ks: &mut Keyspace<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let glob = Glob::new(args.get(1));
    let Scope { db, now, limits, .. } = ks.scope;
    let (mut body, mut found) = (Vec::new(), 0);
    let mut items = Reply::new(&mut body, reply.proto());
    for store in ks.stores() {
        store.for_each_key(db, now, |key, _| {
            if items.len() <= limits.max_reply && glob.matches(key) {
                found += 1;
                items.bulk(key);
            }
        });
    }
    limits.check_reply(items.len())?;
    reply.array(found);
    reply.raw(&body);
    Ok(())
}

/// Keys a scan visits in one call, unless COUNT says otherwise.
const DEFAULT_COUNT: u64 = 10;
/// A cursor is a position in a shard times this, plus the shard: there are at most 256.
const SHARD_BITS: u32 = 8;

/// SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]
///
/// One call looks at up to ten times `count` slots of each shard it enters, and enters the next
/// one only while fewer than `count` keys were met.
pub fn scan(ks: &mut Keyspace<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let cursor = cursor(args.get(1)).ok_or_else(|| Refusal::other("ERR invalid cursor"))?;
    let Filter { glob, count, only_other_types } = Filter::parse(args)?;
    let Scope { db, now, limits, .. } = ks.scope;
    let (mut body, mut found, mut visited) = (Vec::new(), 0, 0);
    let mut items = Reply::new(&mut body, reply.proto());
    let first_shard = (cursor & ((1 << SHARD_BITS) - 1)) as usize;
    let mut position = cursor >> SHARD_BITS;
    let mut next = 0;
    let mut stores = ks.stores().enumerate().skip(first_shard);
    for (shard, store) in stores.by_ref() {
        if visited >= count {
            next = shard as u64;
            break;
        }
        position = store.scan(db, position, count - visited, now, |key, _| {
            visited += 1;
            let has_room = items.len() <= limits.max_reply;
            if has_room && !only_other_types && glob.as_ref().is_none_or(|glob| glob.matches(key)) {
                found += 1;
                items.bulk(key);
            }
        });
        if position != 0 {
            next = position << SHARD_BITS | shard as u64;
            break;
        }
    }
    drop(stores);
    limits.check_reply(items.len())?;
    reply.array(2);
    reply.bulk(itoa::Buffer::new().format(next).as_bytes());
    reply.array(found);
    reply.raw(&body);
    Ok(())
}

/// What SCAN looks for.
struct Filter {
    glob: Option<Glob>,
    count: u64,
    /// A type that is not held here: nothing matches.
    only_other_types: bool,
}

impl Filter {
    fn parse(args: &Args<'_>) -> Result<Self, Refusal> {
        let mut filter = Self { glob: None, count: DEFAULT_COUNT, only_other_types: false };
        for i in (2..args.len()).step_by(2) {
            let value = args.get(i + 1);
            if i + 1 == args.len() {
                return Err(Refusal::Syntax);
            } else if args.is(i, "COUNT") {
                let count = integer::argument(value)?;
                filter.count =
                    u64::try_from(count).ok().filter(|count| *count > 0).ok_or(Refusal::Syntax)?;
            } else if args.is(i, "MATCH") {
                filter.glob = Some(Glob::new(value)).filter(|glob| !glob.matches_all());
            } else if args.is(i, "TYPE") {
                filter.only_other_types = !value.eq_ignore_ascii_case(b"string");
            } else {
                return Err(Refusal::Syntax);
            }
        }
        Ok(filter)
    }
}

/// Reads a cursor as C's `strtoul` does, all of the text: it may have a sign, and a negative one
/// wraps around. No text at all is 0.
fn cursor(text: &[u8]) -> Option<u64> {
    let (negative, digits) = match text {
        [] => return Some(0),
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let value = digits.iter().try_fold(0u64, |value, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })?;
    Some(if negative { value.wrapping_neg() } else { value })
}

/// RANDOMKEY
pub fn randomkey(
    ks: &mut Keyspace<'_>,
    _args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    let Scope { db, now, .. } = ks.scope;
    // The standard library's seeds are as random as this needs.
    let random = RandomState::new().hash_one(now);
    let total: u64 = ks.stores().map(|store| store.len(db)).sum();
    // The shard in which the chosen one of all keys lies, so that every key has the same chance.
    let mut chosen = ((u128::from(random) * u128::from(total)) >> 64) as u64;
    let shard = ks
        .stores()
        .position(|store| match chosen.checked_sub(store.len(db)) {
            Some(rest) => {
                chosen = rest;
                false
            }
            None => true,
        })
        .unwrap_or(0);
    // Another shard has to do where every key of that one has expired.
    let random = RandomState::new().hash_one(random);
    for after in [shard, 0] {
        for store in ks.stores().skip(after) {
            if let Some(key) = store.random_key(db, random, now) {
                reply.bulk(key);
                return Ok(());
            }
        }
    }
    reply.null();
    Ok(())
}
