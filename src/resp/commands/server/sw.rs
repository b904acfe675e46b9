//! SW.TREE, SW.DRILL, SW.VERSION, SW.HELP: what only Seawall has.

use seawall_actors::failpoint;
use seawall_actors::supervise::Drill;

use crate::resp::args::Args;
use crate::resp::commands;
use crate::resp::refusal::Refusal;
use crate::resp::reply::Reply;
use crate::resp::session::Session;
use crate::resp::table::BoxFuture;
use crate::resp::version::SEAWALL_VERSION;

pub(super) fn tree<'a>(
    session: &'a mut Session,
    _args: Args<'a>,
    reply: &'a mut Reply<'_>,
) -> BoxFuture<'a, Result<(), Refusal>> {
    Box::pin(async move {
        let tree = session.daemon.tree().await;
        reply.verbatim(&format!("{}\n", tree.trim_end()));
        Ok(())
    })
}

pub(super) fn drill<'a>(
    session: &'a mut Session,
    args: Args<'a>,
    reply: &'a mut Reply<'_>,
) -> BoxFuture<'a, Result<(), Refusal>> {
    Box::pin(async move {
        if !session.daemon.config().settings().debug.drills {
            return Err(Refusal::other(
                "ERR SW.DRILL is not allowed: set 'debug.drills' to true in the configuration to \
                 allow it",
            ));
        }
        if args.is(1, "point") && args.len() <= 4 {
            return point(&args, reply);
        }
        let drill = match () {
            () if args.is(1, "panic") => Drill::Panic,
            () if args.is(1, "error") => Drill::Error,
            () if args.is(1, "hang") => Drill::Hang,
            () if args.is(1, "kill") => Drill::Kill,
            () => {
                return Err(Refusal::other(
                    "ERR the drill must be PANIC, ERROR, HANG, KILL or POINT",
                ));
            }
        };
        if args.len() > 3 {
            return Err(Refusal::other("ERR a drill of an actor takes one path"));
        }
        let path = String::from_utf8_lossy(args.get(2));
        session.daemon.drill(&path, drill).await?;
        reply.ok();
        Ok(())
    })
}

/// `SW.DRILL POINT failpoint script` lays the script; without one it takes it away. Answers how
/// often the point was passed under the script that lay there.
fn point(args: &Args<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let text = |i: usize| String::from_utf8_lossy(args.get(i)).into_owned();
    let name = text(2);
    let hits = failpoint::Point::find(&name).map_or(0, failpoint::hits);
    let script = if args.len() > 3 { text(3) } else { String::new() };
    failpoint::arm(&name, &script).map_err(|error| Refusal::other(format!("ERR {error}")))?;
    reply.int(i64::try_from(hits).unwrap_or(i64::MAX));
    Ok(())
}

pub(super) fn version(
    _session: &mut Session,
    _args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    reply.bulk(SEAWALL_VERSION.as_bytes());
    Ok(())
}

pub(super) fn help(
    _session: &mut Session,
    _args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    let own: Vec<_> = commands::all().filter(|c| c.name.starts_with("sw.")).collect();
    reply.array(own.len() * 2);
    for command in own {
        let name = command.name.to_ascii_uppercase();
        reply.simple(format!("{name} {}", command.syntax).trim_end());
        reply.simple(&format!("    {}", command.summary));
    }
    Ok(())
}
