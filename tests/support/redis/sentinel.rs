//! A master and a replica under the watch of Sentinels, each server behind a proxy that stands for it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::port::Port;
use super::super::proxy::Proxy;
use super::super::{Reply, wait_until};
use super::{REDIS, RedisServer, folder};

/// A server, and the proxy whose address is known as the server's.
pub struct Node {
    pub server: RedisServer,
    pub proxy: Arc<Proxy>,
}

/// By then a failover that was ordered is over, one way or the other.
const GIVEN_UP: Duration = Duration::from_secs(10);

/// What the Sentinels call their master.
pub const NAME: &str = "seawall";

pub struct Sentinels {
    /// The first is the master at the start.
    pub nodes: Vec<Node>,
    pub sentinels: Vec<RedisServer>,
}

impl Sentinels {
    /// A master, a replica and so many Sentinels, of which most have to agree; a master counts as down
    /// after `down_after`. Returns when they know each other.
    pub fn start(sentinels: usize, down_after: Duration) -> Option<Self> {
        let master = node(&[])?;
        let address = master.proxy.address();
        let (host, port) = (address.ip().to_string(), address.port().to_string());
        let replica = node(&["--replicaof", &host, &port])?;
        let quorum = sentinels / 2 + 1;
        let watch = (0..sentinels).map(|_| sentinel(address, quorum, down_after));
        let all = Self { nodes: vec![master, replica], sentinels: watch.collect::<Option<_>>()? };
        all.wait_for_replica(1);
        for sentinel in &all.sentinels {
            let mut client = sentinel.connect();
            // They look every ten seconds otherwise. What a replica says of itself counts for three
            // times `info-period`, while its master is down for five times `ping-period`, and is
            // asked for once a second then.
            let often = "info-period 1000 ping-period 500 ask-period 200 publish-period 200";
            assert_eq!(client.run(&format!("SENTINEL DEBUG {often}")), Reply::ok());
            wait_until("a Sentinel knows the others", || {
                client.run(&format!("SENTINEL REPLICAS {NAME}")).items().len() == 1
                    && client.run(&format!("SENTINEL SENTINELS {NAME}")).items().len()
                        == sentinels - 1
            });
        }
        Some(all)
    }

    /// Where the Sentinels listen.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sentinels.iter().map(RedisServer::address).collect()
    }

    /// Which node the first Sentinel takes for the master.
    pub fn master(&self) -> Option<usize> {
        let mut client = self.sentinels[0].connect();
        let reply = client.run(&format!("SENTINEL GET-MASTER-ADDR-BY-NAME {NAME}"));
        let Reply::Array(words) = reply else { return None };
        let port: u16 = words.get(1)?.text().parse().ok()?;
        self.nodes.iter().position(|node| node.proxy.address().port() == port)
    }

    /// Has the master execute this, which may happen twice; returns when the replica has it, too.
    pub fn write(&self, line: &str) {
        wait_until("both nodes have a write", || {
            let Some(master) = self.master() else { return false };
            // WAIT waits for what came over its own connection.
            let mut client = self.nodes[master].server.connect();
            client.try_run(line).is_ok_and(|reply| !reply.is_error())
                && client.try_run("WAIT 1 5000").is_ok_and(|reply| reply == Reply::Int(1))
        });
    }

    /// Orders a failover, with both servers well, and waits until it is done.
    pub fn fail_over(&self) {
        let old = self.master();
        let mut client = self.sentinels[0].connect();
        let mut ordered = None::<Instant>;
        wait_until("another master is there", || {
            let changed = self.master().is_some_and(|new| Some(new) != old && self.leads(new));
            // One that found no replica fit to be the master just then is not tried again by itself.
            if !changed && ordered.is_none_or(|at| at.elapsed() > GIVEN_UP) {
                let order = client.run(&format!("SENTINEL FAILOVER {NAME}"));
                ordered = (order == Reply::ok()).then(Instant::now);
            }
            changed
        });
    }

    /// Waits until a node is a replica in step with its master.
    pub fn wait_for_replica(&self, node: usize) {
        wait_until("a replica is in step", || {
            // Sentinels end the connections of whom they give another role.
            let info = self.nodes[node].server.connect().try_run("INFO replication");
            info.is_ok_and(|info| {
                let info = info.text();
                info.contains("role:slave") && info.contains("master_link_status:up")
            })
        });
    }

    /// Whether a node takes itself for the master.
    fn leads(&self, node: usize) -> bool {
        let mut client = self.nodes[node].server.connect();
        client.try_run("ROLE").is_ok_and(|role| role.items()[0].text() == "master")
    }
}

fn node(settings: &[&str]) -> Option<Node> {
    let front = Port::reserve();
    let announced = front.text();
    let announce = ["--replica-announce-ip", "127.0.0.1", "--replica-announce-port", &announced];
    let announce = announce.iter().chain(&["--repl-diskless-sync-delay", "0"]);
    let settings: Vec<&str> = announce.chain(settings).copied().collect();
    let server = RedisServer::listening(&settings)?;
    server.connect();
    let proxy = Arc::new(Proxy::at(front, server.address()));
    Some(Node { server, proxy })
}

fn sentinel(master: SocketAddr, quorum: usize, down_after: Duration) -> Option<RedisServer> {
    let (dir, port) = (folder(), Port::reserve());
    let file = dir.path().join("sentinel.conf");
    let lines = format!(
        "port {}\nbind 127.0.0.1\ndir {}\nunixsocket {}\n\
         sentinel monitor {NAME} {} {} {quorum}\n\
         sentinel down-after-milliseconds {NAME} {}\n\
         sentinel failover-timeout {NAME} 3000\n",
        port.text(),
        dir.path().display(),
        dir.path().join("s").display(),
        master.ip(),
        master.port(),
        down_after.as_millis(),
    );
    std::fs::write(&file, lines).expect("the test's folder");
    let arguments = vec![file.to_str().expect("UTF-8").to_owned(), "--sentinel".to_owned()];
    RedisServer { child: None, program: REDIS, arguments, dir, port: Some(port) }.run()
}
