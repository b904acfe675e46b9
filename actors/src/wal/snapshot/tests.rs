//! A snapshot is whole or none, whenever the process dies and whatever becomes of its bytes.

#![allow(clippy::unwrap_used, reason = "a failure is the end of a test")]

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::*;
use crate::journal::{Record, RecordBatch};
use crate::wal::faulty::{Call, FaultyFs};
use crate::wal::frame::DIGEST_LEN;
use crate::wal::holds::Holds;
use crate::wal::manifest::{self, Floor, Manifest};

const ENOSPC: i32 = 28;
const EIO: i32 = 5;

/// The values of [`entries`] are above it, or all but.
const PACKED_ABOVE: u64 = 30;

type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

fn snapshots(fs: &FaultyFs) -> Snapshots<FaultyFs> {
    of_log(fs, LogId::new([7; 16]))
}

fn of_log(fs: &FaultyFs, log: LogId) -> Snapshots<FaultyFs> {
    let (data, clock) = (Path::new("/data"), Clock::manual(9));
    let copies = manifest::read(fs, data).unwrap();
    let doubled = copies.sound == 2;
    let found = copies.usable().unwrap().filter(|manifest| manifest.log == log);
    let manifest = found.unwrap_or_else(|| Manifest::new(log, Floor::START));
    let manifest = ManifestFile::new(fs.clone(), data, clock.clone(), manifest, doubled);
    Snapshots::new(fs.clone(), data, manifest, Holds::new(1), clock)
}

/// What the snapshot that begins at `begin` holds.
fn entries(begin: Lsn) -> Entries {
    (0..begin * 3).map(|i| (i.to_string().into_bytes(), vec![begin as u8; 40])).collect()
}

fn take(snapshots: &Snapshots<FaultyFs>, begin: Lsn) -> io::Result<Written> {
    let mut writer = snapshots.create(begin)?;
    let all: Vec<_> = entries(begin).into_iter().collect();
    for some in all.chunks(4) {
        let mut batch = RecordBatch::new();
        for (key, value) in some {
            batch.push(&Record::Set { db: 0, key, value, expires_at: None });
        }
        if let Err(error) = writer.append(&batch, PACKED_ABOVE) {
            writer.discard();
            return Err(error);
        }
    }
    if let Err(error) = writer.finish(begin + 5) {
        writer.discard();
        return Err(error);
    }
    writer.publish()
}

fn load(snapshots: &Snapshots<FaultyFs>, path: &Path) -> Result<(Loaded, Entries), Flawed> {
    let mut entries = Entries::new();
    let loaded = snapshots.load(
        path,
        |record| {
            let Record::Set { key, value, .. } = record else { panic!("no SET") };
            entries.insert(key.to_vec(), value.to_vec());
        },
        |_| ControlFlow::Continue(()),
    )?;
    Ok((loaded, entries))
}

#[test]
fn loading_can_be_broken_off() {
    let all = snapshots(&FaultyFs::default());
    let written = take(&all, 8).unwrap();
    let loaded = all.load(&written.path, |_| {}, |_| ControlFlow::Break(()));
    assert!(matches!(loaded, Err(Flawed::BrokenOff)), "{loaded:?}");
}

#[test]
fn what_was_taken_is_loaded_and_listed() {
    let fs = FaultyFs::default();
    let all = snapshots(&fs);
    for begin in [0, 3, 8, 21] {
        let written = take(&all, begin).unwrap();
        let (loaded, found) = load(&all, &written.path).unwrap();
        assert_eq!(found, entries(begin));
        assert_eq!((loaded.begin, loaded.end), (begin, begin + 5));
        assert_eq!((loaded.entries, loaded.bytes), (written.entries, written.bytes));
        assert_eq!(loaded.created_ms, 9);
    }
    let kept: Vec<_> = all.list().unwrap().into_iter().map(|(begin, _)| begin).collect();
    assert_eq!(kept, [21, 8, 3, 0]);
    let listed = manifest::read(&fs, Path::new("/data")).unwrap().usable().unwrap().unwrap();
    assert_eq!(listed.snapshots.iter().map(|one| one.begin).collect::<Vec<_>>(), [0, 3, 8, 21]);
    assert_eq!((listed.durable, listed.snapshots[3].ended_ms), (26, 9));
}

#[test]
fn wherever_the_process_dies_every_named_snapshot_is_whole() {
    for power_cut in [false, true] {
        for calls in 1..80 {
            let fs = FaultyFs::default();
            take(&snapshots(&fs), 4).unwrap();
            take(&snapshots(&fs), 6).unwrap();
            fs.kill_after(calls);
            let done = take(&snapshots(&fs), 11).is_ok();
            let mut rng = SmallRng::seed_from_u64(calls as u64);
            let next = fs.after_crash(power_cut.then_some(&mut rng));
            let all = snapshots(&next);
            let found = all.list().unwrap();
            assert!(found.len() >= 2, "a snapshot is lost after {calls} calls");
            assert!(!done || found[0].0 == 11, "a finished snapshot is lost after {calls} calls");
            let listed = manifest::read(&next, Path::new("/data")).unwrap().usable().unwrap();
            for one in listed.into_iter().flat_map(|manifest| manifest.snapshots) {
                assert!(found.iter().any(|(b, _)| *b == one.begin), "{one:?} is gone, {calls}");
            }
            for (begin, path) in found {
                let (loaded, found) = load(&all, &path).unwrap();
                assert_eq!((loaded.begin, found), (begin, entries(begin)), "seed {calls}");
            }
            // The next one clears up whatever was left.
            take(&all, 12).unwrap();
            let left = next.list(&all.dir()).unwrap();
            assert!(left.iter().all(|name| name.ends_with(".snap")), "{left:?}");
        }
    }
}

