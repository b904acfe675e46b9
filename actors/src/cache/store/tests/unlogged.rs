//! What came from the tier is not in the log, and neither is that it went. What the log gives back
//! is in memory, all the same.

use proptest::prelude::*;

use super::*;
use crate::journal::Records;

const KEYS: u8 = 6;

#[derive(Debug, Clone)]
enum Step {
    /// A client writes a key, which expires after so long.
    Set(u8, Option<u64>),
    /// A client changes a part of a value, or only when it expires.
    Append(u8),
    Expire(u8, u64),
    Delete(u8),
    /// The tier says what it holds: a value that expires after so long, or none.
    Fill(u8, Option<u64>),
    Absent(u8),
    /// Somebody else changed a key in the tier.
    Changed(u8),
    /// Changes may have been missed.
    Gap,
    /// Time passes, and what is due goes.
    Sweep(u64),
    /// A snapshot is taken: what is read back begins with it from now on.
    Snapshot,
}

fn step() -> impl Strategy<Value = Step> {
    let (key, ttl) = (0..KEYS, prop::option::weighted(0.3, 1u64..50));
    prop_oneof![
        4 => (key.clone(), ttl.clone()).prop_map(|(k, t)| Step::Set(k, t)),
        1 => key.clone().prop_map(Step::Append),
        1 => (key.clone(), 1u64..50).prop_map(|(k, t)| Step::Expire(k, t)),
        1 => key.clone().prop_map(Step::Delete),
        6 => (key.clone(), ttl).prop_map(|(k, t)| Step::Fill(k, t)),
        1 => key.clone().prop_map(Step::Absent),
        2 => key.prop_map(Step::Changed),
        1 => Just(Step::Gap),
        2 => (0u64..30).prop_map(Step::Sweep),
        1 => Just(Step::Snapshot),
    ]
}

struct World {
    store: Store,
    /// What comes of snapshot and log.
    read_back: Store,
    now: UnixMs,
    values: u64,
    lsn: u64,
}

fn name(key: u8) -> [u8; 1] {
    [b'a' + key]
}

impl World {
    fn new() -> Self {
        let mut store = Store::new(config(4, 0, Eviction::Lru));
        store.attach_tier(0, NOW);
        Self { store, read_back: unlimited(), now: NOW, values: 0, lsn: 0 }
    }

    fn fresh_value(&mut self) -> String {
        self.values += 1;
        self.values.to_string()
    }

    /// Runs a step; returns its effects.
    fn run(&mut self, step: &Step) -> RecordBatch {
        let (now, value) = (self.now, self.fresh_value());
        let (value, store) = (value.as_bytes(), &mut self.store);
        match *step {
            Step::Set(k, ttl) => {
                let expiry = ttl
                    .map_or(super::super::Expiry::Never, |ttl| super::super::Expiry::At(now + ttl));
                store.set(0, key(&name(k)), value, expiry, now).expect("there is room");
            }
            Step::Append(k) => drop(store.append(0, key(&name(k)), value, now)),
            Step::Expire(k, ttl) => {
                store.expire_at(0, key(&name(k)), Some(now + ttl), now);
            }
            Step::Delete(k) => store.bury(key(&name(k)), now),
            Step::Fill(k, ttl) => {
                let ticket = store.ticket(key(&name(k)));
                let until = ttl.map(|ttl| now + ttl);
                store.fill(key(&name(k)), value, until, ticket, now).expect("there is room");
            }
            Step::Absent(k) => {
                let ticket = store.ticket(key(&name(k)));
                store.absent_behind(key(&name(k)), ticket, None);
            }
            Step::Changed(k) => drop(store.changed_behind(key(&name(k)), now)),
            Step::Gap => store.gap_behind(),
            Step::Sweep(ms) => {
                self.now += ms;
                store.expire_due(100, self.now);
            }
            Step::Snapshot => {
                let mut records = RecordBatch::new();
                store.begin_export(1);
                let next = store.export(1, 0, ExportLimits::default(), &mut records);
                assert_eq!(next, Ok(None));
                self.read_back = unlimited();
                self.read(&records);
            }
        }
        self.lsn += 1;
        self.store.mark_effects();
        let effects = self.store.take_effects();
        self.store.stamp_effects(self.lsn);
        self.store.acknowledge(self.lsn);
        self.read(&effects);
        effects
    }

