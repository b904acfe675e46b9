//! What the outbox tells the rest of the daemon: how far it is, and whoever waits for that.

use std::ops::RangeInclusive;
use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::heard::Heard;
use super::lag::{Lag, Mark, Notes};
use super::who::Who;
use crate::clock::UnixMs;
use crate::journal::Lsn;
use crate::redis::nodes::slot_of;

/// How far Redis is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Progress {
    /// Redis has everything up to here.
    acknowledged: Lsn,
    /// Who it is that has it; `None`: it is not known.
    who: Option<Who>,
    /// It can be waited for: Redis answers, and no more waits for it than is on its way.
    in_step: bool,
}

/// What the outbox is doing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum OutboxState {
    /// It has not spoken to Redis yet.
    #[default]
    Starting,
    /// It sends what comes.
    InStep,
    /// It sends what has gathered.
    CatchingUp,
    /// It compares memory and Redis, for this reason.
    Reconciling(Arc<str>),
    /// Redis cannot be asked, for this reason.
    Waiting(Arc<str>),
    /// Redis answers and takes nothing, for this reason.
    Refused(Arc<str>),
}

impl OutboxState {
    /// What [`OutboxState::name`] may be.
    pub const NAMES: [&'static str; 6] =
        ["starting", "in_step", "catching_up", "reconciling", "waiting", "refused"];

    /// As metrics and INFO call it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::InStep => "in_step",
            Self::CatchingUp => "catching_up",
            Self::Reconciling(_) => "reconciling",
            Self::Waiting(_) => "waiting",
            Self::Refused(_) => "refused",
        }
    }

    /// Why it does not send what comes.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Reconciling(why) | Self::Waiting(why) | Self::Refused(why) => Some(why),
            Self::Starting | Self::InStep | Self::CatchingUp => None,
        }
    }
}

/// What has been counted since the start, and how it stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutboxStats {
    /// What it is doing.
    pub state: OutboxState,
    /// Redis has everything up to here.
    pub acknowledged: Lsn,
    /// What is between that and the end of the log.
    pub lag: Lag,
    /// Changes that Redis has acknowledged.
    pub sent: u64,
    /// Records that a later one of the same key made needless.
    pub coalesced: u64,
    /// Transactions that were sent.
    pub batches: u64,
    /// Batches that failed and were sent again.
    pub failures: u64,
    /// Writes that lost against somebody else's.
    pub conflicts: u64,
    /// Replies that went out before Redis had the write, with `redis.write = "through"`.
    pub degraded: u64,
    /// Times that everything was compared.
    pub reconciles: u64,
    /// Keys that were written to Redis by that.
    pub reconciled_keys: u64,
}

/// The counters behind [`OutboxStats`].
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub sent: AtomicU64,
    pub coalesced: AtomicU64,
    pub batches: AtomicU64,
    pub failures: AtomicU64,
    pub conflicts: AtomicU64,
    pub degraded: AtomicU64,
    pub reconciles: AtomicU64,
    pub reconciled_keys: AtomicU64,
}

/// Adds to a counter.
pub(super) fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Relaxed);
}

/// How a wait for Redis ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Through {
    /// Redis has the write.
    Acknowledged,
    /// It does not have it yet; the write is in the log, and will be sent.
    Degraded,
}

/// Over which connection ([`Pool::epoch`](crate::redis::Pool::epoch)) Redis was found to have
/// everything that it ever acknowledged; 0: over none yet. Over a later one it may have lost some, and
/// so it may if it was emptied meanwhile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Met {
    /// The connection.
    pub epoch: u64,
    /// Slots of a Cluster that this says nothing of: their masters are away, or behind.
    lacking: Option<Arc<[RangeInclusive<u16>]>>,
}

impl Met {
    /// Whether it says something of this key.
    #[must_use]
    pub fn tells_of(&self, key: &[u8]) -> bool {
        self.lacking.as_ref().is_none_or(|lacking| {
            let slot = slot_of(key);
            !lacking.iter().any(|range| range.contains(&slot))
        })
    }
}

/// The outbox as seen from outside. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Gate {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    progress: watch::Sender<Progress>,
    through: AtomicBool,
    state: Mutex<OutboxState>,
    notes: Mutex<Notes>,
    heard: Mutex<Heard>,
    met: Mutex<Met>,
    marker: OnceLock<Box<[u8]>>,
    touched: AtomicBool,
    marker_touched: Notify,
    counts: Counts,
}

