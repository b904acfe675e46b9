//! A stage of a round: consecutive commands that each live on one shard.
//!
//! They go out as one job per shard and come back in any order; replies are put in the order of
//! the commands. Everything else (sessions, several shards, transactions) ends the stage first.

use std::sync::Arc;

use seawall_actors::cache::store::TIERED;
use seawall_actors::cache::{Outcome, ShardMsg};
use seawall_actors::failpoint::{self, Point};
use seawall_actors::journal::Author;
use seawall_actors::supervise::NotExecuted;
use tokio::sync::oneshot;
use tokio::time::{Duration, Instant};

use super::passage::Passing;
use crate::daemon::Daemon;
use crate::resp::coordinator::{loading, shard_down};
use crate::resp::refusal::Refusal;
use crate::resp::reply::{Proto, Reply};
use crate::resp::round::{DataJob, Failure, Input, ShardJob, View, answer};
use crate::tier::Tier;
use crate::tracking::Reader;

/// How long a command waits for its shard to be restarted.
const SHARD_BACK_WITHIN: Duration = Duration::from_secs(2);

/// Who answers a command of the stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    /// The shard, with the index of the request.
    Shard(u16, u32),
    /// Answered already, with the text up to this offset of `local`.
    Local(u32),
}

/// One shard's part of the stage.
#[derive(Debug, Default)]
struct Lane {
    /// `None` while the shard has it.
    job: Option<ShardJob>,
    answer: Option<oneshot::Receiver<Outcome<ShardJob>>>,
    /// Replies passed on since the job last came back.
    passed: usize,
    /// Why the rest of this lane has no replies.
    broken: Option<Refusal>,
}

impl Lane {
    /// Whether the stage has nothing for this shard.
    fn is_empty(&self) -> bool {
        self.broken.is_none() && self.job.as_ref().is_none_or(|job| job.is_empty())
    }

    /// Whether commands of the stage were not executed yet.
    fn has_more(&self) -> bool {
        self.job.as_ref().is_some_and(|job| !job.is_done())
    }
}

/// The stage being built or run; its buffers live as long as the connection.
#[derive(Debug)]
pub struct Pipeline {
    lanes: Vec<Lane>,
    slots: Vec<Slot>,
    local: Vec<u8>,
    /// Until when the stage waits for shards that are being rebuilt, once it has met one.
    until: Option<Instant>,
    /// How long the commands that run now have waited for what the tier holds.
    asking: Duration,
    failures: Vec<Failure>,
    /// Whose commands they are.
    author: Arc<Author>,
    /// Remembers what they read, if somebody wants that.
    reader: Option<Reader>,
}

impl Pipeline {
    pub fn new(shards: usize, author: Arc<Author>) -> Self {
        Self {
            lanes: (0..shards).map(|_| Lane::default()).collect(),
            slots: Vec::new(),
            local: Vec::new(),
            until: None,
            asking: Duration::ZERO,
            failures: Vec::new(),
            author,
            reader: None,
        }
    }

    /// Says whether reads are remembered from here on. Between two stages only.
    pub fn read_for(&mut self, reader: Option<Reader>) {
        self.reader = reader;
    }

    /// Whether the stage has no command.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Adds a command that lives on `shard`.
    pub fn send_to(&mut self, shard: usize, request: usize, input: &Arc<Input>, view: &View) {
        let Some(lane) = self.lanes.get_mut(shard) else { return };
        let job = lane.job.get_or_insert_default();
        if job.is_empty() {
            job.prepare(input, view, &self.author, self.reader.as_ref());
        }
        job.pick(request);
        // At most 256 shards; a round is bounded far below 2^32 requests.
        let shard = u16::try_from(shard).unwrap_or(u16::MAX);
        self.slots.push(Slot::Shard(shard, u32::try_from(request).unwrap_or(u32::MAX)));
    }

    /// Adds a command that is answered with an error here and now.
    pub fn refuse(&mut self, refusal: &Refusal, proto: Proto) {
        answer(refusal, &mut Reply::new(&mut self.local, proto));
        self.slots.push(Slot::Local(u32::try_from(self.local.len()).unwrap_or(u32::MAX)));
    }

