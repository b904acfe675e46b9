//! Who a Redis is: which process, with the history of whose writes.
//!
//! A key that is no longer there has three causes: the data was lost, it is another Redis, or somebody
//! has taken the key away, by hand, by emptying Redis, or by an eviction. A process that still runs and has
//! followed nobody since (`run_id` and `master_replid` of INFO) has lost nothing by itself, so that only
//! the last is left. A restart changes the first of them; a failover, or a copy of another's data, the
//! second.

use futures_util::future::try_join_all;
use redis::{Cmd, Value};
use sha2::{Digest as _, Sha256};

use super::pump::{Pump, Trouble};

/// One Redis, or all masters of a Cluster together. Two that are the same are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Who(pub [u8; Self::LEN]);

impl Who {
    /// Bytes of it.
    pub const LEN: usize = 32;

    /// From what each server answered to INFO, and our database there. `None`: one of them does not say.
    fn of(database: i64, answers: &[Value]) -> Option<Self> {
        let mut servers = answers.iter().map(server).collect::<Option<Vec<_>>>()?;
        if servers.is_empty() {
            return None;
        }
        // However the masters are asked.
        servers.sort_unstable();
        Some(Self(Sha256::digest(format!("{database}\n{}", servers.concat())).into()))
    }
}

/// The process and its history.
fn server(info: &Value) -> Option<String> {
    let text = match info {
        Value::VerbatimString { text, .. } => text.as_str(),
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok()?,
        _ => return None,
    };
    let field = |name: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once(':'));
        let (_, id) = lines.find(|(field, _)| *field == name)?;
        // Services that hide it answer with zeros.
        id.bytes().any(|b| b != b'0').then_some(id)
    };
    Some(format!("{} {}\n", field("run_id")?, field("master_replid")?))
}

fn ask() -> Cmd {
    redis::cmd("INFO").arg("server").arg("replication").to_owned()
}

/// A Redis that was met.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    /// Over this connection; 0: over one of an earlier process.
    pub epoch: u64,
    /// Who it was; `None`: it does not say.
    pub who: Option<Who>,
}

impl Known {
    /// Whether it is the one that is met now: over the same connection, or the same by its own word.
    pub fn is(&self, now: Self) -> bool {
        self.epoch == now.epoch || (self.who.is_some() && self.who == now.who)
    }
}

impl Pump {
    /// Who is at the other end of the connection. Asked once for each: a connection ends with the process.
    ///
    /// # Errors
    /// There is no answer. One that refuses to tell is nobody that is known.
    pub(super) async fn identify(&mut self) -> Result<Known, Trouble> {
        if self.met.epoch != self.epoch {
            // The settings before the question: that is answered only if it is still this connection.
            let database = self.args.pool.made_with().map_or(0, |made_with| made_with.database());
            let answers = self.ask_who().await?;
            self.met = Known { epoch: self.epoch, who: Who::of(database, &answers) };
        }
        Ok(self.met)
    }

    async fn ask_who(&self) -> Result<Vec<Value>, Trouble> {
        let (ask, pool) = (ask(), &self.args.pool);
        let answers = if self.cluster {
            let masters = pool.masters();
            let asked = masters.iter().map(|node| pool.run_at(node, &ask, self.request(0)));
            try_join_all(asked).await
        } else {
            pool.run(&ask, self.request(0)).await.map(|answer| vec![answer])
        };
        answers.map_err(|failure| self.trouble(failure))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(run_id: &str, replid: &str) -> Value {
        let text = format!(
            "# Server\r\nredis_version:7.0.15\r\nrun_id:{run_id}\r\n\r\n# Replication\r\n\
             role:master\r\nmaster_replid:{replid}\r\nmaster_replid2:{}\r\n",
            "0".repeat(40)
        );
        Value::BulkString(text.into_bytes())
    }

    #[test]
    fn it_is_the_same_as_long_as_process_history_and_database_are() {
        let one = Who::of(0, &[info("a1", "b1")]);
        assert!(one.is_some());
        assert_eq!(Who::of(0, &[info("a1", "b1")]), one);
        for other in [(0, "a2", "b1"), (0, "a1", "b2"), (1, "a1", "b1"), (0, "b1", "a1")] {
            assert_ne!(Who::of(other.0, &[info(other.1, other.2)]), one, "{other:?}");
        }
    }

    #[test]
    fn the_masters_of_a_cluster_are_one_in_whatever_order() {
        let both = [info("a1", "b1"), info("a2", "b2")];
        let [first, second] = both.clone();
        let all = Who::of(0, &both);
        assert_eq!(Who::of(0, &[second, first.clone()]), all);
        assert_ne!(Who::of(0, std::slice::from_ref(&first)), all, "one has gone");
        assert_ne!(Who::of(0, &[first, info("a3", "b2")]), all, "one was started anew");
    }

    #[test]
    fn who_does_not_say_is_nobody_that_is_known() {
        let refused = redis::parse_redis_value(b"-NOPERM no permission\r\n").unwrap_or(Value::Nil);
        let zeros = "0".repeat(40);
        for answer in [refused, Value::Nil, info("", "b1"), info(&zeros, "b1"), info("a1", &zeros)]
        {
            assert_eq!(Who::of(0, &[info("a1", "b1"), answer]), None);
        }
        assert_eq!(Who::of(0, &[]), None);
        let nobody = |epoch| Known { epoch, who: None };
        assert!(nobody(3).is(nobody(3)), "over the same connection");
        assert!(!nobody(3).is(nobody(4)));
    }

    #[test]
    fn one_that_is_known_is_the_same_over_every_connection() {
        let over = |epoch, id| Known { epoch, who: Who::of(0, &[info(id, "b")]) };
        assert!(over(0, "a1").is(over(1, "a1")));
        assert!(!over(0, "a1").is(over(1, "a2")));
    }
}
