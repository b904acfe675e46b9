//! COMMAND: what the table says, in the shapes of Redis 7.

use super::docs;
use crate::acl::access::{self, Need};
use crate::acl::categories::Category;
use crate::acl::commands::Unit;
use crate::glob::Glob;
use crate::resp::args::Args;
use crate::resp::commands;
use crate::resp::commands::subcommand;
use crate::resp::movable::keys_of;
use crate::resp::refusal::Refusal;
use crate::resp::reply::Reply;
use crate::resp::session::Session;
use crate::resp::table::{Command, Family, Flags, Keys, Subcommand, find, sub};

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
        Some(unit) => match unit.subcommand() {
            None => info(unit.command, reply),
            Some(sub) => info_of_sub(unit, sub, reply),
        },
        None => reply.null_array(),
    }
}

/// The command, or the subcommand, of a name like `get` or `client|list`.
pub(super) fn named(name: &[u8]) -> Option<Unit> {
    Unit::named(std::str::from_utf8(name).ok()?)
}

fn info(command: &'static Command, reply: &mut Reply<'_>) {
    head(command.name, command.arity, command.flags, command.keys, reply);
    categories(Unit { command, sub: None }, reply);
    reply.set(0);
    key_specs(command, reply);
    // Redis answers a set if there are none, and else an array.
    match command.subcommands.len() {
        0 => reply.set(0),
        count => reply.array(count),
    }
    for (at, sub) in command.subcommands.iter().enumerate() {
        info_of_sub(Unit { command, sub: Some(at) }, sub, reply);
    }
}

fn info_of_sub(unit: Unit, sub: &Subcommand, reply: &mut Reply<'_>) {
    let command = unit.command;
    head(&unit.name(), sub.arity, command.flags, command.keys, reply);
    categories(unit, reply);
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

fn categories(unit: Unit, reply: &mut Reply<'_>) {
    let categories = || Category::ALL.into_iter().filter(|category| category.has(unit));
    reply.set(categories().count());
    for category in categories() {
        reply.simple(&format!("@{}", category.name()));
    }
}

/// The names of all commands and subcommands of a category.
pub(super) fn members(category: Category) -> Vec<String> {
    Unit::all().filter(|unit| category.has(*unit)).map(|unit| unit.name()).collect()
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
    key_flags(command, access::of(command).0.usual(), reply);
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

/// What is done with a key.
fn key_flags(command: &Command, need: Need, reply: &mut Reply<'_>) {
    let flags: &[&str] = match (need.read, need.write) {
        _ if command.family == Family::PubSub => &["not_key"],
        (false, false) => &["RO"],
        (true, false) => &["RO", "access"],
        (false, true) if matches!(command.name, "del" | "unlink") => &["RM", "delete"],
        (false, true) => &["OW", "update"],
        (true, true) => &["RW", "access", "update"],
    };
    reply.set(flags.len());
    for flag in flags {
        reply.simple(flag);
    }
}

// === COMMAND LIST ===

fn list(args: &Args<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let names: Vec<String> = match args.len() {
        2 => Unit::all().map(|unit| unit.name()).collect(),
        5 if args.is(2, "filterby") => {
            let value = args.get(4);
            if args.is(3, "module") {
                Vec::new()
            } else if args.is(3, "aclcat") {
                let category = std::str::from_utf8(value).ok().and_then(Category::named);
                category.map(members).unwrap_or_default()
            } else if args.is(3, "pattern") {
                let glob = Glob::new(&value.to_ascii_lowercase());
                Unit::all()
                    .map(|unit| unit.name())
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

// === COMMAND GETKEYS ===

fn keys(args: &Args<'_>, with_flags: bool, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    let Some(command) = find(args.get(2)) else {
        return Err(Refusal::other("ERR Invalid command specified"));
    };
    let args = args.tail(2);
    let needs = access::of(command).0;
    let helps = Unit::called(command, &args).subcommand().is_some_and(|sub| sub.name == "help");
    if helps || command.keys.first == 0 && needs == access::Keys::None {
        return Err(Refusal::other("ERR The command has no key arguments"));
    }
    if !command.takes(args.len()) {
        return Err(Refusal::other("ERR Invalid number of arguments specified for command"));
    }
    let indexes: Vec<usize> = keys_of(command, &args).collect();
    // A script need not name any.
    if indexes.is_empty() && !matches!(needs, access::Keys::Whole(_)) {
        return Err(Refusal::other("ERR Invalid arguments specified for command"));
    }
    reply.array(indexes.len());
    for (nth, index) in indexes.into_iter().enumerate() {
        if with_flags {
            reply.array(2);
        }
        reply.bulk(args.get(index));
        if with_flags {
            key_flags(command, needs.need(nth, &args), reply);
        }
    }
    Ok(())
}
