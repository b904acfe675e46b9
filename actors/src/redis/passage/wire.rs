//! One connection that speaks a client's protocol and does not look into what it carries.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use redis::{ConnectionAddr, ConnectionInfo};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use super::super::advice::advised;
use super::super::dial::whereabouts;
use super::super::failure::{Failure, FailureKind};
use super::super::nodes::Node;
use super::super::settings::LinkSettings;
use super::frames::{Scanner, error};
use super::tls;
use super::{Dialect, Replies};

/// A read takes at least this much.
const READ: usize = 16 << 10;
/// A peer that is gone without a word is found out after about four of these.
const KEEPALIVE: Duration = Duration::from_secs(20);

trait Stream: AsyncRead + AsyncWrite + Unpin + Send + Sync {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send + Sync> Stream for S {}

/// See the module.
pub(super) struct Wire {
    stream: Box<dyn Stream>,
    /// What it was made with; other settings need another connection.
    pub settings: Arc<LinkSettings>,
    pub dialect: Dialect,
    pub since: Instant,
    /// The node of a Cluster; `None`: where redis.url leads.
    pub node: Option<Node>,
    /// What Redis calls it: CLIENT ID.
    pub id: i64,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire").field("dialect", &self.dialect).finish_non_exhaustive()
    }
}

impl Wire {
    /// Connects and logs in.
    ///
    /// # Errors
    /// What is in the way, within `connect_timeout`.
    pub async fn dial(
        settings: &Arc<LinkSettings>,
        dialect: Dialect,
        node: Option<Node>,
    ) -> Result<Self, Failure> {
        let within = settings.connect_timeout;
        let at = match &node {
            Some(Node { host, port }) => format!("{host}:{port}"),
            None => settings.shown(),
        };
        let connecting: Pin<Box<dyn Future<Output = Result<Self, Failure>> + Send + '_>> =
            Box::pin(connect(settings, dialect, node));
        match timeout(within, connecting).await {
            Ok(Ok(wire)) => Ok(wire),
            Ok(Err(failure)) => {
                Err(Failure { text: advised(format!("{at}: {}", failure.text)), ..failure })
            }
            Err(_) => Err(Failure::before(
                FailureKind::Deadline,
                format!("{at}: no connection within {within:?} (redis.connect_timeout)"),
            )),
        }
    }

    /// Whether it may carry something: nothing has arrived that nobody asked for, the end least
    /// of all.
    pub fn is_quiet(&mut self) -> bool {
        let mut byte = [0u8; 1];
        let mut buffer = ReadBuf::new(&mut byte);
        let mut cx = Context::from_waker(Waker::noop());
        matches!(Pin::new(&mut self.stream).poll_read(&mut cx, &mut buffer), Poll::Pending)
    }

    /// Sends requests and waits for so many replies, `most` bytes of them.
    ///
    /// # Errors
    /// The connection is of no more use; the requests may have been executed.
    pub async fn exchange(
        &mut self,
        requests: &[u8],
        count: usize,
        most: usize,
    ) -> Result<Replies, Failure> {
        self.send(requests).await?;
        let mut incoming = Incoming::default();
        for _ in 0..count {
            self.receive(&mut incoming, most).await?;
        }
        incoming.finish()
    }

    /// Sends requests.
    ///
    /// # Errors
    /// As [`Wire::exchange`].
    pub async fn send(&mut self, requests: &[u8]) -> Result<(), Failure> {
        self.stream.write_all(requests).await.map_err(broken)?;
        self.stream.flush().await.map_err(broken)
    }

    /// Waits until one more reply is whole. Dropped before, it has lost nothing of what came.
    ///
    /// # Errors
    /// As [`Wire::exchange`]; all replies together are larger than `most` bytes.
    pub async fn receive(&mut self, incoming: &mut Incoming, most: usize) -> Result<(), Failure> {
        let bytes = &mut incoming.replies.bytes;
        loop {
            match incoming.scanner.end(bytes) {
                Ok(Some(end)) => {
                    incoming.replies.ends.push(end);
                    incoming.scanner = Scanner::from(end);
                    return Ok(());
                }
                Ok(None) if bytes.len() > most => {
                    return Err(garbage(&format!(
                        "the reply is larger than {most} bytes (server.output_buffer)"
                    )));
                }
                Ok(None) => {
                    bytes.reserve(READ);
                    if self.stream.read_buf(bytes).await.map_err(broken)? == 0 {
                        return Err(Failure::after(
                            FailureKind::Broken,
                            "it closed the connection",
                        ));
                    }
                }
                Err(_) => return Err(garbage("the answer was no RESP; the connection is dropped")),
            }
        }
    }
}

/// Replies while they come.
#[derive(Debug)]
pub(super) struct Incoming {
    replies: Replies,
    scanner: Scanner,
}

