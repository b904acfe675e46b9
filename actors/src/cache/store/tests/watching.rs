//! WATCH before a tier: a watch fires when its key changes, here or there, and not because of how what was
//! there before gets into memory, or out of it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;

use super::super::*;
use crate::journal::Lsn;

const KEYS: u8 = 3;

#[derive(Debug, Clone, Copy)]
enum Step {
    /// Somebody else changes a key in the tier; the word of it comes later.
    Theirs(u8),
    Deliver,
    /// A client of ours writes.
    Write(u8),
    Apply,
    /// A client watches, or reads.
    Watch(u8),
    Read(u8),
    /// A question is asked; answered there; the answer arrives.
    Ask(u8),
    Look,
    Land,
    /// What is in memory is to be asked for again.
    Age,
    /// Another key takes up room.
    Crowd,
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..KEYS;
    prop_oneof![
        3 => key.clone().prop_map(Step::Theirs),
        3 => Just(Step::Deliver),
        2 => key.clone().prop_map(Step::Write),
        3 => Just(Step::Apply),
        3 => key.clone().prop_map(Step::Watch),
        4 => key.clone().prop_map(Step::Read),
        3 => key.prop_map(Step::Ask),
        3 => Just(Step::Look),
        3 => Just(Step::Land),
        2 => Just(Step::Age),
        2 => Just(Step::Crowd),
    ]
}

fn name(key: u8) -> [u8; 1] {
    [b'a' + key]
}

/// What a watch is judged by.
struct Watch {
    flag: Arc<AtomicBool>,
    /// The key has changed since, somewhere; and that was told here.
    changed: bool,
    told: bool,
    /// Memory did not know that it had changed before.
    behind: bool,
}

#[derive(Default, Clone, Copy)]
struct Truth {
    value: Option<u64>,
    /// Changes whose word has not come.
    untold: u32,
}

struct Question {
    key: u8,
    ticket: Ticket,
    answer: Option<Option<u64>>,
}

struct World {
    store: Store,
    hasher: KeyHasher,
    now: u64,
    tier: [Truth; KEYS as usize],
    announced: VecDeque<u8>,
    log: VecDeque<(Lsn, u8, u64)>,
    lsn: Lsn,
    acknowledged: Lsn,
    questions: VecDeque<Question>,
    watches: [Option<Watch>; KEYS as usize],
    values: u64,
}

impl World {
    fn new() -> Self {
        let config = StoreConfig {
            databases: 1,
            max_entries: 2,
            eviction: Eviction::Lru,
            ..StoreConfig::default()
        };
        let mut store = Store::new(config);
        store.attach_tier(0, 1000);
        Self {
            store,
            hasher: KeyHasher::fixed(),
            now: 1000,
            tier: Default::default(),
            announced: VecDeque::new(),
            log: VecDeque::new(),
            lsn: 0,
            acknowledged: 0,
            questions: VecDeque::new(),
            watches: Default::default(),
            values: 0,
        }
    }

    fn fresh_value(&mut self) -> u64 {
        self.values += 1;
        self.values
    }

    fn standing(&self, key: u8) -> Standing {
        self.store.standing(self.hasher.key(&name(key)), self.now)
    }

    fn changed(&mut self, key: u8, told: bool) {
        if let Some(watch) = &mut self.watches[usize::from(key)] {
            watch.changed = true;
            watch.told |= told;
        }
    }

    /// Whether the tier has what was written here, so that it may be asked.
    fn take_in(&mut self, key: u8, ticket: Ticket, answer: Option<u64>) {
        let bytes = name(key);
        let key = self.hasher.key(&bytes);
        match answer {
            Some(value) => {
                let text = value.to_string();
                let filled = self.store.fill(key, text.as_bytes(), None, ticket, self.now);
                filled.expect("something makes room");
            }
            None => self.store.absent_behind(key, ticket, None),
        }
    }

