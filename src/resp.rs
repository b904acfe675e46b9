//! The Redis protocol: codec, command table, commands, connections.
//!
//! ```text
//! front ──accept──▶ connection ──codec──▶ round ──pipeline──▶ one job per shard
//!                        │                  └──coordinator──▶ several shards' stores, borrowed
//!                        └── session (who) · transaction (MULTI) · wire (bytes)
//! ```

pub mod args;
pub mod backend;
pub mod clients;
pub mod codec;
pub mod commands;
pub mod connection;
pub mod coordinator;
pub mod embedded;
pub mod front;
pub mod integer;
pub mod keyspace;
pub mod limits;
pub mod movable;
pub mod refusal;
pub mod reply;
pub mod round;
pub mod session;
pub mod sockets;
pub mod table;
pub mod transaction;
pub mod version;
pub mod wire;
