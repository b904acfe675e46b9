//! A Cluster of masters, each behind a proxy that the others name to clients.

pub mod as_one;

use std::sync::Arc;

use super::super::port::Port;
use super::super::proxy::Proxy;
use super::super::{Raw, Reply, wait_for, wait_until};
use super::RedisServer;
use super::sentinel::Node;

/// Slots of a Cluster.
const SLOTS: u16 = 16384;

pub struct Cluster {
    pub nodes: Vec<Node>,
    /// The nodes' names for each other.
    ids: Vec<String>,
    /// Reserved for what the nodes say to each other.
    _buses: Vec<Port>,
}

impl Cluster {
    /// So many masters share the slots evenly. Returns when each of them takes writes.
    pub fn start(masters: u16) -> Option<Self> {
        Self::start_with(masters, &[])
    }

    /// The same, with settings of each server.
    pub fn start_with(masters: u16, settings: &[&str]) -> Option<Self> {
        let buses: Vec<Port> = (0..masters).map(|_| Port::reserve()).collect();
        let nodes = buses.iter().map(|bus| node(bus, settings)).collect::<Option<Vec<_>>>()?;
        let ids = nodes.iter().map(|node| node.server.connect().run("CLUSTER MYID").text());
        let all = Self { ids: ids.collect(), nodes, _buses: buses };
        let per_node = SLOTS / masters;
        for n in 0..masters {
            let mut client = all.control(usize::from(n));
            let (first, next) = (n * per_node, (n + 1) * per_node);
            let last = if n + 1 == masters { SLOTS - 1 } else { next - 1 };
            ok(&mut client, &format!("CLUSTER SET-CONFIG-EPOCH {}", n + 1));
            ok(&mut client, &format!("CLUSTER ADDSLOTSRANGE {first} {last}"));
            let (port, bus) = (all.nodes[0].proxy.address().port(), all._buses[0].text());
            if n > 0 {
                ok(&mut client, &format!("CLUSTER MEET 127.0.0.1 {port} {bus}"));
            }
        }
        // A node that has slots is well, although it does not know yet who has the others.
        let known = [
            "cluster_state:ok\r\n".to_owned(),
            format!("cluster_slots_ok:{SLOTS}\r\n"),
            format!("cluster_known_nodes:{masters}\r\n"),
        ];
        for n in 0..all.nodes.len() {
            let mut client = all.control(n);
            wait_until("the Cluster takes writes", || {
                let info = client.run("CLUSTER INFO").text();
                known.iter().all(|line| info.contains(line))
            });
        }
        Some(all)
    }

    /// One node more, a replica of this master. Returns its number once it is in step.
    pub fn replicate(&mut self, master: usize) -> usize {
        let bus = Port::reserve();
        let node = node(&bus, &[]).expect("the others run");
        let mut client = node.server.connect();
        let id = client.run("CLUSTER MYID").text();
        let (port, first) = (self.nodes[0].proxy.address().port(), self._buses[0].text());
        ok(&mut client, &format!("CLUSTER MEET 127.0.0.1 {port} {first}"));
        wait_until("it knows its master", || {
            client.run(&format!("CLUSTER REPLICATE {}", self.ids[master])) == Reply::ok()
        });
        wait_until("the replica is in step", || {
            client.run("INFO replication").text().contains("master_link_status:up")
        });
        for other in 0..self.nodes.len() {
            wait_until("everybody knows the replica", || {
                self.control(other).run("CLUSTER NODES").text().contains(&id)
            });
        }
        self.nodes.push(node);
        self.ids.push(id);
        self._buses.push(bus);
        self.nodes.len() - 1
    }

    /// Has a replica take the place of its master, and waits until every node knows.
    pub fn promote(&self, replica: usize) {
        // Asks nobody: an election may come to nothing beside load.
        ok(&mut self.control(replica), "CLUSTER FAILOVER TAKEOVER");
        let id = &self.ids[replica];
        for n in 0..self.nodes.len() {
            wait_until("everybody knows the new master", || {
                let nodes = self.control(n).run("CLUSTER NODES").text();
                let line = nodes.lines().find(|line| line.starts_with(id.as_str()));
                line.is_some_and(|line| line.contains("master"))
            });
        }
    }

