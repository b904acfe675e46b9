//! What has expired, and is served while the tier does not answer: never longer than it may be,
//! never against better knowledge, and seen by nothing else.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const STALE_MS: u64 = 5000;

#[derive(Debug, Clone)]
enum Step {
    /// The tier answers with a value that has so long to live (0: for ever).
    Fill(u8, u64),
    /// It answers with the value that is there.
    Confirm(u8, u64),
    Absent(u8),
    Changed(u8),
    Gap,
    /// A client writes.
    Set(u8, u64),
    Expire(u8, u64),
    Delete(u8),
    Flush,
    /// A client reads, and the tier does not answer.
    Silence(u8),
    Sweep,
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let (key, ttl) = (0..4u8, prop_oneof![Just(0), 1..3000u64]);
    let timed = || (key.clone(), ttl.clone());
    prop_oneof![
        6 => timed().prop_map(|(k, t)| Step::Fill(k, t)),
        2 => timed().prop_map(|(k, t)| Step::Confirm(k, t)),
        1 => key.clone().prop_map(Step::Absent),
        1 => key.clone().prop_map(Step::Changed),
        1 => Just(Step::Gap),
        2 => timed().prop_map(|(k, t)| Step::Set(k, t)),
        1 => timed().prop_map(|(k, t)| Step::Expire(k, t)),
        1 => key.clone().prop_map(Step::Delete),
        1 => Just(Step::Flush),
        8 => key.prop_map(Step::Silence),
        3 => Just(Step::Sweep),
        6 => (1..3000u64).prop_map(Step::Pass),
    ]
}

#[derive(Debug, Clone)]
struct Live {
    value: Vec<u8>,
    expires_at: Option<UnixMs>,
    from_tier: bool,
}

struct World {
    store: Store,
    freshness: Freshness,
    live: BTreeMap<u8, Live>,
    /// What may be served in silence, and when it expired.
    kept: BTreeMap<u8, (Vec<u8>, UnixMs)>,
    silent_since: Option<UnixMs>,
    values: u64,
    lsn: u64,
    now: UnixMs,
    served: u64,
}

fn name(key: u8) -> [u8; 1] {
    [b'a' + key]
}

impl World {
    fn new(config: StoreConfig, keep_bytes: u64) -> Self {
        let freshness = Freshness { stale_ms: STALE_MS, keep_bytes, ..Freshness::default() };
        let mut store = Store::new(config);
        store.attach_tier(0, NOW);
        store.keep_fresh(freshness, NOW);
        Self {
            store,
            freshness,
            live: BTreeMap::new(),
            kept: BTreeMap::new(),
            silent_since: None,
            values: 0,
            lsn: 0,
            now: NOW,
            served: 0,
        }
    }

    fn at(&self, ttl: u64) -> Option<UnixMs> {
        (ttl > 0).then(|| self.now + ttl)
    }

    /// The log and the tier take everything at once.
    fn settle(&mut self) {
        self.store.mark_effects();
        self.store.effects_mut().clear();
        self.lsn += 1;
        self.store.stamp_effects(self.lsn);
        self.store.acknowledge(self.lsn);
    }

