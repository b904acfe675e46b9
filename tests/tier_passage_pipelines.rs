//! Pipelines of commands that Redis runs: in one piece there, each answered for itself, and in order
//! whatever happens on the way.

use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::support::proxy::{Cut, Flow, To};
use super::support::raw::encode;
use super::support::redis::RedisServer;
use super::support::redis::behind::Behind;
use super::support::tier::Tier;
use super::support::{Raw, Reply, seed, setting, wait_until};
use super::tier_passage::lines_for;

fn send(client: &mut Raw, lines: &[impl AsRef<str>]) {
    let request = |line: &str| encode(&line.split(' ').collect::<Vec<_>>());
    let bytes: Vec<u8> = lines.iter().flat_map(|line| request(line.as_ref())).collect();
    client.send_bytes(bytes);
}

/// The answers to commands that are sent together.
pub fn run(client: &mut Raw, lines: &[impl AsRef<str>]) -> Vec<Reply> {
    send(client, lines);
    lines.iter().map(|_| client.receive()).collect()
}

/// However it is cut into pipelines, what is answered is what Redis answers.
#[test]
fn pipelines_are_answered_as_by_redis() {
    let (Some(tier), Some(other)) = (Tier::patient(&[]), RedisServer::alone()) else {
        return;
    };
    let mut rng = SmallRng::seed_from_u64(seed());
    let (mut through, mut direct) = (tier.daemon.connect(), other.connect());
    let mut left = lines_for(&other);
    while !left.is_empty() {
        let count = rng.random_range(1..150).min(left.len());
        let pipeline: Vec<String> = left.drain(..count).collect();
        send(&mut through, &pipeline);
        send(&mut direct, &pipeline);
        for line in pipeline {
            let [got, want] = [&mut through, &mut direct]
                .map(|from| String::from_utf8_lossy(&from.receive_bytes()).into_owned());
            assert_eq!(got, want, "{line}");
        }
    }
}

#[test]
fn a_pipeline_costs_few_round_trips() {
    const DELAY: Duration = Duration::from_millis(100);
    const COMMANDS: u32 = 40;
    let Some(tier) = Tier::patient(&[]) else { return };
    let mut client = tier.daemon.connect();
    client.run("LPUSH l first");
    tier.proxy.replies(Flow::Delay(DELAY));
    let pushes: Vec<String> = (0..COMMANDS).map(|n| format!("RPUSH l {n}")).collect();
    let begun = Instant::now();
    let replies = run(&mut client, &pushes);
    let took = begun.elapsed();
    let lengths: Vec<Reply> = (2..).map(Reply::Int).take(COMMANDS as usize).collect();
    assert_eq!(replies, lengths);
    // One after the other they would take as long as all delays at least.
    assert!(took < DELAY * COMMANDS * 3 / 4, "{took:?}");
}

