//! The cache: the store (pure) and, around it, the shard actor that owns one.

pub mod store;
