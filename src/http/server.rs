//! The actor that owns the admin HTTP's listener and connections. A restart closes those, and
//! loses nothing else.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use seawall_actors::failpoint::{self, Point};
use seawall_actors::supervise::{Failure, Label, Me, Worker};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::routes::routes;
use super::view::View;
use crate::telemetry::Repeats;
use crate::tls::handshake::Bounds;
use crate::tls::{self, Handshakes, Identity};

/// What the actor is told.
#[derive(Debug, Clone, Copy)]
pub enum Msg {
    /// The task that accepts connections has ended, by a panic or a broken listener.
    AcceptEnded,
}

impl Label for Msg {
    fn label(&self) -> &'static str {
        "accept-ended"
    }
}

/// Where to listen.
#[derive(Debug)]
pub enum Listen {
    /// On this address.
    Bind(SocketAddr),
    /// On a listener that is bound already (socket activation).
    Prepared(std::net::TcpListener),
}

/// What one client, and all together, may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time; more wait in the kernel's backlog.
    pub connections: usize,
    /// For sending a request's head, and for being idle between requests.
    pub head: Duration,
    /// For a connection as a whole: one that reads its answer too slowly ends then.
    pub lifetime: Duration,
    /// For answers under way when the server stops.
    pub grace: Duration,
}

impl Limits {
    /// What a daemon uses.
    pub const DEFAULT: Self = Self {
        connections: 64,
        head: Duration::from_secs(10),
        lifetime: Duration::from_secs(60),
        grace: Duration::from_secs(3),
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The largest request head, and the most of an answer that is buffered.
const MAX_HEAD_BYTES: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;
/// A killed predecessor's listener may outlive it by a moment.
const BIND_TRIES: u32 = 6;
const BIND_PAUSE: Duration = Duration::from_millis(50);
/// After a failed accept: no descriptors are left, and trying at once would burn a core.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// What a start needs.
pub struct Args {
    /// Where to listen.
    pub listen: Listen,
    /// What to show.
    pub view: Arc<dyn View>,
    /// What clients may use.
    pub limits: Limits,
    /// With TLS; `None`: without.
    pub tls: Option<Tls>,
    /// Told where it listens, and `None` when it does not.
    pub bound: watch::Sender<Option<SocketAddr>>,
}

/// What a listener with TLS needs.
#[derive(Clone)]
pub struct Tls {
    /// Asked at each handshake for the certificate in use; `None`: there is none.
    pub identity: Arc<dyn Fn() -> Option<Identity> + Send + Sync>,
    /// What handshakes of all listeners may use, and what came of them.
    pub handshakes: Arc<Handshakes>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Args {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Args").field("listen", &self.listen).finish_non_exhaustive()
    }
}

/// What it owns.
#[derive(Debug)]
pub struct State {
    listen: Option<Listen>,
    app: Router,
    limits: Limits,
    tls: Option<Tls>,
    bound: watch::Sender<Option<SocketAddr>>,
    stop: watch::Sender<bool>,
    accepting: Option<JoinHandle<()>>,
}

impl Drop for State {
    fn drop(&mut self) {
        if let Some(task) = &self.accepting {
            task.abort();
        }
        self.bound.send_replace(None);
    }
}

/// Serves the admin HTTP.
#[derive(Debug, Default)]
pub struct AdminHttp;

impl Worker for AdminHttp {
    type Msg = Msg;
    type Args = Args;
    type State = State;

    async fn init(&self, _me: &Me<Msg>, args: Args) -> Result<State, Failure> {
        Ok(State {
            listen: Some(args.listen),
            app: routes(args.view),
            limits: args.limits,
            tls: args.tls,
            bound: args.bound,
            stop: watch::Sender::new(false),
            accepting: None,
        })
    }

    async fn started(&self, me: &Me<Msg>, state: &mut State) -> Result<(), Failure> {
        let Some(listen) = state.listen.take() else { return Ok(()) };
        let listener = open(listen).await?;
        let address = listener.local_addr().map_err(|e| Failure::new(e.to_string()))?;
        let (app, limits, stop) = (state.app.clone(), state.limits, state.stop.subscribe());
        let tls = state.tls.clone();
        let announce = Announce(me.clone());
        state.accepting = Some(tokio::spawn(async move {
            let _announce = announce;
            accept(listener, app, limits, tls, stop).await;
        }));
        state.bound.send_replace(Some(address));
        tracing::info!(%address, tls = state.tls.is_some(), "admin HTTP listens");
        Ok(())
    }

    async fn handle(&self, _me: &Me<Msg>, msg: Msg, _state: &mut State) -> Result<(), Failure> {
        match msg {
            Msg::AcceptEnded => Err(Failure::new("the admin HTTP stopped accepting connections")),
        }
    }

    async fn stopped(&self, _me: &Me<Msg>, state: &mut State) -> Result<(), Failure> {
        state.stop.send_replace(true);
        if let Some(task) = &mut state.accepting {
            // Connections have their own grace; what is left after it is dropped with the task.
            let _ = tokio::time::timeout(state.limits.grace + ACCEPT_PAUSE, task).await;
        }
        Ok(())
    }
}

/// Tells the actor that the accepting task has ended, however it did.
struct Announce(Me<Msg>);

impl Drop for Announce {
    fn drop(&mut self) {
        self.0.send(Msg::AcceptEnded);
    }
}

/// Opens the listener.
async fn open(listen: Listen) -> Result<TcpListener, Failure> {
    let address = match listen {
        Listen::Prepared(listener) => {
            return listener
                .set_nonblocking(true)
                .and_then(|()| TcpListener::from_std(listener))
                .map_err(|e| Failure::new(format!("cannot use the prepared admin socket: {e}")));
        }
        Listen::Bind(address) => address,
    };
    let mut tries = 1;
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return Ok(listener),
            Err(e) if e.kind() == io::ErrorKind::AddrInUse && tries < BIND_TRIES => {
                tries += 1;
                tokio::time::sleep(BIND_PAUSE).await;
            }
            Err(e) => {
                return Err(Failure::new(format!("cannot bind admin HTTP on {address}: {e}")));
            }
        }
    }
}

