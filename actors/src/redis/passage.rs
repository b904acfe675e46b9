//! The way to Redis for commands that are not looked into: the bytes of a client go there, and
//! the bytes of the reply come back.
//!
//! A client must get what Redis itself would answer, in the client's protocol and to the byte.
//! A parsed reply has lost that (the two nulls of RESP2, the digits of a double), so these
//! connections are not the links': each speaks one protocol, and carries one request at a time,
//! which is also what transactions and commands that block need. They live by the links' state:
//! while no link is up, nothing is tried here.

mod frames;
mod room;
mod tls;
mod wire;

use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};

use self::room::{Room, Seat};
use self::wire::Wire;
use super::failure::{Failure, FailureKind};
use super::nodes::{Node, Nodes, Redirect, slot_of};
use super::pool::{Once, Pool, Request};
use super::retry::Next;

/// How often a Cluster may send on a request.
const HOPS: usize = 5;

/// Between two looks whether something is still under way.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// The protocol of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// RESP2.
    Resp2,
    /// RESP3.
    Resp3,
}

/// How many connections there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PassageLimits {
    /// For commands that are answered at once; more wait for room.
    pub shared: usize,
    /// For commands that wait in Redis; more are refused.
    pub blocking: usize,
}

/// Encoded requests.
#[derive(Debug, Clone, Copy)]
pub struct Load<'a> {
    /// Their bytes.
    pub bytes: &'a [u8],
    /// How many they are.
    pub count: usize,
    /// One of their keys, if they have any: it says which node of a Cluster they are for.
    pub key: Option<&'a [u8]>,
    /// The protocol to be answered in.
    pub dialect: Dialect,
    /// Bytes of replies that are taken.
    pub most: usize,
}

/// What goes this way now, and has gone since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PassageStats {
    /// Commands and transactions under way that are answered at once.
    pub in_use: usize,
    /// Commands that wait in Redis.
    pub blocked: usize,
    /// Commands and transactions that were to go this way.
    pub passed: u64,
    /// Those that had to wait for room.
    pub waits: u64,
    /// Those that found none: in time, or at all if they were to wait in Redis.
    pub refused: u64,
}

/// Replies, as they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replies {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Replies {
    /// Without the first.
    fn rest(mut self) -> Self {
        if !self.ends.is_empty() {
            let first = self.ends.remove(0);
            self.bytes.drain(..first);
            self.ends.iter_mut().for_each(|end| *end -= first);
        }
        self
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| self.bytes.get(start..*end).unwrap_or_default())
    }
}

/// Code and text of a reply that is an error.
#[must_use]
pub fn error_of(reply: &[u8]) -> Option<(&str, &str)> {
    frames::error(reply)
}

/// See the module. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Passage {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    pool: Pool,
    /// Connections that nobody uses; the newest last.
    idle: Mutex<Vec<Wire>>,
    nodes: Mutex<Nodes>,
    shared: Room,
    blocking: Room,
    passed: AtomicU64,
    waits: AtomicU64,
    refused: AtomicU64,
}

