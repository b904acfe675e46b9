//! Where commands find the tier, while there is one: it comes and goes with `redis.url`.
//!
//! ```text
//!   absent ──▶ joining ──▶ whole ──▶ leaving ──▶ ended ──▶ absent
//!   commands ask it         x          x
//!   commands pass it by     x
//! ```
//!
//! Shards change first, in either direction. So whoever asks the tier about a key finds its shard
//! attached, or one that has let go of the tier and needs no answers.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::Tier;

/// How far a tier is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Use {
    /// There is none.
    Absent,
    /// It comes, or goes: nobody asks it.
    Shown,
    /// It is asked about keys. It is about to go, and gets no commands to run.
    Asked,
    /// It does all that a tier does.
    Whole,
}

/// See the module.
#[derive(Debug, Default)]
pub struct TierPlace {
    used: AtomicU8,
    /// The last that there was, for those who began with it.
    tier: RwLock<Option<Arc<Tier>>>,
}

impl TierPlace {
    /// Without a tier.
    #[must_use]
    pub const fn new() -> Self {
        Self { used: AtomicU8::new(Use::Absent as u8), tier: RwLock::new(None) }
    }

    /// How far it is in use.
    #[must_use]
    pub fn used(&self) -> Use {
        let all = [Use::Absent, Use::Shown, Use::Asked, Use::Whole];
        all.into_iter().rev().find(|used| self.is(*used)).unwrap_or(Use::Absent)
    }

    /// The tier that commands ask about keys.
    #[must_use]
    #[inline]
    pub fn asked(&self) -> Option<Arc<Tier>> {
        self.at_least(Use::Asked)
    }

    /// The tier that commands may be passed to.
    #[must_use]
    #[inline]
    pub fn whole(&self) -> Option<Arc<Tier>> {
        self.at_least(Use::Whole)
    }

    /// The tier that there is to look at.
    #[must_use]
    pub fn shown(&self) -> Option<Arc<Tier>> {
        self.at_least(Use::Shown)
    }

    /// The tier that whoever has begun with one goes on with, also if it has gone meanwhile: it
    /// answers that it does not know.
    #[must_use]
    pub fn begun_with(&self) -> Option<Arc<Tier>> {
        self.tier.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether commands may be passed to it.
    #[must_use]
    #[inline]
    pub fn is_whole(&self) -> bool {
        self.is(Use::Whole)
    }

    /// A tier is about to come.
    pub fn put(&self, tier: Arc<Tier>) {
        *self.tier.write().unwrap_or_else(PoisonError::into_inner) = Some(tier);
        self.enter(Use::Shown);
    }

    /// How far it is in use from now on.
    pub fn enter(&self, used: Use) {
        self.used.store(used as u8, Ordering::Release);
    }

    #[inline]
    fn is(&self, least: Use) -> bool {
        self.used.load(Ordering::Acquire) >= least as u8
    }

    #[inline]
    fn at_least(&self, least: Use) -> Option<Arc<Tier>> {
        // The most have none: they pay for one load.
        if self.is(least) { self.begun_with() } else { None }
    }
}
