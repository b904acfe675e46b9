//! Clients that write and read, and note what they did.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::super::Raw;
use super::super::raw::encode;
use super::super::redis::RedisServer;
use super::super::redis::cluster::as_one;
use super::super::reply::Reply;
use super::history::{Act, KEYS, Kind, Op, Place, kind, name};
use super::truth::{TICK, Ticks};

/// Clients of each Seawall. Each writes keys of its own, so that writes there have an order.
pub const CLIENTS: usize = 2;
/// Between two bursts of one client, at most, microseconds.
const PACE: u64 = 2_000;
const TICK_EVERY: Duration = Duration::from_millis(1);
/// Times to live are up to so many milliseconds.
const TTL: u64 = 60;

/// A Seawall as its clients see it. Its port stays its own.
struct Wall {
    address: SocketAddr,
    life: AtomicU32,
}

/// One of the servers that are Redis.
struct Server {
    socket: PathBuf,
    /// The key of its ticks, which is one of its own.
    tick: String,
}

/// What all clients share.
pub struct Field {
    begun: Instant,
    walls: Vec<Wall>,
    redis: Vec<Server>,
    ids: AtomicU64,
    answers: AtomicU64,
    stop: AtomicBool,
}

impl Server {
    fn connect(&self) -> io::Result<Raw> {
        Raw::try_unix(&self.socket)
    }
}

impl Field {
    /// `owner` is which of the servers has a key.
    pub fn new(
        walls: &[SocketAddr],
        redis: &[&RedisServer],
        owner: impl Fn(&str) -> usize,
    ) -> Self {
        let wall = |address| Wall { address, life: AtomicU32::new(0) };
        let server = |(n, server): (usize, &&RedisServer)| Server {
            socket: server.dir().join("s"),
            tick: (0..).map(|n| format!("{TICK}{n}")).find(|key| owner(key) == n).expect("one"),
        };
        Self {
            begun: Instant::now(),
            walls: walls.iter().copied().map(wall).collect(),
            redis: redis.iter().enumerate().map(server).collect(),
            ids: AtomicU64::new(1),
            answers: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_micros()).expect("not that long")
    }

    /// A Seawall has died, and is not there again yet.
    pub fn died(&self, wall: usize) {
        self.walls[wall].life.fetch_add(1, Relaxed);
    }

    /// Answers so far.
    pub fn answers(&self) -> u64 {
        self.answers.load(Relaxed)
    }

