//! A live connection: to one server, or to all masters of a Cluster.

use futures_util::future::join_all;
use redis::aio::{ConnectionLike as _, MultiplexedConnection};
use redis::cluster_async::ClusterConnection;
use redis::{Cmd, Pipeline, RedisResult, ServerError, Value};

/// Cheap to clone; clones share what is under way.
#[derive(Clone)]
pub(super) enum Connection {
    /// One server; what is sent stays in order.
    Server(MultiplexedConnection),
    /// A Cluster. The library follows MOVED and ASK, and the changes of the slots.
    Cluster(ClusterConnection),
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
    /// One command. An error reply is [`Value::ServerError`].
    pub async fn command(&mut self, command: &Cmd) -> RedisResult<Value> {
        match self {
            Self::Server(server) => server.send_packed_command(command).await,
            Self::Cluster(cluster) => as_reply(cluster.req_packed_command(command).await),
        }
    }

    /// Several commands; replies are in their order. On a Cluster they are executed side by side,
    /// each where its key lives, unless they are a transaction.
    pub async fn pipeline(&mut self, commands: &Pipeline) -> RedisResult<Vec<Value>> {
        match self {
            Self::Server(server) => server.send_packed_commands(commands, 0, commands.len()).await,
            Self::Cluster(cluster) if commands.is_transaction() => {
                cluster.req_packed_commands(commands, commands.len() + 1, 1).await
            }
            Self::Cluster(cluster) => {
                let replies = commands.cmd_iter().map(|command| {
                    let mut cluster = cluster.clone();
                    async move { as_reply(cluster.req_packed_command(command).await) }
                });
                join_all(replies).await.into_iter().collect()
            }
        }
    }
}

/// The Cluster's connection makes errors of error replies; here they are replies.
fn as_reply(answer: RedisResult<Value>) -> RedisResult<Value> {
    answer.or_else(|error| ServerError::try_from(error).map(Value::ServerError))
}
