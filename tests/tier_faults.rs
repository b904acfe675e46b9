//! Every bad neighbour that a Redis behind the daemon can be: a real redis-server, and between the
//! two a proxy that does to their connections what networks and servers in trouble do.

use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::support::certificates::{Authority, Pair};
use crate::support::proxy::{Cut, Door, Flow, To};
use crate::support::redis::RedisServer;
use crate::support::tier::certified::Certified;
use crate::support::tier::traffic::{Summary, Traffic};
use crate::support::tier::{CONNECTIONS, LEAD, TIMEOUT, Tier};
use crate::support::{Raw, Reply, seed, setting, wait_until};

/// By then the breaker is open, where the machine adds nothing.
const OPENS_WITHIN: Duration = Duration::from_secs(1);

/// So little is never the tier's fault.
const USUAL: Duration = Duration::from_millis(5);
/// What other tests on the same machine may add to one wait.
const NOISE: Duration = Duration::from_millis(50);

/// Trouble that no link lives through, under load: the breaker opens in time, lets Redis see one
/// trial at a time while it lasts, and closes when it is over. Nobody is told anything wrong, or
/// waits for longer than he may, and what is in memory is served as if nothing was the matter.
/// The test's own connection to Redis goes past the proxy.
#[track_caller]
fn trouble(
    mut tier: Tier,
    begin: impl FnOnce(&mut Tier, &mut Raw),
    end: impl FnOnce(&mut Tier, &mut Raw),
) -> Aftermath {
    let mut redis = tier.redis.connect();
    let address = tier.daemon.resp();
    Traffic::prepare(address, &mut redis);
    let held = tier.daemon.events(LEAD, "held");
    let recovered = tier.daemon.events(LEAD, "recovered");

    let traffic = Traffic::start(address);
    traffic.wait_for(50);
    let begun = Instant::now();
    begin(&mut tier, &mut redis);
    wait_until("the breaker opens", || tier.daemon.events(LEAD, "held") > held);
    let opened = begun.elapsed();
    wait_until("only trials are connected", || tier.proxy.counts().open <= 1);
    let trials = tier.daemon.events(LEAD, "trial");
    tier.proxy.forget();
    wait_until("trials go on", || tier.daemon.events(LEAD, "trial") >= trials + 4);
    traffic.wait_for(200);
    let counts = tier.proxy.counts();
    let trials = tier.daemon.events(LEAD, "trial") - trials;
    // Not how many are open at a time: on a busy machine the end of one is seen after the next has begun.
    // One was under way in the beginning, and the line about another may be on its way.
    assert!(counts.total <= trials as u64 + 2, "more than the {trials} trials connect: {counts:?}");
    end(&mut tier, &mut redis);
    wait_until("the breaker closes", || tier.daemon.events(LEAD, "recovered") > recovered);
    tier.wait_linked();
    let during = traffic.finish();
    // Opening it takes several waits, one after the other.
    let allowed = OPENS_WITHIN + during.control.longest() * 4;
    assert!(opened < allowed, "the breaker opened after {opened:?}, {allowed:?} allowed");
    nobody_waited(&during);
    during.check_written(&mut tier.daemon.connect());
    Aftermath { tier, during }
}

/// After trouble.
struct Aftermath {
    tier: Tier,
    during: Summary,
}

impl Aftermath {
    /// What Redis alone had is found, and what was written is there.
    #[track_caller]
    fn nothing_is_lost(self) {
        self.during.check_cold(self.tier.daemon.resp());
    }
}

/// Requests that may have to ask Redis took no longer than `redis.timeout` and a tenth of it, and
/// hits took as long as ever, but for what the machine adds: that is what reads take that have
/// nothing to do with Redis, at the same time.
#[track_caller]
fn nobody_waited(during: &Summary) {
    no_longer_than_allowed(during);
    let (hit, control) = (during.hot.percentile(90), during.control.percentile(90));
    assert!(hit < control * 2 + USUAL, "nine of ten hits: {hit:?}, without a tier {control:?}");
}

