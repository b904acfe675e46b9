//! The tier's part in a command: which keys it needs first, and what the answers mean.
//!
//! A command on the tiered database runs only once every key that it reads is in memory, or is
//! known to be absent. If something is missing nothing of the batch runs: its questions go to
//! the tier, and the batch comes again with the answers, which are put in place right before it
//! runs. What others have changed meanwhile is missing then, and is asked for like the rest, but
//! nothing is asked twice for one batch, except what was overtaken: an answer that a change has crossed
//! on its way tells of what was. That is good enough for one read, which began before the change; a
//! write would build upon it what never was. So commands themselves know nothing of a tier.

use std::time::Duration;

use seawall_actors::cache::store::{Key, Standing, Store, TIERED};
use seawall_actors::clock::UnixMs;

use crate::resp::args::Args;
use crate::resp::integer;
use crate::resp::refusal::Refusal;
use crate::resp::table::{Command, Flags, Run};
use crate::tier::{Answer, Found, TierView, Want};

/// Keys of one batch that are asked for behind the readers' backs.
const MAX_DUE: usize = 64;

/// How often reads of several keys are asked anew because changes have crossed the answers. Where keys
/// change faster than Redis answers, each is read as it was at some moment of the command.
const MAX_TOGETHER: u8 = 3;

/// Questions and answers of one batch, or of one command over several shards.
#[derive(Debug, Default)]
pub struct Questions {
    /// To be asked before anything runs.
    wants: Vec<Want>,
    /// To be asked behind the reader's back.
    due: Vec<Want>,
    /// What came back, by the keys' hashes.
    told: Vec<Told>,
    /// How often something was asked anew because it was overtaken, ...
    anew: u8,
    /// ... and whether something is about to be.
    overtaken: bool,
    /// How long the answers have been waited for.
    pub waited: Duration,
}

/// How much hangs on an answer being true when the command runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// One read. It began before whatever has overtaken the answer.
    Read,
    /// Reads of several keys, which are to be of one moment.
    Together,
    /// A write builds upon it.
    Write,
}

impl Need {
    /// What a command needs its keys for.
    #[must_use]
    pub fn of(command: &Command, args: &Args<'_>) -> Self {
        match command.keys.indexes(args.len()).nth(1) {
            _ if command.flags.has(Flags::WRITE) => Self::Write,
            Some(_) => Self::Together,
            None => Self::Read,
        }
    }

    /// A command among others that happen at one moment.
    #[must_use]
    pub fn among_others(self) -> Self {
        if self == Self::Read { Self::Together } else { self }
    }
}

/// What came back about a key.
#[derive(Debug)]
struct Told {
    answer: Answer,
    /// Why there is no value to go by, if there is none.
    trouble: Option<Trouble>,
    /// It was overtaken before it was put in place.
    overtaken: bool,
}

impl Told {
    const fn new(answer: Answer) -> Self {
        Self { answer, trouble: None, overtaken: false }
    }

    fn place(&mut self, store: &mut Store, near: TierView, now: UnixMs) {
        let answer = &self.answer;
        let key = Key { bytes: &answer.key, hash: answer.hash };
        self.overtaken = store.has_overtaken(key, answer.ticket);
        self.trouble = match &answer.found {
            Found::Value { value, expires_at } => store
                .fill(key, value, *expires_at, answer.ticket, now)
                .err()
                .map(|refusal| Trouble::NoRoom(Refusal::from(refusal).to_string())),
            Found::Absent => {
                let until = (near.negative_ms > 0).then(|| now + near.negative_ms);
                store.absent_behind(key, answer.ticket, until);
                None
            }
            Found::Foreign => {
                store.absent_behind(key, answer.ticket, None);
                Some(Trouble::Foreign)
            }
            Found::Unknown(why) => {
                store.unanswered(now);
                Some(Trouble::Unknown(std::sync::Arc::clone(why)))
            }
        };
    }

    const fn has_answer(&self) -> bool {
        matches!(self.answer.found, Found::Value { .. } | Found::Absent)
    }