    fn fill(&mut self, k: u8, value: Vec<u8>, ttl: u64) {
        let (bytes, at) = (name(k), self.at(ttl));
        let ticket = self.store.ticket(key(&bytes));
        let there = self.store.peek(TIERED, key(&bytes), self.now).is_some();
        if self.store.fill(key(&bytes), &value, at, ticket, self.now).is_ok() {
            let same = self.live.get(&k).filter(|live| there && live.value == value);
            let from_tier = same.is_none_or(|live| live.from_tier);
            self.live.insert(k, Live { value, expires_at: at, from_tier });
        }
        self.kept.remove(&k);
        self.silent_since = None;
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Fill(k, ttl) => {
                self.values += 1;
                self.fill(k, self.values.to_string().into_bytes(), ttl);
            }
            Step::Confirm(k, ttl) => {
                if let Some(Live { value, .. }) = self.live.get(&k) {
                    self.fill(k, value.clone(), ttl);
                }
            }
            Step::Absent(k) => {
                let bytes = name(k);
                let ticket = self.store.ticket(key(&bytes));
                self.store.absent_behind(key(&bytes), ticket, None);
                self.live.remove(&k);
                self.kept.remove(&k);
                self.silent_since = None;
            }
            Step::Changed(k) => {
                self.store.changed_behind(key(&name(k)), self.now);
                self.live.remove(&k);
                self.kept.remove(&k);
            }
            Step::Gap => self.store.gap_behind(),
            Step::Set(k, ttl) => {
                self.values += 1;
                let (bytes, value) = (name(k), self.values.to_string().into_bytes());
                let expires_at = self.at(ttl);
                let expiry = expires_at.map_or(Expiry::Never, Expiry::At);
                let set = self.store.set(TIERED, key(&bytes), &value, expiry, self.now);
                if set.is_ok() {
                    self.live.insert(k, Live { value, expires_at, from_tier: false });
                    self.kept.remove(&k);
                }
            }
            Step::Expire(k, ttl) => {
                let at = self.at(ttl);
                self.store.expire_at(TIERED, key(&name(k)), at, self.now);
                if let Some(live) = self.live.get_mut(&k) {
                    (live.expires_at, live.from_tier) = (at, false);
                }
            }
            Step::Delete(k) => {
                self.store.bury(key(&name(k)), self.now);
                self.live.remove(&k);
                self.kept.remove(&k);
            }
            Step::Flush => {
                drop(self.store.flush(Some(TIERED)));
                self.live.clear();
                self.kept.clear();
            }
            Step::Silence(_) => {}
            Step::Sweep => {
                self.store.keep_fresh(self.freshness, self.now);
                self.store.expire_due(1000, self.now);
            }
            Step::Pass(ms) => self.now += ms,
        }
        self.settle();
        let over = |live: &Live| live.expires_at.is_some_and(|at| at <= self.now);
        for (k, gone) in self.live.extract_if(.., |_, live| over(live)) {
            if let Live { value, expires_at: Some(at), from_tier: true } = gone {
                self.kept.insert(k, (value, at));
            }
        }
    }

    /// What a reader is shown in silence, and what could be.
    fn read_in_silence(&mut self, k: u8) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
        let bytes = name(k);
        let key = key(&bytes);
        assert_eq!(self.store.shown_expired(TIERED, key, self.now), None, "nobody has asked");
        if self.store.standing(key, self.now) != Standing::Missing {
            assert!(!self.store.show_expired(key, STALE_MS, self.now));
            return (None, None);
        }
        self.store.unanswered(self.now);
        let since = *self.silent_since.get_or_insert(self.now);
        let allowed = |at: UnixMs| self.now - at <= STALE_MS && self.now - since <= STALE_MS;
        let wanted = self.kept.get(&k).filter(|(_, at)| allowed(*at));
        let shows = self.store.show_expired(key, STALE_MS, self.now);
        let shown = self.store.shown_expired(TIERED, key, self.now);
        assert_eq!(shows, shown.is_some());
        assert_eq!(self.store.shown_expired(1, key, self.now), None, "of another database");
        assert!(shown.is_none_or(|entry| entry.expires_at <= Some(self.now)));
        let result = (shown.map(|entry| entry.value.to_vec()), wanted.map(|(v, _)| v.clone()));
        self.served += u64::from(shows);
        assert_eq!(self.store.near_stats().map(|s| s.expired), Some(self.served));
        self.now += 1;
        assert_eq!(self.store.shown_expired(TIERED, key, self.now), None, "for that one alone");
        self.now -= 1;
        // As if time had passed: nobody else reads in this millisecond.
        self.run(&Step::Pass(1));
        result
    }

    /// Nothing but a reader in silence sees it.
    fn check_unseen(&self) {
        let live: Vec<Item> = self
            .live
            .iter()
            .map(|(k, l)| (TIERED, name(*k).to_vec(), l.value.clone(), l.expires_at))
            .collect();
        assert_eq!(contents(&self.store, self.now), live);
        let mut scanned = 0;
        assert_eq!(self.store.scan(TIERED, 0, 100, self.now, |_, _| scanned += 1), 0);
        assert_eq!(scanned, live.len());
        for k in 0..4 {
            let there = self.store.peek(TIERED, key(&name(k)), self.now).is_some();
            assert_eq!(there, self.live.contains_key(&k));
        }
    }
}

