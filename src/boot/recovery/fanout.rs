//! Several threads that apply records, each to the stores of some shards.
//!
//! ```text
//!   reader: decode, hash ──batches──▶ thread 0: shards 0..2
//!                        └─batches──▶ thread 1: shards 2..4
//!             ▲─────emptied batches────┘
//! ```
//!
//! A thread gets its records in the order of the log; records of different shards do not depend
//! on each other. One without a key goes to every thread. What lies between is bounded by
//! [`BATCHES`] per thread. One thread would only be a detour: then the reader applies by itself.

use std::ops::Range;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use seawall_actors::cache::store::Store;
use seawall_actors::journal::{Record, RecordBatch, Records};

use super::poison::{Crashed, Place};
use super::routed::{Plan, Routed};

/// Batches on their way to one thread.
const BATCHES: usize = 4;
/// A batch is sent when it holds this many bytes of records.
const BATCH_BYTES: usize = if cfg!(test) { 200 } else { 128 << 10 };

/// Where records are applied.
pub(super) enum Target {
    Here(Box<Routed>),
    Threads(Vec<Lane>),
}

/// What a thread is told.
enum Order {
    Apply(Batch),
    /// Put the limits in force.
    Limit,
}

/// Records for one thread, with what the reader knows of each.
#[derive(Default)]
struct Batch {
    records: RecordBatch,
    known: Vec<(Place, u64)>,
}

/// One thread, as the reader sees it.
pub(super) struct Lane {
    /// What its stores are filled with.
    plan: Plan,
    filling: Batch,
    orders: SyncSender<Order>,
    emptied: Receiver<Batch>,
    thread: JoinHandle<Routed>,
}

impl Target {
    /// Stores whose limits are in force.
    pub(super) fn limited(plan: &Plan, threads: usize, crashed: &Crashed) -> Self {
        Self::start(plan, threads, |plan| Routed::new(plan, Crashed::clone(crashed)))
    }

    /// Stores that hold whatever is put into them, until [`Target::limit`].
    pub(super) fn unlimited(plan: &Plan, threads: usize, crashed: &Crashed) -> Self {
        Self::start(plan, threads, |plan| Routed::unlimited(plan, Crashed::clone(crashed)))
    }

    fn start(plan: &Plan, threads: usize, make: impl Fn(Plan) -> Routed) -> Self {
        let stores = plan.configs.len();
        let threads = threads.min(stores);
        if threads > 1 {
            let share = |n: usize| n * stores / threads;
            let lanes: std::io::Result<Vec<Lane>> =
                (0..threads).map(|n| Lane::start(plan, share(n)..share(n + 1), &make)).collect();
            // Without a thread to be had it goes on with those there are: this one.
            if let Ok(lanes) = lanes {
                return Self::Threads(lanes);
            }
        }
        Self::Here(Box::new(make(plan.clone())))
    }

    /// Applies a record, sooner or later.
    pub(super) fn apply(&mut self, place: Place, record: &Record<'_>) {
        match self {
            Self::Here(routed) => routed.apply(place, record),
            Self::Threads(lanes) => Self::send(lanes, place, record),
        }
    }

    fn send(lanes: &mut [Lane], place: Place, record: &Record<'_>) {
        let Some((_, key)) = record.entry() else {
            lanes.iter_mut().for_each(|lane| lane.push(place, record, 0));
            return;
        };
        let Some(hasher) = lanes.first().map(|lane| lane.plan.hasher) else { return };
        let hash = hasher.hash(key);
        if let Some(lane) = lanes.iter_mut().find(|lane| lane.plan.index_of(hash).is_some()) {
            lane.push(place, record, hash);
        }
    }

    /// Puts the limits in force for what comes next.
    pub(super) fn limit(&mut self) {
        match self {
            Self::Here(routed) => routed.limit(),
            Self::Threads(lanes) => lanes.iter_mut().for_each(|lane| {
                lane.flush();
                lane.order(Order::Limit);
            }),
        }
    }

    /// The stores, in the order of their shards, when everything is applied.
    pub(super) fn finish(self) -> Vec<Store> {
        match self {
            Self::Here(routed) => routed.into_stores(),
            Self::Threads(mut lanes) => {
                lanes.iter_mut().for_each(Lane::flush);
                let ending: Vec<_> = lanes.into_iter().map(Lane::hang_up).collect();
                ending.into_iter().flat_map(|thread| joined(thread).into_stores()).collect()
            }
        }
    }
}

impl Lane {
    fn start(
        plan: &Plan,
        stores: Range<usize>,
        make: &impl Fn(Plan) -> Routed,
    ) -> std::io::Result<Self> {
        let configs = plan.configs.get(stores.clone()).unwrap_or_default().to_vec();
        let plan = Plan { first: plan.first + stores.start, configs, ..plan.clone() };
        let routed = make(plan.clone());
        let (orders, todo) = sync_channel(BATCHES);
        let (give_back, emptied) = sync_channel(BATCHES + 1);
        let thread = std::thread::Builder::new()
            .name(format!("load-{}", plan.first))
            .spawn(move || work(routed, &todo, &give_back))?;
        Ok(Self { plan, filling: Batch::default(), orders, emptied, thread })
    }

    fn push(&mut self, place: Place, record: &Record<'_>, hash: u64) {
        self.filling.records.push(record);
        self.filling.known.push((place, hash));
        if self.filling.records.as_bytes().len() >= BATCH_BYTES {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if !self.filling.known.is_empty() {
            // Only as many are made as are on their way at a time.
            let next = self.emptied.try_recv().unwrap_or_default();
            let full = std::mem::replace(&mut self.filling, next);
            self.order(Order::Apply(full));
        }
    }

    fn order(&self, order: Order) {
        // A thread that has died, of no record, is found when it is joined.
        let _ = self.orders.send(order);
    }

    /// Lets the thread end when it has worked off what it was sent.
    fn hang_up(self) -> JoinHandle<Routed> {
        self.thread
    }
}

/// The thread: applies what it is sent until nothing more can come.
fn work(mut routed: Routed, todo: &Receiver<Order>, give_back: &SyncSender<Batch>) -> Routed {
    while let Ok(order) = todo.recv() {
        match order {
            Order::Limit => routed.limit(),
            Order::Apply(mut batch) => {
                let records = Records::new(batch.records.as_bytes());
                for (record, (place, hash)) in records.zip(&batch.known) {
                    // The reader has encoded it just now.
                    let Ok(record) = record else { continue };
                    routed.apply_hashed(*place, &record, *hash);
                }
                batch.records.clear();
                batch.known.clear();
                // The reader may have gone.
                let _ = give_back.try_send(batch);
            }
        }
    }
    routed
}

fn joined(thread: JoinHandle<Routed>) -> Routed {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

#[cfg(test)]
mod tests;
