//! A repaired log starts, keeps all that was intact, and loses no byte, wherever a crash strikes.

#![allow(clippy::unwrap_used, reason = "a failure is the end of a test")]

use std::path::{Path, PathBuf};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::inspect::{inspected, paths, several};
use super::sim::{DATA, Sim, replay};
use crate::clock::Clock;
use crate::wal::faulty::FaultyFs;
use crate::wal::fs::Filesystem;
use crate::wal::inspect::Verdict;
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
    (!paths(fs).is_empty() || manifest.contains(&true)).then(|| inspected(fs).0)
}

/// Whether the bytes of `whole` are all in the log or in quarantine.
fn is_somewhere(fs: &FaultyFs, path: &Path, whole: &[u8]) -> bool {
    let name = path.file_name().unwrap().to_str().unwrap();
    let now = fs.content(path);
    if now == whole {
        return true;
    }
    let quarantine = PathBuf::from(DATA).join("quarantine");
    fs.list(&quarantine).unwrap().into_iter().filter(|copy| copy.starts_with(name)).any(|copy| {
        let copy = fs.content(&quarantine.join(copy));
        copy == whole || [now.as_slice(), copy.as_slice()].concat() == whole
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
        for calls in 1..60 {
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
            assert_eq!(replay(&fs).unwrap().last_lsn, found.intact_lsn, "{context}");
            let mut sim = Sim::new(fs, FsyncMode::Always);
            sim.append(3);
            sim.settle();
            assert_eq!(replay(&sim.fs).unwrap().last_lsn, found.intact_lsn + 3, "{context}");
            assert!(done || calls < 59, "{context}: more steps than are tried");
        }
    }
}

#[test]
fn a_sound_log_needs_no_repair() {
    let (fs, _) = several();
    assert_eq!(Plan::new(&inspected(&fs).0), None);
}
