//! The write side of the tier: follows the log and brings Redis what is in it.
//!
//! ```text
//!   log ──▶ Follower ──▶ Batch ──▶ Transaction ──▶ Redis: MULTI, changes, marker, EXEC
//!            (files)     (one a key)                  │
//!   replies that wait ◀── Gate ◀── acknowledged LSN ◀─┘
//! ```
//!
//! The actor owns the task that pumps, and keeps house: the cursor on disk, the hold on the log,
//! the drain at the end. When it restarts nothing is lost: the marker in Redis says what Redis has.
//!
//! | module | owns |
//! |---|---|
//! | `batch` | records in, one change a key out; pure |
//! | `heard` | what others changed meanwhile; pure |
//! | `lapsed` | values that expired on their way; pure |
//! | `markers` | what the masters of a Cluster say that they have |
//! | `send` | the commands of a transaction, what its answers mean; pure |
//! | `fence` | what makes a transaction never come late; pure |
//! | `start` | where to go on; pure |
//! | `who` | whether it is the Redis that was followed before |
//! | `lag` | how far Redis lags behind; pure |
//! | `plight` | when that is worth telling; pure |
//! | `deletions` | what a part of the log leaves deleted; pure |
//! | `cursor`, `debts` | the files |
//! | `keeping` | what is needed of the log, and what was let go of it |
//! | `gate` | who waits, what is counted |
//! | `pump` | reads, and begins anew |
//! | `deliver` | sends |
//! | `room` | what goes ahead while Redis is full |
//! | `reconcile` | memory and Redis compared |

mod batch;
mod cursor;
mod debts;
mod deletions;
mod deliver;
mod fence;
mod gate;
mod heard;
mod keeping;
mod lag;
mod lapsed;
mod markers;
mod plight;
mod pump;
mod reconcile;
mod room;
mod sealed;
mod send;
mod start;
mod who;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use self::cursor::Cursor;
pub use self::gate::{Gate, Met, OutboxState, OutboxStats, Through};
pub use self::keeping::{Keeping, WHO};
pub use self::lag::{Lag, Mark};
pub use self::plight::WAITING;
use self::pump::Pump;
pub use self::reconcile::{Held, Memory, Piece, Place};
use self::who::Who;
use super::near::Near;
use super::pool::Pool;
use crate::clock::Clock;
use crate::journal::Lsn;
use crate::supervise::{Condition, Conditions, Failure, Label, Me, Worker};
use crate::wal::Tail;

/// Between two looks at cursor and log.
const HOUSEKEEPING: Duration = Duration::from_secs(1);
/// The cursor is written down at most so often.
const CURSOR_EVERY: Duration = Duration::from_secs(5);
/// Where it stands in the tree.
const PATH: &str = "links/redis-outbox";

/// Who wins when somebody else wrote to Redis meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Conflict {
    /// What was written here, always.
    #[default]
    Local,
    /// What was written last, as far as that is known.
    Newest,
    /// What is in Redis.
    Redis,
}

/// What changes live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxSettings {
    /// Replies wait until Redis has the write.
    pub through: bool,
    /// Who wins.
    pub conflict: Conflict,
    /// How long a stop waits until Redis has everything.
    pub drain: Duration,
}

/// What a start needs. Cheap to clone.
#[derive(Clone)]
pub struct OutboxArgs {
    /// The links.
    pub pool: Pool,
    /// The log.
    pub tail: Tail,
    /// Who waits.
    pub gate: Gate,
    /// What outlives it.
    pub keeping: Arc<Keeping>,
    /// What the cache holds.
    pub memory: Arc<dyn Memory>,
    /// Who is told what Redis has.
    pub near: Arc<dyn Near>,
    /// What it goes by now.
    pub settings: watch::Receiver<OutboxSettings>,
    /// Whether the log has grown beyond what it may, because the outbox needs it.
    pub pressed: Arc<dyn Fn() -> bool + Send + Sync>,
    /// Who is told when writes wait for too long.
    pub conditions: Conditions,
    /// How far the log was when Redis was put behind it, if that was later than the start of this
    /// process: what was logged before says nothing about another Redis' keys.
    pub joined: Mark,
    /// Wall time.
    pub clock: Clock,
}

