//! The store before a tier, in a world where messages are late, answers cross changes, and links
//! break.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;

use super::super::*;
use crate::journal::Lsn;

const KEYS: u8 = 4;

#[derive(Debug, Clone)]
enum Step {
    /// A client of ours writes, or deletes.
    Write(u8, bool),
    /// Somebody else writes to the tier, or deletes there.
    Theirs(u8, bool),
    /// The oldest invalidation arrives.
    Deliver,
    /// The outbox applies the oldest record.
    Apply,
    /// The cache hears how far the outbox is.
    Acknowledge,
    /// A reader asks the tier, if the store says so.
    Ask(u8),
    /// The tier looks at the oldest question, if it may.
    Look,
    /// The oldest answer arrives.
    Land,
    /// The invalidation link breaks and is back.
    Gap,
    /// Time passes.
    Age,
    Flush,
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..KEYS;
    prop_oneof![
        4 => (key.clone(), any::<bool>()).prop_map(|(k, d)| Step::Write(k, d)),
        4 => (key.clone(), any::<bool>()).prop_map(|(k, d)| Step::Theirs(k, d)),
        4 => Just(Step::Deliver),
        4 => Just(Step::Apply),
        3 => Just(Step::Acknowledge),
        6 => key.prop_map(Step::Ask),
        5 => Just(Step::Look),
        5 => Just(Step::Land),
        1 => Just(Step::Gap),
        1 => Just(Step::Age),
        1 => Just(Step::Flush),
    ]
}

/// A key and its value, or its deletion; `None`: everything was deleted.
type Logged = Option<(u8, Option<u64>)>;

struct Question {
    key: u8,
    ticket: Ticket,
    answer: Option<Option<u64>>,
}

struct World {
    store: Store,
    hasher: KeyHasher,
    tier: BTreeMap<u8, u64>,
    log: VecDeque<(Lsn, Logged)>,
    applied: Lsn,
    acknowledged: Lsn,
    lsn: Lsn,
    invalidations: VecDeque<u8>,
    questions: VecDeque<Question>,
    values: u64,
    now: u64,
}

fn name(key: u8) -> [u8; 1] {
    [b'a' + key]
}

impl World {
    fn new() -> Self {
        let mut store = Store::new(StoreConfig { databases: 2, ..StoreConfig::default() });
        store.attach_tier(0, 1000);
        Self {
            store,
            hasher: KeyHasher::fixed(),
            tier: BTreeMap::new(),
            log: VecDeque::new(),
            applied: 0,
            acknowledged: 0,
            lsn: 0,
            invalidations: VecDeque::new(),
            questions: VecDeque::new(),
            values: 0,
            now: 1000,
        }
    }

    fn fresh_value(&mut self) -> u64 {
        self.values += 1;
        self.values
    }

    fn log(&mut self, record: Logged) {
        self.store.mark_effects();
        self.store.effects_mut().clear();
        self.lsn += 1;
        self.store.stamp_effects(self.lsn);
        self.log.push_back((self.lsn, record));
    }

    fn in_memory(&self, key: u8) -> Option<u64> {
        let bytes = name(key);
        let entry = self.store.peek(TIERED, self.hasher.key(&bytes), self.now)?;
        std::str::from_utf8(entry.value).ok()?.parse().ok()
    }

