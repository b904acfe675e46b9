//! What a proxy is told to do, and what it has seen.

use std::collections::BTreeMap;
use std::iter::Sum;
use std::net::SocketAddr;

use super::flow::{Cut, Flow, To};

/// Names of commands that are counted; there are not more.
const NAMES: usize = 512;

/// A reply that does not come from the server.
struct Script {
    to: To,
    reply: String,
    left: u64,
}

/// What a proxy has seen since it began or was asked to forget.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Connections that clients hold open now, and the most at a time.
    pub open: u64,
    pub peak_open: u64,
    /// Connections accepted, those slammed included.
    pub total: u64,
    /// Bytes written to the server, and to clients.
    pub sent: u64,
    pub received: u64,
    /// Requests that no reply has been handed on for, and the most at a time.
    pub in_flight: u64,
    pub peak_in_flight: u64,
    commands: BTreeMap<String, u64>,
}

/// As if all had been seen by one; peaks are those that are possible.
impl Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |mut sum, one| {
            sum.open += one.open;
            sum.peak_open += one.peak_open;
            sum.total += one.total;
            sum.sent += one.sent;
            sum.received += one.received;
            sum.in_flight += one.in_flight;
            sum.peak_in_flight += one.peak_in_flight;
            for (name, count) in one.commands {
                *sum.commands.entry(name).or_default() += count;
            }
            sum
        })
    }
}

impl Counts {
    /// Requests by a command's name, in capitals: `GET`, `CLIENT TRACKING`.
    pub fn of(&self, name: &str) -> u64 {
        self.commands.get(name).copied().unwrap_or(0)
    }

    fn see(&mut self, (name, second): (&str, &str)) {
        let with_subcommands = [
            "ACL", "CLIENT", "CLUSTER", "COMMAND", "CONFIG", "OBJECT", "PUBSUB", "SCRIPT",
            "SENTINEL",
        ];
        let name = match with_subcommands.contains(&name) {
            true => format!("{name} {second}"),
            false => name.to_owned(),
        };
        if self.commands.len() < NAMES || self.commands.contains_key(&name) {
            *self.commands.entry(name).or_default() += 1;
        }
    }

    pub fn opened(&mut self) {
        self.open += 1;
        self.total += 1;
        self.peak_open = self.peak_open.max(self.open);
    }

    pub fn asked(&mut self) {
        self.in_flight += 1;
        self.peak_in_flight = self.peak_in_flight.max(self.in_flight);
    }
}

pub struct Control {
    pub target: SocketAddr,
    pub slammed: bool,
    pub requests: Flow,
    pub replies: Flow,
    /// Changes of the flows.
    pub since: u64,
    /// How often, and how last, all connections were cut.
    pub cuts: (u64, Cut),
    /// How often connections were stranded; those from before this time are.
    pub strandings: u64,
    pub stranded_before: u64,
    /// How often those who track were made deaf; those from before this time are.
    pub deafenings: u64,
    pub deaf_before: u64,
    pub counts: Counts,
    scripts: Vec<Script>,
}

impl Control {
    pub fn new(target: SocketAddr) -> Self {
        Self {
            target,
            slammed: false,
            requests: Flow::Pass,
            replies: Flow::Pass,
            since: 0,
            cuts: (0, Cut::Close),
            strandings: 0,
            stranded_before: 0,
            deafenings: 0,
            deaf_before: 0,
            counts: Counts::default(),
            scripts: Vec::new(),
        }
    }

    pub fn script(&mut self, to: To, reply: &str, times: u64) {
        self.scripts.push(Script { to, reply: format!("{reply}\r\n"), left: times });
    }

    pub fn unscript(&mut self) {
        self.scripts.clear();
    }

    /// Sees a request.
    pub fn see(&mut self, words: (&str, &str)) {
        self.counts.see(words);
    }

    /// The reply to such a request, if it is not the server's.
    pub fn reply_to(&mut self, words: (&str, &str)) -> Option<Vec<u8>> {
        let at = self.scripts.iter().position(|script| script.to.is_for(words.0))?;
        let script = &mut self.scripts[at];
        let reply = script.reply.clone().into_bytes();
        script.left -= 1;
        if script.left == 0 {
            self.scripts.remove(at);
        }
        Some(reply)
    }

    pub fn forget(&mut self) {
        let Counts { open, in_flight, .. } = self.counts;
        let (peak_open, peak_in_flight) = (open, in_flight);
        self.counts = Counts { open, in_flight, peak_open, peak_in_flight, ..Counts::default() };
    }
}
