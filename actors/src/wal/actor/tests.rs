#![allow(clippy::unwrap_used, reason = "a failure is the end of a test")]

use std::sync::Mutex;
use std::time::Duration;

use ractor::{Actor, ActorStatus};

use super::*;
use crate::journal::{Journal, JournalError, Record, RecordBatch};
use crate::supervise::{Drill, Envelope, Pulse, Shell};
use crate::wal::Settings;
use crate::wal::{DataDir, open, read_range};

/// A reply, or one whose release panics on the writer's thread.
enum Reply {
    Tell(oneshot::Sender<Result<(), JournalError>>),
    Explode,
}

impl Release for Reply {
    fn release(self, outcome: Result<(), JournalError>) {
        match self {
            Self::Tell(tell) => drop(tell.send(outcome)),
            Self::Explode => panic!("on purpose"),
        }
    }
}

type Running = (ractor::ActorRef<Envelope<WalMsg>>, ractor::concurrency::JoinHandle<()>);

async fn start(data: &DataDir, intake: &Intake<Reply>) -> Running {
    let shell = Shell::new(WalActor::default(), Arc::new(Pulse::default()));
    let args =
        WalArgs { data: data.path().to_owned(), intake: intake.clone(), clock: Clock::default() };
    Actor::spawn(None, shell, args).await.unwrap()
}

fn set(intake: &Intake<Reply>, key: &str, reply: Option<Reply>) -> u64 {
    let mut batch = RecordBatch::new();
    batch.push(&Record::Set { db: 0, key: key.as_bytes(), value: b"v", expires_at: None });
    intake.append(&mut batch, reply)
}

async fn acknowledged(intake: &Intake<Reply>, key: &str) {
    let (tell, told) = oneshot::channel();
    set(intake, key, Some(Reply::Tell(tell)));
    let outcome = tokio::time::timeout(Duration::from_secs(10), told).await;
    assert_eq!(outcome.unwrap().unwrap(), Ok(()));
}

fn keys(data: &DataDir) -> Vec<String> {
    let keys = Mutex::new(Vec::new());
    let opened = open(data, Clock::default()).unwrap();
    let report = opened
        .replay(
            0,
            |_, record| match record {
                Record::Set { key, .. } => {
                    keys.lock().unwrap().push(String::from_utf8_lossy(key).into_owned());
                }
                other => panic!("{other:?}"),
            },
            |_| std::ops::ControlFlow::Continue(()),
        )
        .unwrap();
    assert_eq!(report.torn, None);
    keys.into_inner().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_survives_every_end_and_stops_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::lock(dir.path()).unwrap();
    assert!(keys(&data).is_empty());
    let settings = Settings { fsync: crate::wal::FsyncMode::Always, ..Settings::default() };
    let intake = Intake::new(0, &settings);

    // A panic on the writer's thread is the actor's failure, at once.
    let (actor, ended) = start(&data, &intake).await;
    acknowledged(&intake, "a").await;
    set(&intake, "b", Some(Reply::Explode));
    ended.await.unwrap();
    assert_eq!(actor.get_status(), ActorStatus::Stopped);

    // So is a failure of the actor; its thread goes with it.
    let (actor, ended) = start(&data, &intake).await;
    acknowledged(&intake, "c").await;
    actor.send_message(Envelope::Drill(Drill::Error)).unwrap();
    ended.await.unwrap();
    set(&intake, "d", None);

    // A kill, and settings that change live.
    let (actor, ended) = start(&data, &intake).await;
    intake.configure(&Settings::default());
    acknowledged(&intake, "e").await;
    actor.kill();
    ended.await.unwrap();

    // An orderly stop writes and syncs what is left.
    let (actor, ended) = start(&data, &intake).await;
    acknowledged(&intake, "f").await;
    let settled = intake.settled();
    let mut seen = Vec::new();
    read_range(data.path(), 0, settled, |origin, _| {
        seen.push(origin.lsn);
        std::ops::ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(seen, (1..=settled).collect::<Vec<_>>());
    set(&intake, "g", None);
    actor.stop(None);
    ended.await.unwrap();
    let stats = intake.stats();
    assert_eq!((stats.written, stats.durable, stats.pending_bytes), (7, 7, 0));
    intake.close();
    assert_eq!(keys(&data), ["a", "b", "c", "d", "e", "f", "g"]);
}

/// One worker: the turn, and the release that panics in it, run where the actor runs too.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_panic_in_a_turn_is_the_actors_failure_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::lock(dir.path()).unwrap();
    assert!(keys(&data).is_empty());
    let intake = Intake::new(0, &Settings::default());
    let (actor, ended) = start(&data, &intake).await;
    acknowledged(&intake, "a").await;
    set(&intake, "b", Some(Reply::Explode));
    ended.await.unwrap();
    assert_eq!(actor.get_status(), ActorStatus::Stopped);
    set(&intake, "c", None);
    let (actor, ended) = start(&data, &intake).await;
    acknowledged(&intake, "d").await;
    actor.stop(None);
    ended.await.unwrap();
    intake.close();
    assert_eq!(keys(&data), ["a", "b", "c", "d"]);
}
