//! Start order, stop order, exit codes.
//!
//! ```text
//! start   settings → logging → dependencies (data directory, sockets) → tree → load → serving
//! stop    draining → front → watcher → cache → log (written, synced) → metrics → exit
//! ```
//!
//! Everything that can be missing is looked for first, at once and with a time limit, so that a
//! daemon that can't start says all that it lacks.

mod apply;
mod dependencies;
mod failpoints;
mod huge_pages;
mod recovery;
mod signals;
mod tier;
mod tree;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use seawall_actors::clock::Clock;
use seawall_actors::metrics::Published;
use seawall_actors::supervise::{Condition, Conditions, Tree, TreeEnd, TreeOptions};
use seawall_actors::watch::Seen;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

pub(crate) use self::recovery::wal_settings;

use self::dependencies::{Dependencies, Failure, Kind};
use self::signals::{Asked, Signals};
use crate::acl::Gate;
use crate::audience::Listeners;
use crate::cli::RunArgs;
use crate::config::settings::{LogFormat, Settings};
use crate::config::{ConfigControl, Loader};
use crate::daemon::{Daemon, Life, Past, Phase, Shards, StopMode};
use crate::descriptors;
use crate::exit::Exit;
use crate::loading::Loading;
use crate::pubsub::PubSub;
use crate::resp::clients::Clients;
use crate::slow::Slow;
use crate::stats::Stats;
use crate::telemetry::{Format, Telemetry};
use crate::tracking::Tracker;

/// Every actor has to be up by then.
const TREE_WITHIN: Duration = Duration::from_secs(30);

/// Runs the daemon until it ends.
#[must_use]
pub fn run(args: RunArgs) -> ExitCode {
    let loader = Loader::new(args.config);
    let config = match ConfigControl::start(loader) {
        Ok(config) => Arc::new(config),
        Err(errors) => return wrong_configuration(&errors),
    };
    let settings = config.settings();
    let telemetry = match Telemetry::install(format(settings.log.format), &settings.log.level) {
        Ok(telemetry) => Arc::new(telemetry),
        Err(error) => {
            eprintln!("seawall: cannot set up logging: {error}");
            return Exit::Internal.into();
        }
    };
    // Before the runtime's threads touch their first pages.
    let small_pages = huge_pages::avoid();
    let runtime = match runtime(settings.cache.shards) {
        Ok(runtime) => runtime,
        Err(error) => {
            error!(kind = "startup", %error, "cannot start the runtime");
            telemetry.finish();
            return Exit::System.into();
        }
    };
    let exit = runtime.block_on(live(config, Arc::clone(&telemetry), small_pages));
    // A blocking task that hangs (a disk that is gone) must not keep the process.
    runtime.shutdown_timeout(Duration::from_millis(200));
    info!(code = exit.code(), "seawall ended");
    telemetry.finish();
    exit.into()
}

/// A thread for each shard, as far as there are cores: more only get in each other's way. A single
/// one runs everything, and so needs no scheduler that could move work to others.
fn runtime(shards: u16) -> std::io::Result<Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    match usize::from(shards).min(cores) {
        0 | 1 => Builder::new_current_thread().enable_all().build(),
        threads => Builder::new_multi_thread().worker_threads(threads).enable_all().build(),
    }
}

/// Says what is wrong with the configuration: for people, and as one structured line.
fn wrong_configuration(errors: &crate::config::ConfigErrors) -> ExitCode {
    if let Ok(telemetry) = Telemetry::install(Format::Text, "info") {
        error!(
            kind = "configuration",
            problems = errors.0.len(),
            details = %errors,
            "the configuration is wrong; nothing was started"
        );
        telemetry.finish();
    }
    Exit::Config.into()
}

fn format(format: LogFormat) -> Format {
    match format {
        LogFormat::Text => Format::Text,
        LogFormat::Json => Format::Json,
    }
}

