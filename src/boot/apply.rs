//! New settings on a running daemon: who prepares, who follows, who is told.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use seawall_actors::cache::ShardMsg;
use seawall_actors::clock::Clock;
use seawall_actors::snapshot::upkeep::UpkeepSettings;
use seawall_actors::supervise::{Handle, Lifecycle, Tree};
use seawall_actors::watch::OnChange;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::format;
use super::recovery::{DaemonIntake, store_config, upkeep_settings, wal_settings};
use super::tree::{WAL, Wiring};
use crate::acl::Users;
use crate::config::settings::Settings;
use crate::config::{Applier, Change, Commit};
use crate::daemon::{Daemon, ShardHandle};
use crate::descriptors;
use crate::resp::front::FrontMsg;
use crate::resp::sockets::{Socket, Sockets};
use crate::telemetry::Telemetry;
use crate::tier::{TierPlace, links};

/// Called by the watcher when a configuration file has changed.
pub(super) fn reload_on_change(daemon: &Arc<Daemon>) -> OnChange {
    let daemon = Arc::clone(daemon);
    Arc::new(move || {
        let daemon = Arc::clone(&daemon);
        tokio::spawn(async move { reload(&daemon).await });
    })
}

/// Loads the configuration again and says what came of it. A bad one changes nothing.
pub(super) async fn reload(daemon: &Arc<Daemon>) {
    let config = Arc::clone(&daemon.config);
    let outcome = tokio::task::spawn_blocking(move || config.reload()).await;
    match outcome {
        Ok(Ok(outcome)) => {
            daemon.stats.reloaded(true);
            for change in &outcome.changes {
                info!(key = change.key, from = %change.from, to = %change.to, "setting changed");
            }
            for change in &outcome.needs_restart {
                warn!(
                    key = change.key,
                    running = %change.from,
                    configured = %change.to,
                    "setting waits for a restart"
                );
            }
            info!(
                changed = %names(&outcome.changes),
                refused_until_restart = %names(&outcome.needs_restart),
                changes = outcome.changes.len(),
                "configuration reloaded"
            );
        }
        Ok(Err(why)) => {
            daemon.stats.reloaded(false);
            error!(kind = "configuration", details = %why, "reload refused; nothing changed");
        }
        Err(panicked) => {
            daemon.stats.reloaded(false);
            error!(kind = "configuration", details = %panicked, "reload failed; nothing changed");
        }
    }
}

/// Counts what happens in the tree.
pub(super) fn follow_events(daemon: &Arc<Daemon>, tree: &Tree) {
    let (stats, events) = (Arc::clone(&daemon.stats), tree.subscribe());
    tokio::spawn(async move { stats.follow(events).await });
}

/// Closes the connections of users that new settings have taken away or turned off, and those that
/// listen to channels which their users may have lost: when the settings are in effect, so that
/// nobody can come back by the old ones.
pub(super) fn follow_users(daemon: &Arc<Daemon>) {
    let daemon = Arc::clone(daemon);
    let mut settings = daemon.config.subscribe();
    tokio::spawn(async move {
        let mut known = Arc::clone(&settings.borrow_and_update().users);
        while settings.changed().await.is_ok() {
            let users = Arc::clone(&settings.borrow_and_update().users);
            if users != known {
                close_the_gone(&daemon, &known, &users);
                known = users;
            }
        }
    });
}

fn close_the_gone(daemon: &Daemon, old: &Users, new: &Users) {
    for client in daemon.clients.all() {
        let name = client.user();
        let why = match (old.get(&name), new.get(&name)) {
            (_, None) => "the user is gone",
            (_, Some(user)) if !user.is_enabled() => "the user is off",
            (Some(was), Some(is))
                if client.is_subscriber() && !is.permissions().hears_all_of(was.permissions()) =>
            {
                "it listens, and its user lost channels"
            }
            _ => continue,
        };
        info!(client = client.id, user = %name, why, "connection closed");
        client.kill();
    }
}

