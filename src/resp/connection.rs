//! One connection: reads requests, runs them round by round, writes replies in order.
//!
//! A connection is a task owned by its listener, not an actor: tens of thousands may come and go,
//! and `ractor` takes a process-wide lock at each spawn and exit.

mod exec;
mod informed;
mod interrupt;
mod passage;
mod pipeline;
mod rollback;
mod single;
mod train;
mod watching;

use std::future::poll_fn;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use seawall_actors::failpoint::{self, Point};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tracing::{debug, warn};

use self::interrupt::{Interrupt, Interrupts};
use self::pipeline::Pipeline;
use self::train::Platform;
use super::clients::ClientInfo;
use super::codec::{Decoder, MAX_ARGS, ProtocolError, RequestLimits};
use super::limits::Limits;
use super::reply::Reply;
use super::round::{Input, Request, View};
use super::session::Session;
use super::table;
use super::transaction::Transaction;
use super::wire::{Turn, Wire};
use crate::config::settings::Settings;
use crate::daemon::Daemon;
use crate::pubsub::Arrival;
use crate::slow::Thresholds;
use crate::stats::Round;

/// Requests in one round: others get their turn on the shards between two rounds.
const ROUND_MAX: usize = 1024;
/// Bytes of pushes that are taken out of the inbox at once. The others wait in there, where they
/// are counted and share their memory with other inboxes.
const PUSHES_ON_WAY: usize = 64 * 1024;
/// How long a client that is owed too much may go without reading anything.
const STALLED: Duration = Duration::from_secs(10);

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum Closed {
    /// The client closed, or asked to.
    #[error("the client left")]
    Left,
    /// Somebody used CLIENT KILL, or the client was idle for too long.
    #[error("killed")]
    Killed,
    /// The daemon stops.
    #[error("the daemon stops")]
    Draining,
    /// The client does not speak the protocol.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// An unfinished request is larger than `server.query_buffer`.
    #[error("a request is larger than server.query_buffer ({0} bytes)")]
    QueryBuffer(usize),
    /// More messages wait than `server.pubsub_buffer`, and the subscriber does not read.
    #[error("more than server.pubsub_buffer ({0} bytes) waits for a subscriber that does not read")]
    PubSubBuffer(usize),
    /// More is owed than `server.output_buffer`, and the client does not read.
    #[error("more than server.output_buffer ({0} bytes) waits for a client that does not read")]
    OutputBuffer(usize),
    /// The transport broke.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Limits from the settings, taken over whenever those change.
#[derive(Debug, Clone)]
struct Bounds {
    query_buffer: usize,
    output_buffer: usize,
    max_bulk: usize,
    databases: u8,
    /// How long a command waits for a shard that is being rebuilt.
    recovery_wait: Duration,
    limits: Arc<Limits>,
    slow: Thresholds,
}

impl Bounds {
    fn of(settings: &Settings) -> Self {
        Self {
            query_buffer: settings.server.query_buffer,
            output_buffer: settings.server.output_buffer,
            // Values have their own check and error; the codec only keeps to Redis' bound.
            max_bulk: MAX_BULK.min(settings.server.query_buffer),
            databases: u8::try_from(settings.server.databases).unwrap_or(u8::MAX),
            recovery_wait: settings.cache.recovery_wait,
            limits: Arc::new(Limits::of(settings)),
            slow: Thresholds::of(&settings.server),
        }
    }
}

/// Redis' `proto-max-bulk-len`.
const MAX_BULK: usize = 512 << 20;

/// A connection.
#[derive(Debug)]
pub struct Connection<S> {
    wire: Wire<S>,
    daemon: Arc<Daemon>,
    session: Session,
    transaction: Transaction,
    input: Arc<Input>,
    decoder: Decoder,
    pipeline: Pipeline,
    /// Commands for Redis that wait for others to go with. Empty between rounds.
    platform: Platform,
    /// What the round in flight counts; its buffer is used again.
    tally: Round,
    /// What the client sent while a command of its own was waited for.
    early: Vec<u8>,
    /// Turns true when the daemon stops; `None` before the connection is served.
    draining: Option<watch::Receiver<bool>>,
    settings: watch::Receiver<Arc<Settings>>,
    bounds: Bounds,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    /// A connection over an accepted stream.
    pub fn new(stream: S, daemon: Arc<Daemon>, session: Session) -> Self {
        let settings = daemon.config.subscribe();
        let bounds = Bounds::of(&settings.borrow());
        let input = Arc::new(Input::new(Arc::clone(&bounds.limits)));
        Self {
            wire: Wire::new(stream),
            pipeline: Pipeline::new(daemon.shards.len(), Arc::clone(&session.client().author)),
            platform: Platform::default(),
            tally: Round::default(),
            early: Vec::new(),
            draining: None,
            daemon,
            session,
            transaction: Transaction::default(),
            input,
            decoder: Decoder::default(),
            settings,
            bounds,
        }
    }

    /// Serves the client until it leaves, breaks a rule, or `draining` turns true.
    pub async fn serve(mut self, draining: watch::Receiver<bool>) {
        self.draining = Some(draining.clone());
        let closed = self.serve_rounds(draining).await;
        self.end_watches().await;
        let (id, addr) = (self.session.id(), self.session.client().addr.clone());
        let wrong = matches!(
            closed,
            Closed::Protocol(_)
                | Closed::QueryBuffer(_)
                | Closed::OutputBuffer(_)
                | Closed::PubSubBuffer(_)
        );
        let complain = || self.daemon.clients.may_complain(Instant::now());
        match wrong.then(complain).flatten() {
            Some(withheld) => match closed {
                Closed::Protocol(ProtocolError::CrossProtocol) => warn!(
                    client = id,
                    addr,
                    withheld,
                    "possible attack: an HTTP request arrived on the RESP port; connection closed"
                ),
                _ => warn!(client = id, addr, withheld, reason = %closed, "connection closed"),
            },
            None => debug!(client = id, addr, reason = %closed, "connection closed"),
        }
    }

    async fn serve_rounds(&mut self, draining: watch::Receiver<bool>) -> Closed {
        let client = Arc::clone(self.session.client());
        let mut interrupts = Interrupts::new(Arc::clone(&client), draining);
        loop {
            loop {
                match self.round().await {
                    Ok(true) if client.is_killed() => return Closed::Killed,
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(Closed::Killed) => return Closed::Killed,
                    Err(closed) => return self.part(closed).await,
                }
            }
            let input = unique(&mut self.input);
            let turn = poll_fn(|cx| match self.wire.poll_turn(cx, &mut input.bytes) {
                Poll::Ready(turn) => Poll::Ready(Event::Turn(turn)),
                Poll::Pending => match (interrupts.poll(cx), client.inbox()) {
                    (Poll::Ready(interrupt), _) => Poll::Ready(Event::Interrupt(interrupt)),
                    (Poll::Pending, None) => Poll::Pending,
                    (Poll::Pending, Some(inbox)) => {
                        inbox.poll(cx, self.wire.owed() < PUSHES_ON_WAY).map(Event::Arrival)
                    }
                },
            });
            match turn.await {
                Event::Turn(Ok(Turn::Read)) => {}
                Event::Turn(Ok(Turn::End)) => return Closed::Left,
                Event::Turn(Err(error)) => return Closed::Io(error),
                Event::Interrupt(Interrupt::Killed) => return Closed::Killed,
                Event::Interrupt(Interrupt::Draining) => return self.drain().await,
                Event::Arrival(Arrival::Overflow) => {
                    return Closed::PubSubBuffer(client.inbox().map_or(0, |inbox| inbox.limit()));
                }
                // The next wait begins with writing them.
                Event::Arrival(Arrival::Pushes) => {
                    self.take_pushes(PUSHES_ON_WAY);
                    let (bytes_in, bytes_out) = self.wire.take_traffic();
                    self.daemon.stats.transferred(bytes_in, bytes_out);
                    self.note_buffers();
                }
            }
        }
    }

    /// Runs one round of the requests in the buffer; `false` if no request is whole.
    async fn round(&mut self) -> Result<bool, Closed> {
        if self.input.bytes.is_empty() {
            return Ok(false);
        }
        let begun = Instant::now();
        if self.settings.has_changed().unwrap_or(false) {
            let settings = Arc::clone(&self.settings.borrow_and_update());
            self.bounds = Bounds::of(&settings);
            if !self.session.follow(&settings.users) {
                return Err(Closed::Killed);
            }
            unique(&mut self.input).limits = Arc::clone(&self.bounds.limits);
        }
        let consumed = self.decode()?;
        if consumed == 0 {
            return Ok(false);
        }
        failpoint::hit(Point::ConnectionRound);
        let result = self.execute(begun).await;
        failpoint::hit(Point::ConnectionReply);
        self.note_buffers();
        self.consume(consumed);
        result?;
        self.take_pushes(PUSHES_ON_WAY.saturating_sub(self.wire.owed()));
        if self.wire.owed() > self.bounds.output_buffer {
            self.relieve().await?;
        }
        self.wire.push().await?;
        self.note_buffers();
        if self.session.close_after_reply { Err(Closed::Left) } else { Ok(true) }
    }

    /// Decodes whole requests; returns the bytes they take.
    fn decode(&mut self) -> Result<usize, Closed> {
        let limits = RequestLimits {
            max_args: MAX_ARGS,
            max_bulk: self.bounds.max_bulk,
            trusted: self.session.authenticated(),
        };
        // AUTH may lift the limits for what follows it in the same buffer.
        let most = if limits.trusted { ROUND_MAX } else { 1 };
        let hasher = self.daemon.shards.hasher();
        let input = unique(&mut self.input);
        input.spans.clear();
        input.requests.clear();
        let mut at = 0;
        while input.requests.len() < most && at < input.bytes.len() {
            let first = input.spans.len();
            match self.decoder.decode(&mut input.bytes, at, &mut input.spans, &limits) {
                Ok(ControlFlow::Continue(next)) => at = next,
                Ok(ControlFlow::Break(())) => break,
                // What came before the garbage is answered first.
                Err(error) if input.requests.is_empty() => return Err(error.into()),
                Err(_) => break,
            }
            let argc = input.spans.len() - first;
            if argc == 0 {
                continue;
            }
            let mut request = Request {
                command: None,
                first: u32::try_from(first).unwrap_or(u32::MAX),
                argc: u32::try_from(argc).unwrap_or(u32::MAX),
                hash: 0,
            };
            let args = input.args(&request);
            request.command = table::find(args.get(0));
            if request.command.is_some_and(|c| c.keys.first == 1) {
                request.hash = hasher.hash(args.get(1));
            }
            input.requests.push(request);
        }
        if at == 0 && input.bytes.len() > self.bounds.query_buffer {
            return Err(Closed::QueryBuffer(self.bounds.query_buffer));
        }
        Ok(at)
    }

    /// Removes the bytes of the requests that were served.
    fn consume(&mut self, consumed: usize) {
        let input = unique(&mut self.input);
        let consumed = consumed.min(input.bytes.len());
        input.bytes.drain(..consumed);
        input.requests.clear();
        input.spans.clear();
        input.bytes.append(&mut self.early);
        if input.bytes.is_empty() && input.bytes.capacity() > INPUT_KEEP {
            *input = Input::new(Arc::clone(&input.limits));
        }
    }

    /// Appends what waits in the inbox to what is owed, about `most` bytes of it. Behind whole
    /// replies only.
    fn take_pushes(&mut self, most: usize) {
        if let Some(inbox) = self.session.inbox()
            && most > 0
        {
            inbox.take(&mut Reply::new(self.wire.out(), self.session.proto), most);
        }
    }

    /// For CLIENT LIST: before the replies are written, while a client that does not read them
    /// is waited for, and again after, or an idle client seemed to be owed its last replies.
    fn note_buffers(&self) {
        self.session.client().note_buffers(self.input.bytes.len(), self.wire.owed());
    }

    fn view(&self) -> View {
        View {
            db: self.session.db,
            proto: self.session.proto,
            databases: self.bounds.databases,
            hasher: self.daemon.shards.hasher(),
            no_touch: self.session.traits().no_touch,
            near: self.daemon.tier.asked().and_then(|tier| tier.near(self.session.db)),
        }
    }

    /// Waits for a client that is owed too much.
    async fn relieve(&mut self) -> Result<(), Closed> {
        let limit = self.bounds.output_buffer;
        self.note_buffers();
        let client = Arc::clone(self.session.client());
        let drained = unless_killed(&client, self.wire.drain_to(limit / 2, STALLED)).await?;
        drained.map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => Closed::OutputBuffer(limit),
            _ => Closed::Io(error),
        })
    }

    /// Answers what had been received when the daemon was asked to stop.
    async fn drain(&mut self) -> Closed {
        loop {
            let input = unique(&mut self.input);
            let read = matches!(self.wire.read_ready(&mut input.bytes).await, Ok(true));
            match self.round().await {
                Ok(true) => {}
                Ok(false) if read => {}
                Ok(false) => return self.part(Closed::Draining).await,
                Err(closed) => return self.part(closed).await,
            }
        }
    }

    /// Writes what is owed, and the reason if it is the client's fault.
    async fn part(&mut self, closed: Closed) -> Closed {
        if matches!(closed, Closed::Protocol(_)) {
            self.daemon.stats.protocol_error();
        }
        if let Closed::Protocol(error) = &closed
            && *error != ProtocolError::CrossProtocol
        {
            let text = format!("ERR {error}");
            Reply::new(self.wire.out(), self.session.proto).error(&text);
        }
        // A client that does not take its last replies loses them with the connection.
        let _ = self.wire.finish(Duration::from_secs(1)).await;
        closed
    }
}

/// What ends a wait for the client.
enum Event {
    Turn(io::Result<Turn>),
    Interrupt(Interrupt),
    Arrival(Arrival),
}

/// Waits for `work`, but not for longer than the client may live.
async fn unless_killed<T>(client: &ClientInfo, work: impl Future<Output = T>) -> Result<T, Closed> {
    tokio::select! {
        biased;
        done = work => Ok(done),
        () = client.killed() => Err(Closed::Killed),
    }
}

/// An input buffer that has grown beyond this is given back once it is empty.
const INPUT_KEEP: usize = 256 * 1024;

/// The input, for changing. Shards let go of it when they answer; if one died with it in its
/// hands, the connection goes on with a copy.
fn unique(input: &mut Arc<Input>) -> &mut Input {
    Arc::make_mut(input)
}
