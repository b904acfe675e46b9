//! Reads through the tier: what memory lacks is in Redis, and how long one waits for it.

use std::time::{Duration, Instant};

use super::support::proxy::{Cut, Flow};
use super::support::redis::RedisServer;
use super::support::tier::Tier;
use super::support::{Raw, Reply, wait_until};

fn bulk(text: &str) -> Reply {
    Reply::bulk(text)
}

/// How often Redis was asked for a key's value.
fn gets(tier: &Tier) -> u64 {
    tier.proxy.counts().of("GET")
}

#[test]
fn a_miss_is_answered_by_redis_once_and_by_memory_from_then_on() {
    let Some(tier) = Tier::patient(&[]) else { return };
    let (mut redis, mut client) = (tier.redis.connect(), tier.daemon.connect());
    redis.run("SET k theirs PX 60000");
    redis.run("SET forever x");
    assert_eq!(client.run("GET k"), bulk("theirs"));
    for _ in 0..10 {
        assert_eq!(client.run("GET k"), bulk("theirs"));
    }
    // The announcement of that SET may come behind the first answer.
    assert!((1..=2).contains(&gets(&tier)));
    let Reply::Int(ttl) = client.run("PTTL k") else { panic!("no TTL") };
    assert!((50_000..=60_000).contains(&ttl), "{ttl}");
    assert_eq!(client.run("TTL forever"), Reply::Int(-1));
    assert_eq!(client.run("GET nothing"), Reply::Nil);
    assert_eq!(client.run("EXISTS nothing"), Reply::Int(0));
    // Another database is nobody's but memory's.
    client.run("SELECT 1");
    assert_eq!(client.run("GET k"), Reply::Nil);
}

#[test]
fn commands_of_every_kind_see_what_redis_holds() {
    let Some(tier) = Tier::patient(&[]) else { return };
    let (mut redis, mut client) = (tier.redis.connect(), tier.daemon.connect());
    for i in 0..40 {
        redis.run(&format!("SET key{i} {i}"));
    }
    redis.run("HSET hash f v");
    assert_eq!(client.run("INCR key1"), Reply::Int(2));
    assert_eq!(client.run("APPEND key2 x"), Reply::Int(2));
    assert_eq!(client.run("SETNX key3 new"), Reply::Int(0));
    assert_eq!(client.run("SET key4 new GET"), bulk("4"));
    assert_eq!(client.run("EXPIRE key5 100"), Reply::Int(1));
    assert_eq!(client.run("DEL key6 key7 nothing"), Reply::Int(2));
    assert_eq!(client.run("GET key6"), Reply::Nil);
    assert_eq!(client.run("STRLEN key10"), Reply::Int(2));
    assert_eq!(client.run("RENAME key11 moved"), Reply::ok());
    assert_eq!(client.run("GET moved"), bulk("11"));
    assert_eq!(client.run("GET key11"), Reply::Nil);
    // Over several shards, in one question.
    let all = client.run("MGET key12 key13 nothing key14 key15");
    let wanted = [bulk("12"), bulk("13"), Reply::Nil, bulk("14"), bulk("15")];
    assert_eq!(all, Reply::Array(wanted.into()));
    let error = client.run("GET hash");
    assert!(matches!(&error, Reply::Error(text) if text.starts_with("WRONGTYPE")), "{error:?}");
    client.run("MULTI");
    for line in ["GET key20", "INCR key21", "GET key21", "GET nothing"] {
        client.run(line);
    }
    let wanted = [bulk("20"), Reply::Int(22), bulk("22"), Reply::Nil];
    assert_eq!(client.run("EXEC"), Reply::Array(wanted.into()));
    // A pipeline of misses and writes keeps its order.
    for line in ["GET key30", "SET key31 mine", "GET key31", "INCR key32", "GET key33"] {
        client.send(&line.split(' ').collect::<Vec<_>>());
    }
    let replies: Vec<Reply> = (0..5).map(|_| client.receive()).collect();
    let wanted = [bulk("30"), Reply::ok(), bulk("mine"), Reply::Int(33), bulk("33")];
    assert_eq!(replies, wanted);
}

