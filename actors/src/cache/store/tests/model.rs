//! The store against a map and a queue: contents, expiry, exact victims, limits, effects.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::super::Expiry;
use super::script::{Op, When, name, script};
use super::*;
use crate::journal::{Record, Records};

type Name = (u8, Vec<u8>);

#[derive(Default)]
struct Model {
    entries: BTreeMap<Name, (Vec<u8>, UnixMs)>,
    /// Used longest ago first.
    order: VecDeque<Name>,
}

impl Model {
    fn touch(&mut self, name: &Name) {
        self.order.retain(|other| other != name);
        self.order.push_back(name.clone());
    }

    fn set(&mut self, name: &Name, value: Vec<u8>, at: UnixMs) {
        self.entries.insert(name.clone(), (value, at));
        self.touch(name);
    }

    fn remove(&mut self, name: &Name) -> Option<(Vec<u8>, UnixMs)> {
        self.order.retain(|other| other != name);
        self.entries.remove(name)
    }

    fn is_live(&self, name: &Name, now: UnixMs) -> bool {
        self.entries.get(name).is_some_and(|(_, at)| *at == 0 || *at > now)
    }

    fn live(&self, now: UnixMs) -> Vec<Item> {
        self.entries
            .iter()
            .filter(|(name, _)| self.is_live(name, now))
            .map(|((db, key), (value, at))| {
                (*db, key.clone(), value.clone(), (*at != 0).then_some(*at))
            })
            .collect()
    }

    /// Follows evictions (exactly the oldest, except `keep`) and expiries in the effects.
    fn follow(&mut self, effects: &RecordBatch, keep: Option<&Name>, now: UnixMs) -> bool {
        Records::new(effects.as_bytes()).all(|record| match record {
            Ok(Record::Evict { db, key }) => {
                let oldest = self.order.iter().find(|name| Some(*name) != keep).cloned();
                let is_oldest =
                    oldest == Some((db, key.to_vec())) && self.is_live(&(db, key.to_vec()), now);
                if let Some(name) = oldest {
                    self.remove(&name);
                }
                is_oldest
            }
            Ok(Record::Delete { db, key }) => {
                let name = (db, key.to_vec());
                if !self.is_live(&name, now) {
                    self.remove(&name);
                }
                true
            }
            Ok(_) => true,
            Err(_) => false,
        })
    }
}

