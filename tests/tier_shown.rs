//! What people see of the tier: metrics, INFO, /readyz, the tree, the log.

use crate::support::http::get;
use crate::support::proxy::{Cut, Door};
use crate::support::redis::RedisServer;
use crate::support::tier::{LEAD, LINKS, Tier};
use crate::support::{Reply, Setup, wait_until};

#[test]
fn an_outage_is_a_state_with_a_reason_and_is_logged_once() {
    let Some(tier) = Tier::start(&[]) else { return };
    let mut client = tier.daemon.connect();
    let mut info = || client.run("INFO redis").text();
    let fine = info();
    for line in ["redis_configured:1", "redis_state:up", "redis_links:2", "redis_links_up:2"] {
        assert!(fine.lines().any(|l| l == line), "{line} is not in\n{fine}");
    }
    assert_eq!(tier.daemon.events("links", "impaired"), 0, "nothing was ever wrong");

    tier.proxy.door(Door::Refused);
    tier.proxy.cut(Cut::Close);
    wait_until("it is impaired", || tier.daemon.events("links", "impaired") == 1);
    let (code, ready) = get(tier.daemon.admin(), "/readyz");
    assert_eq!(code, 200, "entries are served: {ready}");
    for part in ["\"links\"", "unreachable", "no link to Redis", "the breaker is open"] {
        assert!(ready.contains(part), "{part} is not in {ready}");
    }
    let node = tier.daemon.node("links").expect("the links");
    assert_eq!(node["conditions"][0]["name"], "unreachable");
    assert!(info().contains("redis_links_up:0"));
    assert!(!info().contains("redis_last_trouble:\r"), "it says what happened");
    let mut other = tier.daemon.connect();
    assert!(other.run("INFO seawall").text().contains("degraded_reason_0:"));
    let impaired = "seawall_impaired{path=\"links\",condition=\"unreachable\"} 1";
    wait_until("the metrics show it", || {
        let (_, text) = get(tier.daemon.admin(), "/metrics");
        text.contains(impaired) && text.contains("\nseawall_redis_reachable 0")
    });
    // Commands meanwhile do not add to the log.
    for n in 0..20 {
        other.run(&format!("GET nothing-{n}"));
    }
    assert_eq!(tier.daemon.events("links", "impaired"), 1);

    tier.proxy.heal();
    wait_until("it is well again", || tier.daemon.events("links", "unimpaired") == 1);
    tier.wait_linked();
    let (_, ready) = get(tier.daemon.admin(), "/readyz");
    assert!(!ready.contains("unreachable"), "{ready}");
    assert_eq!(tier.daemon.events("links", "impaired"), 1, "once per change");
}

/// What is said of lives, and of the tree, to whoever has not asked for more.
fn said(log: &str) -> usize {
    let lives = ["tree", "up", "restarting", "held", "trial", "flight"];
    let lives = lives.map(|event| format!(r#""event":"{event}""#));
    let told = log.lines().filter(|line| !line.contains(r#""level":"DEBUG""#));
    told.filter(|line| lives.iter().any(|event| line.contains(event))).count()
}

/// What is tried again and fails again is no news; that it is over is some.
#[test]
fn a_long_outage_is_told_when_it_begins_and_when_it_ends() {
    let Some(mut tier) = Tier::start(&[]) else { return };
    tier.proxy.door(Door::Refused);
    tier.proxy.cut(Cut::Close);
    let trials = |tier: &Tier| tier.daemon.events(LEAD, "trial");
    wait_until("the breaker is open for a while", || trials(&tier) >= 6);
    assert!(said(&tier.daemon.log_text()) > 0);
    let (before, tried) = (said(&tier.daemon.log_text()), trials(&tier));
    wait_until("trials go on", || trials(&tier) >= tried + 6);
    let more = said(&tier.daemon.log_text()) - before;
    assert!(more <= 2, "{more} lines for 6 trials:\n{}", tier.daemon.log_text());
    // Other links may have been held down before they waited for the lead.
    let words = [&format!(r#""path":"{LEAD}""#), r#""event":"held""#, r#""level":"WARN""#];
    let log = tier.daemon.log_text();
    let told = log.lines().filter(|line| words.iter().all(|word| line.contains(word)));
    assert_eq!(told.count(), 1);
    tier.proxy.heal();
    let over = tier
        .daemon
        .wait_log("it is over", |line| line["event"] == "recovered" && line["path"] == LEAD);
    assert!(over["trials"].as_u64() >= Some(11) && over["held_for"].is_string(), "{over}");
    tier.daemon.wait_log("the tree is shown", |line| line["event"] == "tree");
}

#[test]
fn what_goes_to_redis_is_counted() {
    let Some(tier) = Tier::patient(&[]) else { return };
    let mut redis = tier.redis.connect();
    assert_eq!(redis.run("SET there 1"), Reply::ok());
    let mut client = tier.daemon.connect();
    assert_eq!(client.run("GET there"), Reply::bulk("1"));
    wait_until("the metrics count it", || {
        let (_, text) = get(tier.daemon.admin(), "/metrics");
        let sum = |name: &str| -> f64 {
            let lines = text.lines().filter(|l| l.starts_with(name));
            lines.filter_map(|l| l.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
        };
        sum("seawall_redis_commands_total") >= 1.0
            && sum("seawall_redis_fills_total") >= 1.0
            && sum("seawall_redis_link_up{") >= LINKS as f64
    });
}

/// The quick start of docs/redis-tier.md, on other ports.
#[test]
fn two_seawalls_before_one_redis_share_it_and_outlive_it() {
    for example in ["near-a", "near-b"] {
        let file = format!("{}/config/examples/{example}.toml", env!("CARGO_MANIFEST_DIR"));
        let checked = std::process::Command::new(env!("CARGO_BIN_EXE_seawall"))
            .args(["--config", &file, "check"])
            .output()
            .expect("the binary runs");
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    }
    let Some(mut redis) = RedisServer::listening(&[]) else { return };
    assert_eq!(redis.connect().run("SET greeting hello EX 600"), Reply::ok());
    let url = format!(r#""redis://{}""#, redis.address());
    let near = || Setup::new().with("redis.url", &url).with("redis.timeout", r#""5s""#).start();
    let daemons = [near(), near()];
    let greeting = || {
        for daemon in &daemons {
            assert_eq!(daemon.connect().run("GET greeting"), Reply::bulk("hello"));
        }
    };
    greeting();
    redis.kill();
    for daemon in &daemons {
        wait_until("it is impaired", || daemon.events("links", "impaired") == 1);
    }
    greeting();
    assert_eq!(daemons[0].connect().run("SET visits 1"), Reply::ok());
}
