//! SHUTDOWN.

use crate::resp::args::Args;
use crate::resp::refusal::Refusal;
use crate::resp::reply::Reply;
use crate::resp::session::Session;

/// Asks for the stop and closes this connection without a reply, as Redis does.
///
/// Everything acknowledged is in the log already, so SAVE, NOSAVE and FORCE change nothing; they
/// are accepted because operators' scripts send them. NOW does not wait for other clients.
pub(super) fn shutdown(
    session: &mut Session,
    args: &Args<'_>,
    _reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    let (mut save, mut no_save, mut now, mut abort) = (false, false, false, false);
    for at in 1..args.len() {
        match () {
            () if args.is(at, "save") => save = true,
            () if args.is(at, "nosave") => no_save = true,
            () if args.is(at, "now") => now = true,
            () if args.is(at, "abort") => abort = true,
            () if args.is(at, "force") => {}
            () => return Err(Refusal::Syntax),
        }
    }
    if (save && no_save) || (abort && args.len() > 2) {
        return Err(Refusal::Syntax);
    }
    if abort {
        // A stop, once asked for, is not taken back.
        return Err(Refusal::other("ERR No shutdown in progress."));
    }
    tracing::warn!(client = session.id(), addr = %session.client().addr, "SHUTDOWN by a client");
    session.daemon.request_stop(now);
    session.close_after_reply = true;
    Ok(())
}
