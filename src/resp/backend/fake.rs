//! A backend in memory, and a client of it, for tests of commands.

use std::ffi::OsString;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use seawall_actors::cache::ShardStats;
use seawall_actors::cache::store::KeyHasher;
use seawall_actors::clock::UnixMs;
use seawall_actors::journal::{Author, Identity};
use seawall_actors::redis::outbox::OutboxStats;
use seawall_actors::supervise::Drill;
use seawall_actors::wal::history::{Change, Event, History};

use super::{AskHistory, AskRestore, Backend, LifeNumbers, LogStatus, Restored, SnapshotNumbers};
use crate::acl::Gate;
use crate::config::machine::Machine;
use crate::config::sources::FileChoice;
use crate::config::{Applier, Commit, ConfigControl, Loader, Settings};
use crate::pubsub::{Local, PubSub};
use crate::resp::args::{Args, Span};
use crate::resp::clients::{Clients, Endpoints, NewClient};
use crate::resp::refusal::Refusal;
use crate::resp::reply::Reply;
use crate::resp::session::Session;
use crate::resp::table::{Run, find};
use crate::slow::Slow;
use crate::stats::{Stats, StatsSnapshot};
use crate::tier::TierFigures;
use crate::tracking::Tracker;

/// Where the fake clock stands at first.
pub const NOW: UnixMs = 1_700_000_000_000;

/// Knows what a test told it, and keeps what commands told it.
#[derive(Debug)]
pub struct FakeBackend {
    pub config: Arc<ConfigControl>,
    pub clients: Clients,
    pub gate: Gate,
    pub pubsub: PubSub,
    pub tracker: Tracker,
    pub slow: Slow,
    pub now: AtomicU64,
    pub shards: Vec<Option<ShardStats>>,
    pub stats: Stats,
    pub log: Option<LogStatus>,
    pub outbox: Option<OutboxStats>,
    pub tier: Option<TierFigures>,
    pub snapshots: Option<SnapshotNumbers>,
    pub degraded: Vec<String>,
    /// What was asked for, in words.
    pub asked: Mutex<Vec<String>>,
}

impl FakeBackend {
    /// A daemon on defaults, changed by pairs like `("SERVER__REQUIREPASS", "secret")`.
    pub fn new(settings: &[(&str, &str)]) -> Self {
        Self::with_file(settings, None)
    }

    pub fn with_file(settings: &[(&str, &str)], file: Option<&Path>) -> Self {
        let env: Vec<(OsString, OsString)> =
            settings.iter().map(|(n, v)| (format!("SEAWALL__{n}").into(), (*v).into())).collect();
        let choice = match file {
            Some(file) => FileChoice::Named(file.to_owned()),
            None => FileChoice::FirstOf(Vec::new()),
        };
        let machine = Machine { memory: Some(1 << 30), cores: 2 };
        let loader = Loader::from_parts(choice, env, machine);
        let config = Arc::new(ConfigControl::start(loader).expect("valid settings"));
        let clients = Clients::new(config.settings().server.max_clients);
        config.add_applier(Arc::new(MaxClients(clients.clone())));
        let settings = config.settings();
        let tracker = Tracker::new(clients.clone(), KeyHasher::fixed(), 3, &settings.server);
        let pubsub = PubSub::new(&config.settings().server, Box::new(Local));
        Self {
            config,
            clients,
            gate: Gate::default(),
            pubsub,
            tracker,
            slow: Slow::default(),
            now: AtomicU64::new(NOW),
            shards: vec![Some(ShardStats::default())],
            stats: Stats::new(),
            log: None,
            outbox: None,
            tier: None,
            snapshots: None,
            degraded: Vec::new(),
            asked: Mutex::default(),
        }
    }

    fn note(&self, what: impl Into<String>) {
        self.asked.lock().expect("no test panics in here").push(what.into());
    }

    /// What commands asked for so far.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no test panics in here").clone()
    }
}

/// Follows `server.max_clients` as the daemon does.
struct MaxClients(Clients);

impl Applier for MaxClients {
    fn name(&self) -> &str {
        "clients"
    }

    fn prepare(
        &self,
        _old: &Arc<Settings>,
        new: &Arc<Settings>,
        _changes: &[crate::config::Change],
    ) -> Result<Commit, String> {
        let (clients, max) = (self.0.clone(), new.server.max_clients);
        Ok(Box::new(move || clients.set_max(max)))
    }
}

#[async_trait]
impl Backend for FakeBackend {
    fn config(&self) -> &Arc<ConfigControl> {
        &self.config
    }

    fn clients(&self) -> &Clients {
        &self.clients
    }

    fn gate(&self) -> &Gate {
        &self.gate
    }

    fn pubsub(&self) -> &PubSub {
        &self.pubsub
    }

    fn tracker(&self) -> &Tracker {
        &self.tracker
    }

    fn slow(&self) -> &Slow {
        &self.slow
    }

    fn now(&self) -> UnixMs {
        self.now.load(Ordering::Relaxed)
    }

    fn life(&self) -> LifeNumbers {
        LifeNumbers {
            started_at: NOW - 90_000_000,
            uptime: Duration::from_secs(90_000),
            run_id: "f".repeat(40),
            ..LifeNumbers::default()
        }
    }

    fn request_stop(&self, at_once: bool) {
        self.note(format!("stop at_once={at_once}"));
    }

