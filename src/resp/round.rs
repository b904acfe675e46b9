//! One round: the requests a connection found whole in its buffer, and the jobs made of them.
//!
//! A connection has one round in flight and sends one job to each shard it touches, so a shard's
//! mailbox never holds more than one message per connection: that is the backpressure. The
//! input is shared, not copied; buffers travel to the shard and back and are used again.

mod near;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use seawall_actors::cache::store::{Key, KeyHasher, Standing, Store, TIERED};
use seawall_actors::cache::{Audience, Job};
use seawall_actors::clock::UnixMs;
use seawall_actors::journal::{Author, JournalError, Lsn};

use super::args::{Args, Span};
use super::keyspace::{Keyspace, Scope, Stores};
use super::limits::Limits;
use super::refusal::Refusal;
use super::reply::{Proto, Reply};
use super::table::{Command, DataFn, Flags, Run};
use crate::tier::{Answer, TierView, Want};
use crate::tracking::Reader;
use near::meets_passage;
pub use near::{Need, Questions, is_known_to_redis, leads_to_tier, needed, needed_from_elsewhere};

/// A decoded request.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    /// Its command; `None` if there is none of that name.
    pub command: Option<&'static Command>,
    /// Index of its first span.
    pub first: u32,
    /// Number of arguments, the name included.
    pub argc: u32,
    /// Hash of the first key, if it has one.
    pub hash: u64,
}

/// Bytes from a client, and the whole requests found in them.
#[derive(Debug, Clone)]
pub struct Input {
    /// What was read; requests first, then whatever is not whole yet.
    pub bytes: Vec<u8>,
    /// Argument spans of all requests.
    pub spans: Vec<Span>,
    /// The requests, in order.
    pub requests: Vec<Request>,
    /// Limits on keys and values, the same for all of them.
    pub limits: Arc<Limits>,
}

impl Input {
    /// Nothing yet.
    #[must_use]
    pub const fn new(limits: Arc<Limits>) -> Self {
        Self { bytes: Vec::new(), spans: Vec::new(), requests: Vec::new(), limits }
    }

    /// The arguments of a request.
    #[must_use]
    pub fn args(&self, request: &Request) -> Args<'_> {
        let first = request.first as usize;
        let spans = self.spans.get(first..first + request.argc as usize).unwrap_or_default();
        Args::new(&self.bytes, spans)
    }
}

/// What all commands of a job have in common.
#[derive(Debug, Clone, Copy)]
pub struct View {
    /// Selected database.
    pub db: u8,
    /// Protocol of the replies.
    pub proto: Proto,
    /// Number of databases.
    pub databases: u8,
    /// Hashes and routes keys.
    pub hasher: KeyHasher,
    /// Reads do not count as uses.
    pub no_touch: bool,
    /// How the tier is asked, if the selected database has one.
    pub near: Option<TierView>,
}

impl View {
    /// The scope of a command that runs at `now` within `limits`.
    #[must_use]
    pub const fn scope(self, now: UnixMs, limits: &Limits) -> Scope<'_> {
        Scope {
            db: self.db,
            now,
            limits,
            hasher: self.hasher,
            databases: self.databases,
            no_touch: self.no_touch,
        }
    }
}

/// Reply bytes after which a job stops early; the connection writes and sends it again.
const MAX_JOB_OUT: usize = 1 << 20;

/// What a shard is sent, and sends back.
pub type ShardJob = Box<DataJob>;

/// Commands of one round that go to one shard, and their replies. The default has none; it is
/// also what a coordinator parks to wait for the log.
#[derive(Debug, Default)]
pub struct DataJob {
    source: Option<Source>,
    /// Indexes of the requests.
    picks: Vec<u32>,
    /// How many of `picks` were executed.
    done: usize,
    out: Vec<u8>,
    /// Where the reply of each executed request ends in `out`.
    ends: Vec<u32>,
    /// The errors among the replies.
    failures: Vec<Failure>,
    /// Whose commands they are.
    author: Option<Arc<Author>>,
    /// What the tier has to say first.
    questions: Questions,
    /// The next request is Redis' to run.
    stuck: bool,
    /// Whether a write of the database behind which Redis stands was among them, ...
    wrote: bool,
    /// ... and the LSN of its last effect.
    logged: Lsn,
}

/// A request that was answered with an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// Its index in the input.
    pub request: u32,
    /// First word of the error reply.
    pub code: ErrorCode,
}

