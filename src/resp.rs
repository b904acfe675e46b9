//! The Redis protocol: codec, command table, commands, connections.

pub mod args;
pub mod commands;
pub mod integer;
pub mod keyspace;
pub mod limits;
pub mod refusal;
pub mod reply;
pub mod session;
pub mod table;
