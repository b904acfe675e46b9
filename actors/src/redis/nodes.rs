//! The nodes of a Cluster and their slots, as far as they have told. Pure.
//!
//! <https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/>

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// Host and port of a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node {
    /// A name or an address.
    pub host: Arc<str>,
    /// Its port.
    pub port: u16,
}

impl std::fmt::Display for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Another node is to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// The slot in question.
    pub slot: u16,
    /// Who has it.
    pub node: Node,
    /// This once only, and with ASKING before.
    pub asking: bool,
}

/// What one master of a Cluster has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// Its slots; at least one.
    pub slots: Vec<RangeInclusive<u16>>,
    /// There is a connection to it.
    pub connected: bool,
}

impl Share {
    /// The first of its slots.
    #[must_use]
    pub fn first(&self) -> u16 {
        self.slots.first().map_or(0, |range| *range.start())
    }
}

const SLOTS: u16 = 16_384;

/// The slot of a key: by what stands between its first braces, if anything does.
#[must_use]
pub fn slot_of(key: &[u8]) -> u16 {
    let tag = key.iter().position(|b| *b == b'{').and_then(|open| {
        let rest = key.get(open + 1..)?;
        let close = rest.iter().position(|b| *b == b'}')?;
        rest.get(..close).filter(|tag| !tag.is_empty())
    });
    // CRC-16/XMODEM.
    let crc = tag.unwrap_or(key).iter().fold(0u16, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 }
        })
    });
    crc % SLOTS
}

/// What a key needs between braces to have this slot.
#[must_use]
pub fn tag_of(slot: u16) -> String {
    // Each slot has one of a few digits.
    (0u32..).map(|n| n.to_string()).find(|tag| slot_of(tag.as_bytes()) == slot).unwrap_or_default()
}

impl Redirect {
    /// From an error reply's code and text. A host that is not told is that of redis.url: `home`.
    #[must_use]
    pub fn of(code: &str, text: &str, home: &str) -> Option<Self> {
        let asking = match code {
            "MOVED" => false,
            "ASK" => true,
            _ => return None,
        };
        let (slot, at) = text.split_once(' ')?;
        let (host, port) = at.trim().rsplit_once(':')?;
        let slot = slot.parse().ok().filter(|slot| *slot < SLOTS)?;
        let host = if host.is_empty() { home } else { host };
        Some(Self { slot, node: Node { host: host.into(), port: port.parse().ok()? }, asking })
    }
}

/// Bounded by the number of slots.
#[derive(Debug, Default)]
pub struct Nodes {
    /// How the Cluster was found.
    url: String,
    by_slot: HashMap<u16, Node>,
}

impl Nodes {
    /// Only what was told of the Cluster at this address counts.
    pub fn are_of(&mut self, url: &str) {
        if self.url != url {
            *self = Self { url: url.to_owned(), ..Self::default() };
        }
    }

    /// Who has a slot, if that was told.
    #[must_use]
    pub fn of_slot(&self, slot: u16) -> Option<Node> {
        self.by_slot.get(&slot).cloned()
    }

    /// Who has a slot.
    pub fn learn(&mut self, slot: u16, node: Node) {
        self.by_slot.insert(slot, node);
    }

    /// A node does not answer: others are asked where its slots are.
    pub fn forget(&mut self, node: &Node) {
        self.by_slot.retain(|_, at| at != node);
    }

    /// Somebody who may know.
    #[must_use]
    pub fn any(&self) -> Option<Node> {
        self.by_slot.values().next().cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(slot_of(b"123456789"), 0x31c3);
        assert_eq!(slot_of(b"{user1000}.following"), slot_of(b"user1000"));
        assert_eq!(slot_of(b"foo{}{bar}"), 8363);
        assert_eq!(slot_of(b"foo{{bar}}zap"), slot_of(b"{bar"));
        assert_eq!(slot_of(b""), 0);
    }

    #[test]
    fn every_slot_has_a_tag() {
        for slot in [0, 1, 5461, 10923, SLOTS - 1] {
            assert_eq!(slot_of(format!("marker{{{}}}", tag_of(slot)).as_bytes()), slot);
        }
    }

    #[test]
    fn redirections_are_read() {
        let node = Node { host: "10.0.0.1".into(), port: 6381 };
        let moved = Redirect::of("MOVED", "3999 10.0.0.1:6381", "h").expect("one");
        assert_eq!((moved.slot, moved.node, moved.asking), (3999, node.clone(), false));
        assert!(Redirect::of("ASK", "3999 ::1:6381", "h").is_some_and(|ask| ask.asking));
        let there = Redirect::of("MOVED", "3999 :6381", "h").expect("one");
        assert_eq!(there.node, Node { host: "h".into(), port: 6381 });
        for (code, text) in [("ERR", "3999 a:1"), ("MOVED", "x a:1"), ("MOVED", "99999 a:1")] {
            assert_eq!(Redirect::of(code, text, "h"), None);
        }
        let mut nodes = Nodes::default();
        nodes.learn(1, node.clone());
        assert_eq!(nodes.of_slot(1), Some(node.clone()));
        nodes.forget(&node);
        assert_eq!((nodes.of_slot(1), nodes.any()), (None, None));
    }

    #[test]
    fn the_nodes_of_one_cluster_say_nothing_of_another() {
        let mut nodes = Nodes::default();
        nodes.are_of("redis://a");
        nodes.learn(1, Node { host: "a".into(), port: 1 });
        nodes.are_of("redis://a");
        assert!(nodes.of_slot(1).is_some());
        nodes.are_of("redis://b");
        assert_eq!((nodes.of_slot(1), nodes.any()), (None, None));
    }
}
