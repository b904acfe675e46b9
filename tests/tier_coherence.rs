//! Two Seawalls before one Redis, or one Cluster, writers on each and one beside them: what readers may see, with
//! Redis well and in every kind of trouble, and that all three hold the same when it is over.
//!
//! `SEAWALL_COHERENCE_ROUNDS` sets how many rounds one pair lives through:
//!
//! ```text
//! SEAWALL_COHERENCE_ROUNDS=100 cargo test --test e2e tier_coherence -- --nocapture
//! ```

use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::support::coherence::clients::{CLIENTS, Field};
use super::support::coherence::history::{KEYS, Op, Place, name};
use super::support::coherence::rules::{Terms, check, story};
use super::support::coherence::truth::{Ticks, Truth};
use super::support::port::Port;
use super::support::proxy::{Cut, Door, Flow};
use super::support::redis::RedisServer;
use super::support::redis::behind::{Behind, Server};
use super::support::tier::wait_in_step;
use super::support::{Daemon, Raw, Reply, Setup, seed, setting, wait_until};

/// Answers between two events of a round, and how long they are waited for: in trouble there may be
/// few.
const STRETCH: u64 = 150;
const STRETCH_TIME: Duration = Duration::from_millis(500);
/// With Redis well nothing is older than this, on however busy a machine. What stays old for good is
/// found by the comparison at the end of each round.
const BOUND: u64 = 5_000_000;
/// Keys by which a test finds out that everything announced before has been heard, by every shard.
const BUOYS: usize = 8;
/// Times to live that differ by less are the same.
const CLOSE_MS: i64 = 1_000;

/// What befalls a Seawall's way to Redis, or one of the three.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    None,
    Cut(Cut),
    /// Whoever listens to changes is disconnected.
    Deaf,
    Hangs,
    Delayed(u64),
    Refused,
    /// Requests disappear.
    HalfOpen,
    /// In the middle of a reply.
    CutWithin(u64),
    Stopped,
    Restarted,
    Killed,
}

const TROUBLES: [Trouble; 13] = [
    Trouble::None,
    Trouble::Cut(Cut::Reset),
    Trouble::Cut(Cut::Close),
    Trouble::Deaf,
    Trouble::Deaf,
    Trouble::Hangs,
    Trouble::Delayed(20),
    Trouble::Delayed(150),
    Trouble::Refused,
    Trouble::HalfOpen,
    Trouble::CutWithin(700),
    Trouble::Stopped,
    Trouble::Restarted,
];

/// A Seawall, and its way to Redis.
type Wall = (Daemon, <RedisServer as Behind>::Way);

/// The three of them, and what has happened so far.
struct Sea {
    walls: Vec<Wall>,
    redis: RedisServer,
    field: Field,
    rng: SmallRng,
    seed: u64,
    ops: Vec<Op>,
    /// Of each server.
    ticks: Vec<Ticks>,
    buoy: u64,
    _ports: Vec<Port>,
}

