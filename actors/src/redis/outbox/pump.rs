//! Reads the log and sends what is in it, one transaction at a time; after any trouble it asks
//! Redis what it has, and goes on from there.

use std::sync::Arc;
use std::time::Duration;

use redis::Value;
use tokio::sync::watch;
use tracing::{info, warn};

use super::batch::Batch;
use super::gate::{OutboxState, add};
use super::lapsed::Lapsed;
use super::markers::{Markers, least};
use super::room::Room;
use super::start::{Start, Why, decide};
use super::who::Known;
use super::{OutboxArgs, acknowledge, marker};
use crate::clock::UnixMs;
use crate::journal::Lsn;
use crate::policy::Backoff;
use crate::redis::advice::advised;
use crate::wal::{Followed, Follower, Portion, RangeError, Reached};

/// Records that one transaction is made of: at first, and at most while much is waiting.
const RECORDS: (usize, usize) = (1024, 8192);
/// The same in bytes.
const BYTES: (usize, usize) = (256 << 10, 2 << 20);
/// The marker is sent alone when nothing else has moved it for this long, or this far.
const MARK_AFTER: Duration = Duration::from_secs(1);
const MARK_BEHIND: Lsn = 100_000;

/// What the pump has to do next.
#[derive(Debug)]
pub(super) enum Turn {
    /// Ask Redis where it is.
    Meet,
    /// Compare everything.
    Compare(Why),
}

/// What keeps the pump from going on.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Redis cannot be asked, or the log cannot be read.
    Away(String),
    /// Redis answers, and refuses.
    Refused(String),
    /// The marker is not what it was, or the connection: nothing was executed, and it is known as
    /// soon as Redis is asked again.
    Overtaken,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Pump {
    pub args: OutboxArgs,
    reached: watch::Receiver<Reached>,
    live: watch::Receiver<usize>,
    follower: Option<Follower>,
    /// Where the log ended when this process began, or when Redis was put behind it.
    pub begun: Lsn,
    /// Up to where this process has sent, whatever became of it.
    pub attempted: Option<Lsn>,
    /// What Redis' marker says.
    pub marked: Option<Lsn>,
    /// Somebody has taken it away since it said so.
    pub unmarked: bool,
    /// What the markers say that are there, if one of a Cluster is missing.
    pub others_have: Option<Lsn>,
    /// What it was last known to say, by this process.
    pub vouched: Lsn,
    /// Redis has answered a transaction in parts: it may have moved the marker and left out what
    /// stands before it. Up to here the marker is believed.
    pub believed: Option<Lsn>,
    /// Redis was away until then; `None`: it is.
    pub away_until_ms: Option<UnixMs>,
    portion: Portion,
    pub lapsed: Lapsed,
    pub failures: u32,
    /// The marker was not what it was, and nothing has got through since.
    pub overtaken: bool,
    /// The connection over which Redis was asked what it has.
    pub epoch: u64,
    /// It is one to a Cluster.
    pub cluster: bool,
    /// The connection that has outlived all others to the nodes of a Cluster.
    pub heir: u64,
    /// Who was met last.
    pub met: Known,
    /// Who was found to have everything up to the marker.
    pub followed: Option<Known>,
    /// Deletions that go ahead while Redis is full.
    pub room: Option<Room>,
    pub marker: String,
    pub markers: Markers,
}

impl Pump {
    pub fn new(args: OutboxArgs) -> Self {
        let (reached, live) = (args.tail.reached.clone(), args.pool.live());
        let marker = marker(&args.tail.log);
        args.gate.know_marker(&marker);
        // What an earlier process knew is as good: Redis says whether it is the same.
        let known = args.keeping.written().filter(|cursor| cursor.who.is_some());
        Self {
            args,
            reached,
            live,
            follower: None,
            begun: 0,
            attempted: None,
            marked: known.map(|cursor| cursor.lsn),
            unmarked: false,
            others_have: None,
            vouched: 0,
            believed: None,
            away_until_ms: None,
            portion: Portion { records: RECORDS.0, bytes: BYTES.0 },
            lapsed: Lapsed::default(),
            failures: 0,
            overtaken: false,
            epoch: 0,
            cluster: false,
            heir: 0,
            met: Known { epoch: 0, who: None },
            followed: known.map(|cursor| Known { epoch: 0, who: cursor.who }),
            room: None,
            marker,
            markers: Markers::default(),
        }
    }

    /// Pumps until the log cannot be read; returns why.
    pub async fn run(mut self) -> String {
        self.begun = match self.reached.wait_for(|reached| reached.begun.is_some()).await {
            Ok(reached) => reached.begun.unwrap_or_default().max(self.args.joined.lsn),
            Err(_) => return "the log is closed".to_owned(),
        };
        self.args.gate.heard().doubt_all();
        let mut turn = Turn::Meet;
        loop {
            if self.failures > 0 {
                self.pause().await;
            }
            let next = match turn {
                Turn::Meet => match self.meet().await {
                    Ok(Start::Behind(lsn)) => self.follow(lsn).await,
                    Ok(Start::Compare(why)) => Ok(Turn::Compare(why)),
                    Err(trouble) => Err(trouble),
                },
                Turn::Compare(why) => self.compare(why).await,
            };
            turn = match next {
                Ok(next) => next,
                Err(trouble) => {
                    self.fail(trouble);
                    Turn::Meet
                }
            };
        }
    }

