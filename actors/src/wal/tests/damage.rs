//! A small log cut at every byte and flipped at every byte: a prefix or a refusal, never a
//! wrong value. (`replay` itself asserts that every record is the one that was written.)

#![allow(clippy::unwrap_used, reason = "a failure is the end of a test")]

use std::path::PathBuf;

use super::sim::{DATA, Sim, replay};
use crate::wal::faulty::FaultyFs;
use crate::wal::fs::Filesystem;
use crate::wal::replay::{OpenError, ReplayReport};
use crate::wal::segment;
use crate::wal::settings::FsyncMode;

/// A log of several frames; sealed if `quiet`.
fn log(quiet: bool) -> (FaultyFs, Vec<u64>) {
    let mut sim = Sim::new(FaultyFs::default(), FsyncMode::EverySec);
    for records in 1..5 {
        sim.append(records);
        sim.step();
    }
    if quiet {
        sim.settle();
    }
    (sim.fs.after_crash(None), sim.batches)
}

fn segments(fs: &FaultyFs) -> Vec<PathBuf> {
    let dir = PathBuf::from(DATA).join("wal");
    segment::list(fs, &dir).unwrap().into_iter().map(|(_, _, path)| path).collect()
}

/// Replays the log's first segment with one bit flipped in each of its bytes, one at a time.
fn replays_with_a_flip(
    fs: &FaultyFs,
) -> impl Iterator<Item = (usize, Result<ReplayReport, OpenError>)> + '_ {
    let path = segments(fs).remove(0);
    let whole = fs.content(&path);
    (0..whole.len()).map(move |at| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        let fs = fs.after_crash(None);
        fs.set_content(&path, &bytes);
        (at, replay(&fs))
    })
}

#[test]
fn cut_at_every_byte_it_is_a_prefix_with_a_copy_of_the_rest() {
    let (fs, batches) = log(false);
    let path = segments(&fs).remove(0);
    let whole = fs.content(&path);
    for len in segment::HEADER_LEN..whole.len() {
        let fs = fs.after_crash(None);
        fs.set_content(&path, &whole[..len]);
        let report = replay(&fs).unwrap();
        assert!(batches.contains(&report.last_lsn), "cut at {len}: half a batch");
        if let Some(torn) = report.torn {
            assert_eq!(fs.content(&torn.copy), whole[torn.offset as usize..len]);
        }
        assert_eq!(replay(&fs).unwrap().torn, None, "cut at {len}: the cut is not clean");
    }
}

#[test]
fn a_flipped_byte_is_refused_or_takes_only_the_unsealed_end() {
    let (fs, batches) = log(false);
    for (at, replayed) in replays_with_a_flip(&fs) {
        match replayed {
            Err(OpenError::Corrupt(damage)) => assert!(damage.offset <= at as u64),
            Err(other) => panic!("flipped at {at}: {other}"),
            Ok(report) => {
                let last_but_one = batches[batches.len() - 2];
                assert_eq!(report.last_lsn, last_but_one, "flipped at {at}");
                assert!(report.torn.is_some());
            }
        }
    }
}

#[test]
fn in_a_sealed_log_every_flipped_byte_of_a_record_is_refused() {
    let (fs, batches) = log(true);
    for (at, replayed) in replays_with_a_flip(&fs) {
        match replayed {
            Err(OpenError::Corrupt(_)) => {}
            Err(other) => panic!("flipped at {at}: {other}"),
            Ok(report) => assert_eq!(Some(&report.last_lsn), batches.last(), "flipped at {at}"),
        }
    }
}

#[test]
fn zeros_behind_the_last_frame_are_a_clean_end() {
    let (fs, batches) = log(true);
    let path = segments(&fs).remove(0);
    let mut bytes = fs.content(&path);
    bytes.extend_from_slice(&[0; 512]);
    fs.set_content(&path, &bytes);
    let report = replay(&fs).unwrap();
    assert_eq!(Some(&report.last_lsn), batches.last());
    assert_eq!(report.torn, None, "the writer of `always` leaves them there");
    *bytes.last_mut().unwrap() = 1;
    fs.set_content(&path, &bytes);
    assert_eq!(replay(&fs).unwrap().torn.map(|torn| torn.bytes), Some(512), "not only zeros");
}

#[test]
fn a_log_goes_on_where_its_zeros_begin_and_full_segments_have_none() {
    let mut sim = Sim::new(FaultyFs::default(), FsyncMode::Always);
    for _ in 0..4 {
        while segments(&sim.fs).len() < 3 {
            sim.append(3);
            sim.step();
        }
        sim.succeed().unwrap();
        let last = sim.append(1);
        sim.step();
        assert_eq!(replay(&sim.fs.after_crash(None)).unwrap().last_lsn, last);
    }
    let paths = segments(&sim.fs);
    let (_, full) = paths.split_last().unwrap();
    assert!(full.iter().all(|path| !sim.fs.content(path).ends_with(&[0; 64])));
    let last = sim.fs.content(paths.last().unwrap());
    assert!(last.ends_with(&[0; 64]), "nothing was written ahead");
}

#[test]
fn a_missing_segment_is_refused() {
    let mut sim = Sim::new(FaultyFs::default(), FsyncMode::Always);
    for _ in 0..40 {
        sim.append(5);
        sim.step();
    }
    let paths = segments(&sim.fs);
    assert!(paths.len() > 2);
    for path in &paths[..paths.len() - 1] {
        let fs = sim.fs.after_crash(None);
        fs.remove(path).unwrap();
        assert!(matches!(replay(&fs), Err(OpenError::Corrupt(_))), "{}", path.display());
    }
}

#[test]
fn frames_cut_out_or_swapped_are_refused() {
    let mut sim = Sim::new(FaultyFs::default(), FsyncMode::EverySec);
    let path = segments(&sim.fs).remove(0);
    let mut ends = vec![sim.fs.content(&path).len()];
    for _ in 0..4 {
        sim.append(2);
        sim.step();
        ends.push(sim.fs.content(&path).len());
    }
    let whole = sim.fs.content(&path);
    let part = |i: usize| &whole[ends[i]..ends[i + 1]];
    let head = &whole[..ends[0]];
    for order in [&[0, 2, 3][..], &[1, 0, 2, 3], &[0, 1, 1, 2, 3], &[0, 2, 1, 3]] {
        let frames: Vec<u8> = order.iter().flat_map(|&i| part(i)).copied().collect();
        let fs = sim.fs.after_crash(None);
        fs.set_content(&path, &[head, &frames].concat());
        assert!(matches!(replay(&fs), Err(OpenError::Corrupt(_))), "{order:?}");
    }
}
