//! What is known of a Redis behind the cache after a crash.

use super::support::redis::RedisServer;
use super::support::redis::behind::Behind;
use super::support::{Raw, Reply, wait_until};
use super::tier_writes::{number, setup, wait_in_step};

fn get(connection: &mut Raw, key: &str) -> Reply {
    connection.run(&format!("GET {key}"))
}

/// What others delete in Redis leaves memory, and nobody waits until the log knows. Who deletes it once
/// more finds nothing, and was told so before the log knew: after a crash it was back.
#[test]
fn a_deletion_that_found_nothing_survives_a_crash() {
    let Some(mut redis) = RedisServer::listening(&[]) else { return };
    // It is the writer's thread that writes then, and it alone that stalls.
    let always = setup(&redis).with("wal.fsync", r#""always""#);
    let mut daemon = always.with("debug.drills", "true").start();
    let (mut c, mut r) = (daemon.connect(), redis.connect());
    assert_eq!(c.run("SET k old"), Reply::ok());
    wait_in_step(&mut c);
    c.run("SW.DRILL POINT writer.write 1*sleep(1000)");
    r.run("DEL k");
    wait_until("it has left memory", || !c.run("INFO keyspace").text().contains("db0:"));
    assert_eq!(c.run("DEL k"), Reply::Int(0));
    daemon.kill();
    redis.kill();
    daemon.restart();
    assert_eq!(get(&mut daemon.connect(), "k"), Reply::Nil);
}

/// A value that was only read from Redis is in snapshots. After a start it counted as written here, and
/// was put over what others had written meanwhile, where Redis had lost its marker.
#[test]
fn what_was_only_read_gives_way_after_a_start_too() {
    let Some(redis) = RedisServer::listening(&[]) else { return };
    let patient = setup(&redis).with("redis.timeout", r#""10s""#);
    let mut daemon = patient.with("redis.connect_timeout", r#""10s""#).start();
    let (mut c, mut r) = (daemon.connect(), redis.connect());
    r.run("MSET read old again old");
    assert_eq!(get(&mut c, "read"), Reply::bulk("old"));
    assert_eq!(get(&mut c, "again"), Reply::bulk("old"));
    c.run("SET written ours");
    wait_in_step(&mut c);
    assert_eq!(c.run("SAVE"), Reply::ok());
    // Written after the snapshot: the log has it.
    c.run("SET again ours");
    wait_in_step(&mut c);
    daemon.kill();
    let Reply::Array(markers) = r.run("KEYS seawall:outbox:*") else { panic!("no array") };
    assert_eq!(markers.len() as u64, RedisServer::SERVERS);
    for marker in markers {
        r.run(&format!("DEL {}", marker.text()));
    }
    r.run("MSET read theirs written theirs again theirs");
    daemon.restart();
    daemon.wait_log("a comparison", |line| line["event"] == "reconciling" && line["done"] == true);
    let mut c = daemon.connect();
    wait_in_step(&mut c);
    for (key, value) in [("read", "theirs"), ("written", "ours"), ("again", "ours")] {
        assert_eq!(get(&mut r, key), Reply::bulk(value), "{key} in Redis");
        assert_eq!(get(&mut c, key), Reply::bulk(value), "{key} here");
    }
    assert_eq!(number(&mut c, "redis_reconciles"), 1);
}

/// A start without `redis.url` served what snapshots had of it as if it had been written here.
#[test]
fn what_was_only_read_is_gone_after_a_start_without_redis() {
    let Some(redis) = RedisServer::listening(&[]) else { return };
    let patient = setup(&redis).with("redis.timeout", r#""10s""#);
    let mut daemon = patient.with("redis.connect_timeout", r#""10s""#).start();
    let (mut c, mut r) = (daemon.connect(), redis.connect());
    r.run("SET read old");
    assert_eq!(get(&mut c, "read"), Reply::bulk("old"));
    c.run("SET written ours");
    wait_in_step(&mut c);
    assert_eq!(c.run("SAVE"), Reply::ok());
    daemon.kill();
    r.run("SET read newer");
    let way = redis.way();
    let url = format!("\"redis://{}\"", <RedisServer as Behind>::address(&way));
    // Not in the log any more, either: the second start has the same snapshot.
    for _ in 0..2 {
        daemon.configure("redis.url", r#""""#);
        daemon.restart();
        let mut c = daemon.connect();
        assert_eq!(
            c.run("MGET read written"),
            Reply::Array([Reply::Nil, Reply::bulk("ours")].into())
        );
        assert_eq!(c.run("DBSIZE"), Reply::Int(1));
        daemon.kill();
    }
    // It is Redis' again, and nothing here goes over it.
    daemon.configure("redis.url", &url);
    daemon.restart();
    let mut c = daemon.connect();
    wait_in_step(&mut c);
    wait_until("it is asked for", || get(&mut c, "read") == Reply::bulk("newer"));
    assert_eq!(get(&mut r, "read"), Reply::bulk("newer"));
}
