//! Takes snapshots of the whole cache while it is being used.
//!
//! [`Snapshotter`] runs one at a time, on a task of its own: it pulls bounded pieces from one
//! shard after the other, and pulls the next only when the last is on its way to the file. What
//! is in the file and why it is right is said in [`crate::wal`].
//!
//! It also sees to it that they are taken in time, and that log and snapshots do not grow for ever:
//! [`upkeep`] decides, [`disk`] performs.
//!
//! It owns nothing that lasts. When it restarts, the snapshot that was being taken is lost, and
//! those that are finished are not.

mod aside;
mod disk;
mod pace;
mod take;
mod troubles;
pub mod upkeep;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};
use tokio::task::AbortHandle;
use tracing::{error, info};

use self::disk::Work;
pub use self::troubles::Troubles;
use self::upkeep::{Effect, Event, Gauge, Now, Pressure, Upkeep, UpkeepSettings};
use crate::cache::{Job, Parked, ShardMsg};
use crate::clock::{Clock, UnixMs};
use crate::journal::Lsn;
use crate::supervise::{Failure, Handle, Label, Me, Worker};
use crate::wal::{Intake, Retention, Snapshots, Written};

/// Between two looks at whether something is due.
const BEAT: Duration = Duration::from_secs(1);

/// How the last snapshots went.
#[derive(Debug, Clone, Default)]
pub struct SnapshotStatus {
    /// When the one that is being taken was begun.
    pub since: Option<Instant>,
    /// The newest that there is, of this run or an earlier one.
    pub newest: Option<Newest>,
    /// How long the last that succeeded took.
    pub took: Option<Duration>,
    /// Why the last one failed; `None` if it did not.
    pub failure: Option<Arc<str>>,
    /// Snapshots taken since the start.
    pub taken: u64,
    /// Snapshots that failed since the start.
    pub failures: u64,
    /// What log and snapshots take on the disk, as last looked at.
    pub disk: DiskStatus,
}

/// Log and snapshots on the disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiskStatus {
    /// Bytes of the log.
    pub log_bytes: u64,
    /// Its segments.
    pub segments: u64,
    /// The LSN that it begins with; 0 before the first look.
    pub first_lsn: Lsn,
    /// When its oldest segment was begun.
    pub oldest_ms: UnixMs,
    /// Bytes of the snapshots.
    pub snapshot_bytes: u64,
    /// How many there are.
    pub snapshots: u64,
    /// Segments deleted since the start.
    pub deleted: u64,
    /// The log is larger than it may be.
    pub pressure: Option<Pressure>,
    /// Why the disk could not be looked at, or room not be made, the last time; `None` if it could.
    pub failure: Option<Arc<str>>,
}

/// The newest snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Newest {
    /// When it was begun.
    pub created_ms: UnixMs,
    /// It stands for the log up to here.
    pub end: Lsn,
    /// Entries in it.
    pub entries: u64,
    /// Length of its file.
    pub bytes: u64,
}

/// One is being taken already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a snapshot is being taken already")]
pub struct Busy;

/// What a snapshot came to: its file, or why there is none.
pub type Taken = Result<PathBuf, Arc<str>>;

/// What the snapshotter is told.
#[derive(Debug)]
pub enum SnapshotMsg {
    /// Take one. Answers when it is begun, with what to wait on for its end.
    Take(oneshot::Sender<Result<oneshot::Receiver<Taken>, Busy>>),
    /// The one that was being taken has ended. Only its task sends this.
    Ended(Result<Written, String>),
    /// Some time has passed.
    Beat,
    /// The disk was looked at, or room was made. Only their task sends this.
    Disk(Box<disk::Done>),
}

impl Label for SnapshotMsg {
    fn label(&self) -> &'static str {
        match self {
            Self::Take(_) => "take",
            Self::Ended(_) => "ended",
            Self::Beat => "beat",
            Self::Disk(_) => "disk",
        }
    }
}

