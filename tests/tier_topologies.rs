//! Redis by Sentinel and as a Cluster: who is asked changes, clients do not notice.

use std::time::Duration;

use super::support::proxy::{Cut, Door};
use super::support::redis::cluster::Cluster;
use super::support::redis::sentinel::{NAME, Sentinels};
use super::support::tier::{TRACKER, wait_in_step};
use super::support::{Daemon, Raw, Reply, Setup, wait_until};

/// The Sentinels as a setting.
fn addresses(redis: &Sentinels) -> String {
    let addresses = redis.addresses();
    let quoted: Vec<String> =
        addresses.iter().map(|address| format!("{:?}", address.to_string())).collect();
    format!("[{}]", quoted.join(", "))
}

fn daemon(url: &str, more: &[(&str, &str)]) -> Daemon {
    let setup = Setup::new()
        .with("redis.url", &format!("{url:?}"))
        .with("redis.timeout", r#""2s""#)
        .with("redis.connect_timeout", r#""5s""#)
        .with("redis.breaker_cool_down", r#""100ms""#)
        .with("redis.breaker_max_cool_down", r#""200ms""#);
    more.iter().fold(setup, |setup, (key, value)| setup.with(key, value)).start()
}

#[test]
fn sentinels_are_asked_for_the_master_and_again_after_a_failover() {
    let Some(redis) = Sentinels::start(1, Duration::from_secs(3)) else { return };
    let sentinels = addresses(&redis);
    let daemon = daemon(&format!("redis://{NAME}/0"), &[("redis.sentinels", &sentinels)]);
    let mut client = daemon.connect();
    redis.write("SET before v");
    wait_until("the master is asked", || client.run("GET before") == Reply::bulk("v"));
    assert_eq!(client.run("LPUSH list a"), Reply::Int(1));
    // What came before it, both have as well.
    redis.write("SET mark 1");
    redis.fail_over();
    redis.write("SET after w");
    wait_until("the new master is asked", || client.run("GET after") == Reply::bulk("w"));
    wait_until("what it runs is run by it", || client.run("LPUSH list b") == Reply::Int(2));
    // One that dies without an order.
    redis.write("SET last x");
    let master = &redis.nodes[redis.master().expect("there is one")].server;
    master.pause();
    wait_until("the old master is asked again", || client.run("GET last") == Reply::bulk("x"));
    master.resume();
}

/// The old master is not told for long that it is none any more, and takes whatever comes until then.
#[test]
fn a_planned_failover_is_followed_although_the_old_master_takes_everything_still() {
    let Some(redis) = Sentinels::start(1, Duration::from_secs(30)) else { return };
    let mut sentinel = redis.sentinels[0].connect();
    assert_eq!(sentinel.run("SENTINEL DEBUG publish-period 60000"), Reply::ok());
    let sentinels = addresses(&redis);
    let daemon = daemon(&format!("redis://{NAME}/0"), &[("redis.sentinels", &sentinels)]);
    let (mut client, mut waits, mut hears) = (daemon.connect(), daemon.connect(), daemon.connect());
    wait_until("it tracks", || daemon.events(TRACKER, "tracking") > 0);
    let old = &redis.nodes[redis.master().expect("there is one")].server;
    assert_eq!(client.run("SET ours v"), Reply::ok());
    hears.run("SUBSCRIBE news");
    waits.send(&["BLPOP", "nothing", "0"]);
    wait_until("somebody waits there, and somebody listens", || {
        old.connect().run("INFO clients").text().contains("\nblocked_clients:1\r\n")
            && old.connect().run("PUBSUB NUMSUB news").items()[1] == Reply::Int(1)
    });
    wait_in_step(&mut client);
    // What came before it, both have as well: one without a trace of our log would be compared with
    // memory.
    redis.write("SET theirs old");
    wait_until("it is seen", || client.run("GET theirs") == Reply::bulk("old"));
    // Nobody is told anything but what is so, while the failover goes on and behind it.
    let mut last = 0;
    let work = |client: &mut Raw, last: &mut usize| {
        *last += 1;
        assert_eq!(client.run(&format!("SET k{} {last}", *last % 50)), Reply::ok());
        assert!(!client.run(&format!("GET k{}", *last % 7)).is_error());
        assert!(matches!(client.run(&format!("RPUSH list {last}")), Reply::Int(_)));
    };
    std::thread::scope(|threads| {
        let failover = threads.spawn(|| redis.fail_over());
        while !failover.is_finished() {
            work(&mut client, &mut last);
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    let new = &redis.nodes[redis.master().expect("there is one")].server;
    let mut there = new.connect();
    assert_eq!(there.run("SET theirs new"), Reply::ok());
    wait_until("the new master is asked", || {
        work(&mut client, &mut last);
        client.run("GET theirs") == Reply::bulk("new")
    });
    wait_until("what Redis runs goes there", || {
        work(&mut client, &mut last);
        there.run("LINDEX list -1") == Reply::bulk(last.to_string())
    });
    assert_eq!(waits.receive(), Reply::Nil, "as if its time were over");
    wait_until("what is published there is heard", || {
        there.run("PUBLISH news fresh") == Reply::Int(1)
    });
    for n in 0..50.min(last + 1) {
        let value = (0..=last).rev().find(|value| value % 50 == n).expect("there is one");
        let want = if value == 0 { Reply::Nil } else { Reply::bulk(value.to_string()) };
        wait_until("every write is there", || there.run(&format!("GET k{n}")) == want);
    }
    wait_until("nobody is left at the old one", || {
        !old.connect().run("CLIENT LIST").text().contains(" name=seawall")
    });
    assert_eq!(old.connect().run("ROLE").items()[0], Reply::bulk("master"), "never demoted");
    assert_eq!(daemon.events("links/redis-link-0", "restarting"), 0);
}

#[test]
fn sentinels_may_want_a_login_of_their_own() {
    let Some(redis) = Sentinels::start(1, Duration::from_secs(30)) else { return };
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "mortar\n").expect("written");
    let mut sentinel = redis.sentinels[0].connect();
    assert_eq!(sentinel.run("ACL SETUSER wall on >brick ~* &* +@all"), Reply::ok());
    assert_eq!(sentinel.run("ACL SETUSER default off"), Reply::ok());
    redis.nodes[0].server.connect().run("SET k v");
    let sentinels = addresses(&redis);
    let login = [
        ("redis.sentinels", &*sentinels),
        ("redis.sentinel_username", r#""wall""#),
        ("redis.sentinel_password_file", &format!("{:?}", file.path())),
    ];
    let daemon = daemon(&format!("redis://{NAME}/0"), &login);
    let mut client = daemon.connect();
    let info = |client: &mut Raw| client.run("INFO redis").text();
    wait_until("it is said what is wrong", || {
        let info = info(&mut client);
        info.contains("redis_links_up:0") && !info.contains("redis_last_trouble:\r\n")
    });
    assert_eq!(client.run("GET k"), Reply::Nil);
    std::fs::write(file.path(), "brick\n").expect("written");
    wait_until("the master is asked", || client.run("GET k") == Reply::bulk("v"));
    assert!(!daemon.log_text().contains("brick"), "a password in the log");
}

#[test]
fn a_cluster_is_one_tier_whatever_node_has_a_key_and_wherever_its_slot_goes() {
    let Some(cluster) = Cluster::start(3) else { return };
    let url = format!("redis://{}", cluster.nodes[0].proxy.address());
    let daemon = daemon(&url, &[("redis.cluster", "true")]);
    let mut client = daemon.connect();
    let mut owners = [0; 3];
    for n in 0..60 {
        let key = format!("key{n}");
        let (_, owner) = cluster.place(&key);
        owners[owner] += 1;
        assert_eq!(cluster.control(owner).run(&format!("SET {key} {n}")), Reply::ok());
    }
    assert!(owners.iter().all(|keys| *keys > 0), "every node has some: {owners:?}");
    // One question over all nodes.
    let keys: Vec<String> = (0..30).map(|n| format!("key{n}")).collect();
    let all = client.run(&format!("MGET {}", keys.join(" ")));
    let wanted: Vec<Reply> = (0..30).map(|n| Reply::bulk(n.to_string())).collect();
    assert_eq!(all, Reply::Array(wanted));
    // A slot that is on its way, and one that has arrived elsewhere.
    let (slot, from) = cluster.place("key40");
    let to = (from + 1) % 3;
    cluster.begin_move(slot, from, to);
    cluster.move_keys(slot, from, to);
    assert_eq!(client.run("GET key40"), Reply::bulk("40"), "by ASK");
    cluster.end_move(slot, to);
    let (slot, from) = cluster.place("key41");
    cluster.move_slot(slot, from, (from + 1) % 3);
    assert_eq!(client.run("GET key41"), Reply::bulk("41"), "by MOVED");
}

#[test]
fn what_redis_runs_finds_its_node_of_a_cluster() {
    let Some(cluster) = Cluster::start(3) else { return };
    let url = format!("redis://{}", cluster.nodes[0].proxy.address());
    let daemon = daemon(&url, &[("redis.cluster", "true")]);
    let mut client = daemon.connect();
    for n in 0..30 {
        assert_eq!(client.run(&format!("RPUSH list{n} a b")), Reply::Int(2), "{n}");
    }
    for line in ["MULTI", "RPUSH list7 c", "LLEN list7"] {
        client.run(line);
    }
    assert_eq!(client.run("EXEC"), Reply::Array([3, 3].map(Reply::Int).into()));
    let (slot, from) = cluster.place("list8");
    let to = (from + 1) % 3;
    cluster.begin_move(slot, from, to);
    cluster.move_keys(slot, from, to);
    assert_eq!(client.run("LLEN list8"), Reply::Int(2), "by ASK");
    cluster.end_move(slot, to);
    assert_eq!(client.run("LLEN list8"), Reply::Int(2), "by MOVED");
    assert!(client.run("SUNION list1 list2").text().starts_with("CROSSSLOT"));
}

/// Nothing is written to a Cluster at which it can't be ruled out that something comes late.
#[test]
fn a_cluster_whose_clients_may_not_be_listed_gets_nothing_and_that_is_said() {
    let Some(cluster) = Cluster::start(3) else { return };
    let user = |rule: &str| {
        for node in 0..3 {
            let set = format!("ACL SETUSER wall on >brick ~* &* {rule}");
            assert_eq!(cluster.control(node).run(&set), Reply::ok());
        }
    };
    user("+@all -client|list");
    let url = format!("redis://wall:brick@{}", cluster.nodes[0].proxy.address());
    let daemon = daemon(&url, &[("redis.cluster", "true"), ("redis.timeout", r#""10s""#)]);
    let mut client = daemon.connect();
    assert_eq!(client.run("SET k v"), Reply::ok());
    wait_until("it is said", || {
        let info = client.run("INFO seawall").text();
        let reason = info.lines().find(|line| line.starts_with("redis_outbox_reason:"));
        info.contains("redis_outbox:refused\r\n")
            && reason.is_some_and(|why| why.contains("NOPERM") && why.contains("client|list"))
    });
    assert_eq!(cluster.run("GET k"), Reply::Nil);
    user("+client|list");
    wait_until("it gets there", || cluster.run("GET k") == Reply::bulk("v"));
}

/// Each node counts its clients for itself: only the one at which it waits knows it by its number.
#[test]
fn a_command_that_waits_at_a_node_of_a_cluster_is_unblocked_there() {
    let Some(cluster) = Cluster::start(3) else { return };
    let url = format!("redis://{}", cluster.nodes[0].proxy.address());
    let daemon = daemon(&url, &[("redis.cluster", "true"), ("redis.timeout", r#""10s""#)]);
    let (mut client, mut other) = (daemon.connect(), daemon.connect());
    let id = client.run("CLIENT ID").int();
    let waits = |node: usize| {
        cluster.control(node).run("INFO clients").text().contains("\nblocked_clients:1\r\n")
    };
    for node in 0..3 {
        let list = (0..).map(|n| format!("list{n}")).find(|list| cluster.place(list).1 == node);
        client.send(&["BLPOP", &list.expect("one"), "0"]);
        wait_until("it waits in Redis", || waits(node));
        assert_eq!(other.run(&format!("CLIENT UNBLOCK {id} ERROR")), Reply::Int(1));
        assert!(client.receive().text().starts_with("UNBLOCKED"), "{node}");
        wait_until("nobody waits", || !waits(node));
    }
}

#[test]
fn writes_get_to_every_node_of_a_cluster() {
    let Some(cluster) = Cluster::start(3) else { return };
    let url = format!("redis://{}", cluster.nodes[0].proxy.address());
    let daemon = daemon(&url, &[("redis.cluster", "true")]);
    let mut client = daemon.connect();
    for n in 0..60 {
        client.run(&format!("SET key{n} {n}"));
    }
    client.run("MSET key0 zero key1 one key2 two");
    client.run("DEL key3");
    wait_until("the last write is there", || cluster.run("GET key3") == Reply::Nil);
    for n in 4..60 {
        wait_until("every write is there", || {
            cluster.run(&format!("GET key{n}")) == Reply::bulk(n.to_string())
        });
    }
    assert_eq!(cluster.run("GET key1"), Reply::bulk("one"));
    client.run("FLUSHALL");
    client.run("SET after v");
    wait_until("what came after the flush is there", || {
        cluster.run("GET after") == Reply::bulk("v")
    });
    assert_eq!(cluster.run("GET key59"), Reply::Nil);
}

/// A daemon before a Cluster, once it hears what others change on every node.
fn tracking(cluster: &Cluster, more: &[(&str, &str)]) -> Daemon {
    let url = format!("redis://{}", cluster.nodes[0].proxy.address());
    // A machine that stands still for a moment is no node that hangs.
    let usual = [
        ("redis.cluster", "true"),
        ("redis.ping_every", r#""100ms""#),
        ("redis.timeout", r#""10s""#),
        ("redis.connect_timeout", r#""10s""#),
    ];
    let more = [&usual, more].concat();
    let daemon = daemon(&url, &more);
    wait_until("it tracks", || daemon.events(TRACKER, "tracking") > 0);
    daemon
}

/// Why not every change is heard.
fn blind(daemon: &Daemon) -> Option<String> {
    let node = daemon.node(TRACKER)?;
    node["conditions"][0]["reason"].as_str().map(str::to_owned)
}

/// Keys of which every master has some.
const KEYS: usize = 30;

/// Puts keys into memory, which believes them from then on.
#[track_caller]
fn hold(cluster: &Cluster, client: &mut Raw, value: &str) {
    for n in 0..KEYS {
        assert_eq!(cluster.run(&format!("SET k{n} {value}")), Reply::ok());
    }
    seen(client, 0..KEYS, value);
}

/// Nothing goes to any node any more, and nothing comes.
fn cut_off(cluster: &Cluster) {
    for node in &cluster.nodes {
        node.proxy.door(Door::Refused);
        node.proxy.cut(Cut::Reset);
    }
}

/// Waits until reads give this.
#[track_caller]
fn seen(client: &mut Raw, keys: impl Iterator<Item = usize>, value: &str) {
    for n in keys {
        wait_until(&format!("k{n} is {value}"), || {
            client.run(&format!("GET k{n}")) == Reply::bulk(value)
        });
    }
}

#[test]
fn what_others_change_on_any_node_of_a_cluster_is_seen() {
    let Some(cluster) = Cluster::start(3) else { return };
    let daemon = tracking(&cluster, &[]);
    let mut client = daemon.connect();
    for value in ["old", "new", "newer"] {
        hold(&cluster, &mut client, value);
    }
    // A slot that is on its way, and one that has arrived: whoever has it announces.
    let (slot, from) = cluster.place("k7");
    let to = (from + 1) % 3;
    cluster.begin_move(slot, from, to);
    cluster.move_keys(slot, from, to);
    assert_eq!(client.run("GET k7"), Reply::bulk("newer"));
    let mut there = cluster.control(to);
    there.run("ASKING");
    assert_eq!(there.run("SET k7 moving"), Reply::ok());
    seen(&mut client, 7..8, "moving");
    cluster.end_move(slot, to);
    assert_eq!(cluster.run("SET k7 moved"), Reply::ok());
    seen(&mut client, 7..8, "moved");
    // Everything of one node.
    let (_, node) = cluster.place("k3");
    assert_eq!(cluster.control(node).run("FLUSHDB"), Reply::ok());
    wait_until("it is gone", || client.run("GET k3") == Reply::Nil);
    assert_eq!(daemon.events(TRACKER, "impaired"), 0);
}

#[test]
fn our_own_writes_to_a_cluster_are_not_announced_to_us_and_stay_in_memory() {
    let Some(cluster) = Cluster::start(3) else { return };
    let daemon = tracking(&cluster, &[("redis.conflict", r#""newest""#)]);
    let mut client = daemon.connect();
    // Whoever took them for somebody else's would have them win over what is written next.
    for round in 0..20 {
        for n in 0..KEYS {
            client.run(&format!("SET k{n} {round}"));
        }
    }
    for n in 0..KEYS {
        wait_until("the nodes have them", || {
            cluster.run(&format!("GET k{n}")) == Reply::bulk("19")
        });
    }
    // Announced behind whatever its node announced before.
    let mut theirs = Vec::new();
    for node in 0..3 {
        let key = (0..KEYS).find(|n| cluster.place(&format!("k{n}")).1 == node);
        let key = key.expect("every node has some");
        assert_eq!(cluster.run(&format!("SET k{key} theirs")), Reply::ok());
        seen(&mut client, key..key + 1, "theirs");
        theirs.push(key);
    }
    let info = client.run("INFO redis").text();
    assert!(info.contains("redis_announced_keys:3\r\n"), "{info}");
    cluster.nodes.iter().for_each(|node| node.proxy.forget());
    seen(&mut client, (0..KEYS).filter(|n| !theirs.contains(n)), "19");
    let asked: u64 = cluster.nodes.iter().map(|node| node.proxy.counts().of("GET")).sum();
    assert_eq!(asked, 0, "nothing had to be asked for");
}

#[test]
fn a_master_that_is_away_takes_only_its_own_keys_along() {
    let Some(mut cluster) = Cluster::start(3) else { return };
    let daemon = tracking(&cluster, &[]);
    let mut client = daemon.connect();
    hold(&cluster, &mut client, "old");
    // The node in redis.url.
    let away: Vec<bool> = (0..KEYS).map(|n| cluster.place(&format!("k{n}")).1 == 0).collect();
    let (lost, here): (Vec<usize>, Vec<usize>) = (0..KEYS).partition(|n| away[*n]);
    cluster.nodes[0].server.kill();
    let name = cluster.nodes[0].proxy.address().to_string();
    wait_until("it is said which one does not announce", || {
        blind(&daemon).is_some_and(|why| why.contains(&name))
    });
    for n in &here {
        assert_eq!(cluster.run(&format!("SET k{n} new")), Reply::ok());
    }
    seen(&mut client, here.iter().copied(), "new");
    for n in &here {
        assert_eq!(cluster.run(&format!("SET k{n} newer")), Reply::ok());
    }
    seen(&mut client, here.into_iter(), "newer");
    for n in &lost {
        assert_eq!(client.run(&format!("GET k{n}")), Reply::bulk("old"), "memory has it");
    }
    // It comes back, and what it has by then is not what it had.
    let tracked = daemon.events(TRACKER, "tracking");
    cluster.nodes[0].server.restart();
    for n in &lost {
        wait_until("it takes writes", || {
            cluster.control(0).run(&format!("SET k{n} new")) == Reply::ok()
        });
    }
    wait_until("it announces again", || daemon.events(TRACKER, "tracking") > tracked);
    seen(&mut client, lost.iter().copied(), "new");
    for n in &lost {
        assert_eq!(cluster.run(&format!("SET k{n} newer")), Reply::ok());
    }
    seen(&mut client, lost.into_iter(), "newer");
}

/// Nobody told of it, and one master cannot be asked what it has: the others can.
#[test]
fn what_changed_unheard_is_seen_although_a_master_is_away() {
    let Some(mut cluster) = Cluster::start(3) else { return };
    let daemon = tracking(&cluster, &[]);
    let mut client = daemon.connect();
    for n in 0..KEYS {
        assert_eq!(client.run(&format!("SET k{n} ours")), Reply::ok());
    }
    wait_in_step(&mut client);
    cut_off(&cluster);
    wait_until("nothing is heard", || blind(&daemon).is_some());
    for n in 0..KEYS {
        assert_eq!(cluster.run(&format!("SET k{n} theirs")), Reply::ok());
    }
    let away: Vec<bool> = (0..KEYS).map(|n| cluster.place(&format!("k{n}")).1 == 0).collect();
    cluster.nodes[0].server.kill();
    for node in &cluster.nodes {
        node.proxy.door(Door::Open);
    }
    seen(&mut client, (0..KEYS).filter(|n| !away[*n]), "theirs");
    for n in (0..KEYS).filter(|n| away[*n]) {
        assert_eq!(client.run(&format!("GET k{n}")), Reply::bulk("ours"), "memory has it");
    }
}

#[test]
fn a_replica_that_becomes_a_master_is_followed_and_the_first_address_may_go() {
    let Some(mut cluster) = Cluster::start(3) else { return };
    let replica = cluster.replicate(0);
    let daemon = tracking(&cluster, &[]);
    let mut client = daemon.connect();
    hold(&cluster, &mut client, "old");
    let tracked = daemon.events(TRACKER, "tracking");
    cluster.promote(replica);
    wait_until("the new master announces", || daemon.events(TRACKER, "tracking") > tracked);
    hold(&cluster, &mut client, "new");
    for n in 0..KEYS {
        assert_eq!(client.run(&format!("SET k{n} ours")), Reply::ok());
        wait_until("it gets there", || cluster.run(&format!("GET k{n}")) == Reply::bulk("ours"));
    }
    // A write whose acknowledgement is lost is sent again, and goes over what others write meanwhile.
    wait_in_step(&mut client);
    // The node in redis.url is gone for good: the others are known.
    cluster.nodes[0].server.kill();
    for node in &cluster.nodes[1..] {
        node.proxy.cut(Cut::Reset);
    }
    wait_until("the links are back", || {
        let info = client.run("INFO redis").text();
        info.contains("redis_links_up:2") && info.contains("redis_tracking:1")
    });
    for n in 0..KEYS {
        assert_eq!(cluster.run(&format!("SET k{n} last")), Reply::ok());
    }
    seen(&mut client, 0..KEYS, "last");
}

#[test]
fn what_is_named_by_patterns_is_found_on_every_node_of_a_cluster() {
    let Some(cluster) = Cluster::start(3) else { return };
    for n in 0..300 {
        assert_eq!(cluster.run(&format!("SET user:{n} {n}")), Reply::ok());
        assert_eq!(cluster.run(&format!("SET other:{n} {n}")), Reply::ok());
    }
    let mut daemon = tracking(&cluster, &[("redis.warm", r#"["user:*"]"#)]);
    let done = daemon.wait_log("the warm-up is over", |line| {
        line["message"] == "warm-up: everything named is in memory"
    });
    assert_eq!(done["keys"], 300);
    assert_eq!(daemon.connect().run("DBSIZE"), Reply::Int(300));
}

#[test]
fn a_node_of_a_cluster_that_lost_its_data_is_given_it_again() {
    let Some(mut cluster) = Cluster::start(3) else { return };
    let daemon = tracking(&cluster, &[]);
    let mut client = daemon.connect();
    // Each of them: where a single marker would be, and where not.
    for node in 0..3 {
        for n in 0..KEYS {
            assert_eq!(client.run(&format!("SET k{n} {node}")), Reply::ok());
        }
        wait_in_step(&mut client);
        cluster.nodes[node].server.restart();
        for n in 0..KEYS {
            let get = format!("GET k{n}");
            wait_until("it is there again", || cluster.run(&get) == Reply::bulk(node.to_string()));
            assert_eq!(client.run(&get), Reply::bulk(node.to_string()));
        }
        wait_in_step(&mut client);
    }
    let info = client.run("INFO seawall").text();
    assert!(!info.contains("redis_reconciles:0\r\n"), "{info}");
}

/// Without its marker a master looks, over the next connection, as if it had lost its data.
#[test]
fn what_others_flush_on_a_node_of_a_cluster_stays_gone_when_the_connection_breaks_later() {
    let Some(cluster) = Cluster::start(3) else { return };
    let daemon = tracking(&cluster, &[]);
    let mut client = daemon.connect();
    for n in 0..KEYS {
        assert_eq!(client.run(&format!("SET k{n} 1")), Reply::ok());
    }
    wait_in_step(&mut client);
    let marker = |node: usize| {
        let keys = cluster.control(node).run("KEYS seawall:outbox:*");
        keys.items().first().map(Reply::text)
    };
    let takes_away: [fn(&str) -> String; 2] =
        [|marker| format!("DEL {marker}"), |_| "FLUSHALL".into()];
    for (node, take_away) in takes_away.iter().enumerate() {
        let name = marker(node).expect("each master has one");
        assert!(!cluster.control(node).run(&take_away(&name)).is_error());
        wait_until("the marker is there again", || marker(node) == Some(name.clone()));
    }
    let tracked = daemon.events(TRACKER, "tracking");
    cluster.nodes.iter().for_each(|node| node.proxy.cut(Cut::Reset));
    wait_until("there are new connections", || daemon.events(TRACKER, "tracking") > tracked);
    client.run("SET written 2");
    wait_in_step(&mut client);
    let there = cluster.control(1).run("DBSIZE").int() - i64::from(cluster.place("written").1 == 1);
    assert_eq!(there, 1, "the marker alone");
    let info = client.run("INFO seawall").text();
    assert!(info.contains("redis_reconciles:0\r\n"), "{info}");
}

/// Those of a Cluster are known together, and one that is missing says nothing against the others.
#[test]
fn a_marker_that_was_taken_from_a_node_of_a_cluster_while_seawall_was_stopped_undoes_nobodys_writes()
 {
    let Some(cluster) = Cluster::start(3) else { return };
    let mut daemon = tracking(&cluster, &[]);
    let mut client = daemon.connect();
    for n in 0..KEYS {
        assert_eq!(client.run(&format!("SET k{n} ours")), Reply::ok());
    }
    wait_in_step(&mut client);
    daemon.stop();
    let mut control = cluster.control(1);
    let there = control.run("KEYS seawall:outbox:*");
    let marker = there.items().first().expect("each master has one").text();
    assert_eq!(control.run(&format!("DEL {marker}")), Reply::Int(1));
    for n in 0..KEYS {
        assert_eq!(cluster.run(&format!("SET k{n} theirs")), Reply::ok());
    }
    daemon.restart();
    let mut client = daemon.connect();
    wait_in_step(&mut client);
    wait_until("the marker is there again", || control.run(&format!("EXISTS {marker}")).int() == 1);
    for n in 0..KEYS {
        assert_eq!(cluster.run(&format!("GET k{n}")), Reply::bulk("theirs"), "k{n}");
        assert_eq!(client.run(&format!("GET k{n}")), Reply::bulk("theirs"), "k{n}");
    }
    let info = client.run("INFO seawall").text();
    assert!(info.contains("redis_reconciles:0\r\n"), "{info}");
}

/// Everything is compared then, and that a key was deleted only the log says.
#[test]
fn what_was_deleted_before_a_node_of_a_cluster_lost_its_data_is_gone_from_the_others() {
    let Some(mut cluster) = Cluster::start(3) else { return };
    let daemon = tracking(&cluster, &[]);
    let mut client = daemon.connect();
    for n in 0..KEYS {
        assert_eq!(client.run(&format!("SET k{n} old")), Reply::ok());
    }
    wait_in_step(&mut client);
    cut_off(&cluster);
    wait_until("the outbox waits", || {
        client.run("SET noticed 1");
        client.run("INFO seawall").text().contains("redis_outbox:waiting\r\n")
    });
    for n in 0..KEYS {
        match n % 2 {
            0 => assert_eq!(client.run(&format!("DEL k{n}")), Reply::Int(1)),
            _ => assert_eq!(client.run(&format!("SET k{n} new")), Reply::ok()),
        }
    }
    cluster.nodes[0].server.restart();
    cluster.nodes.iter().for_each(|node| node.proxy.heal());
    wait_in_step(&mut client);
    for n in 0..KEYS {
        let due = if n % 2 == 0 { Reply::Nil } else { Reply::bulk("new") };
        assert_eq!(cluster.run(&format!("GET k{n}")), due, "k{n}");
        assert_eq!(client.run(&format!("GET k{n}")), due, "k{n}");
    }
    let info = client.run("INFO seawall").text();
    assert!(info.contains("redis_reconciles:1\r\n"), "{info}");
}