/// Where a job's commands come from.
#[derive(Debug)]
struct Source {
    input: Arc<Input>,
    view: View,
    /// Remembers what they read.
    reader: Option<Reader>,
}

/// The code of an error reply, short enough to copy; a longer one is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ErrorCode {
    bytes: [u8; 15],
    len: u8,
}

impl ErrorCode {
    /// The code as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..usize::from(self.len)).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or("ERR")
    }
}

impl DataJob {
    /// A job without commands, which a coordinator parks to wait for the log.
    #[must_use]
    pub fn parked_by(author: Option<Arc<Author>>) -> Self {
        Self { author, ..Self::default() }
    }

    /// Prepares a used job for a new round; keeps its buffers. A job stays with one connection, so
    /// it keeps its author, too.
    pub fn prepare(
        &mut self,
        input: &Arc<Input>,
        view: &View,
        author: &Arc<Author>,
        reader: Option<&Reader>,
    ) {
        self.author.get_or_insert_with(|| Arc::clone(author));
        self.source =
            Some(Source { input: Arc::clone(input), view: *view, reader: reader.cloned() });
        self.picks.clear();
        self.done = 0;
        self.stuck = false;
        self.reset_replies();
        self.questions.clear();
    }

    /// Adds a request, by its index in the input.
    pub fn pick(&mut self, request: usize) {
        // A round is bounded far below 2^32 requests.
        self.picks.push(u32::try_from(request).unwrap_or(u32::MAX));
    }

    /// Whether no request was picked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.picks.is_empty()
    }

    /// Whether every picked request was executed.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.done == self.picks.len()
    }

    /// Whether there is anything to ask the tier.
    #[must_use]
    pub fn has_questions(&self) -> bool {
        self.questions.are_open() || self.questions.are_due()
    }

    /// What has to be asked of the tier before anything more of the job can run.
    #[must_use]
    pub fn take_questions(&mut self) -> Vec<Want> {
        self.questions.take()
    }

    /// The answers; the job can run now.
    pub fn answer(&mut self, answers: Vec<Answer>) {
        self.questions.answer(answers);
    }

    /// What the tier is to be asked again, while nobody waits.
    #[must_use]
    pub fn take_due(&mut self) -> Vec<Want> {
        self.questions.take_due()
    }

    /// The request that Redis has to run before the job can go on.
    #[must_use]
    pub fn stuck_at(&self) -> Option<(Arc<Input>, u32)> {
        let request = self.picks.get(self.done).copied().filter(|_| self.stuck)?;
        self.source.as_ref().map(|source| (Arc::clone(&source.input), request))
    }

    /// Redis has run it: the job can go on behind it. What was known of the keys counts no more.
    pub fn get_over(&mut self) {
        self.stuck = false;
        self.done += 1;
        self.questions.clear();
    }

    /// Replies so far, all together.
    #[must_use]
    pub fn out(&self) -> &[u8] {
        &self.out
    }

    /// The reply of the `n`th request executed since the last [`DataJob::reset_replies`].
    #[must_use]
    pub fn reply(&self, n: usize) -> Option<&[u8]> {
        let end = *self.ends.get(n)? as usize;
        let start = n.checked_sub(1).and_then(|n| self.ends.get(n)).map_or(0, |e| *e as usize);
        self.out.get(start..end)
    }

    /// Errors answered since the last reset.
    pub fn take_failures(&mut self) -> std::vec::Drain<'_, Failure> {
        self.failures.drain(..)
    }

    /// The LSN up to which Redis has to be for `redis.write = "through"`, once.
    pub fn take_written(&mut self) -> Option<Lsn> {
        let (wrote, lsn) = (std::mem::take(&mut self.wrote), std::mem::take(&mut self.logged));
        (wrote && lsn > 0).then_some(lsn)
    }

    /// Forgets replies that were passed on.
    pub fn reset_replies(&mut self) {
        self.out.clear();
        self.ends.clear();
        self.failures.clear();
        // One big reply must not hold its memory for the life of the connection.
        if self.out.capacity() > 2 * MAX_JOB_OUT {
            self.out = Vec::new();
        }
    }

    /// Lets go of the input, so that the connection can fill it again, and of the picks.
    pub fn retire(&mut self) {
        self.picks.clear();
        self.done = 0;
        self.reset_replies();
        self.source = None;
    }

    /// Replaces the replies of the writes among the executed requests: the log failed under them.
    pub fn taint_writes(&mut self, error: &JournalError) {
        let refusal = outcome_unknown(error);
        let (old, ends) = (std::mem::take(&mut self.out), std::mem::take(&mut self.ends));
        let Some(Source { input, view, .. }) = &self.source else { return };
        let first = self.done - ends.len();
        let mut start = 0;
        for (n, end) in ends.into_iter().enumerate() {
            let end = end as usize;
            let request = self.picks.get(first + n).copied().unwrap_or(u32::MAX);
            let command = input.requests.get(request as usize).and_then(|r| r.command);
            if command.is_some_and(|c| c.flags.has(Flags::WRITE)) {
                let code = answer(&refusal, &mut Reply::new(&mut self.out, view.proto));
                self.failures.push(Failure { request, code });
            } else {
                self.out.extend_from_slice(old.get(start..end).unwrap_or_default());
            }
            start = end;
            self.ends.push(u32::try_from(self.out.len()).unwrap_or(u32::MAX));
        }
    }
}

