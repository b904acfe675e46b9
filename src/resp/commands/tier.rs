//! Redis commands whose data types are not held here: known by name, arity and keys, answered by
//! a Redis tier.
//!
//! `blocking` and *movable* keys (EVAL, XREAD, …: the keys' places depend on other arguments) are
//! not described by this table; such commands declare no keys, as in Redis' own table.

mod subcommands;

use crate::resp::table::{Command, Family, Flags, Keys, Run};

const N: Flags = Flags::NONE;
const R: Flags = Flags::READONLY;
const RF: Flags = R.and(Flags::FAST);
const W: Flags = Flags::WRITE;
const WF: Flags = W.and(Flags::FAST);
const WD: Flags = W.and(Flags::DENYOOM);
const WDA: Flags = WD.and(Flags::ADMIN);
const WDF: Flags = WD.and(Flags::FAST);

/// `"Type" { "name" arity KEYS FLAGS "since" "syntax" SUBCOMMANDS; … }`, most without the last.
macro_rules! tier {
    ($($kind:literal {
        $($name:literal $arity:literal $keys:ident $flags:ident $since:literal $syntax:literal $($subs:ident)?;)*
    })*) => {
        /// The commands of this family.
        pub const COMMANDS: &[Command] = &[$($(
            Command::new($name, $arity, $flags, Keys::$keys, Family::Tier, Run::NeedsTier).doc(
                $since,
                concat!($kind, ": answered by a Redis tier (`redis.url`)."),
                $syntax,
                "That of Redis, and a round trip.",
            )$(.with(subcommands::$subs))?,
        )*)*];
    };
}

