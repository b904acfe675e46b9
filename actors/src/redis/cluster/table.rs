//! Who has which slots, as one node of a Cluster tells it. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

use redis::Value;

use super::super::nodes::Node;

/// What CLUSTER SLOTS answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in super::super) struct Table {
    /// First and last slot, and whose they are; in the order of the slots.
    ranges: Vec<(u16, u16, Node)>,
    replicas: BTreeSet<Node>,
}

impl Table {
    /// `home` is the host that was asked: nodes that do not know their own name are there. `None` if
    /// this is no such answer.
    pub fn read(answer: &Value, home: &Arc<str>) -> Option<Self> {
        let Value::Array(parts) = answer else { return None };
        let mut table = Self::default();
        for part in parts {
            let Value::Array(part) = part else { return None };
            let (first, last, nodes) = match part.as_slice() {
                [Value::Int(first), Value::Int(last), nodes @ ..] => (first, last, nodes),
                _ => return None,
            };
            let (first, last) = (u16::try_from(*first).ok()?, u16::try_from(*last).ok()?);
            let mut nodes = nodes.iter().map(|value| node(value, home));
            if let Some(Some(master)) = nodes.next() {
                table.ranges.push((first, last, master));
            }
            table.replicas.extend(nodes.flatten());
        }
        table.ranges.sort_unstable();
        Some(table)
    }

    /// Whose a slot is, if anybody's.
    pub fn owner(&self, slot: u16) -> Option<&Node> {
        let at = self.ranges.partition_point(|(first, ..)| *first <= slot).checked_sub(1)?;
        self.ranges.get(at).filter(|(_, last, _)| slot <= *last).map(|(.., node)| node)
    }

    /// Those that have slots.
    pub fn masters(&self) -> BTreeSet<Node> {
        self.ranges.iter().map(|(.., node)| node.clone()).collect()
    }

    /// What each master has.
    pub fn shares(&self) -> BTreeMap<&Node, Vec<RangeInclusive<u16>>> {
        let mut shares = BTreeMap::<_, Vec<_>>::new();
        for (first, last, node) in &self.ranges {
            shares.entry(node).or_default().push(*first..=*last);
        }
        shares
    }

    /// Everybody who can tell about the Cluster.
    pub fn everybody(&self) -> BTreeSet<Node> {
        self.masters().union(&self.replicas).cloned().collect()
    }

    /// What most of them say; of several the one that was heard first.
    pub fn agreed(tables: &[Self]) -> Option<&Self> {
        let votes = |table: &Self| tables.iter().filter(|other| *other == table).count();
        tables.iter().rev().max_by_key(|table| votes(table))
    }
}

/// A node, unless nobody knows where it is.
fn node(value: &Value, home: &Arc<str>) -> Option<Node> {
    let Value::Array(parts) = value else { return None };
    let [host, Value::Int(port), ..] = parts.as_slice() else { return None };
    let host: Arc<str> = match host {
        Value::BulkString(host) => String::from_utf8_lossy(host).into(),
        Value::SimpleString(host) => host.as_str().into(),
        Value::Nil => "".into(),
        _ => return None,
    };
    let host = match &*host {
        "?" => return None,
        "" | "0.0.0.0" | "::" => Arc::clone(home),
        _ => host,
    };
    Some(Node { host, port: u16::try_from(*port).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(resp: &str) -> Option<Table> {
        let answer = redis::parse_redis_value(resp.replace(' ', "\r\n").as_bytes()).expect("RESP");
        Table::read(&answer, &"home".into())
    }

    fn at(host: &str, port: u16) -> Node {
        Node { host: host.into(), port }
    }

    /// Slots 0–9 are of a, with a replica; 20–29 of a node that does not know its name.
    const TWO: &str = "*2 *3 :20 :29 *2 $0  :7 *4 :0 :9 *2 $1 a :1 *2 $1 b :2 ";

    #[test]
    fn slots_have_owners_and_gaps_have_none() {
        let table = table(TWO).expect("a table");
        for (slot, owner) in
            [(0, Some(at("a", 1))), (9, Some(at("a", 1))), (10, None), (20, Some(at("home", 7)))]
        {
            assert_eq!(table.owner(slot), owner.as_ref(), "{slot}");
        }
        assert_eq!((table.owner(29).is_some(), table.owner(30)), (true, None));
        assert_eq!(Vec::from_iter(table.masters()), [at("a", 1), at("home", 7)]);
        let shares: Vec<_> = table.shares().into_values().collect();
        assert_eq!(shares, [vec![0..=9], vec![20..=29]]);
        assert_eq!(Vec::from_iter(table.everybody()), [at("a", 1), at("b", 2), at("home", 7)]);
    }

    #[test]
    fn what_is_no_table_is_none_and_who_cannot_be_found_has_nothing() {
        for other in ["+OK ", "*1 :1 ", "*1 *2 :0 $1 x ", "*1 *3 :-1 :9 *2 $1 a :1 "] {
            assert_eq!(table(other), None, "{other}");
        }
        let lost = table("*1 *3 :0 :9 *2 $1 ? :1 ").expect("a table");
        assert_eq!((lost.owner(0), lost.masters().len()), (None, 0));
        assert_eq!(table("*0 ").expect("a table").owner(0), None);
    }

    #[test]
    fn the_majority_is_believed() {
        let [ours, theirs] = [TWO, "*1 *3 :0 :9 *2 $1 c :1 "].map(|text| table(text).expect("one"));
        let all = [theirs.clone(), ours.clone(), ours.clone()];
        assert_eq!(Table::agreed(&all), Some(&ours));
        assert_eq!(Table::agreed(&[theirs.clone(), ours]), Some(&theirs), "the first");
        assert_eq!(Table::agreed(&[]), None);
    }
}