#[test]
fn a_disk_that_fails_costs_the_snapshot_and_nothing_else() {
    for (call, errno) in [
        (Call::Create, ENOSPC),
        (Call::Write, ENOSPC),
        (Call::Sync, EIO),
        (Call::Rename, EIO),
        (Call::SyncDir, EIO),
    ] {
        let fs = FaultyFs::default();
        let all = snapshots(&fs);
        let before = take(&all, 4).unwrap();
        fs.fail_next(call, errno);
        assert!(take(&all, 9).is_err(), "{call:?}");
        fs.fail_nothing();
        assert_eq!(load(&all, &before.path).unwrap().1, entries(4));
        assert_eq!(take(&all, 10).unwrap().begin, 10);
        assert!(!fs.was_resynced());
    }
}

#[test]
fn no_flipped_bit_and_no_cut_passes() {
    let fs = FaultyFs::default();
    let all = snapshots(&fs);
    let path = take(&all, 3).unwrap().path;
    let whole = fs.content(&path);
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        fs.set_content(&path, &bytes);
        assert!(load(&all, &path).is_err(), "a flipped bit at {at} passes");
        fs.set_content(&path, &whole[..at]);
        assert!(load(&all, &path).is_err(), "a file of {at} bytes passes");
    }
    fs.set_content(&path, &[whole.as_slice(), &[0]].concat());
    assert!(load(&all, &path).is_err());
    fs.set_content(&path, &whole);
    assert!(load(&all, &path).is_ok());
}

#[test]
fn a_snapshot_of_another_log_is_refused() {
    let fs = FaultyFs::default();
    let path = take(&snapshots(&fs), 3).unwrap().path;
    let other = of_log(&fs, LogId::new([8; 16]));
    assert!(matches!(load(&other, &path), Err(Flawed::OtherLog)));
}

#[test]
fn a_frame_of_a_snapshot_is_none_in_the_log() {
    use crate::wal::frame::FrameHeader;
    let fs = FaultyFs::default();
    let path = take(&snapshots(&fs), 3).unwrap().path;
    let bytes = fs.content(&path);
    let frame = &bytes[HEADER_LEN..];
    let header = Header::decode(bytes.first_chunk().unwrap()).unwrap();
    assert!(FrameHeader::decode(frame, &header.frames_id()).is_ok());
    assert!(FrameHeader::decode(frame, &header.log).is_err());
}

#[test]
fn a_damaged_snapshot_is_put_aside_and_kept() {
    let fs = FaultyFs::default();
    let all = snapshots(&fs);
    let path = take(&all, 3).unwrap().path;
    let aside = all.quarantine(&path).unwrap();
    assert_eq!(all.list().unwrap(), []);
    assert!(!fs.content(&aside).is_empty());
}

/// Before there was FILL. The chain of frames begins with the versions that stand in the header.
#[test]
fn a_snapshot_of_the_format_before_is_read() {
    let all = snapshots(&FaultyFs::default());
    for (versions, reads) in [([3, 0, 3, 0], true), ([2, 0, 2, 0], false), ([5, 0, 5, 0], false)] {
        let mut writer = all.create_in(versions, 3).unwrap();
        let mut batch = RecordBatch::new();
        batch.push(&Record::Set { db: 0, key: b"k", value: b"v", expires_at: None });
        writer.append(&batch, 0).unwrap();
        let path = all.dir().join(format!("{:020}{UNNAMED}", 3));
        let finished = writer.finish(8);
        assert_eq!(finished.is_ok(), reads, "{versions:?}: {finished:?}");
        let found = load(&all, &path);
        if reads {
            assert_eq!(found.unwrap().1, Entries::from([(b"k".to_vec(), b"v".to_vec())]));
        } else {
            assert!(matches!(found, Err(Flawed::OtherVersion(_))), "{versions:?}");
        }
        writer.discard();
    }
}

/// What was read from the tier is told from what was written here, packed or not.
#[test]
fn an_entry_that_was_read_from_the_tier_is_one_when_it_is_loaded() {
    let all = snapshots(&FaultyFs::default());
    let mut writer = all.create(3).unwrap();
    let (short, long) = (&b"v"[..], &[7; 400][..]);
    let entries = [
        Record::Fill { db: 0, key: b"a", value: short, expires_at: Some(9) },
        Record::Set { db: 1, key: b"b", value: long, expires_at: None },
        Record::Fill { db: 0, key: b"c", value: long, expires_at: None },
    ];
    let mut batch = RecordBatch::new();
    entries.iter().for_each(|entry| batch.push(entry));
    writer.append(&batch, PACKED_ABOVE).unwrap();
    writer.finish(8).unwrap();
    let written = writer.publish().unwrap();
    assert!(written.bytes < 600, "{written:?}");
    let mut at = 0;
    let seen = |record: Record<'_>| {
        assert_eq!(record, entries[at]);
        at += 1;
    };
    all.load(&written.path, seen, |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(at, 3);
}

/// The digest of the header is what the chain of frames begins with.
#[test]
fn a_snapshot_of_a_later_format_that_suits_this_reader_is_read() {
    let log = LogId::new([7; 16]);
    let written = Header { versions: [5, 0, 2, 0], log, begin: 3, created_ms: 9 };
    let read = Header::decode(&written.encode()).unwrap();
    assert_eq!(read, written);
    assert_eq!(read.digest(), written.encode()[HEADER_LEN - DIGEST_LEN..]);
    assert_ne!(read.digest(), Header { versions: [5, 0, 3, 0], ..written }.digest());
}
