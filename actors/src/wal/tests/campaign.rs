//! A log of 64 KB, damaged in every way that a disk knows: cut, flipped, blocks zeroed, swapped,
//! doubled, stale; and power cuts. Detected, or harmless: a state that was, that lacks nothing but
//! frames that were themselves damaged. Inspection has to come to the same verdict as the start.
//!
//! A sample runs by default. `SEAWALL_CASES=whole` runs every case (`--release` advised), `2/8` the
//! second eighth of them, a number that many of each kind. `SEAWALL_SEED` repeats a run.

#![allow(clippy::unwrap_used, reason = "a failure is the end of a test")]

use std::ops::Range;
use std::path::PathBuf;

use rand::rngs::SmallRng;
use rand::seq::index;
use rand::{Rng, SeedableRng};

use super::inspect::inspected;
use super::sim::{DATA, PACKED_ABOVE, Sim, replay};
use crate::journal::Lsn;
use crate::wal::faulty::FaultyFs;
use crate::wal::fs::Filesystem;
use crate::wal::inspect::Verdict;
use crate::wal::reader::{Next, SegmentReader};
use crate::wal::replay::OpenError;
use crate::wal::segment;
use crate::wal::settings::{FsyncMode, Settings};
use crate::wal::writer::read_header;

const LOG_BYTES: usize = 64 * 1024;
const BLOCK: usize = 4096;

/// Which of `all` cases to run; `sample` of them by default.
fn cases(rng: &mut SmallRng, all: usize, sample: usize) -> Vec<usize> {
    let chosen = std::env::var("SEAWALL_CASES");
    match chosen.as_ref().map(|chosen| chosen.split_once('/')) {
        Ok(Some((part, parts))) => {
            let (part, parts): (usize, usize) = (part.parse().unwrap(), parts.parse().unwrap());
            (part - 1..all).step_by(parts).collect()
        }
        Ok(None) if chosen.as_deref() == Ok("whole") => (0..all).collect(),
        Ok(None) => {
            index::sample(rng, all, chosen.unwrap().parse::<usize>().unwrap().min(all)).into_vec()
        }
        Err(_) => index::sample(rng, all, sample).into_vec(),
    }
}

/// Runs every case, on all cores, and adds the scores up.
fn run(cases: &[usize], case: impl Fn(usize, &mut Score) + Sync) -> Score {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (case, mut sum) = (&case, Score::default());
    std::thread::scope(|scope| {
        let share = |first| cases.iter().skip(first).step_by(threads);
        let running: Vec<_> = (0..threads)
            .map(|first| {
                scope.spawn(move || {
                    let mut score = Score::default();
                    share(first).for_each(|&number| case(number, &mut score));
                    score
                })
            })
            .collect();
        for thread in running {
            let score = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            sum.refused += score.refused;
            sum.torn += score.torn;
            sum.unharmed += score.unharmed;
        }
    });
    sum
}

fn seeded() -> SmallRng {
    let seed =
        std::env::var("SEAWALL_SEED").map_or_else(|_| rand::random(), |s| s.parse().unwrap());
    println!("SEAWALL_SEED={seed}");
    SmallRng::seed_from_u64(seed)
}

/// One frame of the sound log.
#[derive(Debug, Clone)]
struct Frame {
    file: usize,
    at: Range<usize>,
    /// Its first LSN.
    first: Lsn,
    /// The log's last LSN with this frame.
    last: Lsn,
}

/// A sound log that was not sealed.
struct Log {
    fs: FaultyFs,
    paths: Vec<PathBuf>,
    /// What the files hold.
    files: Vec<Vec<u8>>,
    /// Those that count: not what was written again to the next segment.
    frames: Vec<Frame>,
}

/// How a damaged log came out.
#[derive(Debug, Default)]
struct Score {
    refused: usize,
    torn: usize,
    unharmed: usize,
}

impl Log {
    /// Segments of `segment_size`, 64 KB in all.
    fn new(segment_size: u64) -> Self {
        let mut sim = Sim::new(FaultyFs::default(), FsyncMode::EverySec);
        sim.intake.configure(&Settings {
            fsync: FsyncMode::EverySec,
            segment_size,
            origin: true,
            compress_above: PACKED_ABOVE,
        });
        for round in 0.. {
            if sim.fs.used() >= LOG_BYTES {
                break;
            }
            sim.append(1 + round % 7);
            sim.step();
            sim.pass(300);
            if round % 3 == 0 {
                sim.finish_sync();
            }
        }
        let fs = sim.fs.after_crash(None);
        let dir = PathBuf::from(DATA).join("wal");
        let list = segment::list(&fs, &dir).unwrap();
        let paths: Vec<PathBuf> = list.into_iter().map(|(_, _, path)| path).collect();
        let files: Vec<Vec<u8>> = paths.iter().map(|path| fs.content(path)).collect();
        let mut frames: Vec<Frame> = Vec::new();
        for (file, path) in paths.iter().enumerate().rev() {
            let until = frames.first().map_or(Lsn::MAX, |next| next.first);
            let all = self::frames(&fs, file, path).into_iter();
            frames.splice(..0, all.filter(|frame| frame.last < until));
        }
        let log = Self { fs, paths, files, frames };
        assert_eq!(replay(&log.fs.after_crash(None)).unwrap().last_lsn, log.last());
        log
    }

