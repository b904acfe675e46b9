//! The way to Redis for commands that are not looked into: the bytes of a client go there, and
//! the bytes of the reply come back.
//!
//! A client must get what Redis itself would answer, in the client's protocol and to the byte.
//! A parsed reply has lost that (the two nulls of RESP2, the digits of a double), so these
//! connections are not the links': each speaks one protocol, and carries one request at a time,
//! which is also what transactions and commands that block need. They live by the links' state:
//! while no link is up, nothing is tried here.

//!
//! | module | owns |
//! |---|---|
//! | `room` | how many may go this way at a time |
//! | `connections` | those that nobody uses, and new ones |
//! | `wire` | one connection |
//! | `tls` | what a new one needs for TLS |
//! | `frames` | where replies end; pure |
//! | `replies` | replies, as they came |
//! | `attempt` | a request with its retries, and the ways through a Cluster |
//! | `everywhere` | a request to every master of a Cluster |
//! | `train` | several requests in one piece |
//! | `wait` | how long is waited, and what ends it |

mod attempt;
mod connections;
mod everywhere;
mod frames;
mod replies;
mod room;
mod tls;
mod train;
mod wait;
mod wire;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

pub use self::everywhere::Enough;
pub use self::replies::{Replies, error_of};
use self::room::{Room, Seat};
pub use self::train::{Outcome, Train};
pub use self::wait::{Unblock, Wait};
use self::wire::Wire;
use super::failure::{Failure, FailureKind};
use super::nodes::{Node, Nodes, slot_of};
use super::pool::{Pool, Request};
use super::settings::LinkSettings;

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

/// A node of a Cluster.
#[derive(Debug, Clone, Copy)]
pub enum Target<'a> {
    /// Whichever.
    Any,
    /// The one that has this key.
    Key(&'a [u8]),
    /// This one, and no other in its place; none, once connections are made elsewhere than this.
    Node(&'a Node, &'a LinkSettings),
}

impl Target<'_> {
    /// The slot that it is found by.
    fn slot(&self) -> Option<u16> {
        match self {
            Self::Key(key) => Some(slot_of(key)),
            Self::Any | Self::Node(..) => None,
        }
    }
}

/// Encoded requests.
#[derive(Debug, Clone, Copy)]
pub struct Load<'a> {
    /// Their bytes.
    pub bytes: &'a [u8],
    /// How many they are.
    pub count: usize,
    /// Which node of a Cluster they are for.
    pub to: Target<'a>,
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

/// See the module. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Passage {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    pool: Pool,
    /// What is written here goes over its connection.
    writes: Pool,
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
    /// A way beside the links of this pool, to where `writes` brings what is written here.
    #[must_use]
    pub fn new(pool: Pool, writes: Pool, limits: PassageLimits) -> Self {
        let (shared, blocking) = (Room::new(limits.shared), Room::new(limits.blocking));
        let inner = Inner {
            pool,
            writes,
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

    /// What is known of the nodes of the Cluster that these settings lead to.
    fn nodes(&self, settings: &LinkSettings) -> MutexGuard<'_, Nodes> {
        let mut nodes = self.inner.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        nodes.are_of(&settings.url);
        nodes
    }

    /// What connections are made with: what the one for writes was made with. Other settings may be
    /// in force already, but as long as the links do not lead there, nothing goes there.
    fn settings(&self) -> Arc<LinkSettings> {
        let Inner { pool, writes, .. } = &*self.inner;
        writes.made_with().or_else(|| pool.made_with()).unwrap_or_else(|| pool.settings())
    }

    /// Resolves once connections are made to another place than this. Safe to cancel.
    async fn moved_from(&self, place: &LinkSettings) {
        let (mut writes, mut links) = (self.inner.writes.live(), self.inner.pool.live());
        while self.settings().is_at_the_same(place) {
            // Both pools outlive whoever waits here.
            tokio::select! {
                _ = writes.changed() => {}
                _ = links.changed() => {}
            }
        }
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
        let _seat = self.seat(1, request.deadline).await?;
        self.with_retries(load, request, Wait { until: Some(request.deadline), word: None }).await
    }

    /// Room for so many commands that go together.
    async fn seat(&self, commands: usize, deadline: Instant) -> Result<Seat, Failure> {
        let commands = commands as u64;
        self.inner.passed.fetch_add(commands, Relaxed);
        if self.inner.shared.taken() >= self.inner.shared.size() {
            self.inner.waits.fetch_add(commands, Relaxed);
        }
        timeout_at(deadline, self.inner.shared.seat()).await.map_err(|_| {
            self.inner.refused.fetch_add(commands, Relaxed);
            let text = "every connection for such commands is in use (redis.pass_links)";
            Failure::before(FailureKind::Crowded, text)
        })
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