    fn standing(&self, key: u8) -> Standing {
        let bytes = name(key);
        self.store.standing(self.hasher.key(&bytes), self.now)
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Write(key, delete) => {
                let (bytes, value) = (name(key), self.fresh_value());
                let at = self.hasher.key(&bytes);
                if delete {
                    self.store.bury(at, self.now);
                    self.log(Some((key, None)));
                } else {
                    let text = value.to_string();
                    let set = self.store.set(TIERED, at, text.as_bytes(), Expiry::Never, self.now);
                    set.expect("there is room");
                    self.log(Some((key, Some(value))));
                }
            }
            Step::Theirs(key, delete) => {
                let value = self.fresh_value();
                if delete {
                    self.tier.remove(&key);
                } else {
                    self.tier.insert(key, value);
                }
                self.invalidations.push_back(key);
            }
            Step::Deliver => {
                if let Some(key) = self.invalidations.pop_front() {
                    let bytes = name(key);
                    self.store.changed_behind(self.hasher.key(&bytes), self.now);
                }
            }
            Step::Apply => {
                if let Some((lsn, record)) = self.log.pop_front() {
                    match record {
                        Some((key, Some(value))) => drop(self.tier.insert(key, value)),
                        Some((key, None)) => drop(self.tier.remove(&key)),
                        None => self.tier.clear(),
                    }
                    self.applied = lsn;
                }
            }
            Step::Acknowledge => {
                self.acknowledged = self.applied;
                self.store.acknowledge(self.applied);
            }
            Step::Ask(key) => {
                if matches!(self.standing(key), Standing::Fresh | Standing::Gone) {
                    return;
                }
                let bytes = name(key);
                let ticket = self.store.ticket(self.hasher.key(&bytes));
                self.questions.push_back(Question { key, ticket, answer: None });
            }
            Step::Look => {
                let (tier, acknowledged) = (&self.tier, self.acknowledged);
                let waits =
                    |q: &&mut Question| q.answer.is_none() && q.ticket.after <= acknowledged;
                if let Some(question) = self.questions.iter_mut().find(waits) {
                    question.answer = Some(tier.get(&question.key).copied());
                }
            }
            Step::Land => {
                let Some(at) = self.questions.iter().position(|q| q.answer.is_some()) else {
                    return;
                };
                let Some(question) = self.questions.remove(at) else { return };
                let bytes = name(question.key);
                let key = self.hasher.key(&bytes);
                match question.answer.flatten() {
                    Some(value) => {
                        let value = value.to_string();
                        let filled =
                            self.store.fill(key, value.as_bytes(), None, question.ticket, self.now);
                        filled.expect("there is room");
                    }
                    None => {
                        let until = Some(self.now + 1_000_000);
                        self.store.absent_behind(key, question.ticket, until);
                    }
                }
                assert!(
                    self.store.effects().is_evictions_only(),
                    "what the tier said is no effect"
                );
            }
            Step::Gap => {
                self.invalidations.clear();
                self.store.gap_behind();
            }
            Step::Age => {
                self.now += 1000;
                self.store.age(16_000, self.now);
            }
            Step::Flush => {
                drop(self.store.flush(Some(TIERED)));
                self.log(None);
            }
        }
    }

    /// Lets every message arrive.
    fn settle(&mut self) {
        while !self.log.is_empty() {
            self.run(&Step::Apply);
        }
        self.run(&Step::Acknowledge);
        while !self.invalidations.is_empty() {
            self.run(&Step::Deliver);
        }
        while !self.questions.is_empty() {
            self.run(&Step::Look);
            self.run(&Step::Land);
        }
    }

    fn check(&self) {
        for key in 0..KEYS {
            let (memory, tier) = (self.in_memory(key), self.tier.get(&key).copied());
            match self.standing(key) {
                Standing::Fresh | Standing::Due => assert_eq!(memory, tier, "key {key}"),
                Standing::Gone => assert_eq!(tier, None, "key {key} is said to be absent"),
                Standing::Suspect | Standing::Missing => {}
            }
        }
    }
}

proptest! {
    #[test]
    fn what_is_believed_is_true_once_every_message_has_arrived(
        rounds in prop::collection::vec(prop::collection::vec(step(), 1..40), 1..4),
    ) {
        let mut world = World::new();
        for steps in rounds {
            for step in &steps {
                world.run(step);
            }
            world.settle();
            world.check();
        }
    }

    #[test]
    fn our_own_write_is_never_lost_to_an_older_answer(
        steps in prop::collection::vec(step(), 0..40), key in 0..KEYS,
        after in prop::collection::vec(
            prop_oneof![Just(Step::Look), Just(Step::Land), Just(Step::Deliver)], 0..20),
    ) {
        let mut world = World::new();
        for step in &steps {
            world.run(step);
        }
        world.run(&Step::Write(key, false));
        let ours = world.in_memory(key);
        for step in &after {
            world.run(step);
            prop_assert_eq!(world.in_memory(key), ours);
            prop_assert_eq!(world.standing(key), Standing::Fresh);
        }
    }
}

