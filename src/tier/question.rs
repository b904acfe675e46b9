//! What is asked of the tier about a key, and what it answered.

use std::sync::Arc;

use seawall_actors::cache::store::Ticket;
use seawall_actors::clock::UnixMs;

/// A key that a command needs and memory does not have, or does not believe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    /// The key.
    pub key: Box<[u8]>,
    /// Its hash, which routes it.
    pub hash: u64,
    /// What must be true before the tier is asked.
    pub ticket: Ticket,
    /// Memory has something that could be served in its place.
    pub stale: bool,
}

/// What the tier said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A string.
    Value {
        /// Its bytes.
        value: Arc<[u8]>,
        /// When it expires, by this machine's clock.
        expires_at: Option<UnixMs>,
    },
    /// No such key.
    Absent,
    /// A key of a type that is not held here.
    Foreign,
    /// It could not be asked, or did not say in time.
    Unknown(Arc<str>),
}

/// An answer, for the command that asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The key.
    pub key: Box<[u8]>,
    /// Its hash.
    pub hash: u64,
    /// As it was when the tier was asked.
    pub ticket: Ticket,
    /// What it said.
    pub found: Found,
}

/// Whether and how commands on the tiered database ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TierView {
    /// The tier can be asked. If not, what memory lacks is unknown.
    pub reachable: bool,
    /// How long a key that is not there is remembered as absent, milliseconds; 0: not at all.
    pub negative_ms: u64,
    /// How long entries may be served that nobody can confirm, from the first question on that
    /// was left unanswered, milliseconds.
    pub stale_ms: u64,
}
