//! A repaired log starts, keeps all that was intact, and loses no byte, wherever a crash strikes.

#![allow(clippy::unwrap_used, reason = "a failure is the end of a test")]

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::inspect::{inspected, paths, several};
use super::sim::{DATA, Sim, replay_with_voids};
use crate::clock::Clock;
use crate::wal::faulty::FaultyFs;
use crate::wal::fs::Filesystem;
use crate::wal::inspect::{Entry, Verdict, inspect_on};
use crate::wal::manifest::PATHS;
use crate::wal::repair::Plan;
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
    let Some(plan) = before.and_then(|found| Plan::new(&found)) else { return };
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
            let plan = Plan::new(&found).unwrap();
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
    assert_eq!(Plan::new(&inspected(&fs).0), None);
}
