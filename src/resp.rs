//! The Redis protocol: codec, command table, commands, connections.

pub mod args;
pub mod backend;
pub mod clients;
pub mod codec;
pub mod commands;
pub mod coordinator;
pub mod integer;
pub mod keyspace;
pub mod limits;
pub mod refusal;
pub mod reply;
pub mod round;
pub mod session;
pub mod table;
pub mod version;
