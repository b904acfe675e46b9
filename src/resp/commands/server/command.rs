//! COMMAND: what the table says, in the shapes of Redis 7.

use super::{docs, sub};
use crate::glob::Glob;
use crate::resp::args::Args;
use crate::resp::commands;
use crate::resp::commands::subcommand;
use crate::resp::refusal::Refusal;
use crate::resp::reply::Reply;
use crate::resp::session::Session;
use crate::resp::table::{Command, Family, Flags, Keys, Subcommand, find};

pub(super) const SUBCOMMANDS: &[Subcommand] = &[
    sub("count", 2, "", "Answers the number of commands."),
    sub("docs", -2, "[command-name [command-name …]]", "Answers the documentation of commands."),
    sub("getkeys", -3, "command [argument …]", "Answers the keys of a whole command."),
    sub("getkeysandflags", -3, "command [argument …]", "The same, and what is done with each."),
    sub("help", 2, "", "Prints this help."),
    sub("info", -2, "[command-name [command-name …]]", "Answers arity, flags and keys."),
    sub(
        "list",
        -2,
        "[FILTERBY MODULE module-name|ACLCAT category|PATTERN pattern]",
        "Answers the names of the commands.",
    ),
];

pub(super) fn command(
    _session: &mut Session,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    if args.len() == 1 {
        info_of_all(reply);
        return Ok(());
    }
    match subcommand::find("command", SUBCOMMANDS, args)?.name {
        "count" => reply.count(commands::all().count()),
        "docs" => docs::docs(args, reply),
        "getkeys" => keys(args, false, reply)?,
        "getkeysandflags" => keys(args, true, reply)?,
        "info" if args.len() == 2 => info_of_all(reply),
        "info" => {
            reply.array(args.len() - 2);
            for name in args.from(2) {
                info_of_name(name, reply);
            }
        }
        "list" => list(args, reply)?,
        _ => subcommand::help("command", SUBCOMMANDS, reply),
    }
    Ok(())
}

// === COMMAND INFO ===

fn info_of_all(reply: &mut Reply<'_>) {
    reply.array(commands::all().count());
    for command in commands::all() {
        info(command, reply);
    }
}

fn info_of_name(name: &[u8], reply: &mut Reply<'_>) {
    match named(name) {
        Some((command, None)) => info(command, reply),
        Some((command, Some(sub))) => info_of_sub(command, sub, reply),
        None => reply.null_array(),
    }
}

/// The command, or the subcommand, of a name like `get` or `client|list`.
pub(super) fn named(name: &[u8]) -> Option<(&'static Command, Option<&'static Subcommand>)> {
    let mut parts = name.splitn(2, |byte| *byte == b'|');
    let command = find(parts.next()?)?;
    match parts.next() {
        None => Some((command, None)),
        Some(sub) => {
            let named = |s: &&Subcommand| s.name.as_bytes().eq_ignore_ascii_case(sub);
            Some((command, Some(command.subcommands.iter().find(named)?)))
        }
    }
}

fn info(command: &Command, reply: &mut Reply<'_>) {
    head(command.name, command.arity, command.flags, command.keys, reply);
    categories(command, reply);
    reply.set(0);
    key_specs(command, reply);
    // Redis answers a set if there are none, and else an array.
    match command.subcommands.len() {
        0 => reply.set(0),
        count => reply.array(count),
    }
    for sub in command.subcommands {
        info_of_sub(command, sub, reply);
    }
}

fn info_of_sub(command: &Command, sub: &Subcommand, reply: &mut Reply<'_>) {
    head(&format!("{}|{}", command.name, sub.name), sub.arity, command.flags, command.keys, reply);
    categories(command, reply);
    reply.set(0);
    key_specs(command, reply);
    reply.set(0);
}

fn head(name: &str, arity: i8, flags: Flags, keys: Keys, reply: &mut Reply<'_>) {
    reply.array(10);
    reply.bulk(name.as_bytes());
    reply.int(arity.into());
    reply.set(flags.names().count());
    for flag in flags.names() {
        reply.simple(flag);
    }
    reply.int(keys.first.into());
    reply.int(keys.last.into());
    reply.int(keys.step.into());
}

fn categories(command: &Command, reply: &mut Reply<'_>) {
    let categories: Vec<&str> = acl_categories(command).collect();
    reply.set(categories.len());
    for category in categories {
        reply.simple(&format!("@{category}"));
    }
}

/// The categories that [`acl_categories`] tells apart.
pub(super) const CATEGORIES: [&str; 11] = [
    "keyspace",
    "read",
    "write",
    "string",
    "pubsub",
    "admin",
    "fast",
    "slow",
    "dangerous",
    "connection",
    "transaction",
];

