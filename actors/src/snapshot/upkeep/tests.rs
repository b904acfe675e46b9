//! The machine in a small world: a log that grows, snapshots that take their time and fail, readers
//! that hold, and a disk that does what it is told.

#![allow(clippy::unwrap_used, reason = "a failure is the end of a test")]

use proptest::prelude::*;

use super::*;
use crate::wal::{SegmentFacts, SnapshotFacts};

const SEGMENT: u64 = 1000;
const START_MS: u64 = 1_000_000_000;

struct World {
    upkeep: Upkeep,
    origin: Instant,
    at_ms: u64,
    lsn: Lsn,
    bytes: u64,
    disk: Survey,
    /// The log's files were removed, until a snapshot succeeds.
    baseless: bool,
    /// Begin of the one that is being taken.
    taking: Option<Lsn>,
    taken: u32,
    pressed: Vec<bool>,
}

impl World {
    fn new(settings: UpkeepSettings) -> Self {
        let origin = Instant::now();
        let first = SegmentFacts { sequence: 1, first_lsn: 1, created_ms: START_MS, bytes: 120 };
        let now = Now { instant: origin, wall_ms: START_MS };
        Self {
            upkeep: Upkeep::new(settings, None, now),
            origin,
            at_ms: 0,
            lsn: 0,
            bytes: 0,
            disk: Survey { segments: vec![first], ..Survey::default() },
            baseless: false,
            taking: None,
            taken: 0,
            pressed: Vec::new(),
        }
    }

    fn now(&self) -> Now {
        Now {
            instant: self.origin + Duration::from_millis(self.at_ms),
            wall_ms: START_MS + self.at_ms,
        }
    }

    fn gauge(&self) -> Gauge {
        let segment = self.disk.segments.last().unwrap().sequence;
        Gauge { lsn: self.lsn, bytes: self.bytes, segment, baseless: self.baseless }
    }

    /// Records of a hundred bytes.
    fn write(&mut self, records: u64) {
        for _ in 0..records {
            let wall_ms = self.now().wall_ms;
            let last = self.disk.segments.last_mut().unwrap();
            if last.bytes >= SEGMENT {
                let next = SegmentFacts {
                    sequence: last.sequence + 1,
                    first_lsn: self.lsn + 1,
                    created_ms: wall_ms,
                    bytes: 120,
                };
                self.disk.segments.push(next);
            }
            self.disk.segments.last_mut().unwrap().bytes += 100;
            self.bytes += 100;
            self.lsn += 1;
        }
    }

    fn pass(&mut self, ms: u64) {
        self.at_ms += ms;
        let effects = self.upkeep.on(Event::Beat(self.gauge()), self.now());
        self.perform(effects);
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Survey => {
                    let survey = self.disk.clone();
                    let event = Event::Surveyed(&survey, self.gauge());
                    let effects = self.upkeep.on(event, self.now());
                    self.perform(effects);
                }
                Effect::Take => self.begin(),
                Effect::Mark => self.write(1),
                Effect::Remove(removal) => self.remove(&removal),
                Effect::Pressed(pressure) => {
                    assert_ne!(self.pressed.last(), Some(&pressure.is_some()), "said twice");
                    self.pressed.push(pressure.is_some());
                }
            }
        }
    }

    fn begin(&mut self) {
        assert_eq!(self.taking, None, "two snapshots at a time");
        self.taking = Some(self.lsn);
        let effects = self.upkeep.on(Event::Begun(self.gauge()), self.now());
        self.perform(effects);
    }

    fn end(&mut self, well: bool) {
        let Some(begin) = self.taking.take() else { return };
        if well {
            self.baseless = false;
            self.taken += 1;
            let ended_ms = self.now().wall_ms;
            self.disk.snapshots.retain(|one| one.begin != begin);
            self.disk.snapshots.push(SnapshotFacts { begin, end: self.lsn, ended_ms, bytes: 1 });
        }
        let effects = self.upkeep.on(Event::Ended(well.then_some(self.lsn)), self.now());
        self.perform(effects);
    }

    fn remove(&mut self, removal: &Removal) {
        let before = self.disk.clone();
        let newest = before.snapshots.iter().rev().take(2);
        for one in newest.clone() {
            assert!(!removal.snapshots.contains(&one.begin), "one of the newest two is to go");
        }
        if let Some(first) = removal.first {
            let at = before.segments.iter().position(|s| s.sequence == first).unwrap();
            let last_lsn = before.segments[at].first_lsn - 1;
            let second = newest.clone().nth(1).expect("deleted without two snapshots");
            assert!(last_lsn <= second.begin, "recovery needs what is deleted");
            if let Some(held) = &before.held {
                assert!(last_lsn <= held.behind, "what is held is deleted");
            }
            self.disk.segments.drain(..at);
        }
        self.disk.snapshots.retain(|one| !removal.snapshots.contains(&one.begin));
    }

    /// Whether the state of that moment can be restored.
    fn reaches(&self, wall_ms: u64) -> bool {
        let begins = self.disk.segments[0].first_lsn;
        let stands = |one: &SnapshotFacts| one.ended_ms <= wall_ms && one.begin + 1 >= begins;
        begins == 1 || self.disk.snapshots.iter().any(stands)
    }
}

