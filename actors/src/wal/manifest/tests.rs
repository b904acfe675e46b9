//! One copy may be damaged in any way, and a crash may come at any time.

#![allow(clippy::unwrap_used, reason = "a failure is the end of a test")]

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::*;
use crate::clock::Clock;
use crate::wal::faulty::{Call, FaultyFs};
use crate::wal::replay::OpenError;

const DATA: &str = "/data";

fn listed() -> impl Strategy<Value = Listed> {
    (any::<[u64; 6]>(), any::<[u8; 16]>()).prop_map(|(numbers, digest)| {
        let [begin, end, entries, bytes, created_ms, ended_ms] = numbers;
        Listed { begin, end, entries, bytes, created_ms, ended_ms, digest }
    })
}

prop_compose! {
    fn manifest()(
        log: [u8; 16],
        numbers: [u64; 6],
        link: [u8; 16],
        snapshots in prop::collection::vec(listed(), 0..5),
    ) -> Manifest {
        let [generation, sequence, first_lsn, newest, durable, written_ms] = numbers;
        let floor = Floor { sequence, first_lsn, link };
        let log = LogId::new(log);
        Manifest { log, generation, floor, newest, durable, written_ms, snapshots }
    }
}

proptest! {
    #[test]
    fn what_was_written_is_read(manifest in manifest()) {
        prop_assert_eq!(Manifest::decode(&manifest.encode()), Ok(manifest));
    }

    #[test]
    fn no_flipped_bit_and_no_cut_passes(manifest in manifest(), at: prop::sample::Index, bit in 0..8u8) {
        let mut bytes = manifest.encode();
        let at = at.index(bytes.len());
        prop_assert!(Manifest::decode(&bytes[..at]).is_err());
        bytes[at] ^= 1u8 << bit;
        prop_assert_eq!(Manifest::decode(&bytes), Err(ManifestError::Damaged));
        bytes[at] ^= 1u8 << bit;
        bytes.push(0);
        prop_assert!(Manifest::decode(&bytes).is_err());
    }

    #[test]
    fn garbage_is_damage(bytes: Vec<u8>) {
        prop_assert_eq!(Manifest::decode(&bytes), Err(ManifestError::Damaged));
    }
}

#[test]
fn one_that_needs_a_later_reader_is_refused() {
    let fs = FaultyFs::default();
    let mut bytes = Manifest::new(LogId::new([1; 16]), Floor::START).encode();
    bytes.truncate(bytes.len() - SHA_LEN);
    bytes[10] = 9;
    let digest = Sha256::digest(&bytes);
    bytes.extend_from_slice(&digest);
    assert!(matches!(Manifest::decode(&bytes), Err(ManifestError::OtherVersion(_))));
    // The other copy may be older than what the later version did.
    let whole = Manifest::new(LogId::new([1; 16]), Floor::START).encode();
    fs.set_content(&paths()[0], &bytes);
    fs.set_content(&paths()[1], &whole);
    assert!(matches!(read(&fs, Path::new(DATA)), Err(OpenError::OtherVersion { .. })));
}

fn paths() -> [PathBuf; 2] {
    PATHS.map(|name| Path::new(DATA).join(name))
}

fn open(fs: &FaultyFs) -> ManifestFile<FaultyFs> {
    let copies = read(fs, Path::new(DATA)).unwrap();
    let doubled = copies.sound == 2;
    let found = copies.usable().unwrap();
    let manifest = found.unwrap_or_else(|| Manifest::new(LogId::new([1; 16]), Floor::START));
    ManifestFile::new(fs.clone(), Path::new(DATA), Clock::manual(3), manifest, doubled)
}

#[test]
fn the_first_write_goes_to_both_copies_and_further_ones_to_the_older() {
    let fs = FaultyFs::default();
    let file = open(&fs);
    for durable in 1..6 {
        file.update(|manifest| manifest.durable = durable).unwrap();
        let generations = paths().map(|path| Manifest::decode(&fs.content(&path)).unwrap());
        let [a, b] = generations.map(|manifest| manifest.generation);
        assert_eq!((a % 2, b % 2, a.abs_diff(b)), (0, 1, 1));
        assert_eq!(open(&fs).current().durable, durable);
    }
    let before = file.current();
    file.update(|manifest| manifest.durable = 5).unwrap();
    assert_eq!(file.current(), before, "what stays as it is is not written");
}

#[test]
fn one_damaged_copy_leaves_the_other_and_two_are_refused() {
    let fs = FaultyFs::default();
    open(&fs).update_both(|manifest| manifest.durable = 7).unwrap();
    for lost in 0..2 {
        for content in [&b""[..], b"garbage"] {
            let fs = fs.after_crash(None);
            fs.set_content(&paths()[lost], content);
            let copies = read(&fs, Path::new(DATA)).unwrap();
            assert_eq!((copies.sound, &copies.damaged), (1, &vec![paths()[lost].clone()]));
            assert_eq!(copies.usable().unwrap().unwrap().durable, 7);
            // The next write makes both whole again.
            open(&fs).update(|_| {}).unwrap();
            assert_eq!(read(&fs, Path::new(DATA)).unwrap().sound, 2);
            fs.set_content(&paths()[0], b"");
            fs.set_content(&paths()[1], b"");
            let both = read(&fs, Path::new(DATA)).unwrap().usable();
            assert!(matches!(both, Err(OpenError::Manifest { copies }) if copies.len() == 2));
        }
    }
}

#[test]
fn whenever_it_dies_it_says_what_it_said_before_or_after() {
    for power_cut in [false, true] {
        for calls in 1..30 {
            let fs = FaultyFs::default();
            let file = open(&fs);
            file.update(|manifest| manifest.durable = 1).unwrap();
            fs.kill_after(calls);
            let done = (2..5).take_while(|durable| {
                file.update_both(|manifest| manifest.durable = *durable).is_ok()
            });
            let done = 1 + done.count() as Lsn;
            let mut rng = SmallRng::seed_from_u64(calls as u64);
            let fs = fs.after_crash(power_cut.then_some(&mut rng));
            let copies = read(&fs, Path::new(DATA)).unwrap();
            assert_eq!(copies.damaged, Vec::<PathBuf>::new(), "after {calls} calls");
            let found = copies.usable().unwrap().unwrap().durable;
            assert!((done..=done + 1).contains(&found), "{found} after {calls} calls");
        }
    }
}

#[test]
fn a_failed_write_changes_nothing_that_counts_and_the_next_one_goes_on() {
    for (call, errno) in [
        (Call::Create, 28),
        (Call::Write, 28),
        (Call::Sync, 5),
        (Call::Rename, 5),
        (Call::SyncDir, 5),
    ] {
        let fs = FaultyFs::default();
        let file = open(&fs);
        file.update(|manifest| manifest.durable = 1).unwrap();
        fs.fail_next(call, errno);
        assert!(file.update(|manifest| manifest.durable = 2).is_err(), "{call:?}");
        fs.fail_nothing();
        assert_eq!(file.current().durable, 1);
        file.update(|manifest| manifest.durable = 3).unwrap();
        assert_eq!(open(&fs).current().durable, 3);
        assert!(!fs.was_resynced());
    }
}