/// From the first dependency to the last actor.
async fn live(config: Arc<ConfigControl>, telemetry: Arc<Telemetry>, small_pages: bool) -> Exit {
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => {
            error!(kind = "startup", %error, "cannot listen for signals");
            return Exit::System;
        }
    };
    if let Err(error) = failpoints::arm() {
        error!(kind = "startup", %error, "a failpoint's script cannot be laid");
        return Exit::Config;
    }
    let settings = config.settings();
    info!(version = env!("CARGO_PKG_VERSION"), pid = std::process::id(), "seawall starts");
    let now = Clock::System.unix_ms() / 1000;
    let certificate = settings.tls.identity.as_ref().and_then(|tls| tls.warning(now));
    for warning in settings.warnings().into_iter().chain(certificate) {
        warn!("{warning}");
    }
    let started = tokio::select! {
        started = start(config, telemetry, &settings) => started,
        () = signals.stop() => {
            info!("asked to stop while starting");
            return Exit::Ok;
        }
    };
    match started {
        Ok(running) => {
            if small_pages {
                huge_pages::allow_when_large(&running.daemon.metrics);
            }
            running.serve(signals).await
        }
        Err(failure) => {
            report(&failure);
            failure.exit
        }
    }
}

/// One structured line: the kind, the dependency, the details.
fn report(failure: &Failure) {
    error!(
        kind = failure.kind.name(),
        dependency = failure.dependency,
        details = failure.details,
        code = failure.exit.code(),
        "the start failed"
    );
}

/// A daemon whose actors are up.
struct Running {
    daemon: Arc<Daemon>,
    tree: Tree,
    wiring: tree::Wiring,
    /// The dataset is being loaded.
    load: Option<JoinHandle<Result<(), Failure>>>,
    /// Held until the very end: nobody else may open the log before.
    _data: Option<Arc<seawall_actors::wal::DataDir>>,
}

/// Starts everything.
async fn start(
    config: Arc<ConfigControl>,
    telemetry: Arc<Telemetry>,
    settings: &Arc<Settings>,
) -> Result<Running, Failure> {
    let clock = Clock::System;
    let life = Life::new(&clock);
    // Before anything is read: a change from now on is a change.
    let seen = Seen::now(&config.files());
    let max_clients = room_for_clients(settings)?;
    let mut dependencies = Dependencies::check(settings).await;
    // A data directory that is somebody else's is no missing dependency: to serve beside it
    // would be a second truth.
    let taken = dependencies.failures.iter().any(|f| f.exit == Exit::Locked);
    if (settings.startup.fail_fast || taken)
        && let Some(failure) = dependencies.take_worst()
    {
        return Err(failure);
    }
    for failure in &dependencies.failures {
        warn!(
            kind = failure.kind.name(),
            dependency = failure.dependency,
            details = failure.details,
            "missing; going on without it (startup.fail_fast = false)"
        );
    }
    let conditions = Conditions::new();
    let missing = dependencies.failures.iter().map(|failure| missing(&conditions, failure));
    let missing = missing.collect();
    let data = dependencies.data.map(Arc::new);
    let loading = Arc::new(Loading::new(data.is_some(), clock.unix_ms()));
    let mut recovery = recovery::open(data.as_ref(), settings, &clock, &loading).await?;
    let load = recovery.load.take();

    let past = Past::new(recovery.past());
    let mut wiring = tree::Wiring::new(
        settings,
        &recovery,
        &clock,
        &conditions,
        dependencies.sockets,
        dependencies.admin,
    )
    .await?;
    let (place, subscriptions) =
        (Arc::clone(&wiring.tier.place), wiring.tier.subscriptions.clone());
    let pubsub = PubSub::through_redis(&settings.server, Arc::clone(&place), subscriptions);
    let clients = Clients::new(max_clients);
    let shards = wiring.shards.len();
    let tracker = Tracker::new(clients.clone(), recovery.hasher, shards, &settings.server);
    let listeners = Arc::new(Listeners::new(pubsub.clone(), tracker.clone(), &settings.server));
    let (handles, journal) = (wiring.shards.clone(), recovery.journal.clone());
    let daemon = Arc::new(Daemon {
        shards: Shards::new(handles, recovery.hasher, journal, Arc::clone(&listeners) as _),
        clients,
        pubsub,
        tracker,
        listeners,
        sockets: wiring.sockets.clone(),
        stats: Arc::new(Stats::new()),
        gate: Gate::default(),
        handshakes: Arc::default(),
        slow: Slow::default(),
        loading,
        log: Arc::clone(&recovery.log),
        snapshots: wiring.snapshots.clone(),
        past,
        metrics: Published::new(),
        tier: place,
        tree: OnceLock::new(),
        conditions: conditions.clone(),
        missing,
        life,
        generation: AtomicU64::new(1),
        clock,
        config: Arc::clone(&config),
    });
    let on_change = apply::reload_on_change(&daemon);
    // Before anybody can connect and change a setting.
    apply::install(&daemon, &telemetry, &wiring);
    let root = wiring.root(&daemon, recovery, &telemetry, seen, on_change).map_err(internal)?;
    let options = TreeOptions {
        watchdog: settings.supervision.watchdog,
        start_within: TREE_WITHIN,
        conditions,
    };
    let tree = Tree::start(root, options).await.map_err(|error| internal(error.to_string()))?;
    // Set once, here.
    let _ = daemon.tree.set(tree.handle());
    apply::follow_events(&daemon, &tree);
    apply::follow_users(&daemon);
    if wiring.tier.have_a_log() {
        tier::Keeper::new(wiring.tier.clone(), &daemon, tree.handle()).start();
    }
    if let Some(intake) = &wiring.intake {
        apply::close_with_the_log(&tree, intake.clone());
    }
    let load = load.map(|load| {
        daemon.life.enter(Phase::Loading);
        tokio::spawn(load.run(wiring.shards.clone(), wiring.snapshots.status().cloned()))
    });
    Ok(Running { daemon, tree, wiring, load, _data: data })
}

