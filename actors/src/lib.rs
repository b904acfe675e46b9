//! The supervised actors of Seawall, usable without the daemon.
//!
//! A folder is one concern. Machines that decide are pure (no clock, no IO, no spawn); the
//! actor beside each one only performs what its machine decided.
//!
//! | module | owns |
//! |---|---|
//! | [`supervise`] | child specs, restart strategies, the supervisor, the tree |
//! | [`policy`] | pure machines: backoff, breaker, restart intensity |
//! | [`cache`] | the store (table, expiry, eviction) and the shard actor around it |
//! | [`wal`] | the write-ahead log: format, intake, writer, replay |
//! | [`snapshot`] | the actor that takes snapshots of the cache |
//! | [`journal`] | the words that cache and log share: records, batches, LSNs |
//! | [`metrics`] | histograms, counters, and the aggregator actor |
//! | [`watch`] | the actor that watches configuration files |
//! | [`redis`] | links to Redis or Valkey: pool, retries, what a failure means |
//! | [`failpoint`] | places where tests make it fail; nothing in a release build |
//!
//! Architecture invariants: `policy` and `supervise` know nobody; `cache` does not know `wal`
//! (both know [`journal`], the daemon wires them); nobody reaches into another actor's state.

pub mod cache;
pub mod clock;
pub mod durable;
pub mod failpoint;
pub mod journal;
pub mod metrics;
pub mod policy;
pub mod redis;
pub mod snapshot;
pub mod supervise;
pub mod wal;
pub mod watch;
