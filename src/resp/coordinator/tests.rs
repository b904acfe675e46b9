//! Borrowing real shards, with a journal that writes everything down.

use std::sync::{Arc, Mutex};

use seawall_actors::cache::store::{Expiry, KeyHasher, Store, StoreConfig};
use seawall_actors::cache::{Cradle, Nobody, Rebuild, Shard, ShardArgs};
use seawall_actors::clock::Clock;
use seawall_actors::journal::{Journal, Record, Records, Release};
use seawall_actors::supervise::{
    ChildSpec, Handle, Restart, Strategy, SupervisorSpec, Tree, TreeOptions,
};
use tokio::sync::watch;

use super::*;
use crate::resp::round::ShardJob;

/// Keeps the keys of the SET records it was given, batch by batch.
#[derive(Debug, Default)]
struct Notebook(Mutex<Vec<Vec<String>>>);

impl Notebook {
    fn batches(&self) -> Vec<Vec<String>> {
        self.0.lock().unwrap().clone()
    }
}

impl Journal<Parked<ShardJob>> for Notebook {
    fn append(&self, batch: &mut RecordBatch, parked: Option<Parked<ShardJob>>) -> Lsn {
        let keys = Records::new(batch.as_bytes())
            .map(|record| match record {
                Ok(Record::Set { key, .. }) => String::from_utf8_lossy(key).into_owned(),
                other => panic!("only sets are expected: {other:?}"),
            })
            .collect();
        batch.clear();
        let mut batches = self.0.lock().unwrap();
        batches.push(keys);
        let lsn = batches.len() as Lsn;
        drop(batches);
        parked.into_iter().for_each(|parked| parked.release(Ok(())));
        lsn
    }

    fn park(&self, _lsn: Lsn, parked: Parked<ShardJob>) {
        parked.release(Ok(()));
    }

    fn settled(&self) -> Lsn {
        self.batches().len() as Lsn
    }

    fn writable(&self) -> Result<(), JournalError> {
        Ok(())
    }
}

struct NoRebuild;

#[async_trait::async_trait]
impl Rebuild for NoRebuild {
    async fn rebuild(&self, _: usize, _: StoreConfig) -> Result<(Box<Store>, Lsn), String> {
        Err("nothing to rebuild from".to_owned())
    }
}

async fn shards(count: usize, journal: &Arc<Notebook>) -> (Shards, Tree) {
    let handles: Vec<_> = (0..count).map(|_| Handle::new()).collect();
    let mut root = SupervisorSpec::new("cache", Strategy::OneForOne);
    for (index, handle) in handles.iter().enumerate() {
        let cradle = Arc::new(Cradle::with(Box::new(Store::new(StoreConfig::default())), 0));
        let journal = Arc::clone(journal);
        let make = move || {
            let args = ShardArgs {
                tier: watch::Sender::new(None).subscribe(),
                index,
                cradle: Arc::clone(&cradle),
                journal: Arc::clone(&journal) as _,
                rebuild: Arc::new(NoRebuild),
                config: watch::Sender::new(StoreConfig::default()).subscribe(),
                audience: Arc::new(Nobody),
                clock: Clock::manual(1),
            };
            (Shard::<ShardJob>::default(), args)
        };
        let id = format!("shard-{index}");
        root = root.child(ChildSpec::worker(id, handle.clone(), Restart::default(), make));
    }
    let options = TreeOptions {
        watchdog: Duration::from_secs(60),
        start_within: LEND_WITHIN,
        ..TreeOptions::default()
    };
    let tree = Tree::start(root, options).await.expect("the shards start");
    (Shards::new(handles, KeyHasher::fixed(), Arc::clone(journal) as _, Arc::new(Nobody)), tree)
}

fn every(shards: &Shards) -> ShardSet {
    let mut set = ShardSet::none(shards.len());
    set.add_all();
    set
}

/// Writes one key into each borrowed store.
fn write_everywhere(shards: &Shards, borrowed: &mut Borrowed<'_>) {
    for (i, store) in borrowed.stores().iter_mut().flatten().enumerate() {
        let key = format!("key-{i}");
        store.set(0, shards.hasher().key(key.as_bytes()), b"v", Expiry::Never, 1).unwrap();
    }
}

