//! What clients ask about replication: there is one master and no replica.

use crate::resp::args::Args;
use crate::resp::integer;
use crate::resp::refusal::Refusal;
use crate::resp::reply::Reply;
use crate::resp::session::Session;

pub(super) fn role(
    _session: &mut Session,
    _args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    reply.array(3);
    reply.bulk(b"master");
    reply.int(0);
    reply.array(0);
    Ok(())
}

pub(super) fn wait(
    _session: &mut Session,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    integer::argument(args.get(1))?;
    let timeout = integer::parse(args.get(2))
        .ok_or_else(|| Refusal::other("ERR timeout is not an integer or out of range"))?;
    if timeout < 0 {
        return Err(Refusal::other("ERR timeout is negative"));
    }
    // Nobody will ever acknowledge, so the answer is the same at once as after the timeout.
    reply.int(0);
    Ok(())
}

pub(super) fn replica_of(
    _session: &mut Session,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    if args.is(1, "no") && args.is(2, "one") {
        reply.ok();
        return Ok(());
    }
    Err(Refusal::other("ERR Seawall does not replicate: it cannot follow another server"))
}

pub(super) fn refused(
    _session: &mut Session,
    _args: &Args<'_>,
    _reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    Err(Refusal::other("ERR Seawall does not replicate: it takes no replicas"))
}
