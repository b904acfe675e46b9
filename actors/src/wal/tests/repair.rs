//! A repaired log starts, keeps all that was intact, and loses no byte, wherever a crash strikes.

#![allow(clippy::unwrap_used, reason = "a failure is the end of a test")]

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::inspect::{inspected, paths, several};
use super::sim::{DATA, Sim, replay_with_voids};
use crate::clock::Clock;
use crate::journal::{Lsn, Record, RecordBatch};
use crate::wal::Removal;
use crate::wal::faulty::FaultyFs;
use crate::wal::fs::Filesystem;
use crate::wal::inspect::{Entry, Verdict, inspect_on};
use crate::wal::manifest::PATHS;
use crate::wal::repair::{Base, Plan};
use crate::wal::replay::open_on;
use crate::wal::segment::HEADER_LEN;
use crate::wal::settings::FsyncMode;

type Damage = fn(&FaultyFs, &[PathBuf]);

fn flip(fs: &FaultyFs, path: &Path, at: usize) {
    let mut bytes = fs.content(path);
    bytes[at] ^= 1;
    fs.set_content(path, &bytes);
}

const DAMAGES: [(&str, Damage); 6] = [
    ("a frame in the middle", |fs, paths| flip(fs, &paths[1], HEADER_LEN + 60)),
    ("the first frame of all", |fs, paths| flip(fs, &paths[0], HEADER_LEN + 60)),
    ("a header", |fs, paths| flip(fs, &paths[2], 50)),
    ("the first header", |fs, paths| flip(fs, &paths[0], 50)),
    ("a missing segment", |fs, paths| fs.remove(&paths[1]).unwrap()),
    ("a shortened segment", |fs, paths| {
        let bytes = fs.content(&paths[1]);
        fs.set_content(&paths[1], &bytes[..bytes.len() / 2]);
    }),
];

/// Repairs until nothing is wrong any more: what an operator does.
fn repair(fs: &FaultyFs) {
    let before = inspected_or_empty(fs);
    let Some(plan) = before.and_then(|found| Plan::new(&found, &[])) else { return };
    plan.carry_out_on(fs, Path::new(DATA), &Clock::manual(9)).unwrap();
}

fn inspected_or_empty(fs: &FaultyFs) -> Option<crate::wal::inspect::Inspection> {
    let manifest = PATHS.map(|name| fs.open(&Path::new(DATA).join(name), false).is_ok());
    let there = !paths(fs).is_empty() || manifest.contains(&true);
    let look = |_: Entry<'_>| ControlFlow::Continue(());
    there.then(|| inspect_on(fs, Path::new(DATA), look).unwrap())
}

/// Whether the bytes of `whole` are all in the log or in quarantine.
fn is_somewhere(fs: &FaultyFs, path: &Path, whole: &[u8]) -> bool {
    let name = path.file_name().unwrap().to_str().unwrap();
    let now = fs.content(path);
    // Records that stand for nothing may follow.
    if now.starts_with(whole) {
        return true;
    }
    let quarantine = PathBuf::from(DATA).join("quarantine");
    fs.list(&quarantine).unwrap().into_iter().filter(|copy| copy.starts_with(name)).any(|copy| {
        let copy = fs.content(&quarantine.join(copy));
        // What stays of it may be followed by records that stand for nothing.
        let stays = whole.strip_suffix(copy.as_slice());
        stays.is_some_and(|stays| stays.is_empty() || now.starts_with(stays))
    })
}

