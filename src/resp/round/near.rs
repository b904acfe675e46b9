//! The tier's part in a command: which keys it needs first, and what the answers mean.
//!
//! A command on the tiered database runs only once every key that it reads is in memory, or is
//! known to be absent. If something is missing nothing of the batch runs: its questions go to
//! the tier, and the batch comes again with the answers, which are put in place right before it
//! runs. What others have changed meanwhile is missing then, and is asked for like the rest, but
//! nothing is asked twice for one batch. So commands themselves know nothing of a tier.

use seawall_actors::cache::store::{Key, Standing, Store};
use seawall_actors::clock::UnixMs;

use crate::resp::args::Args;
use crate::resp::refusal::Refusal;
use crate::resp::table::{Command, Flags, Run};
use crate::tier::{Answer, Found, TierView, Want};

/// Keys of one batch that are asked for behind the readers' backs.
const MAX_DUE: usize = 64;

/// Questions and answers of one batch, or of one command over several shards.
#[derive(Debug, Default)]
pub struct Questions {
    /// To be asked before anything runs.
    wants: Vec<Want>,
    /// To be asked behind the reader's back.
    due: Vec<Want>,
    /// What came back, by the keys' hashes.
    told: Vec<Told>,
}

/// What came back about a key.
#[derive(Debug)]
struct Told {
    answer: Answer,
    /// Why there is no value to go by, if there is none.
    trouble: Option<Trouble>,
}

impl Told {
    const fn new(answer: Answer) -> Self {
        Self { answer, trouble: None }
    }

    fn place(&mut self, store: &mut Store, near: TierView, now: UnixMs) {
        let answer = &self.answer;
        let key = Key { bytes: &answer.key, hash: answer.hash };
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
        self.told.clear();
    }

    /// The commands that were asked for have run: the answers count no more.
    pub fn forget(&mut self) {
        self.told.clear();
    }

    /// Whether questions wait to be asked; nothing may run before.
    #[must_use]
    pub fn are_open(&self) -> bool {
        !self.wants.is_empty()
    }

    /// Whether there is something to ask behind the readers' backs.
    #[must_use]
    pub fn are_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// The questions, to be asked.
    #[must_use]
    pub fn take(&mut self) -> Vec<Want> {
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

    /// Notes what there is to ask about a key that a command needs.
    pub fn note(&mut self, key: Key<'_>, store: &mut Store, near: TierView, now: UnixMs) {
        if !near.reachable || self.told(key).is_some() {
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

    /// Whether one of the answers that were put in place is that only Redis holds the key's type.
    #[must_use]
    pub fn met_foreign(&self) -> bool {
        self.told.iter().any(|told| matches!(told.trouble, Some(Trouble::Foreign)))
    }

    /// Puts what is known of a key in place again: it went for another one's sake. Before any command
    /// of the batch has run.
    pub fn place(&mut self, key: Key<'_>, store: &mut Store, near: TierView, now: UnixMs) {
        if let Some(told) = self.place_of(key).and_then(|at| self.told.get_mut(at)) {
            told.place(store, near, now);
        }
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
        command: &Command,
        key: Key<'_>,
        store: &mut Store,
        near: TierView,
        now: UnixMs,
    ) -> Result<(), Refusal> {
        let unknown = match self.told(key).and_then(|told| told.trouble.as_ref()) {
            Some(Trouble::Foreign) if is_known_to_redis(command) => return Err(Refusal::Foreign),
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

/// Whether Redis has the command, on keys of its own. MOVE leads to a database that Redis knows
/// nothing of.
#[must_use]
pub fn is_known_to_redis(command: &Command) -> bool {
    matches!(command.run, Run::Data(_))
        && !command.name.starts_with("sw.")
        && command.name != "move"
}

/// Whether a command deletes whatever its keys hold.
fn is_deletion(command: &Command) -> bool {
    matches!(command.name, "del" | "unlink")
}

/// The arguments that name keys whose old value a command depends on.
pub fn needed(command: &Command, args: &Args<'_>) -> impl Iterator<Item = usize> + use<> {
    let blind = match command.name {
        "mset" | "setex" | "psetex" => true,
        "set" => !(3..args.len())
            .any(|i| ["NX", "XX", "GET", "KEEPTTL"].iter().any(|word| args.is(i, word))),
        _ => false,
    };
    let on_keys = !blind && matches!(command.run, Run::Data(_) | Run::AllShards(_));
    let argc = if on_keys { args.len() } else { 0 };
    command.keys.indexes(argc)
}
