//! Bad neighbours before a Cluster: all of its nodes, or one of them alone; and what comes late.

use std::collections::BTreeSet;

use super::support::proxy::{Cut, Door, Flow, To};
use super::support::redis::RedisServer;
use super::support::redis::cluster::Cluster;
use super::support::redis::sentinel::Node;
use super::support::tier::traffic::Traffic;
use super::support::tier::{LEAD, TRACKER, Tier};
use super::support::{Daemon, Reply, setting, wait_until};
use super::tier_faults::no_longer_than_allowed;

/// What goes wrong with a node, and how it ends.
struct Fault {
    name: &'static str,
    begin: fn(&Node),
    end: fn(&Node),
}

/// One that the proxy does.
const fn on_the_way(name: &'static str, begin: fn(&Node)) -> Fault {
    Fault { name, begin, end: |node| node.proxy.heal() }
}

/// The first few are tried each time, as many as `SEAWALL_CLUSTER_FAULTS` says.
const FAULTS: [Fault; 6] = [
    Fault { name: "hanging", begin: |node| node.server.pause(), end: |node| node.server.resume() },
    on_the_way("refused", |node| {
        node.proxy.door(Door::Refused);
        node.proxy.cut(Cut::Close);
    }),
    on_the_way("half open", |node| node.proxy.replies(Flow::Lose)),
    on_the_way("reset in mid-reply", |node| node.proxy.replies(Flow::CutAfter(3, Cut::Reset))),
    on_the_way("garbage", |node| node.proxy.replies(Flow::Replace(b"*-7\r\n:x\r\n"))),
    on_the_way("loading", |node| {
        node.proxy.answer(To::Any, "-LOADING Redis is loading the dataset in memory", u64::MAX);
    }),
];

/// A Cluster, and a daemon before it that has a link and hears every node.
fn start() -> Option<(Daemon, Cluster)> {
    let cluster = Cluster::start(3)?;
    let daemon = Tier::setup()
        .with("redis.url", &format!(r#""redis://{}""#, cluster.nodes[0].proxy.address()))
        .with("redis.cluster", "true")
        .start();
    whole(&daemon);
    cluster.fill(Traffic::cold());
    Traffic::warm(daemon.resp());
    Some((daemon, cluster))
}

/// Waits until everything works.
#[track_caller]
fn whole(daemon: &Daemon) {
    let mut client = daemon.connect();
    wait_until("everything works", || {
        let calm = daemon
            .node(TRACKER)
            .is_some_and(|tracker| tracker["conditions"].as_array().is_some_and(Vec::is_empty));
        let tier = client.run("INFO redis").text();
        let writes = client.run("INFO seawall").text();
        calm && tier.contains("redis_links_up:2\r\n")
            && tier.contains("redis_tracking:1\r\n")
            && writes.contains("redis_outbox:in_step\r\n")
            && writes.contains("redis_outbox_lag_records:0\r\n")
    });
}

/// One fault after the other, of these nodes, under load: nobody is told anything wrong, or waits for
/// longer than he may, and in the end everything is there.
#[track_caller]
fn each(nodes: std::ops::Range<usize>) {
    let Some((daemon, cluster)) = start() else { return };
    let some = usize::try_from(setting("SEAWALL_CLUSTER_FAULTS", 1)).unwrap_or(usize::MAX);
    for Fault { name, begin, end } in FAULTS.iter().take(some) {
        println!("{name}");
        let (held, lost) = (daemon.events(LEAD, "held"), daemon.events(TRACKER, "impaired"));
        let traffic = Traffic::start(daemon.resp());
        traffic.wait_for(50);
        cluster.nodes[nodes.clone()].iter().for_each(begin);
        wait_until("it is noticed", || daemon.events(TRACKER, "impaired") > lost);
        if nodes.len() == cluster.nodes.len() {
            wait_until("the breaker opens", || daemon.events(LEAD, "held") > held);
        }
        traffic.wait_for(300);
        cluster.nodes[nodes.clone()].iter().for_each(end);
        whole(&daemon);
        let during = traffic.finish();
        no_longer_than_allowed(&during);
        during.check_written(&mut daemon.connect());
        for (key, value) in &during.written {
            let get = format!("GET {key}");
            wait_until("Redis has it, too", || cluster.run(&get) == Reply::bulk(value));
        }
        during.check_cold(daemon.resp());
    }
}

#[test]
fn a_cluster_in_trouble_as_a_whole() {
    each(0..3);
}

#[test]
fn one_node_of_a_cluster_in_trouble() {
    // The one in redis.url.
    each(0..1);
}

/// The connections at a server that are told of changes: those that writes take.
fn trackers(server: &RedisServer) -> BTreeSet<String> {
    let list = server.connect().run("CLIENT LIST").text();
    let tells = |line: &&str| {
        let flags = line.split(' ').find_map(|field| field.strip_prefix("flags="));
        flags.is_some_and(|flags| flags.contains('B'))
    };
    let ids = list.lines().filter(tells).filter_map(|line| line.split(' ').next());
    ids.map(str::to_owned).collect()
}

/// What was sent over a connection that was given up, or by a daemon that died, arrives after what
/// was sent over the next one.
#[test]
fn a_write_that_comes_late_to_a_cluster_changes_nothing() {
    let Some(cluster) = Cluster::start(3) else { return };
    let url = format!(r#""redis://{}""#, cluster.nodes[0].proxy.address());
    let mut daemon = Tier::setup().with("redis.url", &url).with("redis.cluster", "true").start();
    let Node { server, proxy } = &cluster.nodes[cluster.place("k").1];
    for dies in [false, true] {
        whole(&daemon);
        let mut client = daemon.connect();
        assert_eq!(client.run("MSET k first {k}gone first"), Reply::ok());
        whole(&daemon);
        let before = trackers(server);
        assert_eq!(before.len(), 1, "{before:?}");
        proxy.strand();
        proxy.forget();
        assert_eq!(client.run("MSET k early {k}gone early"), Reply::ok());
        wait_until("it is on its way", || proxy.counts().of("SET") >= 2);
        if dies {
            daemon.kill();
            daemon.restart();
            client = daemon.connect();
        } else {
            wait_until("it is given up", || {
                client.run("INFO seawall").text().contains("redis_outbox:waiting\r\n")
            });
        }
        assert_eq!(client.run("SET k later"), Reply::ok());
        assert_eq!(client.run("DEL {k}gone"), Reply::Int(1));
        whole(&daemon);
        assert_eq!(cluster.run("GET k"), Reply::bulk("later"));
        proxy.heal();
        wait_until("it has arrived, or never will", || trackers(server).is_disjoint(&before));
        assert_eq!(cluster.run("GET k"), Reply::bulk("later"), "dies: {dies}");
        assert_eq!(cluster.run("GET {k}gone"), Reply::Nil, "dies: {dies}");
    }
}
