//! A follower beside a writer whose disk fails: every record once, in order.

#![allow(clippy::unwrap_used, reason = "a failure is the end of a test")]

use std::path::Path;

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

use super::sim::{DATA, Sim, value};
use crate::journal::{Journal as _, Lsn, Record};
use crate::wal::faulty::{Call, FaultyFs};
use crate::wal::follow::{Follower, Portion};
use crate::wal::replay::RangeError;
use crate::wal::segment;
use crate::wal::settings::FsyncMode;

const EIO: i32 = 5;
const ALL: Portion = Portion { records: usize::MAX, bytes: usize::MAX };

/// Reads up to what is settled; the records must be those that are due.
fn follow(follower: &mut Follower<FaultyFs>, sim: &Sim, portion: Portion) {
    let mut due = follower.position();
    let read = follower.read(sim.intake.settled(), portion, |followed| {
        due += 1;
        assert_eq!(followed.origin.lsn, due);
        let (key, value) = (due.to_string(), value(due));
        let record = Record::Set { db: 0, key: key.as_bytes(), value: &value, expires_at: None };
        assert_eq!(followed.record, record);
    });
    read.unwrap();
    assert_eq!(follower.position(), due);
}

/// Appends, steps, syncs and fails at random; returns how many segments there were.
fn campaign(seed: u64, fsync: FsyncMode) -> usize {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut sim = Sim::new(FaultyFs::default(), fsync);
    let mut follower = Follower::on(sim.fs.clone(), Path::new(DATA), 0);
    for _ in 0..120 {
        match rng.random_range(0..10) {
            0..4 => drop(sim.append(rng.random_range(1..9))),
            4..7 => sim.step(),
            7 => sim.finish_sync(),
            8 if rng.random_bool(0.2) => sim.fs.fail_next(Call::Sync, EIO),
            _ => sim.pass(400),
        }
        if rng.random_bool(0.5) {
            let portion = Portion { records: rng.random_range(1..30), bytes: usize::MAX };
            follow(&mut follower, &sim, if rng.random_bool(0.5) { portion } else { ALL });
        }
    }
    sim.settle();
    follow(&mut follower, &sim, ALL);
    assert_eq!(follower.position(), sim.intake.stats().lsn);
    // One who begins anywhere finds the same.
    let from = rng.random_range(0..=follower.position());
    let mut late = Follower::on(sim.fs.clone(), Path::new(DATA), from);
    follow(&mut late, &sim, ALL);
    assert_eq!(late.position(), follower.position());
    segment::list(&sim.fs, &Path::new(DATA).join("wal")).unwrap().len()
}

#[test]
fn a_follower_gets_every_record_once_whatever_the_disk_does() {
    let seed =
        std::env::var("SEAWALL_SEED").map_or_else(|_| rand::random(), |s| s.parse().unwrap());
    println!("SEAWALL_SEED={seed}");
    let mut seeds = SmallRng::seed_from_u64(seed);
    let mut segments = 0;
    for fsync in [FsyncMode::Always, FsyncMode::EverySec, FsyncMode::No] {
        for _ in 0..30 {
            segments += campaign(seeds.random(), fsync);
        }
    }
    assert!(segments > 200, "{segments} segments: it hardly ever went over to the next");
}

#[test]
fn a_follower_learns_that_what_it_wants_is_gone() {
    let mut sim = Sim::new(FaultyFs::default(), FsyncMode::EverySec);
    while segment::list(&sim.fs, &Path::new(DATA).join("wal")).unwrap().len() < 4 {
        sim.append(5);
        sim.settle();
    }
    let mut follower = Follower::on(sim.fs.clone(), Path::new(DATA), 0);
    let segments = segment::list(&sim.fs, &Path::new(DATA).join("wal")).unwrap();
    sim.fs.remove_all(&segments[0].2);
    let read = follower.read(sim.intake.settled(), ALL, |_| {});
    let begins: Lsn = segments[1].1;
    assert!(
        matches!(read, Err(RangeError::Gone { begins: b, wanted: 0 }) if b == begins),
        "{read:?}"
    );
}
