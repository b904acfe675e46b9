//! One connection, from the address to the first PONG.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo,
    ProtocolVersion, RedisResult, TlsCertificates, TlsMode, Value,
};
use tokio::time::timeout;

use super::advice::advised;
use super::cluster::Cluster;
use super::connection::{Connection, pong};
use super::duty::{Duty, Ear};
use super::failure::{Failure, FailureKind};
use super::nodes::Node;
use super::settings::{self, LinkSettings, Password};
use super::tracker;

/// Commands that may wait to be encoded; those under way are bounded by the slot.
const PIPELINE_BUFFER: usize = 1024;
/// Bytes that are collected before they go to the socket.
const WRITE_BUFFER: usize = 64 << 10;

/// A connection, and whom it is to.
pub(super) struct Dialed {
    pub connection: Connection,
    /// The master that Sentinels named; `None`: there are none.
    pub master: Option<Node>,
}

/// Connects, logs in, and sees that whoever is there answers. For one who tracks, Redis is asked to
/// announce changes. Of a Cluster these nodes are known, beside the one in the settings.
///
/// # Errors
/// What is in the way, within `connect_timeout`; a Cluster has that for whoever tells of its nodes,
/// and once more for them. Nothing of the attempt is left.
pub(super) async fn dial(
    settings: &Arc<LinkSettings>,
    ear: Option<Ear>,
    known: BTreeSet<Node>,
) -> Result<Dialed, Failure> {
    let at = settings.shown();
    let within = settings.connect_timeout * if settings.cluster { 2 } else { 1 };
    match timeout(within, connect(settings, ear, known)).await {
        Ok(Ok(dialed)) => Ok(dialed),
        Ok(Err(failure)) => {
            Err(Failure { text: advised(format!("{at}: {}", failure.text)), ..failure })
        }
        Err(_) => Err(Failure::before(
            FailureKind::Deadline,
            format!("{at}: no connection within {within:?} (redis.connect_timeout)"),
        )),
    }
}

async fn connect(
    settings: &Arc<LinkSettings>,
    ear: Option<Ear>,
    known: BTreeSet<Node>,
) -> Result<Dialed, Failure> {
    let prepared = Prepared::of(settings).await?;
    let failed = |error: redis::RedisError| Failure::of(&error);
    let duty = ear.as_ref().map(|ear| ear.duty.clone());
    let mut master = None;
    let (connection, hears) = if settings.cluster {
        let dialer = Dialer { prepared, settings: Arc::clone(settings), ear };
        if let Some(Duty::Listen(subscriptions)) = &duty {
            // A Cluster brings what is published to every node.
            let node = subscriptions.next_node(dialer.home()?, known);
            let connection = Connection::Server(dialer.greet(&node, true).await?.server);
            return Ok(Dialed { connection, master: None });
        }
        let cluster = Cluster::connect(dialer, known).await?;
        let hears = cluster.hears();
        (Connection::Cluster(cluster), hears)
    } else {
        let client = if settings.sentinels.is_empty() {
            prepared.client().map_err(failed)?
        } else {
            let mut sentinels = prepared.sentinel(settings).map_err(failed)?;
            let (client, named) = appointed(&mut sentinels).await?;
            master = Some(named);
            client
        };
        let Greeted { server, deaf } = greet(&client, settings, ear).await?;
        (Connection::Server(server), deaf.map_or(Ok(()), Err))
    };
    if let Some(Duty::Track(tracking)) = duty {
        tracking.answered(hears);
    }
    Ok(Dialed { connection, master })
}

/// The master. The Sentinels' word is not enough: whoever they name is asked for its role, too.
async fn appointed(sentinels: &mut SentinelClient) -> Result<(Client, Node), Failure> {
    let client = sentinels.async_get_client().await.map_err(|error| Failure::of(&error))?;
    let (ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. }) =
        client.get_connection_info().addr()
    else {
        let text = "the Sentinels name a master without host and port";
        return Err(Failure::before(FailureKind::Garbage, text));
    };
    let master = Node { host: host.as_str().into(), port: *port };
    Ok((client, master))
}

/// Sentinels that are asked again and again. Connections to them stay.
pub(super) struct Sentinels(SentinelClient);

impl Sentinels {
    /// Those of these settings.
    ///
    /// # Errors
    /// A file can't be read.
    pub async fn of(settings: &Arc<LinkSettings>) -> Result<Self, Failure> {
        let prepared = Prepared::of(settings).await?;
        prepared.sentinel(settings).map(Self).map_err(|error| Failure::of(&error))
    }

    /// Who is the master now, and says so itself. Safe to cancel.
    ///
    /// # Errors
    /// Nobody could tell.
    pub async fn master(&mut self) -> Result<Node, Failure> {
        appointed(&mut self.0).await.map(|(_, master)| master)
    }
}

/// How the nodes of a Cluster are connected to.
pub(super) struct Dialer {
    prepared: Prepared,
    settings: Arc<LinkSettings>,
    ear: Option<Ear>,
}

/// A server that answers.
pub(super) struct Greeted {
    pub server: MultiplexedConnection,
    /// Why it does not announce what others change, although it was asked to.
    pub deaf: Option<String>,
}

impl Dialer {
    pub fn settings(&self) -> &LinkSettings {
        &self.settings
    }

