//! Commands that Redis runs: through the daemon a client gets what a direct one gets, to the byte.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::support::proxy::{Door, Flow};
use super::support::redis::RedisServer;
use super::support::redis::behind::Behind;
use super::support::tier::{Tier, wait_in_step};
use super::support::{Daemon, Raw, Reply, wait_until};

/// Every such command that a server of version 7.0 has, in every form whose reply differs between
/// the protocols; commands that only newer ones have are refused by it in its own words.
const SCRIPT: &str = include_str!("tier_passage/script.txt");

fn patient(tier: &Tier) -> Raw {
    let mut client = tier.daemon.connect();
    assert_eq!(client.run("CONFIG SET redis.timeout 20s"), Reply::ok());
    client
}

/// The lines of the script.
pub fn lines() -> impl Iterator<Item = &'static str> {
    SCRIPT.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// The lines of the script that a server of the kind that is behind the daemon can be asked wherever it
/// has the keys: on a Cluster all of them share a slot, and no script has keys that it does not name.
pub fn lines_for(other: &RedisServer) -> Vec<String> {
    if RedisServer::SERVERS == 1 {
        return lines().map(str::to_owned).collect();
    }
    let mut finder = other.connect();
    let has_hidden_keys = |line: &&str| line.contains("redis.call('") && line.contains("','");
    lines()
        .filter(|line| !has_hidden_keys(line))
        .map(|line| {
            let found = finder.run(&format!("COMMAND GETKEYS {line}"));
            let is_key = |word: &str| found.items().iter().any(|key| key.text() == word);
            let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
            let tagged = rest.split(' ').map(|word| match !found.is_error() && is_key(word) {
                true => format!(" {TAG}{word}"),
                false => format!(" {word}"),
            });
            format!("{name}{}", tagged.collect::<String>()).trim_end().to_owned()
        })
        .collect()
}

/// Before every key of those lines on a Cluster.
pub const TAG: &str = "{t}";

fn compare(protocol: &str) {
    let (Some(tier), Some(other)) = (Tier::patient(&[]), RedisServer::alone()) else {
        return;
    };
    let (mut through, mut direct) = (patient(&tier), other.connect());
    through.run(&format!("HELLO {protocol}"));
    direct.run(&format!("HELLO {protocol}"));
    for line in lines_for(&other) {
        let words: Vec<&str> = line.split(' ').collect();
        let ask = |client: &mut Raw| {
            client.send(&words);
            String::from_utf8_lossy(&client.receive_bytes()).into_owned()
        };
        let (want, got) = (ask(&mut direct), ask(&mut through));
        assert_eq!(got, want, "RESP{protocol}: {line}");
    }
}

#[test]
fn replies_are_those_of_redis_in_resp2() {
    compare("2");
}

#[test]
fn replies_are_those_of_redis_in_resp3() {
    compare("3");
}

/// The commands that Redis runs.
pub fn passed(client: &mut Raw) -> BTreeSet<String> {
    let docs = client.run("COMMAND DOCS");
    let is_theirs = |pair: &&[Reply]| format!("{:?}", pair[1]).contains("answered by a Redis tier");
    docs.items().chunks(2).filter(is_theirs).map(|pair| pair[0].text()).collect()
}

#[test]
fn the_script_has_every_command_that_redis_runs() {
    let theirs = passed(&mut Daemon::start().connect());
    let tried: BTreeSet<String> =
        lines().filter_map(|line| line.split(' ').next()).map(str::to_lowercase).collect();
    let missing: Vec<&String> = theirs.difference(&tried).collect();
    assert!(theirs.len() > 100 && missing.is_empty(), "{missing:?}");
}

#[test]
fn commands_of_both_kinds_keep_their_order_in_a_pipeline() {
    let Some(tier) = Tier::patient(&[]) else { return };
    let mut client = patient(&tier);
    for line in ["HSET h f 1", "DEL h", "HSET h f 2", "EXISTS h", "HGET h f", "TYPE h", "DEL h"] {
        client.send(&line.split(' ').collect::<Vec<_>>());
    }
    let replies: Vec<String> = (0..7).map(|_| format!("{:?}", client.receive())).collect();
    assert_eq!(replies, [":1", ":1", ":1", ":1", "\"2\"", "+hash", ":1"]);
}