#[test]
fn a_repaired_log_starts_with_all_that_was_intact_whenever_it_crashed() {
    let mut rng = SmallRng::seed_from_u64(7);
    for (what, damage) in DAMAGES {
        let (sound, _) = several();
        let names = paths(&sound);
        damage(&sound, &names);
        let (found, ..) = inspected(&sound);
        assert_eq!(found.verdict(), Verdict::Corrupt, "{what}");
        let before: Vec<_> =
            paths(&sound).into_iter().map(|path| (sound.content(&path), path)).collect();
        for calls in 1..90 {
            let fs = sound.after_crash(None);
            fs.kill_after(calls);
            let plan = Plan::new(&found, &[]).unwrap();
            let done = plan.carry_out_on(&fs, Path::new(DATA), &Clock::manual(8)).is_ok();
            let fs = fs.after_crash(rng.random::<bool>().then_some(&mut rng));
            let context = format!("{what}, dead after {calls} calls");
            for (whole, path) in &before {
                assert!(is_somewhere(&fs, path, whole), "{context}: {} is lost", path.display());
            }
            repair(&fs);
            assert!(inspected_or_empty(&fs).is_none_or(|now| now.verdict() == Verdict::Clean));
            let (last, records) = replay_with_voids(&fs).unwrap();
            assert_eq!(records, found.intact_lsn, "{context}");
            // No LSN is given twice, unless nothing is left and another log begins.
            assert!(last == found.last_lsn || plan.empties, "{context}: {last}");
            let mut sim = Sim::at(fs, FsyncMode::Always, last);
            sim.append(3);
            sim.settle();
            let (again, records) = replay_with_voids(&sim.fs).unwrap();
            assert_eq!((again, records), (last + 3, found.intact_lsn + 3), "{context}");
            assert!(done || calls < 89, "{context}: more steps than are tried");
        }
    }
}

#[test]
fn a_sound_log_needs_no_repair() {
    let (fs, _) = several();
    assert_eq!(Plan::new(&inspected(&fs).0, &[]), None);
}

/// A snapshot that stands for everything up to `lsn`.
pub(super) fn take(fs: &FaultyFs, lsn: Lsn) {
    let opened = open_on(fs.clone(), Path::new(DATA), Clock::manual(5)).unwrap();
    opened.replay(0, |_, _| {}, |_| ControlFlow::Continue(())).unwrap();
    let mut writer = opened.snapshots().create(lsn).unwrap();
    let mut batch = RecordBatch::new();
    batch.push(&Record::Set { db: 0, key: b"k", value: b"v", expires_at: None });
    writer.append(&batch, 0).unwrap();
    writer.finish(lsn).unwrap();
    writer.publish().unwrap();
}

/// What a start makes of it: the begin of the snapshot that it loads, and the log's last LSN.
pub(super) fn start(fs: &FaultyFs) -> (Option<Lsn>, Lsn) {
    let mut opened = open_on(fs.clone(), Path::new(DATA), Clock::manual(6)).unwrap();
    let newest = opened
        .snapshots()
        .load_newest(|_, _| (), |(), _| {}, |_| ControlFlow::Continue(()), |_, _| {})
        .unwrap();
    let loaded = newest.map(|((), loaded)| loaded);
    opened.prove(loaded.map_or(0, |loaded| loaded.end));
    let from = loaded.map_or(0, |loaded| loaded.begin);
    let report = opened.replay(from, |_, _| {}, |_| ControlFlow::Continue(())).unwrap();
    (loaded.map(|loaded| loaded.begin), report.last_lsn)
}

fn planned(fs: &FaultyFs) -> Option<Plan> {
    let found = inspect_on(fs, Path::new(DATA), |_| ControlFlow::Continue(())).unwrap();
    Plan::new(&found, &Base::all_on(fs, Path::new(DATA), &found).unwrap())
}

/// It cut off everything behind the damage, with the snapshot that stood for what was damaged.
#[test]
fn what_a_snapshot_stands_for_is_no_reason_to_lose_what_comes_behind() {
    for (what, damage) in DAMAGES {
        let (sound, names) = several();
        take(&sound, 150);
        damage(&sound, &names);
        let before: Vec<_> =
            paths(&sound).into_iter().map(|path| (sound.content(&path), path)).collect();
        let plan = planned(&sound).unwrap();
        assert_eq!((plan.keeps, plan.empties, plan.moved.len()), (200, false, 0), "{what}");
        assert!(!plan.passed.is_empty() && plan.base.is_some(), "{what}: {plan:?}");
        for calls in 1..120 {
            let fs = sound.after_crash(None);
            fs.kill_after(calls);
            let done = plan.carry_out_on(&fs, Path::new(DATA), &Clock::manual(8)).is_ok();
            let fs = fs.after_crash(None);
            let context = format!("{what}, dead after {calls} calls");
            if let Some(plan) = planned(&fs) {
                plan.carry_out_on(&fs, Path::new(DATA), &Clock::manual(9)).unwrap();
            }
            assert_eq!(start(&fs), (Some(150), 200), "{context}");
            for (whole, path) in &before {
                assert!(is_somewhere(&fs, path, whole), "{context}: {} is lost", path.display());
            }
            if done {
                break;
            }
            assert!(calls < 119, "{context}: more steps than are tried");
        }
    }
}

