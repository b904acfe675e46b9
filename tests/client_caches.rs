//! A client library's own cache, kept in step by CLIENT TRACKING: what it holds is what it could
//! have read.

use std::time::{Duration, Instant};

use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;
use redis::caching::CacheConfig;
use tokio::runtime::Runtime;

use crate::support::redis::RedisServer;
use crate::support::tier::Tier;
use crate::support::{Daemon, Raw, Reply};

/// How long an invalidation may be on its way to a client on this machine, however busy.
const BOUND: Duration = Duration::from_secs(5);

/// The `redis` crate, with a cache of its own that it turns on by itself.
struct Library {
    runtime: Runtime,
    connection: MultiplexedConnection,
}

impl Library {
    fn connect(daemon: &Daemon) -> Self {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build().expect("a runtime");
        let url = format!("redis://{}/?protocol=resp3", daemon.resp());
        let client = redis::Client::open(url).expect("an address");
        let config = AsyncConnectionConfig::new()
            .set_cache_config(CacheConfig::new())
            .set_response_timeout(None)
            .set_connection_timeout(None);
        let connection = client.get_multiplexed_async_connection_with_config(&config);
        let connection = runtime.block_on(connection).expect("it connects");
        Self { runtime, connection }
    }

    fn get(&mut self, key: &str) -> Option<u64> {
        let get = redis::cmd("GET").arg(key).clone();
        self.runtime.block_on(get.query_async(&mut self.connection)).expect("an answer")
    }

    fn hits(&self) -> usize {
        self.connection.get_cache_statistics().expect("it has a cache").hit
    }

    /// Reads until it reads this, which must have been so for no longer than the bound; what it
    /// reads before is `old`.
    #[track_caller]
    fn sees(&mut self, key: &str, old: Option<u64>, new: Option<u64>) {
        let since = Instant::now();
        loop {
            let value = self.get(key);
            if value == new {
                return;
            }
            assert_eq!(value, old, "{key}: neither what was nor what is");
            assert!(since.elapsed() < BOUND, "{key}: {value:?} outlives the bound");
        }
    }
}

/// Each way to change a key, again and again, with the cache full of it.
fn follows(library: &mut Library, writer: &mut Raw, changes: &[(&str, bool)]) {
    let mut now = library.get("k");
    for n in 0..300 {
        let (change, leaves) = changes[n as usize % changes.len()];
        // Kept, and served from there.
        let before = library.hits();
        assert_eq!([library.get("k"), library.get("k")], [now; 2]);
        assert!(now.is_none() || library.hits() > before, "it caches nothing");
        let reply = writer.run(&change.replace("{n}", &n.to_string()));
        assert!(!reply.is_error(), "{change}: {reply:?}");
        let then = leaves.then_some(n);
        library.sees("k", now, then);
        now = then;
    }
}

#[test]
fn the_redis_crate_keeps_no_stale_value() {
    let daemon = Daemon::start();
    let (mut library, mut writer) = (Library::connect(&daemon), daemon.connect());
    let changes = [
        ("SET k {n}", true),
        ("SET k {n}", true),
        ("MSET other 1 k {n}", true),
        ("DEL k", false),
        ("SET k {n} PX 100000", true),
        ("GETSET k {n}", true),
        ("PEXPIREAT k 1", false),
        ("SET k {n}", true),
        ("FLUSHALL", false),
    ];
    follows(&mut library, &mut writer, &changes);
}

#[test]
fn the_redis_crate_hears_of_what_others_change_in_the_redis_behind() {
    let Some(redis) = RedisServer::listening(&[]) else { return };
    let tier =
        Tier::with(redis, &[("redis.timeout", r#""10s""#), ("redis.connect_timeout", r#""10s""#)]);
    let (mut library, mut redis) = (Library::connect(&tier.daemon), tier.redis.connect());
    assert_eq!(redis.run("SET k 7"), Reply::ok());
    let changes = [("SET k {n}", true), ("SET k {n} EX 1000", true), ("DEL k", false)];
    library.sees("k", None, Some(7));
    follows(&mut library, &mut redis, &changes);
}
