//! One connection as others see it.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;

use seawall_actors::clock::UnixMs;
use seawall_actors::journal::Author;
use seawall_actors::redis::Unblock;
use tokio::sync::{Notify, watch};

use super::command_name::CommandName;
use crate::acl::DEFAULT;
use crate::pubsub::{Inbox, PubSub, Space};
use crate::resp::reply::Proto;
use crate::tracking::Tracked;

/// The two ends of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoints {
    /// TCP.
    Tcp {
        /// The client's address.
        peer: SocketAddr,
        /// The address it connected to.
        local: SocketAddr,
    },
    /// A Unix socket, named by its path.
    Unix(PathBuf),
}

impl Endpoints {
    /// The client's address as CLIENT LIST writes it; a Unix socket counts as port 0.
    fn addr(&self) -> String {
        match self {
            Self::Tcp { peer, .. } => peer.to_string(),
            Self::Unix(path) => format!("{}:0", path.display()),
        }
    }

    fn laddr(&self) -> String {
        match self {
            Self::Tcp { local, .. } => local.to_string(),
            Self::Unix(_) => self.addr(),
        }
    }

    /// The client's address; `None` for a Unix socket.
    #[must_use]
    pub fn peer(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp { peer, .. } => Some(peer.ip()),
            Self::Unix(_) => None,
        }
    }

    /// Whether the client is on this machine: loopback or a Unix socket.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp { peer, .. } => peer.ip().to_canonical().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

/// What is known of a connection when it is accepted.
#[derive(Debug, Clone)]
pub struct NewClient {
    /// Its two ends.
    pub endpoints: Endpoints,
    /// Number of its file descriptor, for CLIENT LIST.
    pub fd: i32,
    /// When it was accepted.
    pub now: UnixMs,
}

/// Lasting properties that a connection chose for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traits {
    /// CLIENT NO-EVICT ON.
    pub no_evict: bool,
    /// CLIENT NO-TOUCH ON: reads do not change the LRU order.
    pub no_touch: bool,
}

/// What the connection may change by name.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    pub name: String,
    pub lib_name: String,
    pub lib_ver: String,
    /// `None`: `default`.
    pub user: Option<Arc<str>>,
}

/// One connection, shared by its task and by whoever lists or kills it.
///
/// Only the connection's task writes (a relaxed store each, no lock, once a round); others read.
#[derive(Debug)]
pub struct ClientInfo {
    /// Never given twice while the daemon runs.
    pub id: u64,
    /// Its two ends.
    pub endpoints: Endpoints,
    /// The client's address, `ip:port` or `path:0`.
    pub addr: String,
    /// The daemon's address of the connection.
    pub laddr: String,
    /// When it was accepted.
    pub connected_at: UnixMs,
    /// As whom the log knows it.
    pub author: Arc<Author>,
    fd: i32,
    /// Time of the last round in milliseconds, shifted by 16, and the number of its last command:
    /// one store keeps both, and they always belong together.
    last: AtomicU64,
    db: AtomicU8,
    proto: AtomicU8,
    traits: AtomicU8,
    /// Commands queued by MULTI; -1 outside of one.
    queued: AtomicI32,
    watching: AtomicU32,
    query_buffer: AtomicU64,
    output_buffer: AtomicU64,
    names: Mutex<Names>,
    /// Where pushes wait; `None` until the connection asks for any.
    inbox: OnceLock<Arc<Inbox>>,
    /// Ends the wait of the command that blocks; `None` if none does.
    blocked: Mutex<Option<watch::Sender<Option<Unblock>>>>,
    /// What CLIENT TRACKING asked for.
    tracking: Mutex<Option<Arc<Tracked>>>,
    /// Its task, once that has waited for its client.
    task: Mutex<Option<Waker>>,
    killed: AtomicBool,
    kill: Notify,
}

impl ClientInfo {
    pub(super) fn new(id: u64, new: NewClient) -> Self {
        let addr = new.endpoints.addr();
        let info = Self {
            id,
            author: Arc::new(Author::new(id, &addr, DEFAULT)),
            addr,
            laddr: new.endpoints.laddr(),
            endpoints: new.endpoints,
            connected_at: new.now,
            fd: new.fd,
            last: AtomicU64::new(0),
            db: AtomicU8::new(0),
            proto: AtomicU8::new(2),
            traits: AtomicU8::new(0),
            queued: AtomicI32::new(-1),
            watching: AtomicU32::new(0),
            query_buffer: AtomicU64::new(0),
            output_buffer: AtomicU64::new(0),
            names: Mutex::default(),
            inbox: OnceLock::new(),
            blocked: Mutex::default(),
            tracking: Mutex::default(),
            task: Mutex::default(),
            killed: AtomicBool::new(false),
            kill: Notify::new(),
        };
        info.note_round(new.now, CommandName::NONE);
        info
    }

