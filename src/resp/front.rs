//! The RESP front: accepts connections on every socket and starts a task for each.
//!
//! It owns the accepting tasks and nothing else. When it restarts, established connections go
//! on, and new ones wait in the kernel's queue: the sockets live outside (see [`super::sockets`]).

use std::collections::HashMap;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use seawall_actors::failpoint::{self, Point};
use seawall_actors::supervise::{Failure, Label, Me, Worker};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio_rustls::server::TlsStream;
use tracing::{debug, info, warn};

use super::clients::{Endpoints, NewClient};
use super::connection::Connection;
use super::session::{DENIED, Session, protected_mode_admits};
use super::sockets::{Socket, Sockets};
use crate::daemon::Daemon;
use crate::stats::Rejection;
use crate::telemetry::Repeats;
use crate::tls::{self, Identity};

/// How often idle clients are looked for.
const REAP_EVERY: Duration = Duration::from_secs(1);
/// After a failed accept, most likely for want of file descriptors: trying at once would burn a
/// core and help nobody.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A client that is turned away gets this long to take the reason.
const FAREWELL: Duration = Duration::from_millis(200);
/// So many are given it at a time; others are closed without a word. Each holds a descriptor.
pub const FAREWELLS: usize = 16;
/// Left of the grace for closing those that did not finish.
const KILL_MARGIN: Duration = Duration::from_millis(500);

/// What the front is told.
#[derive(Debug, Clone)]
pub enum FrontMsg {
    /// The list of sockets has changed.
    SocketsChanged,
    /// Look for idle clients.
    Reap,
    /// An accepting task has ended by itself; the socket's name.
    AcceptEnded(String),
}

impl Label for FrontMsg {
    fn label(&self) -> &'static str {
        match self {
            Self::SocketsChanged => "sockets-changed",
            Self::Reap => "reap",
            Self::AcceptEnded(_) => "accept-ended",
        }
    }
}

/// What a start needs.
#[derive(Debug)]
pub struct FrontArgs {
    /// The daemon.
    pub daemon: Arc<Daemon>,
    /// Where to accept.
    pub sockets: Sockets,
    /// True once connections shall end; outlives every incarnation of the front.
    pub draining: Arc<watch::Sender<bool>>,
    /// Time for connections to end on an orderly stop.
    pub grace: Duration,
}

/// What it owns.
#[derive(Debug)]
pub struct FrontState {
    args: FrontArgs,
    accepting: HashMap<String, (Arc<Socket>, JoinHandle<()>)>,
    /// Permits to tell a client why it is turned away.
    farewells: Arc<Semaphore>,
}

impl Drop for FrontState {
    fn drop(&mut self) {
        for (_, task) in self.accepting.values() {
            task.abort();
        }
    }
}

/// The RESP front.
#[derive(Debug, Clone, Copy, Default)]
pub struct Front;

impl Worker for Front {
    type Msg = FrontMsg;
    type Args = FrontArgs;
    type State = FrontState;

    async fn init(&self, _me: &Me<FrontMsg>, args: FrontArgs) -> Result<FrontState, Failure> {
        let farewells = Arc::new(Semaphore::new(FAREWELLS));
        Ok(FrontState { args, accepting: HashMap::new(), farewells })
    }

    async fn started(&self, me: &Me<FrontMsg>, state: &mut FrontState) -> Result<(), Failure> {
        me.send_after(REAP_EVERY, FrontMsg::Reap);
        state.follow_sockets(me)
    }

    async fn handle(
        &self,
        me: &Me<FrontMsg>,
        msg: FrontMsg,
        state: &mut FrontState,
    ) -> Result<(), Failure> {
        match msg {
            FrontMsg::SocketsChanged => state.follow_sockets(me),
            FrontMsg::Reap => {
                state.reap();
                me.send_after(REAP_EVERY, FrontMsg::Reap);
                Ok(())
            }
            FrontMsg::AcceptEnded(name) if state.accepting.contains_key(&name) => {
                Err(Failure::new(format!("accepting on {name} ended unexpectedly")))
            }
            FrontMsg::AcceptEnded(_) => Ok(()),
        }
    }

    async fn stopped(&self, _me: &Me<FrontMsg>, state: &mut FrontState) -> Result<(), Failure> {
        state.drain().await;
        Ok(())
    }
}

