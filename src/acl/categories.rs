//! The categories of commands: `@read`, `@dangerous`, …, those of Redis 7.
//!
//! Most follow from a command's flags and family. What does not is listed here by name. A name is
//! listed whether or not there is such a command here yet. That both together say what Redis says
//! is proved against a real one.

use super::commands::Unit;
use crate::resp::table::{Family, Flags};

/// A category.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names are Redis' and say it")]
pub enum Category {
    Keyspace,
    Read,
    Write,
    Set,
    SortedSet,
    List,
    Hash,
    String,
    Bitmap,
    HyperLogLog,
    Geo,
    Stream,
    PubSub,
    Admin,
    Fast,
    Slow,
    Blocking,
    Dangerous,
    Connection,
    Transaction,
    Scripting,
}

use Category::{
    Admin, Bitmap, Blocking, Connection, Dangerous, Fast, Geo, Hash, HyperLogLog, Keyspace, List,
    PubSub, Read, Scripting, Set, Slow, SortedSet, Stream, String as Strings, Transaction, Write,
};

impl Category {
    /// Every category, in Redis' order.
    pub const ALL: [Self; 21] = [
        Keyspace,
        Read,
        Write,
        Set,
        SortedSet,
        List,
        Hash,
        Strings,
        Bitmap,
        HyperLogLog,
        Geo,
        Stream,
        PubSub,
        Admin,
        Fast,
        Slow,
        Blocking,
        Dangerous,
        Connection,
        Transaction,
        Scripting,
    ];

    /// Its name, without `@`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Keyspace => "keyspace",
            Read => "read",
            Write => "write",
            Set => "set",
            SortedSet => "sortedset",
            List => "list",
            Hash => "hash",
            Strings => "string",
            Bitmap => "bitmap",
            HyperLogLog => "hyperloglog",
            Geo => "geo",
            Stream => "stream",
            PubSub => "pubsub",
            Admin => "admin",
            Fast => "fast",
            Slow => "slow",
            Blocking => "blocking",
            Dangerous => "dangerous",
            Connection => "connection",
            Transaction => "transaction",
            Scripting => "scripting",
        }
    }

    /// The category of this name, in any case.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|category| category.name().eq_ignore_ascii_case(name))
    }

    /// Whether a command or subcommand is in it.
    #[must_use]
    pub fn has(self, unit: Unit) -> bool {
        let name = unit.name();
        let listed = |lists: &[(Self, &[&str])]| {
            lists.iter().any(|(category, names)| *category == self && names.contains(&&*name))
        };
        (follows(self, unit) && !listed(NOT)) || listed(ALSO)
    }
}

/// Whether flags and family say so.
fn follows(category: Category, unit: Unit) -> bool {
    let command = unit.command;
    let flags = command.flags;
    let fast = flags.has(Flags::FAST);
    match category {
        Fast => return fast,
        Slow => return !fast,
        _ => {}
    }
    // A command that only leads to its subcommands is none of the rest, and help reads no data.
    let leads = unit.sub.is_none() && !command.subcommands.is_empty();
    let helps = unit.subcommand().is_some_and(|sub| sub.name == "help");
    match category {
        Connection => command.family == Family::Connection && !leads,
        _ if leads || helps => false,
        Read => flags.has(Flags::READONLY),
        Write => flags.has(Flags::WRITE),
        Strings => matches!(command.family, Family::Read | Family::Write),
        Keyspace => matches!(command.family, Family::Keyspace | Family::Expiry),
        Transaction => command.family == Family::Transaction,
        Admin | Dangerous => flags.has(Flags::ADMIN),
        _ => false,
    }
}

/// What flags and family say, and is not so.
const NOT: &[(Category, &[&str])] =
    &[(Keyspace, MEMORY), (Read, MEMORY_BUT_USAGE), (Read, &["eval_ro", "evalsha_ro", "fcall_ro"])];

const MEMORY: &[&str] =
    &["memory|doctor", "memory|malloc-stats", "memory|purge", "memory|stats", "memory|usage"];
const MEMORY_BUT_USAGE: &[&str] =
    &["memory|doctor", "memory|malloc-stats", "memory|purge", "memory|stats"];

/// For operators, and dangerous.
const OPERATORS: &[&str] = &[
    "acl|deluser",
    "acl|dryrun",
    "acl|getuser",
    "acl|list",
    "acl|load",
    "acl|log",
    "acl|save",
    "acl|setuser",
    "acl|users",
    "client|kill",
    "client|list",
    "client|no-evict",
    "client|pause",
    "client|unblock",
    "client|unpause",
    "lastsave",
    "role",
];