/// Closes the log's queue as soon as the log has given up. Its end stops the tree from the front
/// on, and the front waits for replies: those that wait for the log would hold it to its limit.
pub(super) fn close_with_the_log(tree: &Tree, intake: DaemonIntake) {
    let mut events = tree.subscribe();
    tokio::spawn(async move {
        loop {
            match events.recv().await {
                Ok(event) if &*event.path == WAL && event.lifecycle == Lifecycle::Escalated => {
                    return intake.close();
                }
                // What is missed costs the time only: the end of the tree closes it, too.
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    });
}

/// Registers everybody who has a say in new settings.
pub(super) fn install(daemon: &Arc<Daemon>, telemetry: &Arc<Telemetry>, wiring: &Wiring) {
    let config = &daemon.config;
    config.add_applier(Arc::new(Logging(Arc::clone(telemetry))));
    config.add_applier(Arc::new(Listeners {
        sockets: wiring.sockets.clone(),
        front: wiring.front.clone(),
    }));
    config.add_applier(Arc::new(Links {
        place: Arc::clone(&wiring.tier.place),
        has_a_log: wiring.tier.have_a_log(),
    }));
    config.add_applier(Arc::new(Certificates(daemon.clock.clone())));
    config.add_applier(Arc::new(Actors {
        daemon: Arc::clone(daemon),
        shards: wiring.shards.clone(),
        store_configs: wiring.store_configs.clone(),
        sweep_interval: wiring.sweep_interval.clone(),
        upkeep: wiring.upkeep.clone(),
        intake: wiring.intake.clone(),
    }));
}

/// `[redis]`: links switch over one by one, each once its new connection stands. Whether there is a
/// Redis at all, [`Keeper`](super::tier::Keeper) sees to.
struct Links {
    place: Arc<TierPlace>,
    has_a_log: bool,
}

impl Applier for Links {
    fn name(&self) -> &str {
        "links"
    }

    fn prepare(
        &self,
        _old: &Arc<Settings>,
        new: &Arc<Settings>,
        changes: &[Change],
    ) -> Result<Commit, String> {
        let Some(redis) = new.redis.as_ref().filter(|_| touches(changes, &["redis."])) else {
            return Ok(Box::new(|| {}));
        };
        if !self.has_a_log {
            return Err("redis.url needs the log, from which Redis is written, and this process \
                        was started without one: restart to set it"
                .to_owned());
        }
        let (place, redis, breaker) =
            (Arc::clone(&self.place), redis.clone(), links::breaker(redis)?);
        Ok(Box::new(move || {
            // One that is about to come is told by who brings it.
            if let Some(tier) = place.whole() {
                tier.configure(&redis, breaker);
            }
        }))
    }
}

/// The keys of changes, for the line that sums a reload up.
fn names(changes: &[Change]) -> String {
    changes.iter().map(|c| c.key).collect::<Vec<_>>().join(" ")
}

fn touches(changes: &[Change], keys: &[&str]) -> bool {
    changes.iter().any(|c| keys.iter().any(|key| c.key.starts_with(key)))
}

/// `[log]`.
struct Logging(Arc<Telemetry>);

impl Applier for Logging {
    fn name(&self) -> &str {
        "logging"
    }

    fn prepare(
        &self,
        _old: &Arc<Settings>,
        new: &Arc<Settings>,
        changes: &[Change],
    ) -> Result<Commit, String> {
        if !touches(changes, &["log."]) {
            return Ok(Box::new(|| {}));
        }
        crate::telemetry::check_level(&new.log.level)?;
        let (telemetry, log) = (Arc::clone(&self.0), new.log.clone());
        Ok(Box::new(move || {
            let done = telemetry
                .set_level(&log.level)
                .and_then(|()| telemetry.set_format(format(log.format)));
            if let Err(error) = done {
                warn!(%error, "the new logging settings did not take effect");
            }
        }))
    }
}

/// `server.bind`, `server.tls_bind` and `server.unix_socket`: what is new is bound before anything is let go.
struct Listeners {
    sockets: Sockets,
    front: Handle<FrontMsg>,
}

impl Applier for Listeners {
    fn name(&self) -> &str {
        "listeners"
    }

    fn prepare(
        &self,
        _old: &Arc<Settings>,
        new: &Arc<Settings>,
        changes: &[Change],
    ) -> Result<Commit, String> {
        if !touches(changes, &["server.bind", "server.tls_bind", "server.unix_socket"]) {
            return Ok(Box::new(|| {}));
        }
        let current = self.sockets.current();
        let known = |name: &str| current.iter().find(|s| s.name() == name).cloned();
        let mut sockets = Vec::new();
        let plain = new.server.bind.iter().map(|address| (address, false));
        let tls = new.server.tls_bind.iter().map(|address| (address, true));
        for (address, tls) in plain.chain(tls) {
            sockets.push(match known(&Socket::tcp_name(&address.to_string(), tls)) {
                Some(socket) => socket,
                None => Arc::new(Socket::tcp(address, tls)?),
            });
        }
        if let Some(path) = &new.server.unix_socket {
            sockets.push(match known(&path.display().to_string()) {
                Some(socket) => socket,
                None => Arc::new(Socket::unix(path)?),
            });
        }
        let (shared, front) = (self.sockets.clone(), self.front.clone());
        Ok(Box::new(move || {
            shared.replace(sockets);
            // A front that is down reads the list when it starts.
            let _ = front.cast(FrontMsg::SocketsChanged);
        }))
    }
}

/// `[tls]`: what is wrong with the files, the configuration finds. Left is what the time says.
struct Certificates(Clock);

impl Applier for Certificates {
    fn name(&self) -> &str {
        "certificates"
    }

    fn prepare(
        &self,
        _old: &Arc<Settings>,
        new: &Arc<Settings>,
        changes: &[Change],
    ) -> Result<Commit, String> {
        let (now, identity) = (self.0.unix_ms() / 1000, &new.tls.identity);
        let Some(identity) = identity.as_ref().filter(|_| touches(changes, &["tls."])) else {
            return Ok(Box::new(|| {}));
        };
        match identity.warning(now) {
            Some(why) if identity.expires() <= now => Err(why),
            warning => Ok(Box::new(move || {
                if let Some(warning) = warning {
                    warn!("{warning}");
                }
            })),
        }
    }
}

/// Limits of the cache, of clients, of the log; the watchdog.
struct Actors {
    daemon: Arc<Daemon>,
    shards: Vec<ShardHandle>,
    store_configs: Vec<watch::Sender<seawall_actors::cache::store::StoreConfig>>,
    sweep_interval: watch::Sender<std::time::Duration>,
    upkeep: watch::Sender<UpkeepSettings>,
    intake: Option<DaemonIntake>,
}

impl Applier for Actors {
    fn name(&self) -> &str {
        "actors"
    }

    fn prepare(
        &self,
        _old: &Arc<Settings>,
        new: &Arc<Settings>,
        changes: &[Change],
    ) -> Result<Commit, String> {
        let (daemon, new) = (Arc::clone(&self.daemon), Arc::clone(new));
        let (shards, configs) = (self.shards.clone(), self.store_configs.clone());
        let (interval, intake) = (self.sweep_interval.clone(), self.intake.clone());
        let upkeep = self.upkeep.clone();
        let log_changes = touches(changes, &["wal."]);
        let max_clients = new.server.max_clients;
        let more_or_fewer = touches(changes, &["server.max_clients"]);
        if more_or_fewer {
            let room = descriptors::provide(max_clients);
            if room < max_clients {
                return Err(descriptors::shortage(max_clients, room));
            }
        }
        Ok(Box::new(move || {
            daemon.generation.fetch_add(1, Ordering::Relaxed);
            if more_or_fewer {
                daemon.clients.set_max(max_clients);
            }
            daemon.pubsub.configure(&new.server);
            daemon.listeners.configure(&new.server);
            daemon.tracker.configure(&new.server);
            for (index, (shard, config)) in shards.iter().zip(&configs).enumerate() {
                let fresh = store_config(&new, index);
                if *config.borrow() != fresh {
                    config.send_replace(fresh);
                    // A shard that is down reads it when it starts.
                    let _ = shard.cast(ShardMsg::Reconfigure(fresh));
                }
            }
            interval.send_replace(new.cache.sweep_interval);
            upkeep.send_replace(upkeep_settings(&new));
            if let (true, Some(intake)) = (log_changes, &intake) {
                intake.configure(&wal_settings(&new));
            }
            if let Some(tree) = daemon.tree.get() {
                tree.set_watchdog(new.supervision.watchdog);
            }
        }))
    }
}
