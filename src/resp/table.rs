//! What a command is: one entry that dispatches, documents and answers COMMAND.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::args::Args;
use super::commands;
use super::keyspace::Keyspace;
use super::refusal::Refusal;
use super::reply::Reply;
use super::session::Session;

/// A boxed future that borrows the session.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a command may do and when it may run. The names are COMMAND INFO's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(u16);

impl Flags {
    /// Nothing special.
    pub const NONE: Self = Self(0);
    /// Changes data; refused while the log takes no writes.
    pub const WRITE: Self = Self(1);
    /// Reads data.
    pub const READONLY: Self = Self(1 << 1);
    /// May grow memory; refused when full under `noeviction`.
    pub const DENYOOM: Self = Self(1 << 2);
    /// For operators.
    pub const ADMIN: Self = Self(1 << 3);
    /// Constant or logarithmic time.
    pub const FAST: Self = Self(1 << 4);
    /// Allowed while data is loading.
    pub const LOADING: Self = Self(1 << 5);
    /// Allowed before authentication.
    pub const NO_AUTH: Self = Self(1 << 6);
    /// Not allowed inside MULTI.
    pub const NO_MULTI: Self = Self(1 << 7);
    /// Publishes or subscribes.
    pub const PUBSUB: Self = Self(1 << 8);

    /// Both sets of flags.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` is set.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// COMMAND INFO's names of what is set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        const NAMES: [(Flags, &str); 9] = [
            (Flags::WRITE, "write"),
            (Flags::READONLY, "readonly"),
            (Flags::DENYOOM, "denyoom"),
            (Flags::ADMIN, "admin"),
            (Flags::PUBSUB, "pubsub"),
            (Flags::FAST, "fast"),
            (Flags::LOADING, "loading"),
            (Flags::NO_AUTH, "no_auth"),
            (Flags::NO_MULTI, "no_multi"),
        ];
        NAMES.into_iter().filter(move |(flag, _)| self.has(*flag)).map(|(_, name)| name)
    }
}

/// Families share a latency histogram and a page of the documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Family {
    /// Reads of string values.
    Read,
    /// Writes of string values.
    Write,
    /// Keys whatever their value: DEL, RENAME, SCAN, …
    Keyspace,
    /// Times to live.
    Expiry,
    /// MULTI, EXEC, WATCH, …
    Transaction,
    /// PUBLISH, SUBSCRIBE, …
    PubSub,
    /// PING, AUTH, CLIENT, …
    Connection,
    /// INFO, CONFIG, COMMAND, SW.…, …
    Server,
    /// Commands on data types that only a Redis tier holds.
    Tier,
}

impl Family {
    /// Every family, in the order of their discriminants.
    pub const ALL: [Self; 9] = [
        Self::Read,
        Self::Write,
        Self::Keyspace,
        Self::Expiry,
        Self::Transaction,
        Self::PubSub,
        Self::Connection,
        Self::Server,
        Self::Tier,
    ];

    /// The name used in metrics and documentation.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Keyspace => "keyspace",
            Self::Expiry => "expiry",
            Self::Transaction => "transaction",
            Self::PubSub => "pubsub",
            Self::Connection => "connection",
            Self::Server => "server",
            Self::Tier => "tier",
        }
    }
}

/// Which arguments are keys, as COMMAND INFO counts them: first, last (negative from the end),
/// step. All zero: none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keys {
    /// Index of the first key; 0 for none.
    pub first: i8,
    /// Index of the last key, or counted from the end if negative.
    pub last: i8,
    /// Distance from one key to the next.
    pub step: i8,
}

impl Keys {
    /// No key.
    pub const NONE: Self = Self { first: 0, last: 0, step: 0 };
    /// Argument 1.
    pub const ONE: Self = Self { first: 1, last: 1, step: 1 };
    /// Arguments 1 and 2.
    pub const TWO: Self = Self { first: 1, last: 2, step: 1 };
    /// Every argument from 1.
    pub const ALL: Self = Self { first: 1, last: -1, step: 1 };
    /// Argument 2 (behind a subcommand).
    pub const SECOND: Self = Self { first: 2, last: 2, step: 1 };
    /// Argument 3 (MIGRATE).
    pub const THIRD: Self = Self { first: 3, last: 3, step: 1 };
    /// Every argument from 2 (BITOP).
    pub const FROM_SECOND: Self = Self { first: 2, last: -1, step: 1 };
    /// Every argument from 1 but the last (BLPOP).
    pub const ALL_BUT_LAST: Self = Self { first: 1, last: -2, step: 1 };
    /// Every second argument from 1 (MSET).
    pub const PAIRS: Self = Self { first: 1, last: -1, step: 2 };

    /// The indexes of the keys among `argc` arguments.
    pub fn indexes(self, argc: usize) -> std::iter::StepBy<std::ops::Range<usize>> {
        let argc = i64::try_from(argc).unwrap_or(i64::MAX);
        let last = if self.last < 0 { argc + i64::from(self.last) } else { i64::from(self.last) };
        let range = if self.first > 0 {
            let end = (last + 1).clamp(i64::from(self.first), argc.max(i64::from(self.first)));
            usize::from(self.first.unsigned_abs())..usize::try_from(end).unwrap_or(0)
        } else {
            0..0
        };
        range.step_by(usize::from(self.step.unsigned_abs()).max(1))
    }
}