impl Gate {
    /// Whether replies wait for Redis.
    pub fn set_through(&self, through: bool) {
        self.inner.through.store(through, Relaxed);
    }

    /// Waits until Redis has the write with this LSN, no longer than `within`, and not at all
    /// where replies do not wait for Redis, or Redis is known not to keep up. Counts those that
    /// go out without.
    pub async fn wait(&self, lsn: Lsn, within: Duration) -> Through {
        if !self.inner.through.load(Relaxed) {
            return Through::Acknowledged;
        }
        let mut progress = self.inner.progress.subscribe();
        let done = |now: &Progress| now.acknowledged >= lsn || !now.in_step;
        let waited = progress.wait_for(done);
        let end = match tokio::time::timeout_at(Instant::now() + within, waited).await {
            Ok(Ok(now)) if now.acknowledged >= lsn => Through::Acknowledged,
            _ => Through::Degraded,
        };
        if end == Through::Degraded {
            add(&self.inner.counts.degraded, 1);
        }
        end
    }

    /// Waits until Redis has everything up to this LSN.
    pub(super) async fn acknowledged(&self, lsn: Lsn) {
        // The sender is in `self`: it never closes.
        let _ = self.inner.progress.subscribe().wait_for(|now| now.acknowledged >= lsn).await;
    }

    /// Redis, which is `who`, has everything up to this LSN.
    pub(super) fn acknowledge(&self, lsn: Lsn, who: Option<Who>) {
        self.inner.progress.send_if_modified(|now| {
            let moved = now.acknowledged != lsn;
            (now.acknowledged, now.who) = (lsn, who);
            moved
        });
    }

    /// Says what the outbox is doing; whether that is news.
    pub(super) fn enter(&self, state: OutboxState) -> bool {
        let in_step = state == OutboxState::InStep;
        self.inner.progress.send_if_modified(|now| {
            let moved = now.in_step != in_step;
            now.in_step = in_step;
            moved
        });
        let mut held = self.held();
        let news = *held != state;
        *held = state;
        news
    }

    /// When Redis was found to have everything.
    #[must_use]
    pub fn met(&self) -> Met {
        self.lock_met().clone()
    }

    fn lock_met(&self) -> MutexGuard<'_, Met> {
        // It is replaced whole.
        self.inner.met.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn meet(&self, epoch: u64) {
        self.meet_but(epoch, Vec::new());
    }

    /// Redis has everything, but for what lives in these slots.
    pub(super) fn meet_but(&self, epoch: u64, lacking: Vec<RangeInclusive<u16>>) {
        let lacking = (!lacking.is_empty()).then(|| lacking.into());
        *self.lock_met() = Met { epoch, lacking };
        // Either this sees what is heard at the same time, or that comes behind it.
        if self.is_touched() {
            *self.lock_met() = Met::default();
        }
    }

    /// The marker is asked for: what was heard before counts no more.
    pub(super) fn ask_anew(&self) {
        self.inner.touched.store(false, SeqCst);
    }

    /// Whether somebody else has touched the marker since it was asked for.
    pub(super) fn is_touched(&self) -> bool {
        self.inner.touched.load(SeqCst)
    }

    fn touch(&self) {
        self.inner.touched.store(true, SeqCst);
        self.inner.marker_touched.notify_one();
    }

