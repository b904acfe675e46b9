//! Bad neighbours before a Cluster: all of its nodes, or one of them alone; and what comes late.

use std::collections::BTreeSet;
use std::time::Duration;

use super::support::proxy::{Cut, Door, Flow, To};
use super::support::redis::RedisServer;
use super::support::redis::cluster::Cluster;
use super::support::redis::sentinel::Node;
use super::support::tier::traffic::Traffic;
use super::support::tier::writers::Writers;
use super::support::tier::{LEAD, TRACKER, Tier};
use super::support::{Daemon, Reply, seed, setting, wait_until};
use super::tier_faults::no_longer_than_allowed;

/// How it shows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shows {
    /// No link lives through it.
    Gone,
    /// Writes are refused.
    Refused,
}

/// What goes wrong with nodes, and how it ends.
struct Fault {
    name: &'static str,
    begin: fn(&mut Node),
    end: fn(&mut Node),
    shows: Shows,
    /// They lose nothing of what they had.
    keeps: bool,
}

/// One that keeps everybody away.
const fn gone(name: &'static str, begin: fn(&mut Node), end: fn(&mut Node)) -> Fault {
    Fault { name, begin, end, shows: Shows::Gone, keeps: true }
}

/// One that the proxy does.
const fn on_the_way(name: &'static str, begin: fn(&mut Node)) -> Fault {
    gone(name, begin, |node| node.proxy.heal())
}

/// Says one thing to a node.
fn say(node: &Node, words: &[&str]) {
    assert_eq!(node.server.connect().call(words), Reply::ok(), "{words:?}");
}

/// The first few are tried each time, as many as `SEAWALL_CLUSTER_FAULTS` says.
const FAULTS: [Fault; 12] = [
    gone("hanging", |node| node.server.pause(), |node| node.server.resume()),
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
    on_the_way("500 ms slow", |node| node.proxy.replies(Flow::Delay(Duration::from_millis(500)))),
    on_the_way("one byte per second", |node| node.proxy.replies(Flow::Throttle(1))),
    on_the_way("truncated", |node| node.proxy.replies(Flow::CutAfter(3, Cut::Close))),
    gone(
        "a wrong password",
        |node| {
            say(node, &["CONFIG", "SET", "requirepass", "secret"]);
            node.proxy.cut(Cut::Close);
        },
        |node| {
            let mut control = node.server.connect();
            assert_eq!(control.run("AUTH secret"), Reply::ok());
            assert_eq!(control.call(&["CONFIG", "SET", "requirepass", ""]), Reply::ok());
        },
    ),
    Fault {
        name: "out of memory",
        begin: |node| say(node, &["CONFIG", "SET", "maxmemory", "1"]),
        end: |node| say(node, &["CONFIG", "SET", "maxmemory", "0"]),
        shows: Shows::Refused,
        keeps: true,
    },
    Fault {
        keeps: false,
        ..gone(
            "killed, and empty when it is back",
            |node| node.server.kill(),
            |node| node.server.restart(),
        )
    },
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

/// Waits until everything works, and Redis has what was written so far.
#[track_caller]
fn whole(daemon: &Daemon) {
    works(daemon);
    let mut client = daemon.connect();
    wait_until("Redis has everything", || {
        client.run("INFO seawall").text().contains("redis_outbox_lag_records:0\r\n")
    });
}

/// Waits until everything works.
#[track_caller]
fn works(daemon: &Daemon) {
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
    });
}

/// Clients at work.
struct Load {
    traffic: Traffic,
    writers: Writers,
}

impl Load {
    /// Until each kind has got on by so much.
    #[track_caller]
    fn goes_on(&self, requests: u64) {
        self.traffic.wait_for(3 * requests);
        self.writers.wait_for(requests);
    }
}

/// Something happens to a Cluster under load: nobody is told anything wrong, or waits for longer than
/// he may, nothing is in Redis that nobody wrote or that was overwritten (it is looked at if it `keeps`
/// what it has), and in the end everything is there.
#[track_caller]
fn under(
    daemon: &Daemon,
    cluster: &mut Cluster,
    keeps: bool,
    happens: impl FnOnce(&mut Cluster, &Load),
) {
    let traffic = Traffic::start(daemon.resp());
    let writers = Writers::start(daemon.resp(), seed(), keeps.then(|| cluster.connect()));
    let load = Load { traffic, writers };
    load.goes_on(20);
    happens(cluster, &load);
    works(daemon);
    let (during, done) = (load.traffic.finish(), load.writers.finish());
    whole(daemon);
    no_longer_than_allowed(&during);
    let (mut here, mut there) = (daemon.connect(), cluster.connect());
    during.check_written(&mut here);
    during.check_written(&mut there);
    done.check(&mut here);
    done.check(&mut there);
    done.clear(&mut here);
    whole(daemon);
    if keeps {
        during.check_cold(daemon.resp());
    }
}

/// One fault after the other, of these nodes.
#[track_caller]
fn each(nodes: std::ops::Range<usize>) {
    let Some((daemon, mut cluster)) = start() else { return };
    let some = usize::try_from(setting("SEAWALL_CLUSTER_FAULTS", 1)).unwrap_or(usize::MAX);
    for Fault { name, begin, end, shows, keeps } in FAULTS.iter().take(some) {
        println!("{name}");
        let (held, lost) = (daemon.events(LEAD, "held"), daemon.events(TRACKER, "impaired"));
        under(&daemon, &mut cluster, *keeps, |cluster, load| {
            cluster.nodes[nodes.clone()].iter_mut().for_each(begin);
            wait_until("it is noticed", || match shows {
                Shows::Gone => daemon.events(TRACKER, "impaired") > lost,
                Shows::Refused => {
                    let info = daemon.connect().run("INFO seawall").text();
                    info.contains("redis_outbox:refused\r\n")
                }
            });
            if nodes.len() == cluster.nodes.len() && *shows == Shows::Gone {
                wait_until("the breaker opens", || daemon.events(LEAD, "held") > held);
            }
            load.goes_on(100);
            cluster.nodes[nodes.clone()].iter_mut().for_each(end);
        });
    }
}

/// Their keys are read and written all the while.
#[test]
fn slots_of_a_cluster_that_move_under_load() {
    let Some((daemon, mut cluster)) = start() else { return };
    under(&daemon, &mut cluster, true, |cluster, load| {
        for n in 0..6 {
            let (slot, from) = cluster.place(&format!("w0:{n}"));
            let to = (from + 1) % 3;
            cluster.begin_move(slot, from, to);
            load.goes_on(5);
            cluster.move_keys(slot, from, to);
            load.goes_on(5);
            cluster.end_move(slot, to);
            load.goes_on(5);
        }
    });
}

/// What it had acknowledged and its replica does not have is sent again.
#[test]
fn a_master_of_a_cluster_that_is_replaced_under_load() {
    let Some((daemon, mut cluster)) = start() else { return };
    let replica = cluster.replicate(0);
    under(&daemon, &mut cluster, false, |cluster, load| {
        cluster.promote(replica);
        load.goes_on(50);
    });
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