impl std::fmt::Debug for OutboxArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OutboxArgs").field("tail", &self.tail).finish_non_exhaustive()
    }
}

/// What the outbox is told. Only it and its task send.
#[derive(Debug)]
pub enum OutboxMsg {
    /// Keep house.
    Tick,
    /// The task that pumps has ended by itself.
    Ended(String),
}

impl Label for OutboxMsg {
    fn label(&self) -> &'static str {
        match self {
            Self::Tick => "tick",
            Self::Ended(_) => "ended",
        }
    }
}

/// See the module.
#[derive(Debug, Clone, Copy, Default)]
pub struct Outbox;

/// What it owns. Dropped with the actor, which ends the task.
#[derive(Debug)]
pub struct OutboxOwn {
    args: OutboxArgs,
    waiting: Condition,
    pump: Option<JoinHandle<()>>,
    written_at: Option<std::time::Instant>,
}

impl Drop for OutboxOwn {
    fn drop(&mut self) {
        if let Some(pump) = &self.pump {
            pump.abort();
        }
    }
}

impl Worker for Outbox {
    type Msg = OutboxMsg;
    type Args = OutboxArgs;
    type State = OutboxOwn;

    async fn init(&self, _me: &Me<OutboxMsg>, args: OutboxArgs) -> Result<OutboxOwn, Failure> {
        let waiting = args.conditions.declare(PATH, WAITING);
        Ok(OutboxOwn { args, waiting, pump: None, written_at: None })
    }

    async fn started(&self, me: &Me<OutboxMsg>, state: &mut OutboxOwn) -> Result<(), Failure> {
        let (me, pump) = (me.clone(), Pump::new(state.args.clone()));
        me.send_after(HOUSEKEEPING, OutboxMsg::Tick);
        let work = tokio::spawn(pump.run());
        let abort = work.abort_handle();
        // It ends with the pump, whichever way that ends.
        state.pump = Some(tokio::spawn(async move {
            let _aborts = Aborts(abort);
            let why = match work.await {
                Ok(error) => error,
                Err(died) => format!("the task that sends ended early: {died}"),
            };
            me.send(OutboxMsg::Ended(why));
        }));
        Ok(())
    }

    async fn handle(
        &self,
        me: &Me<OutboxMsg>,
        msg: OutboxMsg,
        state: &mut OutboxOwn,
    ) -> Result<(), Failure> {
        match msg {
            OutboxMsg::Tick => {
                state.keep_house(me).await;
                me.send_after(HOUSEKEEPING, OutboxMsg::Tick);
                Ok(())
            }
            OutboxMsg::Ended(why) => Err(Failure::new(why)),
        }
    }

    /// Brings Redis what it lacks, for as long as that may take.
    async fn stopped(&self, _me: &Me<OutboxMsg>, state: &mut OutboxOwn) -> Result<(), Failure> {
        let OutboxArgs { tail, gate, settings, .. } = &state.args;
        let (last, within) = (tail.last(), settings.borrow().drain);
        let reached = tokio::time::timeout(within, gate.acknowledged(last)).await;
        if let Some(pump) = state.pump.take() {
            pump.abort();
        }
        let acknowledged = gate.reached();
        if reached.is_ok() {
            info!(lsn = acknowledged, "Redis has everything");
        } else {
            warn!(
                acknowledged,
                last,
                ?within,
                "Redis does not have everything yet (redis.drain): what is missing is in the log, \
                 and is sent when Seawall is connected to it again"
            );
        }
        state.write_down().await;
        Ok(())
    }
}

/// Aborts a task when dropped.
struct Aborts(tokio::task::AbortHandle);

impl Drop for Aborts {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl OutboxOwn {
    async fn keep_house(&mut self, me: &Me<OutboxMsg>) {
        self.look_how_far().await;
        if self.args.keeping.holds() && (self.args.pressed)() {
            self.give_room(me).await;
        }
        if self.written_at.is_none_or(|at| at.elapsed() >= CURSOR_EVERY) {
            self.write_down().await;
        }
    }

