//! ACL: tells of the users. They are configured in the file, so nothing here changes them.

use super::command::members;
use crate::acl::User;
use crate::acl::categories::Category;
use crate::acl::gate::MAX_ENTRIES;
use crate::resp::args::Args;
use crate::resp::commands::subcommand;
use crate::resp::integer;
use crate::resp::refusal::Refusal;
use crate::resp::reply::Reply;
use crate::resp::session::Session;
use crate::resp::table::{Subcommand, find, sub};

pub(super) const ACL: &[Subcommand] = &[
    sub("cat", -2, "[category]", "Lists the categories of commands, or the commands of one."),
    sub("deluser", -3, "username [username …]", "Refused: users are configured in the file."),
    sub("dryrun", -4, "username command [argument …]", "Answers whether a user may run a command."),
    sub("genpass", -2, "[bits]", "Answers random hexadecimal digits, to be used as a password."),
    sub("getuser", 3, "username", "Answers what a user may do; nil if there is none."),
    sub("help", 2, "", "Prints this help."),
    sub("list", 2, "", "Lists the users and what each may do."),
    sub("load", 2, "", "Refused: users are configured in the file."),
    sub("log", -2, "[count|RESET]", "Tells which logins and commands were denied lately."),
    sub("save", 2, "", "Refused: users are configured in the file."),
    sub("setuser", -3, "username [rule …]", "Refused: users are configured in the file."),
    sub("users", 2, "", "Lists the names of the users."),
    sub("whoami", 2, "", "Answers the connection's user."),
];

const ELSEWHERE: &str = "ERR users are not changed by commands: write [[users]] into Seawall's \
    configuration file, which is read again when it changes (docs/security.md)";
/// Stands for each password, which is not shown, not even as the digest that Redis shows.
const HIDDEN: &str = "(password)";
/// Entries that ACL LOG tells of when it is not asked for a number, as in Redis.
const USUAL_ENTRIES: usize = 10;

pub(super) fn acl(
    session: &mut Session,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    let users = || std::sync::Arc::clone(&session.daemon.config().settings().users);
    match subcommand::find("acl", ACL, args)?.name {
        "cat" => categories(args, reply)?,
        "dryrun" => dry_run(session, args, reply)?,
        "genpass" => generate(args, reply)?,
        "getuser" => {
            let name = std::str::from_utf8(args.get(2)).ok();
            match name.and_then(|name| users().get(name).cloned()) {
                Some(user) => describe(&user, reply),
                None => reply.null(),
            }
        }
        "list" => {
            let users = users();
            reply.array(users.iter().count());
            users.iter().for_each(|user| reply.bulk(line(user).as_bytes()));
        }
        "log" => log(session, args, reply)?,
        "users" => {
            let users = users();
            reply.array(users.iter().count());
            users.iter().for_each(|user| reply.bulk(user.name().as_bytes()));
        }
        "whoami" => reply.bulk(session.user().name().as_bytes()),
        "help" => subcommand::help("acl", ACL, reply),
        _ => return Err(Refusal::other(ELSEWHERE)),
    }
    Ok(())
}

/// A user's line of ACL LIST.
fn line(user: &User) -> String {
    let mut words = vec!["user", user.name(), if user.is_enabled() { "on" } else { "off" }];
    if user.takes_any_password() {
        words.push("nopass");
    }
    words.extend(std::iter::repeat_n(HIDDEN, user.passwords()));
    let may = user.permissions();
    let (keys, channels, commands) = (may.shown_keys(), may.shown_channels(), may.shown_commands());
    if channels != "&*" {
        words.push("resetchannels");
    }
    words.extend([&*keys, &*channels, &*commands].into_iter().filter(|part| !part.is_empty()));
    words.join(" ")
}

fn describe(user: &User, reply: &mut Reply<'_>) {
    let mut flags = vec![if user.is_enabled() { "on" } else { "off" }];
    if user.takes_any_password() {
        flags.push("nopass");
    }
    reply.map(6);
    reply.bulk(b"flags");
    reply.set(flags.len());
    flags.iter().for_each(|flag| reply.bulk(flag.as_bytes()));
    reply.bulk(b"passwords");
    reply.array(user.passwords());
    (0..user.passwords()).for_each(|_| reply.bulk(HIDDEN.as_bytes()));
    let may = user.permissions();
    for (name, value) in [
        ("commands", may.shown_commands()),
        ("keys", may.shown_keys()),
        ("channels", may.shown_channels()),
    ] {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"selectors");
    reply.array(0);
}

