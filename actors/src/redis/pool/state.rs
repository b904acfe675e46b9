//! How a pool's links stand, and when that changes.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::super::link::LinkMsg;
use super::super::skew::Measures;
use crate::supervise::Changes;

/// How the links stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolState {
    /// So many links are up.
    Up(usize),
    /// None is, and one is on its way.
    Connecting,
    /// None is, and the breaker holds the lead.
    Open {
        /// Until the next trial.
        retry_in: Duration,
    },
}

/// What the last connection that failed died of, or why it did not come to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// In words, with what helps.
    pub why: Arc<str>,
    /// When. There may be a connection since.
    pub at: Instant,
}

/// Tells when the clocks have been compared.
#[derive(Debug)]
pub struct Comparisons {
    pub(super) measures: watch::Receiver<Measures>,
}

impl Comparisons {
    /// Resolves at the next measure; never, once the pool is gone. Safe to cancel.
    pub async fn next(&mut self) {
        if self.measures.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Tells when a pool may have come to stand otherwise.
#[derive(Debug)]
pub struct PoolChanges {
    pub(super) live: watch::Receiver<usize>,
    pub(super) trouble: watch::Receiver<Option<Trouble>>,
    pub(super) lead: Option<Changes<LinkMsg>>,
}

impl PoolChanges {
    /// Resolves at the next change: a link came up or went down, one has failed, or the breaker
    /// let go. Never, once the pool is gone. Safe to cancel.
    pub async fn next(&mut self) {
        let lead = async {
            match &mut self.lead {
                Some(lead) => lead.next().await,
                None => std::future::pending().await,
            }
        };
        let gone = tokio::select! {
            changed = self.live.changed() => changed.is_err(),
            changed = self.trouble.changed() => changed.is_err(),
            () = lead => false,
        };
        if gone {
            std::future::pending::<()>().await;
        }
    }
}
