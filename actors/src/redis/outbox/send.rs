//! A batch on its way: the commands of one transaction, and what its answers say.

use redis::{Cmd, Pipeline, Value};

use super::Conflict;
use super::batch::{Act, Batch};
use super::fence::{self, Fenced, refusal};
use super::heard::Heard;
use crate::clock::UnixMs;
use crate::journal::Lsn;

/// Everything that decides which command a change becomes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules<'a> {
    pub conflict: Conflict,
    /// What was logged by then has waited for a Redis that was away.
    pub away_until_ms: UnixMs,
    /// What others have changed.
    pub heard: &'a Heard,
    /// Time now.
    pub now: UnixMs,
    /// Keys live on several nodes.
    pub cluster: bool,
}

impl Rules<'_> {
    /// Redis' own state wins over what was written while it was away: only gaps are filled.
    fn fills(&self, logged: UnixMs) -> bool {
        self.conflict == Conflict::Redis && logged <= self.away_until_ms
    }

    /// Somebody else's later write of the key wins.
    fn loses(&self, key: &[u8], logged: UnixMs) -> bool {
        self.conflict != Conflict::Local && self.heard.is_newer(key, logged)
    }

    /// Whether a key that was deleted here goes in Redis, too.
    pub fn deletes(&self, key: &[u8], logged: UnixMs) -> bool {
        !self.fills(logged) && !self.loses(key, logged)
    }
}

/// One transaction. On a Cluster there is none over several nodes: what changes keys goes to all
/// of them side by side, and the markers only after it, so that they never say too much.
#[derive(Debug)]
pub(super) struct Transaction {
    /// What is to be executed before the rest, on a Cluster.
    pub before: Option<Cmd>,
    pub pipeline: Pipeline,
    cluster: bool,
    /// Commands that change something; between MULTI and EXEC, if those are there.
    commands: usize,
    /// Which of them ask whether Redis has the key already.
    asks: Vec<(usize, Box<[u8]>)>,
    /// Keys whose own writes are not even sent.
    lost: Vec<Box<[u8]>>,
    /// Changes that are sent.
    pub changes: u64,
}

/// What a transaction came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was executed; others' writes of these keys stay.
    Done(Vec<Box<[u8]>>),
    /// Somebody has touched the marker: nothing was executed.
    Overtaken,
    /// Redis refused it as a whole, in these words.
    Refused(String),
}

impl Transaction {
    /// The batch, and behind it the marker, which says `reached`; a Cluster's are sent by themselves.
    pub fn new(batch: &Batch, rules: Rules<'_>, marker: &str, reached: Lsn) -> Self {
        let mut this = Self {
            before: None,
            pipeline: Pipeline::new(),
            cluster: rules.cluster,
            commands: 0,
            asks: Vec::new(),
            lost: Vec::new(),
            changes: 0,
        };
        let flush = batch.flushes().then(|| redis::cmd("FLUSHDB").arg("ASYNC").to_owned());
        if rules.cluster {
            this.before = flush;
            this.changes_of(batch, rules);
            return this;
        }
        this.pipeline = fence::open();
        if let Some(flush) = flush {
            this.push(&flush);
        }
        this.changes_of(batch, rules);
        this.push(redis::cmd("SET").arg(marker).arg(reached));
        fence::close(&mut this.pipeline, marker);
        this
    }

    fn changes_of(&mut self, batch: &Batch, rules: Rules<'_>) {
        for (keyed, act) in batch.changes(rules.now) {
            self.change(&keyed.key, act, keyed.wall_ms, rules);
        }
    }

    fn push(&mut self, command: &Cmd) {
        self.pipeline.add_command(command.clone());
        self.commands += 1;
    }

    fn change(&mut self, key: &[u8], act: Act<'_>, logged: UnixMs, rules: Rules<'_>) {
        let fills = rules.fills(logged);
        if rules.loses(key, logged) || (fills && !matches!(act, Act::Set(..))) {
            self.lost.push(key.into());
            return;
        }
        let mut command = match act {
            Act::Set(value, _) => redis::cmd("SET").arg(key).arg(value).to_owned(),
            Act::Unlink => redis::cmd("UNLINK").arg(key).to_owned(),
            Act::ExpireAt(at) => redis::cmd("PEXPIREAT").arg(key).arg(at).to_owned(),
            Act::Persist => redis::cmd("PERSIST").arg(key).to_owned(),
        };
        if let Act::Set(_, Some(at)) = act {
            command.arg("PXAT").arg(at);
        }
        if fills {
            command.arg("NX");
            self.asks.push((self.commands, key.into()));
        }
        self.push(&command);
        self.changes += 1;
    }