    async fn shards(&self, _within: Duration) -> Vec<Option<ShardStats>> {
        self.shards.clone()
    }

    async fn reset_stats(&self) {
        self.note("reset");
    }

    async fn set_active_expire(&self, on: bool) -> Result<(), Refusal> {
        self.note(format!("active-expire {on}"));
        Ok(())
    }

    fn config_generation(&self) -> u64 {
        7
    }

    fn tcp_port(&self) -> u16 {
        6399
    }

    fn stats(&self) -> StatsSnapshot {
        self.stats.snapshot()
    }

    fn ops_per_sec(&self) -> u64 {
        13
    }

    fn outbox(&self) -> Option<OutboxStats> {
        self.outbox.clone()
    }

    fn tier(&self) -> Option<TierFigures> {
        self.tier.clone()
    }

    fn snapshots(&self) -> Option<SnapshotNumbers> {
        self.snapshots.clone()
    }

    async fn take_snapshot(&self, to_the_end: bool) -> Result<(), Refusal> {
        self.note(if to_the_end { "save" } else { "bgsave" });
        Ok(())
    }

    fn log(&self) -> Option<LogStatus> {
        self.log.clone()
    }

    async fn history(&self, asked: AskHistory) -> Result<History, Refusal> {
        let AskHistory { db, key, count, before } = asked;
        let key = key.escape_ascii();
        self.note(format!("history of {key} in {db}: {count} before {before:?}"));
        let author =
            Identity { address: "10.0.0.1:7".into(), user: "default".into(), name: "web".into() };
        let event = |lsn, change| Event { lsn, wall_ms: 1_000 + lsn, change, author: None };
        let set = Change::Set { size: 3, expires_at: None };
        let events = vec![
            event(6, Change::Swap(2)),
            event(5, Change::Expire { expires_at: Some(9) }),
            Event { author: Some(author), ..event(4, set) },
        ];
        Ok(History { events, reaches: 1, complete: true })
    }

    async fn restore(&self, asked: AskRestore, _: &Arc<Author>) -> Result<Restored, Refusal> {
        let AskRestore { wanted, only_missing } = asked;
        self.note(format!("restore {:?} {:?} {only_missing}", wanted.keys, wanted.at));
        Ok(Restored { lsn: 7, found: 6, restored: 3, unchanged: 1, kept: 0, expired: 2 })
    }

    async fn tree(&self) -> String {
        "root  up 3m 2s\n└─ wal  up 3m 2s".to_owned()
    }

    fn degraded(&self) -> Vec<String> {
        self.degraded.clone()
    }

    async fn drill(&self, path: &str, drill: Drill) -> Result<(), Refusal> {
        if path != "wal" {
            return Err(Refusal::other(format!("ERR no actor at '{path}'; there are: wal")));
        }
        self.note(format!("drill {drill:?} {path}"));
        Ok(())
    }
}

/// One connection to a fake backend.
pub struct Client {
    pub session: Session,
}

impl Client {
    /// Connects from 127.0.0.1 and a port that grows with the number of connections.
    pub fn connect(daemon: &Arc<FakeBackend>) -> Self {
        let port = 5000 + u16::try_from(daemon.clients.total()).expect("few connections");
        let new = NewClient {
            endpoints: Endpoints::Tcp {
                peer: ([127, 0, 0, 1], port).into(),
                local: ([127, 0, 0, 1], 6380).into(),
            },
            fd: 8,
            now: daemon.now(),
        };
        let registration = daemon.clients.register(new).expect("room");
        let daemon: Arc<dyn Backend> = Arc::clone(daemon) as _;
        Self { session: Session::new(daemon, registration) }
    }

    /// A connection to a daemon on defaults.
    pub fn alone() -> Self {
        Self::connect(&Arc::new(FakeBackend::new(&[])))
    }

    /// Runs a command as a connection does, its words parted by spaces; the reply's bytes, with
    /// CR LF as a space. CLIENT REPLY is heeded.
    pub async fn run(&mut self, line: &str) -> String {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        self.run_words(&words).await
    }

    pub async fn run_words(&mut self, words: &[&[u8]]) -> String {
        let out = self.raw(words).await;
        if !self.session.replies() {
            self.session.command_done();
            return String::new();
        }
        self.session.command_done();
        String::from_utf8_lossy(&out).trim_end_matches("\r\n").replace("\r\n", " ")
    }

    async fn raw(&mut self, words: &[&[u8]]) -> Vec<u8> {
        let mut spans = Vec::new();
        for word in words {
            let start = spans.last().map_or(0, |s: &Span| s.start + s.len);
            spans.push(Span { start, len: u32::try_from(word.len()).expect("a short word") });
        }
        let input = words.concat();
        let args = Args::new(&input, &spans);
        let command = find(args.get(0)).expect("a known command");
        let mut out = Vec::new();
        let mut reply = Reply::new(&mut out, self.session.proto);
        let done = if let Err(refusal) = self.session.may_run(command, &args) {
            Err(refusal)
        } else if !command.takes(args.len()) {
            Err(Refusal::Arity(command.name.into()))
        } else {
            match command.run {
                Run::Session(run) => run(&mut self.session, &args, &mut reply),
                Run::Async(run) => run(&mut self.session, args, &mut reply).await,
                _ => panic!("not a command of the connection: {}", command.name),
            }
        };
        if let Err(refusal) = done {
            reply.truncate(0);
            reply.error(&refusal.to_string());
        }
        out
    }
}
