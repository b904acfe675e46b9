//! Commands that the tier runs on a key while it is written here: to whoever looks it is as if one had
//! happened after the other.
//!
//! Values only ever grow, whichever way they are written: a SET writes a base larger than all before, and
//! an increment, here or in the tier, adds one. So whatever has been answered, nothing that begins later
//! may find less.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::super::*;
use crate::journal::Lsn;

const BASE: u64 = 1000;
const KEY: &[u8] = b"k";

#[derive(Debug, Clone, Copy)]
enum Step {
    /// A write that does not depend on what there is.
    Set,
    /// One that does, where it may run here.
    Increment,
    Read,
    /// The tier is to run a command; it does; memory is told.
    Begin,
    Run(usize),
    End(usize),
    /// The outbox applies the oldest record, and memory hears how far it is.
    Apply,
    Acknowledge,
}

fn step() -> impl Strategy<Value = Step> {
    let which = 0..2usize;
    prop_oneof![
        3 => Just(Step::Set),
        4 => Just(Step::Increment),
        4 => Just(Step::Read),
        3 => Just(Step::Begin),
        3 => which.clone().prop_map(Step::Run),
        3 => which.prop_map(Step::End),
        3 => Just(Step::Apply),
        2 => Just(Step::Acknowledge),
    ]
}

/// A command that the tier runs.
struct Passage {
    /// The tier is to have this first.
    after: Lsn,
    /// What had been answered before it began.
    least: u64,
    answer: Option<u64>,
}

struct World {
    store: Store,
    key: Key<'static>,
    now: u64,
    tier: Option<u64>,
    log: VecDeque<(Lsn, u64)>,
    lsn: Lsn,
    applied: Lsn,
    acknowledged: Lsn,
    passages: Vec<Passage>,
    /// The most that anybody has been answered.
    seen: u64,
    bases: u64,
}

impl World {
    fn new() -> Self {
        let mut store = Store::new(StoreConfig { databases: 1, ..StoreConfig::default() });
        store.attach_tier(0, 1000);
        Self {
            store,
            key: KeyHasher::fixed().key(KEY),
            now: 1000,
            tier: None,
            log: VecDeque::new(),
            lsn: 0,
            applied: 0,
            acknowledged: 0,
            passages: Vec::new(),
            seen: 0,
            bases: 0,
        }
    }

    fn write(&mut self, value: u64) {
        let text = value.to_string();
        let set = self.store.set(TIERED, self.key, text.as_bytes(), Expiry::Never, self.now);
        set.expect("there is room");
        self.store.mark_effects();
        self.store.effects_mut().clear();
        self.lsn += 1;
        self.store.stamp_effects(self.lsn);
        self.log.push_back((self.lsn, value));
        self.seen = self.seen.max(value);
    }

    /// What a command finds here, once the tier was asked if need be; `None` while it can't be.
    fn find(&mut self) -> Option<Option<u64>> {
        if matches!(self.store.standing(self.key, self.now), Standing::Suspect | Standing::Missing)
        {
            let ticket = self.store.ticket(self.key);
            if ticket.after > self.acknowledged {
                return None;
            }
            match self.tier {
                Some(value) => {
                    let text = value.to_string();
                    let filled = self.store.fill(self.key, text.as_bytes(), None, ticket, self.now);
                    filled.expect("there is room");
                }
                None => self.store.absent_behind(self.key, ticket, None),
            }
            self.store.effects_mut().clear();
        }
        let entry = self.store.peek(TIERED, self.key, self.now);
        Some(entry.and_then(|entry| std::str::from_utf8(entry.value).ok()?.parse().ok()))
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Set => {
                self.bases += 1;
                self.write(self.bases * BASE);
            }
            Step::Increment => {
                if self.store.is_in_passage(self.key.hash, self.now) {
                    return;
                }
                if let Some(found) = self.find() {
                    let found = found.unwrap_or(0);
                    assert!(found >= self.seen, "built upon {found} after {}", self.seen);
                    self.write(found + 1);
                }
            }
            Step::Read => {
                if let Some(found) = self.find() {
                    let found = found.unwrap_or(0);
                    // One that runs may have been seen by nobody yet, and a reader is the first.
                    assert!(found >= self.seen, "read {found} after {}", self.seen);
                    self.seen = found;
                }
            }
            Step::Begin => {
                if self.passages.len() < 2 {
                    let after = self.store.ticket(self.key).after;
                    self.store.begin_passage(self.key.hash, u64::MAX, self.now);
                    self.passages.push(Passage { after, least: self.seen, answer: None });
                }
            }
            Step::Run(which) => {
                let acknowledged = self.acknowledged;
                let passage = self.passages.get_mut(which);
                if let Some(passage) =
                    passage.filter(|p| p.answer.is_none() && p.after <= acknowledged)
                {
                    let value = self.tier.unwrap_or(0) + 1;
                    assert!(
                        value > passage.least,
                        "made {value} of what had been {}",
                        passage.least
                    );
                    self.tier = Some(value);
                    passage.answer = Some(value);
                }
            }
            Step::End(which) => {
                if self.passages.get(which).is_some_and(|p| p.answer.is_some()) {
                    let passage = self.passages.swap_remove(which);
                    self.store.changed_behind(self.key, self.now);
                    self.store.end_passage(self.key, true);
                    self.seen = self.seen.max(passage.answer.unwrap_or(0));
                }
            }
            Step::Apply => {
                if let Some((lsn, value)) = self.log.pop_front() {
                    self.tier = Some(value);
                    self.applied = lsn;
                }
            }
            Step::Acknowledge => {
                self.acknowledged = self.applied;
                self.store.acknowledge(self.applied);
            }
        }
        self.store.effects_mut().clear();
    }
}