impl Passage {
    /// A way beside the links of this pool.
    #[must_use]
    pub fn new(pool: Pool, limits: PassageLimits) -> Self {
        let (shared, blocking) = (Room::new(limits.shared), Room::new(limits.blocking));
        let inner = Inner {
            pool,
            idle: Mutex::default(),
            nodes: Mutex::default(),
            shared,
            blocking,
            passed: AtomicU64::new(0),
            waits: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        };
        Self { inner: Arc::new(inner) }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Wire>> {
        self.inner.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn nodes(&self) -> MutexGuard<'_, Nodes> {
        self.inner.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many commands wait in Redis now.
    #[must_use]
    pub fn blocked(&self) -> usize {
        self.inner.blocking.taken()
    }

    /// Resolves once nothing is under way this way. Safe to cancel.
    pub async fn until_idle(&self) {
        while self.inner.shared.taken() > 0 || self.blocked() > 0 {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// New limits. Connections that are too many carry what they have, and end then.
    pub fn configure(&self, limits: PassageLimits) {
        self.inner.shared.resize(limits.shared);
        self.inner.blocking.resize(limits.blocking);
        let mut idle = self.idle();
        let surplus = idle.len().saturating_sub(limits.shared);
        idle.drain(..surplus);
    }

    /// The numbers now.
    #[must_use]
    pub fn stats(&self) -> PassageStats {
        let Inner { shared, passed, waits, refused, .. } = &*self.inner;
        PassageStats {
            in_use: shared.taken(),
            blocked: self.blocked(),
            passed: passed.load(Relaxed),
            waits: waits.load(Relaxed),
            refused: refused.load(Relaxed),
        }
    }

    /// Sends requests in one piece over one connection, again if that helps and may be.
    ///
    /// # Errors
    /// [`Failure`], which says whether they may have been executed. A reply that says that Redis
    /// can't now is one, too.
    pub async fn pass(&self, load: Load<'_>, request: Request) -> Result<Replies, Failure> {
        self.inner.passed.fetch_add(1, Relaxed);
        if self.inner.shared.taken() >= self.inner.shared.size() {
            self.inner.waits.fetch_add(1, Relaxed);
        }
        let Ok(_seat) = timeout_at(request.deadline, self.inner.shared.seat()).await else {
            self.inner.refused.fetch_add(1, Relaxed);
            let text = "every connection for such commands is in use (redis.pass_links)";
            return Err(Failure::before(FailureKind::Crowded, text));
        };
        self.with_retries(load, request, Wait { until: Some(request.deadline), word: None }).await
    }

    /// Takes a connection for a command that waits in Redis.
    ///
    /// # Errors
    /// There is no more room, and nothing was sent.
    pub fn reserve(&self) -> Result<Reserved, Failure> {
        self.inner.passed.fetch_add(1, Relaxed);
        let seat = self.inner.blocking.try_seat().ok_or_else(|| {
            self.inner.refused.fetch_add(1, Relaxed);
            let most = self.inner.blocking.size();
            let text = format!("{most} commands block already (redis.blocking_links)");
            Failure::before(FailureKind::Crowded, text)
        })?;
        Ok(Reserved { passage: self.clone(), _seat: seat })
    }

    /// On the heap, and of a type that tells nothing: a connection's task is no larger for a
    /// command that it may never run.
    fn with_retries<'a>(
        &'a self,
        load: Load<'a>,
        request: Request,
        wait: Wait,
    ) -> Pin<Box<dyn Future<Output = Result<Replies, Failure>> + Send + 'a>> {
        Box::pin(self.try_until_it_goes(load, request, wait))
    }

    async fn try_until_it_goes(
        &self,
        load: Load<'_>,
        request: Request,
        mut wait: Wait,
    ) -> Result<Replies, Failure> {
        let pool = &self.inner.pool;
        pool.earn();
        for attempt in 0.. {
            let failure = match self.attempt(load, request.deadline, &mut wait).await {
                Ok(replies) => return Ok(replies),
                Err(failure) => failure,
            };
            let again = request.once == Once::OrMore;
            match pool.after(&failure, again, attempt, request.deadline) {
                Next::Now => {}
                Next::After(wait) => tokio::time::sleep(wait).await,
                Next::Stop => return Err(failure),
            }
        }
        unreachable!("the loop ends by returning")
    }

    async fn attempt(
        &self,
        load: Load<'_>,
        deadline: Instant,
        wait: &mut Wait,
    ) -> Result<Replies, Failure> {
        self.inner.pool.ready(deadline).await?;
        let settings = self.inner.pool.settings();
        let slot = load.key.filter(|_| settings.cluster).map(slot_of);
        let mut node = slot.and_then(|slot| self.nodes().of_slot(slot));
        let mut asking = false;
        for _ in 0..HOPS {
            let mut wire = self.connect(load.dialect, node.take(), deadline).await?;
            let replies = self.answered(&mut wire, load, asking, wait).await?;
            let home = settings.home().map_or_else(|| "".into(), |home| home.host);
            let error = replies.iter().find_map(error_of);
            let redirect = error.and_then(|(code, text)| Redirect::of(code, text, &home));
            match redirect.filter(|_| settings.cluster) {
                // ASKING is for one command: a transaction waits until the slot has arrived.
                Some(redirect) if redirect.asking && load.count > 1 => {
                    self.put_back(wire);
                    let text = "a slot of the Cluster is on its way to another node";
                    return Err(Failure::before(FailureKind::Resharding, text));
                }
                Some(Redirect { slot, node: there, asking: once }) => {
                    self.put_back(wire);
                    if !once {
                        self.nodes().learn(slot, there.clone());
                    }
                    (node, asking) = (Some(there), once);
                }
                None => return self.judge(wire, replies),
            }
        }
        Err(Failure::before(FailureKind::Resharding, "the Cluster's nodes send in circles"))
    }

    /// Whether the replies are those of a Redis that can.
    fn judge(&self, wire: Wire, replies: Replies) -> Result<Replies, Failure> {
        let says_no = |reply| error_of(reply).and_then(|(code, text)| Failure::of_code(code, text));
        let failure = replies.iter().find_map(says_no);
        match failure {
            // Nothing of a transaction is executed if a part of it is refused.
            Some(failure) if failure.kind.breaks_the_link() => Err(failure),
            Some(failure) => {
                self.put_back(wire);
                Err(failure)
            }
            None => {
                self.put_back(wire);
                Ok(replies)
            }
        }
    }

    /// A connection to this node, or to another that may know better if it is not there.
    async fn connect(
        &self,
        dialect: Dialect,
        node: Option<Node>,
        deadline: Instant,
    ) -> Result<Wire, Failure> {
        let Some(gone) = node.clone() else {
            let failure = match self.reach(dialect, None, deadline).await {
                Ok(wire) => return Ok(wire),
                Err(failure) => failure,
            };
            let other = self.nodes().any();
            return match other {
                Some(other) => self.reach(dialect, Some(other), deadline).await,
                None => Err(failure),
            };
        };
        match self.reach(dialect, node, deadline).await {
            Ok(wire) => Ok(wire),
            Err(_) => {
                self.nodes().forget(&gone);
                self.reach(dialect, None, deadline).await
            }
        }
    }

    /// A connection to this node.
    async fn reach(
        &self,
        dialect: Dialect,
        node: Option<Node>,
        deadline: Instant,
    ) -> Result<Wire, Failure> {
        if let Some(wire) = self.take(dialect, node.as_ref()) {
            return Ok(wire);
        }
        let settings = self.inner.pool.settings();
        let dialed = timeout_at(deadline, Wire::dial(&settings, dialect, node)).await;
        dialed.unwrap_or_else(|_| {
            let text = "no further connection to Redis came up in time";
            Err(Failure::before(FailureKind::NoLink, text))
        })
    }

    /// Sends the requests and waits for their replies.
    async fn answered(
        &self,
        wire: &mut Wire,
        load: Load<'_>,
        asking: bool,
        wait: &mut Wait,
    ) -> Result<Replies, Failure> {
        const ASKING: &[u8] = b"*1\r\n$6\r\nASKING\r\n";
        let asked = asking.then(|| [ASKING, load.bytes].concat());
        let bytes = asked.as_deref().unwrap_or(load.bytes);
        let sent = Instant::now();
        let (id, pool) = (wire.id, &self.inner.pool);
        let at = wire.node.clone().or_else(|| wire.settings.home());
        let mut live = pool.live();
        let mut exchange = pin!(wire.exchange(bytes, load.count + usize::from(asking), load.most));
        loop {
            tokio::select! {
                biased;
                answered = &mut exchange => {
                    return answered.map(|all| if asking { all.rest() } else { all });
                }
                () = expired(wait.until) => {
                    let text = format!("Redis did not answer within {:.0?}", sent.elapsed());
                    return Err(Failure::after(FailureKind::Deadline, text));
                }
                // The links have found out that it hangs, or that it has gone.
                () = none_left(&mut live) => {
                    return Err(Failure::after(FailureKind::Broken, "every link to Redis is down"));
                }
                word = spoken(&mut wait.word) => {
                    wait.word = None;
                    let mut command = redis::cmd("CLIENT");
                    command.arg("UNBLOCK").arg(id).arg(word.name());
                    let deadline = Instant::now() + pool.settings().timeout;
                    let request = Request { deadline, once: Once::OrMore };
                    // Redis answers the command itself; if it can't be told, that is found out
                    // by the wait. In a Cluster each node has numbers of its own.
                    let _ = match at.as_ref().filter(|_| pool.settings().cluster) {
                        Some(node) => pool.run_at(node, &command, request).await,
                        None => pool.run(&command, request).await,
                    };
                }
            }
        }
    }

    /// A connection that nobody uses.
    fn take(&self, dialect: Dialect, node: Option<&Node>) -> Option<Wire> {
        let settings = self.inner.pool.settings();
        let mut idle = self.idle();
        let old = |wire: &Wire| settings.max_age.is_some_and(|age| wire.since.elapsed() > age);
        // Those that were made for somewhere else, or have ended, go.
        idle.retain_mut(|wire| {
            Arc::ptr_eq(&wire.settings, &settings) && !old(wire) && wire.is_quiet()
        });
        let fits = |wire: &Wire| wire.dialect == dialect && wire.node.as_ref() == node;
        let at = idle.iter().rposition(fits)?;
        Some(idle.remove(at))
    }

    fn put_back(&self, wire: Wire) {
        let mut idle = self.idle();
        idle.push(wire);
        if idle.len() > self.inner.shared.size() {
            // The one that was not used for longest.
            idle.remove(0);
        }
    }
}

/// Room for one command that waits in Redis.
#[derive(Debug)]
pub struct Reserved {
    passage: Passage,
    _seat: Seat,
}

impl Reserved {
    /// Sends the command and waits for its reply as long as `wait` says. Whoever drops this future
    /// ends the connection, and with it the wait in Redis.
    ///
    /// # Errors
    /// As [`Passage::pass`]; the request's deadline is for the way to Redis.
    pub async fn wait(
        &self,
        load: Load<'_>,
        request: Request,
        wait: Wait,
    ) -> Result<Replies, Failure> {
        self.passage.with_retries(load, request, wait).await
    }
}

/// How long a command may wait in Redis.
#[derive(Debug)]
pub struct Wait {
    /// Until then; `None`: for ever.
    pub until: Option<Instant>,
    /// Says that it shall end now.
    pub word: Option<watch::Receiver<Option<Unblock>>>,
}

/// How a wait in Redis is ended before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unblock {
    /// As if its time were over.
    Timeout,
    /// With an error.
    Error,
}

impl Unblock {
    const fn name(self) -> &'static str {
        match self {
            Self::Timeout => "TIMEOUT",
            Self::Error => "ERROR",
        }
    }
}

/// Ends when no link is up.
async fn none_left(live: &mut watch::Receiver<usize>) {
    if live.wait_for(|live| *live == 0).await.is_err() {
        std::future::pending().await
    }
}

/// The word, once it is spoken.
async fn spoken(word: &mut Option<watch::Receiver<Option<Unblock>>>) -> Unblock {
    let spoken = match word {
        Some(word) => word.wait_for(Option::is_some).await.ok().and_then(|spoken| *spoken),
        None => None,
    };
    match spoken {
        Some(unblock) => unblock,
        None => std::future::pending().await,
    }
}

/// Ends at that time, if there is one.
async fn expired(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}
