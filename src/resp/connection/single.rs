//! One round's commands, in order: what runs where.

use std::sync::Arc;
use std::time::{Duration, Instant};

use seawall_actors::cache::store::{Garbage, TIERED};

use super::informed::{self, Needed};
use super::passage::check_passable;
use super::pipeline::{StageBounds, StageCursor};
use super::{Closed, Connection, unless_killed};
use crate::resp::args::Args;
use crate::resp::commands::subcommand;
use crate::resp::coordinator::ShardSet;
use crate::resp::keyspace::{Keyspace, Stores};
use crate::resp::limits::Limits;
use crate::resp::movable::{Blocks, blocks};
use crate::resp::refusal::Refusal;
use crate::resp::reply::Reply;
use crate::resp::round::{
    Input, Request, View, answer, execute, is_known_to_redis, leads_to_tier, outcome_unknown,
};
use crate::resp::table::{Command, DataFn, Flags, Run, TransactionStep};
use crate::slow::{Lap, Laps, Waiter};

use tokio::io::{AsyncRead, AsyncWrite};

/// Where a command goes.
enum Route {
    /// One shard has all its keys.
    Shard(usize),
    /// Redis runs it, with others that stand beside it.
    Together,
    /// It has to wait for what stands before it, and runs alone.
    Alone,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    /// Runs the requests of this round.
    pub(super) async fn execute(&mut self, begun: Instant) -> Result<(), Closed> {
        let input = Arc::clone(&self.input);
        let mut view = self.view();
        let mut last = None;
        let (count, mut laps) = (input.requests.len(), Laps::default());
        for (index, request) in input.requests.iter().enumerate() {
            let args = input.args(request);
            let route = match self.admit(request, &args) {
                Ok(command) => {
                    last = Some(command);
                    self.route(command, request, &args, &input.limits).map(|route| (command, route))
                }
                Err(refusal) => Err(refusal),
            };
            match route {
                Ok((command, Route::Together)) => {
                    self.run_stage().await?;
                    self.board(&input, index, (command, args), &view).await?;
                }
                Ok((command, Route::Shard(shard))) => {
                    self.run_train(&input, &view).await?;
                    self.tally.command(command);
                    self.pipeline.send_to(shard, index, &input, &view);
                }
                Ok((command, Route::Alone)) => {
                    self.run_stage().await?;
                    self.run_train(&input, &view).await?;
                    self.run_alone(command, request, args, &view).await?;
                    if count > 1 {
                        laps.alone(begun.elapsed(), index);
                    }
                    view = self.view();
                }
                Err(refusal) => {
                    self.run_train(&input, &view).await?;
                    let refusal = self.note_refusal(request, refusal);
                    self.daemon.stats.refused(request.command, refusal.code());
                    if self.session.replies() {
                        self.pipeline.refuse(&refusal, self.session.proto);
                    }
                    self.session.command_done();
                    self.follow_tracking(request.command);
                }
            }
            if self.session.close_after_reply {
                break;
            }
        }
        self.run_stage().await?;
        self.run_train(&input, &view).await?;
        let ended = Instant::now();
        if let Some(command) = last {
            self.session.note_round(command, self.daemon.life.steady_at(ended));
        }
        let (bytes_in, bytes_out) = self.wire.take_traffic();
        self.tally.transferred(bytes_in, bytes_out);
        let took = ended.duration_since(begun);
        self.daemon.stats.round(&mut self.tally, took);
        if self.bounds.slow.pass(took) {
            self.note_slow(&input, laps.finish(took, count));
        }
        for failure in self.pipeline.take_failures() {
            let request = input.requests.get(failure.request as usize);
            if let Some(command) = request.and_then(|request| request.command) {
                self.daemon.stats.failed(command, failure.code.as_str());
            }
        }
        Ok(())
    }

    /// What a refusal means for the open transaction: EXEC fails. If EXEC itself is refused, as in
    /// Redis the transaction ends here, and the text is that of one even if none is open.
    fn note_refusal(&mut self, request: &Request, refusal: Refusal) -> Refusal {
        let is_exec = |c: &Command| matches!(c.run, Run::Transaction(TransactionStep::Exec));
        if !request.command.is_some_and(is_exec) {
            self.transaction.flaw();
            return refusal;
        }
        self.forget_transaction();
        let text = refusal.to_string();
        let why = text.strip_prefix("ERR ").unwrap_or(&text);
        Refusal::other(format!("EXECABORT Transaction discarded because of: {why}"))
    }