    /// Somebody else has changed these keys in Redis at this time, Unix milliseconds.
    pub fn changed_elsewhere<'k>(&self, keys: impl Iterator<Item = &'k [u8]>, wall_ms: UnixMs) {
        let mut heard = self.heard();
        for key in keys {
            heard.note(key, wall_ms);
            // Those of a Cluster's masters begin with it.
            if self.inner.marker.get().is_some_and(|marker| key.starts_with(marker)) {
                self.touch();
            }
        }
    }

    /// Somebody has emptied Redis: the marker has gone, too. Or it was no longer a master, and now has
    /// what the new one has, which may lack some of our writes.
    pub fn flushed_elsewhere(&self) {
        self.touch();
        *self.lock_met() = Met::default();
    }

    /// The key by which Redis tells how far it is.
    pub(super) fn know_marker(&self, marker: &str) {
        // The same as before, if the outbox has begun anew.
        let _ = self.inner.marker.set(marker.as_bytes().into());
    }

    /// Waits until somebody else has touched the marker, or may have since the last call.
    pub(super) async fn marker_touched(&self) {
        self.inner.marker_touched.notified().await;
    }

    pub(super) fn heard(&self) -> MutexGuard<'_, Heard> {
        // A map is changed whole, or not at all.
        self.inner.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Redis has everything that is settled.
    pub(super) fn in_step(&self) {
        self.heard().clear();
    }

    pub(super) fn counts(&self) -> &Counts {
        &self.inner.counts
    }

    /// Up to where Redis has everything.
    #[must_use]
    pub fn reached(&self) -> Lsn {
        self.inner.progress.borrow().acknowledged
    }

    /// The same, and who has it.
    pub(super) fn acknowledged_by(&self) -> (Lsn, Option<Who>) {
        let now = self.inner.progress.borrow();
        (now.acknowledged, now.who)
    }

    fn held(&self) -> MutexGuard<'_, OutboxState> {
        // It is replaced whole.
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the outbox is doing.
    #[must_use]
    pub fn state(&self) -> OutboxState {
        self.held().clone()
    }

    pub(super) fn notes(&self) -> MutexGuard<'_, Notes> {
        // A panic in between costs a note.
        self.inner.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How it stands, with the log here now.
    #[must_use]
    pub fn stats(&self, now: Mark) -> OutboxStats {
        let counts = &self.inner.counts;
        let get = |counter: &AtomicU64| counter.load(Relaxed);
        let acknowledged = self.reached();
        OutboxStats {
            state: self.state(),
            acknowledged,
            lag: self.notes().lag(now, acknowledged),
            sent: get(&counts.sent),
            coalesced: get(&counts.coalesced),
            batches: get(&counts.batches),
            failures: get(&counts.failures),
            conflicts: get(&counts.conflicts),
            degraded: get(&counts.degraded),
            reconciles: get(&counts.reconciles),
            reconciled_keys: get(&counts.reconciled_keys),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_reply_waits_for_redis_no_longer_than_it_may() {
        let gate = Gate::default();
        gate.set_through(true);
        gate.enter(OutboxState::InStep);
        gate.acknowledge(5, None);
        assert_eq!(gate.wait(5, LONG).await, Through::Acknowledged);
        assert_eq!(gate.wait(6, Duration::from_millis(300)).await, Through::Degraded);
        let waits = tokio::spawn({
            let gate = gate.clone();
            async move { gate.wait(7, LONG).await }
        });
        tokio::task::yield_now().await;
        gate.acknowledge(7, None);
        assert_eq!(waits.await.ok(), Some(Through::Acknowledged));
        assert_eq!(gate.stats(Mark::default()).degraded, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_a_redis_that_is_away() {
        let gate = Gate::default();
        gate.set_through(true);
        gate.enter(OutboxState::InStep);
        let waits = tokio::spawn({
            let gate = gate.clone();
            async move { gate.wait(1, LONG).await }
        });
        tokio::task::yield_now().await;
        assert!(gate.enter(OutboxState::Waiting("gone".into())));
        assert!(!gate.enter(OutboxState::Waiting("gone".into())), "no news");
        let begun = Instant::now();
        assert_eq!(waits.await.ok(), Some(Through::Degraded));
        assert_eq!(gate.wait(2, LONG).await, Through::Degraded);
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    #[test]
    fn one_that_was_emptied_has_to_be_met_anew() {
        let gate = Gate::default();
        gate.meet(7);
        assert_eq!(gate.met().epoch, 7);
        gate.flushed_elsewhere();
        assert_eq!(gate.met().epoch, 0);
        gate.meet(7);
        assert_eq!(gate.met().epoch, 0, "it was not asked since");
        gate.ask_anew();
        gate.meet(7);
        assert_eq!(gate.met().epoch, 7);
    }

    #[test]
    fn a_part_of_a_cluster_tells_of_its_own_keys() {
        let (gate, slot) = (Gate::default(), slot_of(b"a"));
        gate.meet(7);
        assert!(gate.met().tells_of(b"a"));
        gate.meet_but(8, vec![0..=0, slot..=slot]);
        let met = gate.met();
        assert_eq!((met.epoch, met.tells_of(b"a"), met.tells_of(b"b")), (8, false, true));
        gate.flushed_elsewhere();
        assert_eq!(gate.met(), Met::default());
    }

    #[tokio::test]
    async fn behind_waits_for_nothing_and_counts_nothing() {
        let gate = Gate::default();
        assert_eq!(gate.wait(9, LONG).await, Through::Acknowledged);
        assert_eq!(gate.stats(Mark::default()).degraded, 0);
    }
}