proptest! {
    #[test]
    fn what_is_served_in_silence_is_what_the_tier_said_last_and_not_for_too_long(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut world = World::new(config(0, 0, Eviction::None), 1 << 20);
        for step in &steps {
            world.run(step);
            if let Step::Silence(k) = *step {
                let (shown, wanted) = world.read_in_silence(k);
                prop_assert_eq!(shown, wanted);
            }
            world.check_unseen();
        }
        world.run(&Step::Sweep);
        prop_assert_eq!(world.store.len(TIERED), world.live.len() as u64);
        world.run(&Step::Pass(4 * STALE_MS));
        world.run(&Step::Sweep);
        world.run(&Step::Pass(4 * STALE_MS));
        world.run(&Step::Sweep);
        let near = world.store.near_stats().unwrap_or_default();
        prop_assert_eq!((near.kept, near.kept_bytes), (0, 0), "it is not kept for ever");
    }

    #[test]
    fn limits_hold_and_what_is_kept_makes_room_first(
        steps in prop::collection::vec((step(), 0..26u8), 1..120), keep_bytes in 0..3000u64,
        lru in any::<bool>(),
    ) {
        let eviction = if lru { Eviction::Lru } else { Eviction::None };
        let max = Store::floor_bytes(3) + 1000;
        let mut world = World::new(config(0, max, eviction), keep_bytes);
        for (n, (step, other)) in steps.iter().enumerate() {
            // Of more keys than there is room for.
            let ticket = world.store.any_ticket();
            let other = [b'A' + other];
            let at = Some(world.now + 1 + (n as u64 * 37) % 500);
            let live = world.store.entries();
            let filled = world.store.fill(key(&other), &[b'x'; 90], at, ticket, world.now);
            // That was an answer.
            world.silent_since = None;
            if filled.is_err() || world.store.entries() < live {
                let kept = world.store.near_stats().map_or(0, |near| near.kept);
                prop_assert_eq!(kept, 0, "entries went, or were refused, before it");
            }
            world.run(step);
            if let Step::Silence(k) = *step {
                let (shown, wanted) = world.read_in_silence(k);
                prop_assert!(shown.is_none() || shown == wanted);
            }
            prop_assert!(world.store.memory() <= max, "{} of {max}", world.store.memory());
            let kept = world.store.near_stats().map_or(0, |near| near.kept_bytes);
            prop_assert!(kept <= keep_bytes, "{kept} of {keep_bytes}");
        }
    }
}

/// A value from the tier whose time ran out here was taken for deleted until the outbox had got to
/// the record of it: nobody asked the tier, which may have it still.
#[test]
fn what_expired_of_the_tier_s_is_for_the_tier_to_tell() {
    let mut store = unlimited();
    store.attach_tier(0, NOW);
    let ticket = store.ticket(key(b"theirs"));
    store.fill(key(b"theirs"), b"v", Some(NOW + 10), ticket, NOW).expect("there is room");
    store.set(TIERED, key(b"ours"), b"v", Expiry::At(NOW + 10), NOW).expect("there is room");
    store.expire_due(10, NOW + 10);
    assert_eq!(store.stats().expired, 2);
    store.mark_effects();
    store.stamp_effects(1);
    assert_eq!(store.standing(key(b"theirs"), NOW + 10), Standing::Missing);
    assert_eq!(store.ticket(key(b"theirs")).after, 0, "nothing has to get there first");
    assert_eq!(store.standing(key(b"ours"), NOW + 10), Standing::Gone);
}

/// An answer that crossed a gap counted for nothing: the reader was told that the key is absent, and
/// the next one, in silence, got what it had held.
#[test]
fn absence_ends_what_is_kept_even_if_the_answer_is_outdated() {
    let mut world = World::new(config(0, 0, Eviction::None), 1 << 20);
    world.run(&Step::Fill(0, 10));
    world.run(&Step::Pass(20));
    world.run(&Step::Sweep);
    let bytes = name(0);
    let ticket = world.store.ticket(key(&bytes));
    world.run(&Step::Gap);
    world.store.absent_behind(key(&bytes), ticket, None);
    assert!(!world.store.show_expired(key(&bytes), STALE_MS, world.now));
}

#[test]
fn an_answer_that_was_overtaken_is_not_kept() {
    let mut world = World::new(config(0, 0, Eviction::None), 1 << 20);
    let bytes = name(0);
    let ticket = world.store.ticket(key(&bytes));
    world.run(&Step::Changed(0));
    let at = Some(world.now + 10);
    world.store.fill(key(&bytes), b"old", at, ticket, world.now).expect("there is room");
    assert_eq!(world.store.entries(), 1);
    world.run(&Step::Pass(20));
    world.run(&Step::Sweep);
    assert_eq!(world.store.entries(), 0);
    assert!(!world.store.show_expired(key(&bytes), STALE_MS, world.now));
}