fn internal(details: String) -> Failure {
    Failure { kind: Kind::Startup, dependency: "actors".to_owned(), details, exit: Exit::Internal }
}

/// How many clients there are descriptors for: `server.max_clients`, or fewer, which is said.
fn room_for_clients(settings: &Settings) -> Result<usize, Failure> {
    let wanted = settings.server.max_clients;
    let room = descriptors::provide(wanted);
    let why = descriptors::shortage(wanted, room);
    match room {
        0 => Err(Failure {
            kind: Kind::Dependency,
            dependency: "file descriptors".to_owned(),
            details: why,
            exit: Exit::System,
        }),
        room if room < wanted => {
            warn!(max_clients = room, configured = wanted, "fewer clients are admitted: {why}");
            Ok(room)
        }
        room => Ok(room),
    }
}

/// What the start goes on without is a condition for as long as the daemon lives.
fn missing(conditions: &Conditions, failure: &Failure) -> Condition {
    // One line in the log tells of it already.
    let condition = conditions.declare("startup", failure.dependency.as_str()).quiet();
    condition.set(&format!("{}: {}", failure.dependency, failure.details));
    condition
}

/// Resolves once, when the load has ended; never, if there is none. Safe to cancel.
async fn loaded(load: &mut Option<JoinHandle<Result<(), Failure>>>) -> Result<(), Failure> {
    let Some(running) = load else { return std::future::pending().await };
    let done = running.await;
    *load = None;
    done.unwrap_or_else(|died| {
        Err(Failure {
            kind: Kind::Startup,
            dependency: "dataset".to_owned(),
            details: format!("loading it ended early: {died}"),
            exit: Exit::Internal,
        })
    })
}

impl Running {
    /// Loads the dataset, and serves until asked to stop, or until a part that can't be done
    /// without gives up.
    async fn serve(mut self, mut signals: Signals) -> Exit {
        let mut load = self.load.take();
        if load.is_none() {
            self.ready();
        }
        let daemon = Arc::clone(&self.daemon);
        let mut stop = daemon.life.stop_requested();
        loop {
            tokio::select! {
                asked = signals.next() => match asked {
                    Asked::Stop => {
                        info!("signal received; stopping");
                        return self.stop(&mut signals).await;
                    }
                    Asked::Reload => apply::reload(&daemon).await,
                    Asked::ShowTree => info!("the tree\n{}", self.tree.snapshot().render()),
                },
                mode = requested(&mut stop) => {
                    info!(?mode, "SHUTDOWN received; stopping");
                    return match mode {
                        StopMode::Graceful => self.stop(&mut signals).await,
                        StopMode::Now => Exit::Forced,
                    };
                }
                end = self.tree.ended() => return self.gave_up(&end),
                loaded = loaded(&mut load) => match loaded {
                    Ok(()) => self.ready(),
                    Err(failure) => {
                        report(&failure);
                        // Even if the stop is not clean: this is what has to be looked at.
                        self.stop(&mut signals).await;
                        return failure.exit;
                    }
                },
            }
        }
    }

