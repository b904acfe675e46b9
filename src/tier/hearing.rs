//! Who is told what the tracker hears: memory, and whoever has to know about conflicts.

use std::sync::Arc;

use seawall_actors::clock::Clock;
use seawall_actors::journal::Lsn;
use seawall_actors::redis::Near;
use seawall_actors::redis::outbox::Gate;

use super::news::News;

/// See the module.
pub(super) struct Hearing {
    pub news: Arc<News>,
    pub gate: Gate,
    pub clock: Clock,
}

impl Near for Hearing {
    fn acknowledged(&self, lsn: Lsn) {
        self.news.acknowledged(lsn);
    }

    fn changed(&self, keys: Vec<Box<[u8]>>) {
        self.gate.changed_elsewhere(keys.iter().map(|key| &**key), self.clock.unix_ms());
        self.news.changed(keys);
    }

    fn flushed(&self) {
        self.gate.flushed_elsewhere();
        self.news.flushed();
    }

    fn gap(&self) {
        self.news.gap();
    }
}