    // === impl: written by the connection's task ===

    /// Notes a round: when it was, and which command it ended with. Once per round.
    pub fn note_round(&self, now: UnixMs, command: CommandName) {
        self.last.store(now << 16 | u64::from(command.number()), Ordering::Relaxed);
    }

    /// Notes the bytes waiting to be parsed and the bytes waiting to be sent.
    pub fn note_buffers(&self, query_bytes: usize, output_bytes: usize) {
        self.query_buffer.store(query_bytes as u64, Ordering::Relaxed);
        self.output_buffer.store(output_bytes as u64, Ordering::Relaxed);
    }

    /// Notes the commands queued by MULTI (`None` outside of one) and the keys under WATCH.
    pub fn note_transaction(&self, queued: Option<usize>, watching: usize) {
        let queued = queued.map_or(-1, |n| i32::try_from(n).unwrap_or(i32::MAX));
        self.queued.store(queued, Ordering::Relaxed);
        self.watching.store(u32::try_from(watching).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// Notes that a command blocks, and how it is told to end; `None`: it is over.
    pub fn note_blocked(&self, word: Option<watch::Sender<Option<Unblock>>>) {
        *self.blocked.lock().unwrap_or_else(PoisonError::into_inner) = word;
    }

    /// Notes the selected database.
    pub fn note_db(&self, db: u8) {
        self.db.store(db, Ordering::Relaxed);
    }

    /// Notes the protocol version.
    pub fn note_proto(&self, proto: Proto) {
        self.proto.store(if proto == Proto::V3 { 3 } else { 2 }, Ordering::Relaxed);
    }

    /// Notes the lasting properties.
    pub fn note_traits(&self, traits: Traits) {
        let bits = u8::from(traits.no_evict) | u8::from(traits.no_touch) << 1;
        self.traits.store(bits, Ordering::Relaxed);
    }

    /// CLIENT SETNAME. The caller has checked the name.
    pub fn set_name(&self, name: &str) {
        name.clone_into(&mut self.names().name);
        self.author.rename(name);
    }

    /// Notes who the client is.
    pub fn set_user(&self, user: &Arc<str>) {
        self.names().user = Some(Arc::clone(user));
        self.author.set_user(user);
    }

    /// CLIENT SETINFO LIB-NAME. The caller has checked it.
    pub fn set_lib_name(&self, name: &str) {
        name.clone_into(&mut self.names().lib_name);
    }

    /// CLIENT SETINFO LIB-VER. The caller has checked it.
    pub fn set_lib_ver(&self, version: &str) {
        version.clone_into(&mut self.names().lib_ver);
    }

    /// Notes what CLIENT TRACKING asked for; `None` while it is off.
    pub fn note_tracking(&self, tracked: Option<Arc<Tracked>>) {
        *self.tracking.lock().unwrap_or_else(PoisonError::into_inner) = tracked;
    }

    /// Notes the task that waits for the client.
    pub fn note_task(&self, waker: &Waker) {
        *self.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker.clone());
    }

    /// The inbox, made if there is none. By others only if they [`nudge`](Self::nudge) then.
    pub fn open_inbox(&self, pubsub: &PubSub) -> Arc<Inbox> {
        Arc::clone(self.inbox.get_or_init(|| Arc::new(pubsub.open_inbox(self.id))))
    }

    /// Has the connection's task look at everything anew, if it waits.
    pub fn nudge(&self) {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(task) = task {
            task.wake();
        }
    }

    // === impl: read by anyone ===

    /// Where pushes wait for it; `None` if it never asked for any.
    #[must_use]
    pub fn inbox(&self) -> Option<&Arc<Inbox>> {
        self.inbox.get()
    }

    /// Whether it has subscribed to anything.
    #[must_use]
    pub fn is_subscriber(&self) -> bool {
        self.inbox().is_some_and(|inbox| inbox.is_subscribed())
    }

    /// The name from CLIENT SETNAME; empty if there is none.
    #[must_use]
    pub fn name(&self) -> String {
        self.names().name.clone()
    }

    /// The name of the user that the client is.
    #[must_use]
    pub fn user(&self) -> Arc<str> {
        self.names().user.clone().unwrap_or_else(|| DEFAULT.into())
    }

    /// Whether MULTI is open.
    #[must_use]
    pub fn in_transaction(&self) -> bool {
        self.queued.load(Ordering::Relaxed) >= 0
    }

    /// Keys under WATCH.
    #[must_use]
    pub fn watching(&self) -> u32 {
        self.watching.load(Ordering::Relaxed)
    }

    /// Bytes waiting to be parsed.
    #[must_use]
    pub fn query_bytes(&self) -> u64 {
        self.query_buffer.load(Ordering::Relaxed)
    }

    /// Bytes waiting to be sent: replies, and pushes in its inbox.
    #[must_use]
    pub fn output_bytes(&self) -> u64 {
        let pushes = self.inbox().map_or(0, |inbox| inbox.bytes() as u64);
        self.output_buffer.load(Ordering::Relaxed) + pushes
    }

    /// Whether a command of it blocks.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.blocked.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// CLIENT UNBLOCK. Whether a command blocks.
    pub fn unblock(&self, how: Unblock) -> bool {
        let blocked = self.blocked.lock().unwrap_or_else(PoisonError::into_inner);
        blocked.as_ref().map(|word| word.send_replace(Some(how))).is_some()
    }

    /// When the last round was.
    #[must_use]
    pub fn last_interaction(&self) -> UnixMs {
        self.last.load(Ordering::Relaxed) >> 16
    }

    /// Tells the connection to close as soon as it can. It may finish the command it is in.
    pub fn kill(&self) {
        self.killed.store(true, Ordering::Release);
        // Its task may wait in several places; if it does not yet, a permit is kept for it.
        self.kill.notify_waiters();
        self.kill.notify_one();
    }

    /// Whether [`ClientInfo::kill`] was called.
    #[must_use]
    pub fn is_killed(&self) -> bool {
        self.killed.load(Ordering::Acquire)
    }

    /// Resolves once the connection was killed. Only its own task waits here; safe to cancel.
    pub async fn killed(&self) {
        while !self.is_killed() {
            self.kill.notified().await;
        }
    }

    /// Appends this connection's line of CLIENT LIST, without a line end.
    ///
    /// Fields are Redis 7.4's. `rbs`, `rbp`, `argv-mem` and `multi-mem` describe buffers that do not exist here and are 0.
    pub fn describe(&self, now: UnixMs, out: &mut String) {
        let last = self.last.load(Ordering::Relaxed);
        let seconds = |since: UnixMs| now.saturating_sub(since) / 1000;
        let (qbuf, omem) = (self.query_bytes(), self.output_bytes());
        let names = self.names().clone();
        let subscriptions = |space| self.inbox().map_or(0, |inbox| inbox.subscriptions(space));
        // Writing to a String never fails.
        let _ = write!(
            out,
            "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={} db={} sub={} psub={} \
             ssub={} multi={} watch={} qbuf={qbuf} qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 \
             obl={omem} oll=0 omem={omem} tot-mem={} events=r cmd={} user={} redir={} \
             resp={} lib-name={} lib-ver={}",
            self.id,
            self.addr,
            self.laddr,
            self.fd,
            names.name,
            seconds(self.connected_at),
            seconds(last >> 16),
            self.flags(),
            self.db.load(Ordering::Relaxed),
            subscriptions(Space::Channel),
            subscriptions(Space::Pattern),
            subscriptions(Space::Shard),
            self.queued.load(Ordering::Relaxed),
            self.watching(),
            qbuf + omem + size_of::<Self>() as u64,
            CommandName::of_number((last & 0xffff) as u16),
            names.user.as_deref().unwrap_or(DEFAULT),
            self.tracking().map_or(-1, |t| i64::try_from(t.options.redirect).unwrap_or(i64::MAX)),
            self.proto.load(Ordering::Relaxed),
            names.lib_name,
            names.lib_ver,
        );
    }

    fn tracking(&self) -> Option<Arc<Tracked>> {
        self.tracking.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// CLIENT LIST's letters.
    fn flags(&self) -> String {
        let traits = self.traits.load(Ordering::Relaxed);
        let tracking = self.tracking();
        let letters = [
            (self.is_subscriber(), 'P'),
            (self.in_transaction(), 'x'),
            (self.is_blocked(), 'b'),
            (tracking.is_some(), 't'),
            (tracking.as_ref().is_some_and(|tracked| tracked.is_broken()), 'R'),
            (tracking.as_ref().is_some_and(|tracked| tracked.options.broadcast), 'B'),
            (self.is_killed(), 'A'),
            (matches!(self.endpoints, Endpoints::Unix(_)), 'U'),
            (traits & 1 != 0, 'e'),
            (traits & 2 != 0, 'T'),
        ];
        let flags: String = letters.iter().filter(|(on, _)| *on).map(|(_, c)| *c).collect();
        if flags.is_empty() { "N".to_owned() } else { flags }
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        // Whole strings are swapped in: a poisoned lock is still whole.
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
