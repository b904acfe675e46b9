//! Errors that commands answer with. Texts are Redis' own where clients match on them.

use std::borrow::Cow;

use seawall_actors::cache::store;

/// Why a command was refused; becomes an error reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Options that do not go together, or an unknown one.
    #[error("ERR syntax error")]
    Syntax,
    /// An argument that is not a 64-bit integer, or a result that would not be.
    #[error("ERR value is not an integer or out of range")]
    NotAnInteger,
    /// An argument or value that is not a number.
    #[error("ERR value is not a valid float")]
    NotAFloat,
    /// The store is full and evicts nothing.
    #[error("OOM command not allowed when used memory > 'maxmemory'.")]
    OutOfMemory,
    /// The value is larger than one shard, with its share of the limit in bytes.
    #[error(
        "OOM the value does not fit into one shard, whose share of 'maxmemory' is {0} bytes: \
         raise cache.max_memory or set fewer cache.shards"
    )]
    TooLarge(u64),
    /// The key is not there (RENAME).
    #[error("ERR no such key")]
    NoSuchKey,
    /// A database number that does not exist.
    #[error("ERR DB index is out of range")]
    DbOutOfRange,
    /// An expiry out of range; names the command, in lower case.
    #[error("ERR invalid expire time in '{0}' command")]
    InvalidExpire(&'static str),
    /// Wrong number of arguments; names the command (`client|kill` for a subcommand).
    #[error("ERR wrong number of arguments for '{0}' command")]
    Arity(Cow<'static, str>),
    /// The key holds another type, in Redis.
    #[error("WRONGTYPE Operation against a key holding the wrong kind of value")]
    WrongType,
    /// The key holds another type, in Redis, which is to run the command itself. An answer only
    /// where Redis can't.
    #[error(
        "ERR a key holds a type that only Redis has: this command can not run in a transaction \
         with commands that Redis does not run"
    )]
    Foreign,
    /// Any other; the text starts with its code.
    #[error("{0}")]
    Other(Cow<'static, str>),
}

impl Refusal {
    /// A refusal with a text of its own; `text` starts with the error code.
    pub fn other(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Other(text.into())
    }

    /// The error code, for counting errors by kind: the text's first word.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::OutOfMemory | Self::TooLarge(_) => "OOM",
            Self::WrongType => "WRONGTYPE",
            Self::Other(text) => text.split(' ').next().unwrap_or("ERR"),
            _ => "ERR",
        }
    }
}

impl From<store::Refusal> for Refusal {
    fn from(refusal: store::Refusal) -> Self {
        match refusal {
            store::Refusal::OutOfMemory(_) => Self::OutOfMemory,
            store::Refusal::TooLarge(share) => Self::TooLarge(share),
            store::Refusal::NoSuchDatabase(_) => Self::DbOutOfRange,
            store::Refusal::TooManyWatches => Self::other("ERR too many watched keys"),
        }
    }
}
