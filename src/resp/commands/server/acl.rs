//! ACL, as far as there is something to tell: one user, who may do everything, and the categories
//! of commands.

use super::command::{CATEGORIES, acl_categories, names_of};
use super::sub;
use crate::resp::args::Args;
use crate::resp::commands;
use crate::resp::commands::subcommand;
use crate::resp::refusal::Refusal;
use crate::resp::reply::Reply;
use crate::resp::session::Session;
use crate::resp::table::Subcommand;

pub(super) const ACL: &[Subcommand] = &[
    sub("cat", -2, "[category]", "Lists the categories of commands, or the commands of one."),
    sub("getuser", 3, "username", "Answers what the user may do; nil if it is not default."),
    sub("help", 2, "", "Prints this help."),
    sub("list", 2, "", "Lists the one user, who may do everything."),
    sub("users", 2, "", "Lists the one user's name."),
    sub("whoami", 2, "", "Answers the connection's user."),
];

/// The one user there is.
const USER: &str = "default";

pub(super) fn acl(
    session: &mut Session,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    let open = || session.daemon.config().settings().server.password.is_none();
    match subcommand::find("acl", ACL, args)?.name {
        "cat" => return categories(args, reply),
        // User names are told apart by case, as in Redis.
        "getuser" if args.get(2) != USER.as_bytes() => reply.null(),
        "getuser" => user(open(), reply),
        "list" => {
            let password = if open() { "nopass" } else { "(password)" };
            reply.array(1);
            reply.bulk(format!("user {USER} on {password} ~* &* +@all").as_bytes());
        }
        "users" => {
            reply.array(1);
            reply.bulk(USER.as_bytes());
        }
        "whoami" => reply.bulk(USER.as_bytes()),
        _ => subcommand::help("acl", ACL, reply),
    }
    Ok(())
}

/// The password itself is never shown, not even as the digest that Redis shows.
fn user(open: bool, reply: &mut Reply<'_>) {
    let flags: &[&str] = if open { &["on", "nopass"] } else { &["on"] };
    reply.map(6);
    reply.bulk(b"flags");
    reply.set(flags.len());
    flags.iter().for_each(|flag| reply.bulk(flag.as_bytes()));
    reply.bulk(b"passwords");
    reply.array(0);
    for (name, value) in [("commands", "+@all"), ("keys", "~*"), ("channels", "&*")] {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"selectors");
    reply.array(0);
}

fn categories(args: &Args<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let category = match args.len() {
        2 => {
            reply.array(CATEGORIES.len());
            CATEGORIES.iter().for_each(|name| reply.bulk(name.as_bytes()));
            return Ok(());
        }
        3 => CATEGORIES.iter().find(|name| args.is(2, name)).ok_or_else(|| {
            let name: String = String::from_utf8_lossy(args.get(2)).chars().take(128).collect();
            Refusal::other(format!("ERR Unknown category '{name}'"))
        })?,
        _ => return Err(Refusal::Arity("acl|cat".into())),
    };
    let members = commands::all().filter(|c| acl_categories(c).any(|name| name == *category));
    let names: Vec<String> = members.flat_map(names_of).collect();
    reply.array(names.len());
    names.iter().for_each(|name| reply.bulk(name.as_bytes()));
    Ok(())
}
