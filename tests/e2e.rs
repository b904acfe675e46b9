//! End-to-end tests: the real binary, real clients, a real Redis beside it.
//!
//! One file is one concern; all are one binary, so that the project links once for them.
//! `cargo test --test e2e durability::` runs one file. Every test has a daemon of its own, on
//! free ports and in a folder of its own, so that all run side by side.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

mod admin_http;
mod client_caches;
mod clients;
mod configuration;
mod crashes;
mod differential;
mod disk_errors;
mod durability;
mod failpoints;
mod fuzzing;
mod licences;
mod lifecycle;
mod limits;
mod linearizability;
mod loading;
mod migration;
mod notifications;
mod on_a_cluster;
mod outages;
mod packing;
mod past;
mod protocol;
mod pubsub;
mod rebuilding;
mod removed_logs;
mod retention;
mod rollback;
mod snapshots;
mod statistics;
mod supervision;
mod tier_bounds;
mod tier_changes;
mod tier_clocks;
mod tier_coherence;
mod tier_faults;
mod tier_faults_cluster;
mod tier_freshness;
mod tier_links;
mod tier_live;
mod tier_moves;
mod tier_passage;
mod tier_passage_cluster;
mod tier_passage_crowds;
mod tier_passage_keys;
mod tier_passage_pipelines;
mod tier_passage_tls;
mod tier_passage_users;
mod tier_pubsub;
mod tier_races;
mod tier_reads;
mod tier_restarts;
mod tier_rights;
mod tier_shown;
mod tier_topologies;
mod tier_tracking;
mod tier_watch;
mod tier_writes;
mod tier_writes_faults;
mod tier_writes_server;
mod tls;
mod tracking;
mod transactions;
mod users;
mod wal_tools;
