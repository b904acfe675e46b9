//! Commands of memory and commands that Redis runs, on the same keys at the same time: what clients see
//! is what one client after the other would have seen, and memory and Redis agree in the end.
//!
//! `SEAWALL_RACES` scales how much each client does.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::support::linear::register::{Call, Register};
use crate::support::linear::{End, Entry, Moments, check};
use crate::support::proxy::Flow;
use crate::support::tier::{Tier, wait_in_step};
use crate::support::{Raw, Reply, seed, setting, wait_until};

const KEYS: [&str; 2] = ["ash", "elm"];
const CLIENTS: u64 = 4;
/// Calls of each client in a round.
const CALLS: u64 = 120;
/// What Redis runs: INCR, by a script.
const SCRIPT: &str = "return redis.call('incr',KEYS[1])";

/// A key, and what was done to it.
type Touched = (usize, Entry<Call>);

fn number(reply: &Reply) -> Option<i64> {
    match reply {
        Reply::Nil => None,
        Reply::Int(value) => Some(*value),
        other => Some(other.text().parse().expect("a number")),
    }
}

/// One client, which records what it does.
struct Client {
    raw: Raw,
    moments: Moments,
    history: Vec<Touched>,
}

impl Client {
    fn call(&mut self, words: &[&str]) -> (u64, Reply, u64) {
        let sent = self.moments.next();
        let reply = self.raw.call(words);
        assert!(!reply.is_error(), "{words:?}: {reply:?}");
        (sent, reply, self.moments.next())
    }

    fn note(&mut self, key: usize, call: Call, (sent, ended): (u64, u64)) {
        self.history.push((key, Entry { call, sent, end: End::Answered(ended) }));
    }

    /// Replaces what it has read, if nobody else did. Commands that Redis runs take part.
    fn swap(&mut self, key: usize, to: i64) {
        let name = KEYS[key];
        self.call(&["WATCH", name]);
        let (read, reply, answered) = self.call(&["GET", name]);
        let from = number(&reply);
        self.note(key, Call::Get(from), (read, answered));
        self.call(&["MULTI"]);
        self.call(&["SET", name, &to.to_string()]);
        let (sent, reply, ended) = self.call(&["EXEC"]);
        if reply != Reply::Nil {
            assert_eq!(reply.items(), [Reply::ok()]);
            self.note(key, Call::Swap { from, to }, (sent, ended));
        }
    }

    fn run(mut self, mut rng: SmallRng, mut fresh: i64) -> Vec<Touched> {
        for _ in 0..CALLS {
            let key = rng.random_range(0..KEYS.len());
            let name = KEYS[key];
            // Far from all others, so that counting meets none of them.
            fresh += 1000;
            let text = fresh.to_string();
            let chosen = rng.random_range(0..12);
            let words: &[&str] = match chosen {
                0..3 => &["GET", name],
                3..6 => &["SET", name, &text],
                6 | 7 => &["INCR", name],
                8..11 => &["EVAL", SCRIPT, "1", name],
                _ => {
                    self.swap(key, fresh);
                    continue;
                }
            };
            let (sent, reply, ended) = self.call(words);
            let call = match chosen {
                0..3 => Call::Get(number(&reply)),
                3..6 => Call::Set(fresh),
                _ => Call::Increment(number(&reply)),
            };
            self.note(key, call, (sent, ended));
        }
        self.history
    }
}

fn queue(client: &mut Raw, lines: &[&str]) {
    assert_eq!(client.run("MULTI"), Reply::ok());
    for line in lines {
        assert_eq!(client.run(line).text(), "QUEUED", "{line}");
    }
}

/// One after the other, whatever befalls the way to Redis.
fn race(way: &Flow) {
    let Some(tier) = Tier::patient(&[]) else { return };
    let seed = seed();
    let moments = Moments::default();
    let mut redis = tier.redis.connect();
    for round in 0..setting("SEAWALL_RACES", 2) {
        tier.proxy.requests(way.clone());
        let clients = (0..CLIENTS).map(|id| {
            let client = Client {
                raw: tier.daemon.connect(),
                moments: moments.clone(),
                history: Vec::new(),
            };
            let rng = SmallRng::seed_from_u64(seed ^ (round * CLIENTS + id).rotate_left(32));
            let first = i64::try_from((round * CLIENTS + id + 1) * 1_000_000_000).expect("small");
            std::thread::spawn(move || client.run(rng, first))
        });
        let clients: Vec<_> = clients.collect();
        let mut history: Vec<Touched> =
            clients.into_iter().flat_map(|c| c.join().expect("every answer is right")).collect();
        tier.proxy.heal();
        let mut client = tier.daemon.connect();
        wait_in_step(&mut client);
        for (key, name) in KEYS.into_iter().enumerate() {
            for raw in [&mut redis, &mut client] {
                let sent = moments.next();
                let last = Call::Get(number(&raw.call(&["GET", name])));
                let end = End::Answered(moments.next());
                history.push((key, Entry { call: last, sent, end }));
            }
            let of_it: Vec<Entry<Call>> = history
                .iter()
                .filter(|(at, _)| *at == key)
                .map(|(_, entry)| entry.clone())
                .collect();
            if let Err(violation) = check::<Register>(None, &of_it) {
                panic!("{name}, round {round}: {violation}");
            }
            // The next round begins with nothing.
            assert!(matches!(client.call(&["DEL", name]), Reply::Int(0 | 1)));
        }
        wait_in_step(&mut client);
    }
}

