//! Writes while Redis, or the way there, is in every kind of trouble: nothing that was
//! acknowledged is lost, nothing is in Redis that nobody wrote or that was overwritten, nobody waits
//! for longer than he may, and in the end Redis and the daemon hold the same, key by key.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::support::proxy::{Cut, Door, Flow, To};
use super::support::redis::RedisServer;
use super::support::redis::behind::Behind;
use super::support::tier::writers::{Done, Writers};
use super::support::tier::{TIMEOUT, Tier};
use super::support::{Raw, Reply, seed, setting, wait_until};
use super::tier_writes::{info, number, setup, wait_equal, wait_in_step};

/// What other tests on the same machine may add to one wait.
const NOISE: Duration = Duration::from_millis(50);
/// What a daemon may take more while writes wait: they wait on disk.
const GROWTH_KB: u64 = 32 << 10;

/// What happens to Redis or the way there. The test's own connection goes past the proxy.
pub type Act<'a> = &'a (dyn Fn(&mut Tier, &mut Raw) + Sync);

/// Trouble, and its end.
pub struct Fault<'a> {
    name: &'static str,
    begin: Act<'a>,
    end: Act<'a>,
    /// Writes do not get through while it lasts.
    stops: bool,
    /// Redis loses nothing of what it had, and can be looked at all the while.
    keeps: bool,
}

/// Trouble that the proxy makes.
fn on_the_way<'a>(name: &'static str, begin: Act<'a>) -> Fault<'a> {
    Fault { name, begin, end: &|tier, _| tier.proxy.heal(), stops: true, keeps: true }
}

/// Trouble that Redis is told to make.
pub fn told<'a>(name: &'static str, begin: Act<'a>, end: Act<'a>) -> Fault<'a> {
    Fault { name, begin, end, stops: true, keeps: true }
}

