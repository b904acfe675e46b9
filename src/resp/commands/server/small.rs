//! Small commands: TIME, MODULE LIST, LOLWUT.

use crate::resp::args::Args;
use crate::resp::commands::subcommand;
use crate::resp::refusal::Refusal;
use crate::resp::reply::Reply;
use crate::resp::session::Session;
use crate::resp::table::{Subcommand, sub};
use crate::resp::version::{REDIS_VERSION, SEAWALL_VERSION};

pub(super) const MODULE: &[Subcommand] =
    &[sub("help", 2, "", "Prints this help."), sub("list", 2, "", "Lists no module.")];

pub(super) fn time(
    session: &mut Session,
    _args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    let now = session.daemon.now();
    reply.array(2);
    reply.bulk((now / 1000).to_string().as_bytes());
    reply.bulk((now % 1000 * 1000).to_string().as_bytes());
    Ok(())
}

pub(super) fn module(
    _session: &mut Session,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    match subcommand::find("module", MODULE, args)?.name {
        "list" => reply.array(0),
        _ => subcommand::help("module", MODULE, reply),
    }
    Ok(())
}

pub(super) fn lolwut(
    _session: &mut Session,
    _args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    reply.verbatim(&format!(
        concat!(
            "         ~      ~   ___________________________\n",
            "    ~   .-~-.     _|_|___|___|___|___|___|___|_|\n",
            "  ~  .-'     '-. |___|___|___|___|___|___|___|_|\n",
            " .-~'   ~    ~  '|_|___|___|___|___|___|___|___|   all is calm behind\n",
            "~   ~      ~     |___|___|___|___|___|___|___|_|\n",
            "\nSeawall ver. {} (Redis ver. {})\n"
        ),
        SEAWALL_VERSION, REDIS_VERSION
    ));
    Ok(())
}