    /// As a command does that needs the key.
    fn ask_now(&mut self, key: u8) {
        if matches!(self.standing(key), Standing::Missing | Standing::Suspect) {
            while self.store.ticket(self.hasher.key(&name(key))).after > self.acknowledged {
                self.run(Step::Apply);
            }
            let ticket = self.store.ticket(self.hasher.key(&name(key)));
            self.take_in(key, ticket, self.tier[usize::from(key)].value);
        }
    }

    fn deliver(&mut self) -> bool {
        let Some(key) = self.announced.pop_front() else { return false };
        self.tier[usize::from(key)].untold -= 1;
        self.store.changed_behind(self.hasher.key(&name(key)), self.now);
        if let Some(watch) = &mut self.watches[usize::from(key)] {
            watch.told |= watch.changed;
        }
        true
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Theirs(key) => {
                let value = self.fresh_value();
                let truth = &mut self.tier[usize::from(key)];
                truth.value = (!value.is_multiple_of(4)).then_some(value);
                truth.untold += 1;
                self.announced.push_back(key);
                self.changed(key, false);
            }
            Step::Deliver => drop(self.deliver()),
            Step::Write(key) => {
                let (value, bytes) = (self.fresh_value(), name(key));
                let (at, text) = (self.hasher.key(&bytes), value.to_string());
                let set = self.store.set(TIERED, at, text.as_bytes(), Expiry::Never, self.now);
                set.expect("something makes room");
                self.store.mark_effects();
                self.lsn += 1;
                self.store.stamp_effects(self.lsn);
                self.log.push_back((self.lsn, key, value));
                self.changed(key, true);
            }
            Step::Apply => {
                if let Some((lsn, key, value)) = self.log.pop_front() {
                    self.tier[usize::from(key)].value = Some(value);
                    self.acknowledged = lsn;
                    self.store.acknowledge(lsn);
                }
            }
            Step::Watch(key) => {
                if matches!(self.standing(key), Standing::Missing | Standing::Suspect) {
                    // What had happened by now is heard first.
                    while self.deliver() {}
                    self.ask_now(key);
                }
                let flag = Arc::new(AtomicBool::new(false));
                let at = name(key);
                let watched = self.store.watch(TIERED, self.hasher.key(&at), &flag, self.now);
                watched.expect("there is room");
                let behind = self.tier[usize::from(key)].untold > 0;
                let watch = Watch { flag, changed: false, told: false, behind };
                self.watches[usize::from(key)] = Some(watch);
            }
            Step::Read(key) => self.ask_now(key),
            Step::Ask(key) => {
                let ticket = self.store.ticket(self.hasher.key(&name(key)));
                self.questions.push_back(Question { key, ticket, answer: None });
            }
            Step::Look => {
                let (tier, acknowledged) = (&self.tier, self.acknowledged);
                let waits =
                    |q: &&mut Question| q.answer.is_none() && q.ticket.after <= acknowledged;
                if let Some(question) = self.questions.iter_mut().find(waits) {
                    question.answer = Some(tier[usize::from(question.key)].value);
                }
            }
            Step::Land => {
                if let Some(at) = self.questions.iter().position(|q| q.answer.is_some())
                    && let Some(question) = self.questions.remove(at)
                {
                    self.take_in(question.key, question.ticket, question.answer.flatten());
                }
            }
            Step::Age => {
                self.now += 1000;
                self.store.age(4000, self.now);
            }
            Step::Crowd => {
                let at = self.hasher.key(b"crowd");
                let ticket = self.store.ticket(at);
                self.store.fill(at, b"v", None, ticket, self.now).expect("others make room");
            }
        }
        self.store.effects_mut().clear();
        self.check();
    }

    fn check(&self) {
        for watch in self.watches.iter().flatten() {
            let fired = watch.flag.load(Ordering::Acquire);
            assert!(!fired || watch.changed || watch.behind, "nothing has changed");
            assert!(fired || !watch.told, "the word of a change has come");
        }
    }
}

proptest! {
    #[test]
    fn a_watch_fires_for_changes_and_for_nothing_else(
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut world = World::new();
        for step in steps {
            world.run(step);
        }
    }
}