#[test]
fn replies_larger_than_what_goes_together_are_all_there() {
    let Some(redis) = RedisServer::listening(&[]) else { return };
    let tier = Tier::with(
        redis,
        &[
            ("redis.timeout", r#""10s""#),
            ("validation.max_value", r#""64KB""#),
            ("server.output_buffer", r#""1100KB""#),
        ],
    );
    let mut client = tier.daemon.connect();
    let value = "x".repeat(600_000);
    client.call(&["RPUSH", "l", &value]);
    let replies = run(&mut client, &["LINDEX l 0"; 8]);
    assert!(replies.iter().all(|reply| reply.text() == value));
    // A write behind a reply that is lost may not be overtaken by the same question.
    let replies = run(&mut client, &["LINDEX l 0", "LINDEX l 0", "LINDEX l 0", "LPUSH l y"]);
    assert!(replies[0] == Reply::bulk(&value));
    for reply in replies.iter().filter(|reply| reply.is_error()) {
        assert!(reply.text().starts_with("TIERDOWN"), "{}", reply.text());
    }
    let mut told = replies[..3].iter().filter(|reply| !reply.is_error());
    assert!(told.all(|reply| *reply == Reply::bulk(&value)), "somebody else's reply");
}

/// A server that is not ready refuses some of a pipeline: those go again only where nobody can tell.
#[test]
fn what_is_refused_in_mid_pipeline_overtakes_nothing() {
    let Some(tier) = Tier::patient(&[]) else { return };
    let mut client = tier.daemon.connect();
    let loading = "-LOADING not yet";
    // From then on it is known which node of a Cluster has it.
    assert_eq!(client.run("LLEN l"), Reply::Int(0));
    tier.proxy.answer(To::Only(&["RPUSH"]), loading, 2);
    let replies = run(&mut client, &["RPUSH l a", "RPUSH l b", "RPUSH l c", "RPUSH l d"]);
    for refused in &replies[..2] {
        assert!(refused.text().starts_with("TIERDOWN not applied: LOADING"), "{refused:?}");
    }
    assert_eq!(replies[2..], [Reply::Int(1), Reply::Int(2)]);
    tier.proxy.answer(To::Only(&["SADD"]), loading, 2);
    let replies = run(&mut client, &["SADD s a", "SADD t b", "SADD u c", "LLEN l"]);
    assert_eq!(replies, [1, 1, 1, 2].map(Reply::Int), "they have nothing to do with each other");
    tier.proxy.answer(To::Only(&["ZADD"]), loading, 3);
    let replies = run(&mut client, &["LLEN l", "ZADD z 1 a", "ZADD z 1 b", "ZADD z 1 c"]);
    assert_eq!(replies, [2, 1, 1, 1].map(Reply::Int), "nothing came behind them");
    assert_eq!(client.run("ZRANGE z 0 -1").items().len(), 3);
}

#[test]
fn while_redis_hangs_each_command_of_a_pipeline_has_its_error_in_time() {
    let Some(tier) = Tier::start(&[]) else { return };
    let mut client = tier.daemon.connect();
    client.run("RPUSH l 0");
    tier.redis.pause();
    let begun = Instant::now();
    let replies = run(&mut client, &["LLEN l", "RPUSH l 1", "RPUSH l 2", "LLEN l"]);
    let took = begun.elapsed();
    for (reply, says) in replies.iter().zip(["no answer", "outcome", "outcome", "no answer"]) {
        let text = reply.text();
        let told = text.starts_with(&format!("TIERDOWN {says}"));
        assert!(told || text.starts_with("TIERDOWN not applied"), "{text}");
    }
    // One after the other, without the breaker, would take four times redis.timeout.
    assert!(took < Duration::from_secs(5), "{took:?}");
    tier.redis.resume();
}

/// Whatever cuts connections where: what was acknowledged is there, nothing is there twice, and all is
/// in the order in which it was sent.
#[test]
fn a_pipeline_that_is_cut_keeps_its_order_and_does_nothing_twice() {
    let Some(tier) = Tier::start(&[]) else { return };
    let mut rng = SmallRng::seed_from_u64(seed());
    let mut client = tier.daemon.connect();
    let (mut next, mut acknowledged) = (0, Vec::new());
    let mut errors = 0;
    for _ in 0..setting("SEAWALL_CUTS", 12) {
        let how = if rng.random() { Cut::Reset } else { Cut::Close };
        let flow = Flow::CutAfter(rng.random_range(0..600), how);
        if rng.random() {
            tier.proxy.replies(flow);
        } else {
            tier.proxy.requests(flow);
        }
        for _ in 0..2 {
            let count = rng.random_range(2..100);
            let pushes: Vec<String> =
                (next..next + count).map(|n| format!("RPUSH l {n}")).collect();
            let replies = run(&mut client, &pushes);
            for (n, reply) in (next..).zip(&replies) {
                match reply {
                    Reply::Int(_) => acknowledged.push(n),
                    error => {
                        assert!(error.text().starts_with("TIERDOWN"), "{error:?}");
                        errors += 1;
                    }
                }
            }
            next += count;
        }
        tier.proxy.heal();
        wait_until("Redis is there again", || !client.run("LLEN l").is_error());
    }
    let list: Vec<i64> = tier
        .redis
        .connect()
        .run("LRANGE l 0 -1")
        .items()
        .iter()
        .map(|reply| reply.text().parse().expect("a number"))
        .collect();
    assert!(list.is_sorted_by(|one, other| one < other), "{list:?}");
    let lost: Vec<&i64> = acknowledged.iter().filter(|n| !list.contains(n)).collect();
    assert!(lost.is_empty(), "acknowledged and not there: {lost:?}");
    assert!(errors > 0, "nothing was cut");
}
