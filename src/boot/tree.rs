//! The supervision tree: who is started, in which order, and what happens when one gives up.
//!
//! Children stop in the reverse of this order, so the log is closed after everything that writes
//! to it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use seawall_actors::cache::store::StoreConfig;
use seawall_actors::cache::{Shard, ShardArgs, SweepTarget, Sweeper, SweeperArgs};
use seawall_actors::clock::Clock;
use seawall_actors::metrics::{self as aggregator, Aggregator};
use seawall_actors::redis::outbox::Mark;
use seawall_actors::snapshot::upkeep::UpkeepSettings;
use seawall_actors::snapshot::{SnapshotArgs, Snapshotter, Troubles};
use seawall_actors::supervise::{
    ChildSpec, Conditions, GivesUp, Handle, Restart, Strategy, SupervisorSpec,
};
use seawall_actors::wal::{WalActor, WalArgs, WalMsg};
use seawall_actors::watch::{self as watcher, OnChange, Seen, Watcher};
use tokio::sync::watch;

use super::dependencies::Failure;
use super::recovery::{DaemonIntake, Recovery, store_config, upkeep_settings};
use super::tier::{Made, Makings};
use crate::config::settings::Settings;
use crate::daemon::{Daemon, ShardHandle, SnapshotHandle, sources};
use crate::http::{self, AdminHttp, Listen};
use crate::resp::front::{Front, FrontArgs, FrontMsg};
use crate::resp::round::ShardJob;
use crate::resp::sockets::{Socket, Sockets};
use crate::telemetry::Telemetry;
use crate::tier::links;

/// Of `supervision.grace`, what the front may use to let connections finish; the rest is for the
/// log and everything else.
const FRONT_SHARE: u32 = 60;
/// The log's place in the tree.
pub(super) const WAL: &str = "wal";
/// The snapshotter's.
const SNAPSHOTS: &str = "snapshots";

/// Handles and channels between the tree and the rest of the daemon.
#[derive(Debug)]
pub(super) struct Wiring {
    /// The shards.
    pub shards: Vec<ShardHandle>,
    /// The log's actor.
    pub wal: Handle<WalMsg>,
    /// The RESP front.
    pub front: Handle<FrontMsg>,
    /// RESP sockets.
    pub sockets: Sockets,
    /// Where the admin HTTP listens now.
    pub admin_bound: watch::Receiver<Option<SocketAddr>>,
    admin_announce: watch::Sender<Option<SocketAddr>>,
    admin: Option<std::net::TcpListener>,
    /// Limits of each shard, read by its incarnations when they start.
    pub store_configs: Vec<watch::Sender<StoreConfig>>,
    /// Time between two sweeps.
    pub sweep_interval: watch::Sender<Duration>,
    /// When snapshots are taken, and what may be deleted.
    pub upkeep: watch::Sender<UpkeepSettings>,
    /// The log's queue; `None` for a pure cache.
    pub intake: Option<DaemonIntake>,
    /// The actor that takes snapshots, and how the last went.
    pub snapshots: SnapshotHandle,
    /// What the second tier is made of.
    pub tier: Makings,
    /// The one of the start.
    first: Option<Made>,
    grace: Duration,
}

impl Wiring {
    /// Wiring for these settings.
    ///
    /// # Errors
    /// The tier of the start is not to be had.
    pub async fn new(
        settings: &Settings,
        recovery: &Recovery,
        clock: &Clock,
        conditions: &Conditions,
        sockets: Vec<Socket>,
        admin: Option<std::net::TcpListener>,
    ) -> Result<Self, Failure> {
        let shards = usize::from(settings.cache.shards);
        let handles: Vec<ShardHandle> = (0..shards).map(|_| Handle::new()).collect();
        // Known before the actor says so: `ready` names it however late that starts.
        let admin_announce = watch::Sender::new(admin.as_ref().and_then(|a| a.local_addr().ok()));
        let snapshots = SnapshotHandle::new(recovery.snapshots.is_some());
        let tier = Makings::new(recovery, handles.clone(), snapshots.clone(), clock, conditions);
        let first = match &settings.redis {
            Some(redis) => tier.make(redis).await?,
            None => None,
        };
        if let (Some(redis), Some(made)) = (&settings.redis, &first) {
            tier.begin_with(redis, &made.tier);
        }
        Ok(Self {
            shards: handles,
            wal: Handle::new(),
            front: Handle::new(),
            sockets: Sockets::new(sockets),
            admin_bound: admin_announce.subscribe(),
            admin_announce,
            admin,
            store_configs: (0..shards)
                .map(|i| watch::Sender::new(store_config(settings, i)))
                .collect(),
            sweep_interval: watch::Sender::new(settings.cache.sweep_interval),
            upkeep: watch::Sender::new(upkeep_settings(settings)),
            intake: recovery.wal.as_ref().map(|(intake, _)| intake.clone()),
            snapshots,
            tier,
            first,
            grace: settings.supervision.grace,
        })
    }

