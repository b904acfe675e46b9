//! The markers of a Cluster: one for each master, on a slot of its own, since each tells only of
//! itself. One that comes back empty, or a replica that lacks what its master had, says so.

use redis::{Pipeline, Value};

use super::pump::{Pump, Trouble, number};
use super::start::{Start, decide};
use crate::journal::Lsn;
use crate::redis::nodes::{Share, tag_of};

/// Keys that are written and read in the place of the one marker. Pure.
#[derive(Debug, Default)]
pub(super) struct Markers {
    slots: Vec<u16>,
    keys: Vec<String>,
}

impl Markers {
    /// Those of masters that begin with these slots. Returns keys that are of no more use.
    fn turn(&mut self, slots: Vec<u16>, marker: &str) -> Vec<String> {
        if slots == self.slots {
            return Vec::new();
        }
        let keys = slots.iter().map(|slot| format!("{marker}{{{}}}", tag_of(*slot))).collect();
        let old = std::mem::replace(self, Self { slots, keys });
        old.keys.into_iter().filter(|key| !self.keys.contains(key)).collect()
    }
}

/// What is to be read and written.
#[derive(Debug)]
pub(super) struct Now {
    /// What the masters have.
    pub shares: Vec<Share>,
    /// Their markers, in the same order.
    pub keys: Vec<String>,
    /// Keys that were markers before.
    pub gone: Vec<String>,
}

/// What all of them say together: the least, and nothing if one is missing.
pub(super) fn least(said: impl Iterator<Item = Option<Lsn>>) -> Option<Lsn> {
    said.reduce(|least, next| Some(least?.min(next?))).flatten()
}

impl Pump {
    /// The markers of the masters that there are now.
    ///
    /// # Errors
    /// There is no connection to tell of them.
    pub(super) fn markers(&mut self) -> Result<Now, Trouble> {
        let shares = self.args.pool.shares();
        if shares.is_empty() {
            return Err(Trouble::Away("no node of the Cluster is connected".to_owned()));
        }
        let gone = self.markers.turn(shares.iter().map(Share::first).collect(), &self.marker);
        Ok(Now { shares, keys: self.markers.keys.clone(), gone })
    }

    /// What the masters say that they have.
    ///
    /// # Errors
    /// One of them does not. What the others have counts for reads of their keys all the same.
    pub(super) async fn read_markers(&mut self) -> Result<Vec<Option<Lsn>>, Trouble> {
        let Now { shares, keys, .. } = self.markers()?;
        if shares.iter().all(|share| share.connected) {
            return self.ask(keys.iter()).await;
        }
        let asked = shares.iter().zip(&keys).filter(|(share, _)| share.connected);
        let said = self.ask(asked.map(|(_, key)| key)).await?;
        let mut said = said.into_iter();
        let lacking = shares.iter().filter(|share| {
            !share.connected || !said.next().is_some_and(|marker| self.has_all(marker))
        });
        let lacking = lacking.flat_map(|share| share.slots.iter().cloned()).collect();
        self.args.gate.meet_but(self.epoch, lacking);
        // Tells why.
        self.ask(keys.iter()).await
    }

    /// Whether a master that says this has everything that Redis ever acknowledged.
    fn has_all(&self, marker: Option<Lsn>) -> bool {
        let marker = marker.map(|marker| self.as_believed(marker));
        let start = decide(marker, self.begun, self.attempted);
        matches!(start, Start::Behind(lsn) if lsn >= self.args.gate.reached())
    }

    async fn ask(&self, keys: impl Iterator<Item = &String>) -> Result<Vec<Option<Lsn>>, Trouble> {
        let mut read = Pipeline::new();
        for key in keys {
            // One that somebody has put another type into says nothing.
            read.cmd("MGET").arg(key);
        }
        let said = self.pipe(&read, 0).await?.into_iter().map(|answer| match answer {
            Value::Array(values) => values.first().and_then(number),
            _ => None,
        });
        Ok(said.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis::nodes::slot_of;

    #[test]
    fn each_master_has_one_and_old_ones_are_told() {
        let mut markers = Markers::default();
        assert_eq!(markers.turn(vec![0, 8000], "m"), Vec::<String>::new());
        let before = markers.keys.clone();
        let slots: Vec<u16> = before.iter().map(|key| slot_of(key.as_bytes())).collect();
        assert_eq!(slots, [0, 8000]);
        assert_eq!(markers.turn(vec![0, 8000], "m"), Vec::<String>::new());
        assert_eq!(markers.turn(vec![0, 9000], "m"), [before[1].clone()]);
        assert_eq!(markers.keys[0], before[0]);
    }

    #[test]
    fn a_node_without_one_makes_all_of_them_silent() {
        assert_eq!(least([Some(7), Some(3), Some(9)].into_iter()), Some(3));
        assert_eq!(least([Some(7), None, Some(9)].into_iter()), None);
        assert_eq!(least(std::iter::empty()), None);
    }
}
