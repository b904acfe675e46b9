//! Flights that have landed and may still be boarded, in two generations: what came since the last
//! turn, and what came in the turn before. One timer for all of them.

use std::sync::Arc;

use super::flight::Flight;

#[derive(Debug, Default)]
pub(super) struct Lingering {
    young: Vec<Arc<Flight>>,
    old: Vec<Arc<Flight>>,
    /// Somebody turns.
    swept: bool,
}

impl Lingering {
    pub fn add(&mut self, flight: Arc<Flight>) {
        self.young.push(flight);
    }

    /// Whether somebody is needed who turns from now on; said once.
    pub fn needs_sweeper(&mut self) -> bool {
        let needed = !self.swept && !self.young.is_empty();
        self.swept |= needed;
        needed
    }

    /// What has lingered for more than one turn; `None` if nothing is left, and whoever turns may
    /// go.
    pub fn turn(&mut self) -> Option<Vec<Arc<Flight>>> {
        if self.young.is_empty() && self.old.is_empty() {
            self.swept = false;
            return None;
        }
        let young = std::mem::take(&mut self.young);
        Some(std::mem::replace(&mut self.old, young))
    }
}
