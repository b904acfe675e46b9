//! The write side of the tier: its part of the tree, and the replies that wait for Redis.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use seawall_actors::cache::store::TIERED;
use seawall_actors::clock::Clock;
use seawall_actors::journal::Lsn;
use seawall_actors::redis::outbox::{
    Gate, Held, Keeping, Mark, Memory, Outbox, OutboxArgs, OutboxSettings, OutboxStats, Piece,
    Place,
};
use seawall_actors::redis::{Near, Pool};
use seawall_actors::supervise::{ChildSpec, GivesUp, Handle, Restart};
use seawall_actors::wal::Tail;
use tokio::sync::watch;

use crate::daemon::{Daemon, SnapshotHandle};
use crate::resp::coordinator::{Borrowed, ShardSet};

/// Beside `redis.drain`, what the end of the outbox may take.
const END: Duration = Duration::from_secs(2);
/// Entries that are looked at with a shard's store in hand, and bytes copied out of it.
const ENTRIES: u64 = 256;
const BYTES: usize = 1 << 20;

/// The write side as the daemon holds it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct WriteSide {
    /// Who waits for Redis, and what is counted.
    pub gate: Gate,
    settings: Arc<watch::Sender<OutboxSettings>>,
}

/// What its actor works on.
#[derive(Debug)]
pub struct Parts {
    /// The connection that writes take.
    pub pool: Pool,
    /// The log.
    pub tail: Tail,
    /// Its cursor.
    pub keeping: Arc<Keeping>,
    /// Whose memory it is.
    pub daemon: Arc<Daemon>,
    /// Who says how large the log is.
    pub snapshots: SnapshotHandle,
    /// How far the log was when Redis was put behind it; nothing, if it was from the start.
    pub joined: Mark,
}

impl WriteSide {
    /// A write side whose actor is not started yet.
    #[must_use]
    pub fn new(settings: OutboxSettings) -> Self {
        let this = Self { gate: Gate::default(), settings: Arc::new(watch::Sender::new(settings)) };
        this.gate.set_through(settings.through);
        this
    }

    /// New settings, from the next write on.
    pub fn configure(&self, settings: OutboxSettings) {
        self.gate.set_through(settings.through);
        self.settings.send_replace(settings);
    }

    /// Its actor. Clients are served without it, and the log keeps what is to be sent.
    #[must_use]
    pub fn child(&self, parts: Parts, near: Arc<dyn Near>, clock: Clock) -> ChildSpec {
        let Parts { pool, tail, keeping, daemon, snapshots, joined } = parts;
        let pressed = move || {
            let status = snapshots.current();
            let held = status.and_then(|status| status.disk.pressure?.held);
            held.is_some_and(|held| keeping_is(&held.who))
        };
        let args = OutboxArgs {
            pool,
            tail,
            gate: self.gate.clone(),
            keeping,
            conditions: daemon.conditions.clone(),
            memory: Arc::new(Stores(daemon)),
            near,
            settings: self.settings.subscribe(),
            pressed: Arc::new(pressed),
            joined,
            clock,
        };
        let grace = self.settings.borrow().drain + END;
        let make = move || (Outbox, args.clone());
        ChildSpec::worker("redis-outbox", Handle::new(), Restart::default(), make)
            .gives_up(GivesUp::Degrade)
            .grace(grace)
    }

    /// How it stands, with the log here now.
    #[must_use]
    pub fn stats(&self, now: Mark) -> OutboxStats {
        self.gate.stats(now)
    }
}

fn keeping_is(who: &str) -> bool {
    who == seawall_actors::redis::outbox::WHO
}

impl Daemon {
    /// How the write side of the tier stands; `None` without one.
    #[must_use]
    pub fn outbox_stats(&self) -> Option<OutboxStats> {
        Some(self.tier.shown()?.writes.stats(self.log_mark()))
    }

    /// How far the log is now.
    #[must_use]
    pub fn log_mark(&self) -> Mark {
        let (lsn, bytes) = self.log.status().map_or((0, 0), |(_, stats)| (stats.lsn, stats.bytes));
        Mark { lsn, bytes, wall_ms: self.clock.unix_ms() }
    }

    /// Keeps the reply to a write of the first database until Redis has it, as `redis.write` says.
    /// `asking` is what the command has waited for Redis already: `redis.timeout` is for both.
    pub async fn written(&self, lsn: Lsn, asking: Duration) {
        if let Some(tier) = self.tier.asked() {
            let within = tier.pool.settings().timeout.saturating_sub(asking);
            // Degraded is counted; the reply is the same.
            let _ = tier.writes.gate.wait(lsn, within).await;
        }
    }
}

/// What the shards hold, a piece at a time.
struct Stores(Arc<Daemon>);

#[async_trait]
impl Memory for Stores {
    async fn piece(&self, from: Place) -> Result<Piece, String> {
        let shards = &self.0.shards;
        let Place { shard, cursor } = from;
        let mut wanted = ShardSet::none(shards.len());
        wanted.add(shard);
        let wait = self.0.config.settings().cache.recovery_wait;
        let borrowed = Borrowed::take(shards, &wanted, wait).await;
        let mut borrowed = borrowed.map_err(|refusal| refusal.to_string())?;
        let (mut piece, mut bytes, mut next) = (Piece::default(), 0, cursor);
        if let Some(Some(store)) = borrowed.stores().get_mut(shard) {
            let now = self.0.clock.unix_ms();
            for _ in 0..ENTRIES / 16 {
                next = store.scan(TIERED, next, 16, now, |key, entry| {
                    bytes += key.len() + entry.value.len();
                    piece.entries.push(Held {
                        key: key.into(),
                        value: entry.value.into(),
                        expires_at: entry.expires_at,
                        ours: entry.ours,
                    });
                });
                if next == 0 || bytes >= BYTES {
                    break;
                }
            }
        }
        piece.next = match next {
            0 if shard + 1 == shards.len() => None,
            0 => Some(Place { shard: shard + 1, cursor: 0 }),
            cursor => Some(Place { shard, cursor }),
        };
        Ok(piece)
    }
}
