//! Connections that nobody uses, and how a new one comes to be.

use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use super::super::failure::{Failure, FailureKind};
use super::super::nodes::Node;
use super::super::settings::LinkSettings;
use super::wire::Wire;
use super::{Dialect, Passage};

impl Passage {
    /// A connection to this node, or to another that may know better if it is not there.
    pub(super) async fn connect(
        &self,
        settings: &Arc<LinkSettings>,
        dialect: Dialect,
        node: Option<Node>,
        deadline: Instant,
    ) -> Result<Wire, Failure> {
        let Some(gone) = node.clone() else {
            let failure = match self.reach(settings, dialect, None, deadline).await {
                Ok(wire) => return Ok(wire),
                Err(failure) => failure,
            };
            let other = self.nodes(settings).any();
            return match other {
                Some(other) => self.reach(settings, dialect, Some(other), deadline).await,
                None => Err(failure),
            };
        };
        match self.reach(settings, dialect, node, deadline).await {
            Ok(wire) => Ok(wire),
            Err(_) => {
                self.nodes(settings).forget(&gone);
                self.reach(settings, dialect, None, deadline).await
            }
        }
    }

    /// A connection to this node; `None`: to the one in redis.url.
    pub(super) async fn reach(
        &self,
        settings: &Arc<LinkSettings>,
        dialect: Dialect,
        node: Option<Node>,
        deadline: Instant,
    ) -> Result<Wire, Failure> {
        if let Some(wire) = self.take(settings, dialect, node.as_ref()) {
            return Ok(wire);
        }
        let dialed = timeout_at(deadline, Wire::dial(settings, dialect, node)).await;
        dialed.unwrap_or_else(|_| {
            let text = "no further connection to Redis came up in time";
            Err(Failure::before(FailureKind::NoLink, text))
        })
    }

    /// A connection that nobody uses.
    fn take(
        &self,
        settings: &Arc<LinkSettings>,
        dialect: Dialect,
        node: Option<&Node>,
    ) -> Option<Wire> {
        let mut idle = self.idle();
        let old = |wire: &Wire| settings.max_age.is_some_and(|age| wire.since.elapsed() > age);
        // Those that were made for somewhere else, or have ended, go.
        idle.retain_mut(|wire| {
            Arc::ptr_eq(&wire.settings, settings) && !old(wire) && wire.is_quiet()
        });
        let fits = |wire: &Wire| wire.dialect == dialect && wire.node.as_ref() == node;
        let at = idle.iter().rposition(fits)?;
        Some(idle.remove(at))
    }

    /// It may be used again.
    pub(super) fn put_back(&self, wire: Wire) {
        let mut idle = self.idle();
        idle.push(wire);
        if idle.len() > self.inner.shared.size() {
            // The one that was not used for longest.
            idle.remove(0);
        }
    }
}
