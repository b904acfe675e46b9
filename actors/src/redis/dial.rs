//! One connection, from the address to the first PONG.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo,
    ProtocolVersion, RedisResult, TlsCertificates, TlsMode, Value,
};
use tokio::time::timeout;

use super::connection::Connection;
use super::duty::{Duty, Ear};
use super::failure::{Failure, FailureKind};
use super::settings::LinkSettings;
use super::subscriptions::Subscriptions;
use super::tracker;

/// Commands that may wait to be encoded; those under way are bounded by the slot.
const PIPELINE_BUFFER: usize = 1024;
/// Bytes that are collected before they go to the socket.
const WRITE_BUFFER: usize = 64 << 10;
/// Tries within a Cluster, which follow a slot to where it has gone, and the least and most wait
/// between two of them in milliseconds. The command's own deadline is around them.
const CLUSTER_RETRIES: u32 = 8;
const CLUSTER_WAIT: (u64, u64) = (5, 200);

/// Connects, logs in, and sees that whoever is there answers. For one who tracks, Redis is asked to
/// announce changes.
///
/// # Errors
/// What is in the way, within `connect_timeout`. Nothing of the attempt is left.
pub(super) async fn dial(settings: &Arc<LinkSettings>, ear: Ear) -> Result<Connection, Failure> {
    let at = settings.shown();
    let within = settings.connect_timeout;
    match timeout(within, connect(settings, ear)).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(failure)) => Err(Failure { text: format!("{at}: {}", failure.text), ..failure }),
        Err(_) => Err(Failure::before(
            FailureKind::Deadline,
            format!("{at}: no connection within {within:?} (redis.connect_timeout)"),
        )),
    }
}

async fn connect(settings: &Arc<LinkSettings>, ear: Ear) -> Result<Connection, Failure> {
    let prepared = Prepared::of(settings).await?;
    let failed = |error: redis::RedisError| Failure::of(&error);
    let duty = ear.duty.clone();
    // A Cluster brings what is published to every node.
    let one_node = match &duty {
        Duty::Listen(subscriptions) if settings.cluster => Some(subscriptions),
        _ => None,
    };
    let mut connection = if settings.cluster && one_node.is_none() {
        if let Duty::Track(tracking) = &duty {
            // Its library connects to nodes on its own account, and says nothing.
            tracking.answered(Err("the nodes of a Cluster are not tracked".to_owned()));
        }
        let cluster = prepared.cluster(settings).map_err(failed)?;
        Connection::Cluster(cluster.get_async_connection().await.map_err(failed)?)
    } else {
        let client = if settings.sentinels.is_empty() {
            let node = one_node.and_then(Subscriptions::next_node);
            prepared.at(node).client().map_err(failed)?
        } else {
            // Sentinel's word is not enough: whoever it names is asked for its role, too.
            prepared.sentinel(settings).map_err(failed)?.async_get_client().await.map_err(failed)?
        };
        let mut config = AsyncConnectionConfig::new()
            // Whoever calls has a deadline; connecting has one around all of this.
            .set_response_timeout(None)
            .set_connection_timeout(None)
            .set_pipeline_buffer_size(PIPELINE_BUFFER)
            .set_write_backpressure_boundary(WRITE_BUFFER);
        if !matches!(duty, Duty::Commands) {
            config = config.set_push_sender(move |push| {
                ear.hear(push);
                Ok::<(), Infallible>(())
            });
        }
        let server = client.get_multiplexed_async_connection_with_config(&config);
        let mut server = Connection::Server(server.await.map_err(failed)?);
        let mut name = redis::cmd("CLIENT");
        name.arg("SETNAME").arg(&settings.client_name);
        server.command(&name).await.map_err(failed)?;
        if let Duty::Track(tracking) = &duty {
            let request = tracker::request(&settings.track_prefixes);
            tracking.answered(match server.command(&request).await.map_err(failed)? {
                Value::ServerError(error) => match Failure::of_reply(&error) {
                    Some(failure) => return Err(failure),
                    None => Err(format!("allow the user CLIENT TRACKING; Redis says: {error}")),
                },
                _ => Ok(()),
            });
        }
        if let Some(subscriptions) = one_node {
            let mut slots = redis::cmd("CLUSTER");
            slots.arg("SLOTS");
            let slots = server.command(&slots).await.map_err(failed)?;
            subscriptions.learn_nodes(&slots, &settings.host());
        }
        server
    };
    // One that is loading accepts connections and logins; only a command finds out.
    pong(&connection.command(&redis::cmd("PING")).await.map_err(failed)?)?;
    Ok(connection)
}

/// Whether this answers PING. Whoever answers something else has lost count of what was asked, and
/// would give one command the answer of another; or is no Redis.
fn pong(answer: &Value) -> Result<(), Failure> {
    match answer {
        Value::SimpleString(text) if text == "PONG" => Ok(()),
        // It may refuse what it likes, for example with MISCONF while it cannot save: it lives.
        Value::ServerError(error) => Failure::of_reply(error).map_or(Ok(()), Err),
        _ => Err(Failure::after(FailureKind::Garbage, "PING was not answered by PONG")),
    }
}

