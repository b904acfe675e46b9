//! What commands lead to: they are run on a store in memory, by the implementations that clients
//! are served with.
//!
//! Redis writes what changed data, in order, so no command is expected to be refused. Times are
//! those of the file: nothing expires while it is read, for a later command may have lifted that
//! in time, and what has expired in the end is left to whoever takes the result.
//!
//! Lists, hashes and so on are not held here, yet their commands matter ([`super::elsewhere`]): a
//! key that became something else is taken out, and one whose string is not known any more stays
//! out until it is written as a whole.

use std::collections::BTreeMap;

use seawall_actors::cache::store::{KeyHasher, StoreConfig};
use seawall_actors::clock::UnixMs;
use seawall_actors::journal::Record;

use super::elsewhere::{Fate, written, written_by_unknown};
use super::queue::Queue;
use super::unsure::Unsure;
use crate::interchange::dataset::{Entry, each_in};
use crate::resp::args::Args;
use crate::resp::embedded::Embedded;
use crate::resp::integer;
use crate::resp::limits::Limits;
use crate::resp::table::{self, Command, Flags, Run, TransactionStep};

/// As many as a record can name.
const DATABASES: u8 = u8::MAX;
/// The time while the file is read: before everything that can expire.
const BEFORE_ALL: UnixMs = 1;
/// Bytes of a value that Redis takes by default: SETRANGE makes long ones out of little.
const MAX_VALUE: usize = 512 << 20;
/// Names of commands that are counted apart; a file can make up as many as it likes.
const MAX_NAMES: usize = 200;
/// Commands that give a key a time to live; Redis writes them for keys that are there.
const GIVING_TIME: [&str; 5] = ["expire", "expireat", "getex", "pexpire", "pexpireat"];
/// Commands that write a key whatever it held, SET with some options aside.
const OVERWRITING: [&str; 10] =
    ["del", "getdel", "getset", "mset", "msetnx", "psetex", "set", "setex", "setnx", "unlink"];
/// What the commands came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Commands that were run.
    pub applied: u64,
    /// Commands that are not held here, by name.
    pub elsewhere: BTreeMap<String, u64>,
    /// Commands of a transaction that does not end: they were not run.
    pub unfinished: u64,
}

/// A command, or an entry, that makes no sense where it stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Wrong(String);

impl Wrong {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

fn wrong<T>(what: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong::new(what))
}

/// The data that commands have led to so far.
#[derive(Debug)]
pub struct Replay {
    world: Embedded,
    /// From when times to live count that are not absolute.
    wall: UnixMs,
    unsure: Unsure,
    queue: Option<Queue>,
    reply: Vec<u8>,
    so_far: Replayed,
}

impl Replay {
    /// No data, at the wall time `now`.
    #[must_use]
    pub fn new(now: UnixMs) -> Self {
        let config = StoreConfig { databases: DATABASES, ..StoreConfig::default() };
        let limits = Limits {
            binary_keys: true,
            ascii_keys: false,
            max_key_length: usize::MAX,
            max_value: MAX_VALUE,
            max_ttl_ms: None,
            max_reply: usize::MAX,
        };
        Self {
            world: Embedded::new(1, config, KeyHasher::random(), limits),
            wall: now,
            unsure: Unsure::new(DATABASES),
            queue: None,
            reply: Vec::new(),
            so_far: Replayed::default(),
        }
    }

    /// What has come to pass.
    #[must_use]
    pub const fn so_far(&self) -> &Replayed {
        &self.so_far
    }

    /// Another file begins: in database 0, as every one does.
    pub const fn begin_file(&mut self) {
        self.world.db = 0;
    }

