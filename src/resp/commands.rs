//! The commands, one file per family, and the one list of them all.

use super::table::Command;

mod connection;
#[cfg(test)]
mod differential;
#[cfg(test)]
mod docs;
mod expiry;
mod keyspace;
mod numbers;
mod server;
mod strings;
pub(crate) mod subcommand;
#[cfg(test)]
mod testing;
mod tier;
mod transactions;

/// Every command, family by family.
pub fn all() -> impl Iterator<Item = &'static Command> {
    [
        strings::COMMANDS,
        numbers::COMMANDS,
        keyspace::COMMANDS,
        expiry::COMMANDS,
        transactions::COMMANDS,
        connection::COMMANDS,
        server::COMMANDS,
        tier::COMMANDS,
    ]
    .into_iter()
    .flatten()
}
