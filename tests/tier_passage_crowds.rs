//! Commands that Redis runs, where there are many of them, or Redis is slow.

use std::time::{Duration, Instant};

use super::support::proxy::Flow;
use super::support::redis::RedisServer;
use super::support::tier::{TIMEOUT, Tier, wait_in_step};
use super::support::{Raw, Reply, http, wait_until};
use super::tier_passage::waiting;

/// How long an answer may take on a machine that is busy with other tests.
const BUSY: Duration = Duration::from_secs(3);

/// What a metric says.
fn metric(tier: &Tier, name: &str) -> u64 {
    let (_, metrics) = http::get(tier.daemon.admin(), "/metrics");
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} in {metrics}")).trim().parse().expect("a number")
}

#[test]
fn a_crowd_that_blocks_is_bounded_told_and_leaves_the_rest_alone() {
    const CROWD: usize = 200;
    let Some(redis) = RedisServer::listening(&[]) else { return };
    // However busy the machine, none of those that wait is given up.
    let patient = [
        ("redis.blocking_links", "4"),
        ("redis.timeout", r#""20s""#),
        ("redis.connect_timeout", r#""20s""#),
    ];
    let tier = Tier::with(redis, &patient);
    let mut redis = tier.redis.connect();
    let mut crowd: Vec<Raw> = (0..CROWD).map(|_| tier.daemon.connect()).collect();
    crowd.iter_mut().for_each(|client| client.send(&["BLPOP", "l", "0"]));
    wait_until("four of them wait in Redis", || waiting(&mut redis) == 4);
    // All but four are told at once, and each of the four gets one of what comes.
    wait_until("the others are refused", || {
        metric(&tier, "seawall_redis_pass_refused_total") == CROWD as u64 - 4
    });
    let mut other = tier.daemon.connect();
    assert_eq!(other.run("RPUSH m x"), Reply::Int(1), "what does not block goes on");
    assert_eq!(other.run("RPUSH l a b c d"), Reply::Int(4));
    let mut popped = 0;
    for client in &mut crowd {
        let reply = client.receive();
        if reply.is_error() {
            let text = reply.text();
            assert!(text.starts_with("TIERDOWN not applied"), "{text}");
            assert!(text.contains("redis.blocking_links"), "{text}");
        } else {
            popped += 1;
        }
    }
    assert_eq!(popped, 4);
    assert_eq!(other.run("LLEN l"), Reply::Int(0));
    // The room of whoever leaves in the middle is the next one's.
    crowd.iter_mut().take(4).for_each(|client| client.send(&["BLPOP", "l", "0"]));
    wait_until("four of them wait in Redis", || waiting(&mut redis) == 4);
    assert!(other.run("BLPOP l 0").text().contains("redis.blocking_links"));
    drop(crowd);
    wait_until("nobody waits", || waiting(&mut redis) == 0);
    wait_until("there is room", || metric(&tier, "seawall_redis_pass_blocked") == 0);
    assert_eq!(other.run("BLPOP l 0.01"), Reply::Nil);
}

#[test]
fn a_crowd_before_one_connection_waits_no_longer_than_it_may() {
    const CROWD: usize = 60;
    let Some(redis) = RedisServer::listening(&[]) else { return };
    let tier = Tier::with(redis, &[("redis.pass_links", "1")]);
    let mut other = tier.daemon.connect();
    assert_eq!(other.run("RPUSH l 0"), Reply::Int(1));
    // Each takes a third of what all of them have.
    tier.proxy.replies(Flow::Delay(TIMEOUT / 3));
    let mut crowd: Vec<Raw> = (0..CROWD).map(|_| tier.daemon.connect()).collect();
    let begun = Instant::now();
    crowd.iter_mut().for_each(|client| client.send(&["RPUSH", "l", "x"]));
    let replies: Vec<Reply> = crowd.iter_mut().map(Raw::receive).collect();
    let took = begun.elapsed();
    // All of them in a row would take twenty times redis.timeout.
    assert!(took < TIMEOUT + BUSY, "{took:?}");
    tier.proxy.heal();
    let refused = replies
        .iter()
        .filter(|reply| reply.is_error() && reply.text().starts_with("TIERDOWN not applied"));
    let (refused, done) = (refused.count(), replies.iter().filter(|r| !r.is_error()).count());
    assert!(refused > CROWD / 2, "{replies:?}");
    wait_until("the connection is free", || !other.run("LLEN l").is_error());
    let there = tier.redis.connect().run("LLEN l").int() - 1;
    let unknown = (CROWD - refused - done) as i64;
    let done = done as i64;
    assert!((done..=done + unknown).contains(&there), "{there}: {done} done, {unknown} unknown");
}

#[test]
fn a_transaction_with_the_breaker_open_is_refused_whole_and_at_once() {
    let Some(mut tier) = Tier::start(&[]) else { return };
    let mut client = tier.daemon.connect();
    client.run("RPUSH l a");
    tier.redis.kill();
    wait_until("the breaker opens", || client.run("LLEN l").text().contains("breaker"));
    for line in ["MULTI", "RPUSH l b", "SET {l}k v"] {
        client.run(line);
    }
    let begun = Instant::now();
    let error = client.run("EXEC").text();
    assert!(error.starts_with("TIERDOWN not applied"), "{error}");
    assert!(begun.elapsed() < BUSY);
    assert_eq!(client.run("EXISTS {l}k"), Reply::Int(0), "nothing of it was applied");
    client.run("MULTI");
    client.run("SET {l}k v");
    assert_eq!(client.run("EXEC"), Reply::Array([Reply::ok()].into()), "memory needs no Redis");
    tier.redis.restart();
    wait_until("Redis is back", || client.run("LLEN l") == Reply::Int(0));
    // Until then the transaction would be refused: it comes behind what was written to its keys.
    wait_in_step(&mut client);
    for line in ["MULTI", "RPUSH l b", "APPEND {l}k w"] {
        client.run(line);
    }
    assert_eq!(client.run("EXEC"), Reply::Array([1, 2].map(Reply::Int).into()));
}

/// In `behind` mode the log is ahead of Redis: a command on the same key waits for it, and never the
/// other way round.
#[test]
fn a_passed_command_comes_behind_what_was_written_before_it() {
    let Some(redis) = RedisServer::listening(&[]) else { return };
    let patient = [
        ("redis.write", r#""behind""#),
        ("redis.timeout", r#""20s""#),
        ("redis.connect_timeout", r#""20s""#),
    ];
    let tier = Tier::with(redis, &patient);
    let mut client = tier.daemon.connect();
    tier.proxy.requests(Flow::Delay(Duration::from_millis(30)));
    for n in 0..12 {
        let key = format!("k{}", n % 3);
        // Alone, in a pipeline, and in a transaction.
        let lines = match n % 4 {
            0 => vec![format!("SET {key} a{n}"), format!("SETBIT {key} 6 1")],
            1 => vec![
                format!("SET {key} a{n}"),
                format!("APPEND {key} x"),
                format!("BITCOUNT {key}"),
            ],
            2 => vec![format!("DEL {key}"), format!("HSET {key} f {n}"), format!("HGET {key} f")],
            _ => vec![
                format!("SET {key} a{n}"),
                "MULTI".to_owned(),
                format!("SETBIT {key} 6 1"),
                format!("GET {key}"),
                "EXEC".to_owned(),
            ],
        };
        lines.iter().for_each(|line| client.send(&line.split(' ').collect::<Vec<_>>()));
        let replies: Vec<Reply> = lines.iter().map(|_| client.receive()).collect();
        assert!(!replies.iter().any(Reply::is_error), "{lines:?}: {replies:?}");
        let wanted = format!("c{n}");
        match n % 4 {
            0 => assert_eq!(client.run(&format!("GET {key}")).text(), wanted),
            1 => assert_eq!(client.run(&format!("GET {key}")).text(), format!("a{n}x")),
            2 => assert_eq!(replies[2].text(), n.to_string()),
            _ => assert_eq!(replies[4].items()[1].text(), wanted),
        }
        client.run(&format!("DEL {key}"));
    }
    // What follows such a command is in memory at once, and gets to Redis behind it.
    client.run("SETBIT k 6 1");
    assert_eq!(client.run("SET k last"), Reply::ok());
    tier.proxy.heal();
    let mut redis = tier.redis.connect();
    wait_until("Redis has it", || redis.run("GET k") == Reply::bulk("last"));
}

/// With Redis too slow for a write to get there in time, a command on its key is refused and not sent.
#[test]
fn a_passed_command_is_not_sent_before_what_was_written_before_it() {
    let Some(redis) = RedisServer::listening(&[]) else { return };
    let tier = Tier::with(redis, &[("redis.write", r#""behind""#)]);
    let mut client = tier.daemon.connect();
    tier.redis.pause();
    assert_eq!(client.run("SET k abc"), Reply::ok());
    let pipeline = ["SETBIT k 6 1", "STRLEN k", "BITCOUNT k"];
    pipeline.iter().for_each(|line| client.send(&line.split(' ').collect::<Vec<_>>()));
    assert!(client.receive().text().starts_with("TIERDOWN not applied"));
    assert_eq!(client.receive(), Reply::Int(3));
    assert!(client.receive().text().starts_with("TIERDOWN"));
    tier.redis.resume();
    let mut redis = tier.redis.connect();
    wait_until("Redis has it", || redis.run("GET k") == Reply::bulk("abc"));
    wait_until("it may be changed", || client.run("SETBIT k 6 1") == Reply::Int(0));
    assert_eq!(client.run("GET k"), Reply::bulk("cbc"));
}