/// What a start needs.
#[derive(Debug)]
pub struct SnapshotArgs<J: Job> {
    /// Whom to ask, in order.
    pub shards: Arc<[Handle<ShardMsg<J>>]>,
    /// Where to put it.
    pub snapshots: Snapshots,
    /// The log that every effect goes to.
    pub intake: Intake<Parked<J>>,
    /// Told how it goes.
    pub status: Arc<watch::Sender<SnapshotStatus>>,
    /// Told what is wrong, for everyone who asks how the daemon is.
    pub troubles: Arc<Troubles>,
    /// What it goes by now.
    pub settings: watch::Receiver<UpkeepSettings>,
    /// For ages of files.
    pub clock: Clock,
}

impl<J: Job> Clone for SnapshotArgs<J> {
    fn clone(&self) -> Self {
        Self {
            shards: Arc::clone(&self.shards),
            snapshots: self.snapshots.clone(),
            intake: self.intake.clone(),
            status: Arc::clone(&self.status),
            troubles: Arc::clone(&self.troubles),
            settings: self.settings.clone(),
            clock: self.clock.clone(),
        }
    }
}

/// The snapshot that is being taken; dropping it breaks that off.
#[derive(Debug)]
struct Running {
    task: AbortHandle,
    begun: Instant,
    waits: oneshot::Sender<Taken>,
}

/// The snapshotter's state.
#[derive(Debug)]
pub struct SnapshotState<J: Job> {
    args: SnapshotArgs<J>,
    running: Option<Running>,
    /// `None` until the log is read.
    upkeep: Option<Upkeep>,
    /// Away while the disk is being looked at.
    retention: Option<Retention>,
}

impl<J: Job> Drop for SnapshotState<J> {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.task.abort();
            self.args.status.send_modify(|status| status.since = None);
        }
    }
}

/// The snapshotter; `J` is the batch type of the shards.
#[derive(Debug)]
pub struct Snapshotter<J>(std::marker::PhantomData<fn(J)>);

impl<J> Default for Snapshotter<J> {
    fn default() -> Self {
        Self(std::marker::PhantomData)
    }
}

impl<J: Job> Worker for Snapshotter<J> {
    type Msg = SnapshotMsg;
    type Args = SnapshotArgs<J>;
    type State = SnapshotState<J>;

    async fn init(
        &self,
        _me: &Me<SnapshotMsg>,
        args: SnapshotArgs<J>,
    ) -> Result<SnapshotState<J>, Failure> {
        let retention = Some(args.snapshots.retention());
        args.status.send_modify(|status| status.disk.pressure = None);
        args.troubles.pressure(None);
        Ok(SnapshotState { args, running: None, upkeep: None, retention })
    }

    async fn started(
        &self,
        me: &Me<SnapshotMsg>,
        _state: &mut SnapshotState<J>,
    ) -> Result<(), Failure> {
        me.send_after(BEAT, SnapshotMsg::Beat);
        Ok(())
    }

    async fn handle(
        &self,
        me: &Me<SnapshotMsg>,
        msg: SnapshotMsg,
        state: &mut SnapshotState<J>,
    ) -> Result<(), Failure> {
        match msg {
            SnapshotMsg::Take(reply) => {
                // Who asked may have gone away; the snapshot is taken all the same.
                let _ = reply.send(state.begin(me));
            }
            SnapshotMsg::Ended(result) => state.ended(me, result),
            SnapshotMsg::Beat => {
                state.beat(me);
                me.send_after(BEAT, SnapshotMsg::Beat);
            }
            SnapshotMsg::Disk(done) => state.disk_done(me, *done),
        }
        Ok(())
    }
}