/// Runs where the keys live: on one shard, or over several borrowed stores. Pure: no IO, no wait.
pub type DataFn = fn(&mut Keyspace<'_>, &Args<'_>, &mut Reply<'_>) -> Result<(), Refusal>;
/// Runs in the connection.
pub type SessionFn = fn(&mut Session, &Args<'_>, &mut Reply<'_>) -> Result<(), Refusal>;
/// Runs in the connection and may wait (for the tree, for files, for shards).
pub type AsyncFn =
    for<'a> fn(&'a mut Session, Args<'a>, &'a mut Reply<'_>) -> BoxFuture<'a, Result<(), Refusal>>;

/// How a command is executed.
#[derive(Debug, Clone, Copy)]
pub enum Run {
    /// On the shards that hold its keys.
    Data(DataFn),
    /// On every shard at once (KEYS, FLUSHALL, SWAPDB, …).
    AllShards(DataFn),
    /// In the connection, at once.
    Session(SessionFn),
    /// In the connection, waiting.
    Async(AsyncFn),
    /// On the connection's transaction.
    Transaction(TransactionStep),
    /// A Redis command whose data type is not held here.
    NeedsTier,
}

/// What a command does to the transaction of its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionStep {
    /// Open one.
    Multi,
    /// Run it.
    Exec,
    /// Run it, and with ROLLBACK undo it if a command fails (SW.EXEC).
    SwExec,
    /// Drop it.
    Discard,
    /// Have EXEC fail if a key changes.
    Watch,
    /// End all watches.
    Unwatch,
}

/// One command.
#[derive(Debug, Clone, Copy)]
pub struct Command {
    /// Its place in the table: [`commands::all`] gives it out, from 0 without gaps.
    pub id: u16,
    /// Lower-case name.
    pub name: &'static str,
    /// Arguments including the name; negative: at least so many.
    pub arity: i8,
    /// What it may do.
    pub flags: Flags,
    /// Which arguments are keys.
    pub keys: Keys,
    /// Histogram and documentation group.
    pub family: Family,
    /// How it runs.
    pub run: Run,
    /// First Redis version (or Seawall version for SW.…) that has it.
    pub since: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// Arguments as documentation shows them, without the name.
    pub syntax: &'static str,
    /// Big-O in words.
    pub complexity: &'static str,
    /// Subcommand names with their syntax and summary; empty for most.
    pub subcommands: &'static [Subcommand],
}

/// A subcommand, for COMMAND and the documentation; its parent dispatches it.
#[derive(Debug)]
pub struct Subcommand {
    /// Lower-case name.
    pub name: &'static str,
    /// Arity including both names; negative: at least.
    pub arity: i8,
    /// Arguments as documentation shows them.
    pub syntax: &'static str,
    /// One sentence.
    pub summary: &'static str,
}

/// A subcommand; see its fields.
#[must_use]
pub const fn sub(
    name: &'static str,
    arity: i8,
    syntax: &'static str,
    summary: &'static str,
) -> Subcommand {
    Subcommand { name, arity, syntax, summary }
}

impl Command {
    /// A command with what its execution needs; [`Command::doc`] adds the rest.
    #[must_use]
    pub const fn new(
        name: &'static str,
        arity: i8,
        flags: Flags,
        keys: Keys,
        family: Family,
        run: Run,
    ) -> Self {
        Self {
            id: 0,
            name,
            arity,
            flags,
            keys,
            family,
            run,
            since: "",
            summary: "",
            syntax: "",
            complexity: "",
            subcommands: &[],
        }
    }

    /// Adds what people read: first version, one sentence, arguments, cost.
    #[must_use]
    pub const fn doc(
        self,
        since: &'static str,
        summary: &'static str,
        syntax: &'static str,
        complexity: &'static str,
    ) -> Self {
        Self { since, summary, syntax, complexity, ..self }
    }

    /// Adds subcommands.
    #[must_use]
    pub const fn with(self, subcommands: &'static [Subcommand]) -> Self {
        Self { subcommands, ..self }
    }

    /// Whether `argc` arguments (name included) fit.
    #[must_use]
    pub fn takes(&self, argc: usize) -> bool {
        let arity = usize::from(self.arity.unsigned_abs());
        if self.arity < 0 { argc >= arity } else { argc == arity }
    }
}

/// Names are at most this long; longer ones are unknown without a look.
const MAX_NAME: usize = 24;

static TABLE: LazyLock<HashMap<&'static [u8], &'static Command, foldhash::fast::FixedState>> =
    LazyLock::new(|| commands::all().map(|c| (c.name.as_bytes(), c)).collect());

/// Finds a command by its name, in any case.
#[must_use]
pub fn find(name: &[u8]) -> Option<&'static Command> {
    let mut lower = [0u8; MAX_NAME];
    let lower = lower.get_mut(..name.len())?;
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    TABLE.get(&*lower).copied()
}