    /// Takes in the answers.
    pub fn finish(self, answers: Vec<Value>) -> Outcome {
        if self.cluster {
            return self.judge(&answers);
        }
        match fence::judge(answers) {
            Fenced::Done(results) => self.judge(&results),
            Fenced::Overtaken => Outcome::Overtaken,
            Fenced::Refused(why) => Outcome::Refused(why),
        }
    }

    /// From the results of the commands that change something.
    fn judge(self, results: &[Value]) -> Outcome {
        if let Some(why) = results.iter().find_map(refusal) {
            return Outcome::Refused(why);
        }
        let Self { asks, mut lost, .. } = self;
        let kept = |at: &usize| matches!(results.get(*at), Some(Value::Nil));
        lost.extend(asks.into_iter().filter(|(at, _)| kept(at)).map(|(_, key)| key));
        Outcome::Done(lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Record;

    fn batch() -> Batch {
        let mut batch = Batch::default();
        batch.take(&Record::Set { db: 0, key: b"a", value: b"1", expires_at: None }, false, 10);
        batch.take(&Record::Set { db: 0, key: b"b", value: b"2", expires_at: Some(99) }, false, 20);
        batch.take(&Record::Delete { db: 0, key: b"c" }, false, 30);
        batch.take(&Record::Expire { db: 0, key: b"d", expires_at: Some(77) }, false, 30);
        batch
    }

    fn sent(conflict: Conflict, away_until_ms: UnixMs, heard: &Heard) -> (String, Vec<Box<[u8]>>) {
        let rules = Rules { conflict, away_until_ms, heard, now: 50, cluster: false };
        let transaction = Transaction::new(&batch(), rules, "m", 7);
        let words = |cmd: &Cmd| {
            let text = |arg| match arg {
                redis::Arg::Simple(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                _ => "?".to_owned(),
            };
            cmd.args_iter().map(text).collect::<Vec<_>>().join(" ")
        };
        let commands: Vec<_> = transaction.pipeline.cmd_iter().map(words).collect();
        (commands.join("; "), transaction.lost)
    }

    #[test]
    fn what_is_sent_is_one_transaction_with_the_marker_at_its_end() {
        let (commands, lost) = sent(Conflict::Local, 0, &Heard::default());
        let due =
            "MULTI; SET a 1; SET b 2 PXAT 99; UNLINK c; PEXPIREAT d 77; SET m 7; EXEC; WATCH m";
        assert_eq!((commands.as_str(), lost.len()), (due, 0));
    }

    #[test]
    fn somebody_elses_later_write_wins_unless_ours_always_do() {
        let mut heard = Heard::default();
        heard.note(b"a", 15);
        heard.note(b"b", 15);
        assert!(sent(Conflict::Local, 0, &heard).1.is_empty());
        for conflict in [Conflict::Newest, Conflict::Redis] {
            assert_eq!(sent(conflict, 0, &heard).1, [Box::from(&b"a"[..])]);
        }
    }

    #[test]
    fn what_waited_for_a_redis_that_was_away_only_fills_gaps_if_redis_is_to_win() {
        let (commands, lost) = sent(Conflict::Redis, 20, &Heard::default());
        let due = "MULTI; SET a 1 NX; SET b 2 PXAT 99 NX; UNLINK c; PEXPIREAT d 77; SET m 7; \
                   EXEC; WATCH m";
        assert_eq!((commands.as_str(), lost.len()), (due, 0));
        let (commands, lost) = sent(Conflict::Redis, 30, &Heard::default());
        assert_eq!(commands, "MULTI; SET a 1 NX; SET b 2 PXAT 99 NX; SET m 7; EXEC; WATCH m");
        assert_eq!(lost, [Box::from(&b"c"[..]), Box::from(&b"d"[..])]);
    }

    #[test]
    fn the_answers_say_who_has_won() {
        let heard = Heard::default();
        let rules = Rules {
            conflict: Conflict::Redis,
            away_until_ms: 99,
            heard: &heard,
            now: 50,
            cluster: false,
        };
        let transaction = Transaction::new(&batch(), rules, "m", 7);
        let queued = || Value::SimpleString("QUEUED".to_owned());
        let results = Value::Array(vec![Value::Okay, Value::Nil, Value::Okay]);
        let answers = vec![Value::Okay, queued(), queued(), queued(), results, Value::Okay];
        let lost = ["c", "d", "b"].map(|key| key.as_bytes().into()).to_vec();
        assert_eq!(transaction.finish(answers), Outcome::Done(lost));
    }
}