    /// Whether there is nothing for the key because that is what was told, and not because it
    /// had to make room.
    fn is_of_absence(&self, key: Key<'_>, store: &Store, now: UnixMs) -> bool {
        // What is lacking then has an answer of its own.
        if self.trouble.is_some() {
            return true;
        }
        match &self.answer.found {
            Found::Value { expires_at, .. } if expires_at.is_none_or(|at| at > now) => false,
            // A change that came after the answer was put in place is one of the same batch's.
            Found::Value { .. } | Found::Absent => {
                self.overtaken || !store.has_overtaken(key, self.answer.ticket)
            }
            Found::Foreign | Found::Unknown(_) => true,
        }
    }
}

#[derive(Debug, Clone)]
enum Trouble {
    /// Nobody knows what it holds.
    Unknown(std::sync::Arc<str>),
    /// It holds another type.
    Foreign,
    /// Its value does not fit into memory.
    NoRoom(String),
}

impl Questions {
    /// Gets ready for a new batch.
    pub fn clear(&mut self) {
        self.wants.clear();
        self.due.clear();
        self.forget();
    }

    /// The commands that were asked for have run: the answers count no more.
    pub fn forget(&mut self) {
        self.told.clear();
        (self.anew, self.overtaken) = (0, false);
    }

    /// Whether questions wait to be asked; nothing may run before.
    #[must_use]
    pub fn are_open(&self) -> bool {
        !self.wants.is_empty()
    }

    /// Whether there are answers that commands have to be judged by.
    #[must_use]
    pub fn were_asked(&self) -> bool {
        !self.told.is_empty()
    }

    /// Whether there is something to ask behind the readers' backs.
    #[must_use]
    pub fn are_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// The questions, to be asked.
    #[must_use]
    pub fn take(&mut self) -> Vec<Want> {
        self.anew = self.anew.saturating_add(u8::from(std::mem::take(&mut self.overtaken)));
        std::mem::take(&mut self.wants)
    }

    /// Keys that are served as they are, and due to be asked for again.
    #[must_use]
    pub fn take_due(&mut self) -> Vec<Want> {
        std::mem::take(&mut self.due)
    }

    /// Takes the answers in, beside those that are here.
    pub fn answer(&mut self, answers: Vec<Answer>) {
        self.told.extend(answers.into_iter().map(Told::new));
        self.told.sort_by_key(|told| told.answer.hash);
    }

    fn place_of(&self, key: Key<'_>) -> Option<usize> {
        let from = self.told.partition_point(|told| told.answer.hash < key.hash);
        let same = self.told.get(from..).unwrap_or_default();
        let mut same = same.iter().take_while(|told| told.answer.hash == key.hash);
        same.position(|told| *told.answer.key == *key.bytes).map(|at| from + at)
    }

    fn told(&self, key: Key<'_>) -> Option<&Told> {
        self.told.get(self.place_of(key)?)
    }

    /// Whether what was told of a key is to be asked anew: it was overtaken, and memory does not
    /// have what overtook it.
    fn is_outdated(&self, key: Key<'_>, need: Need, store: &Store, now: UnixMs) -> bool {
        let matters = match need {
            Need::Read => false,
            Need::Together => self.anew < MAX_TOGETHER,
            Need::Write => true,
        };
        let overtaken = self.told(key).is_some_and(|told| told.overtaken && told.has_answer());
        matters
            && overtaken
            && matches!(store.standing(key, now), Standing::Missing | Standing::Suspect)
    }

    /// Notes what there is to ask about a key that a command needs.
    pub fn note(
        &mut self,
        key: Key<'_>,
        need: Need,
        store: &mut Store,
        near: TierView,
        now: UnixMs,
    ) {
        if !near.reachable {
            return;
        }
        if self.is_outdated(key, need, store, now) {
            self.told.retain(|told| *told.answer.key != *key.bytes);
            self.overtaken = true;
        } else if self.told(key).is_some() {
            return;
        }
        let want = |stale| Want {
            key: key.bytes.into(),
            hash: key.hash,
            ticket: store.ticket(key),
            stale,
        };
        match store.standing(key, now) {
            Standing::Fresh | Standing::Gone => {}
            // Once is enough.
            Standing::Due if self.told.is_empty() && self.due.len() < MAX_DUE => {
                self.due.push(want(true));
                store.asked_early(key, now);
            }
            Standing::Due => {}
            Standing::Suspect => self.wants.push(want(true)),
            Standing::Missing => self.wants.push(want(false)),
        }
    }