/// The first half of this.
#[track_caller]
pub fn no_longer_than_allowed(during: &Summary) {
    let noise = during.control.longest() * 2 + NOISE;
    let longest = during.cold.longest().max(during.writes.longest());
    assert!(longest < TIMEOUT.mul_f64(1.1) + noise, "{longest:?} with {noise:?} of noise");
}

/// [`trouble`], done by the proxy alone.
#[track_caller]
fn trouble_on_the_way(begin: impl FnOnce(&Tier)) {
    let Some(tier) = Tier::start(&[]) else { return };
    trouble(tier, |tier, _| begin(tier), |tier, _| tier.proxy.heal()).nothing_is_lost();
}

#[test]
fn refused() {
    trouble_on_the_way(|tier| {
        tier.proxy.door(Door::Refused);
        tier.proxy.cut(Cut::Close);
    });
}

#[test]
fn accepted_and_reset() {
    trouble_on_the_way(|tier| {
        tier.proxy.door(Door::Slammed);
        tier.proxy.cut(Cut::Reset);
    });
}

#[test]
fn cut_off_by_the_network() {
    trouble_on_the_way(|tier| {
        tier.proxy.door(Door::Unreachable);
        tier.proxy.requests(Flow::Lose);
        tier.proxy.replies(Flow::Lose);
    });
}

#[test]
fn hanging() {
    let Some(tier) = Tier::start(&[]) else { return };
    trouble(tier, |tier, _| tier.redis.pause(), |tier, _| tier.redis.resume()).nothing_is_lost();
}

#[test]
fn half_open_towards_redis() {
    trouble_on_the_way(|tier| tier.proxy.requests(Flow::Lose));
}

#[test]
fn half_open_towards_the_daemon() {
    trouble_on_the_way(|tier| tier.proxy.replies(Flow::Lose));
}

#[test]
fn slower_than_anybody_waits() {
    trouble_on_the_way(|tier| tier.proxy.replies(Flow::Delay(Duration::from_millis(500))));
}

#[test]
fn one_byte_per_second() {
    trouble_on_the_way(|tier| tier.proxy.replies(Flow::Throttle(1)));
}

#[test]
fn reset_in_mid_reply() {
    trouble_on_the_way(|tier| tier.proxy.replies(Flow::CutAfter(3, Cut::Reset)));
}

#[test]
fn truncated_replies() {
    trouble_on_the_way(|tier| tier.proxy.replies(Flow::CutAfter(3, Cut::Close)));
}