    /// Tells SLOWLOG and LATENCY of the part of a slow round that took longest.
    #[cold]
    fn note_slow(&self, input: &Input, slowest: Option<Lap>) {
        let Some(lap) = slowest.filter(|lap| self.bounds.slow.pass(lap.took)) else { return };
        let Some(request) = input.requests.get(lap.index) else { return };
        let args = input.args(request);
        if args.is(0, "waitaof") {
            // It was asked to wait.
            return;
        }
        let client = self.session.client();
        let (addr, name) = (client.addr.as_str(), client.name());
        let waiter = Waiter { addr, name: &name };
        self.daemon.slow.note(&self.bounds.slow, lap, &args, waiter, self.daemon.clock.unix_ms());
    }

    /// Whether the request names a command that this client may run with so many arguments.
    fn admit(&mut self, request: &Request, args: &Args<'_>) -> Result<&'static Command, Refusal> {
        let Some(command) = request.command else {
            return Err(if self.session.authenticated() {
                unknown_command(args)
            } else {
                Refusal::other("NOAUTH Authentication required.")
            });
        };
        if !command.takes(args.len()) {
            return Err(Refusal::Arity(command.name.into()));
        }
        self.session.may_run(command, args)?;
        if self.session.only_listens() {
            check_while_listening(command, args)?;
        }
        if self.daemon.loading.is_on() && !command.flags.has(Flags::LOADING) {
            return Err(loading_dataset());
        }
        if matches!(command.run, Run::NeedsTier) {
            if !self.daemon.tier.is_whole() {
                return Err(needs_tier(command));
            }
            check_passable(command, args)?;
        }
        Ok(command)
    }

    fn route(
        &self,
        command: &Command,
        request: &Request,
        args: &Args<'_>,
        limits: &Limits,
    ) -> Result<Route, Refusal> {
        // A shard channel stands where a key would, and is none.
        if !command.flags.has(Flags::PUBSUB) {
            for key in command.keys.indexes(args.len()) {
                limits.check_key(args.get(key))?;
            }
        }
        let plain = !self.transaction.is_open()
            && self.session.replies()
            && !self.session.caching_given()
            && !self.daemon.clients.pause().holds(command.flags.has(Flags::WRITE));
        if plain && matches!(command.run, Run::NeedsTier) && blocks(command, args) == Blocks::No {
            return Ok(Route::Together);
        }
        if !plain || !matches!(command.run, Run::Data(_)) || command.keys.first != 1 {
            return Ok(Route::Alone);
        }
        if self.session.db != TIERED && leads_to_tier(command, args) {
            // The tier may have something to say.
            return Ok(Route::Alone);
        }
        let shards = &self.daemon.shards;
        let shard = shards.of(request.hash);
        let mut others = command.keys.indexes(args.len()).skip(1);
        let together = others.all(|i| shards.of(shards.hasher().hash(args.get(i))) == shard);
        Ok(if together { Route::Shard(shard) } else { Route::Alone })
    }

    /// Runs the stage that was built so far and appends its replies.
    pub(super) async fn run_stage(&mut self) -> Result<(), Closed> {
        if self.pipeline.is_empty() {
            return Ok(());
        }
        let mut cursor = StageCursor::default();
        let most = self.bounds.output_buffer / 2;
        let bounds = StageBounds { most, recovery_wait: self.bounds.recovery_wait };
        loop {
            let proto = self.session.proto;
            let out = self.wire.out();
            if !self.pipeline.run(&self.daemon, proto, out, &mut cursor, bounds).await {
                return Ok(());
            }
            if self.wire.owed() > most {
                self.relieve().await?;
            }
        }
    }

    /// Runs a command for which the stage before it was finished.
    pub(super) async fn run_alone(
        &mut self,
        command: &'static Command,
        request: &Request,
        args: Args<'_>,
        view: &View,
    ) -> Result<(), Closed> {
        if self.session.is_held(command) {
            self.note_buffers();
            unless_killed(self.session.client(), self.session.wait_while_paused(command)).await?;
        }
        if matches!(command.run, Run::NeedsTier) && !self.transaction.is_open() {
            let blocks = blocks(command, &args);
            if blocks != Blocks::No {
                return self.run_blocking((command, args), blocks).await;
            }
        }
        // What arrived before a subscription ends is sent before its end is confirmed.
        self.take_pushes(usize::MAX);
        let mut out = std::mem::take(self.wire.out());
        let mark = out.len();
        let mut reply = Reply::new(&mut out, self.session.proto);
        let runs = !self.transaction.is_open() || is_control(command);
        let result = if self.transaction.is_open() && command.flags.has(Flags::NO_MULTI) {
            Err(Refusal::other("ERR Command not allowed inside a transaction"))
        } else if runs {
            self.tally.command(command);
            self.run_now(command, request, args, view, &mut reply).await
        } else {
            self.queue(command, &args, &mut reply)
        };
        if let Err(refusal) = result {
            self.transaction.flaw();
            reply.truncate(mark);
            let code = answer(&refusal, &mut reply);
            if runs {
                self.daemon.stats.failed(command, code.as_str());
            } else {
                self.daemon.stats.refused(Some(command), code.as_str());
            }
        }
        // Confirmations of subscriptions are pushes, which CLIENT REPLY does not stop.
        if !self.session.replies() && !confirms(command) {
            out.truncate(mark);
        }
        self.session.command_done();
        self.follow_tracking(Some(command));
        *self.wire.out() = out;
        if self.wire.owed() > self.bounds.output_buffer {
            self.relieve().await?;
        }
        Ok(())
    }

    /// After a command that may have changed what is remembered of the next. CLIENT CACHING counts
    /// for one command, or for one transaction.
    pub(super) fn follow_tracking(&mut self, ran: Option<&Command>) {
        if self.session.caching_given()
            && !self.transaction.is_open()
            && ran.is_none_or(|command| command.name != "client")
        {
            self.session.caching_done();
        }
        self.pipeline.read_for(self.session.reader());
    }

    async fn run_now(
        &mut self,
        command: &'static Command,
        request: &Request,
        args: Args<'_>,
        view: &View,
        reply: &mut Reply<'_>,
    ) -> Result<(), Refusal> {
        match command.run {
            Run::Session(run) => run(&mut self.session, &args, reply),
            Run::Async(run) => run(&mut self.session, args, reply).await,
            Run::Data(run) => {
                let mut wanted = ShardSet::none(self.daemon.shards.len());
                self.add_shards(command, &args, &mut wanted);
                self.run_spanning(command, run, request, &args, view, &wanted, reply).await
            }
            Run::AllShards(run) => {
                let mut wanted = ShardSet::none(self.daemon.shards.len());
                wanted.add_all();
                self.run_spanning(command, run, request, &args, view, &wanted, reply).await
            }
            Run::Transaction(step) => self.transact(step, &args, reply).await,
            Run::NeedsTier => {
                self.passing(&Arc::clone(&self.daemon))
                    .one((command, args), Duration::ZERO, reply)
                    .await
            }
        }
        .inspect(|()| {
            if command.name == "reset" {
                // RESET also leaves MULTI and WATCH; the session knows nothing of either.
                self.forget_transaction();
            }
        })
    }

    pub(super) fn add_shards(&self, command: &Command, args: &Args<'_>, wanted: &mut ShardSet) {
        let shards = &self.daemon.shards;
        if matches!(command.run, Run::AllShards(_)) {
            wanted.add_all();
        }
        for key in command.keys.indexes(args.len()) {
            wanted.add(shards.of(shards.hasher().hash(args.get(key))));
        }
    }

    /// Runs one command over the stores of several shards, as one batch of the log.
    #[allow(clippy::too_many_arguments, reason = "each is a different part of one request")]
    async fn run_spanning(
        &mut self,
        command: &'static Command,
        run: DataFn,
        request: &Request,
        args: &Args<'_>,
        view: &View,
        wanted: &ShardSet,
        reply: &mut Reply<'_>,
    ) -> Result<(), Refusal> {
        let first_hash = (command.keys.first == 1).then_some(request.hash);
        let view = &if leads_to_tier(command, args) { self.aware() } else { *view };
        let keys: Vec<Needed<'_>> = informed::keys(view, command, args).collect();
        let (mut borrowed, mut questions, now) =
            informed::borrow(&self.daemon, self.bounds.recovery_wait, wanted, view, &keys).await?;
        borrowed.sign(&self.session.client().author);
        let writable = self.daemon.shards.journal().writable();
        let item = (command, *args);
        if is_known_to_redis(command, args)
            && informed::meet_passage(&keys, &mut borrowed, view, now)
        {
            drop(borrowed);
            return self
                .passing(&Arc::clone(&self.daemon))
                .one(item, questions.waited, reply)
                .await;
        }
        match informed::judge(&mut questions, (command, args), &keys, &mut borrowed, view, now) {
            Err(Refusal::WrongType) if view.db != TIERED => {
                drop(borrowed);
                reply.int(0);
                return Ok(());
            }
            Err(Refusal::Foreign) => {
                drop(borrowed);
                return self
                    .passing(&Arc::clone(&self.daemon))
                    .one(item, questions.waited, reply)
                    .await;
            }
            judged => judged?,
        }
        let scope = view.scope(now, &self.bounds.limits);
        let mut keyspace = Keyspace::new(Stores::Many(borrowed.stores()), scope, first_hash);
        let done = execute(command, run, args, &mut keyspace, reply, &writable);
        if let Some(reader) = self.session.reader() {
            reader.note(command, args);
        }
        discard(keyspace.take_discarded());
        borrowed.collect();
        if let Err(code) = done {
            self.daemon.stats.failed(command, code.as_str());
        }
        match borrowed.finish().await {
            Err(error) if command.flags.has(Flags::WRITE) => Err(outcome_unknown(&error)),
            Ok(lsn) if lsn > 0 && self.writes_to_tier(command, args) => {
                self.daemon.written(lsn, questions.waited).await;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// Frees what a flush removed where nobody waits for it.
pub(super) fn discard(garbage: Vec<Garbage>) {
    if !garbage.is_empty() {
        tokio::task::spawn_blocking(move || drop(garbage));
    }
}

/// Commands that act on the transaction instead of joining it.
fn is_control(command: &Command) -> bool {
    matches!(command.name, "exec" | "sw.exec" | "discard" | "multi" | "watch" | "reset" | "quit")
}

/// Commands that are answered by a push for each subscription.
fn confirms(command: &Command) -> bool {
    command.name.ends_with("subscribe")
}

/// Refuses what a subscriber must not do in RESP2, with Redis' text.
#[cold]
fn check_while_listening(command: &Command, args: &Args<'_>) -> Result<(), Refusal> {
    if confirms(command) || matches!(command.name, "ping" | "quit" | "reset") {
        return Ok(());
    }
    let mut name = command.name.to_owned();
    if !command.subcommands.is_empty() && args.len() > 1 {
        let sub = subcommand::find(command.name, command.subcommands, args)?;
        name = format!("{name}|{}", sub.name);
    }
    Err(Refusal::other(format!(
        "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / \
         RESET are allowed in this context"
    )))
}

/// Redis' own text, which clients know to come back later.
#[cold]
pub(super) fn loading_dataset() -> Refusal {
    Refusal::other("LOADING Redis is loading the dataset in memory")
}

/// The answer to a command of Redis whose data type is not held here.
pub(super) fn needs_tier(command: &Command) -> Refusal {
    Refusal::other(format!("ERR '{}' needs a Redis tier: set redis.url", command.name))
}

/// Redis' text, with the first arguments as Redis shows them.
fn unknown_command(args: &Args<'_>) -> Refusal {
    const SHOWN: usize = 128;
    let name = String::from_utf8_lossy(args.get(0));
    let name: String = name.chars().take(SHOWN).collect();
    let mut shown = String::new();
    for arg in args.from(1) {
        if shown.len() >= SHOWN {
            break;
        }
        let room = SHOWN - shown.len();
        let arg: String = String::from_utf8_lossy(arg).chars().take(room).collect();
        shown.push_str(&format!("'{arg}' "));
    }
    Refusal::other(format!("ERR unknown command '{name}', with args beginning with: {shown}"))
}
