//! WATCH before a Redis: EXEC fails because a key has changed, and not because of how memory came to know
//! what it holds.

use crate::support::redis::RedisServer;
use crate::support::tier::{Tier, wait_in_step};
use crate::support::{Raw, Reply, wait_until};

/// All the time of the world, also for what is only waited for while there is nothing better.
const PATIENT: [(&str, &str); 3] = [
    ("redis.timeout", r#""10s""#),
    ("redis.connect_timeout", r#""10s""#),
    ("redis.soft_timeout", r#""10s""#),
];

fn patient(more: &[(&str, &str)]) -> Option<Tier> {
    Some(Tier::with(RedisServer::listening(&[])?, &[&PATIENT, more].concat()))
}

/// Replaces what it reads if nobody else does; what it has read, and whether it did.
fn swap(client: &mut Raw, key: &str, to: &str) -> (Reply, bool) {
    assert_eq!(client.run(&format!("WATCH {key}")), Reply::ok());
    let read = client.run(&format!("GET {key}"));
    client.run("MULTI");
    client.run(&format!("SET {key} {to}"));
    (read, exec(client))
}

/// Whether EXEC was not refused.
fn exec(client: &mut Raw) -> bool {
    match client.run("EXEC") {
        Reply::Nil => false,
        reply => {
            assert_eq!(reply.items(), [Reply::ok()]);
            true
        }
    }
}

/// What Redis had made of a key was announced behind the reply, and taken for somebody else's change.
#[test]
fn what_was_changed_before_watch_is_no_change_however_late_it_is_announced() {
    const ROUNDS: usize = 100;
    let Some(tier) = patient(&[]) else { return };
    let (mut client, mut redis) = (tier.daemon.connect(), tier.redis.connect());
    for round in 0..ROUNDS {
        let script = format!("return redis.call('set',KEYS[1],'{round}')");
        assert_eq!(client.call(&["EVAL", &script, "1", "k"]), Reply::ok());
        let read = Reply::bulk(round.to_string());
        assert_eq!(swap(&mut client, "k", "ours"), (read, true), "round {round}");
        // Somebody else's, of a key that is not in memory.
        let key = format!("theirs{round}");
        assert_eq!(redis.run(&format!("SET {key} v")), Reply::ok());
        assert_eq!(swap(&mut client, &key, "ours"), (Reply::bulk("v"), true), "round {round}");
    }
    wait_in_step(&mut client);
    assert_eq!(redis.run("GET k"), Reply::bulk("ours"));
}

/// What a start finds in the log is asked for before it is believed. That it was another value then was
/// taken for a change since WATCH.
#[test]
fn what_was_changed_while_nobody_was_there_is_no_change() {
    let Some(mut tier) = patient(&[]) else { return };
    let mut client = tier.daemon.connect();
    for key in ["same", "other", "gone"] {
        assert_eq!(client.run(&format!("SET {key} before")), Reply::ok());
    }
    wait_in_step(&mut client);
    tier.daemon.stop();
    let mut redis = tier.redis.connect();
    assert_eq!(redis.run("SET other theirs"), Reply::ok());
    assert_eq!(redis.run("DEL gone"), Reply::Int(1));
    tier.daemon.restart();
    tier.wait_linked();
    let mut client = tier.daemon.connect();
    wait_in_step(&mut client);
    for (key, read) in
        [("same", Reply::bulk("before")), ("other", Reply::bulk("theirs")), ("gone", Reply::Nil)]
    {
        assert_eq!(swap(&mut client, key, "after"), (read, true), "{key}");
    }
}

/// To make room is to change nothing: Redis has the key.
#[test]
fn a_key_that_has_to_make_room_has_not_changed() {
    let Some(tier) = patient(&[("cache.shards", "1"), ("cache.max_entries", "4")]) else { return };
    let (mut client, mut other) = (tier.daemon.connect(), tier.daemon.connect());
    let mut redis = tier.redis.connect();
    for theirs in [false, true] {
        let writer = if theirs { &mut redis } else { &mut client };
        assert_eq!(writer.run("SET k 1"), Reply::ok());
        wait_in_step(&mut client);
        wait_until("it is heard of", || other.run("GET k") == Reply::bulk("1"));
        for changes in [false, true] {
            assert_eq!(client.run("WATCH k"), Reply::ok());
            let before = client.run("GET k");
            for n in 0..8 {
                assert_eq!(other.run(&format!("SET crowd{n} x")), Reply::ok());
            }
            let keys = other.run("KEYS k");
            assert_eq!(keys.items(), [], "it has made room");
            assert_eq!(client.run("GET k"), before);
            for n in 0..8 {
                assert_eq!(other.run(&format!("SET crowd{n} x")), Reply::ok());
            }
            if changes {
                assert_eq!(redis.run("SET k theirs"), Reply::ok());
                wait_until("that is seen", || other.run("GET k") == Reply::bulk("theirs"));
            }
            client.run("MULTI");
            client.run("SET k ours");
            assert_eq!(exec(&mut client), !changes);
        }
    }
}