tier! {
    "Hash" {
        "hdel" -3 ONE WF "2.0.0" "key field [field …]";
        "hexists" 3 ONE RF "2.0.0" "key field";
        "hexpire" -6 ONE WDF "7.4.0" "key seconds [NX|XX|GT|LT] FIELDS numfields field [field …]";
        "hexpireat" -6 ONE WDF "7.4.0" "key unix-time-seconds [NX|XX|GT|LT] FIELDS numfields field [field …]";
        "hexpiretime" -5 ONE RF "7.4.0" "key FIELDS numfields field [field …]";
        "hget" 3 ONE RF "2.0.0" "key field";
        "hgetall" 2 ONE R "2.0.0" "key";
        "hincrby" 4 ONE WDF "2.0.0" "key field increment";
        "hincrbyfloat" 4 ONE WDF "2.6.0" "key field increment";
        "hkeys" 2 ONE R "2.0.0" "key";
        "hlen" 2 ONE RF "2.0.0" "key";
        "hmget" -3 ONE RF "2.0.0" "key field [field …]";
        "hmset" -4 ONE WDF "2.0.0" "key field value [field value …]";
        "hpersist" -5 ONE WF "7.4.0" "key FIELDS numfields field [field …]";
        "hpexpire" -6 ONE WDF "7.4.0" "key milliseconds [NX|XX|GT|LT] FIELDS numfields field [field …]";
        "hpexpireat" -6 ONE WDF "7.4.0" "key unix-time-milliseconds [NX|XX|GT|LT] FIELDS numfields field [field …]";
        "hpexpiretime" -5 ONE RF "7.4.0" "key FIELDS numfields field [field …]";
        "hpttl" -5 ONE RF "7.4.0" "key FIELDS numfields field [field …]";
        "hrandfield" -2 ONE R "6.2.0" "key [count [WITHVALUES]]";
        "hscan" -3 ONE R "2.8.0" "key cursor [MATCH pattern] [COUNT count]";
        "hset" -4 ONE WDF "2.0.0" "key field value [field value …]";
        "hsetnx" 4 ONE WDF "2.0.0" "key field value";
        "hstrlen" 3 ONE RF "3.2.0" "key field";
        "httl" -5 ONE RF "7.4.0" "key FIELDS numfields field [field …]";
        "hvals" 2 ONE R "2.0.0" "key";
    }
    "List" {
        "blmove" 6 TWO WD "6.2.0" "source destination <LEFT|RIGHT> <LEFT|RIGHT> timeout";
        "blmpop" -5 NONE W "7.0.0" "timeout numkeys key [key …] <LEFT|RIGHT> [COUNT count]";
        "blpop" -3 ALL_BUT_LAST W "2.0.0" "key [key …] timeout";
        "brpop" -3 ALL_BUT_LAST W "2.0.0" "key [key …] timeout";
        "brpoplpush" 4 TWO WD "2.2.0" "source destination timeout";
        "lindex" 3 ONE R "1.0.0" "key index";
        "linsert" 5 ONE WD "2.2.0" "key <BEFORE|AFTER> pivot element";
        "llen" 2 ONE RF "1.0.0" "key";
        "lmove" 5 TWO WD "6.2.0" "source destination <LEFT|RIGHT> <LEFT|RIGHT>";
        "lmpop" -4 NONE W "7.0.0" "numkeys key [key …] <LEFT|RIGHT> [COUNT count]";
        "lpop" -2 ONE WF "1.0.0" "key [count]";
        "lpos" -3 ONE R "6.0.6" "key element [RANK rank] [COUNT num-matches] [MAXLEN len]";
        "lpush" -3 ONE WDF "1.0.0" "key element [element …]";
        "lpushx" -3 ONE WDF "2.2.0" "key element [element …]";
        "lrange" 4 ONE R "1.0.0" "key start stop";
        "lrem" 4 ONE W "1.0.0" "key count element";
        "lset" 4 ONE WD "1.0.0" "key index element";
        "ltrim" 4 ONE W "1.0.0" "key start stop";
        "rpop" -2 ONE WF "1.0.0" "key [count]";
        "rpoplpush" 3 TWO WD "1.2.0" "source destination";
        "rpush" -3 ONE WDF "1.0.0" "key element [element …]";
        "rpushx" -3 ONE WDF "2.2.0" "key element [element …]";
    }
    "Set" {
        "sadd" -3 ONE WDF "1.0.0" "key member [member …]";
        "scard" 2 ONE RF "1.0.0" "key";
        "sdiff" -2 ALL R "1.0.0" "key [key …]";
        "sdiffstore" -3 ALL WD "1.0.0" "destination key [key …]";
        "sinter" -2 ALL R "1.0.0" "key [key …]";
        "sintercard" -3 NONE R "7.0.0" "numkeys key [key …] [LIMIT limit]";
        "sinterstore" -3 ALL WD "1.0.0" "destination key [key …]";
        "sismember" 3 ONE RF "1.0.0" "key member";
        "smembers" 2 ONE R "1.0.0" "key";
        "smismember" -3 ONE RF "6.2.0" "key member [member …]";
        "smove" 4 TWO WF "1.0.0" "source destination member";
        "spop" -2 ONE WF "1.0.0" "key [count]";
        "srandmember" -2 ONE R "1.0.0" "key [count]";
        "srem" -3 ONE WF "1.0.0" "key member [member …]";
        "sscan" -3 ONE R "2.8.0" "key cursor [MATCH pattern] [COUNT count]";
        "sunion" -2 ALL R "1.0.0" "key [key …]";
        "sunionstore" -3 ALL WD "1.0.0" "destination key [key …]";
    }
    "Sorted set" {
        "bzmpop" -5 NONE W "7.0.0" "timeout numkeys key [key …] <MIN|MAX> [COUNT count]";
        "bzpopmax" -3 ALL_BUT_LAST WF "5.0.0" "key [key …] timeout";
        "bzpopmin" -3 ALL_BUT_LAST WF "5.0.0" "key [key …] timeout";
        "zadd" -4 ONE WDF "1.2.0" "key [NX|XX] [GT|LT] [CH] [INCR] score member [score member …]";
        "zcard" 2 ONE RF "1.2.0" "key";
        "zcount" 4 ONE RF "2.0.0" "key min max";
        "zdiff" -3 NONE R "6.2.0" "numkeys key [key …] [WITHSCORES]";
        "zdiffstore" -4 ONE WD "6.2.0" "destination numkeys key [key …]";
        "zincrby" 4 ONE WDF "1.2.0" "key increment member";
        "zinter" -3 NONE R "6.2.0" "numkeys key [key …] [WEIGHTS weight [weight …]] [AGGREGATE SUM|MIN|MAX] [WITHSCORES]";
        "zintercard" -3 NONE R "7.0.0" "numkeys key [key …] [LIMIT limit]";
        "zinterstore" -4 ONE WD "2.0.0" "destination numkeys key [key …] [WEIGHTS weight [weight …]] [AGGREGATE SUM|MIN|MAX]";
        "zlexcount" 4 ONE RF "2.8.9" "key min max";
        "zmpop" -4 NONE W "7.0.0" "numkeys key [key …] <MIN|MAX> [COUNT count]";
        "zmscore" -3 ONE RF "6.2.0" "key member [member …]";
        "zpopmax" -2 ONE WF "5.0.0" "key [count]";
        "zpopmin" -2 ONE WF "5.0.0" "key [count]";
        "zrandmember" -2 ONE R "6.2.0" "key [count [WITHSCORES]]";
        "zrange" -4 ONE R "1.2.0" "key start stop [BYSCORE|BYLEX] [REV] [LIMIT offset count] [WITHSCORES]";
        "zrangebylex" -4 ONE R "2.8.9" "key min max [LIMIT offset count]";
        "zrangebyscore" -4 ONE R "1.0.5" "key min max [WITHSCORES] [LIMIT offset count]";
        "zrangestore" -5 TWO WD "6.2.0" "dst src min max [BYSCORE|BYLEX] [REV] [LIMIT offset count]";
        "zrank" -3 ONE RF "2.0.0" "key member [WITHSCORE]";
        "zrem" -3 ONE WF "1.2.0" "key member [member …]";
        "zremrangebylex" 4 ONE W "2.8.9" "key min max";
        "zremrangebyrank" 4 ONE W "2.0.0" "key start stop";
        "zremrangebyscore" 4 ONE W "1.2.0" "key min max";
        "zrevrange" -4 ONE R "1.2.0" "key start stop [WITHSCORES]";
        "zrevrangebylex" -4 ONE R "2.8.9" "key max min [LIMIT offset count]";
        "zrevrangebyscore" -4 ONE R "2.2.0" "key max min [WITHSCORES] [LIMIT offset count]";
        "zrevrank" -3 ONE RF "2.0.0" "key member [WITHSCORE]";
        "zscan" -3 ONE R "2.8.0" "key cursor [MATCH pattern] [COUNT count]";
        "zscore" 3 ONE RF "1.2.0" "key member";
        "zunion" -3 NONE R "6.2.0" "numkeys key [key …] [WEIGHTS weight [weight …]] [AGGREGATE SUM|MIN|MAX] [WITHSCORES]";
        "zunionstore" -4 ONE WD "2.0.0" "destination numkeys key [key …] [WEIGHTS weight [weight …]] [AGGREGATE SUM|MIN|MAX]";
    }
    "Stream" {
        "xack" -4 ONE WF "5.0.0" "key group id [id …]";
        "xadd" -5 ONE WDF "5.0.0" "key [NOMKSTREAM] [<MAXLEN|MINID> [=|~] threshold [LIMIT count]] <*|id> field value [field value …]";
        "xautoclaim" -6 ONE WF "6.2.0" "key group consumer min-idle-time start [COUNT count] [JUSTID]";
        "xclaim" -6 ONE WF "5.0.0" "key group consumer min-idle-time id [id …] [IDLE ms] [TIME unix-time-milliseconds] [RETRYCOUNT count] [FORCE] [JUSTID] [LASTID id]";
        "xdel" -3 ONE WF "5.0.0" "key id [id …]";
        "xgroup" -2 NONE N "5.0.0" "subcommand [argument …]" XGROUP;
        "xinfo" -2 NONE N "5.0.0" "subcommand [argument …]" XINFO;
        "xlen" 2 ONE RF "5.0.0" "key";
        "xpending" -3 ONE R "5.0.0" "key group [[IDLE min-idle-time] start end count [consumer]]";
        "xrange" -4 ONE R "5.0.0" "key start end [COUNT count]";
        "xread" -4 NONE R "5.0.0" "[COUNT count] [BLOCK milliseconds] STREAMS key [key …] id [id …]";
        "xreadgroup" -7 NONE W "5.0.0" "GROUP group consumer [COUNT count] [BLOCK milliseconds] [NOACK] STREAMS key [key …] id [id …]";
        "xrevrange" -4 ONE R "5.0.0" "key end start [COUNT count]";
        "xsetid" -3 ONE WDF "5.0.0" "key last-id [ENTRIESADDED entries_added] [MAXDELETEDID max_deleted_entry_id]";
        "xtrim" -4 ONE W "5.0.0" "key <MAXLEN|MINID> [=|~] threshold [LIMIT count]";
    }
    "Geospatial" {
        "geoadd" -5 ONE WD "3.2.0" "key [NX|XX] [CH] longitude latitude member [longitude latitude member …]";
        "geodist" -4 ONE R "3.2.0" "key member1 member2 [M|KM|FT|MI]";
        "geohash" -2 ONE R "3.2.0" "key member [member …]";
        "geopos" -2 ONE R "3.2.0" "key member [member …]";
        "georadius" -6 ONE WD "3.2.0" "key longitude latitude radius <M|KM|FT|MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC|DESC] [STORE key] [STOREDIST key]";
        "georadius_ro" -6 ONE R "3.2.10" "key longitude latitude radius <M|KM|FT|MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC|DESC]";
        "georadiusbymember" -5 ONE WD "3.2.0" "key member radius <M|KM|FT|MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC|DESC] [STORE key] [STOREDIST key]";
        "georadiusbymember_ro" -5 ONE R "3.2.10" "key member radius <M|KM|FT|MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC|DESC]";
        "geosearch" -7 ONE R "6.2.0" "key <FROMMEMBER member|FROMLONLAT longitude latitude> <BYRADIUS radius <M|KM|FT|MI>|BYBOX width height <M|KM|FT|MI>> [ASC|DESC] [COUNT count [ANY]] [WITHCOORD] [WITHDIST] [WITHHASH]";
        "geosearchstore" -8 TWO WD "6.2.0" "destination source <FROMMEMBER member|FROMLONLAT longitude latitude> <BYRADIUS radius <M|KM|FT|MI>|BYBOX width height <M|KM|FT|MI>> [ASC|DESC] [COUNT count [ANY]] [STOREDIST]";
    }
    "HyperLogLog" {
        "pfadd" -2 ONE WDF "2.8.9" "key [element [element …]]";
        "pfcount" -2 ALL R "2.8.9" "key [key …]";
        "pfdebug" 3 SECOND WDA "2.8.9" "subcommand key";
        "pfmerge" -2 ALL WD "2.8.9" "destkey sourcekey [sourcekey …]";
    }
    "Bitmap" {
        "bitcount" -2 ONE R "2.6.0" "key [start end [BYTE|BIT]]";
        "bitfield" -2 ONE WD "3.2.0" "key [GET encoding offset|[OVERFLOW WRAP|SAT|FAIL] <SET encoding offset value|INCRBY encoding offset increment>] …";
        "bitfield_ro" -2 ONE RF "6.0.0" "key [GET encoding offset [GET encoding offset …]]";
        "bitop" -4 FROM_SECOND WD "2.6.0" "operation destkey key [key …]";
        "bitpos" -3 ONE R "2.8.7" "key bit [start [end [BYTE|BIT]]]";
        "getbit" 3 ONE RF "2.2.0" "key offset";
        "setbit" 4 ONE WD "2.2.0" "key offset value";
    }
    "Scripting and functions" {
        "eval" -3 NONE N "2.6.0" "script numkeys [key [key …]] [arg [arg …]]";
        "eval_ro" -3 NONE R "7.0.0" "script numkeys [key [key …]] [arg [arg …]]";
        "evalsha" -3 NONE N "2.6.0" "sha1 numkeys [key [key …]] [arg [arg …]]";
        "evalsha_ro" -3 NONE R "7.0.0" "sha1 numkeys [key [key …]] [arg [arg …]]";
        "fcall" -3 NONE N "7.0.0" "function numkeys [key [key …]] [arg [arg …]]";
        "fcall_ro" -3 NONE R "7.0.0" "function numkeys [key [key …]] [arg [arg …]]";
        "function" -2 NONE N "7.0.0" "subcommand [argument …]" FUNCTION;
        "script" -2 NONE N "2.6.0" "subcommand [argument …]" SCRIPT;
    }
    "Keys of any type" {
        "dump" 2 ONE R "2.6.0" "key";
        "lcs" -3 TWO R "7.0.0" "key1 key2 [LEN] [IDX] [MINMATCHLEN len] [WITHMATCHLEN]";
        "restore" -4 ONE WD "2.6.0" "key ttl serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]";
        "sort" -2 ONE WD "1.0.0" "key [BY pattern] [LIMIT offset count] [GET pattern [GET pattern …]] [ASC|DESC] [ALPHA] [STORE destination]";
        "sort_ro" -2 ONE R "7.0.0" "key [BY pattern] [LIMIT offset count] [GET pattern [GET pattern …]] [ASC|DESC] [ALPHA]";
    }
}