/// Accepts until told to stop; then waits for the connections.
async fn accept(
    listener: TcpListener,
    app: Router,
    limits: Limits,
    tls: Option<Tls>,
    mut stop: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    let stopping = stop.clone();
    let mut complaints = Repeats::default();
    loop {
        tokio::select! {
            () = told(&mut stop) => break,
            accepted = listener.accept(), if connections.len() < limits.connections => {
                match accepted {
                    Ok((stream, _)) => {
                        failpoint::hit(Point::AdminAccept);
                        let (app, stopping) = (app.clone(), stopping.clone());
                        match tls.clone() {
                            None => connections.spawn(serve(stream, app, limits, stopping)),
                            Some(tls) => {
                                connections.spawn(serve_tls(stream, tls, app, limits, stopping))
                            }
                        };
                    }
                    Err(error) => {
                        if complaints.is_news(Instant::now()) {
                            tracing::warn!(
                                %error,
                                "admin HTTP cannot accept connections; it is tried again"
                            );
                        }
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Resolves when told to stop, or when nobody is left to tell.
async fn told(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Serves one connection with TLS. A handshake may take as long as a request's head.
async fn serve_tls(
    stream: TcpStream,
    tls: Tls,
    app: Router,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) {
    let Some(identity) = (tls.identity)() else { return };
    // How many there are is bounded by the connections.
    let bounds = Bounds { within: limits.head, max: usize::MAX };
    let accepted = tokio::select! {
        accepted = tls::accept(&tls.handshakes, identity.config(), stream, bounds) => accepted,
        () = told(&mut stop) => return,
    };
    match accepted {
        Ok(stream) => serve(stream, app, limits, stop).await,
        Err(failed) => {
            tracing::debug!(reason = failed.outcome.name(), %failed, "no TLS connection to admin HTTP");
        }
    }
}

/// Serves one connection. Every wait in it is bounded.
async fn serve<S>(stream: S, app: Router, limits: Limits, mut stop: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app));
    tokio::pin!(connection);
    tokio::select! {
        // A client that breaks off is no event.
        _ = &mut connection => return,
        () = told(&mut stop) => {}
        () = tokio::time::sleep(limits.lifetime) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(limits.grace, connection).await;
}
