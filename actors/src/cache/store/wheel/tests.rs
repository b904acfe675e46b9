//! The wheel against an ordered map, over jumps from a millisecond to millennia.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// A wheel on its slab, and what it should hold.
struct Bench {
    slab: Slab,
    wheel: Wheel,
    model: BTreeMap<u32, UnixMs>,
    now: UnixMs,
}

impl Bench {
    fn new(now: UnixMs) -> Self {
        Self { slab: Slab::new(), wheel: Wheel::new(), model: BTreeMap::new(), now }
    }

    fn add(&mut self, after: u64) {
        let slot = self.slab.allocate().unwrap_or(NIL);
        self.slab.at_mut(slot).db = 0;
        self.model.insert(slot, 0);
        self.set(slot, after);
    }

    fn set(&mut self, slot: u32, after: u64) {
        let at = self.now.saturating_add(after).max(1);
        let was = std::mem::replace(&mut self.slab.at_mut(slot).expires_at, at);
        self.wheel.schedule(&mut self.slab, slot, was, self.now);
        self.model.insert(slot, at);
    }

    fn remove(&mut self, slot: u32) {
        self.wheel.cancel(&mut self.slab, slot);
        self.slab.release(slot);
        self.model.remove(&slot);
    }

    fn nth(&self, n: usize) -> Option<u32> {
        let count = self.model.len().max(1);
        self.model.keys().nth(n % count).copied()
    }

    /// Lets the wheel fire what is due, in rounds of `budget`.
    fn fire(&mut self, budget: u32) -> Vec<u32> {
        let mut fired = Vec::new();
        loop {
            let mut left = budget;
            while let Some(slot) = self.wheel.poll(&mut self.slab, self.now, &mut left) {
                fired.push(slot);
            }
            if left > 0 {
                break;
            }
        }
        for &slot in &fired {
            self.slab.release(slot);
        }
        fired.sort_unstable();
        fired
    }

    fn due(&mut self) -> Vec<u32> {
        let now = self.now;
        let due: Vec<u32> =
            self.model.iter().filter(|(_, at)| **at <= now).map(|(slot, _)| *slot).collect();
        self.model.retain(|_, at| *at > now);
        due
    }
}

#[derive(Debug, Clone)]
enum Step {
    Add(u64),
    Set(usize, u64),
    Remove(usize),
    Forward(u64, u32),
    Back(u64),
}

/// Spans of every magnitude, the far ends included.
fn span() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => (0u32..64).prop_flat_map(|bits| 0..=(1u64 << bits)),
        2 => 0u64..200,
        1 => Just(u64::MAX),
        1 => Just(3_600_000u64),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => span().prop_map(Step::Add),
        3 => (any::<usize>(), span()).prop_map(|(n, after)| Step::Set(n, after)),
        1 => any::<usize>().prop_map(Step::Remove),
        4 => ((0u32..44).prop_flat_map(|bits| 0..=(1u64 << bits)), 1u32..9)
            .prop_map(|(by, budget)| Step::Forward(by, budget)),
        1 => (1001u64..10_000_000).prop_map(Step::Back),
    ]
}

proptest! {
    #[test]
    fn fires_what_is_due_and_nothing_else(
        start in prop_oneof![Just(0u64), Just(1_700_000_000_000), 1u64..u64::MAX / 2],
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        let mut bench = Bench::new(start);
        for step in steps {
            match step {
                Step::Add(after) => bench.add(after),
                Step::Set(n, after) => {
                    if let Some(slot) = bench.nth(n) { bench.set(slot, after) }
                }
                Step::Remove(n) => {
                    if let Some(slot) = bench.nth(n) { bench.remove(slot) }
                }
                Step::Forward(by, budget) => {
                    bench.now = bench.now.saturating_add(by);
                    let fired = bench.fire(budget);
                    prop_assert_eq!(fired, bench.due());
                }
                Step::Back(by) => {
                    bench.now = bench.now.saturating_sub(by);
                    let now = bench.now;
                    bench.wheel.rewind(&mut bench.slab, now);
                }
            }
            prop_assert_eq!(bench.wheel.len as usize, bench.model.len());
        }
        bench.now = u64::MAX;
        let fired = bench.fire(1);
        prop_assert_eq!(fired, bench.due());
        prop_assert!(bench.wheel.occupied.iter().all(|&bits| bits == 0));
    }
}

#[test]
fn the_cost_does_not_depend_on_time_passed_or_entries_that_are_not_due() {
    let mut bench = Bench::new(1_700_000_000_000);
    for i in 0..10_000 {
        bench.add(1_000_000_000 + i);
    }
    bench.add(50);
    for _ in 0..1000 {
        // A second at a time, and one hour-long jump: hardly an entry is looked at.
        bench.now += 1000;
        let mut budget = 3;
        while let Some(slot) = bench.wheel.poll(&mut bench.slab, bench.now, &mut budget) {
            bench.slab.release(slot);
        }
        assert!(budget > 0, "more than three entries looked at by {}", bench.now);
    }
}

#[test]
fn a_ttl_that_every_write_renews_is_not_placed_anew() {
    let mut bench = Bench::new(1_700_000_000_000);
    bench.add(1000);
    let slot = bench.nth(0).unwrap_or(NIL);
    let bucket = bench.slab.at(slot).bucket();
    for _ in 0..100 {
        bench.now += 9;
        bench.set(slot, 1000);
    }
    assert_eq!(bench.slab.at(slot).bucket(), bucket);
    bench.now += 999;
    assert_eq!(bench.fire(1), [0u32; 0]);
    bench.now += 1;
    assert_eq!(bench.fire(1), [slot]);
}