#[test]
fn many_who_miss_one_key_together_cost_redis_one_question() {
    let Some(redis) = RedisServer::listening(&[]) else { return };
    // As long as the slowest client of a busy machine takes to send its command, and nobody finds
    // out meanwhile that Redis says nothing.
    let tier = Tier::with(redis, &[("redis.timeout", r#""30s""#), ("redis.ping_every", r#""1h""#)]);
    tier.redis.connect().run("SET hot v");
    let mut clients: Vec<Raw> = (0..200).map(|_| tier.daemon.connect()).collect();
    for client in &mut clients {
        client.run("PING");
    }
    tier.proxy.replies(Flow::Hold);
    for client in &mut clients {
        client.send(&["GET", "hot"]);
    }
    wait_until("it was asked", || gets(&tier) == 1);
    tier.proxy.replies(Flow::Pass);
    for client in &mut clients {
        assert_eq!(client.receive(), bulk("v"));
    }
    assert_eq!(gets(&tier), 1);
}

#[test]
fn absence_is_remembered_for_as_long_as_it_was_said() {
    let Some(tier) = Tier::patient(&[]) else { return };
    let mut client = tier.daemon.connect();
    assert_eq!(client.run("GET k"), Reply::Nil);
    assert_eq!(client.run("GET k"), Reply::Nil);
    assert_eq!(gets(&tier), 2, "it is asked each time");
    assert_eq!(client.run("CONFIG SET redis.negative_ttl 1h"), Reply::ok());
    for _ in 0..5 {
        assert_eq!(client.run("GET k"), Reply::Nil);
    }
    assert_eq!(gets(&tier), 3);
    // A write of ours ends it.
    client.run("SET k v");
    assert_eq!(client.run("GET k"), bulk("v"));
}

#[test]
fn while_redis_hangs_memory_answers_and_nothing_waits_longer_than_it_may() {
    let held = ["SET known v", "SET counter 41", "SET lock held", "SET doomed v"];
    let Some(tier) = holding(&held) else { return };
    let mut client = tier.daemon.connect();
    wait_until("it is known", || client.run("GET known") == bulk("v"));
    tier.proxy.hang();
    let timed = |client: &mut Raw, line: &str| {
        let began = Instant::now();
        let reply = client.run(line);
        // `redis.timeout` is 150 ms here; the machine may be busy.
        assert!(began.elapsed() < Duration::from_secs(1), "{line}: {:?}", began.elapsed());
        reply
    };
    for _ in 0..20 {
        assert_eq!(timed(&mut client, "GET known"), bulk("v"));
        assert_eq!(timed(&mut client, "GET unknown"), Reply::Nil);
        for line in ["INCR counter", "SETNX lock mine", "APPEND counter x", "EXPIRE lock 1"] {
            let reply = timed(&mut client, line);
            assert!(matches!(&reply, Reply::Error(t) if t.starts_with("TIERDOWN not applied")));
        }
    }
    assert_eq!(timed(&mut client, "SET mine v"), Reply::ok());
    assert_eq!(timed(&mut client, "GET mine"), bulk("v"));
    timed(&mut client, "DEL doomed");
    assert_eq!(timed(&mut client, "GET doomed"), Reply::Nil);
    tier.proxy.heal();
    tier.proxy.cut(Cut::Reset);
    wait_until("Redis is asked again", || client.run("INCR counter") == Reply::Int(42));
    assert_eq!(client.run("GET doomed"), Reply::Nil, "it was deleted");
}

#[test]
fn what_has_come_due_is_served_and_asked_for_behind_the_reader_s_back() {
    let Some(tier) = Tier::patient(&[]) else { return };
    let (mut redis, mut client) = (tier.redis.connect(), tier.daemon.connect());
    assert_eq!(client.run("CONFIG SET redis.revalidate_after 1s"), Reply::ok());
    redis.run("SET k old");
    assert_eq!(client.run("GET k"), bulk("old"));
    redis.run("SET k new");
    let began = Instant::now();
    wait_until("the new value is seen", || client.run("GET k") == bulk("new"));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn what_nobody_can_confirm_is_served_while_redis_is_away_and_asked_for_when_it_is_back() {
    let Some(tier) = holding(&["SET k old"]) else { return };
    let (mut redis, mut client) = (tier.redis.connect(), tier.daemon.connect());
    wait_until("it is known", || client.run("GET k") == bulk("old"));
    assert_eq!(client.run("CONFIG SET redis.revalidate_after 100ms"), Reply::ok());
    tier.proxy.hang();
    // Long enough for it to be suspect.
    let until = Instant::now() + Duration::from_secs(1);
    while Instant::now() < until {
        assert_eq!(client.run("GET k"), bulk("old"));
    }
    redis.run("SET k new");
    tier.proxy.heal();
    tier.proxy.cut(Cut::Reset);
    wait_until("the new value is seen", || client.run("GET k") == bulk("new"));
    tier.proxy.hang();
    assert_eq!(client.run("CONFIG SET redis.stale_if_error 0s"), Reply::ok());
    wait_until("nothing stale is served", || client.run("GET k") == Reply::Nil);
}

/// A daemon before a Redis that was told this before anybody listened: nothing is announced of it, late
/// or while it is asked for.
fn holding(lines: &[&str]) -> Option<Tier> {
    let redis = RedisServer::listening(&[])?;
    let mut client = redis.connect();
    for line in lines {
        client.run(line);
    }
    Some(Tier::with(redis, &[]))
}

fn filled() -> Option<RedisServer> {
    let redis = RedisServer::listening(&[])?;
    let mut client = redis.connect();
    for n in 0..300 {
        client.run(&format!("SET user:{n} {n} PX 100000"));
        client.run(&format!("SET other:{n} {n}"));
    }
    client.run("HSET user:hash f v");
    Some(redis)
}

#[test]
fn what_is_named_by_patterns_is_in_memory_before_anybody_asks() {
    let Some(redis) = filled() else { return };
    let mut tier = Tier::with(redis, &[("redis.warm", r#"["user:*"]"#)]);
    let done = tier.daemon.wait_log("the warm-up is over", |line| {
        line["message"] == "warm-up: everything named is in memory"
    });
    assert_eq!(done["keys"], 300);
    let mut client = tier.daemon.connect();
    tier.proxy.forget();
    for n in 0..300 {
        assert_eq!(client.run(&format!("GET user:{n}")), Reply::bulk(n.to_string()));
    }
    assert!(client.run("PTTL user:7").int() > 50_000);
    assert_eq!(gets(&tier), 0, "nothing had to be asked for");
    client.run("GET other:1");
    assert_eq!(gets(&tier), 1);
}

#[test]
fn a_warm_up_ends_at_its_limits_and_a_file_of_keys_works_too() {
    let Some(redis) = filled() else { return };
    let file = redis.dir().join("keys");
    let keys: Vec<String> = (0..200).map(|n| format!("other:{n}")).collect();
    std::fs::write(&file, keys.join("\n")).expect("written");
    let file = format!("{:?}", file.to_str().expect("UTF-8"));
    let settings = [("redis.warm_file", &*file), ("redis.warm_keys", "150")];
    let mut tier = Tier::with(redis, &settings);
    let done = tier.daemon.wait_log("the warm-up is over", |line| {
        line["message"] == "warm-up: redis.warm_keys is reached"
    });
    assert_eq!(done["keys"], 150);
    let mut client = tier.daemon.connect();
    assert_eq!(client.run("DBSIZE"), Reply::Int(150));
}

#[test]
fn a_client_s_write_is_not_undone_by_the_warm_up() {
    let Some(redis) = filled() else { return };
    let slowly = [("redis.warm", r#"["user:*"]"#), ("redis.warm_rate", "1000")];
    let mut tier = Tier::with(redis, &slowly);
    let mut client = tier.daemon.connect();
    for n in 0..300 {
        client.run(&format!("SET user:{n} mine"));
    }
    tier.daemon.wait_log("the warm-up is over", |line| {
        line["message"].as_str().is_some_and(|text| text.starts_with("warm-up: every"))
    });
    for n in 0..300 {
        assert_eq!(client.run(&format!("GET user:{n}")), Reply::bulk("mine"));
    }
}

/// A key that was in memory when its batch began is no more when the rest of the batch is known.
#[test]
fn what_others_change_while_a_batch_waits_is_asked_for_and_not_absent() {
    let Some(redis) = RedisServer::listening(&[]) else { return };
    let tier =
        Tier::with(redis, &[("redis.timeout", r#""10s""#), ("redis.soft_timeout", r#""5s""#)]);
    let (mut redis, mut client) = (tier.redis.connect(), tier.daemon.connect());
    for round in 0..3 {
        redis.run("SET n 5");
        redis.run(&format!("SET {round}:one 1"));
        redis.run(&format!("SET {round}:two 2"));
        wait_until("it is in memory", || client.run("GET n") == bulk("5"));
        tier.proxy.replies(Flow::Delay(Duration::from_millis(100)));
        // Announced in a hundred milliseconds; what the batch lacks is answered after that.
        redis.run("SET n 100");
        std::thread::sleep(Duration::from_millis(40));
        client.send(&["GET", &format!("{round}:one")]);
        client.send(&["INCR", "n"]);
        assert_eq!((client.receive(), client.receive()), (bulk("1"), Reply::Int(101)));
        // And over several shards at once.
        wait_until("Redis has it, which is known", || {
            client.run("INFO seawall").text().contains("redis_outbox_lag_records:0\r\n")
        });
        redis.run("SET n 200");
        std::thread::sleep(Duration::from_millis(40));
        let both = client.run(&format!("MGET {round}:two n"));
        assert_eq!(both, Reply::Array(vec![bulk("2"), bulk("200")]));
        tier.proxy.heal();
    }
}

#[test]
fn what_makes_room_for_others_of_its_batch_is_not_absent() {
    let Some(redis) = RedisServer::listening(&[]) else { return };
    let tier = Tier::with(
        redis,
        &[("redis.timeout", r#""10s""#), ("cache.shards", "1"), ("cache.max_entries", "8")],
    );
    let (mut redis, mut client) = (tier.redis.connect(), tier.daemon.connect());
    for n in 0..40 {
        redis.run(&format!("SET n{n} {n}"));
    }
    for n in 0..40 {
        client.send(&["GET", &format!("n{n}")]);
        client.send(&["INCR", &format!("n{}", 39 - n)]);
    }
    for n in 0..40 {
        let read = if n < 20 { n } else { n + 1 };
        assert_eq!(client.receive(), bulk(&read.to_string()), "n{n}");
        assert_eq!(client.receive(), Reply::Int(40 - n), "n{}", 39 - n);
    }
}

#[test]
fn nothing_lives_longer_here_than_in_redis_however_late_it_came() {
    let Some(tier) = Tier::start(&[]) else { return };
    let (mut redis, mut client) = (tier.redis.connect(), tier.daemon.connect());
    tier.proxy.replies(Flow::Delay(Duration::from_millis(100)));
    for round in 0..3 {
        let key = format!("brief{round}");
        redis.run(&format!("SET {key} v PX 300"));
        client.run(&format!("GET {key}"));
        wait_until("its time is over", || redis.run(&format!("GET {key}")) == Reply::Nil);
        assert_eq!(client.run(&format!("GET {key}")), Reply::Nil);
    }
}

/// Memory has room for a few entries: what makes room for the others of a transaction is not absent.
#[test]
fn a_transaction_in_a_tiny_memory_takes_nothing_for_absent_that_redis_holds() {
    let Some(redis) = RedisServer::listening(&[]) else { return };
    let tier = Tier::with(
        redis,
        &[("redis.timeout", r#""10s""#), ("cache.shards", "1"), ("cache.max_entries", "3")],
    );
    let (mut redis, mut client) = (tier.redis.connect(), tier.daemon.connect());
    for key in ["a", "b", "c", "d"] {
        redis.run(&format!("SET {key} 1"));
    }
    let mut transact = |lines: &[&str]| {
        client.run("MULTI");
        for line in lines {
            assert_eq!(client.run(line), Reply::Simple("QUEUED".into()), "{line}");
        }
        let Reply::Array(replies) = client.run("EXEC") else { panic!("no array") };
        replies
    };
    let refused =
        |reply: &Reply| matches!(reply, Reply::Error(why) if why.starts_with("OOM not applied"));
    // Two of them, and what was there before goes.
    let replies = transact(&["GET a", "INCR b", "GET a", "GET b"]);
    assert_eq!(replies, [bulk("1"), Reply::Int(2), bulk("1"), bulk("2")]);
    // Each by itself: it is put back when it is needed.
    let replies = transact(&["GET a", "GET b", "GET c", "GET d", "GET nothing", "INCR a"]);
    let wanted = ["1", "2", "1", "1"].map(bulk);
    assert_eq!(replies[..4], wanted);
    assert_eq!(replies[4..], [Reply::Nil, Reply::Int(2)]);
    // What has been changed in it and had to go cannot be.
    let replies = transact(&["INCR a", "SET x 1", "SET y 1", "SET z 1", "GET a", "INCR a"]);
    assert_eq!(replies[0], Reply::Int(3));
    assert!(replies[4..].iter().all(refused), "{replies:?}");
    assert!(refused(&client.run("MGET a b c d")));
    assert_eq!(client.run("GET a"), bulk("3"));
    // What it has emptied itself is.
    let mut transact = |lines: &[&str]| {
        client.run("MULTI");
        lines.iter().for_each(|line| drop(client.run(line)));
        client.run("EXEC")
    };
    let wanted = [Reply::ok(), Reply::Nil, Reply::Int(1)];
    assert_eq!(transact(&["FLUSHDB", "GET a", "INCR a"]), Reply::Array(wanted.into()));
}