    /// Lets go of the sockets, which removes the file of a Unix socket; whoever still waits for
    /// the log is told that it is closed.
    pub fn close(&self) {
        self.sockets.replace(Vec::new());
        if let Some(intake) = &self.intake {
            intake.close();
        }
    }

    /// The root and everything below it.
    ///
    /// # Errors
    /// Settings that make no tree; a rule of the configuration has missed it.
    pub fn root(
        &mut self,
        daemon: &Arc<Daemon>,
        recovery: Recovery,
        telemetry: &Arc<Telemetry>,
        seen: Seen,
        on_change: OnChange,
    ) -> Result<SupervisorSpec, String> {
        let mut root =
            SupervisorSpec::new("root", Strategy::OneForOne).child(metrics(daemon, telemetry));
        if let Some((intake, dir)) = &recovery.wal {
            root = root.child(self.wal(daemon, intake, dir));
        }
        let snapshots = self.snapshotter(daemon, &recovery);
        root = root.child(ChildSpec::supervisor(self.cache(daemon, recovery)));
        if let Some(snapshots) = snapshots {
            root = root.child(snapshots);
        }
        if self.tier.have_a_log() {
            // It is there without a Redis, too: links that come later stop in their turn.
            let (made, settings) = (self.first.take(), daemon.config.settings());
            let children = made
                .zip(settings.redis.as_ref())
                .map(|(made, redis)| self.tier.children(made, redis, daemon, Mark::default()));
            let links = links::supervisor(children.unwrap_or_default());
            root = root.child(ChildSpec::supervisor(links));
        }
        Ok(root
            .child(watcher(daemon, seen, on_change))
            .child(ChildSpec::supervisor(self.front(daemon))))
    }

    fn wal(&self, daemon: &Arc<Daemon>, intake: &DaemonIntake, dir: &std::path::Path) -> ChildSpec {
        let (intake, data, clock) = (intake.clone(), dir.to_owned(), daemon.clock.clone());
        // The intake logs it in its own words, and outlives the actor.
        intake.show_trouble(daemon.conditions.declare(WAL, "writes_refused").quiet());
        ChildSpec::worker(WAL, self.wal.clone(), Restart::default(), move || {
            let args = WalArgs { data: data.clone(), intake: intake.clone(), clock: clock.clone() };
            (WalActor::default(), args)
        })
        .grace(self.grace)
    }

    /// Cache and log go on without it.
    fn snapshotter(&self, daemon: &Daemon, recovery: &Recovery) -> Option<ChildSpec> {
        let ((intake, _), snapshots) = (recovery.wal.as_ref()?, recovery.snapshots.as_ref()?);
        let args = SnapshotArgs {
            shards: self.shards.clone().into(),
            snapshots: snapshots.clone(),
            intake: intake.clone(),
            status: Arc::clone(self.snapshots.status()?),
            troubles: Arc::new(Troubles::new(&daemon.conditions, SNAPSHOTS)),
            settings: self.upkeep.subscribe(),
            clock: daemon.clock.clone(),
        };
        let make = move || (Snapshotter::<ShardJob>::default(), args.clone());
        let handle = self.snapshots.handle().clone();
        let child = ChildSpec::worker(SNAPSHOTS, handle, Restart::default(), make);
        Some(child.gives_up(GivesUp::Degrade))
    }

