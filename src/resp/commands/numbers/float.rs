//! INCRBYFLOAT.

use seawall_actors::cache::store::{Event, Expiry};

use super::extended::{self, Value};
use crate::resp::args::Args;
use crate::resp::keyspace::Keyspace;
use crate::resp::refusal::Refusal;
use crate::resp::reply::Reply;

/// INCRBYFLOAT key increment
pub fn incrbyfloat(
    ks: &mut Keyspace<'_>,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    let key = ks.first(args);
    let (value, expiry) = match ks.peek(key) {
        Some(entry) => (number(entry.value)?, Expiry::Keep),
        None => (number(b"0")?, Expiry::Default),
    };
    let sum = match (value, number(args.get(2))?) {
        (Value::Finite(value), Value::Finite(by)) => extended::add(value, by),
        _ => Value::Infinite,
    };
    let Value::Finite(sum) = sum else {
        return Err(Refusal::other("ERR increment would produce NaN or Infinity"));
    };
    let text = sum.print();
    ks.scope.limits.check_value(text.len())?;
    ks.set(key, text.as_bytes(), expiry)?;
    ks.note(Event::INCR_BY_FLOAT, key);
    reply.bulk(text.as_bytes());
    Ok(())
}

fn number(text: &[u8]) -> Result<Value, Refusal> {
    extended::parse(text).ok_or(Refusal::NotAFloat)
}
