//! Brings Redis one transaction, or tells why not.

use std::time::Duration;

use redis::{Cmd, Pipeline, Value};
use tokio::time::Instant;

use super::acknowledge;
use super::batch::Batch;
use super::deletions::Deletions;
use super::fence::{self, Fenced, refusal};
use super::gate::add;
use super::heard::Heard;
use super::markers::Now;
use super::pump::{Pump, Trouble};
use super::send::{Outcome, Rules, Transaction};
use crate::clock::UnixMs;
use crate::journal::Lsn;
use crate::redis::failure::{Executed, Failure, FailureKind};
use crate::redis::pool::{Once, Request};

/// What a link brings at least, beside `redis.timeout`.
const BYTES_PER_SECOND: f64 = 4e6;
/// Keys that are deleted in one transaction, out of turn.
const DELETED_AT_ONCE: usize = 1000;

impl Pump {
    /// How a request may be treated that carries so many bytes. Whatever became of it, the marker
    /// will tell.
    pub fn request(&self, bytes: usize) -> Request {
        let carried = Duration::from_secs_f64(bytes as f64 / BYTES_PER_SECOND);
        let deadline = Instant::now() + self.args.pool.settings().timeout + carried;
        Request { deadline, once: Once::Over(self.epoch) }
    }

    /// What it means that something could not be sent, or was not answered.
    pub fn trouble(&self, failure: Failure) -> Trouble {
        let Failure { kind, executed, text } = failure;
        let replaced = kind == FailureKind::Broken && executed == Executed::No;
        if replaced && ![0, self.epoch].contains(&self.args.pool.epoch()) {
            return Trouble::Overtaken;
        }
        Trouble::Away(format!("{}: {text}", kind.name()))
    }

    /// Waits for a connection, which everything goes over until there is another one.
    pub async fn connected(&mut self) -> Result<(), Trouble> {
        let deadline = self.request(0).deadline;
        let ready = self.args.pool.ready(deadline).await;
        (self.epoch, self.cluster) = self.args.pool.stands();
        ready.map_err(|failure| self.trouble(failure))
    }

    /// Sends a pipeline; answers of Redis that it refuses are among those that come back.
    pub async fn pipe(&self, pipeline: &Pipeline, bytes: usize) -> Result<Vec<Value>, Trouble> {
        let sent = self.args.pool.pipe(pipeline, self.request(bytes)).await;
        sent.map_err(|failure| self.trouble(failure))
    }

    /// Sends one command; a refusal is a trouble.
    async fn command(&self, command: &Cmd) -> Result<Value, Trouble> {
        let answer = self.args.pool.run(command, self.request(0)).await;
        let answer = answer.map_err(|failure| self.trouble(failure))?;
        match refusal(&answer) {
            Some(why) => Err(Trouble::Refused(why)),
            None => Ok(answer),
        }
    }

    /// Has every master of a Cluster say that it has everything up to here.
    async fn mark_masters(&mut self, reached: Lsn) -> Result<(), Trouble> {
        let Now { keys, gone, .. } = self.markers()?;
        let mut marks = Pipeline::new();
        for key in keys {
            marks.cmd("SET").arg(key).arg(reached);
        }
        for key in gone {
            marks.cmd("UNLINK").arg(key);
        }
        match self.pipe(&marks, 0).await?.iter().find_map(refusal) {
            Some(why) => Err(Trouble::Refused(why)),
            None => Ok(()),
        }
    }

    /// What the marker holds. From then on it is watched.
    pub async fn watch_and_read(&self) -> Result<Option<Value>, Trouble> {
        let mut read = Pipeline::new();
        read.add_command(fence::watch(&self.marker));
        read.cmd("MGET").arg(&self.marker);
        let mut answers = self.pipe(&read, 0).await?;
        if let Some(why) = answers.iter().find_map(refusal) {
            return Err(Trouble::Refused(why));
        }
        match answers.pop() {
            Some(Value::Array(values)) => Ok(values.into_iter().next()),
            other => Err(Trouble::Away(format!("MGET {}: {other:?}", self.marker))),
        }
    }

    /// What was sent before over any other connection to a Cluster comes too late from now on. Its
    /// nodes are told, since no transaction over several slots could watch a marker.
    pub async fn succeed(&mut self) -> Result<(), Trouble> {
        if !self.cluster || self.heir == self.epoch {
            return Ok(());
        }
        let ended = self.args.pool.succeed(&self.marker, self.request(0)).await;
        match refusal(&ended.map_err(|failure| self.trouble(failure))?) {
            Some(why) => Err(Trouble::Refused(why)),
            None => {
                self.heir = self.epoch;
                Ok(())
            }
        }
    }

    /// What was sent before over any other connection comes too late from now on, whether it
    /// moved the marker or not.
    pub async fn fence_off(&self) -> Result<(), Trouble> {
        if self.cluster {
            // It was done when the connection came to be.
            return Ok(());
        }
        // What Redis has stays unknown where it is.
        let says = self.marked.map_or_else(|| "unknown".to_owned(), |lsn| lsn.to_string());
        let mut fence = Pipeline::new();
        // It would be our own watch that notices.
        fence.cmd("UNWATCH").cmd("SET").arg(&self.marker).arg(says);
        fence.add_command(fence::watch(&self.marker));
        match self.pipe(&fence, 0).await?.iter().find_map(refusal) {
            Some(why) => Err(Trouble::Refused(why)),
            None => Ok(()),
        }
    }

    /// The beginning of commands that are executed as a whole, where there is such a thing.
    pub fn begin(&self) -> Pipeline {
        if self.cluster { Pipeline::new() } else { fence::open() }
    }