#[tokio::test]
async fn what_ran_over_several_shards_is_one_batch() {
    let journal = Arc::new(Notebook::default());
    let (shards, tree) = shards(3, &journal).await;
    let mut borrowed = Borrowed::take(&shards, &every(&shards), Duration::ZERO).await.unwrap();
    write_everywhere(&shards, &mut borrowed);
    borrowed.collect();
    borrowed.finish().await.unwrap();
    assert_eq!(journal.batches(), [["key-0", "key-1", "key-2"]]);
    tree.shutdown().await;
}

#[tokio::test]
async fn a_coordinator_that_gives_up_still_logs_what_it_did() {
    let journal = Arc::new(Notebook::default());
    let (shards, tree) = shards(2, &journal).await;
    let mut borrowed = Borrowed::take(&shards, &every(&shards), Duration::ZERO).await.unwrap();
    write_everywhere(&shards, &mut borrowed);
    borrowed.collect();
    drop(borrowed);
    assert_eq!(journal.batches(), [["key-0", "key-1"]]);
    // And the stores are home again.
    assert!(Borrowed::take(&shards, &every(&shards), Duration::ZERO).await.is_ok());
    tree.shutdown().await;
}

#[tokio::test]
async fn a_scope_that_is_rolled_back_or_given_up_leaves_nothing_but_what_was_before() {
    let journal = Arc::new(Notebook::default());
    let (shards, tree) = shards(2, &journal).await;
    for given_up in [false, true] {
        let mut borrowed = Borrowed::take(&shards, &every(&shards), Duration::ZERO).await.unwrap();
        write_everywhere(&shards, &mut borrowed);
        borrowed.open_scope(1);
        for store in borrowed.stores().iter_mut().flatten() {
            store.set(0, shards.hasher().key(b"undone"), b"v", Expiry::Never, 1).unwrap();
        }
        if given_up {
            drop(borrowed);
        } else {
            borrowed.collect();
            borrowed.roll_back();
            borrowed.finish().await.unwrap();
        }
        let mut borrowed = Borrowed::take(&shards, &every(&shards), Duration::ZERO).await.unwrap();
        for store in borrowed.stores().iter_mut().flatten() {
            assert!(!store.exists(0, shards.hasher().key(b"undone"), 1));
            assert_eq!(store.entries(), 1);
        }
    }
    assert_eq!(journal.batches(), [["key-0", "key-1"], ["key-0", "key-1"]]);
    tree.shutdown().await;
}

#[tokio::test]
async fn a_scope_that_is_kept_is_logged_behind_what_was_before() {
    let journal = Arc::new(Notebook::default());
    let (shards, tree) = shards(2, &journal).await;
    let mut borrowed = Borrowed::take(&shards, &every(&shards), Duration::ZERO).await.unwrap();
    write_everywhere(&shards, &mut borrowed);
    borrowed.open_scope(1);
    let store = borrowed.stores()[0].as_mut().unwrap();
    store.set(0, shards.hasher().key(b"kept"), b"v", Expiry::Never, 1).unwrap();
    borrowed.keep();
    borrowed.finish().await.unwrap();
    assert_eq!(journal.batches(), [["key-0", "key-1", "kept"]]);
    tree.shutdown().await;
}

#[tokio::test]
async fn what_was_not_collected_is_logged_by_the_shards() {
    let journal = Arc::new(Notebook::default());
    let (shards, tree) = shards(2, &journal).await;
    let mut borrowed = Borrowed::take(&shards, &every(&shards), Duration::ZERO).await.unwrap();
    write_everywhere(&shards, &mut borrowed);
    drop(borrowed);
    // Borrowing again waits until each shard has its store, and has logged what came with it.
    drop(Borrowed::take(&shards, &every(&shards), Duration::ZERO).await.unwrap());
    let mut keys: Vec<_> = journal.batches().into_iter().flatten().collect();
    keys.sort();
    assert_eq!(keys, ["key-0", "key-1"]);
    tree.shutdown().await;
}

#[tokio::test]
async fn coordinators_that_want_the_same_shards_take_turns() {
    let journal = Arc::new(Notebook::default());
    let (shards, tree) = shards(3, &journal).await;
    let shards = Arc::new(shards);
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let shards = Arc::clone(&shards);
            tokio::spawn(async move {
                let mut borrowed =
                    Borrowed::take(&shards, &every(&shards), Duration::ZERO).await.unwrap();
                write_everywhere(&shards, &mut borrowed);
                borrowed.collect();
                borrowed.finish().await.unwrap();
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(journal.batches().len(), 20);
    assert!(journal.batches().iter().all(|keys| keys.len() == 3));
    tree.shutdown().await;
}