    /// What nobody can go on from is said once, and tried again later.
    fn fail(&mut self, trouble: Trouble) {
        // Somebody has flushed Redis, say: writes do not wait for more than the next answer. Only
        // where it happens before anything has got through is there a pause.
        if matches!(trouble, Trouble::Overtaken)
            && self.failures == 0
            && !std::mem::replace(&mut self.overtaken, true)
        {
            return;
        }
        self.failures = self.failures.saturating_add(1);
        let state = match trouble {
            Trouble::Overtaken => return,
            Trouble::Away(why) => {
                self.room = None;
                OutboxState::Waiting(why.into())
            }
            Trouble::Refused(why) => OutboxState::Refused(advised(why).into()),
        };
        add(&self.args.gate.counts().failures, 1);
        self.away_until_ms = None;
        self.portion = Portion { records: RECORDS.0, bytes: BYTES.0 };
        self.say(state);
    }

    /// One line for each change, not one for each try.
    pub fn say(&self, state: OutboxState) {
        let (name, acknowledged) = (state.name(), self.args.gate.reached());
        let before = self.args.gate.state().name();
        self.args.gate.enter(state.clone());
        if name == before {
            return;
        }
        let last = self.args.tail.last();
        match state {
            OutboxState::Waiting(why) => warn!(
                path = "links/redis-outbox", event = name, acknowledged, last, %why,
                "writes do not reach Redis; they wait in the log"
            ),
            OutboxState::Refused(why) => warn!(
                path = "links/redis-outbox", event = name, acknowledged, last, %why,
                "Redis refuses writes; they wait in the log"
            ),
            OutboxState::Reconciling(why) => warn!(
                path = "links/redis-outbox", event = name, acknowledged, last, %why,
                "memory and Redis are compared key by key"
            ),
            _ => info!(
                path = "links/redis-outbox",
                event = name,
                acknowledged,
                last,
                "writes reach Redis"
            ),
        }
    }

