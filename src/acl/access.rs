//! What a command does with each of its keys and channels: whether a user needs to be allowed to
//! read them, to write them, or only to touch them.
//!
//! The table of commands, and what looks at the arguments of those that Redis runs, tell which
//! arguments are keys, and the table whether the command reads or writes.
//! What it does with each key is Redis': APPEND only writes, RENAME reads its first key and writes
//! its second. That this is so is proved against a real one.

use std::sync::LazyLock;

use crate::resp::args::Args;
use crate::resp::commands;
use crate::resp::movable::sort_pattern;
use crate::resp::table::{Command, Flags, Run};

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
    /// BITFIELD: it writes if it has SET or INCRBY.
    Bitfield,
    /// SORT: it reads the first and writes the other, and BY and GET read any key there may be.
    Sort,
    /// It does not name all of its keys: it needs this of every key there may be.
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
    "xgroup",
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
const STORES: &[&str] = &[
    "bitop",
    "geosearchstore",
    "sdiffstore",
    "sinterstore",
    "sunionstore",
    "zdiffstore",
    "zinterstore",
    "zrangestore",
    "zunionstore",
];

/// Run by Redis as the user that Seawall is there, and may touch keys that they do not name.
const SCRIPTS: &[&str] = &["eval", "eval_ro", "evalsha", "evalsha_ro", "fcall", "fcall_ro"];

fn keys_of(command: &Command) -> Keys {
    let is = |names: &[&str]| names.contains(&command.name);
    let write = command.flags.has(Flags::WRITE);
    let usual = if write { BOTH } else { READ };
    match command.name {
        "set" => Keys::Set,
        "bitfield" => Keys::Bitfield,
        "sort" | "sort_ro" => Keys::Sort,
        "copy" | "georadius" | "georadiusbymember" => Keys::First(READ, WRITE),
        "pfmerge" => Keys::First(BOTH, READ),
        "function" | "script" => Keys::None,
        // What they note in a stream or a sketch counts as reading, in Redis.
        "pfdebug" | "xreadgroup" => Keys::Each(READ),
        // It names a key or a prefix, and the table does not tell which.
        "sw.restore" => Keys::Whole(BOTH),
        _ if is(SCRIPTS) && command.flags.has(Flags::READONLY) => Keys::Whole(READ),
        _ if is(SCRIPTS) => Keys::Whole(BOTH),
        // Channels, though the table counts them as keys.
        _ if channels_of(command) != Channels::None => Keys::None,
        // Where those of Redis' are is found out for each call.
        _ if command.keys.first == 0 && !matches!(command.run, Run::NeedsTier) => Keys::None,
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
            Self::Set | Self::Bitfield => BOTH,
            Self::Sort => READ,
        }
    }

    /// What the command needs of its key number `nth`, from 0.
    #[must_use]
    pub fn need(self, nth: usize, args: &Args<'_>) -> Need {
        let has = |from: usize, words: [&str; 2]| {
            let is_one = |arg: &[u8]| words.iter().any(|w| arg.eq_ignore_ascii_case(w.as_bytes()));
            args.from(from).any(is_one)
        };
        match self {
            Self::None => TOUCH,
            Self::Each(need) | Self::Whole(need) => need,
            Self::First(first, _) if nth == 0 => first,
            Self::First(_, others) => others,
            Self::Set if has(3, ["get", "ifeq"]) => BOTH,
            Self::Set => WRITE,
            Self::Bitfield if has(2, ["set", "incrby"]) => BOTH,
            Self::Bitfield => READ,
            Self::Sort if nth == 0 => READ,
            Self::Sort => WRITE,
        }
    }

    /// What the command needs of every key there may be, and the argument that says so.
    #[must_use]
    pub fn need_of_all(self, args: &Args<'_>) -> Option<(Need, Option<usize>)> {
        match self {
            Self::Whole(need) => Some((need, None)),
            Self::Sort => sort_pattern(args).map(|at| (READ, Some(at))),
            _ => None,
        }
    }
}