/// The segment behind the gap left too, and with it the snapshots that only its records reach.
#[test]
fn a_segment_that_is_missing_costs_nothing_that_a_snapshot_stands_for() {
    for gap in 0..3 {
        let (sound, names) = several();
        let behind = inspected(&sound).0.segments[gap + 1].first_lsn;
        // Its log begins with the segment behind the gap, and not with a later one.
        take(&sound, behind - 1);
        sound.remove(&names[gap]).unwrap();
        let plan = planned(&sound).unwrap();
        assert_eq!((plan.keeps, plan.empties, plan.moved.len()), (200, false, 0), "{gap}");
        assert_eq!(plan.passed, names[..gap], "{gap}");
        for calls in 1..120 {
            let fs = sound.after_crash(None);
            fs.kill_after(calls);
            let done = plan.carry_out_on(&fs, Path::new(DATA), &Clock::manual(8)).is_ok();
            let fs = fs.after_crash(None);
            if let Some(plan) = planned(&fs) {
                plan.carry_out_on(&fs, Path::new(DATA), &Clock::manual(9)).unwrap();
            }
            assert_eq!(start(&fs), (Some(behind - 1), 200), "{gap}, dead after {calls} calls");
            if done {
                break;
            }
            assert!(calls < 119, "{gap}: more steps than are tried");
        }
    }
}

#[test]
fn damage_before_and_behind_a_snapshot_costs_what_is_behind_the_second() {
    let (fs, names) = several();
    take(&fs, 100);
    let [first, .., last] = names.as_slice() else { panic!("{names:?}") };
    flip(&fs, first, HEADER_LEN + 60);
    flip(&fs, last, HEADER_LEN + 60);
    let plan = planned(&fs).unwrap();
    assert!(plan.keeps > 100 && plan.keeps < 200 && plan.base.is_some(), "{plan:?}");
    plan.carry_out_on(&fs, Path::new(DATA), &Clock::manual(9)).unwrap();
    // The LSNs that are lost are not given again.
    assert_eq!(start(&fs), (Some(100), 200));
}

#[test]
fn a_snapshot_that_is_damaged_itself_stands_for_nothing() {
    let (fs, names) = several();
    take(&fs, 150);
    flip(&fs, &names[0], HEADER_LEN + 60);
    let path = Path::new(DATA).join("snap").join(format!("{:020}.snap", 150));
    flip(&fs, &path, 100);
    assert_eq!(planned(&fs).unwrap().base, None);
}

/// It left a log that no start could make anything of.
#[test]
fn a_log_that_begins_later_and_has_lost_its_snapshots_is_taken_out_whole() {
    let (fs, names) = several();
    take(&fs, 150);
    let opened = open_on(fs.clone(), Path::new(DATA), Clock::manual(5)).unwrap();
    let mut retention = opened.snapshots().retention();
    let survey = retention.survey(200).unwrap();
    let first = survey.segments.iter().rfind(|segment| segment.first_lsn <= 151).unwrap().sequence;
    let removal = Removal { first: Some(first), snapshots: Vec::new(), left_over: false };
    retention.remove(&removal).unwrap();
    assert!(paths(&fs).len() < names.len());
    fs.remove(&Path::new(DATA).join("snap").join(format!("{:020}.snap", 150))).unwrap();
    flip(&fs, names.last().unwrap(), HEADER_LEN + 60);
    let plan = planned(&fs).unwrap();
    assert!(plan.empties && plan.keeps == 0, "{plan:?}");
    plan.carry_out_on(&fs, Path::new(DATA), &Clock::manual(9)).unwrap();
    assert_eq!(start(&fs), (None, 0));
}