    fn read(&mut self, records: &RecordBatch) {
        for record in Records::new(records.as_bytes()) {
            let record = record.expect("it was written just now");
            let (_, name) = record.entry().expect("every one is about a key");
            let applied = self.read_back.apply(&record, key(name).hash, self.now);
            assert_eq!(applied, Ok(()));
        }
    }

    fn check(&self) {
        for k in 0..KEYS {
            let of = |store: &Store| {
                let entry = store.peek(0, key(&name(k)), self.now)?;
                Some((entry.value.to_vec(), entry.expires_at, entry.ours))
            };
            if let Some(back) = of(&self.read_back) {
                assert_eq!(of(&self.store), Some(back), "key {k} comes back");
            }
        }
    }
}

proptest! {
    #[test]
    fn what_the_log_gives_back_is_in_memory(steps in prop::collection::vec(step(), 0..80)) {
        let mut world = World::new();
        for step in &steps {
            world.run(step);
            world.check();
        }
    }
}

/// Where an entry came from is known after a start, too; whatever is done to it here makes it ours.
#[test]
fn a_snapshot_tells_what_was_only_read_from_the_tier() {
    let mut world = World::new();
    let steps = [Step::Fill(0, Some(900)), Step::Fill(1, None), Step::Set(2, None), Step::Snapshot];
    steps.iter().for_each(|step| drop(world.run(step)));
    let ours = |world: &World| {
        [0, 1, 2].map(|k| world.read_back.peek(0, key(&name(k)), world.now).map(|e| e.ours))
    };
    assert_eq!(ours(&world), [Some(false), Some(false), Some(true)]);
    world.run(&Step::Expire(0, 40));
    world.run(&Step::Set(1, None));
    assert_eq!(ours(&world), [Some(true), Some(true), Some(true)]);
    world.check();
}

#[test]
fn what_is_written_while_there_is_no_tier_is_ours_when_one_comes() {
    let mut world = World::new();
    world.run(&Step::Fill(0, None));
    world.run(&Step::Snapshot);
    let (store, bytes) = (&mut world.read_back, name(0));
    let at = key(&bytes);
    let ours = |store: &Store| store.peek(0, at, NOW).map(|entry| entry.ours);
    assert_eq!(ours(store), Some(false));
    store.set(0, at, b"mine", super::super::Expiry::Never, NOW).expect("there is room");
    store.attach_tier(0, NOW);
    assert_eq!(ours(store), Some(true));
}

/// A start without the tier served what a snapshot had from it.
#[test]
fn what_a_snapshot_has_from_the_tier_is_told_from_the_rest_without_one() {
    let mut world = World::new();
    let steps = [Step::Fill(0, Some(900)), Step::Set(1, None), Step::Snapshot];
    steps.iter().for_each(|step| drop(world.run(step)));
    let store = &mut world.read_back;
    let theirs = store.from_tier();
    store.drop_from_tier(&theirs);
    store.detach_tier();
    assert_eq!(store.len(0), 1);
    assert!(store.peek(0, key(&name(1)), NOW).is_some_and(|entry| entry.ours));
    assert!(store.effects().is_evictions_only() && !store.effects().is_empty());
    assert!(store.from_tier().is_empty());
}

/// An answer that a deletion has overtaken is in memory for whoever asked: it came back by a snapshot.
#[test]
fn what_was_overtaken_is_in_no_snapshot() {
    let mut world = World::new();
    let asked = world.store.ticket(key(&name(0)));
    world.run(&Step::Delete(0));
    world.store.fill(key(&name(0)), b"old", None, asked, world.now).expect("there is room");
    assert!(world.store.peek(0, key(&name(0)), world.now).is_some());
    world.run(&Step::Snapshot);
    assert_eq!(world.read_back.len(0), 0);
}

#[test]
fn one_from_the_tier_that_goes_leaves_no_effect_and_a_written_one_an_eviction() {
    let mut world = World::new();
    for k in 0..KEYS {
        assert!(world.run(&Step::Fill(k, Some(10))).is_empty());
    }
    assert_eq!(world.store.len(0), 4);
    assert!(world.run(&Step::Changed(KEYS - 1)).is_empty());
    assert!(world.run(&Step::Sweep(20)).is_empty());
    assert_eq!(world.store.len(0), 0);
    for k in 0..4 {
        assert!(!world.run(&Step::Set(k, None)).is_evictions_only());
    }
    for step in [Step::Fill(4, None), Step::Changed(3)] {
        let effects = world.run(&step);
        assert!(effects.is_evictions_only() && effects.count() == 1, "{effects:?}");
    }
    assert_eq!(world.read_back.len(0), 2);
}