#[test]
fn a_client_that_was_shown_an_expired_value_is_told_when_it_is_no_more() {
    let mut world = World::new(config(0, 0, Eviction::None), 1 << 20);
    world.run(&Step::Fill(0, 10));
    world.run(&Step::Fill(1, 10));
    world.run(&Step::Pass(20));
    world.run(&Step::Sweep);
    assert!(world.read_in_silence(0).0.is_some());
    world.store.notices_mut().want(Kinds::CHANGED);
    for k in [0, 1] {
        let bytes = name(k);
        let ticket = world.store.ticket(key(&bytes));
        world.store.absent_behind(key(&bytes), ticket, None);
    }
    let told: Vec<_> = world.store.notices_mut().drain().map(|notice| notice.key).collect();
    assert_eq!(told, [Some(name(0).into())], "nobody was shown the other one");
}

#[test]
fn an_entry_from_the_tier_is_asked_for_once_when_little_of_its_time_is_left() {
    let mut store = unlimited();
    store.attach_tier(0, NOW);
    store.keep_fresh(Freshness { early_percent: 10, ..Freshness::default() }, NOW);
    let theirs = key(b"theirs");
    let fill = |store: &mut Store, at, now| {
        let ticket = store.ticket(theirs);
        store.fill(theirs, b"v", Some(at), ticket, now).expect("there is room");
    };
    fill(&mut store, NOW + 100_000, NOW);
    store.set(TIERED, key(b"ours"), b"v", Expiry::At(NOW + 100_000), NOW).expect("room");
    store.mark_effects();
    store.stamp_effects(1);
    store.acknowledge(1);
    assert_eq!(store.standing(theirs, NOW + 89_999), Standing::Fresh);
    let early = NOW + 95_000;
    assert_eq!(store.standing(theirs, early), Standing::Due);
    assert_eq!(store.standing(key(b"ours"), early), Standing::Fresh);
    for _ in 0..3 {
        store.asked_early(theirs, early);
        assert_eq!(store.standing(theirs, early), Standing::Fresh, "once is enough for now");
    }
    assert_eq!(store.near_stats().map(|near| near.early), Some(1));
    // The same answer: with ever less left it is asked for again, but not without end.
    fill(&mut store, NOW + 100_000, early);
    let mut asked = 0;
    for now in early..NOW + 100_000 {
        if store.standing(theirs, now) == Standing::Due {
            store.asked_early(theirs, now);
            fill(&mut store, NOW + 100_000, now);
            asked += 1;
        }
    }
    assert!((1..=8).contains(&asked), "{asked}");
}

#[test]
fn jitter_shortens_what_comes_from_the_tier_by_a_share_and_nothing_else() {
    let mut store = unlimited();
    store.attach_tier(0, NOW);
    store.keep_fresh(Freshness { jitter_percent: 20, ..Freshness::default() }, NOW);
    let mut left = Vec::new();
    let expiry = |store: &Store, k: &[u8]| {
        store.peek(TIERED, key(k), NOW).and_then(|entry| entry.expires_at).expect("it expires")
    };
    for n in 0..1000u32 {
        let bytes = n.to_le_bytes();
        for ttl in [100_000, 999] {
            let ticket = store.ticket(key(&bytes));
            store.fill(key(&bytes), b"v", Some(NOW + ttl), ticket, NOW).expect("room");
            if ttl == 999 {
                assert_eq!(expiry(&store, &bytes), NOW + ttl, "too little to share");
            } else {
                left.push(expiry(&store, &bytes) - NOW);
            }
        }
    }
    left.sort_unstable();
    assert!(left[0] >= 80_000 && left[999] <= 100_000);
    // Evenly: of a thousand about a hundred are in each tenth.
    for tenth in 0..10 {
        let within = 80_000 + tenth * 2000..80_000 + (tenth + 1) * 2000;
        let count = left.iter().filter(|ttl| within.contains(*ttl)).count();
        assert!((40..=180).contains(&count), "{count} in {within:?}");
    }
    store.set(TIERED, key(b"ours"), b"v", Expiry::At(NOW + 100_000), NOW).expect("room");
    assert_eq!(expiry(&store, b"ours"), NOW + 100_000);
    store.mark_effects();
    store.stamp_effects(1);
    store.acknowledge(1);
    let ticket = store.ticket(key(b"ours"));
    store.fill(key(b"ours"), b"v", Some(NOW + 100_000), ticket, NOW).expect("room");
    assert_eq!(expiry(&store, b"ours"), NOW + 100_000, "confirmed, and still ours");
    let ticket = store.ticket(key(b"ever"));
    store.fill(key(b"ever"), b"v", None, ticket, NOW).expect("room");
    assert_eq!(store.peek(TIERED, key(b"ever"), NOW).map(|entry| entry.expires_at), Some(None));
}
