//! Every bad neighbour that a Redis behind the daemon can be: a real redis-server, and between the
//! two a proxy that does to their connections what networks and servers in trouble do.

use std::time::{Duration, Instant};

use crate::support::certificates::{Authority, Pair};
use crate::support::proxy::{Cut, Door, Flow, To};
use crate::support::redis::RedisServer;
use crate::support::tier::traffic::{Summary, Traffic};
use crate::support::tier::{LEAD, TIMEOUT, Tier};
use crate::support::{Raw, Reply, wait_until};

/// By then the breaker is open.
const OPENS_WITHIN: Duration = Duration::from_secs(1);

/// What an answer from memory may take, where nothing is in its way but other tests.
const USUAL: Duration = Duration::from_millis(20);

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
    let traffic = Traffic::start(address);
    traffic.wait_for(200);
    let before = traffic.finish();
    assert_eq!(before.nils, 0, "Redis was well");
    let held = tier.daemon.events(LEAD, "held");
    let recovered = tier.daemon.events(LEAD, "recovered");

    let traffic = Traffic::start(address);
    traffic.wait_for(50);
    let begun = Instant::now();
    begin(&mut tier, &mut redis);
    wait_until("the breaker opens", || tier.daemon.events(LEAD, "held") > held);
    assert!(begun.elapsed() < OPENS_WITHIN, "after {:?}", begun.elapsed());
    wait_until("only trials are connected", || tier.proxy.counts().open <= 1);
    tier.proxy.forget();
    let trials = tier.daemon.events(LEAD, "trial");
    wait_until("trials go on", || tier.daemon.events(LEAD, "trial") >= trials + 2);
    traffic.wait_for(200);
    let counts = tier.proxy.counts();
    assert!(counts.peak_open <= 1, "more than one trial at a time: {counts:?}");
    end(&mut tier, &mut redis);
    wait_until("the breaker closes", || tier.daemon.events(LEAD, "recovered") > recovered);
    tier.wait_linked();
    let during = traffic.finish();
    nobody_waited(&before, &during);
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
/// what the machine adds; hits took as long as before.
#[track_caller]
fn nobody_waited(before: &Summary, during: &Summary) {
    let noise = during.hot.longest().max(USUAL);
    let longest = during.cold.longest().max(during.writes.longest());
    assert!(longest < TIMEOUT.mul_f64(1.1) + noise, "{longest:?} beside {noise:?} of noise");
    let (was, is) = (before.hot.percentile(90), during.hot.percentile(90));
    assert!(is < (was * 2).max(USUAL), "nine of ten hits: {is:?}, before {was:?}");
}

/// The same, done by the proxy alone.
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
    tier.proxy.cut(Cut::Close);
    wait_until("the links have noticed", || restarts(&tier) > before);
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
    let authority = Authority::new("ours");
    let dir = tempfile::tempdir().expect("a temporary directory");
    let ca = authority.write(dir.path());
    let (good, bad) = (authority.issue("server"), bad(&authority));
    let client = authority.issue("seawall").write(dir.path(), "client");
    let Some(redis) = RedisServer::listening_with_tls(&good, Some(&ca), &[]) else { return };
    let tier = Tier::before(redis, |setup, proxy| {
        setup
            .with("redis.url", &format!(r#""rediss://{}""#, proxy.address()))
            .with("redis.ca_file", &format!("{ca:?}"))
            .with("redis.cert_file", &format!("{:?}", client.0))
            .with("redis.key_file", &format!("{:?}", client.1))
    });
    let show = |redis: &mut Raw, pair: &Pair| {
        let (certificate, key) = pair.write(dir.path(), "server");
        let (certificate, key) = (certificate.to_str(), key.to_str());
        let set = ["CONFIG", "SET", "tls-cert-file", certificate.expect("UTF-8")];
        let set = [&set[..], &["tls-key-file", key.expect("UTF-8")]].concat();
        assert_eq!(redis.call(&set), Reply::ok());
    };
    trouble(
        tier,
        |tier, redis| {
            show(redis, &bad);
            tier.proxy.cut(Cut::Close);
        },
        |_, redis| show(redis, &good),
    )
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