    /// Whether the answer that was put in place is that only Redis holds the key's type.
    #[must_use]
    pub fn is_foreign(&self, key: Key<'_>) -> bool {
        self.told(key).is_some_and(|told| matches!(told.trouble, Some(Trouble::Foreign)))
    }

    /// Whether one of the answers that were put in place is that only Redis holds the key's type.
    #[must_use]
    pub fn met_foreign(&self) -> bool {
        self.told.iter().any(|told| matches!(told.trouble, Some(Trouble::Foreign)))
    }

    /// Whether a key is not in memory though nobody has said that there is none: it had to make room.
    /// Where the tier cannot be asked, [`Questions::judge`] says so.
    fn is_lost(&self, key: Key<'_>, store: &Store, near: TierView, now: UnixMs) -> bool {
        store.standing(key, now) == Standing::Missing
            && match self.told(key) {
                Some(told) => !told.is_of_absence(key, store, now),
                None => near.reachable,
            }
    }

    /// Sees to it that what is known of a command's keys in one store is there, all of it together:
    /// some may have gone for the sake of others.
    ///
    /// # Errors
    /// There is no room for all of it, or what has gone was changed by this very batch.
    pub fn gather<'k>(
        &mut self,
        keys: impl Iterator<Item = Key<'k>> + Clone,
        store: &mut Store,
        near: TierView,
        now: UnixMs,
    ) -> Result<(), Refusal> {
        if !keys.clone().any(|key| self.is_lost(key, store, near, now)) {
            return Ok(());
        }
        // Others go first.
        for key in keys.clone() {
            store.touch(TIERED, key, now);
        }
        for key in keys.clone() {
            if self.is_lost(key, store, near, now)
                && let Some(told) = self.place_of(key).and_then(|at| self.told.get_mut(at))
            {
                told.place(store, near, now);
            }
        }
        if keys.clone().any(|key| self.is_lost(key, store, near, now)) {
            return Err(Refusal::other(
                "OOM not applied: the keys that are needed together do not fit into memory together; \
                 raise cache.max_memory or cache.max_entries, or ask for fewer at once",
            ));
        }
        Ok(())
    }

    /// Puts the answers about one store's keys in place, right before the commands run; again if
    /// they could not run then. `ours` tells which keys are that store's.
    pub fn settle(
        &mut self,
        store: &mut Store,
        near: TierView,
        now: UnixMs,
        ours: impl Fn(u64) -> bool,
    ) {
        let told = self.told.iter_mut().filter(|told| ours(told.answer.hash));
        told.for_each(|told| told.place(store, near, now));
    }

    /// Whether a command may run with what is known about one of its keys.
    ///
    /// A read takes what there is; a write that depends on what nobody can tell is refused, for
    /// it would overwrite the truth with a guess.
    ///
    /// # Errors
    /// What is answered instead.
    pub fn judge(
        &self,
        (command, args): (&Command, &Args<'_>),
        key: Key<'_>,
        store: &mut Store,
        near: TierView,
        now: UnixMs,
    ) -> Result<(), Refusal> {
        let unknown = match self.told(key).and_then(|told| told.trouble.as_ref()) {
            Some(Trouble::Foreign) if is_known_to_redis(command, args) => {
                return Err(Refusal::Foreign);
            }
            Some(Trouble::Foreign) => return Err(Refusal::WrongType),
            Some(Trouble::NoRoom(why)) => {
                return Err(Refusal::other(format!(
                    "OOM the value in Redis does not fit into memory: {why}"
                )));
            }
            Some(Trouble::Unknown(why)) => &**why,
            None if near.reachable => return Ok(()),
            None => {
                store.unanswered(now);
                "the breaker is open"
            }
        };
        let known = match store.standing(key, now) {
            Standing::Fresh | Standing::Due | Standing::Gone => return Ok(()),
            Standing::Suspect => store.bridges_silence(near.stale_ms, now),
            // Good enough to be read, and not to be built upon.
            Standing::Missing => {
                !command.flags.has(Flags::WRITE) && store.show_expired(key, near.stale_ms, now)
            }
        };
        if known {
            store.served_stale();
            return Ok(());
        }
        if is_deletion(command) {
            store.bury(key, now);
            return Ok(());
        }
        if command.flags.has(Flags::WRITE) {
            return Err(Refusal::other(format!(
                "TIERDOWN not applied: what the key holds in Redis is not known ({unknown}); try \
                 again, or write a value that does not depend on it"
            )));
        }
        store.forget_suspect(key);
        Ok(())
    }
}

