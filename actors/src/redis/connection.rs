//! A live connection: to one server, or to the masters of a Cluster.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline, RedisResult, Value};
use tokio::time::timeout;

use super::cluster::Cluster;
use super::failure::{Failure, FailureKind};
use super::nodes::{Node, Share};
use super::skew::{ServerClock, Skew};
use crate::clock::Clock;

/// Cheap to clone; clones share what is under way.
#[derive(Clone)]
pub(super) enum Connection {
    /// One server; what is sent stays in order.
    Server(MultiplexedConnection),
    /// A Cluster; what is sent to one node stays in order.
    Cluster(Cluster),
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Server(_) => "Server",
            Self::Cluster(_) => "Cluster",
        })
    }
}

impl Connection {
    /// Whether it is one to a Cluster.
    pub const fn is_to_a_cluster(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }

    /// One command. An error reply is [`Value::ServerError`].
    pub async fn command(&mut self, command: &Cmd) -> RedisResult<Value> {
        match self {
            Self::Server(server) => server.send_packed_command(command).await,
            Self::Cluster(cluster) => cluster.command(command).await,
        }
    }

    /// One command to this node of the Cluster, whatever its key.
    pub async fn command_at(&mut self, node: &Node, command: &Cmd) -> RedisResult<Value> {
        match self {
            Self::Server(server) => server.send_packed_command(command).await,
            Self::Cluster(cluster) => cluster.command_at(node, command).await,
        }
    }

    /// Gives the connections to the nodes of a Cluster a name, and ends all others of that name
    /// there. An error reply is [`Value::ServerError`].
    pub async fn succeed(&mut self, name: &str) -> RedisResult<Value> {
        match self {
            Self::Server(_) => Ok(Value::Okay),
            Self::Cluster(cluster) => cluster.succeed(name).await,
        }
    }

    /// The nodes of the Cluster that have slots; none, if it is one server.
    pub fn masters(&self) -> BTreeSet<Node> {
        match self {
            Self::Server(_) => BTreeSet::new(),
            Self::Cluster(cluster) => cluster.masters(),
        }
    }

    /// What each of them has.
    pub fn shares(&self) -> Vec<Share> {
        match self {
            Self::Server(_) => Vec::new(),
            Self::Cluster(cluster) => cluster.shares(),
        }
    }

    /// Several commands; replies are in their order. On a Cluster they are executed side by side,
    /// each where its key lives: no transaction may be among them.
    pub async fn pipeline(&mut self, commands: &Pipeline) -> RedisResult<Vec<Value>> {
        match self {
            Self::Server(server) => server.send_packed_commands(commands, 0, commands.len()).await,
            Self::Cluster(cluster) => {
                let replies = commands.cmd_iter().map(|command| cluster.command(command));
                join_all(replies).await.into_iter().collect()
            }
        }
    }

    /// The nodes of the Cluster that it knows of.
    pub fn nodes(&self) -> BTreeSet<Node> {
        match self {
            Self::Server(_) => BTreeSet::new(),
            Self::Cluster(cluster) => cluster.nodes(),
        }
    }

    /// Asks every server for its time and compares it with ours. Who does not say is left out.
    pub async fn clocks(&mut self, within: Duration) -> Vec<ServerClock> {
        let servers = match self {
            Self::Server(server) => vec![(None, server.clone())],
            Self::Cluster(cluster) => {
                cluster.connected().map(|(node, server)| (Some(node), server)).collect()
            }
        };
        let asked = servers.into_iter().map(|(node, server)| async move {
            Some(ServerClock { node, skew: skew(server, within).await? })
        });
        join_all(asked).await.into_iter().flatten().collect()
    }

    /// Asks for a sign of life. Whether a fresh connection would have other servers behind it.
    ///
    /// # Errors
    /// There is none within this time, or something else came.
    pub async fn look(&mut self, within: Duration) -> Result<bool, Failure> {
        let server = match self {
            Self::Server(server) => server,
            Self::Cluster(cluster) => return cluster.look(within).await,
        };
        match timeout(within, server.send_packed_command(&redis::cmd("PING"))).await {
            Ok(Ok(answer)) => pong(&answer).map(|()| false),
            Ok(Err(error)) => Err(Failure::of(&error)),
            Err(_) => {
                let text = format!("no answer to PING within {within:?}: it hangs");
                Err(Failure::after(FailureKind::Deadline, text))
            }
        }
    }
}

/// How far the clock of one server is from ours; `None`: it does not say.
async fn skew(mut server: MultiplexedConnection, within: Duration) -> Option<Skew> {
    let (clock, ask) = (Clock::System, redis::cmd("TIME"));
    let asked = clock.unix_ms();
    let answer = timeout(within, server.send_packed_command(&ask)).await.ok()?.ok()?;
    Skew::of(&answer, asked, clock.unix_ms())
}

/// Whether this answers PING. Whoever answers something else has lost count of what was asked, and
/// would give one command the answer of another; or is no Redis.
pub(super) fn pong(answer: &Value) -> Result<(), Failure> {
    match answer {
        Value::SimpleString(text) if text == "PONG" => Ok(()),
        // It may refuse what it likes, for example with MISCONF while it cannot save: it lives.
        Value::ServerError(error) => Failure::of_reply(error).map_or(Ok(()), Err),
        _ => Err(Failure::after(FailureKind::Garbage, "PING was not answered by PONG")),
    }
}
