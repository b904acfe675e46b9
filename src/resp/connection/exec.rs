//! MULTI, EXEC, SW.EXEC, DISCARD: the transaction of this connection.
//!
//! EXEC borrows the stores of every shard that a queued command or a watched key lives on, so
//! that nobody sees it half done, and logs all effects as one batch: after a crash it is there
//! whole or not at all. Watched shards are borrowed too, or two transactions that each watch
//! what the other writes could both pass.

use tokio::io::{AsyncRead, AsyncWrite};

use super::Connection;
use super::informed::{self, Needed};
use super::passage::{Item, check_together};
use super::rollback::{self, OnError};
use super::single::{discard, needs_tier};
use crate::acl::{Denied, Reason};
use crate::resp::args::Args;
use crate::resp::commands::subcommand;
use crate::resp::coordinator::{Borrowed, ShardSet};
use crate::resp::integer;
use crate::resp::keyspace::{Keyspace, Stores};
use crate::resp::refusal::Refusal;
use crate::resp::reply::Reply;
use crate::resp::round::{
    Questions, View, answer, execute, is_known_to_redis, leads_to_tier, outcome_unknown,
};
use crate::resp::table::{Command, Flags, Run, TransactionStep};
use crate::resp::transaction::{Queued, Verdict};
use crate::tier::TierView;
use seawall_actors::cache::store::{Key, TIERED};

/// Stands for the reply of a command in a transaction whose replies pass `server.output_buffer`.
const LEFT_OUT: &str = "ERR executed; the reply is left out, see server.output_buffer";

