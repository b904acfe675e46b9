//! Redis or Valkey behind the cache: links, and what becomes of a command on its way there.
//!
//! A [`Link`] is a supervised actor that owns one connection: a connection that breaks is a crash,
//! and its restart strategy (backoff with full jitter, then a breaker) is how Redis is given time.
//! Commands do not go through mailboxes: the actor publishes its live connection in its slot of
//! the [`Pool`], callers take it from there and say what went wrong with it. So a command costs
//! no hop more than the connection itself does.
//!
//! | module | owns |
//! |---|---|
//! | `advice` | what helps against a Redis that does not let one in; pure |
//! | `settings` | where Redis is and how patient one is |
//! | `connection` | one server, or a Cluster |
//! | `cluster` | the masters of a Cluster, a connection each |
//! | `nodes` | the nodes of a Cluster and their slots; pure |
//! | `dial` | one connection, from the address to the first PONG |
//! | `link` | the actor |
//! | `duty` | what a link does beside its commands |
//! | `near` | what the cache hears of the tier |
//! | `passage` | connections for commands that nobody looks into |
//! | `pool` | the slots, one attempt, and a command with its retries |
//! | `sentinels` | whether the Sentinels name another master by now |
//! | `subscriptions` | what is subscribed to in Redis, and who is told what comes |
//! | `tracker` | what the connection that tracks hears |
//! | `failure` | what a failure means; pure |
//! | `skew` | how far the clocks of Redis are from ours; pure |
//! | `retry` | what to do next, and the budget for it; pure |
//! | `near` | what the tier tells the cache in front of it |
//! | [`outbox`] | the write side: from the log to Redis |

mod advice;
mod cluster;
mod connection;
mod dial;
mod duty;
mod failure;
#[cfg(test)]
mod fake;
mod link;
mod near;
mod nodes;
pub mod outbox;
mod passage;
mod pool;
mod retry;
mod sentinels;
mod settings;
mod skew;
mod subscriptions;
mod tracker;

pub use failure::{Executed, Failure, FailureKind};
pub use link::{Link, LinkArgs, LinkMsg};
pub use near::Near;
pub use nodes::Node;
pub use passage::{
    Dialect, Enough, Load, Outcome, Passage, PassageLimits, PassageStats, Replies, Reserved,
    Target, Train, Unblock, Wait, error_of,
};
pub use pool::{
    Comparisons, LinkStats, Once, Pool, PoolChanges, PoolState, PoolStats, Request, Trouble,
};
pub use settings::{LinkSettings, Password, TlsFiles, check_url, has_password, lacks_password};
pub use skew::{ServerClock, Skew};
pub use subscriptions::{By, Receiver, SubscriptionStats, Subscriptions, Topic};
pub use tracker::TrackerStats;