#[derive(Debug, Clone)]
enum Op {
    Write(u64),
    Pass(u64),
    Begin,
    End(bool),
    Hold(Lsn),
    Release,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (1u64..40).prop_map(Op::Write),
        6 => (1u64..20_000).prop_map(Op::Pass),
        1 => Just(Op::Begin),
        4 => prop::bool::weighted(0.8).prop_map(Op::End),
        1 => (0u64..60).prop_map(Op::Hold),
        1 => Just(Op::Release),
    ]
}

fn settings() -> impl Strategy<Value = UpkeepSettings> {
    (
        prop::option::of(1u64..60),
        prop::option::of(1000u64..20_000),
        2usize..5,
        0u64..200,
        prop::option::of(4000u64..20_000),
    )
        .prop_map(|(every, after_bytes, keep, retention, max_size)| UpkeepSettings {
            every: every.map(Duration::from_secs),
            after_bytes,
            keep,
            retention: Duration::from_secs(retention),
            max_size,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// What recovery or a reader needs is asserted with every removal.
    #[test]
    fn nothing_needed_goes_and_every_moment_within_the_retention_can_be_restored(
        settings in settings(),
        ops in prop::collection::vec(op(), 1..200),
    ) {
        let mut world = World::new(settings);
        for op in ops {
            match op {
                Op::Write(records) => world.write(records),
                Op::Pass(ms) => world.pass(ms),
                Op::Begin if world.taking.is_none() => world.begin(),
                Op::Begin => {}
                Op::End(well) => world.end(well),
                Op::Hold(back) => {
                    let begins = world.disk.segments[0].first_lsn;
                    let behind = world.lsn.saturating_sub(back).max(begins - 1);
                    world.disk.held = Some(Held { who: "a test".into(), behind });
                }
                Op::Release => world.disk.held = None,
            }
            if settings.max_size.is_none() {
                let horizon = world.now().wall_ms - settings.retention.as_millis() as u64;
                prop_assert!(world.reaches(horizon), "{:?}", world.disk);
            }
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// With a schedule, no reader and no failure, neither log nor snapshots grow for ever.
    #[test]
    fn the_log_stays_in_its_bounds(
        every in 1u64..100,
        retention in 1u64..400,
        keep in 2usize..5,
        pauses in prop::collection::vec(1u64..3000, 1500),
    ) {
        let settings = UpkeepSettings {
            every: Some(Duration::from_secs(every)),
            after_bytes: None,
            keep,
            retention: Duration::from_secs(retention),
            max_size: None,
        };
        let mut world = World::new(settings);
        for pause in pauses {
            world.write(1);
            world.pass(pause);
            world.end(true);
            world.pass(1);
        }
        let kept = world.now().wall_ms - world.disk.segments[0].created_ms;
        // The oldest segment's length, the look at the disk and the one before last snapshot.
        let segment = 10 * 3000;
        let most = retention * 1500 + 3 * every * 1000 + 60_000 + 2 * segment;
        prop_assert!(kept <= most, "{kept} > {most}");
        prop_assert!(world.disk.snapshots.len() <= keep + 6, "{:?}", world.disk.snapshots);
    }

    /// However fast it grows, a log that nobody holds comes back below its largest size.
    #[test]
    fn a_log_that_is_too_large_gives_way(bursts in prop::collection::vec(1u64..30, 10..60)) {
        let max = 6000;
        let settings = UpkeepSettings {
            every: None,
            after_bytes: None,
            max_size: Some(max),
            ..UpkeepSettings::default()
        };
        let mut world = World::new(settings);
        for burst in bursts {
            world.write(burst);
            // Looked at once a minute, and when there is a new segment; and a second snapshot can
            // only be taken when something was written behind the first.
            for second in 0..130 {
                world.write(u64::from(second == 60));
                world.pass(1000);
                world.end(true);
            }
            prop_assert!(world.disk.bytes() <= max + SEGMENT, "{}", world.disk.bytes());
        }
    }
}

fn only(every: Option<u64>, after_bytes: Option<u64>) -> UpkeepSettings {
    UpkeepSettings {
        every: every.map(Duration::from_secs),
        after_bytes,
        max_size: None,
        ..UpkeepSettings::default()
    }
}

#[test]
fn an_idle_cache_is_not_saved_again_and_again() {
    let mut world = World::new(only(Some(10), Some(500)));
    world.pass(100_000);
    assert_eq!(world.taking, None, "there is nothing to save");
    world.write(1);
    world.pass(1000);
    assert_eq!(world.taking, Some(1));
    world.end(true);
    world.pass(100_000);
    assert_eq!((world.taking, world.taken), (None, 1));
}

#[test]
fn enough_log_makes_one_due_before_its_time() {
    let mut world = World::new(only(Some(3600), Some(500)));
    world.pass(1000);
    world.write(4);
    world.pass(1000);
    assert_eq!(world.taking, None);
    world.write(1);
    world.pass(1000);
    assert_eq!(world.taking, Some(5));
}

#[test]
fn switched_off_none_is_due() {
    let mut world = World::new(only(None, None));
    world.write(1000);
    world.pass(10_000_000);
    assert_eq!(world.taking, None);
}

#[test]
fn after_a_restart_the_age_of_the_newest_counts() {
    let now = Now { instant: Instant::now(), wall_ms: START_MS };
    let settings = only(Some(100), None);
    let gauge = Gauge { lsn: 9, bytes: 1, segment: 1, baseless: false };
    let mut upkeep = Upkeep::new(settings, Some((5, START_MS - 90_000)), now);
    upkeep.on(Event::Beat(gauge), now);
    let later = Now { instant: now.instant + Duration::from_secs(9), ..now };
    assert_eq!(upkeep.on(Event::Beat(gauge), later), []);
    let later = Now { instant: now.instant + Duration::from_secs(10), ..now };
    assert_eq!(upkeep.on(Event::Beat(gauge), later), [Effect::Take]);
}

#[test]
fn one_that_fails_is_tried_again_ever_later() {
    let mut world = World::new(only(Some(10), None));
    world.write(1);
    let mut tries = Vec::new();
    while world.at_ms < 4_000_000 {
        world.pass(1000);
        if world.taking.is_some() {
            tries.push(world.at_ms / 1000);
            world.end(false);
        }
    }
    assert_eq!(tries[..5], [10, 15, 25, 45, 85]);
    let last = tries.last_chunk::<2>().unwrap();
    assert_eq!(last[1] - last[0], RETRY_LATE.as_secs());
    // One that succeeds ends it.
    world.pass(RETRY_LATE.as_millis() as u64);
    world.end(true);
    world.write(1);
    world.pass(9000);
    assert_eq!(world.taking, None);
    world.pass(1000);
    assert!(world.taking.is_some());
}

#[test]
fn a_log_without_a_base_gets_a_snapshot_at_once_and_does_not_wait_ever_longer() {
    let mut world = World::new(only(None, None));
    world.baseless = true;
    let mut tries = Vec::new();
    while tries.len() < 5 {
        world.pass(1000);
        if world.taking.is_some() {
            tries.push(world.at_ms / 1000);
            world.end(tries.len() == 5);
        }
    }
    assert_eq!(tries, [1, 6, 11, 16, 21]);
    world.pass(10_000_000);
    assert_eq!(world.taking, None, "it has one");
}

#[test]
fn a_log_that_is_too_large_becomes_smaller_although_nobody_writes() {
    for records in 34..120 {
        let settings = UpkeepSettings { max_size: Some(4000), ..only(None, None) };
        let mut world = World::new(settings);
        world.write(records);
        let large = world.disk.bytes() > 4000;
        for _ in 0..40 {
            world.pass(1000);
            world.end(true);
        }
        assert!(world.disk.bytes() <= 4000, "{records}: {}", world.disk.bytes());
        assert_eq!(
            world.pressed.as_slice(),
            if large { &[true, false][..] } else { &[] },
            "{records}"
        );
        let then = (world.lsn, world.taken);
        assert!(world.lsn <= records + 1 && world.taken <= 2, "{records}: {then:?}");
        for _ in 0..1000 {
            world.pass(1000);
            world.end(true);
        }
        assert_eq!((world.lsn, world.taken), then, "that was enough");
    }
}

#[test]
fn a_reader_keeps_a_log_that_is_too_large_and_the_alarm_names_him() {
    let settings = UpkeepSettings { max_size: Some(4000), ..only(None, None) };
    let mut world = World::new(settings);
    world.disk.held = Some(Held { who: "a reader".into(), behind: 3 });
    world.write(100);
    for _ in 0..100 {
        world.pass(1000);
        world.end(true);
        world.write(1);
    }
    assert_eq!((world.disk.segments[0].sequence, &world.pressed[..]), (1, &[true][..]));
    assert_eq!(world.taken, 0, "it would not help");
    world.disk.held = None;
    for _ in 0..100 {
        world.write(1);
        world.pass(1000);
        world.end(true);
    }
    assert!(world.disk.bytes() <= 4000 + SEGMENT, "{}", world.disk.bytes());
}