    /// Lets the log be deleted, and keeps in short what nothing else tells: its deletions.
    async fn give_room(&self, me: &Me<OutboxMsg>) {
        let OutboxArgs { tail, gate, keeping, .. } = &self.args;
        let (reached, upto) = (gate.reached(), tail.reached.borrow().settled);
        let before = keeping.debts();
        if before.as_ref().is_some_and(|debts| debts.upto >= upto) {
            return;
        }
        let mut condensing = keeping.condense(tail, reached);
        let kept = loop {
            let stepped = tokio::task::spawn_blocking(move || {
                let done = condensing.step(upto);
                (condensing, done)
            });
            let Ok((stepped, done)) = stepped.await else { return };
            condensing = stepped;
            me.progress();
            match done {
                Ok(false) => {}
                Err(why) => break Err(why),
                Ok(true) => {
                    let keeping = Arc::clone(keeping);
                    let owed = tokio::task::spawn_blocking(move || keeping.owe(condensing));
                    let Ok(owed) = owed.await else { return };
                    break owed;
                }
            }
        };
        let told = "the log has reached wal.max_size with writes that Redis does not have: it is no \
                    longer kept for Redis; if they are deleted, everything is compared when Redis is back";
        match kept {
            // It was said.
            Ok(_) if before.is_some() => {}
            Ok(debts) => warn!(
                acknowledged = reached,
                upto = debts.upto,
                deletions = debts.gone.len(),
                "{told}. What was deleted meanwhile is kept"
            ),
            Err(why) => {
                keeping.let_go();
                warn!(
                    acknowledged = reached,
                    %why,
                    "{told}. What was deleted meanwhile may stay in Redis"
                );
            }
        }
    }

    /// Notes how far the log is, and tells if Redis is too far behind.
    async fn look_how_far(&self) {
        let OutboxArgs { tail, gate, keeping, clock, joined, .. } = &self.args;
        let Some(begun) = tail.reached.borrow().begun else { return };
        let begun = begun.max(joined.lsn);
        let measured = if keeping.is_measured() {
            None
        } else {
            let (keeping, of) = (Arc::clone(keeping), tail.clone());
            let measures = tokio::task::spawn_blocking(move || keeping.measure(&of, begun));
            Some(measures.await.ok().flatten())
        };
        let now = Mark { lsn: tail.last(), bytes: tail.written(), wall_ms: clock.unix_ms() };
        let state = gate.state();
        let lag = {
            let mut notes = gate.notes();
            if let Some(found) = measured {
                // Without a cursor nothing was waiting when this process began.
                let nothing = (Cursor { lsn: begun, wall_ms: now.wall_ms, who: None }, 0);
                let (Cursor { lsn, wall_ms, .. }, bytes) = found.unwrap_or(nothing);
                let begun = Mark { lsn: begun, bytes, wall_ms: now.wall_ms };
                notes.begin(Mark { lsn, bytes: 0, wall_ms }, begun, joined.bytes);
            }
            notes.note(now, gate.reached());
            notes.lag(now, gate.reached())
        };
        match plight::reason(&state, &lag, now.wall_ms) {
            Some(reason) => self.waiting.set(&reason),
            None => self.waiting.clear(),
        }
    }

    async fn write_down(&mut self) {
        let OutboxArgs { gate, keeping, clock, .. } = &self.args;
        let (lsn, who) = gate.acknowledged_by();
        let is_this = |written: Cursor| (written.lsn, written.who) == (lsn, who);
        if lsn == 0 || keeping.written().is_some_and(is_this) {
            return;
        }
        self.written_at = Some(std::time::Instant::now());
        let cursor = Cursor { lsn, wall_ms: clock.unix_ms(), who };
        let keeping = Arc::clone(keeping);
        let written = tokio::task::spawn_blocking(move || keeping.advance(cursor)).await;
        if let Ok(Err(why)) = written {
            error!(%why, "the outbox's cursor cannot be written; more of the log is kept");
        }
    }
}

/// The key in Redis that says up to where it has this log.
fn marker(log: &str) -> String {
    format!("seawall:outbox:{log}")
}

/// Tells whoever keeps the cache that Redis, which is `who`, has everything up to here.
fn acknowledge(args: &OutboxArgs, lsn: Lsn, who: Option<Who>) {
    args.gate.acknowledge(lsn, who);
    args.near.acknowledged(lsn);
}
