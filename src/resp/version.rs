//! Versions that clients are told.

/// The Redis version whose behaviour clients may expect.
pub const REDIS_VERSION: &str = "7.4.0";
/// Seawall's own version.
pub const SEAWALL_VERSION: &str = env!("CARGO_PKG_VERSION");