    /// The node in `redis.url`.
    ///
    /// # Errors
    /// It is no address of a node.
    pub fn home(&self) -> Result<Node, Failure> {
        self.settings.home().ok_or_else(|| {
            let at = self.settings.shown();
            let text = format!("{at} is no node of a Cluster: they are found by host and port");
            Failure::before(FailureKind::Broken, text)
        })
    }

    /// Connects to a node and logs in. What it says is heard if it `speaks` and somebody wants to
    /// hear it.
    ///
    /// # Errors
    /// What is in the way.
    pub async fn greet(&self, node: &Node, speaks: bool) -> Result<Greeted, Failure> {
        let client = self.prepared.at(node).client().map_err(|error| Failure::of(&error))?;
        greet(&client, &self.settings, self.ear.clone().filter(|_| speaks)).await
    }
}

/// Connects to a server, logs in, and asks it for a sign of life; for one who tracks, to announce
/// changes.
async fn greet(
    client: &Client,
    settings: &LinkSettings,
    ear: Option<Ear>,
) -> Result<Greeted, Failure> {
    let failed = |error: redis::RedisError| Failure::of(&error);
    let mut config = AsyncConnectionConfig::new()
        // Whoever calls has a deadline; connecting has one around all of this.
        .set_response_timeout(None)
        .set_connection_timeout(None)
        .set_pipeline_buffer_size(PIPELINE_BUFFER)
        .set_write_backpressure_boundary(WRITE_BUFFER);
    let tracks = ear.as_ref().is_some_and(|ear| matches!(ear.duty, Duty::Track(_)));
    if let Some(ear) = ear {
        config = config.set_push_sender(move |push| {
            ear.hear(push);
            Ok::<(), Infallible>(())
        });
    }
    let server = client.get_multiplexed_async_connection_with_config(&config);
    let mut server = server.await.map_err(failed)?;
    let mut name = redis::cmd("CLIENT");
    name.arg("SETNAME").arg(&settings.client_name);
    server.send_packed_command(&name).await.map_err(failed)?;
    let mut deaf = None;
    if tracks {
        let request = tracker::request(&settings.track_prefixes);
        if let Value::ServerError(error) =
            server.send_packed_command(&request).await.map_err(failed)?
        {
            match Failure::of_reply(&error) {
                Some(failure) => return Err(failure),
                None => {
                    let (code, said) = (error.code(), error.details().unwrap_or_default());
                    deaf = Some(advised(format!("Redis refuses CLIENT TRACKING: {code} {said}")));
                }
            }
        }
    }
    // One that is loading accepts connections and logins; only a command finds out.
    pong(&server.send_packed_command(&redis::cmd("PING")).await.map_err(failed)?)?;
    Ok(Greeted { server, deaf })
}

/// Where a connection of one's own goes, and who one is there: to the master that the settings have,
/// or the one that Sentinels name. Of a Cluster, the node in `redis.url`.
///
/// # Errors
/// Nobody could tell, or a file can't be read.
pub(super) async fn whereabouts(settings: &Arc<LinkSettings>) -> Result<ConnectionInfo, Failure> {
    let prepared = Prepared::of(settings).await?;
    if settings.sentinels.is_empty() {
        return Ok(prepared.info);
    }
    // Whoever goes where a link is goes there, whomever the Sentinels name by now.
    if let Some(master) = &settings.master {
        return Ok(prepared.at(master).info);
    }
    let mut sentinels = prepared.sentinel(settings).map_err(|error| Failure::of(&error))?;
    let (master, _) = appointed(&mut sentinels).await?;
    Ok(master.get_connection_info().clone())
}

/// What connecting needs, files included.
#[derive(Clone)]
struct Prepared {
    info: ConnectionInfo,
    sentinel_password: Option<String>,
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
        let sentinel_password =
            settings.sentinel_password.as_ref().map(Password::read).transpose()?;
        let tls = matches!(info.addr(), ConnectionAddr::TcpTls { .. });
        if !tls || settings.tls == super::TlsFiles::default() {
            return Ok(Self { info, sentinel_password, certificates: None });
        }
        let root_cert = settings.tls.ca.as_deref().map(read).transpose()?;
        let client_tls = match &settings.tls.client {
            Some((cert, key)) => {
                Some(ClientTlsConfig { client_cert: read(cert)?, client_key: read(key)? })
            }
            None => None,
        };
        let certificates = Some(TlsCertificates { client_tls, root_cert });
        Ok(Self { info, sentinel_password, certificates })
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
            .set_client_to_redis_protocol(ProtocolVersion::RESP3)
            .set_client_to_redis_tcp_settings(settings::tcp());
        if let Some(username) = who.username() {
            builder = builder.set_client_to_redis_username(username);
        }
        if let Some(password) = who.password() {
            builder = builder.set_client_to_redis_password(password);
        }
        if let Some(username) = &settings.sentinel_username {
            builder = builder.set_client_to_sentinel_username(username);
        }
        if let Some(password) = &self.sentinel_password {
            builder = builder.set_client_to_sentinel_password(password);
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

    /// The same for a node of a Cluster, or a master that Sentinels named.
    fn at(&self, Node { host, port }: &Node) -> Self {
        let (host, port) = (host.to_string(), *port);
        let addr = match self.info.addr() {
            ConnectionAddr::TcpTls { insecure, .. } => {
                ConnectionAddr::TcpTls { host, port, insecure: *insecure, tls_params: None }
            }
            _ => ConnectionAddr::Tcp(host, port),
        };
        Self { info: self.info.clone().set_addr(addr), ..self.clone() }
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
