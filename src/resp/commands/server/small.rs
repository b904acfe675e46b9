//! Small commands: TIME, ACL, MODULE LIST, LOLWUT.

use super::sub;
use crate::resp::args::Args;
use crate::resp::commands::subcommand;
use crate::resp::refusal::Refusal;
use crate::resp::reply::Reply;
use crate::resp::session::Session;
use crate::resp::table::{Family, Subcommand};
use crate::resp::version::{REDIS_VERSION, SEAWALL_VERSION};

pub(super) const ACL: &[Subcommand] = &[
    sub("cat", 2, "", "Lists the categories of commands: the families."),
    sub("help", 2, "", "Prints this help."),
    sub("list", 2, "", "Lists the one user, who may do everything."),
    sub("users", 2, "", "Lists the one user's name."),
    sub("whoami", 2, "", "Answers the connection's user."),
];

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

pub(super) fn acl(
    session: &mut Session,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    match subcommand::find("acl", ACL, args)?.name {
        "cat" => {
            reply.array(Family::ALL.len());
            Family::ALL.iter().for_each(|family| reply.bulk(family.name().as_bytes()));
        }
        "list" => {
            let open = session.daemon.config().settings().server.password.is_none();
            let password = if open { "nopass" } else { "(password)" };
            reply.array(1);
            reply.bulk(format!("user default on {password} ~* &* +@all").as_bytes());
        }
        "users" => {
            reply.array(1);
            reply.bulk(b"default");
        }
        "whoami" => reply.bulk(b"default"),
        _ => subcommand::help("acl", ACL, reply),
    }
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
