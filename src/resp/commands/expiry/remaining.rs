//! Asking for expiries: TTL, PTTL, EXPIRETIME, PEXPIRETIME.

use seawall_actors::clock::UnixMs;

use crate::resp::args::Args;
use crate::resp::keyspace::Keyspace;
use crate::resp::refusal::Refusal;
use crate::resp::reply::Reply;

/// TTL key
pub fn ttl(ks: &mut Keyspace<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    answer(ks, args, reply, |at, now| seconds(at.saturating_sub(now)))
}

/// PTTL key
pub fn pttl(ks: &mut Keyspace<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    answer(ks, args, reply, UnixMs::saturating_sub)
}

/// EXPIRETIME key
pub fn expiretime(
    ks: &mut Keyspace<'_>,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    answer(ks, args, reply, |at, _| seconds(at))
}

/// PEXPIRETIME key
pub fn pexpiretime(
    ks: &mut Keyspace<'_>,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    answer(ks, args, reply, |at, _| at)
}

fn answer(
    ks: &mut Keyspace<'_>,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
    show: impl FnOnce(UnixMs, UnixMs) -> u64,
) -> Result<(), Refusal> {
    let (key, now) = (ks.first(args), ks.now());
    reply.int(match ks.read(key).map(|entry| entry.expires_at) {
        None => -2,
        Some(None) => -1,
        Some(Some(at)) => i64::try_from(show(at, now)).unwrap_or(i64::MAX),
    });
    Ok(())
}

/// Rounded to the nearest second, half a second up.
fn seconds(ms: u64) -> u64 {
    ms / 1000 + u64::from(ms % 1000 >= 500)
}