impl Job for DataJob {
    fn run(
        &mut self,
        store: &mut Store,
        now: UnixMs,
        writable: &Result<(), JournalError>,
        audience: &dyn Audience,
    ) {
        let by = self.author().map_or(0, Author::number);
        let Some(Source { input, view, reader }) = &self.source else { return };
        warm(input, self.picks.get(self.done..).unwrap_or_default(), view.db, store);
        let (first, evicted) = (self.done, store.stats().evicted());
        if let Some(near) = view.near {
            self.questions.settle(store, near, now, |_| true);
            note(&mut self.questions, self.picks.get(first..), (input, view, near), store, now);
            if self.questions.are_open() {
                return;
            }
            // What has come from the tier is told before it is read, or its first reader would be
            // told that what he has just read has changed.
            if !store.notices().is_empty() {
                audience.hear(store.notices_mut(), 0);
            }
        }
        while let Some(index) = self.picks.get(self.done).copied() {
            let Some(request) = input.requests.get(index as usize) else { break };
            if self.out.len() >= MAX_JOB_OUT {
                break;
            }
            if let Some((command, run)) = data_command(request) {
                let args = input.args(request);
                // What went to make room for others is not absent for that.
                let mut gathered = Ok(());
                if let Some(near) = view.near
                    && evicted != store.stats().evicted()
                {
                    let keys = needed(command, &args).map(|at| key(request, &args, at, view));
                    let is_missing = |key| store.standing(key, now) == Standing::Missing;
                    if self.done > first && keys.clone().any(is_missing) {
                        // Or it was deleted just now. What is known may not be true any more when
                        // the rest is run: that is asked for once the effects of what has run are
                        // marked, or the tier would be asked before it has them.
                        self.questions.clear();
                        return;
                    }
                    gathered = self.questions.gather(keys, store, near, now);
                }
                let judged = gathered.and_then(|()| {
                    judge(&self.questions, (command, request, &args), view, store, now)
                });
                if let Err(Refusal::Foreign) = judged {
                    self.stuck = true;
                    break;
                }
                if let Err(refusal) = judged {
                    let code = answer(&refusal, &mut Reply::new(&mut self.out, view.proto));
                    self.failures.push(Failure { request: index, code });
                    self.ends.push(u32::try_from(self.out.len()).unwrap_or(u32::MAX));
                    self.done += 1;
                    continue;
                }
                self.wrote |= view.db == TIERED && command.flags.has(Flags::WRITE);
                let stores = Stores::One(store);
                let mut keyspace =
                    Keyspace::new(stores, view.scope(now, &input.limits), Some(request.hash));
                let mut reply = Reply::new(&mut self.out, view.proto);
                if let Err(code) = execute(command, run, &args, &mut keyspace, &mut reply, writable)
                {
                    self.failures.push(Failure { request: index, code });
                }
                if let Some(reader) = reader {
                    reader.note(command, &args);
                }
                if !store.notices().is_empty() {
                    audience.hear(store.notices_mut(), by);
                }
            }
            self.ends.push(u32::try_from(self.out.len()).unwrap_or(u32::MAX));
            self.done += 1;
        }
        // Whatever is run later knows nothing by then.
        self.questions.forget();
    }

    fn promises(&self) -> bool {
        self.wrote
    }

    fn logged(&mut self, lsn: Lsn) {
        self.logged = self.logged.max(lsn);
    }

