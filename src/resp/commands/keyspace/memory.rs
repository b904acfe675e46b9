//! MEMORY: what memory is used for.

use super::super::subcommand;
use crate::resp::args::Args;
use crate::resp::integer;
use crate::resp::keyspace::{Keyspace, Scope};
use crate::resp::refusal::Refusal;
use crate::resp::reply::Reply;
use crate::resp::table::Subcommand;

/// The subcommands of MEMORY.
pub const SUBCOMMANDS: &[Subcommand] = &[
    Subcommand {
        name: "doctor",
        arity: 2,
        syntax: "",
        summary: "Return a remark on how memory is used.",
    },
    Subcommand {
        name: "malloc-stats",
        arity: 2,
        syntax: "",
        summary: "Return that the allocator keeps no statistics.",
    },
    Subcommand {
        name: "purge",
        arity: 2,
        syntax: "",
        summary: "Do nothing: the allocator returns unused memory by itself.",
    },
    Subcommand {
        name: "stats",
        arity: 2,
        syntax: "",
        summary: "Return the memory of the whole key space and of an average key.",
    },
    Subcommand {
        name: "usage",
        arity: -3,
        syntax: "<key> [SAMPLES <count>]",
        summary: "Return the bytes that a key and its value take, all counted.",
    },
    Subcommand { name: "help", arity: 2, syntax: "", summary: "Print this help." },
];

/// MEMORY subcommand [argument …]
pub fn memory(
    ks: &mut Keyspace<'_>,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    match subcommand::find("memory", SUBCOMMANDS, args)?.name {
        "usage" => return usage(ks, args, reply),
        "stats" => stats(ks, reply),
        "doctor" => doctor(ks, reply),
        "malloc-stats" => reply.verbatim("Stats not supported for the current allocator"),
        "purge" => reply.ok(),
        _ => subcommand::help("memory", SUBCOMMANDS, reply),
    }
    Ok(())
}

/// MEMORY USAGE key [SAMPLES count]. A string is counted whole, so the samples change nothing.
fn usage(ks: &mut Keyspace<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> Result<(), Refusal> {
    for i in (3..args.len()).step_by(2) {
        if i + 1 == args.len() || !args.is(i, "SAMPLES") {
            return Err(Refusal::Syntax);
        }
        if integer::argument(args.get(i + 1))? < 0 {
            return Err(Refusal::Syntax);
        }
    }
    let key = ks.key(args.get(2));
    let Scope { db, now, .. } = ks.scope;
    match ks.store(key).memory_of(db, key, now) {
        Some(bytes) => reply.int(i64::try_from(bytes).unwrap_or(i64::MAX)),
        None => reply.null(),
    }
    Ok(())
}

fn totals(ks: &mut Keyspace<'_>) -> (u64, u64, u64) {
    ks.stores().fold((0, 0, 0), |(bytes, keys, limit), store| {
        (bytes + store.memory(), keys + store.entries(), limit + store.config().max_bytes)
    })
}

fn stats(ks: &mut Keyspace<'_>, reply: &mut Reply<'_>) {
    let (bytes, keys, _) = totals(ks);
    let rows = [
        ("total.allocated", bytes),
        ("dataset.bytes", bytes),
        ("keys.count", keys),
        ("keys.bytes-per-key", bytes.checked_div(keys).unwrap_or(0)),
    ];
    reply.map(rows.len());
    for (name, value) in rows {
        reply.bulk(name.as_bytes());
        reply.int(i64::try_from(value).unwrap_or(i64::MAX));
    }
}

/// Share of the limit from which the doctor speaks up, percent.
const NEARLY_FULL: u64 = 90;

fn doctor(ks: &mut Keyspace<'_>, reply: &mut Reply<'_>) {
    let (bytes, keys, limit) = totals(ks);
    reply.verbatim(&match (limit, bytes.saturating_mul(100).checked_div(limit)) {
        (0, _) => format!(
            "{bytes} bytes hold {keys} keys. There is no limit: cache.max_memory would bound it."
        ),
        (_, Some(share)) if share >= NEARLY_FULL => format!(
            "{bytes} of {limit} bytes hold {keys} keys: nearly full. Writes evict other keys, or \
             are refused under noeviction."
        ),
        _ => format!("{bytes} of {limit} bytes hold {keys} keys: no problem found."),
    });
}