/// Where a connection of one's own goes, and who one is there: Sentinels are asked. Of a Cluster,
/// the node in `redis.url`.
///
/// # Errors
/// Nobody could tell, or a file can't be read.
pub(super) async fn whereabouts(settings: &Arc<LinkSettings>) -> Result<ConnectionInfo, Failure> {
    let prepared = Prepared::of(settings).await?;
    if settings.sentinels.is_empty() {
        return Ok(prepared.info);
    }
    let failed = |error: redis::RedisError| Failure::of(&error);
    let mut sentinels = prepared.sentinel(settings).map_err(failed)?;
    let master = sentinels.async_get_client().await.map_err(failed)?;
    Ok(master.get_connection_info().clone())
}

/// What connecting needs, files included.
struct Prepared {
    info: ConnectionInfo,
    certificates: Option<TlsCertificates>,
}

impl Prepared {
    async fn of(settings: &Arc<LinkSettings>) -> Result<Self, Failure> {
        let wrong = |text: String| Failure::before(FailureKind::Auth, text);
        let own = Arc::clone(settings);
        // Files: not on the runtime's threads.
        tokio::task::spawn_blocking(move || Self::read(&own))
            .await
            .map_err(|died| wrong(died.to_string()))?
            .map_err(wrong)
    }

    /// Blocks on files.
    fn read(settings: &LinkSettings) -> Result<Self, String> {
        let info = settings.info()?;
        let tls = matches!(info.addr(), ConnectionAddr::TcpTls { .. });
        if !tls || settings.tls == super::TlsFiles::default() {
            return Ok(Self { info, certificates: None });
        }
        let root_cert = settings.tls.ca.as_deref().map(read).transpose()?;
        let client_tls = match &settings.tls.client {
            Some((cert, key)) => {
                Some(ClientTlsConfig { client_cert: read(cert)?, client_key: read(key)? })
            }
            None => None,
        };
        Ok(Self { info, certificates: Some(TlsCertificates { client_tls, root_cert }) })
    }

    /// The same for another node of a Cluster, if one is named.
    fn at(mut self, node: Option<(String, u16)>) -> Self {
        let Some((host, port)) = node else { return self };
        let addr = match self.info.addr() {
            ConnectionAddr::TcpTls { .. } => {
                ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
            }
            _ => ConnectionAddr::Tcp(host, port),
        };
        self.info = self.info.set_addr(addr);
        self
    }

    fn client(self) -> RedisResult<Client> {
        match self.certificates {
            Some(certificates) => Client::build_with_tls(self.info, certificates),
            None => Client::open(self.info),
        }
    }

    /// The host of the URL is the name that Sentinels know the master by.
    fn sentinel(self, settings: &LinkSettings) -> RedisResult<SentinelClient> {
        let tls = matches!(self.info.addr(), ConnectionAddr::TcpTls { .. });
        let sentinels = settings.sentinels.iter().map(|(host, port)| match tls {
            true => ConnectionAddr::TcpTls {
                host: host.clone(),
                port: *port,
                insecure: false,
                tls_params: None,
            },
            false => ConnectionAddr::Tcp(host.clone(), *port),
        });
        let who = self.info.redis_settings();
        let name = host(&self.info);
        let mut builder = SentinelClientBuilder::new(sentinels, name, SentinelServerType::Master)?
            .set_client_to_redis_db(who.db())
            .set_client_to_redis_protocol(ProtocolVersion::RESP3);
        if let Some(username) = who.username() {
            builder = builder.set_client_to_redis_username(username);
        }
        if let Some(password) = who.password() {
            builder = builder.set_client_to_redis_password(password);
        }
        if tls {
            builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
        }
        if let Some(certificates) = self.certificates {
            builder = builder
                .set_client_to_redis_certificates(certificates.clone())
                .set_client_to_sentinel_certificates(certificates);
        }
        builder.build()
    }

    /// The URL's host is where the other nodes are learnt from.
    fn cluster(self, settings: &LinkSettings) -> RedisResult<ClusterClient> {
        let mut builder = ClusterClientBuilder::new([self.info])
            .use_protocol(ProtocolVersion::RESP3)
            .connection_timeout(settings.connect_timeout)
            .response_timeout(settings.timeout)
            .retries(CLUSTER_RETRIES)
            .min_retry_wait(CLUSTER_WAIT.0)
            .max_retry_wait(CLUSTER_WAIT.1);
        if let Some(certificates) = self.certificates {
            builder = builder.certs(certificates);
        }
        builder.build()
    }
}

fn host(info: &ConnectionInfo) -> String {
    match info.addr() {
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host.clone(),
        other => other.to_string(),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|e| format!("{} cannot be read: {e}", path.display()))
}

/// Asks for a sign of life.
pub(super) async fn ping(mut connection: Connection, within: Duration) -> Result<(), Failure> {
    match timeout(within, connection.command(&redis::cmd("PING"))).await {
        Ok(Ok(answer)) => pong(&answer),
        Ok(Err(error)) => Err(Failure::of(&error)),
        Err(_) => {
            let text = format!("no answer to PING within {within:?}: it hangs");
            Err(Failure::after(FailureKind::Deadline, text))
        }
    }
}
