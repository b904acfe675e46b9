//! A shard's ends and beginnings: adoption, rebuild, loans that do not come home.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::super::audience::Nobody;
use super::super::store::{Expiry, Key, KeyHasher};
use super::*;
use crate::clock::UnixMs;
use crate::journal::JournalError;
use crate::journal::{Record, RecordBatch, Records};
use crate::supervise::{ChildSpec, Restart, Strategy, SupervisorSpec, Tree, TreeOptions};

const WITHIN: Duration = Duration::from_secs(5);

/// What a test asks of a store.
#[derive(Debug)]
enum TestJob {
    Set(&'static str),
    SetThenPanic(&'static str),
    Get(&'static str, Option<bool>),
    /// The tier has this key.
    Fill(&'static str),
}

fn key(bytes: &str) -> Key<'_> {
    KeyHasher::fixed().key(bytes.as_bytes())
}

impl Job for TestJob {
    fn run(
        &mut self,
        store: &mut Store,
        now: UnixMs,
        _writable: &Result<(), JournalError>,
        _audience: &dyn Audience,
    ) {
        match self {
            Self::Set(k) => store.set(0, key(k), b"v", Expiry::Never, now).unwrap(),
            Self::SetThenPanic(k) => {
                store.set(0, key(k), b"v", Expiry::Never, now).unwrap();
                panic!("a command of this batch panics");
            }
            Self::Get(k, found) => *found = Some(store.exists(0, key(k), now)),
            Self::Fill(k) => store.fill(key(k), b"v", None, store.ticket(key(k)), now).unwrap(),
        }
    }
}

/// Keeps the keys that were set, in order.
#[derive(Debug, Default)]
struct Notebook(Mutex<Vec<String>>);

impl Journal<Parked<TestJob>> for Notebook {
    fn append(&self, batch: &mut RecordBatch, parked: Option<Parked<TestJob>>) -> Lsn {
        let mut keys = self.0.lock().unwrap();
        for record in Records::new(batch.as_bytes()) {
            if let Ok(Record::Set { key, .. }) = record {
                keys.push(String::from_utf8_lossy(key).into_owned());
            }
        }
        batch.clear();
        parked.into_iter().for_each(|parked| parked.release(Ok(())));
        keys.len() as Lsn
    }

    fn park(&self, _lsn: Lsn, parked: Parked<TestJob>) {
        parked.release(Ok(()));
    }

    fn settled(&self) -> Lsn {
        Lsn::MAX
    }

    fn writable(&self) -> Result<(), JournalError> {
        Ok(())
    }
}

/// Rebuilds from a notebook, and counts how often.
struct FromNotebook(Arc<Notebook>, AtomicUsize);

#[async_trait]
impl Rebuild for FromNotebook {
    async fn rebuild(
        &self,
        _shard: usize,
        config: StoreConfig,
    ) -> Result<(Box<Store>, Lsn), String> {
        self.1.fetch_add(1, Ordering::Relaxed);
        let mut store = Box::new(Store::new(config));
        for k in self.0.0.lock().unwrap().iter() {
            store.set(0, key(k), b"v", Expiry::Never, 1).map_err(|e| e.to_string())?;
        }
        store.effects_mut().clear();
        Ok((store, 0))
    }
}

struct Bench {
    handle: Handle<ShardMsg<TestJob>>,
    notebook: Arc<Notebook>,
    rebuild: Arc<FromNotebook>,
    tree: Tree,
}

async fn bench() -> Bench {
    let notebook = Arc::new(Notebook::default());
    let rebuild = Arc::new(FromNotebook(Arc::clone(&notebook), AtomicUsize::new(0)));
    let cradle = Arc::new(Cradle::with(Box::new(Store::new(StoreConfig::default())), 0));
    let again = Arc::clone(&rebuild) as Arc<dyn Rebuild>;
    let (handle, tree) =
        bench_with(Arc::clone(&notebook) as _, cradle, again, StoreConfig::default()).await;
    Bench { handle, notebook, rebuild, tree }
}

async fn bench_with(
    journal: Arc<dyn Journal<Parked<TestJob>>>,
    cradle: Arc<Cradle>,
    rebuild: Arc<dyn Rebuild>,
    config: StoreConfig,
) -> (Handle<ShardMsg<TestJob>>, Tree) {
    bench_before(watch::Sender::new(None).subscribe(), journal, cradle, rebuild, config).await
}

/// A tier that has acknowledged nothing.
fn tier() -> TierArgs {
    let (acknowledged, freshness) =
        (watch::Sender::new(0), watch::Sender::new(Freshness::default()));
    TierArgs { acknowledged: acknowledged.subscribe(), freshness: freshness.subscribe() }
}

async fn bench_before(
    tier: watch::Receiver<Option<TierArgs>>,
    journal: Arc<dyn Journal<Parked<TestJob>>>,
    cradle: Arc<Cradle>,
    rebuild: Arc<dyn Rebuild>,
    config: StoreConfig,
) -> (Handle<ShardMsg<TestJob>>, Tree) {
    let handle = Handle::new();
    let make = move || {
        let args = ShardArgs {
            tier: tier.clone(),
            index: 0,
            cradle: Arc::clone(&cradle),
            journal: Arc::clone(&journal),
            rebuild: Arc::clone(&rebuild),
            config: watch::Sender::new(config).subscribe(),
            audience: Arc::new(Nobody),
            clock: Clock::manual(1),
        };
        (Shard::<TestJob>::default(), args)
    };
    let root = SupervisorSpec::new("cache", Strategy::OneForOne).child(ChildSpec::worker(
        "shard-0",
        handle.clone(),
        Restart::default(),
        make,
    ));
    let options =
        TreeOptions { watchdog: WITHIN * 10, start_within: WITHIN, ..TreeOptions::default() };
    let tree = Tree::start(root, options).await.expect("the shard starts");
    (handle, tree)
}

impl Bench {
    /// Runs a job; while the shard is rebuilt, again.
    async fn run(&self, mut job: TestJob) -> Option<TestJob> {
        loop {
            let answer = self.handle.call(WITHIN, |reply| ShardMsg::Run(job, reply)).await;
            match answer.ok()? {
                Outcome::Done(job) => return Some(job),
                Outcome::Failed(..) => return None,
                Outcome::Loading(back) => job = back,
            }
            tokio::task::yield_now().await;
        }
    }

    /// Reads; a read whose shard died under it is safe to repeat.
    async fn has(&self, k: &'static str) -> bool {
        for _ in 0..100 {
            if let Some(TestJob::Get(_, found)) = self.run(TestJob::Get(k, None)).await {
                return found == Some(true);
            }
        }
        panic!("the shard does not come back");
    }
}

#[tokio::test]
async fn a_successor_adopts_the_store_and_logs_what_the_panic_left() {
    let bench = bench().await;
    assert!(bench.run(TestJob::Set("before")).await.is_some());
    assert!(bench.run(TestJob::SetThenPanic("within")).await.is_none(), "its outcome is unknown");
    assert!(bench.has("before").await);
    assert!(bench.has("within").await, "memory has it ...");
    assert_eq!(*bench.notebook.0.lock().unwrap(), ["before", "within"], "... and so has the log");
    assert_eq!(bench.rebuild.1.load(Ordering::Relaxed), 0, "nothing was rebuilt");
    bench.tree.shutdown().await;
}

#[tokio::test]
async fn a_store_that_does_not_come_home_is_rebuilt_from_the_log() {
    let bench = bench().await;
    assert!(bench.run(TestJob::Set("kept")).await.is_some());
    let mut loan =
        bench.handle.call(WITHIN, ShardMsg::Lend).await.ok().flatten().expect("the store is lent");
    // A coordinator that dies in the middle of a commit loses the store.
    drop(loan.take());
    drop(loan);
    assert!(bench.has("kept").await);
    assert_eq!(bench.rebuild.1.load(Ordering::Relaxed), 1);
    bench.tree.shutdown().await;
}

#[tokio::test]
async fn a_loan_that_is_dropped_brings_the_store_home() {
    let bench = bench().await;
    assert!(bench.run(TestJob::Set("kept")).await.is_some());
    drop(bench.handle.call(WITHIN, ShardMsg::Lend).await.ok().flatten());
    assert!(bench.has("kept").await);
    assert_eq!(bench.rebuild.1.load(Ordering::Relaxed), 0);
    bench.tree.shutdown().await;
}

/// Never gets done.
struct Stuck;

#[async_trait]
impl Rebuild for Stuck {
    async fn rebuild(&self, _: usize, _: StoreConfig) -> Result<(Box<Store>, Lsn), String> {
        std::future::pending().await
    }
}

/// Fails as badly as can be, once.
struct Explosive(AtomicUsize);

#[async_trait]
impl Rebuild for Explosive {
    async fn rebuild(&self, _: usize, config: StoreConfig) -> Result<(Box<Store>, Lsn), String> {
        assert!(self.0.fetch_add(1, Ordering::Relaxed) > 0, "the first rebuild panics");
        Ok((Box::new(Store::new(config)), 0))
    }
}

#[tokio::test]
async fn whoever_waits_for_the_store_is_told_when_it_is_there() {
    let bench = bench().await;
    assert!(bench.handle.call(WITHIN, ShardMsg::AwaitStore).await.is_ok(), "it is there");
    let mut loan =
        bench.handle.call(WITHIN, ShardMsg::Lend).await.ok().flatten().expect("the store is lent");
    drop(loan.take());
    drop(loan);
    // The shard that lent it may end with the question in its hands.
    while bench.handle.call(WITHIN, ShardMsg::AwaitStore).await.is_err() {}
    assert!(matches!(
        bench.handle.call(WITHIN, |reply| ShardMsg::Run(TestJob::Set("at once"), reply)).await,
        Ok(Outcome::Done(_))
    ));
    bench.tree.shutdown().await;
}

#[tokio::test]
async fn a_shard_without_a_store_loads_and_can_be_stopped() {
    let bench = bench_with(
        Arc::new(Notebook::default()),
        Arc::default(),
        Arc::new(Stuck),
        StoreConfig::default(),
    )
    .await;
    let wait = bench.0.call(Duration::from_millis(20), ShardMsg::AwaitStore).await;
    assert!(wait.is_err(), "nobody is told too early");
    let answer = bench.0.call(WITHIN, |reply| ShardMsg::Run(TestJob::Set("no"), reply)).await;
    assert!(matches!(answer, Ok(Outcome::Loading(_))), "{answer:?}");
    let lent = bench.0.call(WITHIN, ShardMsg::Lend).await;
    assert!(matches!(lent, Ok(None)), "{lent:?}");
    bench.1.shutdown().await;
}

#[tokio::test]
async fn a_rebuild_that_panics_is_tried_again() {
    let rebuild = Arc::new(Explosive(AtomicUsize::new(0)));
    let again = Arc::clone(&rebuild) as Arc<dyn Rebuild>;
    let (handle, tree) =
        bench_with(Arc::new(Notebook::default()), Arc::default(), again, StoreConfig::default())
            .await;
    while handle.call(WITHIN, ShardMsg::AwaitStore).await.is_err() {}
    assert_eq!(rebuild.0.load(Ordering::Relaxed), 2);
    tree.shutdown().await;
}

/// A log that takes everything and settles nothing.
#[derive(Debug, Default)]
struct Unsettled(Mutex<(Lsn, Vec<Parked<TestJob>>)>);

impl Journal<Parked<TestJob>> for Unsettled {
    fn append(&self, batch: &mut RecordBatch, parked: Option<Parked<TestJob>>) -> Lsn {
        let mut log = self.0.lock().unwrap();
        log.0 += Lsn::from(batch.count());
        batch.clear();
        log.1.extend(parked);
        log.0
    }

    fn park(&self, _lsn: Lsn, parked: Parked<TestJob>) {
        self.0.lock().unwrap().1.push(parked);
    }

    fn settled(&self) -> Lsn {
        0
    }

    fn writable(&self) -> Result<(), JournalError> {
        Ok(())
    }
}

#[tokio::test]
async fn a_miss_whose_answer_puts_another_entry_out_does_not_wait_for_the_log() {
    let config = StoreConfig { max_entries: 1, ..StoreConfig::default() };
    let mut store = Box::new(Store::new(config));
    store.set(0, key("written"), b"v", Expiry::Never, 1).unwrap();
    store.effects_mut().clear();
    store.attach_tier(0, 1);
    let journal = Arc::new(Unsettled::default());
    let (handle, tree) = bench_before(
        watch::Sender::new(Some(tier())).subscribe(),
        Arc::clone(&journal) as _,
        Arc::new(Cradle::with(store, 0)),
        Arc::new(Stuck),
        config,
    )
    .await;
    for k in ["first", "second"] {
        let fill = handle.call(WITHIN, |reply| ShardMsg::Run(TestJob::Fill(k), reply)).await;
        assert!(matches!(fill, Ok(Outcome::Done(_))), "{fill:?}");
    }
    let read = |reply| ShardMsg::Run(TestJob::Get("second", None), reply);
    let answer = handle.call(WITHIN, read).await;
    assert!(matches!(answer, Ok(Outcome::Done(TestJob::Get(_, Some(true))))), "{answer:?}");
    assert_eq!(journal.0.lock().unwrap().0, 1, "the one that was written is evicted in the log");
    // A write waits, and so does who reads behind it.
    let (reply, mut write) = oneshot::channel();
    handle.cast(ShardMsg::Run(TestJob::Set("mine"), reply)).unwrap();
    let (reply, mut behind) = oneshot::channel();
    handle.cast(ShardMsg::Run(TestJob::Get("mine", None), reply)).unwrap();
    handle.call(WITHIN, ShardMsg::Stats).await.expect("both have run");
    assert!(write.try_recv().is_err() && behind.try_recv().is_err());
    assert_eq!(journal.0.lock().unwrap().1.len(), 2);
    tree.shutdown().await;
}

#[tokio::test]
async fn a_tier_that_goes_takes_along_what_came_from_it() {
    let behind = watch::Sender::new(None);
    let (notebook, store) = (Arc::new(Notebook::default()), Store::new(StoreConfig::default()));
    let (handle, tree) = bench_before(
        behind.subscribe(),
        notebook as _,
        Arc::new(Cradle::with(Box::new(store), 0)),
        Arc::new(Stuck),
        StoreConfig::default(),
    )
    .await;
    let run = |job| handle.call(WITHIN, |reply| ShardMsg::Run(job, reply));
    let has = async |k| {
        let answer = run(TestJob::Get(k, None)).await;
        matches!(answer, Ok(Outcome::Done(TestJob::Get(_, Some(true)))))
    };
    run(TestJob::Set("ours")).await.expect("it is written");
    for _ in 0..2 {
        run(TestJob::Fill("theirs")).await.expect("it runs");
        assert!(!has("theirs").await, "there is no tier to have it from");
        behind.send_replace(Some(tier()));
        handle.call(WITHIN, ShardMsg::Rewire).await.expect("it goes by it");
        run(TestJob::Fill("theirs")).await.expect("it runs");
        assert!(has("theirs").await && has("ours").await);
        behind.send_replace(None);
        handle.call(WITHIN, ShardMsg::Rewire).await.expect("it lets go of it");
        assert!(!has("theirs").await && has("ours").await);
    }
    tree.shutdown().await;
}
