//! Publish and subscribe: as in Redis, in order, bounded, and for as long as the connection lives.

use std::thread;

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::support::redis::RedisServer;
use crate::support::{Daemon, Raw, Reply, Setup, seed, setting, wait_until};

const CHANNELS: [&str; 5] = ["a", "ab", "b", "news:1", ""];
const PATTERNS: [&str; 6] = ["*", "a*", "news:?", "[ab]", "b", "none"];

/// Sends words and takes all that comes before the answer to a PING behind them, frame by frame.
fn frames(connection: &mut Raw, words: &[String], token: &str) -> Vec<Vec<u8>> {
    if !words.is_empty() {
        connection.send(words);
    }
    connection.receive_all(token)
}

/// Frames in no order, and without the count of a confirmation: Redis takes names from a hash
/// table where several are concerned at once.
fn unordered(frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut frames: Vec<Vec<u8>> = frames
        .iter()
        .map(|frame| match frame.iter().rposition(|byte| *byte == b':') {
            Some(at) if frame.windows(11).any(|w| w == b"unsubscribe") => frame[..at].to_vec(),
            _ => {
                let mut lines: Vec<&[u8]> = frame.split(|byte| *byte == b'\n').collect();
                lines.sort_unstable();
                lines.concat()
            }
        })
        .collect();
    frames.sort_unstable();
    frames
}

