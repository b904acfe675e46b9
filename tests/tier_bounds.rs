//! How old what one reads may be, at most, as docs/redis-tier.md promises it: with short times, and room
//! for what a busy machine adds.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::support::proxy::{Cut, Flow};
use super::support::redis::RedisServer;
use super::support::tier::{TIMEOUT, TRACKER, Tier};
use super::support::{Raw, Reply, wait_until};

/// What a busy machine may add, and less than what any of it takes by itself that does not work.
const MARGIN: Duration = Duration::from_secs(3);
const REVALIDATE: Duration = Duration::from_millis(300);
/// `cache.sweep_interval`, as it is by default.
const SWEEP: Duration = Duration::from_millis(100);
const STALE: Duration = Duration::from_secs(1);

fn start(settings: &[(&str, &str)]) -> Option<Tier> {
    Some(Tier::with(RedisServer::listening(&[])?, settings))
}

/// Reads until there is something new. Who asked later than `most` after it was there got it.
#[track_caller]
fn within(what: &str, most: Duration, since: Instant, mut is_new: impl FnMut() -> bool) {
    loop {
        let age = since.elapsed();
        if is_new() {
            return;
        }
        assert!(age <= most, "{what}: what is {age:?} old was served, {most:?} are allowed");
    }
}

fn reads(client: &mut Raw, key: &str, value: &str) -> bool {
    client.run(&format!("GET {key}")) == Reply::bulk(value)
}

/// Somebody else sets a key that is in memory; when Redis had it.
fn replace(redis: &mut Raw, client: &mut Raw, key: &str, value: &str) -> Instant {
    client.run(&format!("GET {key}"));
    assert_eq!(redis.run(&format!("SET {key} {value}")), Reply::ok());
    Instant::now()
}

#[test]
fn what_is_announced_is_seen_at_once_and_after_a_lost_connection_with_the_next() {
    let Some(tier) = start(&[]) else { return };
    let (mut redis, mut client) = (tier.redis.connect(), tier.daemon.connect());
    for round in 0..20 {
        let value = round.to_string();
        let since = replace(&mut redis, &mut client, "k", &value);
        within("it was announced", MARGIN, since, || reads(&mut client, "k", &value));
    }
    for round in 0..3 {
        let value = format!("behind{round}");
        tier.wait_linked();
        tier.proxy.cut(Cut::Reset);
        let since = replace(&mut redis, &mut client, "k", &value);
        within("the connection was lost", MARGIN, since, || reads(&mut client, "k", &value));
    }
}

