//! SAVE, BGSAVE, LASTSAVE.

use crate::resp::args::Args;
use crate::resp::refusal::Refusal;
use crate::resp::reply::Reply;
use crate::resp::session::Session;
use crate::resp::table::BoxFuture;

pub(super) fn save<'a>(
    session: &'a mut Session,
    _args: Args<'a>,
    reply: &'a mut Reply<'_>,
) -> BoxFuture<'a, Result<(), Refusal>> {
    Box::pin(async move {
        session.daemon.take_snapshot(true).await?;
        reply.ok();
        Ok(())
    })
}

/// SCHEDULE changes nothing: it asks to wait for a rewrite of the log, and there is none.
pub(super) fn bgsave<'a>(
    session: &'a mut Session,
    args: Args<'a>,
    reply: &'a mut Reply<'_>,
) -> BoxFuture<'a, Result<(), Refusal>> {
    Box::pin(async move {
        if args.len() > 2 || (args.len() == 2 && !args.is(1, "schedule")) {
            return Err(Refusal::Syntax);
        }
        session.daemon.take_snapshot(false).await?;
        // Redis does not fork in the middle of a transaction. Here it is begun all the same, but
        // who parses the answer expects this one.
        reply.simple(match session.in_transaction() {
            true => "Background saving scheduled",
            false => "Background saving started",
        });
        Ok(())
    })
}

pub(super) fn last_save(
    session: &mut Session,
    _args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    let newest = session.daemon.snapshots().and_then(|snapshots| snapshots.newest_at);
    let at = newest.unwrap_or_else(|| session.daemon.life().started_at);
    reply.int(i64::try_from(at / 1000).unwrap_or(i64::MAX));
    Ok(())
}