/// Whether a write builds upon a key that Redis is changing right now. Redis runs both then, one after
/// the other: what is in memory is about to be overtaken.
pub(super) fn meets_passage(
    (command, args): (&Command, &Args<'_>),
    key: Key<'_>,
    store: &Store,
    near: TierView,
    now: UnixMs,
) -> bool {
    near.reachable
        && command.flags.has(Flags::WRITE)
        && store.is_in_passage(key.hash, now)
        && is_known_to_redis(command, args)
}

/// Whether Redis has the command, on keys of its own. MOVE, and COPY with a database, lead to one
/// that Redis knows nothing of.
#[must_use]
pub fn is_known_to_redis(command: &Command, args: &Args<'_>) -> bool {
    matches!(command.run, Run::Data(_))
        && !command.name.starts_with("sw.")
        && command.name != "move"
        && destination(command, args).is_none()
}

/// The database that COPY or MOVE names.
fn destination<'a>(command: &Command, args: &Args<'a>) -> Option<&'a [u8]> {
    match command.name {
        "move" => Some(args.get(2)),
        "copy" => (3..args.len()).rev().find(|i| args.is(*i, "DB")).map(|i| args.get(i + 1)),
        _ => None,
    }
}

/// Whether COPY or MOVE leads to the tiered database.
#[must_use]
pub fn leads_to_tier(command: &Command, args: &Args<'_>) -> bool {
    let db = destination(command, args).map(integer::argument_i32);
    db.is_some_and(|db| db == Ok(i32::from(TIERED)))
}

/// The argument that names a key of the tiered database, if a command on another one depends on its
/// old value.
#[must_use]
pub fn needed_from_elsewhere(command: &Command, args: &Args<'_>) -> Option<usize> {
    let at = if command.name == "move" { 1 } else { 2 };
    let blind = (3..args.len()).any(|i| args.is(i, "REPLACE"));
    (leads_to_tier(command, args) && !blind).then_some(at)
}

/// Whether a command deletes whatever its keys hold.
fn is_deletion(command: &Command) -> bool {
    matches!(command.name, "del" | "unlink")
}

/// The arguments that name keys of the tiered database whose old value a command on it depends on.
pub fn needed(command: &Command, args: &Args<'_>) -> impl Iterator<Item = usize> + Clone + use<> {
    let blind = match command.name {
        "mset" | "setex" | "psetex" => true,
        "set" => !(3..args.len())
            .any(|i| ["NX", "XX", "GET", "KEEPTTL"].iter().any(|word| args.is(i, word))),
        _ => false,
    };
    let on_keys = !blind && matches!(command.run, Run::Data(_) | Run::AllShards(_));
    // The last key of a COPY that leads elsewhere is not this database's.
    let leaves = command.name == "copy" && destination(command, args).is_some();
    let argc = match on_keys {
        true if leaves && !leads_to_tier(command, args) => 2,
        true => args.len(),
        false => 0,
    };
    command.keys.indexes(argc)
}
