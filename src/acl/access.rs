//! What a command does with each of its keys and channels: whether a user needs to be allowed to
//! read them, to write them, or only to touch them.
//!
//! The table of commands tells which arguments are keys, and whether the command reads or writes.
//! What it does with each key is Redis': APPEND only writes, RENAME reads its first key and writes
//! its second. That this is so is proved against a real one.

use std::sync::LazyLock;

use crate::resp::args::Args;
use crate::resp::commands;
use crate::resp::table::{Command, Flags};

/// What is done with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Need {
    /// Its value, or a part of it, is told.
    pub read: bool,
    /// It is changed.
    pub write: bool,
}

const TOUCH: Need = Need { read: false, write: false };
const READ: Need = Need { read: true, write: false };
const WRITE: Need = Need { read: false, write: true };
const BOTH: Need = Need { read: true, write: true };

/// What a command needs of its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// It has none.
    None,
    /// The same of each.
    Each(Need),
    /// This of the first, that of the others.
    First(Need, Need),
    /// SET: it reads if it has GET or IFEQ.
    Set,
    /// The table does not tell all of its keys: it needs this of every key there may be.
    Whole(Need),
}

/// Which arguments are channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channels {
    /// None.
    None,
    /// Argument 1 is the name of one.
    First,
    /// All are names.
    All,
    /// All are patterns.
    Patterns,
}

/// Tells whether a key is there, or how large, or makes nothing known of it at all.
const TOUCHES: &[&str] = &[
    "exists",
    "hexists",
    "hlen",
    "hstrlen",
    "llen",
    "memory",
    "object",
    "scard",
    "sismember",
    "strlen",
    "touch",
    "type",
    "watch",
    "xlen",
    "zcard",
];

/// Changes a key without telling what was in it.
const WRITES: &[&str] = &[
    "append",
    "del",
    "expire",
    "expireat",
    "geoadd",
    "hdel",
    "hmset",
    "hset",
    "hsetnx",
    "linsert",
    "lpush",
    "lpushx",
    "lrem",
    "lset",
    "ltrim",
    "mset",
    "msetnx",
    "persist",
    "pexpire",
    "pexpireat",
    "pfadd",
    "psetex",
    "restore",
    "restore-asking",
    "rpush",
    "rpushx",
    "sadd",
    "setex",
    "setnx",
    "setrange",
    "srem",
    "unlink",
    "xack",
    "xadd",
    "xautoclaim",
    "xclaim",
    "xdel",
    "xsetid",
    "xtrim",
    "zadd",
    "zrem",
    "zremrangebylex",
    "zremrangebyrank",
    "zremrangebyscore",
];

/// Takes from the first key and puts into the second.
const MOVES: &[&str] =
    &["blmove", "brpoplpush", "lmove", "rename", "renamenx", "rpoplpush", "smove"];

/// Puts into the first key what comes of the others.
const STORES: &[&str] =
    &["bitop", "geosearchstore", "sdiffstore", "sinterstore", "sunionstore", "zrangestore"];

/// Names keys where the table of commands can't say: behind a count, a keyword or a subcommand.
const WHOLE: &[&str] = &[
    "blmpop",
    "bzmpop",
    "eval",
    "eval_ro",
    "evalsha",
    "evalsha_ro",
    "fcall",
    "fcall_ro",
    "georadius",
    "georadiusbymember",
    "lmpop",
    "migrate",
    "sintercard",
    "sort",
    "sort_ro",
    "sw.restore",
    "xgroup",
    "xinfo",
    "xread",
    "xreadgroup",
    "zdiff",
    "zdiffstore",
    "zinter",
    "zintercard",
    "zinterstore",
    "zmpop",
    "zunion",
    "zunionstore",
];

fn keys_of(command: &Command) -> Keys {
    let is = |names: &[&str]| names.contains(&command.name);
    let write = command.flags.has(Flags::WRITE);
    let usual = if write { BOTH } else { READ };
    match command.name {
        "set" => Keys::Set,
        "copy" => Keys::First(READ, WRITE),
        "pfmerge" => Keys::First(BOTH, READ),
        // A script may do anything with its keys.
        "eval" | "evalsha" | "fcall" | "xgroup" => Keys::Whole(BOTH),
        _ if is(WHOLE) => Keys::Whole(usual),
        // Channels, though the table counts them as keys.
        _ if channels_of(command) != Channels::None => Keys::None,
        _ if command.keys.first == 0 => Keys::None,
        _ if is(TOUCHES) => Keys::Each(TOUCH),
        _ if is(WRITES) => Keys::Each(WRITE),
        _ if is(MOVES) => Keys::First(BOTH, WRITE),
        _ if is(STORES) => Keys::First(WRITE, READ),
        _ => Keys::Each(usual),
    }
}

fn channels_of(command: &Command) -> Channels {
    match command.name {
        "publish" | "spublish" => Channels::First,
        "subscribe" | "ssubscribe" => Channels::All,
        "psubscribe" => Channels::Patterns,
        _ => Channels::None,
    }
}

/// By the id of the command.
static OF: LazyLock<Vec<(Keys, Channels)>> =
    LazyLock::new(|| commands::all().map(|c| (keys_of(c), channels_of(c))).collect());

/// What a command needs of its keys and channels.
#[must_use]
pub fn of(command: &Command) -> (Keys, Channels) {
    let known = OF.get(usize::from(command.id)).copied();
    known.unwrap_or((Keys::Whole(BOTH), Channels::None))
}

impl Keys {
    /// What the command needs of its first key whatever its other arguments are.
    #[must_use]
    pub const fn usual(self) -> Need {
        match self {
            Self::None => TOUCH,
            Self::Each(need) | Self::Whole(need) | Self::First(need, _) => need,
            Self::Set => BOTH,
        }
    }

    /// What the command needs of its key number `nth`, from 0. Its name is argument `at` of `args`.
    #[must_use]
    pub fn need(self, nth: usize, args: &Args<'_>, at: usize) -> Need {
        match self {
            Self::None => TOUCH,
            Self::Each(need) | Self::Whole(need) => need,
            Self::First(first, others) => {
                if nth == 0 {
                    first
                } else {
                    others
                }
            }
            Self::Set => {
                let tells = |word: &[u8]| {
                    word.eq_ignore_ascii_case(b"get") || word.eq_ignore_ascii_case(b"ifeq")
                };
                if args.from(at + 3).any(tells) { BOTH } else { WRITE }
            }
        }
    }
}