    fn author(&self) -> Option<&Author> {
        self.author.as_deref()
    }
}

/// Notes what there is to ask before these requests can run.
fn note(
    questions: &mut Questions,
    picks: Option<&[u32]>,
    (input, view, near): (&Input, &View, TierView),
    store: &mut Store,
    now: UnixMs,
) {
    for request in picks.unwrap_or_default() {
        let Some(request) = input.requests.get(*request as usize) else { break };
        let Some((command, _)) = data_command(request) else { continue };
        let args = input.args(request);
        let need = Need::of(command, &args);
        for at in needed(command, &args) {
            questions.note(key(request, &args, at, view), need, store, near, now);
        }
    }
}

/// A key of a request. The first one was hashed to find its shard.
fn key<'a>(request: &Request, args: &Args<'a>, at: usize, view: &View) -> Key<'a> {
    let bytes = args.get(at);
    if at == 1 { Key { bytes, hash: request.hash } } else { view.hasher.key(bytes) }
}

/// Whether a command may run with what the tier has told.
fn judge(
    questions: &Questions,
    (command, request, args): (&Command, &Request, &Args<'_>),
    view: &View,
    store: &mut Store,
    now: UnixMs,
) -> Result<(), Refusal> {
    let Some(near) = view.near else { return Ok(()) };
    // As long as nothing had to be asked, everything is in memory or is known not to be there.
    let settled = near.reachable && !questions.were_asked();
    if settled && !command.flags.has(Flags::WRITE) {
        return Ok(());
    }
    needed(command, args).map(|at| key(request, args, at, view)).try_for_each(|key| {
        if meets_passage((command, args), key, store, near, now) {
            return Err(Refusal::Foreign);
        }
        if settled { Ok(()) } else { questions.judge((command, args), key, store, near, now) }
    })
}

/// Has the store load what a long batch will read: its keys are known, so memory is waited for
/// once and not once a key. Not worth it for a few.
fn warm(input: &Input, picks: &[u32], db: u8, store: &Store) {
    const FEW: usize = 4;
    const AT_ONCE: usize = 128;
    if picks.len() < FEW {
        return;
    }
    let mut keys = [(db, 0u64); AT_ONCE];
    let hashes = picks.iter().filter_map(|i| input.requests.get(*i as usize)).map(|r| r.hash);
    let mut count = 0;
    for (key, hash) in keys.iter_mut().zip(hashes) {
        key.1 = hash;
        count += 1;
    }
    store.warm(keys.get(..count).unwrap_or_default());
}

fn data_command(request: &Request) -> Option<(&'static Command, DataFn)> {
    let command = request.command?;
    match command.run {
        Run::Data(run) | Run::AllShards(run) => Some((command, run)),
        _ => None,
    }
}

/// Runs one data command; an error becomes its whole reply, and its code is returned.
///
/// # Errors
/// The code of the error that was answered.
pub fn execute(
    command: &Command,
    run: DataFn,
    args: &Args<'_>,
    keyspace: &mut Keyspace<'_>,
    reply: &mut Reply<'_>,
    writable: &Result<(), JournalError>,
) -> Result<(), ErrorCode> {
    let mark = reply.len();
    let result = match writable {
        Err(error) if command.flags.has(Flags::WRITE) => Err(not_writable(error)),
        _ => run(keyspace, args, reply),
    };
    result.map_err(|refusal| {
        reply.truncate(mark);
        answer(&refusal, reply)
    })
}

/// Why a write is refused while the log can't be written.
#[must_use]
pub fn not_writable(error: &JournalError) -> Refusal {
    Refusal::other(format!("MISCONF {error}. This write was not applied; reads go on"))
}

/// What is answered for a write that was applied in memory before the log failed under it.
#[must_use]
pub fn outcome_unknown(error: &JournalError) -> Refusal {
    Refusal::other(format!("MISCONF {error}. The outcome of this write is unknown"))
}

/// Writes a refusal as an error reply and returns its code.
pub fn answer(refusal: &Refusal, reply: &mut Reply<'_>) -> ErrorCode {
    reply.error(&refusal.to_string());
    code_of(refusal.code())
}

/// The code, short enough to copy.
#[must_use]
pub fn code_of(code: &str) -> ErrorCode {
    let mut short = ErrorCode::default();
    for (to, from) in short.bytes.iter_mut().zip(code.bytes()) {
        *to = from;
        short.len += 1;
    }
    short
}