impl FrontState {
    /// Accepts on sockets that are new, stops on those that are gone.
    fn follow_sockets(&mut self, me: &Me<FrontMsg>) -> Result<(), Failure> {
        let current = self.args.sockets.current();
        self.accepting.retain(|name, (socket, task)| {
            let stays = current.iter().any(|s| Arc::ptr_eq(s, socket));
            if !stays {
                info!(address = name, "no longer listening");
                task.abort();
            }
            stays
        });
        for socket in current {
            let name = socket.name();
            if self.accepting.contains_key(&name) {
                continue;
            }
            let listener = Listener::from_socket(&socket)
                .map_err(|e| Failure::new(format!("cannot accept on {name}: {e}")))?;
            info!(address = socket.bound(), tls = socket.is_tls(), "RESP listens");
            let (daemon, draining) =
                (Arc::clone(&self.args.daemon), Arc::clone(&self.args.draining));
            let farewells = Arc::clone(&self.farewells);
            let announce = Announce { me: me.clone(), name: name.clone() };
            let task = tokio::spawn(async move {
                let _announce = announce;
                accept(listener, daemon, draining, farewells).await;
            });
            self.accepting.insert(name, (socket, task));
        }
        Ok(())
    }

    /// Ends connections that have been idle for longer than `server.idle_timeout`.
    fn reap(&self) {
        failpoint::hit(Point::FrontReap);
        let daemon = &self.args.daemon;
        let Some(limit) = daemon.config.settings().server.idle_timeout else { return };
        let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let now = daemon.life.steady_ms();
        for client in daemon.clients.all() {
            // A subscriber has nothing to say.
            if now.saturating_sub(client.last_interaction()) > limit && !client.is_subscriber() {
                debug!(client = client.id, addr = client.addr, "idle for too long");
                client.kill();
            }
        }
    }

    /// Stops accepting, lets connections answer what they received, then closes them.
    async fn drain(&mut self) {
        for (_, (_, task)) in self.accepting.drain() {
            task.abort();
        }
        // What was received is answered; a pause would hold it up for longer than the grace.
        self.args.daemon.clients.pause().open();
        self.args.draining.send_replace(true);
        let clients = &self.args.daemon.clients;
        let patience = self.args.grace.saturating_sub(KILL_MARGIN);
        if tokio::time::timeout(patience, gone(clients)).await.is_err() {
            warn!(clients = clients.len(), "connections did not end in time and are closed");
            clients.all().iter().for_each(|client| client.kill());
            let _ = tokio::time::timeout(KILL_MARGIN / 2, gone(clients)).await;
        }
    }
}