    /// Sends commands that were begun so.
    pub async fn execute(&self, mut commands: Pipeline, bytes: usize) -> Result<(), Trouble> {
        if !self.cluster {
            fence::close(&mut commands, &self.marker);
        }
        let sent = self.args.pool.pipe(&commands, self.request(bytes)).await;
        let answers = sent.map_err(|failure| {
            if failure.executed == Executed::Unknown {
                self.args.gate.heard().doubt_all();
            }
            self.trouble(failure)
        })?;
        let fenced = match answers.iter().find_map(refusal) {
            Some(why) if self.cluster => Fenced::Refused(why),
            None if self.cluster => Fenced::Done(answers),
            _ => fence::judge(answers),
        };
        match fenced {
            Fenced::Done(_) => Ok(()),
            Fenced::Overtaken => Err(Trouble::Overtaken),
            Fenced::Refused(why) => Err(Trouble::Refused(why)),
        }
    }

    fn rules<'a>(&self, heard: &'a Heard, now: UnixMs) -> Rules<'a> {
        Rules {
            conflict: self.args.settings.borrow().conflict,
            away_until_ms: self.away_until_ms.unwrap_or(now),
            heard,
            now,
            cluster: self.cluster,
        }
    }

    /// Deletes in Redis what was deleted here, out of turn: how many keys.
    pub async fn delete(&self, gone: &Deletions) -> Result<usize, Trouble> {
        let now = self.args.clock.unix_ms();
        let keys: Vec<&[u8]> = {
            let heard = self.args.gate.heard();
            let rules = self.rules(&heard, now);
            gone.keys().filter(|(key, at)| rules.deletes(key, *at)).map(|(key, _)| key).collect()
        };
        if gone.flushes {
            self.unlink(&[]).await?;
        }
        for keys in keys.chunks(DELETED_AT_ONCE) {
            self.unlink(keys).await?;
        }
        Ok(keys.len() + usize::from(gone.flushes))
    }

    /// Deletes these keys in Redis; everything, if there are none.
    async fn unlink(&self, keys: &[&[u8]]) -> Result<(), Trouble> {
        let bytes = keys.iter().map(|key| key.len()).sum();
        if !self.cluster {
            let marked = self.marked.filter(|_| !self.unmarked);
            let script = fence::delete(&self.marker, marked, keys);
            let done = self.args.pool.run(&script, self.request(bytes)).await;
            match done.map_err(|failure| self.trouble(failure))? {
                Value::Nil => return Err(Trouble::Overtaken),
                Value::ServerError(_) => {}
                _ => return Ok(()),
            }
            // It has no right to run scripts, say. A transaction has to do, which is refused while
            // Redis is full.
        }
        let mut commands = self.begin();
        for key in keys {
            commands.cmd("UNLINK").arg(*key);
        }
        if keys.is_empty() {
            commands.cmd("FLUSHDB").arg("ASYNC");
        }
        self.execute(commands, bytes).await
    }

    /// One transaction.
    pub async fn send(&mut self, batch: &Batch, reached: Lsn) -> Result<(), Trouble> {
        let now = self.args.clock.unix_ms();
        let gate = self.args.gate.clone();
        let counts = gate.counts();
        let transaction = {
            let heard = gate.heard();
            Transaction::new(batch, self.rules(&heard, now), &self.marker, reached)
        };
        self.attempted = self.attempted.max(Some(reached));
        if let Some(before) = &transaction.before {
            self.command(before).await?;
        }
        let answers = match transaction.pipeline.is_empty() {
            true => Vec::new(),
            false => {
                let request = self.request(batch.bytes());
                let sent = self.args.pool.pipe(&transaction.pipeline, request).await;
                sent.map_err(|failure| {
                    if failure.executed == Executed::Unknown {
                        gate.heard().doubt(batch.changes(now).map(|(keyed, _)| &*keyed.key));
                    }
                    if failure.kind.is_an_answer() {
                        self.believed.get_or_insert(self.vouched);
                    }
                    self.trouble(failure)
                })?
            }
        };
        let changes = transaction.changes;
        let lost = match transaction.finish(answers) {
            Outcome::Done(lost) => lost,
            Outcome::Overtaken => return Err(Trouble::Overtaken),
            Outcome::Refused(why) => {
                self.believed.get_or_insert(self.vouched);
                self.make_room(&why).await?;
                return Err(Trouble::Refused(why));
            }
        };
        if self.cluster {
            self.mark_masters(reached).await?;
        }
        add(&counts.sent, changes);
        add(&counts.batches, 1);
        let kept = changes + lost.len() as u64 + u64::from(batch.flushes());
        add(&counts.coalesced, batch.records().saturating_sub(kept));
        batch.lapse(now, &mut self.lapsed);
        (self.marked, self.unmarked) = (Some(reached), false);
        self.vouched = reached;
        self.believed = None;
        // The marker has moved: whatever was still on its way is fenced off.
        gate.heard().settle();
        (self.failures, self.overtaken) = (0, false);
        self.room = None;
        acknowledge(&self.args, reached, self.met.who);
        self.give_way(lost);
        Ok(())
    }

    /// Others' writes of these keys stay: memory is not to show ours.
    pub fn give_way(&self, lost: Vec<Box<[u8]>>) {
        add(&self.args.gate.counts().conflicts, lost.len() as u64);
        if !lost.is_empty() {
            self.args.near.changed(lost);
        }
    }

    /// Redis has everything up to here, and the log goes on from here.
    pub async fn mark(&mut self, lsn: Lsn) -> Result<(), Trouble> {
        self.send(&Batch::default(), lsn).await
    }
}