    /// Whether the byte at `at` of a file lies behind all that counts in it.
    fn is_superseded(&self, file: usize, at: usize) -> bool {
        let last = self.frames.iter().rfind(|frame| frame.file == file);
        file + 1 < self.files.len() && last.is_some_and(|last| at >= last.at.end)
    }

    fn last(&self) -> Lsn {
        self.frames.last().unwrap().last
    }

    /// Starts on the log with some files changed, and keeps the score.
    ///
    /// A start may succeed only with a state that was, that lacks no frame but damaged ones.
    fn check(&self, changed: &[(usize, Vec<u8>)], score: &mut Score, what: &str) {
        let fs = self.fs.after_crash(None);
        for (file, bytes) in changed {
            fs.set_content(&self.paths[*file], bytes);
        }
        let (inspection, ..) = inspected(&fs);
        let verdict = match replay(&fs) {
            Ok(report) => {
                assert!(
                    report.last_lsn == 0 || self.frames.iter().any(|f| f.last == report.last_lsn),
                    "{what}: LSN {} ends no frame",
                    report.last_lsn
                );
                for lost in self.frames.iter().filter(|frame| frame.last > report.last_lsn) {
                    let now = changed.iter().find(|(file, _)| *file == lost.file);
                    let whole = &self.files[lost.file][lost.at.clone()];
                    let kept = now.is_none_or(|(_, now)| now.get(lost.at.clone()) == Some(whole));
                    assert!(!kept, "{what}: {lost:?} is whole, and lost");
                }
                assert_eq!(inspection.intact_lsn, report.last_lsn, "{what}");
                if report.torn.is_some() { Verdict::Torn } else { Verdict::Clean }
            }
            Err(OpenError::Corrupt(_)) => Verdict::Corrupt,
            Err(OpenError::OtherVersion { .. }) => Verdict::OtherVersion,
            Err(error) => panic!("{what}: {error}"),
        };
        assert_eq!(inspection.verdict(), verdict, "{what}: {:?}", inspection.findings);
        match verdict {
            Verdict::Clean => score.unharmed += 1,
            Verdict::Torn => score.torn += 1,
            Verdict::Corrupt | Verdict::OtherVersion => score.refused += 1,
        }
    }

    /// The file that holds this byte of the whole log, and where in it.
    fn locate(&self, mut at: usize) -> (usize, usize) {
        for (file, bytes) in self.files.iter().enumerate() {
            if at < bytes.len() {
                return (file, at);
            }
            at -= bytes.len();
        }
        panic!("{at} bytes behind the log");
    }

    fn len(&self) -> usize {
        self.files.iter().map(Vec::len).sum()
    }

    /// A random block of a file: it, and the range.
    fn block(&self, rng: &mut SmallRng) -> (usize, Range<usize>) {
        let file = rng.random_range(0..self.files.len());
        let len = self.files[file].len();
        let start = rng.random_range(0..len.div_ceil(BLOCK)) * BLOCK;
        (file, start..(start + BLOCK).min(len))
    }
}

fn frames(fs: &FaultyFs, file: usize, path: &std::path::Path) -> Vec<Frame> {
    let open = fs.open(path, false).unwrap();
    let header = read_header(&open).unwrap().unwrap();
    let mut reader = SegmentReader::new(&open, &header, None).unwrap();
    let mut frames = Vec::new();
    loop {
        let start = reader.offset() as usize;
        match reader.next().unwrap() {
            Next::Frame { header, bytes, .. } => frames.push(Frame {
                file,
                at: start..start + bytes.len(),
                first: header.first_lsn,
                last: header.next_lsn() - 1,
            }),
            _ => return frames,
        }
    }
}

#[test]
fn cut_anywhere_a_log_is_refused_or_torn() {
    let log = Log::new(16 * 1024);
    let cuts = cases(&mut seeded(), log.len(), 300);
    let score = run(&cuts, |at, score| {
        let (file, at) = log.locate(at);
        let bytes = log.files[file][..at].to_vec();
        log.check(&[(file, bytes)], score, &format!("file {file} cut at {at}"));
    });
    println!("cuts: {score:?}");
}

#[test]
fn any_flipped_bit_is_refused_or_looks_torn_in_the_last_frame() {
    let log = Log::new(16 * 1024);
    let bits = cases(&mut seeded(), log.len() * 8, 600);
    let last = log.frames.last().unwrap();
    let score = run(&bits, |bit, score| {
        let (file, at) = log.locate(bit / 8);
        let mut bytes = log.files[file].clone();
        bytes[at] ^= 1 << (bit % 8);
        let (torn, unharmed) = (score.torn, score.unharmed);
        let what = format!("file {file} flipped at {at}, bit {}", bit % 8);
        log.check(&[(file, bytes)], score, &what);
        let in_the_last = file == last.file && last.at.contains(&at);
        assert!(in_the_last || score.torn == torn, "{what}: torn");
        let counts = !log.is_superseded(file, at);
        assert_eq!(score.unharmed == unharmed, counts, "{what}: every bit that is read counts");
    });
    println!("flips: {score:?}");
}