/// Resolves when no client is left.
async fn gone(clients: &super::clients::Clients) {
    while !clients.is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Tells the front that an accepting task has ended, however it did.
struct Announce {
    me: Me<FrontMsg>,
    name: String,
}

impl Drop for Announce {
    fn drop(&mut self) {
        self.me.send(FrontMsg::AcceptEnded(std::mem::take(&mut self.name)));
    }
}

enum Listener {
    Tcp(TcpListener),
    Tls(TcpListener),
    Unix(UnixListener),
}

enum Stream {
    Tcp(TcpStream),
    Tls(TcpStream),
    Unix(UnixStream),
}

impl Listener {
    /// A listener of its own on the same socket: the socket outlives the front.
    fn from_socket(socket: &Socket) -> io::Result<Self> {
        match socket {
            Socket::Tcp { listener, tls, .. } => {
                let listener = listener.try_clone()?;
                listener.set_nonblocking(true)?;
                let listener = TcpListener::from_std(listener)?;
                Ok(if *tls { Self::Tls(listener) } else { Self::Tcp(listener) })
            }
            Socket::Unix { listener, .. } => {
                let listener = listener.try_clone()?;
                listener.set_nonblocking(true)?;
                Ok(Self::Unix(UnixListener::from_std(listener)?))
            }
        }
    }

    async fn accept(&self) -> io::Result<(Stream, Endpoints, i32)> {
        match self {
            Self::Tcp(listener) | Self::Tls(listener) => {
                let (stream, peer) = listener.accept().await?;
                let local = stream.local_addr()?;
                let fd = stream.as_raw_fd();
                let stream = match self {
                    Self::Tls(_) => Stream::Tls(stream),
                    _ => Stream::Tcp(stream),
                };
                Ok((stream, Endpoints::Tcp { peer, local }, fd))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let path = listener.local_addr()?.as_pathname().map(Into::into);
                let fd = stream.as_raw_fd();
                Ok((Stream::Unix(stream), Endpoints::Unix(path.unwrap_or_default()), fd))
            }
        }
    }
}

/// Accepts for ever.
async fn accept(
    listener: Listener,
    daemon: Arc<Daemon>,
    draining: Arc<watch::Sender<bool>>,
    farewells: Arc<Semaphore>,
) {
    let mut complaints = Repeats::default();
    loop {
        match listener.accept().await {
            Ok((stream, endpoints, fd)) => {
                if let Err((stream, why)) = admit(stream, endpoints, fd, &daemon, &draining)
                    && let Ok(permit) = Arc::clone(&farewells).try_acquire_owned()
                {
                    tokio::spawn(async move {
                        turn_away(stream, &why).await;
                        drop(permit);
                    });
                }
            }
            Err(error) => {
                daemon.stats.rejected(Rejection::Accept);
                if complaints.is_news(Instant::now()) {
                    warn!(
                        %error,
                        "cannot accept connections; new clients wait in the kernel's queue while \
                         it is tried again. If descriptors are short, raise LimitNOFILE or lower \
                         server.max_clients"
                    );
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Starts a connection's task. `Err`: the client is to be turned away, and why.
fn admit(
    stream: Stream,
    endpoints: Endpoints,
    fd: i32,
    daemon: &Arc<Daemon>,
    draining: &watch::Sender<bool>,
) -> Result<(), (Stream, String)> {
    failpoint::hit(Point::FrontAccept);
    let settings = daemon.config.settings();
    let server = &settings.server;
    // A client that has to show a certificate is no stranger.
    let known = matches!(stream, Stream::Tls(_))
        && settings.tls.identity.as_ref().is_some_and(Identity::knows_clients);
    let guarded = known || !settings.users.is_open();
    if !protected_mode_admits(server.protected_mode, guarded, &endpoints) {
        daemon.stats.rejected(Rejection::ProtectedMode);
        return Err((stream, DENIED.to_owned()));
    }
    let new = NewClient { endpoints, fd, now: daemon.life.steady_ms() };
    let registration = match daemon.clients.register(new) {
        Ok(registration) => registration,
        Err(full) => {
            daemon.stats.rejected(Rejection::MaxClients);
            return Err((stream, full.to_string()));
        }
    };
    let connected = daemon.stats.connected();
    let session = Session::new(Arc::clone(daemon) as _, registration);
    let (daemon, draining) = (Arc::clone(daemon), draining.subscribe());
    let keepalive = server.tcp_keepalive;
    tokio::spawn(async move {
        let _connected = connected;
        match stream {
            Stream::Tcp(stream) => {
                tune(&stream, keepalive);
                Connection::new(stream, daemon, session).serve(draining).await;
            }
            Stream::Tls(stream) => {
                tune(&stream, keepalive);
                if let Some(stream) = shake_hands(stream, &daemon, &session, draining.clone()).await
                {
                    Connection::new(stream, daemon, session).serve(draining).await;
                }
            }
            Stream::Unix(stream) => {
                Connection::new(stream, daemon, session).serve(draining).await;
            }
        }
    });
    Ok(())
}

/// Makes a TLS connection of an accepted one, with the certificate that is in use now. `None`: there
/// is none, and the log has been told as far as it takes such lines.
async fn shake_hands(
    stream: TcpStream,
    daemon: &Daemon,
    session: &Session,
    mut draining: watch::Receiver<bool>,
) -> Option<TlsStream<TcpStream>> {
    let settings = daemon.config.settings();
    let (identity, bounds) = (settings.tls.identity.as_ref()?, settings.tls.handshakes);
    let client = session.client();
    let accepted = tokio::select! {
        accepted = tls::accept(&daemon.handshakes, identity.config(), stream, bounds) => accepted,
        () = client.killed() => return None,
        _ = draining.wait_for(|draining| *draining) => return None,
    };
    accepted
        .inspect_err(|failed| {
            if let Some(withheld) = daemon.clients.may_complain(Instant::now()) {
                let reason = failed.outcome.name();
                warn!(client = client.id, addr = client.addr, reason, withheld, %failed, "no TLS connection");
            }
        })
        .ok()
}

fn tune(stream: &TcpStream, keepalive: Option<Duration>) {
    // A connection that can't be tuned works all the same.
    let _ = stream.set_nodelay(true);
    if let Some(time) = keepalive {
        let keepalive = socket2::TcpKeepalive::new().with_time(time).with_interval(time / 3);
        let _ = socket2::SockRef::from(stream).set_tcp_keepalive(&keepalive);
    }
}

async fn turn_away(stream: Stream, why: &str) {
    let line = format!("-{why}\r\n");
    let write = async {
        match stream {
            Stream::Tcp(mut stream) => stream.write_all(line.as_bytes()).await,
            // Before a handshake there is nothing that such a client could read.
            Stream::Tls(_) => Ok(()),
            Stream::Unix(mut stream) => stream.write_all(line.as_bytes()).await,
        }
    };
    // Whoever does not take it is not worth a wait.
    let _ = tokio::time::timeout(FAREWELL, write).await;
}
