//! OBJECT: how a value is held.

use super::super::subcommand;
use crate::resp::args::Args;
use crate::resp::integer;
use crate::resp::keyspace::Keyspace;
use crate::resp::refusal::Refusal;
use crate::resp::reply::Reply;
use crate::resp::table::Subcommand;

/// The subcommands of OBJECT.
pub const SUBCOMMANDS: &[Subcommand] = &[
    Subcommand {
        name: "encoding",
        arity: 3,
        syntax: "<key>",
        summary: "Return how Redis would hold the value: int, embstr or raw.",
    },
    Subcommand {
        name: "freq",
        arity: 3,
        syntax: "<key>",
        summary: "Refused: no eviction policy here counts how often a key is used.",
    },
    Subcommand {
        name: "idletime",
        arity: 3,
        syntax: "<key>",
        summary: "Return the seconds since the key was last used.",
    },
    Subcommand {
        name: "refcount",
        arity: 3,
        syntax: "<key>",
        summary: "Return 1: values are not shared.",
    },
    Subcommand { name: "help", arity: 2, syntax: "", summary: "Print this help." },
];

/// Redis' own text, for clients that match on it.
const NO_LFU: &str = "ERR An LFU maxmemory policy is not selected, access frequency not tracked. \
    Please note that when switching between policies at runtime LRU and LFU data will take some \
    time to adjust.";

/// OBJECT subcommand [key]
pub fn object(
    ks: &mut Keyspace<'_>,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Refusal> {
    let name = subcommand::find("object", SUBCOMMANDS, args)?.name;
    if name == "help" {
        subcommand::help("object", SUBCOMMANDS, reply);
        return Ok(());
    }
    let (key, now) = (ks.key(args.get(2)), ks.now());
    let Some(entry) = ks.peek(key) else {
        reply.null();
        return Ok(());
    };
    match name {
        "encoding" => reply.bulk(encoding(entry.value).as_bytes()),
        "freq" => return Err(Refusal::other(NO_LFU)),
        "idletime" => reply.int(i64::try_from(entry.idle_ms(now) / 1000).unwrap_or(i64::MAX)),
        _ => reply.int(1),
    }
    Ok(())
}

/// The longest value that Redis embeds in its object header, bytes.
const EMBEDDED: usize = 44;

/// How Redis would hold a value that was just set. (One that was appended to is `raw` there
/// whatever its length; here nothing remembers that.)
fn encoding(value: &[u8]) -> &'static str {
    match value.len() {
        _ if integer::parse(value).is_some() => "int",
        0..=EMBEDDED => "embstr",
        _ => "raw",
    }
}