#[test]
fn what_such_a_command_changes_is_not_served_from_memory() {
    let Some(tier) = Tier::patient(&[]) else { return };
    let mut client = patient(&tier);
    tier.redis.connect().run("SET k a");
    assert_eq!(client.run("GET k"), Reply::bulk("a"));
    assert_eq!(client.run("SETBIT k 6 1"), Reply::Int(0));
    assert_eq!(client.run("GET k"), Reply::bulk("c"));
    let script = "redis.call('set',KEYS[1],'script')";
    client.call(&["EVAL", script, "1", "k"]);
    assert_eq!(client.run("GET k"), Reply::bulk("script"));
    client.call(&["MULTI"]);
    client.run("SADD {k}s m");
    client.run("SET k transaction");
    client.run("EXEC");
    assert_eq!(client.run("GET k"), Reply::bulk("transaction"));
    // Nobody knows whether this one was executed: it was.
    client.run("CONFIG SET redis.timeout 200ms");
    tier.proxy.replies(Flow::Delay(Duration::from_millis(300)));
    let error = client.run("SETRANGE nothing 0 x");
    assert!(error.text().starts_with("TIERDOWN"), "{error:?}");
    let error = client.run("SETBIT k 0 1");
    assert!(error.text().starts_with("TIERDOWN"), "{error:?}");
    tier.proxy.heal();
    client.run("CONFIG SET redis.timeout 20s");
    wait_until("the links are back", || client.run("HLEN h") == Reply::Int(0));
    let want = tier.redis.connect().run("GET k");
    assert_eq!(client.run("GET k"), want);
}

#[test]
fn a_transaction_is_run_by_redis_as_a_whole_or_refused() {
    let Some(tier) = Tier::patient(&[]) else { return };
    let mut client = patient(&tier);
    // Also if only its keys are Redis'.
    client.run("HSET h f v");
    for line in ["MULTI", "EXPIRE h 100", "EXISTS h {h}nothing"] {
        client.run(line);
    }
    assert_eq!(client.run("EXEC"), Reply::Array([1, 1].map(Reply::Int).into()));
    for (first, second) in [("HSET h f v", "KEYS *"), ("PING", "LPUSH l a")] {
        client.run("MULTI");
        assert_eq!(client.run(first), Reply::Simple("QUEUED".into()));
        let error = client.run(second).text();
        assert!(error.contains("no transaction can hold both"), "{error}");
        assert!(client.run("EXEC").text().starts_with("EXECABORT"));
    }
    client.run("WATCH k");
    client.run("MULTI");
    assert!(client.run("HSET h f v").is_error());
    assert!(client.run("EXEC").text().starts_with("EXECABORT"));
    // What Redis refuses to queue is told by EXEC, and nothing of it was executed.
    for line in ["MULTI", "LPUSH l a", "EVAL x", "EXEC"] {
        client.run(line);
    }
    for line in ["MULTI", "LPUSH l a", "HEXPIRE {l}h 1 FIELDS 1 f"] {
        client.run(line);
    }
    let error = client.run("EXEC").text();
    assert!(error.starts_with("EXECABORT"), "{error}");
    assert_eq!(client.run("LLEN l"), Reply::Int(0));
}

