//! DEBUG: for tests of clients and of the server. Refused unless `debug.commands` is on.

use std::time::Duration;

use crate::resp::args::Args;
use crate::resp::commands::subcommand;
use crate::resp::refusal::Refusal;
use crate::resp::reply::Reply;
use crate::resp::session::Session;
use crate::resp::table::{BoxFuture, Subcommand, sub};

const NOT_ALLOWED: &str = "ERR DEBUG command not allowed. If the enable-debug-command option is \
    set to \"local\", you can run it from a local connection, otherwise you need to set this \
    option in the configuration file, and then restart the server. (Seawall's name of the option \
    is 'debug.commands'.)";

/// Longest DEBUG SLEEP, seconds. A connection that sleeps is not closed by CLIENT KILL meanwhile.
const MAX_SLEEP: f64 = 3600.0;

pub(super) const SUBCOMMANDS: &[Subcommand] = &[
    sub("help", 2, "", "Prints this help."),
    sub("jmap", 2, "", "Refused."),
    sub("quicklist-packed-threshold", 3, "size", "Accepted and ignored: there are no lists."),
    sub("set-active-expire", 3, "0|1", "Expires keys on sweeps, or only when they are accessed."),
    sub("sleep", 3, "seconds", "Stops this connection only, for decimal seconds."),
];

/// Redis stops the whole server in DEBUG SLEEP; here only the connection that asks stops.
pub(super) fn debug<'a>(
    session: &'a mut Session,
    args: Args<'a>,
    reply: &'a mut Reply<'_>,
) -> BoxFuture<'a, Result<(), Refusal>> {
    Box::pin(async move {
        if !session.daemon.config().settings().debug.commands {
            return Err(Refusal::other(NOT_ALLOWED));
        }
        match subcommand::find("debug", SUBCOMMANDS, &args)?.name {
            "jmap" => return Err(Refusal::other("ERR DEBUG JMAP is not allowed")),
            "quicklist-packed-threshold" => reply.ok(),
            "set-active-expire" => {
                let on = match args.get(2) {
                    b"0" => false,
                    b"1" => true,
                    _ => return Err(Refusal::Syntax),
                };
                session.daemon.set_active_expire(on).await?;
                reply.ok();
            }
            "sleep" => {
                let seconds = std::str::from_utf8(args.get(2)).ok().and_then(|s| s.parse().ok());
                let seconds: f64 = seconds.ok_or(Refusal::NotAFloat)?;
                if !(0.0..=MAX_SLEEP).contains(&seconds) {
                    return Err(Refusal::other("ERR DEBUG SLEEP takes 0 to 3600 seconds"));
                }
                tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
                reply.ok();
            }
            _ => subcommand::help("debug", SUBCOMMANDS, reply),
        }
        Ok(())
    })
}