/// Runs a script on a store and the model; returns all effects and the time it ended.
fn run(store: &mut Store, ops: &[Op]) -> Result<(RecordBatch, UnixMs), TestCaseError> {
    let mut model = Model::default();
    let mut now = NOW;
    let mut log = RecordBatch::new();
    for op in ops {
        let before = store.entries();
        let mut keep = None;
        // What the model does once the evictions are known.
        let mut then: Box<dyn FnOnce(&mut Model)> = Box::new(|_| {});
        match *op {
            Op::Get(db, k) => {
                let id = (db, name(k));
                let expected = model.is_live(&id, now).then(|| model.entries[&id].0.clone());
                let got = store.get(db, key(&id.1), now).map(<[u8]>::to_vec);
                prop_assert_eq!(&got, &expected);
                if got.is_some() {
                    then = Box::new(move |m| m.touch(&id));
                }
            }
            Op::Touch(db, k) => {
                let id = (db, name(k));
                let there = store.touch(db, key(&id.1), now);
                prop_assert_eq!(there, model.is_live(&id, now));
                if there {
                    then = Box::new(move |m| m.touch(&id));
                }
            }
            Op::Set(db, k, len, when) => {
                let id = (db, name(k));
                let value = vec![k ^ len as u8; len];
                let put = store.set(db, key(&id.1), &value, when.expiry(now), now);
                let kept = if model.is_live(&id, now) { model.entries[&id].1 } else { 0 };
                keep = Some(id.clone());
                if put.is_ok() {
                    then = Box::new(move |m| match when {
                        When::Past => drop(m.remove(&id)),
                        When::Keep => m.set(&id, value, kept),
                        When::After(ms) => m.set(&id, value, now + ms),
                        When::Default | When::Never => m.set(&id, value, 0),
                    });
                }
            }
            Op::Append(db, k, len) => {
                let id = (db, name(k));
                let (mut value, at) = current(&model, &id, now);
                value.resize(value.len() + len, b'+');
                let put = store.append(db, key(&id.1), &vec![b'+'; len], now);
                keep = Some(id.clone());
                if let Ok(total) = put {
                    prop_assert_eq!(total, value.len());
                    then = Box::new(move |m| m.set(&id, value, at));
                }
            }
            Op::SetRange(db, k, offset, len) => {
                let id = (db, name(k));
                let (mut value, at) = current(&model, &id, now);
                let put = store.set_range(db, key(&id.1), offset, &vec![b'r'; len], now);
                keep = Some(id.clone());
                if let Ok(total) = put
                    && len > 0
                {
                    value.resize(value.len().max(offset + len), 0);
                    value[offset..offset + len].fill(b'r');
                    prop_assert_eq!(total, value.len());
                    then = Box::new(move |m| m.set(&id, value, at));
                }
            }
            Op::Remove(db, k) => {
                let id = (db, name(k));
                prop_assert_eq!(store.remove(db, key(&id.1), now), model.is_live(&id, now));
                then = Box::new(move |m| drop(m.remove(&id)));
            }
            Op::Move(db, k, to, l) => {
                let (from, to) = ((db, name(k)), (to, name(l)));
                if let Some(entry) = store.take(db, key(&from.1), now) {
                    let held = model.remove(&from);
                    prop_assert_eq!(held.as_ref().map(|h| h.0.as_slice()), Some(entry.value()));
                    keep = Some(to.clone());
                    if store.put(to.0, key(&to.1), entry, now).is_ok()
                        && let Some((value, at)) = held
                    {
                        then = Box::new(move |m| m.set(&to, value, at));
                    }
                }
            }
            Op::Expire(db, k, when) => {
                let id = (db, name(k));
                let at = match when.expiry(now) {
                    Expiry::At(at) => Some(at),
                    _ => None,
                };
                let there = store.expire_at(db, key(&id.1), at, now);
                prop_assert_eq!(there, model.is_live(&id, now));
                if there {
                    then = Box::new(move |m| {
                        if at.is_some_and(|at| at <= now) {
                            m.remove(&id);
                        } else if let Some(entry) = m.entries.get_mut(&id) {
                            entry.1 = at.unwrap_or(0);
                        }
                    });
                }
            }
            Op::Flush(db) => {
                drop(store.flush(db));
                then = Box::new(move |m| {
                    m.entries.retain(|name, _| db.is_some_and(|db| db != name.0));
                    m.order.retain(|name| db.is_some_and(|db| db != name.0));
                });
            }
            Op::Swap(a, b) => {
                prop_assert!(store.swap_db(a, b).is_ok());
                then = Box::new(move |m| {
                    let turn = |db: u8| {
                        if db == a {
                            b
                        } else if db == b {
                            a
                        } else {
                            db
                        }
                    };
                    m.entries = std::mem::take(&mut m.entries)
                        .into_iter()
                        .map(|((db, key), entry)| ((turn(db), key), entry))
                        .collect();
                    m.order.iter_mut().for_each(|name| name.0 = turn(name.0));
                });
            }
            Op::Sweep(max) => {
                let round = store.expire_due(max, now);
                prop_assert!(round.count <= max);
            }
            Op::Pass(ms) => now += ms,
            Op::Limit(entries) => {
                let config = *store.config();
                if config.eviction == Eviction::Lru {
                    store.reconfigure(StoreConfig { max_entries: entries, ..config });
                    while store.evict_to_fit(3, now).more {}
                }
            }
        }
        let effects = store.take_effects();
        prop_assert!(model.follow(&effects, keep.as_ref(), now), "wrong victim in {:?}", op);
        log.extend(&effects);
        then(&mut model);

        prop_assert!(store.is_intact());
        prop_assert_eq!(contents(store, now), model.live(now));
        prop_assert_eq!(store.entries() as usize, model.entries.len());
        let config = store.config();
        if config.max_entries != 0 {
            prop_assert!(store.entries() <= config.max_entries);
        }
        if config.max_bytes != 0 {
            let memory = store.memory();
            prop_assert!(memory <= config.max_bytes.max(fixed_bytes(3)), "{memory} after {op:?}");
        }
        let evictions = Records::new(effects.as_bytes())
            .filter(|r| matches!(r, Ok(Record::Evict { .. })))
            .count();
        if evictions > 0 && config.max_bytes == 0 && !matches!(op, Op::Limit(_)) {
            prop_assert_eq!(before, config.max_entries, "evicted without need");
        }
        for db in 0..3 {
            let expiring = model.entries.iter().filter(|(n, e)| n.0 == db && e.1 != 0).count();
            prop_assert_eq!(store.expires_len(db) as usize, expiring);
        }
    }
    Ok((log, now))
}