/// A daemon that answers writes when Redis has them.
pub fn through(redis: RedisServer) -> Tier {
    Tier::with(redis, &[("redis.write", r#""through""#)])
}

/// Writers while a fault lasts, first with one and then with the other `redis.write`.
#[track_caller]
pub fn under(mut tier: Tier, fault: &Fault<'_>, seed: u64) -> (Tier, Done) {
    println!("{}: {seed}", fault.name);
    let (mut c, mut redis) = (tier.daemon.connect(), tier.redis.connect());
    let writers =
        Writers::start(tier.daemon.resp(), seed, fault.keeps.then(|| tier.redis.connect()));
    writers.wait_for(60);
    let before = tier.daemon.resident_kb();
    (fault.begin)(&mut tier, &mut redis);
    if fault.stops {
        wait_until("the outbox has noticed", || {
            ["waiting", "refused"].contains(&info(&mut c, "redis_outbox").as_str())
        });
    }
    writers.wait_for(150);
    let degraded = number(&mut c, "redis_degraded_writes");
    assert!(!fault.stops || degraded > 0, "{}: replies went out without Redis", fault.name);
    tier.daemon.configure("redis.write", r#""behind""#);
    tier.daemon.wait_log("the change", |line| line["key"] == "redis.write");
    writers.wait_for(150);
    (fault.end)(&mut tier, &mut redis);
    writers.wait_for(60);
    let done = writers.finish();
    tier.wait_linked();
    let mut redis = tier.redis.connect();
    wait_equal(&mut c, &mut redis);
    done.check(&mut redis);
    done.check(&mut c);
    let grown = tier.daemon.resident_kb().saturating_sub(before);
    assert!(grown < GROWTH_KB, "{}: {grown} KB more", fault.name);
    // A write that depends on what Redis has may wait for its answer, and then for Redis to have it.
    let noise = done.control.longest() * 2 + NOISE;
    let longest = done.times.longest();
    assert!(longest < TIMEOUT.mul_f64(2.2) + noise, "{}: {longest:?}, {noise:?}", fault.name);
    (tier, done)
}

/// Each of them, side by side.
#[track_caller]
fn each(faults: &[Fault<'_>], redis: &[&str]) {
    let seed = seed();
    std::thread::scope(|scope| {
        for (fault, n) in faults.iter().zip(0..) {
            scope.spawn(move || {
                if let Some(redis) = RedisServer::listening(redis) {
                    under(through(redis), fault, seed + 100 * n);
                }
            });
        }
    });
}

#[test]
fn while_nothing_gets_through() {
    each(
        &[
            on_the_way("refused", &|tier, _| {
                tier.proxy.door(Door::Refused);
                tier.proxy.cut(Cut::Close);
            }),
            on_the_way("cut off by the network", &|tier, _| {
                tier.proxy.door(Door::Unreachable);
                tier.proxy.requests(Flow::Lose);
                tier.proxy.replies(Flow::Lose);
            }),
            on_the_way("half-open towards Redis", &|tier, _| tier.proxy.requests(Flow::Lose)),
            on_the_way("half-open towards the daemon", &|tier, _| tier.proxy.replies(Flow::Lose)),
            on_the_way("held back", &|tier, _| tier.proxy.requests(Flow::Hold)),
        ],
        &[],
    );
}

#[test]
fn while_everything_takes_its_time() {
    each(
        &[
            Fault {
                stops: false,
                ..on_the_way("50 ms", &|tier, _| {
                    tier.proxy.replies(Flow::Delay(Duration::from_millis(50)));
                })
            },
            on_the_way("500 ms", &|tier, _| {
                tier.proxy.replies(Flow::Delay(Duration::from_millis(500)));
            }),
            on_the_way("one byte per second", &|tier, _| tier.proxy.replies(Flow::Throttle(1))),
            on_the_way("one byte per second to Redis", &|tier, _| {
                tier.proxy.requests(Flow::Throttle(1));
            }),
        ],
        &[],
    );
}

#[test]
fn while_replies_and_requests_break_off() {
    each(
        &[
            on_the_way("reset in mid-reply", &|tier, _| {
                tier.proxy.replies(Flow::CutAfter(3, Cut::Reset));
            }),
            on_the_way("truncated", &|tier, _| tier.proxy.replies(Flow::CutAfter(3, Cut::Close))),
            on_the_way("broken off in mid-transaction", &|tier, _| {
                tier.proxy.requests(Flow::CutAfter(400, Cut::Close));
            }),
            on_the_way("garbage", &|tier, _| tier.proxy.replies(Flow::Replace(b"\0\xff\x16\r\n"))),
            on_the_way("answers to other questions", &|tier, _| {
                tier.proxy.replies(Flow::Replace(b"+OK\r\n"));
            }),
        ],
        &[],
    );
}

/// Says one line to Redis.
pub fn say(redis: &mut Raw, line: &str) {
    let words: Vec<&str> = line.split(' ').map(|word| word.trim_matches('"')).collect();
    assert_eq!(redis.call(&words), Reply::ok(), "{line}");
}

#[test]
fn while_redis_refuses() {
    each(
        &[
            on_the_way("LOADING", &|tier, _| {
                tier.proxy.answer(To::Any, "-LOADING Redis is loading the dataset", u64::MAX);
            }),
            told("OOM", &|_, redis| say(redis, "CONFIG SET maxmemory 1"), &|_, redis| {
                say(redis, "CONFIG SET maxmemory 0")
            }),
            told(
                "a wrong password",
                &|tier, redis| {
                    say(redis, "CONFIG SET requirepass secret");
                    tier.proxy.cut(Cut::Close);
                },
                &|_, redis| say(redis, "CONFIG SET requirepass \"\""),
            ),
            told(
                "too many clients",
                &|tier, redis| {
                    say(redis, "CONFIG SET maxclients 1");
                    tier.proxy.cut(Cut::Close);
                },
                &|_, redis| say(redis, "CONFIG SET maxclients 100"),
            ),
        ],
        &[],
    );
}

#[test]
fn while_redis_hangs_or_is_gone() {
    let hangs = told("hanging", &|tier, _| tier.redis.pause(), &|tier, _| tier.redis.resume());
    let dies =
        told("killed, and empty when it comes back", &|tier, _| tier.redis.kill(), &|tier, _| {
            tier.redis.restart()
        });
    each(&[hangs, Fault { keeps: false, ..dies }], &[]);
    let dies = told("killed", &|tier, _| tier.redis.kill(), &|tier, _| tier.redis.restart());
    each(&[Fault { keeps: false, ..dies }], &["--appendonly", "yes", "--appendfsync", "always"]);
}

#[test]
fn while_a_password_is_rotated() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "old\n").expect("written");
    let Some(redis) = RedisServer::listening(&[]) else { return };
    say(&mut redis.connect(), "ACL SETUSER wall on >old ~* &* +@all");
    let tier = Tier::before(redis, |setup, proxy| {
        setup
            .with("redis.url", &format!(r#""redis://wall@{}""#, proxy.address()))
            .with("redis.password_file", &format!("{:?}", file.path()))
            .with("redis.write", r#""through""#)
    });
    // The file has the right one some time after it is the only one.
    let rotate = |tier: &mut Tier, redis: &mut Raw| {
        say(redis, "ACL SETUSER wall resetpass >new");
        tier.proxy.cut(Cut::Close);
    };
    let write = |_: &mut Tier, _: &mut Raw| {
        std::fs::write(file.path(), "new\n").expect("written");
    };
    under(tier, &told("a password that is rotated", &rotate, &write), seed());
}

/// One trouble after the other, each for a moment: late, torn and lost requests and replies in
/// every mixture.
#[test]
fn in_a_storm() {
    let Some(redis) = RedisServer::listening(&[]) else { return };
    let (tier, seed) = (through(redis), seed());
    let mut rng = SmallRng::seed_from_u64(seed);
    let (mut c, mut redis) = (tier.daemon.connect(), tier.redis.connect());
    let writers = Writers::start(tier.daemon.resp(), seed, Some(tier.redis.connect()));
    for _ in 0..setting("SEAWALL_STORM", 40) {
        let read_only = "-READONLY You can't write";
        tier.proxy.stir(&mut rng, &[Flow::Hold, Flow::Hold], 400, read_only);
        writers.wait_for(rng.random_range(1..40));
    }
    tier.proxy.heal();
    writers.wait_for(40);
    let done = writers.finish();
    tier.wait_linked();
    wait_equal(&mut c, &mut redis);
    done.check(&mut redis);
    done.check(&mut c);
}

/// Somebody else empties Redis while everything is in step: that is what he wanted.
#[test]
fn a_redis_that_somebody_flushed_is_not_filled_again() {
    let Some(redis) = RedisServer::listening(&[]) else { return };
    let daemon = setup(&redis).start();
    let (mut c, mut r) = (daemon.connect(), redis.connect());
    (0..100).for_each(|n| drop(c.run(&format!("SET k{n} v"))));
    wait_in_step(&mut c);
    say(&mut r, "FLUSHALL");
    c.run("SET since 1");
    wait_in_step(&mut c);
    assert_eq!(r.run("GET since"), Reply::bulk("1"));
    let held = 1 + RedisServer::SERVERS as i64;
    assert_eq!(r.run("DBSIZE"), Reply::Int(held), "with the marker");
    assert_eq!(number(&mut c, "redis_reconciles"), 0);
}