impl Sea {
    fn start(seed: u64, settings: impl Fn(Setup) -> Setup) -> Option<Self> {
        let redis = RedisServer::listening(&["--appendonly", "yes", "--appendfsync", "no"])?;
        redis.connect();
        let (ports, walls): (Vec<Port>, Vec<_>) = [("through", 1), ("behind", 2)]
            .map(|(write, shards)| {
                let (port, way) = (Port::reserve(), redis.way());
                let setup = RedisServer::kind(Setup::new())
                    .with("server.bind", &format!(r#"["{}"]"#, port.address()))
                    .with("redis.url", &format!(r#""redis://{}""#, way.address()))
                    .with("redis.write", &format!("{write:?}"))
                    .with("cache.shards", &shards.to_string());
                (port, (settings(setup).start(), way))
            })
            .into_iter()
            .unzip();
        // Until the first word from Redis nobody waits for it.
        walls.iter().for_each(|(daemon, _)| wait_in_step(&mut daemon.connect()));
        let addresses: Vec<_> = ports.iter().map(Port::address).collect();
        let servers = redis.servers();
        let field = Field::new(&addresses, &servers, |key| redis.owner(key));
        let (ops, ticks) = (Vec::new(), vec![Ticks::new(); servers.len()]);
        let rng = SmallRng::seed_from_u64(seed);
        Some(Self { walls, redis, field, rng, seed, ops, ticks, buoy: 0, _ports: ports })
    }

    /// One round of traffic with trouble in its middle; then all three are compared.
    fn round(&mut self, number: u64, trouble: Trouble) {
        // One, the other, or both.
        let struck = self.rng.random_range(1..4_usize);
        let struck: Vec<usize> = (0..2).filter(|wall| struck >> wall & 1 == 1).collect();
        println!("round {number}: {trouble:?}, {struck:?}");
        self.field.set_stop(false);
        let (field, seed) = (&self.field, self.seed ^ number << 20);
        let (walls, redis, ticks) = (&mut self.walls, &mut self.redis, &mut self.ticks);
        let logs: Vec<Vec<Op>> = std::thread::scope(|scope| {
            for (server, ticks) in ticks.iter_mut().enumerate() {
                scope.spawn(move || field.tick(server, ticks));
            }
            let places = [Place::Wall(0), Place::Wall(1)];
            let mut clients: Vec<_> = places
                .into_iter()
                .flat_map(|place| (0..CLIENTS).map(move |n| (place, n)))
                .map(|(place, n)| scope.spawn(move || field.play(place, n, seed)))
                .collect();
            clients.push(scope.spawn(move || field.play(Place::Redis, 0, seed)));
            stretch(field);
            begin(trouble, &struck, walls, redis, field);
            stretch(field);
            end(trouble, &struck, walls, redis);
            stretch(field);
            field.set_stop(true);
            clients.into_iter().map(|client| client.join().expect("a client's calls")).collect()
        });
        self.ops.extend(logs.into_iter().flatten());
        self.converge();
    }

    /// Waits until Redis has what was written anywhere, and everybody has heard of it.
    fn converge(&mut self) {
        for (daemon, _) in &self.walls {
            wait_in_step(&mut daemon.connect());
        }
        for attempt in 0.. {
            self.hear_all();
            let differ = self.differences();
            if differ.is_empty() {
                return;
            }
            // A buoy that nobody had in memory was not heard of, but asked for.
            assert!(attempt < 3, "they differ when all is over: {differ:#?}");
        }
    }

    /// Waits until what has been announced so far was heard everywhere.
    fn hear_all(&mut self) {
        let mut redis = self.redis.connect();
        for (daemon, _) in &self.walls {
            let mut client = daemon.connect();
            for buoy in (0..BUOYS).map(|n| format!("buoy{n}")) {
                let mut moved = |client: &mut Raw| {
                    self.buoy += 1;
                    let value = self.buoy.to_string();
                    assert_eq!(redis.call(&["SET", &buoy, &value]), Reply::ok());
                    wait_until("a change is heard of", || {
                        client.call(&["GET", &buoy]) == Reply::bulk(&value)
                    });
                };
                // Once to have it in memory, and once to be told.
                moved(&mut client);
                assert!(!client.call(&["GET", &buoy]).is_error());
                moved(&mut client);
            }
        }
    }

    fn differences(&self) -> Vec<String> {
        let there = held(&mut self.redis.connect());
        let mut differ = Vec::new();
        for (wall, (daemon, _)) in self.walls.iter().enumerate() {
            let here = held(&mut daemon.connect());
            let pairs = here.into_iter().zip(&there).enumerate();
            differ.extend(pairs.filter(|(_, (here, there))| !same(here, there)).map(
                |(key, (here, there))| {
                    format!("{}: wall {wall} has {here:?}, Redis {there:?}", name(key))
                },
            ));
        }
        differ
    }

    /// What was seen is what may have been seen.
    fn judge(&self, terms: Terms) {
        let owners: Vec<usize> = (0..KEYS).map(|key| self.redis.owner(&name(key))).collect();
        for (n, (server, ticks)) in self.redis.servers().iter().zip(&self.ticks).enumerate() {
            // Each server has an order of its own.
            let ops: Vec<Op> = self.ops.iter().filter(|op| owners[op.key] == n).copied().collect();
            judge(&ops, &Truth::read(server.dir()), ticks, terms);
        }
    }
}

/// What was seen of one server's keys is what may have been seen.
fn judge(ops: &[Op], truth: &Truth, ticks: &Ticks, terms: Terms) {
    let findings = check(ops, truth, ticks, terms);
    println!(
        "{} calls, {} reads; {} of something replaced already, up to {} µs ago",
        ops.len(),
        findings.reads,
        findings.stale,
        findings.oldest,
    );
    if let Some((key, _)) = findings.violations.first() {
        let first: Vec<&String> =
            findings.violations.iter().take(8).map(|(_, what)| what).collect();
        let story = story(*key, ops, truth, ticks);
        panic!("{}: {first:#?}\n{}:\n{story}", findings.violations.len(), name(*key));
    }
}

/// Value and time to live of every key.
fn held(client: &mut Raw) -> Vec<(Reply, i64)> {
    for key in (0..KEYS).map(name) {
        client.send(&["GET", &key]);
        client.send(&["PTTL", &key]);
    }
    (0..KEYS).map(|_| (client.receive(), client.receive().int())).collect()
}

fn same(a: &(Reply, i64), b: &(Reply, i64)) -> bool {
    a.0 == b.0 && (a.1 < 0) == (b.1 < 0) && a.1.abs_diff(b.1) <= CLOSE_MS.unsigned_abs()
}

/// Lets the clients go on for a while.
fn stretch(field: &Field) {
    let (goal, begun) = (field.answers() + STRETCH, Instant::now());
    while field.answers() < goal && begun.elapsed() < STRETCH_TIME {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Ends the connections that tell of changes.
fn deafen(server: &Server) {
    let mut client = server.connect();
    for line in client.run("CLIENT LIST").text().lines() {
        let mut words = line.split(' ');
        let id = words.next().and_then(|word| word.strip_prefix("id="));
        if words.any(|word| word.starts_with("flags=") && word.contains('B')) {
            client.run(&format!("CLIENT KILL ID {}", id.expect("an id")));
        }
    }
}

fn begin(
    trouble: Trouble,
    struck: &[usize],
    walls: &mut [Wall],
    redis: &mut RedisServer,
    field: &Field,
) {
    match trouble {
        Trouble::Deaf => {
            return redis.servers().into_iter().for_each(deafen);
        }
        Trouble::Stopped => return redis.pause(),
        Trouble::Restarted => return redis.kill(),
        _ => {}
    }
    for wall in struck {
        let (daemon, proxy) = &mut walls[*wall];
        match trouble {
            Trouble::Cut(how) => proxy.cut(how),
            Trouble::Hangs => proxy.hang(),
            Trouble::Delayed(ms) => proxy.replies(Flow::Delay(Duration::from_millis(ms))),
            Trouble::Refused => {
                proxy.door(Door::Refused);
                proxy.cut(Cut::Reset);
            }
            Trouble::HalfOpen => proxy.requests(Flow::Lose),
            Trouble::CutWithin(bytes) => proxy.replies(Flow::CutAfter(bytes, Cut::Reset)),
            Trouble::Killed => {
                daemon.kill();
                field.died(*wall);
                daemon.restart();
            }
            Trouble::None | Trouble::Deaf | Trouble::Stopped | Trouble::Restarted => {}
        }
    }
}

fn end(trouble: Trouble, struck: &[usize], walls: &mut [Wall], redis: &mut RedisServer) {
    match trouble {
        Trouble::Stopped => redis.resume(),
        Trouble::Restarted => redis.restart(),
        _ => {}
    }
    for wall in struck {
        let proxy = &walls[*wall].1;
        proxy.heal();
        if matches!(trouble, Trouble::HalfOpen) {
            proxy.cut(Cut::Reset);
        }
    }
}

fn terms(well: bool) -> Terms {
    Terms { well, bound: BOUND, through: well.then_some(0) }
}

#[test]
fn two_seawalls_before_a_redis_that_is_well_show_nothing_that_they_may_not() {
    let Some(mut sea) = Sea::start(seed(), |setup| {
        // Nobody gives up on however busy a machine.
        setup
            .with("redis.timeout", r#""20s""#)
            .with("redis.connect_timeout", r#""20s""#)
            .with("redis.soft_timeout", r#""15s""#)
    }) else {
        return;
    };
    for number in 0..setting("SEAWALL_COHERENCE_ROUNDS", 3) {
        sea.round(number, Trouble::None);
    }
    sea.judge(terms(true));
}

#[test]
fn two_seawalls_in_trouble_show_nothing_that_they_may_not_and_agree_when_it_is_over() {
    let Some(mut sea) = Sea::start(seed(), |setup| {
        setup
            .with("redis.timeout", r#""200ms""#)
            .with("redis.connect_timeout", r#""200ms""#)
            .with("redis.ping_every", r#""50ms""#)
            .with("redis.breaker_cool_down", r#""50ms""#)
            .with("redis.breaker_max_cool_down", r#""100ms""#)
    }) else {
        return;
    };
    let rounds = setting("SEAWALL_COHERENCE_ROUNDS", 3);
    for number in 0..rounds {
        let trouble = *TROUBLES.choose(&mut sea.rng).expect("some");
        sea.round(number, trouble);
    }
    sea.round(rounds, Trouble::Killed);
    sea.judge(terms(false));
}