/// What flags and family do not say.
#[rustfmt::skip]
const ALSO: &[(Category, &[&str])] = &[
    (Admin, OPERATORS),
    (Dangerous, OPERATORS),
    (Dangerous, &[
        "flushall", "flushdb", "info", "keys", "migrate", "restore", "restore-asking", "sort",
        "sort_ro", "swapdb",
    ]),
    (Keyspace, &["dump", "migrate", "object|help", "restore", "restore-asking"]),
    (Connection, &[
        "asking", "command", "command|count", "command|docs", "command|getkeys",
        "command|getkeysandflags", "command|help", "command|info", "command|list", "readonly",
        "readwrite", "wait", "waitaof",
    ]),
    (Strings, &["lcs"]),
    (Bitmap, &["bitcount", "bitfield", "bitfield_ro", "bitop", "bitpos", "getbit", "setbit"]),
    (Blocking, &[
        "blmove", "blmpop", "blpop", "brpop", "brpoplpush", "bzmpop", "bzpopmax", "bzpopmin",
        "xread", "xreadgroup",
    ]),
    (Geo, &[
        "geoadd", "geodist", "geohash", "geopos", "georadius", "georadius_ro",
        "georadiusbymember", "georadiusbymember_ro", "geosearch", "geosearchstore",
    ]),
    (Hash, &[
        "hdel", "hexists", "hexpire", "hexpireat", "hexpiretime", "hget", "hgetall", "hincrby",
        "hincrbyfloat", "hkeys", "hlen", "hmget", "hmset", "hpersist", "hpexpire", "hpexpireat",
        "hpexpiretime", "hpttl", "hrandfield", "hscan", "hset", "hsetnx", "hstrlen", "httl",
        "hvals",
    ]),
    (HyperLogLog, &["pfadd", "pfcount", "pfdebug", "pfmerge", "pfselftest"]),
    (List, &[
        "blmove", "blmpop", "blpop", "brpop", "brpoplpush", "lindex", "linsert", "llen", "lmove",
        "lmpop", "lpop", "lpos", "lpush", "lpushx", "lrange", "lrem", "lset", "ltrim", "rpop",
        "rpoplpush", "rpush", "rpushx", "sort", "sort_ro",
    ]),
    (PubSub, &[
        "psubscribe", "publish", "pubsub|channels", "pubsub|numpat", "pubsub|numsub",
        "pubsub|shardchannels", "pubsub|shardnumsub", "punsubscribe", "spublish", "ssubscribe",
        "subscribe", "sunsubscribe", "unsubscribe",
    ]),
    (Scripting, &[
        "eval", "eval_ro", "evalsha", "evalsha_ro", "fcall", "fcall_ro", "function|delete",
        "function|dump", "function|flush", "function|help", "function|kill", "function|list",
        "function|load", "function|restore", "function|stats", "script|debug", "script|exists",
        "script|flush", "script|help", "script|kill", "script|load",
    ]),
    (Read, &["xinfo|consumers", "xinfo|groups", "xinfo|stream"]),
    (Write, &[
        "function|delete", "function|flush", "function|load", "function|restore",
        "xgroup|create", "xgroup|createconsumer", "xgroup|delconsumer", "xgroup|destroy",
        "xgroup|setid",
    ]),
    (Set, &[
        "sadd", "scard", "sdiff", "sdiffstore", "sinter", "sintercard", "sinterstore",
        "sismember", "smembers", "smismember", "smove", "sort", "sort_ro", "spop",
        "srandmember", "srem", "sscan", "sunion", "sunionstore",
    ]),
    (SortedSet, &[
        "bzmpop", "bzpopmax", "bzpopmin", "sort", "sort_ro", "zadd", "zcard", "zcount", "zdiff",
        "zdiffstore", "zincrby", "zinter", "zintercard", "zinterstore", "zlexcount", "zmpop",
        "zmscore", "zpopmax", "zpopmin", "zrandmember", "zrange", "zrangebylex",
        "zrangebyscore", "zrangestore", "zrank", "zrem", "zremrangebylex", "zremrangebyrank",
        "zremrangebyscore", "zrevrange", "zrevrangebylex", "zrevrangebyscore", "zrevrank",
        "zscan", "zscore", "zunion", "zunionstore",
    ]),
    (Stream, &[
        "xack", "xadd", "xautoclaim", "xclaim", "xdel", "xgroup|create", "xgroup|createconsumer",
        "xgroup|delconsumer", "xgroup|destroy", "xgroup|help", "xgroup|setid", "xinfo|consumers",
        "xinfo|groups", "xinfo|help", "xinfo|stream", "xlen", "xpending", "xrange", "xread",
        "xreadgroup", "xrevrange", "xsetid", "xtrim",
    ]),
];
