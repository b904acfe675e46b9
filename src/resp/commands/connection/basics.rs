//! PING, ECHO, SELECT, QUIT, RESET.

use crate::resp::args::Args;
use crate::resp::integer;
use crate::resp::refusal::Refusal;
use crate::resp::reply::{Proto, Reply};
use crate::resp::session::Session;

pub(super) fn ping(
    session: &mut Session,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    match args.len() {
        // Told apart from a message by its shape.
        1 | 2 if session.only_listens() => {
            reply.array(2);
            reply.bulk(b"pong");
            reply.bulk(args.get(1));
        }
        1 => reply.simple("PONG"),
        2 => reply.bulk(args.get(1)),
        _ => return Err(Refusal::Arity("ping".into())),
    }
    Ok(())
}

pub(super) fn echo(
    _session: &mut Session,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    reply.bulk(args.get(1));
    Ok(())
}

pub(super) fn select(
    session: &mut Session,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    let index = integer::argument_i32(args.get(1))?;
    let databases = i32::from(session.daemon.config().settings().server.databases);
    match u8::try_from(index) {
        Ok(db) if index < databases => session.select(db),
        _ => return Err(Refusal::DbOutOfRange),
    }
    reply.ok();
    Ok(())
}

pub(super) fn quit(
    session: &mut Session,
    _args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    session.close_after_reply = true;
    reply.ok();
    Ok(())
}

pub(super) fn reset(
    session: &mut Session,
    _args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    session.reset();
    reply.set_proto(Proto::V2);
    reply.simple("RESET");
    Ok(())
}
