//! What is known of a Redis behind the cache after a crash, a stop, or an outage.

use super::support::proxy::{Cut, Door};
use super::support::redis::RedisServer;
use super::support::redis::behind::Behind;
use super::support::tier::Tier;
use super::support::{Raw, Reply, Setup, wait_until};
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

/// Redis answers all the time, on however busy a machine.
fn patient(redis: &RedisServer) -> Setup {
    let setup = setup(redis).with("redis.timeout", r#""10s""#);
    setup.with("redis.connect_timeout", r#""10s""#)
}

/// The markers of this Seawall: each server has one.
fn markers(redis: &mut Raw) -> Vec<String> {
    let mut keys: Vec<String> =
        redis.run("KEYS seawall:outbox:*").items().iter().map(Reply::text).collect();
    keys.sort();
    keys
}

/// They are gone, as if somebody had deleted them, or they had been idle where Redis evicts.
fn take_away(redis: &mut Raw, markers: &[String]) {
    assert_eq!(markers.len() as u64, RedisServer::SERVERS);
    for marker in markers {
        assert_eq!(redis.run(&format!("DEL {marker}")), Reply::Int(1));
    }
}

/// Without its marker Redis looked as if it had lost its data: what others had written meanwhile was
/// overwritten with what memory held.
#[test]
fn a_marker_that_was_taken_away_while_seawall_was_stopped_undoes_nobodys_writes() {
    let Some(redis) = RedisServer::listening(&[]) else { return };
    let mut daemon = patient(&redis).with("redis.write", r#""through""#).start();
    let (mut c, mut r) = (daemon.connect(), redis.connect());
    c.run("MSET price ours kept ours deleted ours");
    wait_in_step(&mut c);
    daemon.stop();
    let all = markers(&mut r);
    take_away(&mut r, &all);
    r.run("SET price theirs");
    r.run("DEL deleted");
    daemon.restart();
    let mut c = daemon.connect();
    assert_eq!(c.run("SET since ours"), Reply::ok());
    wait_in_step(&mut c);
    let due = ["theirs", "ours", "ours"].map(Reply::bulk).into_iter().chain([Reply::Nil]);
    let due = Reply::Array(due.collect());
    assert_eq!(r.run("MGET price kept since deleted"), due);
    assert_eq!(c.run("MGET price kept since deleted"), due);
    assert_eq!(number(&mut c, "redis_reconciles"), 0);
    assert_eq!(markers(&mut r), all, "they are put back");
    // Who empties it on purpose finds it empty, as if Seawall had been there.
    daemon.stop();
    r.run("FLUSHALL");
    daemon.restart();
    let mut c = daemon.connect();
    wait_in_step(&mut c);
    wait_until("the markers are there again", || markers(&mut r) == all);
    assert_eq!(r.run("DBSIZE").int() as u64, RedisServer::SERVERS, "they alone");
    assert_eq!(c.run("GET price"), Reply::Nil);
    assert_eq!(number(&mut c, "redis_reconciles"), 0);
}

/// The same over the next connection of a Seawall that runs.
#[test]
fn a_marker_that_was_taken_away_during_an_outage_undoes_nobodys_writes() {
    let Some(tier) = Tier::patient(&[]) else { return };
    let (mut c, mut r) = (tier.daemon.connect(), tier.redis.connect());
    c.run("MSET price ours kept ours");
    wait_in_step(&mut c);
    tier.proxy.door(Door::Refused);
    tier.proxy.cut(Cut::Close);
    wait_until("it is gone", || c.run("INFO redis").text().contains("redis_links_up:0\r\n"));
    assert_eq!(c.run("SET meanwhile ours"), Reply::ok());
    let all = markers(&mut r);
    take_away(&mut r, &all);
    r.run("SET price theirs");
    tier.proxy.heal();
    wait_in_step(&mut c);
    let due = Reply::Array(["theirs", "ours", "ours"].map(Reply::bulk).into());
    assert_eq!(r.run("MGET price kept meanwhile"), due);
    assert_eq!(c.run("MGET price kept meanwhile"), due);
    assert_eq!(number(&mut c, "redis_reconciles"), 0);
    assert_eq!(markers(&mut r), all, "they are put back");
}

/// One that was started anew has no marker either, and has lost its data.
#[test]
fn a_redis_that_was_restarted_empty_while_seawall_was_stopped_is_filled_again() {
    let Some(mut redis) = RedisServer::listening(&[]) else { return };
    let mut daemon = patient(&redis).start();
    let mut c = daemon.connect();
    c.run("MSET a 1 b 2");
    wait_in_step(&mut c);
    daemon.stop();
    redis.restart();
    daemon.restart();
    daemon.wait_log("a comparison", |line| line["event"] == "reconciling" && line["done"] == true);
    let mut c = daemon.connect();
    wait_in_step(&mut c);
    let due = Reply::Array(["1", "2"].map(Reply::bulk).into());
    assert_eq!(redis.connect().run("MGET a b"), due);
}

/// A value that was only read from Redis is in snapshots. After a start it counted as written here, and
/// was put over what others had written meanwhile, where Redis had lost its data.
#[test]
fn what_was_only_read_gives_way_after_a_start_too() {
    let Some(mut redis) = RedisServer::listening(&[]) else { return };
    let mut daemon = patient(&redis).start();
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
    redis.restart();
    let mut r = redis.connect();
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