impl<J: Job> SnapshotState<J> {
    fn begin(&mut self, to: &Me<SnapshotMsg>) -> Result<oneshot::Receiver<Taken>, Busy> {
        if self.running.is_some() {
            return Err(Busy);
        }
        let (waits, outcome) = oneshot::channel();
        let (me, args) = (to.clone(), self.args.clone());
        let work = tokio::spawn(async move { take::take(&args).await.map_err(|e| e.to_string()) });
        let task = work.abort_handle();
        tokio::spawn(async move {
            let result = match work.await {
                Ok(result) => result,
                Err(panicked) => Err(format!("the task that took it ended: {panicked}")),
            };
            me.send(SnapshotMsg::Ended(result));
        });
        let begun = Instant::now();
        self.running = Some(Running { task, begun, waits });
        self.args.status.send_modify(|status| status.since = Some(begun));
        let event = Event::Begun(self.gauge());
        self.on(to, event);
        Ok(outcome)
    }

    fn now(&self) -> Now {
        Now { instant: Instant::now(), wall_ms: self.args.clock.unix_ms() }
    }

    fn gauge(&self) -> Gauge {
        let stats = self.args.intake.stats();
        let baseless = self.args.intake.base_wanted().is_some();
        Gauge { lsn: stats.lsn, bytes: stats.bytes, segment: stats.segment, baseless }
    }

    fn beat(&mut self, me: &Me<SnapshotMsg>) {
        if !self.args.intake.has_begun() {
            return;
        }
        let settings = *self.args.settings.borrow_and_update();
        let now = self.now();
        match &mut self.upkeep {
            Some(upkeep) => upkeep.configure(settings),
            None => {
                let newest = self.args.status.borrow().newest;
                let newest = newest.map(|newest| (newest.end, newest.created_ms));
                self.upkeep = Some(Upkeep::new(settings, newest, now));
            }
        }
        let event = Event::Beat(self.gauge());
        self.on(me, event);
    }

    /// Lets the machine take something in, and does what it says.
    fn on(&mut self, me: &Me<SnapshotMsg>, event: Event<'_>) {
        let now = self.now();
        let Some(upkeep) = &mut self.upkeep else { return };
        let effects = upkeep.on(event, now);
        self.perform(me, effects);
    }

    fn perform(&mut self, me: &Me<SnapshotMsg>, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Survey => self.on_disk(me, Work::Survey),
                Effect::Remove(removal) => self.on_disk(me, Work::Remove(removal)),
                Effect::Take => {
                    info!("a snapshot is due");
                    // Nobody waits for this one; one that runs already is as good.
                    let _ = self.begin(me);
                }
                Effect::Mark => self.args.intake.mark(),
                Effect::Pressed(pressure) => self.pressed(pressure),
            }
        }
    }

    fn ended(&mut self, me: &Me<SnapshotMsg>, result: Result<Written, String>) {
        let Some(running) = self.running.take() else { return };
        self.on(me, Event::Ended(result.as_ref().ok().map(|written| written.end)));
        let took = running.begun.elapsed();
        let outcome = match result {
            Ok(written) => {
                info!(
                    file = %written.path.display(),
                    entries = written.entries,
                    bytes = written.bytes,
                    begin = written.begin,
                    end = written.end,
                    took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
                    "snapshot taken"
                );
                let Written { end, entries, bytes, created_ms, .. } = written;
                self.args.status.send_modify(|status| {
                    status.newest = Some(Newest { created_ms, end, entries, bytes });
                    (status.since, status.took, status.failure) = (None, Some(took), None);
                    status.taken += 1;
                });
                self.args.troubles.snapshot(None);
                Ok(written.path)
            }
            Err(why) => {
                error!(
                    %why,
                    "the snapshot failed; the log and earlier snapshots are as good as before"
                );
                let why: Arc<str> = why.into();
                self.args.status.send_modify(|status| {
                    (status.since, status.failure) = (None, Some(Arc::clone(&why)));
                    status.failures += 1;
                });
                self.args.troubles.snapshot(Some(&why));
                Err(why)
            }
        };
        let _ = running.waits.send(outcome);
    }
}