    /// Clients go on, or end.
    pub fn set_stop(&self, stop: bool) {
        self.stop.store(stop, Relaxed);
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Relaxed)
    }

    fn connect(&self, place: Place) -> io::Result<Raw> {
        match place {
            Place::Redis => {
                let mut servers = self.redis.iter().map(Server::connect);
                match self.redis.len() {
                    1 => servers.next().expect("one"),
                    _ => Ok(as_one::connect(servers.collect::<io::Result<_>>()?)),
                }
            }
            Place::Wall(wall) => Raw::try_tcp(self.walls[wall].address),
        }
    }

    fn life(&self, place: Place) -> u32 {
        match place {
            Place::Redis => 0,
            Place::Wall(wall) => self.walls[wall].life.load(Relaxed),
        }
    }

    /// Writes ticks to one of the servers from this number on, until it is over.
    pub fn tick(&self, server: usize, ticks: &mut Ticks) {
        let (mut raw, server) = (None, &self.redis[server]);
        while self.goes_on() {
            if raw.is_none() {
                raw = server.connect().ok();
            }
            if let Some(redis) = &mut raw {
                let begun = self.now();
                let answer = redis.try_run(&format!("SET {} {}", server.tick, ticks.len()));
                let ended =
                    if matches!(answer, Ok(Reply::Simple(_))) { self.now() } else { u64::MAX };
                ticks.push((begun, ended));
                if answer.is_err() {
                    raw = None;
                }
            }
            std::thread::sleep(TICK_EVERY);
        }
    }

    /// One client's calls, until it is over. `number` is its number at that place.
    pub fn play(&self, place: Place, number: usize, seed: u64) -> Vec<Op> {
        let client = match place {
            Place::Wall(wall) => wall * CLIENTS + number,
            Place::Redis => usize::MAX,
        };
        let mut rng = SmallRng::seed_from_u64(seed ^ (client as u64) << 32);
        let (mut raw, mut ops) = (None, Vec::new());
        while self.goes_on() {
            if raw.is_none() {
                raw = self.connect(place).ok();
            }
            if let Some(connection) = &mut raw {
                let burst: Vec<(usize, Act)> = (0..rng.random_range(1..=4))
                    .filter_map(|_| self.choose(place, number, &mut rng))
                    .collect();
                let op = |life, begun, (key, act)| Op {
                    place,
                    client,
                    life,
                    key,
                    act,
                    begun,
                    ended: None,
                };
                let (life, begun) = (self.life(place), self.now());
                let burst = burst.into_iter().map(|chosen| op(life, begun, chosen)).collect();
                if self.call(connection, burst, &mut ops).is_err() {
                    raw = None;
                }
            }
            std::thread::sleep(Duration::from_micros(rng.random_range(0..PACE)));
        }
        ops
    }

    fn choose(&self, place: Place, number: usize, rng: &mut SmallRng) -> Option<(usize, Act)> {
        let key = rng.random_range(0..KEYS);
        let id = || self.ids.fetch_add(1, Relaxed);
        let writes = match (place, kind(key)) {
            (Place::Redis, Kind::Own(_)) => return None,
            (Place::Redis, _) | (Place::Wall(_), Kind::Counted) => true,
            (Place::Wall(wall), Kind::Own(owner)) if wall != owner => false,
            (Place::Wall(_), _) => key % CLIENTS == number,
        };
        if !writes || (place != Place::Redis && rng.random_ratio(1, 2)) {
            return (place != Place::Redis).then_some((key, Act::Read { seen: None }));
        }
        let ttl = rng.random_range(1..=TTL);
        let act = match kind(key) {
            Kind::Counted => Act::Count { got: None },
            Kind::Timed => Act::Put { id: id(), ttl_ms: Some(ttl) },
            Kind::Leased if rng.random_ratio(1, 3) => Act::Expire { ttl_ms: ttl },
            _ if rng.random_ratio(1, 6) => Act::Delete,
            _ => Act::Put { id: id(), ttl_ms: None },
        };
        Some((key, act))
    }

    /// Sends calls together, and notes them with their answers.
    fn call(&self, raw: &mut Raw, burst: Vec<Op>, ops: &mut Vec<Op>) -> io::Result<()> {
        let bytes: Vec<u8> = burst.iter().flat_map(|op| encode(&words(op))).collect();
        let mut broken = raw.try_send(bytes).err();
        for mut op in burst {
            let reply = match broken {
                None => raw.try_receive().map_err(|error| broken = Some(error)).ok(),
                Some(_) => None,
            };
            let write = !matches!(op.act, Act::Read { .. });
            match reply {
                None => {}
                Some(Reply::Error(text)) => match refused(&text) {
                    true => continue,
                    false => assert!(!write || text.contains("unknown"), "{text}: {op:?}"),
                },
                Some(reply) => {
                    op.ended = Some(self.now());
                    hear(&mut op.act, &reply);
                }
            }
            self.answers.fetch_add(1, Relaxed);
            if write || op.ended.is_some() {
                ops.push(op);
            }
        }
        broken.map_or(Ok(()), Err)
    }
}

fn words(op: &Op) -> Vec<String> {
    let key = name(op.key);
    let line = match op.act {
        Act::Put { id, ttl_ms: None } => format!("SET {key} {id}"),
        Act::Put { id, ttl_ms: Some(ttl) } => format!("SET {key} {id} PX {ttl}"),
        Act::Delete | Act::DeleteNone => format!("DEL {key}"),
        Act::Expire { ttl_ms } => format!("PEXPIRE {key} {ttl_ms}"),
        Act::Count { .. } if op.place == Place::Redis => format!("INCR {key}"),
        Act::Count { .. } => format!("EVAL return(redis.call('INCR',KEYS[1])) 1 {key}"),
        Act::Read { .. } => format!("GET {key}"),
    };
    line.split(' ').map(str::to_owned).collect()
}

/// Whether an error says that nothing was done.
fn refused(text: &str) -> bool {
    // The last is said by a Cluster whose nodes do not know each other again yet.
    let words = ["not applied", "not executed", "LOADING", "no answer", "CLUSTERDOWN"];
    words.iter().any(|word| text.contains(word))
}

fn hear(act: &mut Act, reply: &Reply) {
    match (act, reply) {
        (Act::Read { seen }, Reply::Nil) => *seen = None,
        (Act::Read { seen }, reply) => {
            *seen = Some(reply.text().parse().expect("a value is a number"));
        }
        (act @ Act::Delete, Reply::Int(0)) => *act = Act::DeleteNone,
        (Act::Count { got }, reply) => *got = u64::try_from(reply.int()).ok(),
        _ => {}
    }
}