#[test]
fn commands_of_memory_and_of_redis_happen_one_after_the_other() {
    race(&Flow::Pass);
}

#[test]
fn commands_of_memory_and_of_redis_happen_one_after_the_other_though_the_way_is_long() {
    race(&Flow::Delay(Duration::from_millis(3)));
}

/// A transaction that watches can't go to Redis. It was run here, over what Redis was making of the key.
#[test]
fn a_transaction_that_stays_here_does_not_undo_what_redis_is_changing() {
    let Some(tier) = Tier::patient(&[]) else { return };
    let (mut client, mut other) = (tier.daemon.connect(), tier.daemon.connect());
    let mut redis = tier.redis.connect();
    assert_eq!(client.run("SET n 5"), Reply::ok());
    wait_in_step(&mut client);
    redis.run("CLIENT PAUSE 100000 WRITE");
    client.send(&["EVAL", SCRIPT, "1", "n"]);
    wait_until("Redis has the script", || {
        redis.run("INFO clients").text().contains("blocked_clients:1")
    });
    // As if it had changed already: it may have.
    other.run("WATCH n");
    assert_eq!(other.run("GET n"), Reply::bulk("5"));
    queue(&mut other, &["SET n 9"]);
    assert_eq!(other.run("EXEC"), Reply::Nil);
    // One that watches something else can't be told that.
    for (watch, exec) in [("WATCH w", "EXEC"), ("PING", "SW.EXEC ROLLBACK")] {
        other.run(watch);
        queue(&mut other, &["SET beside 1", "INCR n"]);
        let error = other.run(exec).text();
        assert!(error.starts_with("TIERDOWN not applied"), "{error}");
    }
    redis.run("CLIENT UNPAUSE");
    assert_eq!(client.receive(), Reply::Int(6));
    assert_eq!(client.run("MGET n beside"), Reply::Array([Reply::bulk("6"), Reply::Nil].into()));
    queue(&mut other, &["INCR n"]);
    assert_eq!(other.run("EXEC"), Reply::Array([Reply::Int(7)].into()));
}

/// Half of it was run, and the other half answered by errors.
#[test]
fn a_transaction_that_only_redis_could_run_and_can_not_is_discarded_whole() {
    let Some(tier) = Tier::patient(&[]) else { return };
    for protocol in ["2", "3"] {
        let mut client = tier.daemon.connect();
        client.run(&format!("HELLO {protocol}"));
        client.run("DEL l k");
        assert_eq!(client.run("RPUSH l a"), Reply::Int(1));
        let discarded = |client: &mut Raw, why: &str| {
            let error = client.run("EXEC").text();
            assert!(error.starts_with("EXECABORT") && error.contains(why), "{error}");
            assert_eq!(client.run("EXISTS k l"), Reply::Int(1), "nothing of it was run");
        };
        // Where a command says so, when it is queued.
        client.run("WATCH w");
        queue(&mut client, &["SET k v"]);
        let error = client.run("RPUSH l b").text();
        assert!(error.contains("nothing is watched"), "{error}");
        discarded(&mut client, "previous errors");
        // Where only the key does, when it is to run.
        client.run("WATCH w");
        queue(&mut client, &["SET k v", "EXPIRE l 100"]);
        discarded(&mut client, "nothing is watched");
        queue(&mut client, &["SET k v", "KEYS *", "DEL l"]);
        discarded(&mut client, "'keys' is not run by Redis");
        // A watch that is over comes first, and no watch is left behind.
        client.run("WATCH w");
        queue(&mut client, &["SET k v", "DEL l"]);
        tier.daemon.connect().run("SET w 1");
        assert_eq!(client.run("EXEC"), Reply::Nil);
        queue(&mut client, &["SET k v", "DEL l"]);
        assert_eq!(client.run("EXEC"), Reply::Array([Reply::ok(), Reply::Int(1)].into()));
    }
}