fn categories(args: &Args<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let names = match args.len() {
        2 => Category::ALL.iter().map(|category| category.name().to_owned()).collect(),
        3 => {
            let named = std::str::from_utf8(args.get(2)).ok().and_then(Category::named);
            members(named.ok_or_else(|| {
                Refusal::other(format!("ERR Unknown category '{}'", subcommand::shown(args.get(2))))
            })?)
        }
        _ => return Err(Refusal::Arity("acl|cat".into())),
    };
    reply.array(names.len());
    names.iter().for_each(|name| reply.bulk(name.as_bytes()));
    Ok(())
}

fn dry_run(session: &Session, args: &Args<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let settings = session.daemon.config().settings();
    let name = std::str::from_utf8(args.get(2)).ok();
    let Some(user) = name.and_then(|name| settings.users.get(name)) else {
        let name = subcommand::shown(args.get(2));
        return Err(Refusal::other(format!("ERR User '{name}' not found")));
    };
    let Some(command) = find(args.get(3)) else {
        let name = subcommand::shown(args.get(3));
        return Err(Refusal::other(format!("ERR Command '{name}' not found")));
    };
    // The command's own arguments: what is checked counts from its name.
    let asked = args.tail(3);
    if !command.takes(asked.len()) {
        return Err(Refusal::Arity(command.name.into()));
    }
    match user.permissions().check(command, &asked) {
        Ok(()) => reply.ok(),
        Err(denied) => {
            let text = denied.to_string();
            reply.bulk(text.trim_start_matches("NOPERM ").as_bytes());
        }
    }
    Ok(())
}

fn generate(args: &Args<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    use rand::Rng as _;
    use std::fmt::Write as _;
    let bits = match args.len() {
        2 => 256,
        3 => integer::argument(args.get(2))?,
        _ => return Err(Refusal::Arity("acl|genpass".into())),
    };
    let bits = usize::try_from(bits).ok().filter(|bits| (1..=4096).contains(bits));
    let digits = bits.map(|bits| bits.div_ceil(4)).ok_or_else(|| {
        Refusal::other("ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to 4096")
    })?;
    let mut rng = rand::rng();
    let mut password = String::new();
    while password.len() < digits {
        // Writing to a String never fails.
        let _ = write!(password, "{:02x}", rng.random::<u8>());
    }
    password.truncate(digits);
    reply.bulk(password.as_bytes());
    Ok(())
}

fn log(session: &Session, args: &Args<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let mut record = session.daemon.gate().record();
    let wanted = match args.len() {
        2 => USUAL_ENTRIES,
        3 if args.is(2, "reset") => {
            record.clear();
            reply.ok();
            return Ok(());
        }
        3 => usize::try_from(integer::argument(args.get(2))?).unwrap_or(0).min(MAX_ENTRIES),
        _ => return Err(Refusal::Arity("acl|log".into())),
    };
    let now = session.daemon.now();
    reply.array(record.entries().len().min(wanted));
    for entry in record.entries().take(wanted) {
        let int = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        reply.map(10);
        reply.bulk(b"count");
        reply.int(int(entry.count));
        for (name, value) in [
            ("reason", entry.reason.as_bytes()),
            ("context", entry.context.name().as_bytes()),
            ("object", &*entry.object),
            ("username", &*entry.user),
        ] {
            reply.bulk(name.as_bytes());
            reply.bulk(value);
        }
        reply.bulk(b"age-seconds");
        let age = now.saturating_sub(entry.created);
        reply.bulk(format!("{}.{:03}", age / 1000, age % 1000).as_bytes());
        reply.bulk(b"client-info");
        reply.bulk(entry.client.as_bytes());
        for (name, value) in [
            ("entry-id", entry.id),
            ("timestamp-created", entry.created),
            ("timestamp-last-updated", entry.updated),
        ] {
            reply.bulk(name.as_bytes());
            reply.int(int(value));
        }
    }
    Ok(())
}