fn current(model: &Model, id: &Name, now: UnixMs) -> (Vec<u8>, UnixMs) {
    if model.is_live(id, now) { model.entries[id].clone() } else { (Vec::new(), 0) }
}

proptest! {
    #[test]
    fn without_limits_it_is_a_map(ops in script()) {
        run(&mut unlimited(), &ops)?;
    }

    #[test]
    fn the_victims_are_exactly_the_least_recently_used(ops in script(), max in 1u64..30) {
        run(&mut Store::new(config(max, 0, Eviction::Lru)), &ops)?;
    }

    #[test]
    fn the_memory_limit_holds_after_every_operation(ops in script(), room in 0u64..6000) {
        let max = Store::floor_bytes(3) + room;
        run(&mut Store::new(config(0, max, Eviction::Lru)), &ops)?;
    }

    #[test]
    fn without_eviction_writes_are_refused_and_nothing_is_lost(ops in script(), room in 0u64..6000) {
        let max = Store::floor_bytes(3) + room;
        let mut store = Store::new(config(20, max, Eviction::None));
        run(&mut store, &ops)?;
        prop_assert_eq!(store.stats().evicted_entries + store.stats().evicted_memory, 0);
    }

    #[test]
    fn the_effects_replayed_give_the_same_contents(ops in script(), max in 0u64..30) {
        let mut store = Store::new(config(max, 0, Eviction::Lru));
        let (log, now) = run(&mut store, &ops)?;
        let mut fresh = unlimited();
        prop_assert!(replay(&log, &mut fresh, now));
        prop_assert_eq!(contents(&fresh, now), contents(&store, now));
        prop_assert!(fresh.effects().is_empty());
        prop_assert_eq!(fresh.stats(), &StoreStats::default());
    }

    #[test]
    fn a_replay_under_the_same_limit_evicts_nothing_of_its_own_accord(
        ops in script(),
        max in 1u64..30,
    ) {
        let ops: Vec<Op> = ops.into_iter().filter(|op| !matches!(op, Op::Limit(_))).collect();
        let mut store = Store::new(config(max, 0, Eviction::Lru));
        let (log, now) = run(&mut store, &ops)?;
        let mut fresh = Store::new(config(max, 0, Eviction::Lru));
        prop_assert!(replay(&log, &mut fresh, NOW));
        prop_assert_eq!(contents(&fresh, now), contents(&store, now));
    }

    #[test]
    fn a_limit_switched_on_late_finds_the_exact_order(ops in script(), max in 1u64..20) {
        let mut early = Store::new(config(u64::MAX, 0, Eviction::Lru));
        let mut late = unlimited();
        let (_, now) = run(&mut late, &ops.iter().filter(|op| !matches!(op, Op::Limit(_))).cloned().collect::<Vec<_>>())?;
        run(&mut early, &ops.into_iter().filter(|op| !matches!(op, Op::Limit(_))).collect::<Vec<_>>())?;
        for store in [&mut early, &mut late] {
            store.reconfigure(config(max, 0, Eviction::Lru));
            while store.evict_to_fit(2, now).more {}
        }
        prop_assert_eq!(contents(&early, now), contents(&late, now));
        prop_assert_eq!(early.effects(), late.effects());
    }
}