    /// The reply of the node that has the key, of those that run, once the Cluster is well.
    #[track_caller]
    pub fn run(&self, line: &str) -> Reply {
        let not_now = |reply: &Reply| {
            let text = if reply.is_error() { reply.text() } else { String::new() };
            ["MOVED", "CLUSTERDOWN"].iter().any(|word| text.starts_with(word))
        };
        wait_for(line, || {
            let running = self.nodes.iter().filter(|node| node.server.is_running());
            running.map(|node| node.server.connect().run(line)).find(|reply| !not_now(reply))
        })
    }

    /// Gives each key to the node that has its slot.
    pub fn fill(&self, pairs: impl Iterator<Item = (String, String)>) {
        let mut nodes: Vec<Raw> = (0..self.nodes.len()).map(|n| self.control(n)).collect();
        for (key, value) in pairs {
            let stored =
                nodes.iter_mut().any(|raw| raw.call(&["SET", &key, &value]) == Reply::ok());
            assert!(stored, "{key}");
        }
    }

    /// A connection to one node that is not the proxy's business.
    pub fn control(&self, node: usize) -> Raw {
        self.nodes[node].server.connect()
    }

    /// The slot of a key, and which node has it.
    pub fn place(&self, key: &str) -> (u16, usize) {
        let slot = self.control(0).run(&format!("CLUSTER KEYSLOT {key}")).int();
        let owner = (0..self.nodes.len()).find(|&n| {
            let ours = self.control(n).run(&format!("CLUSTER COUNTKEYSINSLOT {slot}"));
            let moved = self.control(n).run(&format!("EXISTS {key}")).is_error();
            !ours.is_error() && !moved
        });
        (slot as u16, owner.expect("every slot has an owner"))
    }

    /// Begins to move a slot: who asks the old owner for a key that has moved already hears ASK.
    pub fn begin_move(&self, slot: u16, from: usize, to: usize) {
        let importing = format!("CLUSTER SETSLOT {slot} IMPORTING {}", self.ids[from]);
        ok(&mut self.control(to), &importing);
        let migrating = format!("CLUSTER SETSLOT {slot} MIGRATING {}", self.ids[to]);
        ok(&mut self.control(from), &migrating);
    }

    /// Moves the keys of a slot that is on its way.
    pub fn move_keys(&self, slot: u16, from: usize, to: usize) {
        let mut client = self.control(from);
        let port = self.nodes[to].server.address().port();
        loop {
            let keys = client.run(&format!("CLUSTER GETKEYSINSLOT {slot} 100"));
            if keys.items().is_empty() {
                return;
            }
            for key in keys.items() {
                let moved = client.run(&format!("MIGRATE 127.0.0.1 {port} {} 0 5000", key.text()));
                // It may have expired, or been deleted.
                let gone = Reply::Simple("NOKEY".into());
                assert!([Reply::ok(), gone].contains(&moved), "{moved:?}");
            }
        }
    }

    /// Ends the move: the old owner answers MOVED from now on.
    pub fn end_move(&self, slot: u16, to: usize) {
        let mut order: Vec<usize> = (0..self.nodes.len()).collect();
        // The new owner first: otherwise nobody has the slot for a moment.
        order.sort_by_key(|&n| n != to);
        for n in order {
            let owner = format!("CLUSTER SETSLOT {slot} NODE {}", self.ids[to]);
            ok(&mut self.control(n), &owner);
        }
    }

    /// Moves a slot with its keys.
    pub fn move_slot(&self, slot: u16, from: usize, to: usize) {
        self.begin_move(slot, from, to);
        self.move_keys(slot, from, to);
        self.end_move(slot, to);
    }
}

#[track_caller]
fn ok(client: &mut Raw, line: &str) {
    assert_eq!(client.run(line), Reply::ok(), "{line}");
}

fn node(bus: &Port, settings: &[&str]) -> Option<Node> {
    let (front, bus) = (Port::reserve(), bus.text());
    let announced = front.text();
    let usual = [
        "--cluster-enabled",
        "yes",
        // One that is away takes its own keys along, not those of the others.
        "--cluster-require-full-coverage",
        "no",
        "--repl-diskless-sync-delay",
        "0",
        "--cluster-node-timeout",
        "10000",
        "--cluster-port",
        &bus,
        "--cluster-announce-ip",
        "127.0.0.1",
        "--cluster-announce-port",
        &announced,
        "--cluster-announce-bus-port",
        &bus,
    ];
    let server = RedisServer::listening(&[&usual[..], settings].concat())?;
    server.connect();
    let proxy = Arc::new(Proxy::at(front, server.address()));
    Some(Node { server, proxy })
}