impl Default for Incoming {
    fn default() -> Self {
        Self { replies: Replies::default(), scanner: Scanner::from(0) }
    }
}

impl Incoming {
    /// Those that have come, where no more is expected.
    ///
    /// # Errors
    /// There is more.
    pub fn finish(self) -> Result<Replies, Failure> {
        if self.replies.ends.last().is_some_and(|end| *end < self.replies.bytes.len()) {
            return Err(garbage("more was answered than asked; the connection is dropped"));
        }
        Ok(self.replies)
    }

    /// Those that have come whole.
    pub fn whole(mut self) -> Replies {
        self.replies.truncate(self.replies.ends.len());
        self.replies
    }
}

fn broken(error: std::io::Error) -> Failure {
    Failure::after(FailureKind::Broken, format!("it broke: {error}"))
}

fn garbage(text: &str) -> Failure {
    Failure::after(FailureKind::Garbage, text)
}

async fn connect(
    settings: &Arc<LinkSettings>,
    dialect: Dialect,
    node: Option<Node>,
) -> Result<Wire, Failure> {
    let info = whereabouts(settings).await?;
    let tls = match info.addr() {
        ConnectionAddr::TcpTls { .. } => {
            let files = settings.tls.clone();
            let wrong = |text: String| Failure::before(FailureKind::Auth, text);
            // Files: not on the runtime's threads.
            let config = tokio::task::spawn_blocking(move || tls::config(&files)).await;
            Some(config.map_err(|died| wrong(died.to_string()))?.map_err(wrong)?)
        }
        _ => None,
    };
    let stream = match (&node, info.addr()) {
        (Some(node), _) => over_tcp(&node.host, node.port, tls).await?,
        (None, ConnectionAddr::Unix(path)) => {
            Box::new(UnixStream::connect(path).await.map_err(|e| unreachable(&e))?)
        }
        (None, ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. }) => {
            over_tcp(host, *port, tls).await?
        }
        (None, _) => {
            let text = "no such kind of address is known";
            return Err(Failure::before(FailureKind::NoLink, text));
        }
    };
    let (settings, since) = (Arc::clone(settings), Instant::now());
    let mut wire = Wire { stream, settings, dialect, since, node, id: 0 };
    wire.log_in(&info).await.map_err(|f| Failure::before(f.kind, f.text))?;
    Ok(wire)
}

impl Wire {
    async fn log_in(&mut self, info: &ConnectionInfo) -> Result<(), Failure> {
        let who = info.redis_settings();
        let mut hello = redis::pipe();
        let protocol = match self.dialect {
            Dialect::Resp2 => 2,
            Dialect::Resp3 => 3,
        };
        hello.cmd("HELLO").arg(protocol);
        if let Some(password) = who.password() {
            // As the links do: AUTH alone is refused by a Redis that wants no password.
            hello.arg("AUTH").arg(who.username().unwrap_or("default")).arg(password);
        }
        let name = self.settings.client_name.as_str();
        hello.cmd("CLIENT").arg("SETNAME").arg(name).cmd("SELECT").arg(who.db());
        hello.cmd("CLIENT").arg("ID");
        const MOST: usize = 64 << 10;
        let replies = self.exchange(&hello.get_packed_pipeline(), hello.len(), MOST).await?;
        if let Some((code, text)) = replies.iter().find_map(error) {
            return Err(Failure::of_code(code, text).unwrap_or_else(|| {
                Failure::before(FailureKind::Auth, format!("it refuses the login: {code} {text}"))
            }));
        }
        let id = replies.iter().last().and_then(|reply| reply.strip_prefix(b":"));
        let id = id.and_then(|id| std::str::from_utf8(id).ok());
        self.id = id.and_then(|id| id.trim_end().parse().ok()).unwrap_or_default();
        Ok(())
    }
}

fn unreachable(error: &std::io::Error) -> Failure {
    Failure::before(FailureKind::NoLink, error.to_string())
}

async fn over_tcp(
    host: &str,
    port: u16,
    tls: Option<ClientConfig>,
) -> Result<Box<dyn Stream>, Failure> {
    let stream = tcp(host, port).await.map_err(|e| unreachable(&e))?;
    let Some(config) = tls else { return Ok(Box::new(stream)) };
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| Failure::before(FailureKind::Auth, format!("{host} is no name for TLS")))?;
    let connector = TlsConnector::from(Arc::new(config));
    Ok(Box::new(connector.connect(name, stream).await.map_err(|e| unreachable(&e))?))
}

async fn tcp(host: &str, port: u16) -> std::io::Result<TcpStream> {
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await?.collect();
    let stream = TcpStream::connect(&*addresses).await?;
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE);
    SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
    Ok(stream)
}