/// Redis' categories, as far as flags and family tell them.
pub(super) fn acl_categories(command: &Command) -> impl Iterator<Item = &'static str> {
    let flags = command.flags;
    let family = match command.family {
        Family::Read | Family::Write => Some("string"),
        Family::Keyspace | Family::Expiry => Some("keyspace"),
        Family::Transaction => Some("transaction"),
        Family::Connection => Some("connection"),
        Family::PubSub => flags.has(Flags::PUBSUB).then_some("pubsub"),
        Family::Server | Family::Tier => None,
    };
    let fast = flags.has(Flags::FAST);
    [
        flags.has(Flags::WRITE).then_some("write"),
        flags.has(Flags::READONLY).then_some("read"),
        family,
        flags.has(Flags::ADMIN).then_some("admin"),
        Some(if fast { "fast" } else { "slow" }),
        flags.has(Flags::ADMIN).then_some("dangerous"),
    ]
    .into_iter()
    .flatten()
}

fn key_specs(command: &Command, reply: &mut Reply<'_>) {
    let keys = command.keys;
    if keys.first == 0 {
        reply.set(0);
        return;
    }
    let field = |reply: &mut Reply<'_>, name: &str, value: &str| {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    };
    let number = |reply: &mut Reply<'_>, name: &str, value: i8| {
        reply.bulk(name.as_bytes());
        reply.int(value.into());
    };
    reply.set(1);
    reply.map(3);
    reply.bulk(b"flags");
    key_flags(command, reply);
    reply.bulk(b"begin_search");
    reply.map(2);
    field(reply, "type", "index");
    reply.bulk(b"spec");
    reply.map(1);
    number(reply, "index", keys.first);
    reply.bulk(b"find_keys");
    reply.map(2);
    field(reply, "type", "range");
    reply.bulk(b"spec");
    reply.map(3);
    // Counted from the first key, or from the end.
    number(reply, "lastkey", if keys.last < 0 { keys.last } else { keys.last - keys.first });
    number(reply, "keystep", keys.step);
    number(reply, "limit", 0);
}

/// What is done with the keys: the table tells reading from writing.
fn key_flags(command: &Command, reply: &mut Reply<'_>) {
    let flags: &[&str] = match () {
        () if command.family == Family::PubSub => &["not_key"],
        () if !command.flags.has(Flags::WRITE) => &["RO", "access"],
        () if matches!(command.name, "del" | "unlink") => &["RM", "delete"],
        () if matches!(command.name, "mset" | "msetnx" | "setex" | "psetex" | "setnx") => {
            &["OW", "update"]
        }
        () => &["RW", "access", "update"],
    };
    reply.set(flags.len());
    for flag in flags {
        reply.simple(flag);
    }
}

// === COMMAND LIST ===

fn list(args: &Args<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let names: Vec<String> = match args.len() {
        2 => commands::all().flat_map(names_of).collect(),
        5 if args.is(2, "filterby") => {
            let value = args.get(4);
            if args.is(3, "module") {
                Vec::new()
            } else if args.is(3, "aclcat") {
                let in_it = |c: &&Command| {
                    acl_categories(c).any(|cat| value.eq_ignore_ascii_case(cat.as_bytes()))
                };
                commands::all().filter(in_it).flat_map(names_of).collect()
            } else if args.is(3, "pattern") {
                let glob = Glob::new(&value.to_ascii_lowercase());
                commands::all()
                    .flat_map(names_of)
                    .filter(|name| glob.matches(name.as_bytes()))
                    .collect()
            } else {
                return Err(Refusal::Syntax);
            }
        }
        _ => return Err(Refusal::Syntax),
    };
    reply.array(names.len());
    for name in names {
        reply.bulk(name.as_bytes());
    }
    Ok(())
}

/// The command's name, and those of its subcommands behind it.
pub(super) fn names_of(command: &'static Command) -> impl Iterator<Item = String> {
    let subs = command.subcommands.iter().map(|sub| format!("{}|{}", command.name, sub.name));
    std::iter::once(command.name.to_owned()).chain(subs)
}

// === COMMAND GETKEYS ===

fn keys(args: &Args<'_>, with_flags: bool, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let argc = args.len() - 2;
    let Some(command) = find(args.get(2)) else {
        return Err(Refusal::other("ERR Invalid command specified"));
    };
    if command.keys.first == 0 {
        return Err(Refusal::other("ERR The command has no key arguments"));
    }
    if !command.takes(argc) {
        return Err(Refusal::other("ERR Invalid number of arguments specified for command"));
    }
    let indexes = command.keys.indexes(argc);
    if indexes.len() == 0 {
        return Err(Refusal::other("ERR Invalid arguments specified for command"));
    }
    reply.array(indexes.len());
    for index in indexes {
        if with_flags {
            reply.array(2);
        }
        reply.bulk(args.get(index + 2));
        if with_flags {
            key_flags(command, reply);
        }
    }
    Ok(())
}
