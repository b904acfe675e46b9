//! COMMAND DOCS: the table's documentation, in the shape that redis-cli 7 makes its hints from.

mod syntax;

use std::fmt::Write as _;

use super::command::named;
use crate::acl::commands::Unit;
use crate::resp::args::Args;
use crate::resp::commands;
use crate::resp::reply::Reply;
use crate::resp::table::{Command, Family, Subcommand};

/// Names that are not there are left out, as in Redis.
pub(super) fn docs(args: &Args<'_>, reply: &mut Reply<'_>) {
    let found: Vec<Unit> = if args.len() == 2 {
        commands::all().map(|command| Unit { command, sub: None }).collect()
    } else {
        args.from(2).filter_map(named).collect()
    };
    reply.map(found.len());
    for unit in found {
        match unit.subcommand() {
            None => of_command(unit.command, reply),
            Some(sub) => of_sub(unit.command, sub, reply),
        }
    }
}

fn of_command(command: &Command, reply: &mut Reply<'_>) {
    reply.bulk(command.name.as_bytes());
    let subs = command.subcommands;
    // A family's own syntax only says that there are subcommands.
    let syntax = if subs.is_empty() { command.syntax } else { "" };
    entry(command, command.summary, syntax, !subs.is_empty(), reply);
    if !subs.is_empty() {
        reply.bulk(b"subcommands");
        reply.map(subs.len());
        for sub in subs {
            of_sub(command, sub, reply);
        }
    }
}

fn of_sub(command: &Command, sub: &Subcommand, reply: &mut Reply<'_>) {
    let mut name = String::new();
    // Writing to a String never fails.
    let _ = write!(name, "{}|{}", command.name, sub.name);
    reply.bulk(name.as_bytes());
    entry(command, sub.summary, sub.syntax, false, reply);
}

fn entry(command: &Command, summary: &str, syntax: &str, more: bool, reply: &mut Reply<'_>) {
    let arguments = syntax::parse(syntax);
    reply.map(4 + usize::from(!arguments.is_empty()) + usize::from(more));
    let mut pair = |name: &str, value: &str| {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    };
    pair("summary", summary);
    pair("since", command.since);
    pair("group", group(command.family));
    pair("complexity", command.complexity);
    if !arguments.is_empty() {
        reply.bulk(b"arguments");
        syntax::write(&arguments, reply);
    }
}

/// Redis' names of its groups.
const fn group(family: Family) -> &'static str {
    match family {
        Family::Read | Family::Write => "string",
        Family::Keyspace | Family::Expiry => "generic",
        Family::Transaction => "transactions",
        Family::PubSub => "pubsub",
        Family::Connection => "connection",
        Family::Server | Family::Tier => "server",
    }
}