    /// Errors that shards answered, or that stand for a shard's answer, since the last call.
    pub fn take_failures(&mut self) -> std::vec::Drain<'_, Failure> {
        self.failures.drain(..)
    }

    /// Runs the stage and appends its replies to `out`, in command order. At most `most` bytes
    /// are appended at once: then `true` is returned, and the stage has to be run further.
    pub async fn run(
        &mut self,
        daemon: &Daemon,
        proto: Proto,
        out: &mut Vec<u8>,
        from: &mut StageCursor,
        bounds: StageBounds,
    ) -> bool {
        let StageBounds { most, recovery_wait } = bounds;
        if from.next == 0 {
            for shard in 0..self.lanes.len() {
                self.dispatch(daemon, shard).await;
            }
            failpoint::hit(Point::ConnectionSent);
            for shard in 0..self.lanes.len() {
                self.collect(daemon, shard, recovery_wait).await;
            }
            self.ask(daemon, recovery_wait).await;
            self.through(daemon).await;
            if let Some(lane) = self.only_lane() {
                out.extend_from_slice(lane.job.as_deref().map_or(&[][..], DataJob::out));
                self.finish();
                return false;
            }
        }
        let start = out.len();
        while let Some(slot) = self.slots.get(from.next).copied() {
            match slot {
                Slot::Local(end) => {
                    let text = self.local.get(from.local..end as usize).unwrap_or_default();
                    out.extend_from_slice(text);
                    from.local = end as usize;
                }
                Slot::Shard(shard, request) => {
                    let shard = usize::from(shard);
                    if !self.pass_on(shard, request, proto, out) {
                        // The job stopped early because its replies had grown large.
                        if out.len() - start > most {
                            return true;
                        }
                        let passing =
                            Passing { daemon, db: TIERED, proto, recovery_wait, most: 2 * most };
                        if self.pass_foreign(&passing, shard, out).await {
                            from.next += 1;
                            continue;
                        }
                        if let Some(job) = self.lanes.get_mut(shard).and_then(|l| l.job.as_mut()) {
                            job.reset_replies();
                        }
                        self.dispatch(daemon, shard).await;
                        self.collect(daemon, shard, recovery_wait).await;
                        self.ask(daemon, recovery_wait).await;
                        self.through(daemon).await;
                        continue;
                    }
                }
            }
            from.next += 1;
        }
        self.finish();
        false
    }

    /// The one lane that answers everything, whole: its replies need no sorting.
    fn only_lane(&self) -> Option<&Lane> {
        let mut used = self.lanes.iter().filter(|lane| !lane.is_empty());
        let lane = used.next()?;
        let alone = used.next().is_none() && self.local.is_empty();
        (alone && lane.broken.is_none() && !lane.has_more()).then_some(lane)
    }

    /// Appends the next reply of a lane; `false` if the lane has to be run further first.
    fn pass_on(&mut self, shard: usize, request: u32, proto: Proto, out: &mut Vec<u8>) -> bool {
        let Some(lane) = self.lanes.get_mut(shard) else { return true };
        if let Some(reply) = lane.job.as_ref().and_then(|job| job.reply(lane.passed)) {
            out.extend_from_slice(reply);
            lane.passed += 1;
            return true;
        }
        match &lane.broken {
            Some(refusal) => {
                let code = answer(refusal, &mut Reply::new(out, proto));
                self.failures.push(Failure { request, code });
                true
            }
            None => false,
        }
    }

    /// Has Redis run the next request of a lane, if that is what the lane waits for.
    async fn pass_foreign(
        &mut self,
        passing: &Passing<'_>,
        shard: usize,
        out: &mut Vec<u8>,
    ) -> bool {
        let job = self.lanes.get_mut(shard).and_then(|lane| lane.job.as_mut());
        let Some((input, number)) = job.and_then(|job| job.stuck_at()) else { return false };
        let request = input.requests.get(number as usize);
        let Some((request, command)) = request.and_then(|r| Some((r, r.command?))) else {
            return false;
        };
        let mut reply = Reply::new(out, passing.proto);
        let (item, asking) = ((command, input.args(request)), std::mem::take(&mut self.asking));
        if let Err(refusal) = passing.one(item, asking, &mut reply).await {
            let code = answer(&refusal, &mut reply);
            self.failures.push(Failure { request: number, code });
        }
        if let Some(lane) = self.lanes.get_mut(shard) {
            lane.passed = 0;
            if let Some(job) = &mut lane.job {
                job.reset_replies();
                job.get_over();
            }
        }
        true
    }

    async fn dispatch(&mut self, daemon: &Daemon, shard: usize) {
        let Some(lane) = self.lanes.get_mut(shard) else { return };
        lane.passed = 0;
        if !lane.has_more() {
            return;
        }
        let Some(job) = lane.job.take() else { return };
        let (reply, answer) = oneshot::channel();
        let handle = daemon.shards.handle(shard);
        let sent = match handle.cast(ShardMsg::Run(job, reply)) {
            Err((msg, NotExecuted::Down)) => {
                handle.cast_by(msg, Instant::now() + SHARD_BACK_WITHIN).await
            }
            other => other,
        };
        match sent {
            Ok(()) => lane.answer = Some(answer),
            Err((_, why)) => lane.broken = Some(shard_down(shard, &why)),
        }
    }

    async fn collect(&mut self, daemon: &Daemon, shard: usize, recovery_wait: Duration) {
        while let Some(lane) = self.lanes.get_mut(shard)
            && let Some(answer) = lane.answer.take()
        {
            match answer.await {
                Ok(Outcome::Done(job)) => lane.job = Some(job),
                Ok(Outcome::Failed(mut job, error)) => {
                    job.taint_writes(&error);
                    lane.job = Some(job);
                }
                Ok(Outcome::Loading(job)) if !recovery_wait.is_zero() => {
                    lane.job = Some(job);
                    let until = *self.until.get_or_insert_with(|| Instant::now() + recovery_wait);
                    if daemon.shards.await_store(shard, until).await {
                        // Nothing of it was executed.
                        self.dispatch(daemon, shard).await;
                        continue;
                    }
                    lane.broken = Some(loading(shard));
                }
                Ok(Outcome::Loading(_)) => lane.broken = Some(loading(shard)),
                Err(_) => lane.broken = Some(died(shard)),
            }
            if let Some(job) = &mut lane.job {
                self.failures.extend(job.take_failures());
            }
        }
    }

    /// Waits until Redis has what was written, where replies wait for that.
    async fn through(&mut self, daemon: &Daemon) {
        let jobs = self.lanes.iter_mut().filter_map(|lane| lane.job.as_mut());
        if let Some(lsn) = jobs.filter_map(|job| job.take_written()).max() {
            daemon.written(lsn, self.asking).await;
        }
    }

    /// Asks the tier what jobs have to know before they can run, all at once, and runs them; again
    /// for what others have changed meanwhile.
    async fn ask(&mut self, daemon: &Daemon, recovery_wait: Duration) {
        self.asking = Duration::ZERO;
        let nothing = |lane: &Lane| lane.job.as_ref().is_none_or(|job| !job.has_questions());
        if self.lanes.iter().all(nothing) {
            return;
        }
        let Some(tier) = daemon.tier.begun_with() else { return };
        let mut deadline = None;
        let begun = Instant::now();
        while self.ask_once(daemon, &tier, &mut deadline, recovery_wait).await {}
        self.asking = begun.elapsed();
    }

    /// Whether there was anything to ask.
    async fn ask_once(
        &mut self,
        daemon: &Daemon,
        tier: &Tier,
        deadline: &mut Option<Instant>,
        recovery_wait: Duration,
    ) -> bool {
        let mut wants = Vec::new();
        let mut shares = Vec::new();
        for (shard, lane) in self.lanes.iter_mut().enumerate() {
            let Some(job) = &mut lane.job else { continue };
            tier.refresh(job.take_due());
            let questions = job.take_questions();
            if !questions.is_empty() {
                shares.push((shard, questions.len()));
                match wants.is_empty() {
                    true => wants = questions,
                    false => wants.extend(questions),
                }
            }
        }
        if wants.is_empty() {
            return false;
        }
        let deadline = *deadline.get_or_insert_with(|| tier.deadline());
        let mut answers = tier.fetch(wants, deadline).await.into_iter();
        for (shard, share) in shares {
            if let Some(job) = self.lanes.get_mut(shard).and_then(|lane| lane.job.as_mut()) {
                job.answer(answers.by_ref().take(share).collect());
            }
            self.dispatch(daemon, shard).await;
            self.collect(daemon, shard, recovery_wait).await;
        }
        true
    }

    /// Gets ready for the next stage and lets go of the input.
    fn finish(&mut self) {
        for lane in &mut self.lanes {
            if let Some(job) = &mut lane.job {
                job.retire();
            }
            lane.broken = None;
            lane.passed = 0;
        }
        self.slots.clear();
        self.local.clear();
        self.until = None;
    }
}

/// How far a stage may go.
#[derive(Debug, Clone, Copy)]
pub struct StageBounds {
    /// Bytes of replies that may be appended at once.
    pub most: usize,
    /// How long it waits for shards that are being rebuilt.
    pub recovery_wait: Duration,
}

/// How far a stage's replies have been passed on.
#[derive(Debug, Default)]
pub struct StageCursor {
    next: usize,
    local: usize,
}

/// The shard ended with the commands in its hands or in its mailbox.
fn died(shard: usize) -> Refusal {
    Refusal::other(format!(
        "ERR outcome unknown: shard {shard} was restarted while it held this command"
    ))
}