#[test]
fn what_nobody_announces_is_seen_when_it_is_due_and_nothing_is_served_for_ever_without_redis() {
    let revalidate = format!("{REVALIDATE:?}");
    let Some(tier) = start(&[
        ("redis.revalidate_after", &format!("{revalidate:?}")),
        ("redis.track_prefixes", r#"["tracked:"]"#),
        ("redis.stale_if_error", &format!("{:?}", format!("{STALE:?}"))),
    ]) else {
        return;
    };
    let (mut redis, mut client) = (tier.redis.connect(), tier.daemon.connect());
    for round in 0..3 {
        let value = round.to_string();
        let since = replace(&mut redis, &mut client, "k", &value);
        let most = 2 * REVALIDATE + SWEEP + MARGIN;
        within("it was not announced", most, since, || reads(&mut client, "k", &value));
    }
    wait_until("it is in memory", || reads(&mut client, "k", "2"));
    let since = Instant::now();
    tier.proxy.hang();
    // Asked when it is due, and in vain from then on.
    let most = 2 * REVALIDATE + SWEEP + STALE + TIMEOUT + MARGIN;
    within("Redis does not answer", most, since, || client.run("GET k") == Reply::Nil);
}

/// The connection stands, as far as anybody can see, and nothing comes over it: only a sign of life that
/// is missed tells.
#[test]
fn what_a_tracker_that_died_silently_does_not_hear_is_seen_once_it_has_missed_a_sign_of_life() {
    const PING_EVERY: Duration = Duration::from_millis(300);
    const CONNECT: Duration = Duration::from_millis(500);
    const MOST: Duration = PING_EVERY.saturating_add(TIMEOUT).saturating_add(CONNECT);
    let Some(tier) = start(&[
        ("redis.ping_every", &format!("{:?}", format!("{PING_EVERY:?}"))),
        ("redis.connect_timeout", &format!("{:?}", format!("{CONNECT:?}"))),
        ("redis.revalidate_after", r#""1h""#),
    ]) else {
        return;
    };
    let stop = Arc::new(AtomicBool::new(false));
    // When Redis had which value: their number is where they stand.
    let had = Arc::new(Mutex::new(Vec::new()));
    let writer = {
        let (stop, had, mut redis) = (Arc::clone(&stop), Arc::clone(&had), tier.redis.connect());
        std::thread::spawn(move || {
            for n in 0.. {
                assert_eq!(redis.run(&format!("SET k {n}")), Reply::ok());
                had.lock().expect("nobody panics with it").push(Instant::now());
                if stop.load(SeqCst) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        })
    };
    let mut client = tier.daemon.connect();
    let mut oldest = Duration::ZERO;
    let mut read = || {
        let begun = Instant::now();
        let Reply::Bulk(value) = client.run("GET k") else { return Duration::ZERO };
        let value: usize = String::from_utf8_lossy(&value).parse().expect("a number");
        let next = had.lock().expect("nobody panics with it").get(value + 1).copied();
        // It is as old as what has taken its place, if that was there when it was asked for.
        let age = next.map_or(Duration::ZERO, |next| begun.saturating_duration_since(next));
        assert!(age <= MOST + MARGIN, "what is {age:?} old was served");
        std::thread::sleep(Duration::from_millis(1));
        age
    };
    for _ in 0..2 {
        let tracking = tier.daemon.events(TRACKER, "tracking");
        wait_until("what others write is seen", || {
            (0..10).all(|_| read() < Duration::from_millis(50))
        });
        tier.proxy.deafen();
        wait_until("the next one tracks", || {
            oldest = oldest.max(read());
            tier.daemon.events(TRACKER, "tracking") > tracking
        });
    }
    stop.store(true, SeqCst);
    writer.join().expect("Redis took all");
    assert!(oldest >= TIMEOUT, "{oldest:?}: nobody was deaf");
    let last = had.lock().expect("nobody panics with it").len() - 1;
    within("it is over", MARGIN, Instant::now(), || reads(&mut client, "k", &last.to_string()));
}

/// `redis.timeout` is for all that a command waits for: for an answer first, and then until Redis has what
/// was made of it, or has run the command.
#[test]
fn a_command_that_asks_first_has_one_time_for_everything() {
    const TIMEOUT: Duration = Duration::from_secs(2);
    // Twice as long is too long, and a busy machine has room.
    const AWAY: Duration = Duration::from_millis(1400);
    const MOST: Duration = Duration::from_millis(2650);
    let settings = [
        ("redis.write", r#""through""#),
        ("redis.timeout", r#""2s""#),
        ("redis.connect_timeout", r#""5s""#),
        ("redis.ping_every", r#""1m""#),
    ];
    let Some(tier) = start(&settings) else { return };
    let mut redis = tier.redis.connect();
    redis.run("MSET one 1 two 2 three 3");
    redis.run("RPUSH list a");
    let mut client = tier.daemon.connect();
    tier.proxy.replies(Flow::Delay(AWAY));
    for lines in [
        &["INCR one"][..],
        &["MSETNX two 3 four 4"],
        &["MULTI", "INCR three", "EXEC"],
        &["STRLEN list"],
    ] {
        let begun = Instant::now();
        for line in lines {
            client.run(line);
        }
        let took = begun.elapsed();
        assert!(took < MOST, "{lines:?} took {took:?}, with {TIMEOUT:?} for all of it");
        assert!(took > AWAY, "{lines:?} asked nothing: {took:?}");
    }
}