/// What a transaction asks the tier about.
struct Asked<'a> {
    /// The view in which it does.
    view: View,
    keys: Vec<Needed<'a>>,
    /// Those of commands that Redis would run, if it held the key's type.
    passable: Vec<Key<'a>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    pub(super) async fn transact(
        &mut self,
        step: TransactionStep,
        args: &Args<'_>,
        reply: &mut Reply<'_>,
    ) -> Result<(), Refusal> {
        let result = match step {
            TransactionStep::Multi => {
                if !self.transaction.begin() {
                    // Redis refuses the nested MULTI and keeps the transaction whole.
                    reply.error("ERR MULTI calls can not be nested");
                    return Ok(());
                }
                reply.ok();
                Ok(())
            }
            TransactionStep::Discard => {
                if !self.transaction.is_open() {
                    return Err(Refusal::other("ERR DISCARD without MULTI"));
                }
                self.transaction.close();
                self.end_watches().await;
                reply.ok();
                Ok(())
            }
            TransactionStep::Watch => self.watch(args, reply).await,
            TransactionStep::Unwatch => {
                self.end_watches().await;
                reply.ok();
                Ok(())
            }
            TransactionStep::Exec => self.exec(OnError::GoOn, reply).await,
            TransactionStep::SwExec => self.exec(OnError::parse(args)?, reply).await,
        };
        self.note_transaction();
        result
    }

    /// Queues a command and says so.
    pub(super) fn queue(
        &mut self,
        command: &'static Command,
        args: &Args<'_>,
        reply: &mut Reply<'_>,
    ) -> Result<(), Refusal> {
        // As in Redis, a subcommand that does not exist is found here and not by EXEC.
        // Redis may know more of its own.
        let theirs = matches!(command.run, Run::NeedsTier);
        if !theirs && !command.subcommands.is_empty() && args.len() > 1 {
            subcommand::find(command.name, command.subcommands, args)?;
        }
        let watches = !self.transaction.watched().is_empty();
        check_together(self.transaction.commands(), (command, *args), watches)?;
        if !self.transaction.push(command, args, self.bounds.query_buffer) {
            return Err(Refusal::other(
                "ERR the transaction is larger than server.query_buffer; it will be discarded",
            ));
        }
        reply.simple("QUEUED");
        self.note_transaction();
        Ok(())
    }

    /// Leaves MULTI without running anything: RESET.
    pub(super) fn forget_transaction(&mut self) {
        self.transaction.close();
        // The stores drop the flag when they meet it.
        self.transaction.unwatch();
        self.note_transaction();
    }

    fn note_transaction(&self) {
        let queued = self.transaction.is_open().then(|| self.transaction.queued());
        self.session.client().note_transaction(queued, self.transaction.watched().len());
    }

    async fn exec(&mut self, on_error: OnError, reply: &mut Reply<'_>) -> Result<(), Refusal> {
        if !self.transaction.is_open() {
            return Err(Refusal::other("ERR EXEC without MULTI"));
        }
        let Verdict::Run(queue) = self.transaction.close() else {
            self.end_watches().await;
            return Err(Refusal::other(
                "EXECABORT Transaction discarded because of previous errors.",
            ));
        };
        let result = self.run_queue(&queue, on_error, reply).await;
        self.end_watches().await;
        result
    }

    async fn run_queue(
        &mut self,
        queue: &[Queued],
        on_error: OnError,
        reply: &mut Reply<'_>,
    ) -> Result<(), Refusal> {
        let rolls_back = on_error == OnError::RollBack;
        if rolls_back {
            rollback::check(queue)?;
        }
        let is_theirs = |queued: &Queued| matches!(queued.command.run, Run::NeedsTier);
        if queue.iter().any(is_theirs) {
            return self.exec_in_redis(queue, reply).await;
        }
        let daemon = std::sync::Arc::clone(&self.daemon);
        let mut wanted = ShardSet::none(daemon.shards.len());
        for queued in queue {
            self.add_shards(queued.command, &queued.args(), &mut wanted);
        }
        for watched in self.transaction.watched() {
            wanted.add(daemon.shards.of(watched.hash));
        }
        let commands: Vec<_> = queue.iter().map(|q| (q.command, q.args())).collect();
        let Asked { view, keys, passable } = self.asking(&commands);
        let (mut borrowed, mut questions, now) =
            informed::borrow(&daemon, self.bounds.recovery_wait, &wanted, &view, &keys).await?;
        let theirs = queue.iter().all(|q| is_known_to_redis(q.command, &q.args()));
        let theirs = theirs && !rolls_back && self.transaction.watched().is_empty();
        if theirs
            && (questions.met_foreign() || informed::meet_passage(&keys, &mut borrowed, &view, now))
        {
            drop(borrowed);
            return self.exec_in_redis(queue, reply).await;
        }
        borrowed.sign(&self.session.client().author);
        if self.is_stale(&mut borrowed, now) {
            borrowed.collect();
            drop(borrowed.finish().await);
            reply.null_array();
            return Ok(());
        }
        if !rolls_back && passable.iter().any(|key| questions.is_foreign(*key)) {
            drop(borrowed);
            return Err(self.foreign(queue));
        }
        if informed::meet_passage(&keys, &mut borrowed, &view, now) {
            drop(borrowed);
            return Err(Refusal::other(
                "TIERDOWN not applied: Redis is running a command on a key of this transaction, which \
                 it can not run as well; try again",
            ));
        }
        let writable = daemon.shards.journal().writable();
        let writes = queue.iter().any(|q| q.command.flags.has(Flags::WRITE));
        if let (true, Err(error)) = (writes, &writable) {
            // Refused as a whole: half a transaction would be worse than none.
            drop(borrowed);
            return Err(crate::resp::round::not_writable(error));
        }
        let db = self.session.db;
        if rolls_back {
            borrowed.open_scope(now);
        }
        let mut answers: Vec<Option<Vec<u8>>> = Vec::with_capacity(queue.len());
        let mut owed = 0;
        let mut for_redis = false;
        for (number, queued) in (1..).zip(queue) {
            let mut out = Vec::new();
            // A SELECT among them leads there, or away.
            for_redis |= self.writes_to_tier(queued.command, &queued.args());
            let done = self.run_queued(
                queued,
                (&mut borrowed, &mut questions, view.near),
                now,
                &writable,
                &mut out,
            );
            if let Some(error) = rollback::error_in(&out).filter(|_| rolls_back) {
                borrowed.roll_back();
                self.session.select(db);
                // Nothing was written, so there is nothing whose outcome could be unknown.
                drop(borrowed.finish().await);
                return Err(rollback::rolled_back(number, queued.command, &error));
            }
            owed += out.len();
            if owed > self.bounds.output_buffer {
                // It was executed, and so were those before it: only its reply has no room.
                owed -= out.len();
                out = Vec::new();
                Reply::new(&mut out, self.session.proto).error(LEFT_OUT);
                self.daemon.stats.failed(queued.command, "ERR");
            }
            answers.push(done.then_some(out));
        }
        borrowed.keep();
        match borrowed.finish().await {
            Err(error) if writes => return Err(outcome_unknown(&error)),
            Ok(lsn) if for_redis && lsn > 0 => daemon.written(lsn, questions.waited).await,
            _ => {}
        }
        reply.array(queue.len());
        for (queued, answered) in queue.iter().zip(answers) {
            match answered {
                Some(out) => reply.raw(&out),
                None => self.run_waiting(queued, reply).await,
            }
        }
        Ok(())
    }

    /// What the tier has to tell about first: a SELECT among the commands leads to the tiered database, or away from it.
    fn asking<'a>(&self, commands: &[Item<'a>]) -> Asked<'a> {
        let (mut view, mut keys, mut passable) = (self.aware(), Vec::new(), Vec::new());
        for (command, args) in commands {
            if command.name == "select" {
                // One that names no database changes nothing.
                let db = integer::argument_i32(args.get(1)).ok();
                let db = db.and_then(|db| u8::try_from(db).ok()).filter(|db| *db < view.databases);
                view.db = db.unwrap_or(view.db);
            }
            let known = keys.len();
            let needed = informed::keys(&view, command, args);
            keys.extend(needed.map(|(key, need)| (key, need.among_others())));
            if is_known_to_redis(command, args) {
                passable.extend(keys.iter().skip(known).map(|(key, _)| *key));
            }
        }
        view.near = view.near.filter(|_| !keys.is_empty());
        Asked { view, keys, passable }
    }

    /// Why a transaction is discarded that only Redis could run, and can't.
    fn foreign(&self, queue: &[Queued]) -> Refusal {
        let ours = queue.iter().find(|q| !is_known_to_redis(q.command, &q.args()));
        Refusal::other(match ours {
            _ if !self.transaction.watched().is_empty() => {
                "EXECABORT Transaction discarded because of: a key holds a type that only Redis has, \
                 where nothing is watched; use EVAL, which Redis runs"
                    .to_owned()
            }
            Some(ours) => format!(
                "EXECABORT Transaction discarded because of: a key holds a type that only Redis has, \
                 and '{}' is not run by Redis: no transaction can hold both",
                ours.command.name
            ),
            None => Refusal::Foreign.to_string(),
        })
    }

    /// The view of a command that may lead to the tiered database from another one.
    pub(super) fn aware(&self) -> View {
        let near = self.daemon.tier.asked().and_then(|tier| tier.near(TIERED));
        View { near, ..self.view() }
    }

    /// Whether a command writes what Redis is to have.
    pub(super) fn writes_to_tier(&self, command: &Command, args: &Args<'_>) -> bool {
        command.flags.has(Flags::WRITE)
            && (self.session.db == TIERED || leads_to_tier(command, args))
    }

    /// Has Redis run the transaction: it holds the types of some of its keys.
    async fn exec_in_redis(
        &mut self,
        queue: &[Queued],
        reply: &mut Reply<'_>,
    ) -> Result<(), Refusal> {
        let items: Vec<Item<'_>> = queue.iter().map(|q| (q.command, q.args())).collect();
        for (command, args) in &items {
            self.tally.command(command);
            self.session.permits(command, args).map_err(|denied| no_longer_allowed(&denied))?;
        }
        self.passing(&std::sync::Arc::clone(&self.daemon)).transaction(&items, reply).await
    }

    /// Runs one queued command at once; `false` if it has to wait for something, which it must
    /// not do while stores are borrowed.
    fn run_queued(
        &mut self,
        queued: &Queued,
        (borrowed, questions, near): (&mut Borrowed<'_>, &mut Questions, Option<TierView>),
        now: u64,
        writable: &Result<(), seawall_actors::journal::JournalError>,
        out: &mut Vec<u8>,
    ) -> bool {
        self.tally.command(queued.command);
        let args = queued.args();
        let mut reply = Reply::new(out, self.session.proto);
        if let Err(denied) = self.session.permits(queued.command, &args) {
            let code = answer(&no_longer_allowed(&denied), &mut reply);
            self.daemon.stats.failed(queued.command, code.as_str());
            return true;
        }
        match queued.command.run {
            Run::Data(run) | Run::AllShards(run) => {
                let (command, view) = (queued.command, View { near, ..self.view() });
                let keys: Vec<Needed<'_>> = informed::keys(&view, command, &args).collect();
                let item = (command, &args);
                let done = match informed::judge(questions, item, &keys, borrowed, &view, now) {
                    Err(Refusal::WrongType) if view.db != TIERED => {
                        reply.int(0);
                        Ok(())
                    }
                    Err(refusal) => Err(answer(&refusal, &mut reply)),
                    Ok(()) => {
                        let scope = view.scope(now, &self.bounds.limits);
                        let mut keyspace =
                            Keyspace::new(Stores::Many(borrowed.stores()), scope, None);
                        let done =
                            execute(command, run, &args, &mut keyspace, &mut reply, writable);
                        discard(keyspace.take_discarded());
                        if let Some(reader) = self.session.reader() {
                            reader.note(command, &args);
                        }
                        done
                    }
                };
                borrowed.collect();
                if let Err(code) = done {
                    self.daemon.stats.failed(queued.command, code.as_str());
                }
            }
            Run::Session(run) => {
                if let Err(refusal) = run(&mut self.session, &args, &mut reply) {
                    reply.truncate(0);
                    let code = answer(&refusal, &mut reply);
                    self.daemon.stats.failed(queued.command, code.as_str());
                }
            }
            // UNWATCH inside MULTI does nothing: EXEC ends the watches anyway.
            Run::Transaction(_) => reply.ok(),
            Run::Async(_) => return false,
            // A transaction with such a command is run by Redis.
            Run::NeedsTier => reply.error(&needs_tier(queued.command).to_string()),
        }
        true
    }

    /// Runs a queued command that waits (INFO, CONFIG, …), after the stores have gone home.
    async fn run_waiting(&mut self, queued: &Queued, reply: &mut Reply<'_>) {
        if let Run::Async(run) = queued.command.run {
            let mark = reply.len();
            if let Err(refusal) = run(&mut self.session, queued.args(), reply).await {
                reply.truncate(mark);
                let code = answer(&refusal, reply);
                self.daemon.stats.failed(queued.command, code.as_str());
            }
        }
    }
}

/// Settings have changed since the command was queued. The text is Redis'.
#[cold]
fn no_longer_allowed(denied: &Denied) -> Refusal {
    let reason = match denied.reason() {
        Reason::Command => "no permission to execute the command or subcommand",
        Reason::Key => "no permission to touch the specified keys",
        Reason::Channel => {
            "no permission to access one of the channels used as arguments to the command"
        }
    };
    Refusal::other(format!(
        "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC \
         call. This command is no longer allowed for the following reason: {reason}"
    ))
}