/// Each of these instead of replies; they wait side by side.
#[track_caller]
fn replaced(replies: &[&'static [u8]]) {
    std::thread::scope(|scope| {
        for reply in replies {
            scope.spawn(|| {
                println!("{}", reply.escape_ascii());
                trouble_on_the_way(|tier| tier.proxy.replies(Flow::Replace(reply)));
            });
        }
    });
}

#[test]
fn garbage() {
    replaced(&[b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0\xff\x16\x03\x01", b"*-7\r\n:x\r\n"]);
}

/// RESP, but not what was asked for: a count of replies that is lost shows like this.
#[test]
fn answers_to_other_questions() {
    replaced(&[b"+OK\r\n", b":7\r\n", b"$3\r\nfoo\r\n", b"_\r\n"]);
}

/// Lengths that nobody could hold.
#[test]
fn replies_that_promise_too_much() {
    replaced(&[b"$9223372036854775807\r\nx", b"*9223372036854775807\r\n", b"%2147483647\r\n"]);
}

#[test]
fn loading() {
    trouble_on_the_way(|tier| {
        tier.proxy.answer(To::Any, "-LOADING Redis is loading the dataset in memory", u64::MAX);
    });
}

#[test]
fn a_wrong_password() {
    let Some(tier) = Tier::start(&[]) else { return };
    let password = |redis: &mut Raw, password: &str| {
        assert_eq!(redis.call(&["CONFIG", "SET", "requirepass", password]), Reply::ok());
    };
    trouble(
        tier,
        |tier, redis| {
            password(redis, "secret");
            tier.proxy.cut(Cut::Close);
        },
        |_, redis| password(redis, ""),
    )
    .nothing_is_lost();
}

#[test]
fn a_password_that_is_rotated() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "old\n").expect("written");
    let user = |rule: &str| format!("ACL SETUSER wall on {rule} ~* &* +@all");
    let Some(redis) = RedisServer::listening(&[]) else { return };
    assert_eq!(redis.connect().run(&user(">old")), Reply::ok());
    let tier = Tier::before(redis, |setup, proxy| {
        setup
            .with("redis.url", &format!(r#""redis://wall@{}""#, proxy.address()))
            .with("redis.password_file", &format!("{:?}", file.path()))
    });
    // Both are valid for a while, as one does it, and nobody notices.
    let restarts = |tier: &Tier| tier.daemon.node(LEAD).and_then(|lead| lead["restarts"].as_u64());
    let before = restarts(&tier);
    assert_eq!(tier.redis.connect().run(&user(">new")), Reply::ok());
    std::fs::write(file.path(), "new\n").expect("written");
    assert_eq!(restarts(&tier), before);
    // The new one is what the next connections log in with.
    assert_eq!(tier.redis.connect().run(&user("<old")), Reply::ok());
    // Whether they change over right now, because of the file, or find that they were cut.
    tier.proxy.forget();
    tier.proxy.cut(Cut::Close);
    wait_until("all have connected anew", || tier.proxy.counts().total >= CONNECTIONS);
    tier.wait_linked();
    // The other way round it is trouble until the file is right.
    trouble(
        tier,
        |tier, redis| {
            assert_eq!(redis.run(&user("resetpass >newest")), Reply::ok());
            tier.proxy.cut(Cut::Close);
        },
        |_, _| std::fs::write(file.path(), "newest\n").expect("written"),
    )
    .nothing_is_lost();
}

#[test]
fn too_many_clients() {
    let Some(tier) = Tier::start(&[]) else { return };
    let most = |redis: &mut Raw, n: usize| {
        assert_eq!(redis.run(&format!("CONFIG SET maxclients {n}")), Reply::ok());
    };
    trouble(
        tier,
        |tier, redis| {
            most(redis, 1);
            tier.proxy.cut(Cut::Close);
        },
        |_, redis| most(redis, 100),
    )
    .nothing_is_lost();
}

#[test]
fn killed_and_started_again() {
    let settings = ["--appendonly", "yes", "--appendfsync", "always"];
    let Some(tier) = Tier::start(&settings) else { return };
    trouble(tier, |tier, _| tier.redis.kill(), |tier, _| tier.redis.restart()).nothing_is_lost();
}

#[test]
fn killed_and_started_with_an_empty_data_set() {
    let Some(tier) = Tier::start(&[]) else { return };
    // What Redis alone had is lost.
    trouble(tier, |tier, _| tier.redis.kill(), |tier, _| tier.redis.restart());
}

/// A server with TLS whose certificate turns bad, and good again.
#[track_caller]
fn bad_certificate(bad: impl FnOnce(&Authority) -> Pair) {
    let Some((tier, server)) = Certified::start(bad, &[]) else { return };
    trouble(tier, |tier, redis| server.turn_bad(tier, redis), |_, redis| server.turn_good(redis))
        .nothing_is_lost();
}

#[test]
fn a_certificate_that_has_expired() {
    bad_certificate(|ours| ours.issue_for("server", Duration::ZERO));
}

#[test]
fn a_certificate_of_another_authority() {
    bad_certificate(|_| Authority::new("theirs").issue("server"));
}

#[test]
fn slow_but_within_the_time() {
    let Some(tier) = Tier::start(&[]) else { return };
    let mut redis = tier.redis.connect();
    Traffic::prepare(tier.daemon.resp(), &mut redis);
    tier.proxy.replies(Flow::Delay(Duration::from_millis(50)));
    let during = Traffic::start(tier.daemon.resp());
    during.wait_for(400);
    let during = during.finish();
    nobody_waited(&during);
    assert_eq!(during.nils, 0, "Redis answers");
    assert!(during.cold.percentile(10) >= Duration::from_millis(50), "the delay does nothing");
    assert_eq!(tier.daemon.events(LEAD, "restarting") + tier.daemon.events(LEAD, "held"), 0);
    during.check_cold(tier.daemon.resp());
}

/// What Redis says when it cannot just now, and can a moment later: no client notices.
#[test]
fn a_server_that_cannot_for_a_moment() {
    let Some(tier) = Tier::patient(&[]) else { return };
    let mut redis = tier.redis.connect();
    let mut client = tier.daemon.connect();
    let refusals = [
        "-LOADING Redis is loading the dataset in memory",
        "-READONLY You can't write against a read only replica.",
        "-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
        "-MOVED 866 127.0.0.1:1",
        "-ASK 866 127.0.0.1:1",
        "-CLUSTERDOWN The cluster is down",
        "-TRYAGAIN Multiple keys request during rehashing of slot",
        "-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    ];
    for (n, refusal) in refusals.iter().enumerate() {
        assert_eq!(redis.run(&format!("SET moment:{n} {n}")), Reply::ok());
        tier.proxy.answer(To::Only(&["GET"]), refusal, 1);
        assert_eq!(client.run(&format!("GET moment:{n}")), Reply::bulk(n.to_string()), "{refusal}");
        tier.wait_linked();
    }
}

/// It may refuse to answer PING and serve all the same, as one that cannot save does.
#[test]
fn a_server_that_cannot_save() {
    let Some(tier) = Tier::start(&[]) else { return };
    tier.redis.connect().run("SET k v");
    let misconf = "-MISCONF Redis is configured to save RDB snapshots, but it's unable to persist";
    tier.proxy.answer(To::Only(&["PING"]), misconf, u64::MAX);
    tier.proxy.cut(Cut::Close);
    tier.proxy.forget();
    wait_until("the links are asked", || tier.proxy.counts().of("PING") > 10);
    assert_eq!(tier.daemon.connect().run("GET k"), Reply::bulk("v"));
    assert_eq!(tier.daemon.events(LEAD, "held"), 0);
}

/// One trouble after the other, each for a moment: late, torn and lost replies in every mixture.
/// Nobody gets the answer of another, and in the end everything is there.
#[test]
fn a_storm() {
    let Some(tier) = Tier::start(&[]) else { return };
    let mut rng = SmallRng::seed_from_u64(seed());
    let mut redis = tier.redis.connect();
    let address = tier.daemon.resp();
    Traffic::prepare(address, &mut redis);
    let traffic = Traffic::start(address);
    for _ in 0..setting("SEAWALL_STORM", 40) {
        let loading = "-LOADING Redis is loading the dataset in memory";
        tier.proxy.stir(&mut rng, &[Flow::Hold, Flow::Lose], 200, loading);
        traffic.wait_for(rng.random_range(1..80));
    }
    tier.proxy.heal();
    tier.wait_linked();
    let during = traffic.finish();
    during.check_cold(address);
    during.check_written(&mut tier.daemon.connect());
}

/// Of each client.
const REQUESTS: usize = 200;

/// Many clients with many requests each wait for a Redis that hangs.
#[test]
fn a_crowd_before_a_server_that_hangs() {
    let Some(tier) = Tier::start(&[]) else { return };
    let ask = |client: &mut Raw, who: usize| {
        for n in 0..REQUESTS {
            client.send(&["GET", &format!("nobody:{who}:{n}:{:x>64}", "")]);
        }
    };
    let mut clients: Vec<Raw> = (0..50).map(|_| tier.daemon.connect()).collect();
    let answered = |client: &mut Raw| {
        assert!((0..REQUESTS).all(|_| client.receive() == Reply::Nil));
    };
    // Buffers that stay are there before.
    clients.iter_mut().enumerate().for_each(|(who, client)| ask(client, who));
    clients.iter_mut().for_each(answered);
    let before = tier.daemon.resident_kb();
    tier.redis.pause();
    for round in 1..4 {
        clients.iter_mut().enumerate().for_each(|(who, client)| ask(client, who + 50 * round));
        clients.iter_mut().for_each(answered);
    }
    let grown = tier.daemon.resident_kb().saturating_sub(before);
    assert!(grown < 32 << 10, "{grown} KB for {} requests", clients.len() * REQUESTS);
    tier.redis.resume();
    tier.wait_linked();
}
