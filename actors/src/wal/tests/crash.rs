//! Kills and power cuts at any call: what is found again is an exact prefix, in whole batches,
//! that holds everything acknowledged.

#![allow(clippy::unwrap_used, reason = "a failure is the end of a test")]

use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::sim::{Sim, replay};
use crate::journal::Journal;
use crate::wal::faulty::{Call, FaultyFs};
use crate::wal::settings::FsyncMode;

#[derive(Debug, Clone)]
enum Op {
    Append(u64),
    Step,
    Turn,
    FinishSync,
    Pass(u64),
    Succeed,
    Fault(Call, i32),
}

fn op() -> impl Strategy<Value = Op> {
    let call = prop_oneof![
        Just(Call::Write),
        Just(Call::Sync),
        Just(Call::Create),
        Just(Call::Rename),
        Just(Call::SyncDir),
    ];
    let errno = prop_oneof![Just(5), Just(28)];
    prop_oneof![
        6 => (1u64..6).prop_map(Op::Append),
        5 => Just(Op::Step),
        4 => Just(Op::Turn),
        3 => Just(Op::FinishSync),
        3 => (1u64..1200).prop_map(Op::Pass),
        1 => Just(Op::Succeed),
        1 => (call, errno).prop_map(|(call, errno)| Op::Fault(call, errno)),
    ]
}

fn mode() -> impl Strategy<Value = FsyncMode> {
    prop_oneof![Just(FsyncMode::Always), Just(FsyncMode::EverySec), Just(FsyncMode::No)]
}

fn run(sim: &mut Sim, ops: &[Op]) {
    for op in ops {
        match op {
            Op::Append(records) if sim.intake.writable().is_ok() => {
                sim.append(*records);
            }
            Op::Append(_) => {}
            Op::Step => sim.step(),
            Op::Turn => sim.turn(),
            Op::FinishSync => sim.finish_sync(),
            Op::Pass(ms) => sim.pass(*ms),
            // The successor may find the disk failing; the supervisor would try again.
            Op::Succeed => drop(sim.succeed()),
            Op::Fault(call, errno) => sim.fs.fail_next(*call, *errno),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_crash_leaves_an_exact_prefix_with_everything_acknowledged(
        mode in mode(),
        ops in prop::collection::vec(op(), 1..120),
        kill_after in prop::option::of(1usize..150),
        power_cut in prop::option::of(any::<u64>()),
    ) {
        let mut sim = Sim::new(FaultyFs::default(), mode);
        if let Some(calls) = kill_after {
            sim.fs.kill_after(calls);
        }
        run(&mut sim, &ops);
        prop_assert!(!sim.fs.was_resynced(), "a file was synced again after a failed sync");
        let promised = match power_cut {
            None => sim.acknowledged(),
            Some(_) if mode == FsyncMode::Always => sim.acknowledged(),
            Some(_) => sim.intake.durable(),
        };
        let mut rng = power_cut.map(SmallRng::seed_from_u64);
        let found = replay(&sim.fs.after_crash(rng.as_mut())).map_err(|error| {
            TestCaseError::fail(format!("a crash passes for damage: {error}"))
        })?;
        prop_assert!(found.last_lsn >= promised, "{} < {promised}", found.last_lsn);
        prop_assert!(sim.batches.contains(&found.last_lsn), "a batch is torn apart");
    }

    /// Whatever went wrong: once it does not any more, all that was appended is there, once.
    #[test]
    fn when_the_faults_end_everything_is_written(
        mode in mode(),
        ops in prop::collection::vec(op(), 1..120),
    ) {
        let mut sim = Sim::new(FaultyFs::default(), mode);
        run(&mut sim, &ops);
        sim.fs.fail_nothing();
        if sim.writer.is_none() {
            sim.succeed().map_err(TestCaseError::fail)?;
        }
        sim.settle();
        prop_assert_eq!(sim.intake.writable(), Ok(()));
        let lsn = sim.intake.stats().lsn;
        prop_assert_eq!(sim.intake.settled(), lsn);
        prop_assert!(!sim.fs.was_resynced(), "a file was synced again after a failed sync");
        for batch in sim.batches.iter().skip(1) {
            prop_assert!(sim.outcome(*batch).is_some(), "the reply for {batch} was forgotten");
        }
        prop_assert_eq!(replay(&sim.fs.after_crash(None)).unwrap().last_lsn, lsn);
    }

    /// A log that was cut goes on after the cut, crash after crash.
    #[test]
    fn a_log_lives_through_many_crashes(
        seed: u64,
        lives in prop::collection::vec((mode(), prop::collection::vec(op(), 1..40)), 1..6),
    ) {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut fs = FaultyFs::default();
        for (mode, ops) in lives {
            let mut sim = Sim::new(fs, mode);
            run(&mut sim, &ops);
            fs = sim.fs.after_crash(Some(&mut rng));
            let found = replay(&fs).map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert!(found.last_lsn >= sim.intake.durable());
        }
    }
}
