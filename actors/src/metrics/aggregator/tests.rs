use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::*;
use crate::metrics::{Kind, Metric, SourceFn, Unit};
use crate::supervise::{Pulse, Shell};

static OPS: Metric =
    Metric { name: "ops", kind: Kind::Counter, unit: Unit::None, labels: &[], help: "x" };

fn one(value: u64) -> Sample {
    let mut sample = Sample::new();
    sample.count(&OPS, &[], value);
    sample
}

/// Grows by 10 at each question.
fn counting() -> Arc<dyn Source> {
    let n = Arc::new(AtomicU64::new(0));
    Arc::new(SourceFn::new("counting", move || {
        let value = n.fetch_add(10, Relaxed);
        async move { one(value) }
    }))
}

/// Behaves by what `mood` says: 0 answers, 1 hangs, 2 panics.
fn moody(mood: &Arc<AtomicU64>) -> Arc<dyn Source> {
    let mood = Arc::clone(mood);
    Arc::new(SourceFn::new("moody", move || {
        let mood = mood.load(Relaxed);
        async move {
            match mood {
                0 => one(7),
                1 => std::future::pending().await,
                _ => panic!("this panic is part of a test"),
            }
        }
    }))
}

async fn start(
    sources: Vec<Arc<dyn Source>>,
    published: &Published,
) -> (ractor::ActorRef<crate::supervise::Envelope<Msg>>, JoinHandle<()>) {
    let args = Args { sources, published: published.clone(), settings: Settings::default() };
    let shell = Shell::new(Aggregator, Arc::new(Pulse::default()));
    ractor::Actor::spawn(None, shell, args).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn publishes_on_its_beat_with_rates() {
    let published = Published::new();
    let mut news = published.subscribe();
    let (actor, done) = start(vec![counting()], &published).await;
    for _ in 0..3 {
        news.changed().await.unwrap();
    }
    let snapshot = published.newest();
    assert_eq!(snapshot.series().next().unwrap().value.number(), 20.0);
    assert!((snapshot.rate(&OPS) - 10.0).abs() < 0.5, "{}", snapshot.rate(&OPS));
    actor.stop(None);
    done.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_source_that_hangs_or_panics_is_stale_and_holds_nobody_up() {
    let published = Published::new();
    let mut news = published.subscribe();
    let mood = Arc::new(AtomicU64::new(0));
    let (actor, done) = start(vec![moody(&mood), counting()], &published).await;
    news.changed().await.unwrap();
    assert!(!published.newest().sources[0].stale);

    for bad in [1, 2] {
        mood.store(bad, Relaxed);
        news.changed().await.unwrap();
        let snapshot = published.newest();
        assert!(snapshot.took <= Settings::default().deadline + Duration::from_millis(5));
        assert!(snapshot.sources[0].stale && !snapshot.sources[1].stale);
        assert_eq!(*snapshot.sources[0].sample, one(7), "the last sample stays");
        mood.store(0, Relaxed);
        news.changed().await.unwrap();
        assert!(!published.newest().sources[0].stale, "heals by itself");
    }
    actor.stop(None);
    done.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_successor_goes_on_from_what_was_published() {
    let published = Published::new();
    let mut news = published.subscribe();
    let (actor, done) = start(vec![counting()], &published).await;
    news.changed().await.unwrap();
    actor.kill();
    done.await.unwrap();
    let last = published.newest();
    tokio::time::advance(Duration::from_secs(9)).await;
    assert_eq!(last.age(Instant::now()).unwrap().as_secs(), 9, "its age shows that it is down");

    let mood = Arc::new(AtomicU64::new(1));
    let (actor, done) = start(vec![counting(), moody(&mood)], &published).await;
    news.changed().await.unwrap();
    let next = published.newest();
    assert!(next.sources[0].answered > last.sources[0].answered);
    assert!(next.sources[1].stale, "a source that never answered");
    assert_eq!(next.sources[1].answered, None);
    actor.stop(None);
    done.await.unwrap();
}
