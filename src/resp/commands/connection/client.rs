//! CLIENT: dispatch, and the subcommands about this connection.

use std::time::Duration;

use seawall_actors::redis::Unblock;

use super::{kill, listing, naming, tracking};
use crate::resp::args::Args;
use crate::resp::clients::{CommandName, Pause, Traits};
use crate::resp::commands::subcommand;
use crate::resp::integer;
use crate::resp::refusal::Refusal;
use crate::resp::reply::Reply;
use crate::resp::session::{ReplyMode, Session};
use crate::resp::table::{Subcommand, sub};

/// CLIENT's subcommands.
pub(super) const SUBCOMMANDS: &[Subcommand] = &[
    sub(
        "caching",
        3,
        "YES|NO",
        "For the next command: remembers its reads (OPTIN), or does not (OPTOUT).",
    ),
    sub("getname", 2, "", "Answers the connection's name."),
    sub(
        "getredir",
        2,
        "",
        "Answers which connection is sent the invalidations: 0 this one, -1 without tracking.",
    ),
    sub("help", 2, "", "Prints this help."),
    sub("id", 2, "", "Answers the connection's id."),
    sub("info", 2, "", "Answers this connection's line of CLIENT LIST."),
    sub(
        "kill",
        -3,
        "ip:port | [ID client-id] [TYPE type] [USER username] [ADDR ip:port] [LADDR ip:port] \
         [SKIPME YES|NO] [MAXAGE seconds]",
        "Closes connections.",
    ),
    sub(
        "list",
        -2,
        "[TYPE NORMAL|MASTER|REPLICA|PUBSUB] [ID client-id [client-id …]]",
        "Lists connections.",
    ),
    sub("no-evict", 3, "ON|OFF", "Protects the connection from being closed for want of memory."),
    sub("no-touch", 3, "ON|OFF", "Reads of this connection do not change the eviction order."),
    sub("pause", -3, "timeout [WRITE|ALL]", "Holds back commands, for milliseconds."),
    sub("reply", 3, "ON|OFF|SKIP", "Sends replies, none, or none to the next command."),
    sub("setinfo", 4, "LIB-NAME libname | LIB-VER libver", "Notes the client's library."),
    sub("setname", 3, "connection-name", "Names the connection."),
    sub(
        "tracking",
        -3,
        "ON|OFF [REDIRECT client-id] [PREFIX prefix [PREFIX prefix …]] [BCAST] [OPTIN] [OPTOUT] [NOLOOP]",
        "Tells this client which keys that it has read have changed.",
    ),
    sub("trackinginfo", 2, "", "Answers what CLIENT TRACKING was asked for."),
    sub("unblock", -3, "client-id [TIMEOUT|ERROR]", "Ends the wait of a command that blocks."),
    sub("unpause", 2, "", "Ends CLIENT PAUSE."),
];

pub(super) fn client(
    session: &mut Session,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    let name = subcommand::find("client", SUBCOMMANDS, args)?.name;
    session.client().note_round(session.daemon.now(), CommandName::of_sub("client", name));
    match name {
        "caching" => tracking::caching(session, args, reply)?,
        "getname" => naming::get_name(session, reply),
        "getredir" => reply.int(tracking::redirection(session)),
        "id" => reply.int(i64::try_from(session.id()).unwrap_or(i64::MAX)),
        "info" => listing::info(session, reply),
        "kill" => kill::kill(session, args, reply)?,
        "list" => listing::list(session, args, reply)?,
        "no-evict" => {
            let no_evict = switch(args)?;
            session.set_traits(Traits { no_evict, ..session.traits() });
            reply.ok();
        }
        "no-touch" => {
            let no_touch = switch(args)?;
            session.set_traits(Traits { no_touch, ..session.traits() });
            reply.ok();
        }
        "pause" => pause(session, args, reply)?,
        "reply" => set_reply_mode(session, args, reply)?,
        "setinfo" => naming::set_info(session, args, reply)?,
        "setname" => naming::set_name(session, args, reply)?,
        "tracking" => tracking::tracking(session, args, reply)?,
        "trackinginfo" => tracking::info(session, reply),
        "unblock" => {
            if args.len() > 4 || !(args.len() == 3 || args.is(3, "timeout") || args.is(3, "error"))
            {
                return Err(Refusal::other("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"));
            }
            let id = integer::argument(args.get(2))?;
            let how = if args.is(3, "error") { Unblock::Error } else { Unblock::Timeout };
            let client = u64::try_from(id).ok().and_then(|id| session.daemon.clients().get(id));
            reply.int(i64::from(client.is_some_and(|client| client.unblock(how))));
        }
        "unpause" => {
            session.daemon.clients().pause().open();
            reply.ok();
        }
        _ => subcommand::help("client", SUBCOMMANDS, reply),
    }
    Ok(())
}

fn switch(args: &Args<'_>) -> Result<bool, Refusal> {
    match () {
        () if args.is(2, "on") => Ok(true),
        () if args.is(2, "off") => Ok(false),
        () => Err(Refusal::Syntax),
    }
}

fn pause(session: &Session, args: &Args<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let what = match args.len() {
        3 => Pause::All,
        4 if args.is(3, "write") => Pause::Writes,
        4 if args.is(3, "all") => Pause::All,
        _ => return Err(Refusal::other("ERR CLIENT PAUSE mode must be WRITE or ALL")),
    };
    let ms = integer::parse(args.get(2))
        .ok_or_else(|| Refusal::other("ERR timeout is not an integer or out of range"))?;
    let ms = u64::try_from(ms).map_err(|_| Refusal::other("ERR timeout is negative"))?;
    session.daemon.clients().pause().close(what, Duration::from_millis(ms));
    reply.ok();
    Ok(())
}

fn set_reply_mode(
    session: &mut Session,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    if args.is(2, "on") {
        session.reply_mode = ReplyMode::On;
        reply.ok();
    } else if args.is(2, "off") {
        session.reply_mode = ReplyMode::Off;
    } else if args.is(2, "skip") {
        // Where no reply is sent anyway there is none to skip.
        if session.reply_mode != ReplyMode::Off {
            session.reply_mode = ReplyMode::SkipNext;
        }
    } else {
        return Err(Refusal::Syntax);
    }
    Ok(())
}
