//! What can be behind a daemon, for tests that are written once for all of it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rand::rngs::SmallRng;

use super::super::proxy::{Counts, Cut, Door, Flow, Proxy, To};
use super::super::{Raw, Setup, wait_until};
use super::RedisServer;
use super::cluster::{Cluster, as_one};

/// One server of what is behind.
pub type Server = RedisServer;

/// One server, or a Cluster.
pub trait Behind: Sized {
    /// What the connections of a daemon pass.
    type Way;
    /// How many servers each of its links leads to.
    const SERVERS: u64;

    /// Starts it, with these settings of each server; `None` without a redis-server.
    fn listening(settings: &[&str]) -> Option<Self>;
    /// One of the kind that has everything on one server, whose replies come to the test to the byte.
    fn alone() -> Option<Self>;
    /// The servers that it consists of.
    fn servers(&self) -> Vec<&RedisServer>;
    /// Which of them has a key.
    fn owner(&self, key: &str) -> usize;
    /// Waits until it serves.
    fn way(&self) -> Self::Way;
    /// Where it begins.
    fn address(way: &Self::Way) -> SocketAddr;
    /// What has passed.
    fn passed(way: &Self::Way) -> Counts;
    /// What a daemon needs to know beside the address.
    fn kind(setup: Setup) -> Setup;
}

impl Behind for RedisServer {
    type Way = Proxy;
    const SERVERS: u64 = 1;

    fn listening(settings: &[&str]) -> Option<Self> {
        Self::listening(settings)
    }

    fn alone() -> Option<Self> {
        Self::listening(&[])
    }

    fn servers(&self) -> Vec<&RedisServer> {
        vec![self]
    }

    fn owner(&self, _key: &str) -> usize {
        0
    }

    fn way(&self) -> Proxy {
        self.connect();
        Proxy::before(self.address())
    }

    fn address(way: &Proxy) -> SocketAddr {
        way.address()
    }

    fn passed(way: &Proxy) -> Counts {
        way.counts()
    }

    fn kind(setup: Setup) -> Setup {
        setup
    }
}

impl RedisServer {
    /// A daemon that has it behind itself.
    pub fn before(&self, setup: Setup) -> Setup {
        setup.with("redis.url", &format!(r#""redis://{}/0""#, self.address()))
    }
}

/// Masters of the Cluster that tests have who know of one server only.
const MASTERS: u16 = 3;

impl Behind for Cluster {
    type Way = Ways;
    const SERVERS: u64 = MASTERS as u64;

    fn listening(settings: &[&str]) -> Option<Self> {
        Self::listening(settings)
    }

    fn alone() -> Option<Self> {
        crate::on_a_cluster::wanted().then(|| Self::start(1))?
    }

    fn servers(&self) -> Vec<&RedisServer> {
        self.nodes.iter().map(|node| &node.server).collect()
    }

    fn owner(&self, key: &str) -> usize {
        self.place(key).1
    }

    fn way(&self) -> Ways {
        Ways(self.nodes.iter().map(|node| Arc::clone(&node.proxy)).collect())
    }

    fn address(ways: &Ways) -> SocketAddr {
        ways.address()
    }

    fn passed(ways: &Ways) -> Counts {
        ways.counts()
    }

    fn kind(setup: Setup) -> Setup {
        setup.with("redis.cluster", "true")
    }
}

/// A Cluster as if it was one server.
impl Cluster {
    /// Three masters, if they are wanted here.
    pub fn listening(settings: &[&str]) -> Option<Self> {
        if !crate::on_a_cluster::wanted() {
            return None;
        }
        Self::start_with(MASTERS, settings)
    }

    /// A daemon that has it behind itself.
    pub fn before(&self, setup: Setup) -> Setup {
        let setup = setup.with("redis.url", &format!(r#""redis://{}""#, self.way().address()));
        Self::kind(setup)
    }

    /// A connection for the test itself, to all of it.
    pub fn connect(&self) -> Raw {
        match &self.nodes[..] {
            [node] => node.server.connect(),
            nodes => as_one::connect(nodes.iter().map(|node| node.server.connect()).collect()),
        }
    }

    /// Where the first one's files are.
    pub fn dir(&self) -> &Path {
        self.nodes[0].server.dir()
    }

    /// All of them stand still.
    pub fn pause(&self) {
        self.nodes.iter().for_each(|node| node.server.pause());
    }

    /// They go on.
    pub fn resume(&self) {
        self.nodes.iter().for_each(|node| node.server.resume());
    }

    /// All of them are gone.
    pub fn kill(&mut self) {
        self.nodes.iter_mut().for_each(|node| node.server.kill());
    }

    /// All of them are started anew, and know each other. Waits until they serve.
    pub fn restart(&mut self) {
        self.kill();
        self.nodes.iter_mut().for_each(|node| node.server.restart());
        for node in 0..self.nodes.len() {
            let mut client = self.control(node);
            wait_until("the Cluster takes writes again", || {
                let info = client.run("CLUSTER INFO").text();
                info.contains("cluster_state:ok\r\n") && info.contains("cluster_slots_ok:16384\r\n")
            });
        }
    }
}

/// The ways to all nodes of a Cluster; what is done to them is done to each.
pub struct Ways(Vec<Arc<Proxy>>);

impl Ways {
    /// Where one of them begins.
    pub fn address(&self) -> SocketAddr {
        self.0[0].address()
    }

    pub fn counts(&self) -> Counts {
        self.0.iter().map(|way| way.counts()).sum()
    }

    pub fn forget(&self) {
        self.0.iter().for_each(|way| way.forget());
    }

    pub fn requests(&self, flow: Flow) {
        self.0.iter().for_each(|way| way.requests(flow.clone()));
    }

    pub fn replies(&self, flow: Flow) {
        self.0.iter().for_each(|way| way.replies(flow.clone()));
    }

    pub fn hang(&self) {
        self.0.iter().for_each(|way| way.hang());
    }

    pub fn door(&self, door: Door) {
        self.0.iter().for_each(|way| way.door(door));
    }

    pub fn deafen(&self) {
        self.0.iter().for_each(|way| way.deafen());
    }

    pub fn cut(&self, how: Cut) {
        self.0.iter().for_each(|way| way.cut(how));
    }

    pub fn answer(&self, to: To, reply: &str, times: u64) {
        self.0.iter().for_each(|way| way.answer(to, reply, times));
    }

    pub fn stir(&self, rng: &mut SmallRng, still: &[Flow; 2], within: u64, refusal: &str) {
        self.0.iter().for_each(|way| way.stir(rng, still, within, refusal));
    }

    pub fn heal(&self) {
        self.0.iter().for_each(|way| way.heal());
    }
}