proptest! {
    #[test]
    fn what_the_tier_runs_and_what_is_written_here_happen_one_after_the_other(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut world = World::new();
        for step in steps {
            world.run(step);
        }
        while !world.log.is_empty() {
            world.run(Step::Apply);
        }
        world.run(Step::Acknowledge);
        for _ in 0..2 {
            world.run(Step::Run(0));
            world.run(Step::End(0));
        }
        let found = world.find();
        prop_assert_eq!(found, Some(world.tier));
        prop_assert!(world.tier.unwrap_or(0) >= world.seen);
    }
}

/// A script made 1001 of 1000, and told so; then somebody read 1000 and built upon it.
#[test]
fn a_write_that_has_crossed_a_command_of_the_tiers_is_asked_for() {
    let mut world = World::new();
    world.run(Step::Begin);
    for step in [Step::Set, Step::Apply, Step::Run(0), Step::End(0)] {
        world.run(step);
    }
    assert_eq!(world.seen, 1001);
    assert_eq!(world.store.standing(world.key, world.now), Standing::Missing);
    // Nor later, or when Redis' word of it comes: what nobody may be told again is not served while it
    // is asked for.
    world.store.changed_behind(world.key, world.now);
    world.run(Step::Acknowledge);
    assert_eq!(world.store.standing(world.key, world.now), Standing::Missing);
    assert_eq!(world.find(), Some(Some(1001)));
    assert_eq!(world.store.standing(world.key, world.now), Standing::Fresh);
}

/// What is written behind it is known as ever.
#[test]
fn a_write_behind_a_command_of_the_tiers_is_believed() {
    let mut world = World::new();
    for step in [Step::Begin, Step::Set, Step::Run(0), Step::End(0), Step::Set] {
        world.run(step);
    }
    assert_eq!(world.store.standing(world.key, world.now), Standing::Fresh);
    assert_eq!(world.find(), Some(Some(2 * BASE)));
}

/// Where Redis was not reached, nothing was crossed.
#[test]
fn a_command_that_was_never_run_leaves_no_doubt() {
    let mut world = World::new();
    world.run(Step::Begin);
    world.run(Step::Set);
    world.store.end_passage(world.key, false);
    assert_eq!(world.store.standing(world.key, world.now), Standing::Fresh);
    assert!(!world.store.is_in_passage(world.key.hash, world.now));
}

/// SET with a time that has passed leaves nothing, and nothing was known to be there.
#[test]
fn a_deletion_that_has_crossed_a_command_of_the_tiers_is_asked_about() {
    let mut world = World::new();
    world.run(Step::Begin);
    let set = world.store.set(TIERED, world.key, b"v", Expiry::At(world.now - 1), world.now);
    set.expect("there is room");
    world.store.mark_effects();
    world.store.effects_mut().clear();
    world.store.stamp_effects(1);
    assert_eq!(world.store.standing(world.key, world.now), Standing::Gone);
    world.run(Step::Run(0));
    world.run(Step::End(0));
    assert_eq!(world.store.standing(world.key, world.now), Standing::Missing);
}
