#![allow(clippy::unwrap_used, reason = "a failure is the end of a test")]

use proptest::prelude::*;

use super::*;
use crate::wal::faulty::{Call, FaultyFs};
use crate::wal::fs::OsFs;

const SECOND: Duration = Duration::from_secs(1);

/// A machine that has just lost its trust.
fn lost(now: Instant) -> Trust {
    let mut trust = Trust::default();
    let verdicts: Vec<bool> = (0..FAILURES).map(|_| trust.sync_failed(now)).collect();
    assert_eq!(verdicts, [false, false, true]);
    trust
}

#[test]
fn failures_that_lie_apart_cost_nothing() {
    let (mut trust, mut now) = (Trust::default(), Instant::now());
    for _ in 0..20 {
        assert!(!trust.sync_failed(now));
        now += WINDOW / 2 + SECOND;
    }
    assert_eq!(trust.probe_at(), None);
}

#[test]
fn probes_that_fail_come_at_growing_intervals() {
    let mut now = Instant::now();
    let mut trust = lost(now);
    let mut gaps = Vec::new();
    for _ in 0..8 {
        let at = trust.probe_at().unwrap();
        gaps.push(at.duration_since(now).as_secs());
        now = at;
        assert!(!trust.probed(false, now));
    }
    assert_eq!(gaps, [1, 2, 4, 8, 16, 30, 30, 30]);
}

#[test]
fn only_good_probes_in_a_row_win_the_trust_back() {
    let mut now = Instant::now();
    let mut trust = lost(now);
    for (well, won) in
        [(true, false), (true, false), (false, false), (true, false), (true, false), (true, true)]
    {
        now = trust.probe_at().unwrap();
        assert_eq!(trust.probed(well, now), won);
    }
    assert!(!trust.is_lost());
    assert!(trust.sync_failed(now), "failures are not forgotten by a few probes");
    assert!(!lost(now).sync_failed(now), "what is lost is not lost again");
}

proptest! {
    /// Against the definition, told over the whole history.
    #[test]
    fn trust_is_lost_and_won_as_defined(events in prop::collection::vec((0u64..40, 0..3), 1..80)) {
        let (mut trust, mut now) = (Trust::default(), Instant::now());
        let (mut failures, mut proofs, mut is_lost) = (Vec::new(), 0, false);
        for (secs, kind) in events {
            now += Duration::from_secs(secs);
            if kind == 0 {
                trust.sync_failed(now);
                failures.push(now);
                let recent = failures.iter().filter(|at| now.duration_since(**at) <= WINDOW);
                if !is_lost && recent.count() >= FAILURES {
                    (is_lost, proofs) = (true, 0);
                }
            } else if is_lost {
                let well = kind == 1;
                proofs = if well { proofs + 1 } else { 0 };
                is_lost = proofs < PROOFS;
                prop_assert_eq!(trust.probed(well, now), !is_lost);
            }
            prop_assert_eq!(trust.is_lost(), is_lost);
            let in_time = trust.probe_at().is_none_or(|at| at.duration_since(now) <= PROBE_LATE);
            prop_assert!(in_time);
        }
    }
}

#[test]
fn a_probe_passes_on_a_good_disk_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(PROBE), "left by a crash").unwrap();
    probe(&OsFs, dir.path(), 7).unwrap();
    assert_eq!(OsFs.list(dir.path()).unwrap(), Vec::<String>::new());
}

#[test]
fn a_probe_fails_with_any_call_that_fails() {
    for call in [Call::Create, Call::Write, Call::Sync, Call::SyncDir, Call::Other] {
        let fs = FaultyFs::default();
        fs.fail_next(call, 5);
        let error = probe(&fs, Path::new("/log"), 1).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(5), "{call:?}");
        probe(&fs, Path::new("/log"), 2).unwrap();
        assert!(!fs.was_resynced());
    }
}

#[test]
fn a_probe_finds_a_disk_that_holds_other_than_it_was_given() {
    let fs = FaultyFs::default();
    fs.lie();
    let error = probe(&fs, Path::new("/log"), 1).unwrap_err();
    assert!(error.to_string().contains("not what is read back"), "{error}");
}