    fn cache(&self, daemon: &Arc<Daemon>, recovery: Recovery) -> SupervisorSpec {
        let mut cache = SupervisorSpec::new("cache", Strategy::OneForOne);
        let shards = self.shards.iter().zip(recovery.cradles).zip(&self.store_configs);
        for (index, ((handle, cradle), config)) in shards.enumerate() {
            let (journal, rebuild) = (Arc::clone(&recovery.journal), Arc::clone(&recovery.rebuild));
            let (config, clock) = (config.subscribe(), daemon.clock.clone());
            let tier = self.tier.for_shard();
            let audience = Arc::clone(&daemon.listeners);
            let make = move || {
                let args = ShardArgs {
                    tier: tier.clone(),
                    index,
                    cradle: Arc::clone(&cradle),
                    journal: Arc::clone(&journal),
                    rebuild: Arc::clone(&rebuild),
                    config: config.clone(),
                    audience: Arc::clone(&audience) as _,
                    clock: clock.clone(),
                };
                (Shard::<ShardJob>::default(), args)
            };
            let id = format!("shard-{index}");
            cache = cache.child(ChildSpec::worker(id, handle.clone(), Restart::default(), make));
        }
        let targets: Arc<[Arc<dyn SweepTarget>]> =
            self.shards.iter().map(|h| Arc::new(h.clone()) as Arc<dyn SweepTarget>).collect();
        let interval = self.sweep_interval.subscribe();
        let make = move || {
            let args = SweeperArgs { targets: Arc::clone(&targets), interval: interval.clone() };
            (Sweeper, args)
        };
        // Without sweeps, what is due still expires when it is asked for.
        cache.child(
            ChildSpec::worker("sweeper", Handle::new(), Restart::default(), make)
                .gives_up(GivesUp::Degrade),
        )
    }

    fn front(&self, daemon: &Arc<Daemon>) -> SupervisorSpec {
        let draining = Arc::new(watch::Sender::new(false));
        let (shared, sockets) = (Arc::clone(daemon), self.sockets.clone());
        let grace = self.grace * FRONT_SHARE / 100;
        let make = move || {
            let args = FrontArgs {
                daemon: Arc::clone(&shared),
                sockets: sockets.clone(),
                draining: Arc::clone(&draining),
                grace,
            };
            (Front, args)
        };
        let front = SupervisorSpec::new("front", Strategy::OneForOne).child(
            ChildSpec::worker("resp", self.front.clone(), Restart::default(), make).grace(grace),
        );
        let Some(listener) = &self.admin else { return front };
        let Ok(listener) = listener.try_clone() else { return front };
        let Ok(taken) = listener.local_addr() else { return front };
        let (view, bound) = (Arc::clone(daemon), self.admin_announce.clone());
        let config = Arc::clone(&daemon.config);
        let tls = config.settings().admin.tls.then(|| http::Tls {
            identity: Arc::new(move || config.settings().tls.identity.clone()),
            handshakes: Arc::clone(&daemon.handshakes),
        });
        let make = move || {
            let listen = listener.try_clone().map_or_else(
                // Out of file descriptors: binding what is bound already fails, also if a
                // descriptor is free again by then, and the start is tried again.
                |_| Listen::Bind(taken),
                Listen::Prepared,
            );
            let args = http::Args {
                listen,
                view: Arc::clone(&view) as _,
                limits: http::Limits::default(),
                tls: tls.clone(),
                bound: bound.clone(),
            };
            (AdminHttp, args)
        };
        // Clients are served without it.
        front.child(
            ChildSpec::worker("admin", Handle::new(), Restart::default(), make)
                .gives_up(GivesUp::Degrade),
        )
    }
}

fn metrics(daemon: &Arc<Daemon>, telemetry: &Arc<Telemetry>) -> ChildSpec {
    let (daemon, telemetry) = (Arc::clone(daemon), Arc::clone(telemetry));
    let make = move || {
        let args = aggregator::Args {
            sources: sources(&daemon, &telemetry),
            published: daemon.metrics.clone(),
            settings: aggregator::Settings::default(),
        };
        (Aggregator, args)
    };
    ChildSpec::worker("metrics", Handle::new(), Restart::default(), make).gives_up(GivesUp::Degrade)
}

fn watcher(daemon: &Arc<Daemon>, seen: Seen, on_change: OnChange) -> ChildSpec {
    let daemon = Arc::clone(daemon);
    let make = move || {
        let config = Arc::clone(&daemon.config);
        let args = watcher::Args {
            files: Arc::new(move || config.files()),
            seen: seen.clone(),
            on_change: Arc::clone(&on_change),
        };
        (Watcher, args)
    };
    // SIGHUP and CONFIG SET work without it.
    ChildSpec::worker("watcher", Handle::new(), Restart::default(), make).gives_up(GivesUp::Degrade)
}
