//! Redis by Sentinel and as a Cluster: who is asked changes, clients do not notice.

use std::time::Duration;

use super::support::redis::cluster::Cluster;
use super::support::redis::sentinel::{NAME, Sentinels};
use super::support::{Daemon, Reply, Setup, wait_until};

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
    let addresses: Vec<String> =
        redis.addresses().iter().map(|address| format!("{:?}", address.to_string())).collect();
    let sentinels = format!("[{}]", addresses.join(", "));
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

#[test]
fn writes_get_to_every_node_of_a_cluster() {
    let Some(cluster) = Cluster::start(3) else { return };
    let url = format!("redis://{}", cluster.nodes[0].proxy.address());
    let daemon = daemon(&url, &[("redis.cluster", "true")]);
    let mut client = daemon.connect();
    // Of whichever node has it.
    let stored = |key: &str| {
        let mut replies = (0..3).map(|n| cluster.control(n).run(&format!("GET {key}")));
        replies.find(|reply| !reply.is_error()).expect("a node has the slot")
    };
    for n in 0..60 {
        client.run(&format!("SET key{n} {n}"));
    }
    client.run("MSET key0 zero key1 one key2 two");
    client.run("DEL key3");
    wait_until("the last write is there", || stored("key3") == Reply::Nil);
    for n in 4..60 {
        wait_until("every write is there", || {
            stored(&format!("key{n}")) == Reply::bulk(n.to_string())
        });
    }
    assert_eq!(stored("key1"), Reply::bulk("one"));
    client.run("FLUSHALL");
    client.run("SET after v");
    wait_until("what came after the flush is there", || stored("after") == Reply::bulk("v"));
    assert_eq!(stored("key59"), Reply::Nil);
}