#[test]
fn without_redis_such_a_command_says_so_at_once() {
    let Some(mut tier) = Tier::start(&[]) else { return };
    let mut client = tier.daemon.connect();
    assert_eq!(client.run("LPUSH l a"), Reply::Int(1));
    client.run("SELECT 1");
    assert!(client.run("LPUSH l a").text().contains("database 0"));
    client.run("SELECT 0");
    tier.redis.pause();
    let began = Instant::now();
    let error = client.run("LPUSH l a").text();
    assert!(error.starts_with("TIERDOWN outcome unknown"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    tier.redis.resume();
    tier.proxy.door(Door::Refused);
    tier.redis.kill();
    wait_until("the breaker opens", || client.run("LPUSH l a").text().contains("breaker"));
    let error = client.run("LPUSH l a").text();
    assert!(error.starts_with("TIERDOWN not applied"), "{error}");
    let error = client.run("LLEN l").text();
    assert!(error.starts_with("TIERDOWN no answer"), "{error}");
    assert_eq!(client.run("SET own 1"), Reply::ok());
}

#[test]
fn a_restart_of_redis_costs_no_error_once_it_is_back() {
    let Some(mut tier) = Tier::start(&[]) else { return };
    let mut client = patient(&tier);
    assert_eq!(client.run("LPUSH l a"), Reply::Int(1));
    tier.redis.kill();
    tier.redis.restart();
    wait_until("it is back", || client.run("LLEN l") == Reply::Int(0));
    assert_eq!(client.run("LPUSH l a"), Reply::Int(1));
}

/// Commands that wait in Redis.
pub fn waiting(redis: &mut Raw) -> usize {
    let info = redis.run("INFO clients").text();
    let counts = info.lines().filter_map(|line| line.strip_prefix("blocked_clients:"));
    counts.map(|count| count.trim().parse::<usize>().expect("a count")).sum()
}

#[test]
fn a_command_that_blocks_holds_up_nobody_and_ends_with_its_client() {
    let Some(tier) = Tier::start(&[]) else { return };
    let (mut client, mut other) = (tier.daemon.connect(), tier.daemon.connect());
    let mut redis = tier.redis.connect();
    let id = client.run("CLIENT ID").int();
    // What stands before it in the pipeline is answered at once; what stands behind, later.
    for line in ["SET a 1", "BLPOP l 0", "GET a"] {
        client.send(&line.split(' ').collect::<Vec<_>>());
    }
    assert_eq!(client.receive(), Reply::ok());
    wait_until("it waits in Redis", || waiting(&mut redis) == 1);
    let flags = format!("id={id} ");
    let list = other.run("CLIENT LIST").text();
    let line = list.lines().find(|line| line.contains(&flags)).expect("it is listed");
    assert!(line.contains("flags=b") && line.contains("cmd=blpop"), "{line}");
    assert_eq!(other.run("RPUSH l x"), Reply::Int(1));
    assert_eq!(client.receive(), Reply::Array([Reply::bulk("l"), Reply::bulk("x")].into()));
    assert_eq!(client.receive(), Reply::bulk("1"));
    // Longer than redis.timeout, and no failure.
    assert_eq!(client.run("BLPOP l 0.4"), Reply::Nil);
    client.send(&["XREAD", "BLOCK", "0", "STREAMS", "s", "$"]);
    wait_until("it waits in Redis", || waiting(&mut redis) == 1);
    assert_eq!(other.run(&format!("CLIENT UNBLOCK {id}")), Reply::Int(1));
    assert_eq!(client.receive(), Reply::Nil);
    client.send(&["BZPOPMIN", "z", "0"]);
    wait_until("it waits in Redis", || waiting(&mut redis) == 1);
    assert_eq!(other.run(&format!("CLIENT UNBLOCK {id} ERROR")), Reply::Int(1));
    assert!(client.receive().text().starts_with("UNBLOCKED"));
    assert_eq!(other.run(&format!("CLIENT UNBLOCK {id}")), Reply::Int(0));
    client.send(&["BRPOP", "l", "0"]);
    wait_until("it waits in Redis", || waiting(&mut redis) == 1);
    drop(client);
    wait_until("nobody waits", || waiting(&mut redis) == 0);
    // In a transaction nothing waits.
    for line in ["MULTI", "BLPOP l 0"] {
        other.run(line);
    }
    assert_eq!(other.run("EXEC"), Reply::Array([Reply::Nil].into()));
}

#[test]
fn commands_that_block_are_bounded_and_end_with_redis_and_with_the_daemon() {
    let Some(redis) = RedisServer::listening(&[]) else { return };
    let mut tier = Tier::before(redis, |setup, proxy| {
        let url = format!(r#""redis://{}""#, proxy.address());
        setup.with("redis.url", &url).with("redis.blocking_links", "1")
    });
    let (mut client, mut other) = (tier.daemon.connect(), tier.daemon.connect());
    let mut redis = tier.redis.connect();
    client.send(&["BLPOP", "l", "0"]);
    wait_until("it waits in Redis", || waiting(&mut redis) == 1);
    let error = other.run("BLPOP l 0").text();
    assert!(error.starts_with("TIERDOWN not applied") && error.contains("blocking"), "{error}");
    tier.redis.pause();
    let error = client.receive().text();
    assert!(error.starts_with("TIERDOWN outcome unknown"), "{error}");
    tier.redis.resume();
    wait_until("nobody waits", || waiting(&mut redis) == 0);
    wait_until("the links are back", || other.run("LLEN l") == Reply::Int(0));
    client.send(&["BLPOP", "l", "0"]);
    wait_until("it waits in Redis", || waiting(&mut redis) == 1);
    tier.daemon.stop();
    assert_eq!(client.receive(), Reply::Nil);
}

/// COPY and MOVE into the tiered database looked for the destination in memory alone, and so
/// overwrote what only Redis had.
#[test]
fn what_only_redis_has_is_not_overwritten_from_another_database() {
    let Some(tier) = Tier::patient(&[]) else { return };
    let (mut redis, mut client) = (tier.redis.connect(), tier.daemon.connect());
    redis.run("MSET copied theirs moved theirs queued theirs replaced theirs");
    redis.run("HSET hash f v");
    client.run("SELECT 1");
    client.run("MSET copied ours moved ours queued ours replaced ours hash ours free ours");
    assert_eq!(client.run("COPY copied copied DB 0"), Reply::Int(0));
    assert_eq!(client.run("MOVE moved 0"), Reply::Int(0));
    assert_eq!(client.run("COPY hash hash DB 0"), Reply::Int(0));
    assert_eq!(client.run("MOVE hash 0"), Reply::Int(0));
    assert_eq!(client.run("COPY replaced replaced DB 0 REPLACE"), Reply::Int(1));
    assert_eq!(client.run("MOVE free 0"), Reply::Int(1));
    for line in ["MULTI", "COPY queued queued DB 0", "MOVE queued 0", "SELECT 0", "GET queued"] {
        client.run(line);
    }
    let wanted = [Reply::Int(0), Reply::Int(0), Reply::ok(), Reply::bulk("theirs")];
    assert_eq!(client.run("EXEC"), Reply::Array(wanted.into()));
    for key in ["copied", "moved"] {
        assert_eq!(client.run(&format!("GET {key}")), Reply::bulk("theirs"), "{key}");
    }
    for key in ["replaced", "free"] {
        assert_eq!(client.run(&format!("GET {key}")), Reply::bulk("ours"), "{key}");
        wait_until("Redis has it", || redis.run(&format!("GET {key}")) == Reply::bulk("ours"));
    }
    // What leads away is none of Redis' business, whose databases are not ours.
    let error = client.run("COPY hash away DB 1");
    assert!(matches!(&error, Reply::Error(why) if why.starts_with("WRONGTYPE")), "{error:?}");
    assert_eq!(client.run("COPY free away DB 1"), Reply::Int(1));
    if RedisServer::SERVERS == 1 {
        redis.run("SELECT 1");
        assert_eq!(redis.run("DBSIZE"), Reply::Int(0));
    }
    client.run("CONFIG SET redis.timeout 200ms");
    client.run("SELECT 1");
    client.run("SET unknown ours");
    tier.proxy.replies(Flow::Hold);
    for line in ["COPY copied unknown DB 0", "MOVE unknown 0"] {
        let error = client.run(line);
        assert!(matches!(&error, Reply::Error(why) if why.starts_with("TIERDOWN")), "{error:?}");
    }
    tier.proxy.replies(Flow::Pass);
}

/// A write of memory's own that met a command of Redis' on its way was computed from what the key had
/// held before, and undid it.
#[test]
fn what_redis_is_changing_is_not_built_upon() {
    let Some(redis) = RedisServer::listening(&[]) else { return };
    let tier = Tier::with(
        redis,
        &[
            ("redis.timeout", r#""20s""#),
            ("redis.connect_timeout", r#""20s""#),
            ("cache.shards", "4"),
        ],
    );
    let mut redis = tier.redis.connect();
    let (mut client, mut other) = (tier.daemon.connect(), tier.daemon.connect());
    for (lines, key, want) in [
        (&["INCR n"][..], "n", "7"),
        (&["SET n 50 KEEPTTL GET"], "n", "50"),
        (&["RENAME n {n}renamed"], "{n}renamed", "6"),
        (&["MULTI", "INCR n", "EXEC"], "n", "7"),
    ] {
        client.run("SET n 5");
        client.run("DEL {n}renamed");
        wait_in_step(&mut client);
        assert_eq!(redis.run("GET n"), Reply::bulk("5"));
        // Whatever writes waits in Redis until then, in order.
        redis.run("CLIENT PAUSE 100000 WRITE");
        let mut waiting = || {
            let clients = redis.run("CLIENT LIST").text();
            let flags = clients.split(' ').filter(|word| word.starts_with("flags="));
            // The connection that tracks, `t`, brings writes from the log.
            flags.filter(|flags| flags.contains('b') && !flags.contains('t')).count()
        };
        client.send(&["EVAL", "return redis.call('incr',KEYS[1])", "1", "n"]);
        wait_until("Redis has the script", || waiting() == 1);
        for line in lines {
            other.send(&line.split(' ').collect::<Vec<_>>());
        }
        wait_until("Redis has the other, too", || waiting() == 2);
        // Reads are of before or after, and wait for nobody.
        assert_eq!(tier.daemon.connect().run("GET n"), Reply::bulk("5"));
        redis.run("CLIENT UNPAUSE");
        assert_eq!(client.receive(), Reply::Int(6));
        let answers: Vec<Reply> = lines.iter().map(|_| other.receive()).collect();
        assert!(!format!("{answers:?}").contains("Error"), "{lines:?}: {answers:?}");
        assert_eq!(other.run(&format!("GET {key}")), Reply::bulk(want), "{lines:?}");
        assert_eq!(redis.run(&format!("GET {key}")), Reply::bulk(want), "{lines:?}");
    }
    // When it is over memory runs its own again.
    let incrs = |redis: &mut Raw| {
        let stats = redis.run("INFO commandstats").text();
        let incrs = stats.lines().filter(|line| line.starts_with("cmdstat_incr:"));
        incrs.map(str::to_owned).collect::<Vec<_>>()
    };
    let before = incrs(&mut redis);
    assert_eq!(other.run("SET n 5"), Reply::ok());
    assert_eq!(other.run("INCR n"), Reply::Int(6));
    assert_eq!(incrs(&mut redis), before);
}