    async fn pause(&mut self) {
        let backoff = Backoff::try_new(Duration::from_millis(50), 2.0, Duration::from_secs(2), 1.0);
        let wait = {
            let mut rng = rand::rng();
            backoff.unwrap_or_default().delay(self.failures.saturating_sub(1).min(10), &mut rng)
        };
        tokio::select! {
            _ = self.live.changed() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }

    /// Asks Redis what it has.
    async fn meet(&mut self) -> Result<Start, Trouble> {
        self.live.borrow_and_update();
        self.connected().await?;
        self.succeed().await?;
        self.args.gate.ask_anew();
        // One that somebody has written over says nothing, of whatever type it is.
        let said: Vec<Option<Lsn>> = match self.cluster {
            true => self.read_markers().await?,
            false => vec![self.watch_and_read().await?.as_ref().and_then(number)],
        };
        let marker = least(said.iter().copied());
        self.others_have = said.into_iter().flatten().min();
        let marker = marker.map(|marker| self.as_believed(marker));
        self.away_until_ms.get_or_insert_with(|| self.args.clock.unix_ms());
        let met = self.identify().await?;
        if let (None, Some(marked), Some(followed)) = (marker, self.marked, self.followed)
            && followed.is(met)
        {
            // The same server as before: it has lost nothing. Somebody has flushed it, or taken the
            // marker away, or it was evicted. Where one master's is missing, the others' are no less
            // true: none is written before all masters have what is before it.
            let marked =
                self.others_have.map_or(marked, |others| marked.max(self.as_believed(others)));
            // Before the first write there was none.
            if !std::mem::replace(&mut self.unmarked, true) && marked > 0 {
                info!(
                    path = "links/redis-outbox",
                    event = "marker_gone",
                    acknowledged = marked,
                    "somebody has flushed Redis, or its marker was deleted or evicted; Redis itself has \
                     lost nothing, and the marker is put back"
                );
            }
            return Ok(decide(Some(marked), self.begun, self.attempted));
        }
        (self.marked, self.unmarked) = (marker, false);
        Ok(decide(marker, self.begun, self.attempted))
    }

    /// How much of what a marker says is so.
    pub fn as_believed(&self, marker: Lsn) -> Lsn {
        match self.believed {
            Some(believed) if self.attempted >= Some(marker) => marker.min(believed),
            // One beyond what was sent says something else.
            _ => marker,
        }
    }

    /// Sends what is behind `from`, and what comes.
    async fn follow(&mut self, from: Lsn) -> Result<Turn, Trouble> {
        if from < self.vouched {
            warn!(
                path = "links/redis-outbox",
                event = "gone_back",
                acknowledged = self.vouched,
                from,
                "Redis has lost writes that it had acknowledged; they are sent again"
            );
        }
        // What Redis had once, it has again from there on.
        let had = self.args.gate.reached().max(from);
        (self.marked, self.followed, self.vouched) = (Some(from), Some(self.met), from);
        acknowledge(&self.args, from, self.met.who);
        let mut follower = match self.follower.take() {
            Some(follower) if follower.position() == from => follower,
            _ => Follower::new(&self.args.tail.data, from),
        };
        loop {
            if self.live.has_changed().unwrap_or(true) || self.args.gate.is_touched() {
                self.follower = Some(follower);
                return Ok(Turn::Meet);
            }
            if follower.position() >= had {
                self.args.gate.meet(self.epoch);
            }
            let settled = self.reached.borrow_and_update().settled;
            if follower.position() >= settled {
                if let Some(last) = Batch::of_leases(&mut self.lapsed) {
                    self.send(&last, follower.position()).await?;
                    continue;
                }
                if self.lapsed.end() {
                    return Ok(Turn::Compare(Why::Lapsed));
                }
                self.args.gate.in_step();
                (self.failures, self.overtaken) = (0, false);
                self.say(OutboxState::InStep);
                if let Err(trouble) = self.idle(follower.position()).await {
                    // It goes on from here, most likely: the segment is not read once more.
                    self.follower = Some(follower);
                    return Err(trouble);
                }
                continue;
            }
            let (portion, batch) = (self.portion, Batch::default());
            let (back, mut batch, read) =
                read(follower, settled, portion, batch, |batch, followed| {
                    batch.take(&followed.record, followed.expiry, followed.origin.wall_ms);
                })
                .await;
            follower = back;
            match read {
                Ok(()) => {}
                Err(RangeError::Gone { .. }) => return Ok(Turn::Compare(Why::Gone)),
                Err(why) => return Err(Trouble::Away(format!("the log cannot be read: {why}"))),
            }
            if batch.swapped() {
                return Ok(Turn::Compare(Why::Swapped));
            }
            batch.revive(&mut self.lapsed);
            self.pass(&batch, follower.position()).await?;
            self.widen(&batch, settled > follower.position());
        }
    }

    /// Nothing is to be sent: waits until something is, or Redis may be another one.
    async fn idle(&mut self, position: Lsn) -> Result<(), Trouble> {
        if self.unmarked {
            // Over the next connection it would look as if Redis had lost its data: everything would
            // be compared, and what was flushed on purpose written again.
            return self.send(&Batch::default(), position).await;
        }
        let gate = self.args.gate.clone();
        tokio::select! {
            moved = self.reached.changed() => {
                moved.map_err(|_| Trouble::Away("the log is closed".to_owned()))?;
            }
            _ = wait_changed(&mut self.live) => {}
            () = gate.marker_touched() => {}
            () = tokio::time::sleep(MARK_AFTER), if self.marked != Some(position) => {
                self.send(&Batch::default(), position).await?;
            }
        }
        Ok(())
    }

    /// Brings Redis a batch that ends with this LSN, if there is anything in it for Redis.
    async fn pass(&mut self, batch: &Batch, reached: Lsn) -> Result<(), Trouble> {
        if !batch.is_empty() || reached - self.marked.unwrap_or(0) > MARK_BEHIND {
            self.send(batch, reached).await?;
        }
        acknowledge(&self.args, reached, self.met.who);
        Ok(())
    }

    /// Larger transactions while much is waiting.
    fn widen(&mut self, batch: &Batch, more: bool) {
        let Portion { records, bytes } = self.portion;
        let full = more && (batch.records() as usize >= records || batch.bytes() >= bytes);
        self.portion = match full {
            true => {
                Portion { records: (records * 2).min(RECORDS.1), bytes: (bytes * 2).min(BYTES.1) }
            }
            false => self.portion,
        };
        // Replies do not wait for what has gathered before them.
        if full && self.portion.records == RECORDS.1 {
            self.say(OutboxState::CatchingUp);
        }
    }

    /// What is settled now.
    pub fn settled(&self) -> Lsn {
        self.reached.borrow().settled
    }
}

async fn wait_changed(live: &mut watch::Receiver<usize>) {
    // Left marked as changed: whoever waited looks at it.
    let _ = live.changed().await;
    live.mark_changed();
}

/// Reads where blocking is allowed, into what `take` makes of it.
pub(super) async fn read<T: Send + 'static>(
    mut follower: Follower,
    upto: Lsn,
    portion: Portion,
    mut into: T,
    take: fn(&mut T, &Followed<'_>),
) -> (Follower, T, Result<(), RangeError>) {
    let work = tokio::task::spawn_blocking(move || {
        let read = follower.read(upto, portion, |followed| take(&mut into, &followed));
        (follower, into, read)
    });
    match work.await {
        Ok(done) => done,
        // A panic is the actor's.
        Err(died) => match died.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime ends.
            Err(_) => std::future::pending().await,
        },
    }
}

/// A number in a string of Redis.
pub(super) fn number(value: &Value) -> Option<Lsn> {
    match value {
        Value::BulkString(text) => std::str::from_utf8(text).ok()?.parse().ok(),
        _ => None,
    }
}

/// Kept apart: the same words for the same reason.
pub(super) fn because(why: Why) -> Arc<str> {
    why.to_string().into()
}