    fn ready(&self) {
        self.daemon.life.enter(Phase::Serving);
        self.announce();
    }

    /// Says where it listens and what to try next.
    fn announce(&self) {
        let sockets = self.wiring.sockets.current();
        let bound = |tls: bool| -> Vec<String> {
            sockets.iter().filter(|s| s.is_tls() == tls).map(|s| s.bound()).collect()
        };
        let (resp, resp_tls) = (bound(false), bound(true));
        let admin = *self.wiring.admin_bound.borrow();
        let ms = self.daemon.life.started.elapsed().as_millis();
        info!(
            resp = resp.join(", "),
            resp_tls = (!resp_tls.is_empty()).then(|| resp_tls.join(", ")),
            admin = admin.map(|a| a.to_string()),
            ready_in_ms = u64::try_from(ms).unwrap_or(u64::MAX),
            "ready"
        );
        let mut hints = String::from("Seawall is ready.\n");
        if let Some(address) = resp.first() {
            let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
            let target = match (address.starts_with('/'), host) {
                (true, _) => format!("-s {address}"),
                (false, "127.0.0.1" | "0.0.0.0" | "[::]") => format!("-p {port}"),
                (false, host) => format!("-h {host} -p {port}"),
            };
            hints += &format!("  RESP        {}\n", resp.join(", "));
            hints += &format!("  try         redis-cli {target} set hello world ex 60\n");
            hints += &format!("              redis-cli {target} info seawall\n");
        }
        if !resp_tls.is_empty() {
            hints += &format!("  with TLS    {}\n", resp_tls.join(", "));
        }
        if let Some(admin) = admin {
            let scheme = if self.daemon.config.settings().admin.tls { "https" } else { "http" };
            hints +=
                &format!("  admin HTTP  {scheme}://{admin}/  (healthz, readyz, metrics, tree)\n");
        }
        eprint!("{hints}");
        // Only systemd listens, and it does without.
        let _ = sd_notify::notify(&[
            sd_notify::NotifyState::Ready,
            sd_notify::NotifyState::Status("Serving"),
        ]);
    }

    /// Stops in order, within `supervision.grace`; a second signal cuts it short.
    async fn stop(self, signals: &mut Signals) -> Exit {
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
        self.daemon.life.enter(Phase::Draining);
        self.daemon.loading.cancel();
        let grace = self.daemon.config.settings().supervision.grace;
        let mut stop = self.daemon.life.stop_requested();
        stop.mark_unchanged();
        tokio::select! {
            done = tokio::time::timeout(grace, self.tree.shutdown()) => match done {
                Ok(report) => {
                    self.wiring.close();
                    info!(took_ms = report.took.as_millis() as u64, "every actor has stopped");
                    Exit::Ok
                }
                Err(_) => {
                    error!(grace = ?grace, "not everything stopped within supervision.grace");
                    Exit::Forced
                }
            },
            () = signals.stop() => {
                warn!("second signal; exiting at once");
                Exit::Forced
            }
            _ = stop.wait_for(|mode| *mode == Some(StopMode::Now)) => Exit::Forced,
        }
    }

    fn gave_up(&self, end: &TreeEnd) -> Exit {
        let TreeEnd::Failed { culprit, cause } = end else { return Exit::Ok };
        let exit = match culprit.split('/').next() {
            Some(tree::WAL) => Exit::WalGaveUp,
            Some("cache") => Exit::CacheGaveUp,
            Some("front") => Exit::FrontGaveUp,
            _ => Exit::Internal,
        };
        error!(
            kind = "supervision",
            dependency = %culprit,
            details = %cause,
            code = exit.code(),
            "a part that can't be done without gave up"
        );
        self.daemon.loading.cancel();
        self.wiring.close();
        exit
    }
}

async fn requested(stop: &mut watch::Receiver<Option<StopMode>>) -> StopMode {
    match stop.wait_for(Option::is_some).await {
        Ok(mode) => mode.unwrap_or(StopMode::Graceful),
        Err(_) => StopMode::Graceful,
    }
}
