//! What one connection is: who, which database, which protocol, which transaction.

use super::reply::Proto;

/// State of one connection, owned by its task.
#[derive(Debug)]
pub struct Session {
    /// Selected database.
    pub db: u8,
    /// Protocol version.
    pub proto: Proto,
}
