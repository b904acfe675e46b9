//! Clocks of Redis that differ from ours are told, by name where there are several.

use crate::support::proxy::{Cut, To};
use crate::support::redis::RedisServer;
use crate::support::redis::behind::Behind;
use crate::support::redis::cluster::Cluster;
use crate::support::tier::{Tier, Tiered};
use crate::support::wait_until;

const PATIENT: [(&str, &str); 2] =
    [("redis.timeout", r#""10s""#), ("redis.connect_timeout", r#""10s""#)];

/// What is told about clocks, if anything is.
fn told<B: Behind>(tier: &Tiered<B>) -> Option<String> {
    let links = tier.daemon.node("links").expect("the links");
    let conditions = links["conditions"].as_array().expect("conditions");
    let differ = conditions.iter().find(|one| one["name"] == "clocks_differ");
    differ.map(|one| one["reason"].as_str().expect("a reason").to_owned())
}

/// A line of INFO.
fn shown<B: Behind>(tier: &Tiered<B>, name: &str) -> String {
    let info = tier.daemon.connect().run("INFO redis").text();
    let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("{name} in {info}")).to_owned()
}

fn ahead_ms<B: Behind>(tier: &Tiered<B>) -> i64 {
    shown(tier, "redis_clock_ahead_ms").parse().expect("a number")
}

#[test]
fn a_clock_that_differs_is_told() {
    let Some(redis) = RedisServer::listening(&[]) else { return };
    let tier = Tier::before(redis, |setup, proxy| {
        let url = format!("\"redis://{}\"", proxy.address());
        PATIENT
            .iter()
            .fold(setup.with("redis.url", &url), |setup, (key, value)| setup.with(key, value))
            .env("SEAWALL_FAILPOINTS", "clock.wall=return(5000)")
    });
    wait_until("it is told", || told(&tier).is_some_and(|why| why.contains("behind")));
    let ahead = ahead_ms(&tier);
    assert!((-6_000..=-4_000).contains(&ahead), "{ahead}");
    assert_eq!(shown(&tier, "redis_clock_of"), "", "there is one");
}

#[test]
fn the_master_of_a_cluster_whose_clock_differs_is_named() {
    let Some(cluster) = Cluster::start(3) else { return };
    let odd = cluster.nodes[1].proxy.address().to_string();
    let long_ago = "*2\r\n$10\r\n1500000000\r\n$1\r\n0";
    cluster.nodes[1].proxy.answer(To::Only(&["TIME"]), long_ago, u64::MAX);
    let tier = Tiered::with(cluster, &PATIENT);
    let named = format!("{odd}'s clock is");
    wait_until("it is told", || told(&tier).is_some_and(|why| why.starts_with(&named)));
    assert_eq!(shown(&tier, "redis_clock_of"), odd);
    assert!(ahead_ms(&tier) < -100_000_000_000);
    // Somebody has set it, and a fresh connection asks at once.
    tier.proxy.heal();
    tier.proxy.cut(Cut::Reset);
    wait_until("it is over", || told(&tier).is_none());
    assert!(ahead_ms(&tier).abs() < 1_000);
}