    /// A file has ended. A transaction that has not is dropped.
    ///
    /// # Errors
    /// It has not, and this is not the `last` file.
    pub fn end_file(&mut self, last: bool) -> Result<(), Wrong> {
        match self.queue.take() {
            Some(_) if !last => wrong("the file ends within a transaction, and is not the last"),
            Some(queue) => {
                self.so_far.unfinished += queue.len();
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// An entry of the base that the commands begin with.
    ///
    /// # Errors
    /// There is no place for it.
    pub fn load(
        &mut self,
        db: u64,
        key: &[u8],
        value: &[u8],
        expires_at: Option<UnixMs>,
    ) -> Result<(), Wrong> {
        let db = database(db)?;
        let hash = self.world.hasher().hash(key);
        let record = Record::Set { db, key, value, expires_at };
        let Some(store) = self.world.stores().next() else { return Ok(()) };
        store.apply(&record, hash, BEFORE_ALL).map_err(|refusal| Wrong(refusal.to_string()))
    }

    /// A key of the base that expires and holds no string. Should a string be written over it, it
    /// may keep that time.
    pub fn load_other(&mut self, db: u64, key: &[u8]) {
        if let Ok(db) = database(db) {
            self.unsure.add(db, key);
        }
    }

    /// A command.
    ///
    /// # Errors
    /// [`Wrong`]: Redis writes no such thing.
    pub fn apply(&mut self, args: &Args<'_>) -> Result<(), Wrong> {
        let command = table::find(args.get(0));
        let step = match command.map(|command| command.run) {
            Some(Run::Transaction(step)) => Some(step),
            _ => None,
        };
        match (step, &mut self.queue) {
            (Some(TransactionStep::Multi), Some(_)) => wrong("MULTI within a transaction"),
            (Some(TransactionStep::Multi), queue) => {
                *queue = Some(Queue::default());
                Ok(())
            }
            (Some(TransactionStep::Exec), queue) => {
                let Some(queue) = queue.take() else { return wrong("EXEC without MULTI") };
                queue.commands().try_for_each(|args| self.one(table::find(args.get(0)), &args))
            }
            (Some(TransactionStep::Discard), queue) => {
                *queue = None;
                Ok(())
            }
            (_, Some(queue)) => queue.push(args),
            (_, None) => self.one(command, args),
        }
    }

    fn one(&mut self, command: Option<&Command>, args: &Args<'_>) -> Result<(), Wrong> {
        let Some(command) = command else {
            self.unknown(args);
            return Ok(());
        };
        if !command.takes(args.len()) {
            return wrong(format!("{} with {} arguments", command.name, args.len() - 1));
        }
        match command.run {
            Run::Data(_) | Run::AllShards(_) if command.flags.has(Flags::WRITE) => {
                self.write(command, args)
            }
            Run::NeedsTier => {
                self.elsewhere(command, args);
                Ok(())
            }
            _ if command.name == "select" => {
                self.world.db = number(args.get(1))?;
                Ok(())
            }
            _ => {
                self.count(command.name.as_bytes());
                Ok(())
            }
        }
    }

    fn write(&mut self, command: &Command, args: &Args<'_>) -> Result<(), Wrong> {
        let db = self.world.db;
        match command.name {
            "rename" | "renamenx" => return self.transfer(command, args, db, args.get(2)),
            "copy" => {
                let option = (3..args.len()).find(|&i| args.is(i, "DB"));
                let to = option.map_or(Ok(db), |i| number(args.get(i + 1)))?;
                return self.transfer(command, args, to, args.get(2));
            }
            "move" => {
                let to = number(args.get(2))?;
                return self.transfer(command, args, to, args.get(1));
            }
            "flushall" => self.unsure.flush(None),
            "flushdb" => self.unsure.flush(Some(db)),
            "swapdb" => self.unsure.swap(number(args.get(1))?, number(args.get(2))?),
            _ => {}
        }
        if GIVING_TIME.contains(&command.name) && !self.holds(db, args.get(1)) {
            // What is there holds no string.
            self.unsure.add(db, args.get(1));
        } else if overwrites(command, args) {
            for key in keys(command, args) {
                self.unsure.remove(db, key);
            }
        } else if keys(command, args).any(|key| self.unsure.has(db, key)) {
            return Ok(());
        }
        self.run(command, args);
        Ok(())
    }

    /// RENAME and its like. What is not held here may be moved, too, over a string.
    fn transfer(
        &mut self,
        command: &Command,
        args: &Args<'_>,
        to_db: u8,
        to: &[u8],
    ) -> Result<(), Wrong> {
        let (db, from) = (self.world.db, args.get(1));
        let moves = command.name != "copy";
        let unsure = self.unsure.has(db, from);
        if unsure && moves {
            self.unsure.remove(db, from);
        }
        if unsure {
            self.forget(to_db, to);
        } else if self.holds(db, from) {
            self.unsure.remove(to_db, to);
            self.run(command, args);
        } else {
            self.is_no_string(to_db, to);
        }
        Ok(())
    }

    fn run(&mut self, command: &Command, args: &Args<'_>) {
        self.world.now = if is_relative(command, args) { self.wall } else { BEFORE_ALL };
        self.reply.clear();
        let run = self.world.run(command, args, &mut self.reply);
        if let Some(store) = self.world.stores().next() {
            store.effects_mut().clear();
        }
        if run.is_ok() {
            self.so_far.applied += 1;
            return;
        }
        // Redis has run it, so what it led to is not known here.
        self.count(command.name.as_bytes());
        for key in keys(command, args) {
            self.forget(self.world.db, key);
        }
    }

    /// A command of Redis on what is not held here.
    fn elsewhere(&mut self, command: &Command, args: &Args<'_>) {
        self.count(command.name.as_bytes());
        for (key, fate) in written(command, args) {
            match fate {
                Fate::NoString => self.is_no_string(self.world.db, key),
                Fate::Unsure => self.forget(self.world.db, key),
            }
        }
    }

    fn unknown(&mut self, args: &Args<'_>) {
        self.count(args.get(0));
        for key in written_by_unknown(args) {
            self.forget(self.world.db, key);
        }
    }

    fn count(&mut self, name: &[u8]) {
        let name = String::from_utf8_lossy(name.get(..40).unwrap_or(name)).to_lowercase();
        let names = &mut self.so_far.elsewhere;
        let known = names.len() < MAX_NAMES || names.contains_key(&name);
        *names.entry(if known { name } else { "others".to_owned() }).or_default() += 1;
    }

    fn holds(&mut self, db: u8, key: &[u8]) -> bool {
        let key = self.world.hasher().key(key);
        self.world.stores().any(|store| store.peek(db, key, BEFORE_ALL).is_some())
    }

    /// The key is of another type now, or is not there.
    fn is_no_string(&mut self, db: u8, key: &[u8]) {
        self.unsure.remove(db, key);
        let key = self.world.hasher().key(key);
        for store in self.world.stores() {
            store.remove(db, key, BEFORE_ALL);
            store.effects_mut().clear();
        }
    }

    /// What the key holds is not known any more.
    fn forget(&mut self, db: u8, key: &[u8]) {
        self.is_no_string(db, key);
        self.unsure.add(db, key);
    }

    /// Hands over everything there is, also what has expired, until `take` fails.
    ///
    /// # Errors
    /// That of `take`.
    pub(in crate::interchange) fn each<E>(
        &mut self,
        mut take: impl FnMut(Entry<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        for store in self.world.stores() {
            for db in 0..DATABASES {
                each_in(store, db, BEFORE_ALL, &mut take)?;
            }
        }
        Ok(())
    }
}

/// Whether nothing of what was there matters any more. SET may keep the time to live, or depend on
/// what it finds.
fn overwrites(command: &Command, args: &Args<'_>) -> bool {
    let depends = |i| args.is(i, "KEEPTTL") || args.is(i, "XX") || args.is(i, "IFEQ");
    OVERWRITING.contains(&command.name) && !(command.name == "set" && (3..args.len()).any(depends))
}

fn keys<'a>(command: &Command, args: &Args<'a>) -> impl Iterator<Item = &'a [u8]> {
    let args = *args;
    command.keys.indexes(args.len()).map(move |i| args.get(i))
}

/// Whether a command gives a time to live from now on. Redis writes absolute ones; a file that
/// somebody else wrote may not.
fn is_relative(command: &Command, args: &Args<'_>) -> bool {
    let option = |from| (from..args.len()).any(|i| args.is(i, "EX") || args.is(i, "PX"));
    match command.name {
        "setex" | "psetex" | "expire" | "pexpire" => true,
        "set" => option(3),
        "getex" => option(2),
        _ => false,
    }
}

fn number(text: &[u8]) -> Result<u8, Wrong> {
    match integer::parse(text).and_then(|db| u64::try_from(db).ok()) {
        Some(db) => database(db),
        None => wrong(format!("\"{}\" is no database", text.escape_ascii())),
    }
}

fn database(db: u64) -> Result<u8, Wrong> {
    match u8::try_from(db) {
        Ok(db) if db < DATABASES => Ok(db),
        _ => wrong(format!("database {db}; at most {DATABASES} are held here")),
    }
}

#[cfg(test)]
mod tests;