/// What a listener does next. In RESP2 a subscriber may do little; both servers say so alike.
fn step(rng: &mut SmallRng) -> Vec<String> {
    let mut name = |names: &[&'static str]| names.choose(rng).copied().unwrap_or_default();
    let (one, two) = (name(&CHANNELS), name(&CHANNELS));
    let (first, second) = (name(&PATTERNS), name(&PATTERNS));
    let words: &[&str] = match rng.random_range(0..24) {
        0..=3 => &["SUBSCRIBE", one, two],
        4 => &["subscribe", one],
        5..=6 => &["PSUBSCRIBE", first, second],
        7 => &["SSUBSCRIBE", one, two],
        8..=9 => &["UNSUBSCRIBE", one, two, one],
        10 => &["UNSUBSCRIBE"],
        11 => &["PUNSUBSCRIBE", first],
        12 => &["PUNSUBSCRIBE"],
        13 => &["SUNSUBSCRIBE", one],
        14 => &["SUNSUBSCRIBE"],
        15 if rng.random_ratio(1, 3) => &["RESET"],
        16 => &["GET", "absent"],
        17 => &["CLIENT", "GETNAME"],
        18..=19 => &["EXEC"],
        20 => &["PUBSUB", "NUMPAT"],
        21 => &["SUBSCRIBE"],
        22 => &["PUBSUB", "NUMSUB", one, two],
        _ => &["PUBSUB", ["CHANNELS", "SHARDCHANNELS"][rng.random_range(0..2)], first],
    };
    words.iter().map(|&word| word.to_owned()).collect()
}

fn compare(protocol: &str) {
    let Some(redis) = RedisServer::start() else { return };
    let daemon = Daemon::start();
    let seed = seed();
    let mut rng = SmallRng::seed_from_u64(seed);
    let connect = || -> Vec<(Raw, Raw)> {
        let mut pairs: Vec<_> = (0..4).map(|_| (daemon.connect(), redis.connect())).collect();
        for (ours, theirs) in &mut pairs {
            assert!(!ours.call(&["HELLO", protocol]).is_error());
            assert!(!theirs.call(&["HELLO", protocol]).is_error());
        }
        pairs
    };
    let mut pairs = connect();
    let mut history = Vec::new();
    for number in 0..setting("SEAWALL_COMMANDS", 600) {
        let token = format!("token-{number}");
        // The last connection publishes and never listens: in RESP3 its own messages would come
        // before its replies in Redis 7.0, and behind them here as in later versions.
        let (who, words) = if rng.random_ratio(2, 5) {
            let channel = CHANNELS.choose(&mut rng).copied().unwrap_or_default();
            let verb = if rng.random_ratio(1, 5) { "SPUBLISH" } else { "PUBLISH" };
            (3, vec![verb.to_owned(), channel.to_owned(), format!("message {number}\r\n")])
        } else {
            (rng.random_range(0..3), step(&mut rng))
        };
        history.push(format!("{who}: {words:?}"));
        let reset = words.first().is_some_and(|word| word == "RESET");
        for listener in (0..4).map(|n| (who + n) % 4) {
            let (ours, theirs) = &mut pairs[listener];
            let words = if listener == who { &words[..] } else { &[] };
            let (ours, theirs) = (frames(ours, words, &token), frames(theirs, words, &token));
            let exact = words.len() > 1 && !words[0].eq_ignore_ascii_case("PUBSUB");
            let same = if exact && listener == who {
                ours == theirs
            } else {
                unordered(&ours) == unordered(&theirs)
            };
            let show = |frames: &[Vec<u8>]| frames.concat().escape_ascii().to_string();
            assert!(
                same,
                "SEAWALL_SEED={seed} RESP{protocol} connection {listener}\n{}\n  ours:   {}\n  \
                 theirs: {}",
                history[history.len().saturating_sub(40)..].join("\n"),
                show(&ours),
                show(&theirs),
            );
        }
        if reset {
            let (ours, theirs) = &mut pairs[who];
            assert!(!ours.call(&["HELLO", protocol]).is_error());
            assert!(!theirs.call(&["HELLO", protocol]).is_error());
        }
    }
}

#[test]
fn subscribers_get_the_same_bytes_as_from_redis_in_resp2() {
    compare("2");
}

#[test]
fn subscribers_get_the_same_bytes_as_from_redis_in_resp3() {
    compare("3");
}

#[test]
fn fixed_scripts_get_the_same_bytes_as_from_redis() {
    let Some(redis) = RedisServer::start() else { return };
    let daemon = Daemon::start();
    let scripts: [&[&str]; 4] = [
        &[
            "MULTI",
            "SUBSCRIBE a b",
            "SET k v",
            "PSUBSCRIBE p",
            "EXEC",
            "PING",
            "GET k",
            "RESET",
            "GET k",
        ],
        &["CLIENT REPLY OFF", "SUBSCRIBE a b", "PING", "UNSUBSCRIBE a"],
        &[
            "SUBSCRIBE a",
            "PING a b",
            "NOSUCH",
            "GET",
            "HELLO 9",
            "CLIENT NOSUCH",
            "CLIENT LIST TYPE normal",
            "EXEC",
            "QUIT",
        ],
        &[
            "PUBSUB",
            "PUBSUB NOSUCH",
            "PUBSUB NUMPAT x",
            "PUBSUB CHANNELS a b",
            "PUBLISH a",
            "SSUBSCRIBE",
            "SPUBLISH a b",
            "PUBSUB NUMSUB",
            "CONFIG GET notify",
        ],
    ];
    for protocol in ["2", "3"] {
        for script in scripts {
            let (mut ours, mut theirs) = (daemon.connect(), redis.connect());
            for connection in [&mut ours, &mut theirs] {
                assert!(!connection.call(&["HELLO", protocol]).is_error());
                script
                    .iter()
                    .for_each(|line| connection.send(&line.split(' ').collect::<Vec<_>>()));
                connection.finish_sending();
            }
            assert_eq!(ours.rest(), theirs.rest(), "RESP{protocol} {script:?}");
        }
    }
}

/// The number in a message, and which publisher it is from.
fn message(frame: &Reply) -> (String, u64) {
    let payload = frame.items().last().expect("a payload").text();
    let (who, number) = payload.split_once(' ').expect("two words");
    (who.to_owned(), number.parse().expect("a number"))
}

#[test]
fn the_order_of_each_publisher_holds_and_all_subscribers_of_a_channel_see_one_order() {
    const EACH: u64 = 2_000;
    let daemon = Daemon::start();
    let mut listeners: Vec<Raw> = (0..3).map(|_| daemon.connect()).collect();
    for (listener, line) in
        listeners.iter_mut().zip(["SUBSCRIBE c", "SUBSCRIBE c", "PSUBSCRIBE c*"])
    {
        listener.run(line);
    }
    let heard: Vec<Vec<(String, u64)>> = thread::scope(|scope| {
        for who in ["x", "y"] {
            let mut publisher = daemon.connect();
            scope.spawn(move || {
                for number in 0..EACH {
                    publisher.send(&["PUBLISH", "c", &format!("{who} {number}")]);
                }
                for _ in 0..EACH {
                    assert_eq!(publisher.receive(), Reply::Int(3));
                }
            });
        }
        let hearing: Vec<_> = listeners
            .iter_mut()
            .map(|listener| {
                scope.spawn(|| (0..2 * EACH).map(|_| message(&listener.receive())).collect())
            })
            .collect();
        hearing.into_iter().map(|thread| thread.join().expect("it hears all")).collect()
    });
    for who in ["x", "y"] {
        let numbers: Vec<u64> =
            heard[0].iter().filter(|(from, _)| from == who).map(|(_, n)| *n).collect();
        assert_eq!(numbers, (0..EACH).collect::<Vec<_>>(), "{who}");
    }
    assert!(heard[0] == heard[1] && heard[0] == heard[2], "two orders of one channel");
}

#[test]
fn a_subscriber_that_does_not_read_is_closed_and_nobody_else_notices() {
    let daemon = Setup::new().with("server.pubsub_buffer", r#""1MB""#).start();
    let (mut deaf, mut listener) = (daemon.connect(), daemon.connect());
    deaf.run("SUBSCRIBE c");
    listener.run("SUBSCRIBE c");
    let mut publisher = daemon.connect();
    let large = "x".repeat(100_000);
    let before = daemon.resident_kb();
    // The sockets take some megabytes first.
    let mut rounds = 0;
    while publisher.call(&["PUBLISH", "c", &large]).int() == 2 {
        assert_eq!(listener.receive().items()[2].text(), large);
        rounds += 1;
        assert!(rounds < 10_000, "it is never closed");
    }
    assert_eq!(listener.receive().items()[2].text(), large);
    let grown = daemon.resident_kb().saturating_sub(before);
    assert!(grown < 50_000, "it held {grown} kB");
    wait_until("the log says so", || {
        daemon.log_text().contains("server.pubsub_buffer (1000000 bytes)")
    });
    assert!(daemon.connect().run("INFO clients").text().contains("pubsub_clients:1\r\n"));
}

#[test]
fn subscriptions_outlive_the_front_and_every_other_actor() {
    let daemon = Setup::new().with("debug.drills", "true").start();
    let (mut listener, mut publisher) = (daemon.connect(), daemon.connect());
    listener.run("SUBSCRIBE c");
    for path in ["front/resp", "cache/shard-0", "wal", "metrics"] {
        assert_eq!(publisher.run(&format!("SW.DRILL panic {path}")), Reply::ok());
        let heard = publisher.call(&["PUBLISH", "c", path]);
        assert_eq!((heard, listener.receive().items()[2].text()), (Reply::Int(1), path.to_owned()));
    }
}

#[test]
fn an_idle_subscriber_stays_and_a_connection_that_ends_leaves() {
    let daemon = Setup::new().with("server.idle_timeout", r#""1s""#).start();
    let mut listener = daemon.connect();
    listener.run("SUBSCRIBE c");
    let mut idle = daemon.connect();
    idle.run("PING");
    // By now the subscriber has been idle for longer.
    assert!(idle.is_closed());
    assert_eq!(daemon.connect().run("PUBLISH c x"), Reply::Int(1));
    assert_eq!(listener.receive().items()[2].text(), "x");
    drop(listener);
    wait_until("nobody listens", || daemon.connect().run("PUBLISH c x") == Reply::Int(0));
}

#[test]
fn the_redis_crate_subscribes() {
    let daemon = Daemon::start();
    let mut connection = daemon.client();
    let mut publisher = daemon.client();
    let mut pubsub = connection.as_pubsub();
    pubsub.subscribe("news").expect("SUBSCRIBE");
    pubsub.psubscribe("n*").expect("PSUBSCRIBE");
    let received: i64 =
        redis::cmd("PUBLISH").arg("news").arg("hi").query(&mut publisher).expect("PUBLISH");
    assert_eq!(received, 2);
    let by_name = pubsub.get_message().expect("a message");
    let by_pattern = pubsub.get_message().expect("a message");
    assert_eq!(by_name.get_payload::<String>().expect("text"), "hi");
    assert_eq!(by_pattern.get_pattern::<String>().expect("a pattern"), "n*");
}
