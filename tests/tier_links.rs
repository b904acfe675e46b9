//! The links to a Redis that is well: what is configured is what they do, and changes reach them
//! while they serve.

use crate::support::proxy::{Cut, Door, Proxy};
use crate::support::redis::RedisServer;
use crate::support::tier::{CONNECTIONS, LEAD, LINKS, Tier};
use crate::support::{Raw, Reply, wait_until};

/// Lives of links that ended badly.
fn crashes(tier: &Tier) -> usize {
    (0..LINKS).map(|n| tier.daemon.events(&format!("links/redis-link-{n}"), "restarting")).sum()
}

/// What CLIENT LIST of Redis says of the links: user and database.
fn links(redis: &mut Raw, name: &str) -> Vec<(String, String)> {
    let list = redis.run("CLIENT LIST").text();
    let field = |line: &str, field: &str| {
        line.split(' ').find_map(|word| word.strip_prefix(field)).unwrap_or_default().to_owned()
    };
    list.lines()
        .filter(|line| field(line, "name=") == name)
        .map(|line| (field(line, "user="), field(line, "db=")))
        .collect()
}

#[test]
fn links_have_the_name_the_user_and_the_database_that_are_configured() {
    let Some(redis) = RedisServer::listening(&[]) else { return };
    let mut control = redis.connect();
    assert_eq!(control.run("ACL SETUSER wall on >brick ~* &* +@all"), Reply::ok());
    let mut tier = Tier::before(redis, |setup, proxy| {
        setup
            .with("redis.url", &format!(r#""redis://wall:brick@{}/5""#, proxy.address()))
            .with("redis.client_name", r#""tide""#)
    });
    let expected =
        |user: &str, db: &str| vec![(user.to_owned(), db.to_owned()); CONNECTIONS as usize];
    assert_eq!(links(&mut control, "tide"), expected("wall", "5"));

    // Another user, password, database and name, while it runs.
    assert_eq!(control.run("ACL SETUSER ward on >stone ~* &* +@all"), Reply::ok());
    let url = format!(r#""redis://ward:stone@{}/6""#, tier.proxy.address());
    tier.daemon.configure("redis.client_name", r#""ebb""#);
    tier.daemon.configure("redis.url", &url);
    wait_until("the links are the new ones", || {
        links(&mut control, "ebb") == expected("ward", "6")
            && links(&mut control, "tide").is_empty()
    });

    // One that does not work: what there is stays.
    let url = format!(r#""redis://ward:wood@{}/6""#, tier.proxy.address());
    tier.daemon.configure("redis.url", &url);
    let warning = "no fresh connection to Redis; the old one stays";
    tier.daemon.wait_log(warning, |line| line["message"] == warning);
    assert_eq!(links(&mut control, "ebb"), expected("ward", "6"));
    assert_eq!(crashes(&tier), 0);
    assert!(!tier.daemon.log_text().contains("stone"), "a password in the log");
}

#[test]
fn a_new_address_is_moved_to_without_a_crash() {
    let Some(mut tier) = Tier::start(&[]) else { return };
    let Some(other) = RedisServer::listening(&[]) else { return };
    other.connect();
    let proxy = Proxy::before(other.address());
    tier.daemon.configure("redis.url", &format!(r#""redis://{}""#, proxy.address()));
    wait_until("the links have moved", || {
        tier.proxy.counts().open == 0 && proxy.counts().open == CONNECTIONS
    });
    assert_eq!(crashes(&tier), 0);
}

#[test]
fn old_connections_are_replaced_by_fresh_ones_in_peace() {
    let Some(redis) = RedisServer::listening(&[]) else { return };
    let tier = Tier::before(redis, |setup, proxy| {
        setup
            .with("redis.url", &format!(r#""redis://{}""#, proxy.address()))
            .with("redis.max_age", r#""1s""#)
            // A busy machine is no trouble of Redis'.
            .with("redis.timeout", r#""5s""#)
            .with("redis.connect_timeout", r#""5s""#)
    });
    wait_until("every connection was replaced", || tier.proxy.counts().total >= 2 * CONNECTIONS);
    tier.wait_linked();
    // The old one stays until the fresh one stands.
    assert!(tier.proxy.counts().peak_open <= 2 * CONNECTIONS, "{:?}", tier.proxy.counts());
    assert_eq!(crashes(&tier), 0);
    assert_eq!(tier.daemon.events(LEAD, "held"), 0);
}

#[test]
fn idle_links_are_asked_for_a_sign_of_life() {
    let Some(tier) = Tier::start(&[]) else { return };
    tier.proxy.forget();
    wait_until("each is asked", || tier.proxy.counts().of("PING") >= 3 * LINKS);
    assert_eq!(tier.proxy.counts().total, 0);
}

/// Those that wait are not disturbed, and the next one finds what is configured.
#[test]
fn how_many_commands_may_wait_in_redis_changes_while_some_do() {
    let Some(redis) = RedisServer::listening(&[]) else { return };
    let mut tier = Tier::before(redis, |setup, proxy| {
        let url = format!(r#""redis://{}""#, proxy.address());
        // No link is given up because the machine is busy.
        let patient = setup.with("redis.timeout", r#""10s""#);
        let patient = patient.with("redis.connect_timeout", r#""10s""#);
        patient.with("redis.url", &url).with("redis.blocking_links", "1")
    });
    let mut redis = tier.redis.connect();
    let [mut first, mut second, mut third] = [(); 3].map(|()| tier.daemon.connect());
    let mut changes = 0;
    let mut configure = |tier: &mut Tier, key: &str, n: &str| {
        tier.daemon.configure(key, n);
        changes += 1;
        wait_until("it is changed", || {
            tier.daemon.log_text().matches("setting changed").count() >= changes
        });
    };
    let waiting = |redis: &mut Raw, n: usize| {
        wait_until("they wait in Redis", || {
            redis.run("CLIENT LIST").text().matches("cmd=blpop").count() == n
        });
    };
    first.send(&["BLPOP", "l", "0"]);
    waiting(&mut redis, 1);
    assert!(second.run("BLPOP l 0").is_error());
    configure(&mut tier, "redis.blocking_links", "2");
    second.send(&["BLPOP", "l", "0"]);
    waiting(&mut redis, 2);
    configure(&mut tier, "redis.blocking_links", "0");
    assert!(third.run("BLPOP l 0").is_error());
    configure(&mut tier, "redis.pass_links", "1");
    assert_eq!(third.run("RPUSH l x y"), Reply::Int(2));
    for client in [&mut first, &mut second] {
        assert!(!client.receive().is_error(), "it was there before");
    }
    assert!(first.run("BLPOP l 0").is_error(), "there is no room any more");
    assert_eq!(crashes(&tier), 0);
}

/// Its settings are those of now, for links that were there before as for others.
#[test]
fn the_breaker_changes_while_links_fail() {
    let Some(redis) = RedisServer::listening(&[]) else { return };
    let mut tier = Tier::before(redis, |setup, proxy| {
        let url = format!(r#""redis://{}""#, proxy.address());
        setup.with("redis.url", &url).with("redis.breaker_failures", "100")
    });
    tier.proxy.door(Door::Refused);
    tier.proxy.cut(Cut::Close);
    wait_until("the lead fails", || tier.daemon.events(LEAD, "restarting") >= 3);
    assert_eq!(tier.daemon.events(LEAD, "held"), 0);
    tier.daemon.configure("redis.breaker_failures", "1");
    wait_until("the breaker opens", || tier.daemon.events(LEAD, "held") > 0);
    tier.proxy.heal();
    tier.wait_linked();
}