#[test]
fn blocks_zeroed_swapped_doubled_or_stale_are_never_believed() {
    let (log, older) = (Log::new(24 * 1024), Log::new(24 * 1024));
    let mut rng = seeded();
    let (seed, chosen) = (rng.random::<u64>(), cases(&mut rng, 10_000, 300));
    let score = run(&chosen, |case, score| {
        let mut rng = SmallRng::seed_from_u64(seed.wrapping_add(case as u64));
        let (file, at) = log.block(&mut rng);
        let mut bytes = log.files[file].clone();
        let (other, from) = log.block(&mut rng);
        let len = at.len().min(from.len());
        let source = log.files[other][from.start..from.start + len].to_vec();
        let target = at.start..at.start + len;
        let mut changed = Vec::new();
        let kind = ["zeroed", "swapped", "doubled", "stale"][case % 4];
        match kind {
            "zeroed" => bytes[at.clone()].fill(0),
            "swapped" if file == other => {
                bytes.copy_within(target.clone(), from.start);
                bytes[target].copy_from_slice(&source);
            }
            "swapped" => {
                let mut second = log.files[other].clone();
                second[from.start..from.start + len].copy_from_slice(&bytes[target.clone()]);
                bytes[target].copy_from_slice(&source);
                changed.push((other, second));
            }
            "doubled" => bytes[target].copy_from_slice(&source),
            // What a deleted log left in the same place.
            _ => {
                let stale = older.files.get(file).map_or(&[][..], |old| old);
                let stale = stale.get(at.clone()).unwrap_or(&source);
                bytes[at.start..at.start + stale.len()].copy_from_slice(stale);
            }
        }
        // Zeros from the end of a frame to the end of the log are a clean end.
        let ends_in_zeros = kind == "zeroed"
            && file + 1 == log.files.len()
            && at.end == bytes.len()
            && log.frames.iter().any(|frame| frame.file == file && frame.at.end == at.start);
        let passes = ends_in_zeros || bytes == log.files[file];
        changed.push((file, bytes));
        let unharmed = score.unharmed;
        let what = format!("case {case}: {kind}, file {file} at {at:?}, file {other} at {from:?}");
        log.check(&changed, score, &what);
        assert!(passes || score.unharmed == unharmed, "{what}: not noticed");
    });
    println!("blocks: {score:?}");
}

/// A life with random writes and syncs that take up to 0.8 s, then a power cut: the LSN that the
/// mode promises, the one that was found, and the last one that was written.
fn power_cut(mode: FsyncMode, rng: &mut SmallRng) -> (Lsn, Lsn, Lsn) {
    let mut sim = Sim::new(FaultyFs::default(), mode);
    let mut history = vec![(sim.now, 0)];
    let mut sync_ends = None;
    for _ in 0..rng.random_range(1..80) {
        if rng.random_bool(0.6) {
            sim.append(rng.random_range(1..6));
        }
        sim.step();
        history.push((sim.now, sim.intake.written()));
        sim.pass(rng.random_range(1..=100));
        if sim.job.is_some() {
            let wait = std::time::Duration::from_millis(rng.random_range(0..700));
            if *sync_ends.get_or_insert(sim.now + wait) <= sim.now {
                sync_ends = None;
                sim.finish_sync();
            }
        }
    }
    let promised = match mode {
        FsyncMode::Always => sim.acknowledged(),
        _ => {
            let old = history.iter().rev().find(|(at, _)| sim.now - *at >= WINDOW);
            old.map_or(0, |(_, lsn)| *lsn)
        }
    };
    let found = replay(&sim.fs.after_crash(Some(rng))).unwrap().last_lsn;
    assert!(sim.batches.contains(&found), "half a batch");
    (promised, found, sim.intake.written())
}

/// What `everysec` may lose at most.
const WINDOW: std::time::Duration = std::time::Duration::from_secs(2);

#[test]
fn a_power_cut_takes_nothing_from_always_and_two_seconds_from_everysec() {
    let mut seeds = seeded();
    for mode in [FsyncMode::Always, FsyncMode::EverySec] {
        let (mut lost, mut at_most) = (0, 0);
        let count = cases(&mut seeds, 10_000, 400).len();
        for _ in 0..count {
            let seed = seeds.random();
            let (promised, found, written) = power_cut(mode, &mut SmallRng::seed_from_u64(seed));
            assert!(found >= promised, "{mode:?}, seed {seed}: {found} < {promised}");
            lost += usize::from(found < written);
            at_most = at_most.max(written.saturating_sub(found));
        }
        println!("{mode:?}: {count} power cuts, {lost} lost something, at most {at_most} records");
    }
}