#[test]
fn a_pending_deletion_is_not_asked_about() {
    let mut world = World::new();
    world.run(&Step::Theirs(0, false));
    world.run(&Step::Write(0, true));
    assert_eq!(world.standing(0), Standing::Gone);
    world.settle();
    assert_eq!(world.standing(0), Standing::Missing);
}

/// SET with a time that has passed asks nobody what there is: what only the tier had stayed there.
#[test]
fn a_write_whose_time_has_passed_deletes_what_only_the_tier_has() {
    let mut world = World::new();
    world.run(&Step::Theirs(0, false));
    let bytes = name(0);
    let at = world.hasher.key(&bytes);
    let set = world.store.set(TIERED, at, b"v", Expiry::At(world.now - 1), world.now);
    set.expect("there is room");
    assert!(!world.store.effects().is_empty());
    world.log(Some((0, None)));
    assert_eq!(world.standing(0), Standing::Gone);
    world.settle();
    assert_eq!(world.tier.get(&0), None);
}

/// WATCH of a key that only the tier has, and which others change there.
#[test]
fn whoever_watches_a_key_is_told_what_others_do_to_it_though_it_is_not_in_memory() {
    type Change = fn(&mut World, Key<'_>);
    let changes: [(&str, Change); 5] = [
        ("others change it", |world, key| assert!(!world.store.changed_behind(key, world.now))),
        ("a gap", |world, _| world.store.gap_behind()),
        ("a flush here", |world, _| drop(world.store.flush(Some(TIERED)))),
        ("a swap here", |world, _| world.store.swap_db(TIERED, 1).expect("both are there")),
        ("a deletion of what nobody knows", |world, key| world.store.bury(key, world.now)),
    ];
    for (what, change) in changes {
        let mut world = World::new();
        let (bytes, flag) = (name(0), Arc::new(AtomicBool::new(false)));
        let key = world.hasher.key(&bytes);
        world.store.watch(TIERED, key, &flag, world.now).expect("there is room");
        let elsewhere = Arc::new(AtomicBool::new(false));
        world.store.watch(1, key, &elsewhere, world.now).expect("there is room");
        change(&mut world, key);
        assert!(flag.load(Ordering::Acquire), "{what}");
        assert!(!elsewhere.load(Ordering::Acquire), "{what}: another database");
    }
}

/// A write that waits is not dropped because of what others do, but whoever watches the key is told.
#[test]
fn whoever_watches_a_key_is_told_of_others_though_a_write_of_ours_waits() {
    let mut world = World::new();
    world.run(&Step::Write(0, false));
    let (bytes, flag) = (name(0), Arc::new(AtomicBool::new(false)));
    let key = world.hasher.key(&bytes);
    world.store.watch(TIERED, key, &flag, world.now).expect("there is room");
    world.store.changed_behind(key, world.now);
    assert!(flag.load(Ordering::Acquire));
    assert!(world.in_memory(0).is_some());
}

#[test]
fn an_answer_that_was_overtaken_is_there_for_nobody_else() {
    let mut world = World::new();
    world.run(&Step::Theirs(0, false));
    world.run(&Step::Ask(0));
    world.run(&Step::Look);
    world.run(&Step::Write(0, true));
    world.run(&Step::Apply);
    world.run(&Step::Acknowledge);
    world.run(&Step::Land);
    assert!(world.in_memory(0).is_some(), "whoever asked began before the deletion");
    // Not suspect, either: where the tier cannot be asked that is served.
    assert_eq!(world.standing(0), Standing::Missing);
    world.store.gap_behind();
    (0..16 * 600).for_each(|_| world.run(&Step::Age));
    assert_eq!(world.standing(0), Standing::Missing);
}

/// It was asked with what a key needs of which nothing is pending: an answer from before a write
/// that was pending, come after the acknowledgement, took the write's place.
#[test]
fn who_asks_about_whatever_keys_waits_for_every_write() {
    let mut world = World::new();
    assert_eq!(world.store.any_ticket().after, 0);
    world.run(&Step::Theirs(0, false));
    world.run(&Step::Write(0, false));
    world.run(&Step::Write(1, false));
    let first = world.store.any_ticket();
    assert_eq!(first.after, world.lsn);
    world.run(&Step::Apply);
    world.run(&Step::Acknowledge);
    assert_eq!(world.store.any_ticket().after, world.lsn, "one is on its way still");
    world.run(&Step::Apply);
    world.run(&Step::Acknowledge);
    assert_eq!(world.store.any_ticket().after, 0);
    // Asked now, and written again before the answer is here.
    world.run(&Step::Write(0, false));
    let ours = world.in_memory(0);
    world.run(&Step::Apply);
    world.run(&Step::Acknowledge);
    let bytes = name(0);
    let filled = world.store.fill(world.hasher.key(&bytes), b"older", None, first, world.now);
    filled.expect("there is room");
    assert_eq!(world.in_memory(0), ours);
}

#[test]
fn too_many_pending_writes_make_everything_wait_for_the_newest() {
    let mut world = World::new();
    for n in 0..=MAX_PENDING as u64 {
        let bytes = n.to_le_bytes();
        let key = world.hasher.key(&bytes);
        let set = world.store.set(TIERED, key, b"v", Expiry::Never, world.now);
        set.expect("there is room");
        world.log(None);
    }
    let other = world.hasher.key(b"never seen");
    assert_eq!(world.store.ticket(other).after, world.lsn);
    world.store.acknowledge(world.lsn);
    assert_eq!(world.store.ticket(other).after, 0);
    assert_eq!(world.store.near_stats().map(|s| s.pending), Some(0));
}

#[test]
fn entries_come_due_group_by_group_then_suspect_and_the_epochs_never_run_out() {
    let mut world = World::new();
    world.run(&Step::Theirs(0, false));
    world.settle();
    world.run(&Step::Ask(0));
    world.settle();
    assert_eq!(world.standing(0), Standing::Fresh);
    let mut seen = Vec::new();
    for _ in 0..48 {
        world.run(&Step::Age);
        seen.push(world.standing(0));
    }
    seen.dedup();
    let due = [Standing::Fresh, Standing::Due, Standing::Suspect];
    assert!(seen == due || seen == due[1..], "{seen:?}");
    // Through several turns of the counter: what nobody confirmed stays suspect.
    for _ in 0..16 * 600 {
        world.run(&Step::Age);
        assert_eq!(world.standing(0), Standing::Suspect);
    }
    world.run(&Step::Ask(0));
    world.settle();
    assert_eq!(world.standing(0), Standing::Fresh);
}

/// Aging one group a call made the bound depend on how often sweeps come.
#[test]
fn nothing_is_believed_for_longer_because_sweeps_are_seldom() {
    for pause in [1, 7, 999, 5000, 20_000, 100_000] {
        let mut world = World::new();
        world.run(&Step::Theirs(0, false));
        world.settle();
        world.run(&Step::Ask(0));
        world.settle();
        assert_eq!(world.standing(0), Standing::Fresh);
        let began = world.now;
        while world.standing(0) != Standing::Suspect {
            assert!(world.now - began <= 2 * 16_000 + pause, "every {pause} ms");
            world.now += pause;
            world.store.age(16_000, world.now);
        }
        // Nor much shorter: it comes due in between, and is asked for behind the reader's back.
        assert!(world.now - began >= 16_000 - 1000, "every {pause} ms");
    }
}

#[test]
fn a_value_that_does_not_fit_is_refused_and_leaves_nothing() {
    let config =
        StoreConfig { max_bytes: Store::floor_bytes(1) + 200, databases: 1, ..Default::default() };
    let mut store = Store::new(config);
    store.attach_tier(0, 1);
    let hasher = KeyHasher::fixed();
    let key = hasher.key(b"k");
    let ticket = store.ticket(key);
    assert!(store.fill(key, &[0; 1000], None, ticket, 1).is_err());
    assert_eq!(store.entries(), 0);
    assert!(store.fill(key, &[0; 100], Some(5), ticket, 1).is_ok());
    assert_eq!(store.peek(TIERED, key, 1).map(|e| e.expires_at), Some(Some(5)));
}

#[test]
fn an_answer_from_before_a_change_answers_no_later_question() {
    let mut world = World::new();
    let bytes = name(0);
    let key = world.hasher.key(&bytes);
    let first = world.store.ticket(key);
    assert!(first.answers(&world.store.ticket(key)));
    // Another key's change is none of its business.
    world.run(&Step::Write(1, false));
    assert!(first.answers(&world.store.ticket(key)));
    world.run(&Step::Write(0, true));
    world.run(&Step::Apply);
    world.run(&Step::Apply);
    world.run(&Step::Acknowledge);
    assert_eq!(world.standing(0), Standing::Missing);
    assert!(!first.answers(&world.store.ticket(key)), "it would bring back what was deleted");
    let second = world.store.ticket(key);
    world.store.changed_behind(key, world.now);
    assert!(!second.answers(&world.store.ticket(key)), "somebody else changed it");
    let third = world.store.ticket(key);
    world.run(&Step::Gap);
    assert!(!third.answers(&world.store.ticket(key)), "somebody may have changed it");
}

/// The time was counted from the last gap, which is when invalidations began: a day after that
/// nothing that was a little old was served any more.
#[test]
fn how_long_the_tier_has_been_silent_is_counted_from_its_first_silence() {
    const STALE_MS: u64 = 60_000;
    let mut world = World::new();
    let bridges = |world: &World| world.store.bridges_silence(STALE_MS, world.now);
    world.now += 100 * STALE_MS;
    assert!(bridges(&world), "it has always answered");
    world.store.unanswered(world.now);
    world.now += STALE_MS;
    world.store.unanswered(world.now);
    assert!(bridges(&world), "to the last millisecond");
    assert!(!world.store.bridges_silence(0, world.now), "0 serves nothing");
    world.now += 1;
    assert!(!bridges(&world));
    world.run(&Step::Ask(0));
    world.settle();
    assert!(bridges(&world), "it has answered");
    world.store.unanswered(world.now);
    world.now += STALE_MS + 1;
    assert!(!bridges(&world));
    // A clock that goes back does not make it longer.
    world.now -= 10 * STALE_MS;
    world.store.unanswered(world.now);
    world.now += STALE_MS + 1;
    assert!(!bridges(&world));
}

/// Entries are tagged with epochs, which the next tier counts anew; and an answer may still be on its
/// way.
#[test]
fn a_tier_that_goes_leaves_what_was_written_here_and_the_next_one_believes_nothing() {
    let mut world = World::new();
    world.run(&Step::Theirs(0, false));
    world.settle();
    world.run(&Step::Ask(0));
    world.settle();
    world.run(&Step::Write(1, false));
    let (bytes, ours) = (name(2), name(1));
    let (late, ours) = (world.hasher.key(&bytes), world.hasher.key(&ours));
    for _ in 0..100 {
        world.run(&Step::Gap);
    }
    world.run(&Step::Write(1, false));
    assert!(world.in_memory(0).is_some() && world.in_memory(1).is_some());
    let ticket = world.store.ticket(late);

    let theirs = world.store.from_tier();
    world.store.drop_from_tier(&theirs);
    world.store.detach_tier();
    assert_eq!(world.store.near_stats(), None);
    assert_eq!(world.in_memory(0), None, "nobody would say when it changes");
    assert!(world.in_memory(1).is_some());
    assert_eq!(world.standing(0), Standing::Fresh, "it is known to be absent");
    assert!(world.store.fill(late, b"7", None, ticket, world.now).is_ok());
    assert_eq!(world.in_memory(2), None, "an answer that comes too late");

    world.store.attach_tier(world.lsn, world.now);
    world.store.gap_behind();
    world.store.acknowledge(world.lsn);
    assert_eq!(world.standing(1), Standing::Suspect);
    assert_eq!(world.standing(0), Standing::Missing);
    assert!(!ticket.answers(&world.store.ticket(late)));
    assert!(world.store.fill(ours, b"7", None, ticket, world.now).is_ok());
    assert_ne!(world.in_memory(1), Some(7), "an answer to what the last tier was asked");
}
