//! The thread around the writer.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use super::Writer;
use super::syncer::Syncer;
use super::turn::Desk;
use crate::clock::Clock;
use crate::failpoint::{self, Point};
use crate::journal::Release;
use crate::supervise::panic_text;
use crate::wal::fs::Filesystem;
use crate::wal::intake::{Intake, Turn};

const RUN: u8 = 0;
/// Write and sync everything, then end.
const DRAIN: u8 = 1;
/// End after the current step.
const LEAVE: u8 = 2;

/// What the thread is told.
#[derive(Debug)]
pub(in crate::wal) struct Orders<P: Release> {
    order: AtomicU8,
    intake: Intake<P>,
}

impl<P: Release> Orders<P> {
    pub(in crate::wal) fn new(intake: Intake<P>) -> Arc<Self> {
        Arc::new(Self { order: AtomicU8::new(RUN), intake })
    }

    /// Write and sync everything, then end.
    pub(in crate::wal) fn drain(&self) {
        self.order.fetch_max(DRAIN, Ordering::AcqRel);
        self.intake.poke();
    }

    /// End after the current step; a successor goes on.
    pub(in crate::wal) fn leave(&self) {
        self.order.fetch_max(LEAVE, Ordering::AcqRel);
        self.intake.poke();
    }
}

/// How the thread ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::wal) enum End {
    /// As ordered. `Err` says what could not be written or synced.
    Ordered(Result<(), String>),
    /// It could not find its place, or panicked.
    Failed(String),
}

/// Starts the writer's thread; `ended` is called on it at its very end, whatever that is.
pub(in crate::wal) fn spawn<F: Filesystem, P: Release>(
    fs: F,
    dir: PathBuf,
    clock: Clock,
    orders: Arc<Orders<P>>,
    ended: impl FnOnce(End) + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("wal-writer".into()).spawn(move || {
        let run = std::panic::AssertUnwindSafe(|| run(fs, dir, clock, &orders));
        ended(match std::panic::catch_unwind(run) {
            Ok(end) => end,
            Err(panic) => End::Failed(format!("the writer panicked: {}", panic_text(&*panic))),
        });
    })
}

fn run<F: Filesystem, P: Release>(fs: F, dir: PathBuf, clock: Clock, orders: &Orders<P>) -> End {
    let intake = &orders.intake;
    let _tenure = intake.tenure();
    // Replay may still cut off a torn end of the very file that is opened here.
    if !intake.wait_begun(|| orders.order.load(Ordering::Acquire) != RUN) {
        return End::Ordered(Ok(()));
    }
    let opened =
        Writer::open(fs.clone(), &dir, clock, intake.clone(), &mut intake.seat(), Instant::now());
    let desk = match opened {
        Ok(writer) => Arc::new(Desk::new(intake.clone(), writer)),
        Err(error) => return End::Failed(error.to_string()),
    };
    let mut syncer = match Syncer::spawn(fs, dir, intake.clone()) {
        Ok(syncer) => syncer,
        Err(error) => return End::Failed(format!("cannot start the sync thread: {error}")),
    };
    let _offer = Offer::new(intake, &desk);
    loop {
        let mut place = match desk.sit() {
            Ok(place) => place,
            Err(why) => return End::Failed(why),
        };
        // Only this thread takes it away, when it ends.
        let Some(writer) = &mut place.writer else { return End::Ordered(Ok(())) };
        failpoint::hit(Point::WriterStep);
        let mut flight = intake.seat();
        if let Some(outcome) = syncer.outcome() {
            writer.synced(outcome, Instant::now());
            if syncer.has_died() {
                return End::Failed("the sync thread has died".to_owned());
            }
        }
        let plan = writer.step(Instant::now(), &mut flight);
        if let Some(job) = plan.sync {
            syncer.start(job);
        }
        plan.forget.into_iter().for_each(|path| syncer.forget(path));
        let mut for_work = plan.for_work;
        match orders.order.load(Ordering::Acquire) {
            RUN => {}
            DRAIN if writer.idle(&flight) => {
                return End::Ordered(writer.finish(Instant::now(), &flight));
            }
            DRAIN => for_work &= intake.has_pending(),
            _ => return End::Ordered(Ok(())),
        }
        place.thread_looks_at = plan.until;
        drop((flight, place));
        intake.wait(plan.until, for_work);
    }
}

/// Turns are on offer while this lives; behind it nobody writes any more.
struct Offer<'a, F: Filesystem, P: Release> {
    intake: &'a Intake<P>,
    desk: &'a Desk<F, P>,
}

impl<'a, F: Filesystem, P: Release> Offer<'a, F, P> {
    fn new(intake: &'a Intake<P>, desk: &'a Arc<Desk<F, P>>) -> Self {
        intake.offer(Some(Arc::clone(desk) as Arc<dyn Turn>));
        Self { intake, desk }
    }
}

impl<F: Filesystem, P: Release> Drop for Offer<'_, F, P> {
    fn drop(&mut self) {
        self.intake.offer(None);
        self.desk.leave();
    }
}
